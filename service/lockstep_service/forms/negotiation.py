"""Negotiation: the forms of the plain dialect, chosen by Content-Type and Accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.manifest import Manifest
from lockstep.engine.engine import Outputs
from lockstep_service.errors import UnsupportedMediaType
from lockstep_service.forms.arrow.table import ARROW_TYPE, read_columns, write_columns
from lockstep_service.forms.npy import NPY_TYPE, check_writable, read_array, write_array
from lockstep_service.http.compression import pack
from lockstep_service.http.headers import JSON_TYPES, Headers
from lockstep_service.http.responses import JSON, Answer, Body

CONTENT_TYPE = b"content-type"
JSON_TYPE = JSON[1]
# Values of Accept that mean JSON and need not be parsed.
JSON_ACCEPTED = frozenset({None, b"*/*", JSON_TYPE})


class Form(NamedTuple):
    """A form other than JSON.

    Attributes:
        about: its description; ``{of_what}`` is replaced by "of the rows" or "of the answers".
        read: converts a body to features, float32 ``[n, ...]``.
        write: converts the outputs of a judged run to the body of an answer.
        check: raises BadRequest for a network whose answers the form cannot hold.
    """

    about: str
    read: Callable[[Body, Manifest], FeatureArray]
    write: Callable[[Manifest, Outputs], bytes]
    check: Callable[[Manifest], None] = lambda _: None


FORMS = {
    NPY_TYPE: Form(
        "One .npy array {of_what}; a category is its code, NaN is missing.",
        read_array,
        write_array,
        check_writable,
    ),
    ARROW_TYPE: Form(
        "An Arrow IPC stream {of_what}, to its end-of-stream marker: raw values by column; null is "
        "missing.",
        read_columns,
        write_columns,
    ),
}


def check_type(headers: Headers) -> None:
    """Refuse a body whose content type is none of the forms; without a content type it is JSON.

    Args:
        headers: by their lower-case names.

    Raises:
        UnsupportedMediaType: naming the forms.
    """
    given = headers.get(CONTENT_TYPE, JSON_TYPE)
    if given != JSON_TYPE and form_of(headers) is None and not JSON_TYPES.fullmatch(given):
        others = " or ".join(kind.decode() for kind in FORMS)
        raise UnsupportedMediaType(
            f"Expected a body of type application/json, {others}, got "
            f"{given.decode('latin-1')[:64]!r}."
        )


def form_of(headers: Headers) -> Form | None:
    """The form of a request's body; None for JSON."""
    given = headers.get(CONTENT_TYPE, JSON_TYPE)
    if given == JSON_TYPE:
        return None
    return FORMS.get(given) or FORMS.get(_media_type(given))


def accepted_form(headers: Headers, manifest: Manifest) -> tuple[bytes, Form] | None:
    """The form that a request accepts for its answer; None for JSON.

    The form with the highest quality value wins; among equals, the first one. If the request
    accepts none of the forms, the answer is JSON.

    Args:
        headers: by their lower-case names.
        manifest: of the model.

    Returns:
        The content type and the form.

    Raises:
        BadRequest: where the form cannot hold the network's answers.
    """
    accepted = headers.get(b"accept")
    if accepted in JSON_ACCEPTED:
        return None
    ranges = [_quality(part) for part in (accepted or b"").split(b",")]
    known = [(quality, kind) for quality, kind in ranges if quality and kind in (JSON_TYPE, *FORMS)]
    kind = max(known, key=lambda item: item[0], default=(0.0, JSON_TYPE))[1]
    if kind == JSON_TYPE:
        return None
    FORMS[kind].check(manifest)
    return kind, FORMS[kind]


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()


def _quality(part: bytes) -> tuple[float, bytes]:
    """The quality value of a media range, 1 if it has none, and its media type."""
    for parameter in part.split(b";")[1:]:
        name, _, value = parameter.partition(b"=")
        if name.strip().lower() == b"q":
            try:
                return float(value), _media_type(part)
            except ValueError:  # not a number: ignored
                break
    return 1.0, _media_type(part)


def write_form(
    kind: bytes, form: Form, manifest: Manifest, encodings: bytes, answers: Outputs
) -> Answer:
    """The answer in a form other than JSON.

    Args:
        kind: its content type.
        form: of the answer.
        manifest: of the model.
        encodings: the request's ``Accept-Encoding``.
        answers: the outputs of a judged run.

    Raises:
        InvalidInstances: naming the instances whose answer is not finite.
    """
    body, packed = pack(form.write(manifest, answers), encodings)
    return Answer(body, (CONTENT_TYPE, kind), packed)
