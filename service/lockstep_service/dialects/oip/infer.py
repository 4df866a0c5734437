"""Inference by the Open Inference Protocol, version 2, over REST."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import Manifest, first_problem
from lockstep.engine.engine import Outputs
from lockstep_service.batching.answers import best_places
from lockstep_service.dialects.endpoint import Endpoint, EndpointDescription, Question
from lockstep_service.dialects.oip.binary import (
    HEADER_LENGTH,
    OCTETS,
    read_raw,
    read_tensor,
    split,
    to_bytes,
)
from lockstep_service.dialects.oip.columns import are_columns, features_of_columns
from lockstep_service.dialects.oip.schema import (
    InferRequest,
    InferResponse,
    InputTensor,
    Parameters,
)
from lockstep_service.errors import BadRequest
from lockstep_service.forms.json import jsonable, read_json
from lockstep_service.forms.tensors import features_of_tensor
from lockstep_service.http.compression import pack
from lockstep_service.http.headers import Headers, check_json, timeout_s
from lockstep_service.http.responses import Answer, Body
from lockstep_service.repository.served import Served

INFER_PATHS = (
    "/v2/models/{name}/infer",
    "/v2/models/{name}/versions/{version}/infer",
)


class WantedOutput(NamedTuple):
    """An output that a request asks for.

    Attributes:
        place: its index among the manifest's outputs.
        binary: whether it is sent as bytes.
    """

    place: int
    binary: bool


# The request of a raw body, which has no JSON header: one input, and all outputs as bytes.
RAW_REQUEST = InferRequest.model_construct(
    inputs=[], parameters=Parameters.model_validate({"binary_data_output": True})
)


class Infer(Endpoint[Manifest]):
    """``POST /v2/models/{name}/infer``."""

    description = EndpointDescription(
        "Open Inference Protocol", "infer", InferRequest, InferResponse
    )

    def prepare(self, served: Served) -> Manifest:
        """The manifest of the version; see `Endpoint.prepare`."""
        return served.manifest

    def check(self, headers: Headers) -> None:
        """Refuse a body that is neither JSON nor binary tensors; see `Endpoint.check`."""
        if HEADER_LENGTH not in headers:
            check_json(headers)

    def question(self, prepared: Manifest, headers: Headers, body: Body) -> Question:
        """Read a request; see `Endpoint.question`."""
        request, features = _read(body, headers.get(HEADER_LENGTH), prepared)
        wanted = _wanted(request, prepared)
        accepted = headers.get(b"accept-encoding", b"")
        return Question(
            features,
            self._timeout_s(request, headers),
            partial(_write, request, prepared, wanted, accepted),
        )

    def _timeout_s(self, request: InferRequest, headers: Headers) -> float:
        if request.parameters and request.parameters.timeout:
            return request.parameters.timeout / 1e6
        return timeout_s(headers, self.limits.timeout_s)


def _read(
    body: Body, length: bytes | None, manifest: Manifest
) -> tuple[InferRequest, FeatureArray]:
    """The request and its features, from JSON, a JSON header with bytes, or bytes alone."""
    if length == b"0":
        return RAW_REQUEST, read_raw(body, manifest)
    header, behind = (body, memoryview(b"")) if length is None else split(body, length)
    request = read_request(header)
    if are_columns(request.inputs, manifest):
        return request, features_of_columns(request.inputs, behind, manifest)
    return request, _features(request.inputs[0], behind, manifest)


def read_request(body: Body) -> InferRequest:
    """Read the JSON of a request.

    Raises:
        BadRequest: where the body is not JSON, or not a request of the protocol.
    """
    try:
        return InferRequest.model_validate(read_json(body))
    except ValidationError as error:
        raise BadRequest(
            f"The body is no request of the Open Inference Protocol: {first_problem(error)}."
        ) from error


def _features(tensor: InputTensor, behind: memoryview, manifest: Manifest) -> FeatureArray:
    wanted = manifest.inputs[0]
    if tensor.name != wanted.name:
        raise BadRequest(f"Expected the input {wanted.name!r}, got {tensor.name[:64]!r}.")
    if tensor.datatype != wanted.datatype:
        raise BadRequest(
            f"Expected {wanted.name} to be of datatype {wanted.datatype}, got "
            f"{tensor.datatype[:20]!r}."
        )
    if tensor.parameters and "binary_data_size" in tensor.parameters:
        if tensor.data is not None:
            raise BadRequest(
                f'Expected {wanted.name} as "data" or as binary_data_size bytes, got both.'
            )
        return read_tensor(behind, tensor.parameters["binary_data_size"], tensor.shape, manifest)
    if len(behind):
        raise BadRequest(
            f"Expected nothing behind the JSON header, got {len(behind)} bytes; name them with the "
            f"parameter binary_data_size of {wanted.name}."
        )
    return features_of_tensor(tensor.data, tensor.shape, manifest)


def _wanted(request: InferRequest, manifest: Manifest) -> list[WantedOutput]:
    """The outputs that the request asks for; all if it names none."""
    names = [output.name for output in manifest.outputs]
    parameters = request.parameters.model_extra if request.parameters else None
    everywhere = bool((parameters or {}).get("binary_data_output", False))
    if not request.outputs:
        return [WantedOutput(i, everywhere) for i in range(len(names))]
    wanted = []
    for output in request.outputs:
        if output.name not in names:
            raise BadRequest(
                f"There is no output {output.name[:64]!r}; ask for {', '.join(names)}."
            )
        binary = bool((output.parameters or {}).get("binary_data", everywhere))
        wanted.append(WantedOutput(names.index(output.name), binary))
    return wanted


def _write(
    request: InferRequest,
    manifest: Manifest,
    wanted: list[WantedOutput],
    accepted: bytes,
    answers: Outputs,
) -> Answer:
    """The answer: JSON, followed by the bytes of the binary outputs."""
    best_places(answers)  # refuses answers that are not finite
    tensors: list[bytes] = []
    outputs: list[dict[str, Any]] = []
    for place, binary in wanted:
        tensor, rows = manifest.outputs[place], answers[place]
        output: dict[str, Any] = {
            "name": tensor.name,
            "shape": rows.shape,
            "datatype": tensor.datatype,
        }
        if binary:
            tensors.append(to_bytes(rows))
            output["parameters"] = {"binary_data_size": len(tensors[-1])}
        else:
            output["data"] = jsonable(rows.reshape(-1))
        outputs.append(output)
    answer: dict[str, Any] = {
        "model_name": manifest.name,
        "model_version": str(manifest.version),
    }
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = outputs
    header = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    body, packed = pack(b"".join((header, *tensors)), accepted)
    if not tensors:
        return Answer(body, headers=packed)
    return Answer(body, OCTETS, ((HEADER_LENGTH, str(len(header)).encode()), *packed))
