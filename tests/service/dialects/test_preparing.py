"""What a dialect prepares for a version: once, when it is wired, and handed to every request."""

import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.routing import Route

import lockstep_service
from lockstep_service.connection.shortcuts import shortcuts_to
from lockstep_service.dialects.endpoint import Endpoint, Question, RequestLimits
from lockstep_service.dialects.plain import Predict
from lockstep_service.http.body_limit import BodyLimit
from lockstep_service.http.headers import RequestIds
from lockstep_service.http.observed import Observed
from lockstep_service.http.responses import Answer
from lockstep_service.repository.load import load_repository
from lockstep_service.settings import Settings
from lockstep_service.view.telemetry import Telemetry
from serving import ROOT, copied, post

LIMITS = RequestLimits(timeout_s=5.0, body_bytes=2**20)
PATHS = ("/echo", "/echo/{name}", "/echo/{name}/versions/{version}")


class Echo(Endpoint[str]):
    """A dialect that prepares a version's name, and answers with it."""

    def __init__(self, path, repository):
        self.calls = Counter()
        super().__init__(path, repository, LIMITS)

    def prepare(self, served):
        self.calls[served] += 1
        return f"prepared for {served.manifest.name}"

    def check(self, headers):
        pass

    def question(self, prepared, headers, body):
        del headers, body
        row = np.zeros((1, 13), np.float32)
        return Question(row, 5.0, lambda _: Answer(prepared.encode()))


@pytest.fixture
def repository(artifact, gauge, tmp_path):
    copied(artifact, tmp_path)
    copied(gauge, tmp_path)
    return load_repository(Settings(models=tmp_path, default_model="wine"), Telemetry())


def test_a_version_is_prepared_once_however_many_addresses_it_has(repository):
    for path in PATHS:
        endpoint = Echo(path, repository)
        shortcuts_to([endpoint], repository)
        assert endpoint.calls == dict.fromkeys(repository, 1)
        assert endpoint.prepared.keys() == set(repository)


def test_the_shortcut_of_a_version_carries_what_was_prepared_for_it(repository):
    shortcuts = shortcuts_to([Echo(path, repository) for path in PATHS], repository)
    assert {path: shortcut.prepared for path, shortcut in shortcuts.items()} == {
        b"/echo": "prepared for wine",
        b"/echo/wine": "prepared for wine",
        b"/echo/wine/versions/1": "prepared for wine",
        b"/echo/gauge": "prepared for gauge",
        b"/echo/gauge/versions/1": "prepared for gauge",
    }


def test_a_request_over_asgi_is_handed_what_was_prepared_and_prepares_nothing(repository):
    endpoint = Echo("/echo/{name}", repository)
    app = FastAPI(routes=[Route(endpoint.path, endpoint, methods=["POST"])])
    app.add_middleware(BodyLimit, LIMITS.body_bytes)
    app.add_middleware(Observed, Telemetry(), RequestIds())
    for _ in range(3):
        assert post(app, "/echo/wine", b"anything").text == "prepared for wine"
    assert endpoint.calls == dict.fromkeys(repository, 1)


def test_only_a_model_of_numbers_alone_is_read_in_bulk(repository):
    endpoint = Predict("/predict", repository, LIMITS)
    read = {served.manifest.name: endpoint.prepared[served].bulk for served in repository}
    assert read["wine"] is not None
    assert read["gauge"] is None


def test_nothing_of_the_service_is_kept_by_the_number_of_an_object():
    """Another object may be given the number when the first is gone."""
    for path in Path(lockstep_service.__file__).parent.rglob("*.py"):
        calls = (
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        )
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "id" not in names, path.relative_to(ROOT)
