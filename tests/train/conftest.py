"""An artifact made from a table whose every name tries to become markup."""

import pytest

from untrusted import Untrusted, untrusted


@pytest.fixture(scope="session", name="untrusted")
def _untrusted(tmp_path_factory: pytest.TempPathFactory) -> Untrusted:
    """Trained, calibrated, proved and sealed as ``models/untrusted/1``; not to be changed."""
    return untrusted(tmp_path_factory.mktemp("untrusted") / "models")
