"""Shortcuts: which requests are answered past ASGI, and by what."""

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

# What only the ASGI way does: to unpack a body, to read one of unknown length, to say "continue",
# to look at what is ambiguous.
UNCOMMON = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"} | MISSPELT)


MOST_HOSTS = 1000


class Shortcut(NamedTuple):
    """Where an exact path leads, and what its dialect prepared for the version there."""

    endpoint: Endpoint[Any]
    served: Served
    prepared: Any


@dataclass(frozen=True)
class Shortcuts:
    """What connections need to answer past ASGI.

    Attributes:
        paths: the shortcut of each exact path, as it stands in a request's first line.
        ids: gives requests their ids.
        telemetry: counts and times the answers.
        heads: of the answers.
        hosts: that requests have named; to look one up is faster than to read it.
    """

    paths: Mapping[bytes, Shortcut]
    ids: RequestIds
    telemetry: Telemetry
    heads: Heads = field(default_factory=Heads)
    hosts: set[bytes] = field(default_factory=set)

    def find(self, path: bytes, headers: Headers) -> Shortcut | None:
        """The shortcut for a request, or None where it has to take the ASGI way.

        A body whose size is not known goes that way as well, and so does a host that is none.
        """
        shortcut = self.paths.get(path)
        if shortcut is None or not UNCOMMON.isdisjoint(headers):
            return None
        host = headers.get(b"host")
        if host not in self.hosts and not self._meet(host):
            return None
        length = headers.get(b"content-length")
        try:
            fits = length is not None and int(length) <= shortcut.endpoint.limits.body_bytes
        except ValueError:  # thousands of digits
            return None
        return shortcut if fits else None

    def _meet(self, host: bytes | None) -> bool:
        if host is None or not is_host(host):
            return False
        if len(self.hosts) >= MOST_HOSTS:
            self.hosts.clear()
        self.hosts.add(host)
        return True


def shortcuts_to(
    endpoints: Iterable[Endpoint[Any]], repository: Repository
) -> dict[bytes, Shortcut]:
    """The shortcut of every exact path of a version that is served."""
    found: dict[bytes, Shortcut] = {}
    for endpoint in endpoints:
        asked = ("{name}" in endpoint.path, "{version}" in endpoint.path)
        for name, version, served in repository.addresses():
            if asked == (name is not None, version is not None):
                path = endpoint.path.format(name=name, version=version)
                found[path.encode()] = Shortcut(endpoint, served, endpoint.prepared[served])
    return found
