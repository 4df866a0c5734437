"""What a process can do before it is confined, and no longer after."""

import errno
import json
import platform
import subprocess
import sys

import pytest

from lockstep.proof.confined.confinement import confinable

pytestmark = pytest.mark.skipif(not confinable(), reason="This machine confines no process.")

# Each is a right that reading a file does not need.
PROBE = """
import ctypes, json, os, socket, sys, threading
from lockstep.proof.confined.confinement import ProcessLimits, confine

os.chdir(sys.argv[1])
output = open("output", "wb", buffering=0)

def new_call(number):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 5) < 0:
        raise OSError(ctypes.get_errno(), "")

def everything():
    return {
        "read a file": lambda: open("secret").close(),
        "write a file": lambda: open("secret", "a").close(),
        "look at a file": lambda: os.stat("secret"),
        "list a folder": lambda: os.listdir("."),
        "make a folder": lambda: os.mkdir("made"),
        "link": lambda: os.link("secret", "linked"),
        "rename": lambda: os.rename("secret", "secret"),
        "truncate": lambda: os.truncate("secret", 1),
        "remove": lambda: os.remove("secret"),
        "memory file": lambda: os.close(os.memfd_create("x")),
        "pipe": lambda: os.pipe(),
        "socket": lambda: socket.socket().close(),
        "signal": lambda: os.kill(os.getppid(), 0),
        "fork": lambda: os.fork() or os._exit(0),
        "spawn": lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
        "program": lambda: os.execv("/nowhere", ["/nowhere"]),
    }

def outcome(action):
    try:
        action()
    except OSError as error:
        return error.errno
    return 0

found = {}
asked, answered = threading.Event(), threading.Event()

def from_a_thread_of_a_library():
    asked.wait()
    found["from another thread"] = outcome(lambda: open("secret").close())
    answered.set()

threading.Thread(target=from_a_thread_of_a_library, daemon=True).start()
confined = sys.argv[2] == "confined"
if confined:
    confine(ProcessLimits(memory_bytes=1 << 26, cpu_s=int(sys.argv[3]), file_bytes=1000))
asked.set()
answered.wait()
found |= {name: outcome(action) for name, action in everything().items()}
if confined:
    # io_uring_setup, pidfd_open, clone3, openat2
    found |= {str(call): outcome(lambda: new_call(call)) for call in (425, 434, 435, 437)}
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        found["thread"] = 1
    try:
        bytes(1 << 28)
    except MemoryError:
        found["memory"] = "refused"
    output.write(bytes(1000))
    found["a longer file"] = outcome(lambda: output.write(b"x"))
os.write(1, json.dumps(found).encode())
while confined:
    pass
os._exit(0)
"""


@pytest.fixture
def probe(tmp_path):
    def run(*words):
        (tmp_path / "secret").write_text("secret")
        command = [sys.executable, "-c", PROBE, str(tmp_path), *words]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        return done, json.loads(done.stdout or done.stderr)

    return run


@pytest.mark.slow
def test_a_confined_process_can_compute_and_nothing_else(probe, tmp_path):
    _, before = probe("free", "1")
    assert errno.EPERM not in before.values(), before
    (tmp_path / "made").rmdir()
    (tmp_path / "linked").unlink()
    done, after = probe("confined", "1")
    assert after.pop("memory") == "refused"
    assert after.pop("a longer file") == errno.EFBIG
    assert after.keys() > before.keys()
    assert set(after.values()) == {errno.EPERM}, after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["output", "secret"]
    assert (tmp_path / "secret").read_text() == "secret"
    assert done.returncode == -9  # it spins at the end, until its seconds are used up


@pytest.mark.parametrize(("system", "machine"), [("linux", "riscv64"), ("darwin", "x86_64")])
def test_where_a_filter_is_not_known_nothing_is_confinable(monkeypatch, system, machine):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert not confinable()
