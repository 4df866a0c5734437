"""Shortcuts: which requests are answered without ASGI, and by which endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lockstep_service.connection.answer_heads import Heads
from lockstep_service.connection.head import MISSPELT, is_host
from lockstep_service.dialects.endpoint import Endpoint
from lockstep_service.http.headers import Headers, RequestIds
from lockstep_service.repository.repository import Repository
from lockstep_service.repository.served import Served
from lockstep_service.view.telemetry import Telemetry

# Requests with these headers go through ASGI. Only that path unpacks a body, reads a body of
# unknown length, sends "100 Continue" and refuses ambiguous heads.
UNCOMMON = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"} | MISSPELT)
MOST_HOSTS = 1000  # most hosts kept, so that memory does not grow with the hosts that clients send


class Shortcut(NamedTuple):
    """The endpoint of an exact path, and what the endpoint prepared for the version there.

    Attributes:
        endpoint: that answers.
        served: the version.
        prepared: of `endpoint.prepared` for that version.
    """

    endpoint: Endpoint[Any]
    served: Served
    prepared: Any


@dataclass(frozen=True)
class Shortcuts:
    """What connections need to answer without ASGI.

    Attributes:
        paths: the shortcut of each exact path, as it stands in a request's first line.
        ids: gives requests their ids.
        telemetry: counts and times the answers.
        heads: of the answers.
        hosts: valid hosts that requests have named. A lookup is faster than to parse a host again.
    """

    paths: Mapping[bytes, Shortcut]
    ids: RequestIds
    telemetry: Telemetry
    heads: Heads = field(default_factory=Heads)
    hosts: set[bytes] = field(default_factory=set)

    def find(self, path: bytes, headers: Headers) -> Shortcut | None:
        """The shortcut for a request, or None if it must go through ASGI.

        A request also goes through ASGI if the size of its body is unknown or above the limit, or
        if its host is missing or invalid.

        Args:
            path: the request target.
            headers: by their lower-case names.
        """
        shortcut = self.paths.get(path)
        if shortcut is None or not UNCOMMON.isdisjoint(headers):
            return None
        host = headers.get(b"host")
        if host not in self.hosts and not self._remember_host(host):
            return None
        length = headers.get(b"content-length")
        try:
            fits = length is not None and int(length) <= shortcut.endpoint.limits.body_bytes
        except ValueError:  # thousands of digits
            return None
        return shortcut if fits else None

    def _remember_host(self, host: bytes | None) -> bool:
        """Keep a host if it is valid, and return whether it is."""
        if host is None or not is_host(host):
            return False
        if len(self.hosts) >= MOST_HOSTS:
            self.hosts.clear()
        self.hosts.add(host)
        return True


def shortcuts_to(
    endpoints: Iterable[Endpoint[Any]], repository: Repository
) -> dict[bytes, Shortcut]:
    """The shortcut of every exact path to a served version.

    Args:
        endpoints: with path templates.
        repository: of the versions.
    """
    found: dict[bytes, Shortcut] = {}
    for endpoint in endpoints:
        placeholders = ("{name}" in endpoint.path, "{version}" in endpoint.path)
        for name, version, served in repository.addresses():
            if placeholders == (name is not None, version is not None):
                path = endpoint.path.format(name=name, version=version)
                found[path.encode()] = Shortcut(endpoint, served, endpoint.prepared[served])
    return found
