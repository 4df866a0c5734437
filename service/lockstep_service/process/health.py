"""``python -m lockstep_service.process.health``: exit code 0 if the local service is ready."""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException

from lockstep.errors import InvalidSetting
from lockstep_service.settings import load_settings

TIMEOUT_S = 2.5
# A service that listens on all addresses is reached at the loopback address.
LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - only compared


def is_ready(host: str, port: int) -> bool:
    """Whether the service is ready; false if it does not answer within ``TIMEOUT_S``.

    Args:
        host: the address on which it listens.
        port: on which it listens.
    """
    connection = HTTPConnection(LOOPBACK.get(host, host), port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """Ask the service that the settings describe, and return the exit code."""
    try:
        settings = load_settings()
    except InvalidSetting as error:
        sys.stderr.write(f"lockstep: {error}\n")
        return 1
    return 0 if is_ready(settings.host, settings.port) else 1


if __name__ == "__main__":
    sys.exit(main())
