"""The check inside the container: exit code 0 where the service is ready, and no traceback."""

import subprocess
import sys

from serving import environment


def health(**variables):
    return subprocess.run(
        [sys.executable, "-m", "lockstep_service.process.health"],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_setting_is_told_in_one_sentence():
    done = health(LOCKSTEP_PORT="abc")
    assert done.returncode == 1
    assert done.stderr.startswith("lockstep: LOCKSTEP_PORT is wrong")
    assert done.stderr.count("\n") == 1


def test_where_nobody_listens_the_service_is_not_ready():
    assert health(LOCKSTEP_HOST="127.0.0.1", LOCKSTEP_PORT="9").returncode == 1
