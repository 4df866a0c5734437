"""The peers, as one list."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from benchmarks.process import ROOT
from benchmarks.serving.peers.install import NotInstalled, install, program
from benchmarks.serving.servers import BINARY_HEADERS, JSON_HEADERS, Dialect, Route, Server

HERE = "benchmarks.serving.peers"
NETWORK = {"MODEL_FILE": "{artifact}/model.onnx", "MODEL_NAME": "{model}"}
PLAIN: dict[Dialect, Route] = {"JSON": Route("/predict", "{model}.json", JSON_HEADERS)}
INFER = Route("/v2/models/{model}/infer", "{model}.oip.json", JSON_HEADERS)


class Peer(NamedTuple):
    """A server, and what pip installs for it."""

    requirements: tuple[str, ...]
    server: Server


def _peer(
    name: str,
    requirements: tuple[str, ...],
    command: tuple[str, ...],
    routes: Mapping[Dialect, Route],
    ready: str,
    environment: Mapping[str, str] | None = None,
) -> Peer:
    """A peer whose command begins with a program of its own environment."""
    words = (program(name, command[0]), *command[1:])
    # Programs other than python do not look for modules where they are started.
    variables = {**NETWORK, "PYTHONPATH": str(ROOT), **(environment or {})}
    return Peer(requirements, Server(name, words, routes, ready, variables))


PEERS = (
    _peer(
        "LitServe",
        ("litserve==0.2.19",),
        ("python", "-m", f"{HERE}.litserve_app", "{port}"),
        PLAIN,
        ready="/health",
    ),
    _peer(
        "BentoML",
        ("bentoml==1.4.39",),
        ("bentoml", "serve", f"{HERE}.bentoml_app:Network", "--port", "{port}"),
        PLAIN,
        ready="/readyz",
        environment={"BENTOML_DO_NOT_TRACK": "True"},
    ),
    _peer(
        "MLServer",
        ("mlserver==1.7.1",),
        ("mlserver", "start", "benchmarks/serving/peers/mlserver"),
        {"JSON": INFER._replace(path="/v2/models/network/infer")},
        ready="/v2/models/network/ready",
        environment={
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{spare_port}",
            "MLSERVER_METRICS_PORT": "{other_port}",
            "MLSERVER_PARALLEL_WORKERS": "0",  # with workers it ends at start: no event loop
        },
    ),
    _peer(
        "KServe",
        ("kserve==0.21.0",),
        ("python", "-m", f"{HERE}.kserve_app", "--http_port", "{port}"),
        {"JSON": Route("/v1/models/{model}:predict", "{model}.json", JSON_HEADERS)},
        ready="/v2/health/ready",
    ),
    _peer(
        "Ray Serve",
        ("ray[serve]==2.60.0",),
        ("python", "-m", f"{HERE}.ray_app", "{port}"),
        PLAIN,
        ready="/-/healthz",
        environment={"RAY_USAGE_STATS_ENABLED": "0"},
    ),
    _peer(
        "pytriton",
        ("nvidia-pytriton==0.7.0",),
        (
            "python",
            "-m",
            f"{HERE}.pytriton_app",
            "{port}",
            "{spare_port}",
            "{other_port}",
            "{features}",
        ),
        {
            "JSON": INFER,
            "binary": Route("/v2/models/{model}/infer", "{model}.bin", BINARY_HEADERS),
        },
        ready="/v2/models/{model}/ready",
        # Triton must load the libpython of this interpreter, not the system's.
        environment={"LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR"))},
    ),
)


def installed(say: Callable[[str], None]) -> Iterator[Server]:
    """The peers that can be installed here; of the others it is said why not."""
    for peer in PEERS:
        say(f"installing {peer.server.name}, where it is not yet")
        try:
            install(peer.server.name, peer.requirements)
        except NotInstalled as error:
            say(f"left out: {error}")
        else:
            yield peer.server
