"""The plain dialect: instances in, predictions out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

import orjson

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import Manifest
from lockstep.engine.engine import Outputs
from lockstep_service.batching.answers import best_places
from lockstep_service.dialects.endpoint import Endpoint, EndpointDescription, Question
from lockstep_service.dialects.plain_schema import PredictRequest, PredictResponse
from lockstep_service.errors import BadRequest
from lockstep_service.forms.bulk import BulkReader
from lockstep_service.forms.json import jsonable, read_json
from lockstep_service.forms.negotiation import FORMS, accepted_form, check_type, form_of, write_form
from lockstep_service.forms.tensors import checked, features_of_instances
from lockstep_service.http.compression import pack
from lockstep_service.http.headers import Headers, timeout_s
from lockstep_service.http.responses import Answer, Body
from lockstep_service.repository.served import Served

PREDICT_PATHS = (
    "/predict",
    "/models/{name}/predict",
    "/models/{name}/versions/{version}/predict",
)


class Beginning(NamedTuple):
    """The constant parts of a model's answers, as JSON.

    Attributes:
        head: of every answer, up to the first prediction.
        labels: of a classification, the beginning of a row's prediction up to its probabilities,
            by class.
    """

    head: bytes
    labels: tuple[bytes, ...]

    @classmethod
    def of(cls, manifest: Manifest) -> Beginning:
        """The constant parts for the model of a manifest."""
        known: dict[str, Any] = {"model": manifest.name, "version": manifest.version}
        if manifest.task == "classification":
            known["classes"] = manifest.classes
        labels = (
            b'{"label":%b,"probabilities":' % orjson.dumps(label)
            for label in manifest.classes or ()
        )
        return cls(orjson.dumps(known)[:-1] + b',"predictions":[', tuple(labels))


class PlainPrepared(NamedTuple):
    """The plain dialect's data for a version.

    Attributes:
        manifest: of the version.
        bulk: reads rows of numbers; None if a column is not numeric or there are no columns.
        beginning: of the answers.
    """

    manifest: Manifest
    bulk: BulkReader | None
    beginning: Beginning


class Predict(Endpoint[PlainPrepared]):
    """``POST /predict``."""

    description = EndpointDescription(
        "Plain dialect", "predict", PredictRequest, PredictResponse, FORMS
    )

    def prepare(self, served: Served) -> PlainPrepared:
        """The bulk reader, and the beginning of the answers; see `Endpoint.prepare`."""
        manifest = served.manifest
        columns = manifest.columns
        numeric = bool(columns) and all(column.kind == "numeric" for column in columns)
        bulk = BulkReader(len(columns)) if numeric else None
        return PlainPrepared(manifest, bulk, Beginning.of(manifest))

    def check(self, headers: Headers) -> None:
        """Refuse a body in none of the forms; see `Endpoint.check`."""
        check_type(headers)

    def question(self, prepared: PlainPrepared, headers: Headers, body: Body) -> Question:
        """Read a request; see `Endpoint.question`."""
        manifest, bulk, beginning = prepared
        form = form_of(headers)
        if form is None:
            features = read_features(body, manifest, bulk)
        else:
            features = form.read(body, manifest)
        accepted, encodings = accepted_form(headers, manifest), headers.get(b"accept-encoding", b"")
        write: Callable[[Outputs], Answer]
        if accepted is None:
            write = partial(write_predictions, manifest, beginning, encodings)
        else:
            write = partial(write_form, *accepted, manifest, encodings)
        return Question(features, timeout_s(headers, self.limits.timeout_s), write)


def read_features(body: Body, manifest: Manifest, bulk: BulkReader | None) -> FeatureArray:
    """The features of a request: read in bulk where possible, else value by value.

    Args:
        body: JSON, decompressed.
        manifest: of the model.
        bulk: the bulk reader, if the model has one.

    Returns:
        float32 ``[n, ...]``, n ≥ 1.

    Raises:
        BadRequest: where the body is not a request of this dialect.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    if bulk is not None:
        features = bulk.read(body)
        if features is not None:
            return checked(features, manifest)
    return features_of_instances(read_instances(body), manifest)


def read_instances(body: Body) -> Any:
    """The instances of a request.

    Raises:
        BadRequest: where the body is not ``{"instances": ...}``.
    """
    request = read_json(body)
    if request.keys() != {"instances"}:
        keys = ", ".join(repr(key[:40]) for key in list(request)[:5]) or "none"
        raise BadRequest(f'Expected the one key "instances", got {keys}.')
    return request["instances"]


def write_predictions(
    manifest: Manifest, beginning: Beginning, encodings: bytes, answers: Outputs
) -> Answer:
    """The answer as JSON: float32 as the shortest decimal that reads back to the same bits.

    Args:
        manifest: of the model.
        beginning: of its answers.
        encodings: the request's ``Accept-Encoding``.
        answers: the outputs of a judged run.

    Raises:
        InvalidInstances: naming the instances whose answer is not finite.
    """
    best = best_places(answers)
    if manifest.task == "classification":
        labels = beginning.labels
        predictions = [
            b"%b%b}" % (labels[i], orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY))
            for i, row in zip(best, answers[0], strict=True)
        ]
    elif manifest.task == "regression":
        predictions = [
            b'{"prediction":%b}' % orjson.dumps(row[0], option=orjson.OPT_SERIALIZE_NUMPY)
            for row in answers[0]
        ]
    else:
        predictions = [
            orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
            for row in _plain_rows(manifest, answers)
        ]
    body, packed = pack(b"%b%b]}" % (beginning.head, b",".join(predictions)), encodings)
    return Answer(body, headers=packed)


def _plain_rows(manifest: Manifest, answers: Outputs) -> Iterable[Any]:
    """The rows of the only output as they are, or an object per row if there are several."""
    outputs = {
        output.name: jsonable(rows) for output, rows in zip(manifest.outputs, answers, strict=False)
    }
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    return [dict(zip(outputs, row, strict=True)) for row in zip(*outputs.values(), strict=True)]
