"""The description says what the service does, and the page asks no other host."""

import re
from importlib import resources

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from lockstep.artifact.folder import open_artifact
from lockstep_service.dialects.oip.infer import INFER_PATHS
from lockstep_service.dialects.plain import PREDICT_PATHS as PATHS
from lockstep_service.forms.negotiation import FORMS
from serving import ask


@pytest.fixture(scope="module")
def description(app):
    return ask(app, "GET", "/openapi.json").json()


@pytest.fixture(scope="module")
def described(app):
    async def living_on(scope, receive, send):
        """The application without its end, which each request here would bring about."""
        if scope["type"] == "http":
            await app(scope, receive, send)

    return schemathesis.openapi.from_asgi("/openapi.json", living_on)


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_description_is_of_openapi_3_1_and_every_reference_leads_somewhere(description):
    assert description["openapi"].startswith("3.1")
    assert description["info"]["title"] == "Lockstep"
    found = set(references(description))
    assert len(found) > 10
    for reference in found:
        node = description
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_route_is_described_but_those_for_people_and_machines(app, description):
    undescribed = {"/", "/openapi.json", "/docs", "/metrics"}
    described = {
        (path, method.upper())
        for path, methods in description["paths"].items()
        for method in methods
    }
    served = set()
    for route in all_routes(app.routes):
        if route.path not in undescribed and not route.path.startswith("/assets/"):
            served |= {(route.path, method) for method in route.methods - {"HEAD"}}
    assert len(served) == 12
    assert described == served


def all_routes(routes):
    """Routes, those of included routers too."""
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from [route] if included is None else all_routes(included.routes)


def test_every_operation_has_an_id_of_its_own_and_says_what_a_problem_looks_like(description):
    operations = [o for methods in description["paths"].values() for o in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    for operation in operations:
        assert operation["summary"]
        assert operation["responses"]["default"]["content"] == problem
        assert "422" not in operation["responses"]
    body = description["components"]["schemas"]["ProblemBody"]
    assert set(body["properties"]) == {"error", "code", "request_id"}


def test_the_page_and_its_assets_come_from_this_host(app):
    page = ask(app, "GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    assert len(addresses) == 3
    assert "//" not in page.text.replace("// ", "")
    for address in addresses:
        answer = ask(app, "GET", f"/{address}")
        assert answer.status_code == 200
        assert len(answer.content) > 500


def test_the_style_sheet_asks_no_other_host():
    style = resources.files("fastapi_swagger.resources").joinpath("swagger-ui.css").read_text()
    assert not re.search(r"(?:@import|url\()\s*['\"]?https?:", style)


OPERATIONS = [
    (method, path)
    for method, paths in {
        "GET": [
            "/v2",
            "/v2/models/{name}",
            "/v2/models/{name}/versions/{version}",
            "/v2/models/{name}/versions/{version}/ready",
        ],
        "POST": [*PATHS, *INFER_PATHS],
    }.items()
    for path in paths
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("known", [True, False], ids=["a known model", "any name"])
def test_what_is_answered_is_what_is_described(described, method, path, known):
    """Requests made from the description, valid and not: no answer that it does not hold."""

    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=described[path][method].as_strategy())
    def ask_and_compare(case):
        if known and case.path_parameters:
            names = {"name": "wine", "version": "1"}
            case.path_parameters = {name: names[name] for name in case.path_parameters}
        # How wide a row is, only the model knows; so a valid request may well be refused.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask_and_compare()


def test_the_page_for_people_says_what_is_served_and_needs_no_other_host(app, artifact):
    answer = ask(app, "GET", "/")
    assert answer.status_code == 200
    assert open_artifact(artifact).digest[:12] in answer.text
    assert "256 of 256 batch sizes" in answer.text
    assert "://" not in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_every_form_of_the_plain_dialect_is_described_both_ways(description, path):
    operation = description["paths"][path]["post"]
    forms = {"application/json", *(kind.decode() for kind in FORMS)}
    assert operation["requestBody"]["content"].keys() == forms
    assert operation["responses"]["200"]["content"].keys() == forms
