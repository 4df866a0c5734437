"""Tensors: the values of a request as float32 ``[n, ...]``, checked against the manifest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import chain, islice
from typing import Any

import numpy as np

from lockstep.artifact.columns import FeatureArray
from lockstep.artifact.encoding import check_features, check_finite, encode, encode_nested
from lockstep.artifact.manifest import Manifest
from lockstep.errors import MOST_PROBLEMS, InvalidInstances, InvalidValue
from lockstep_service.errors import BadRequest

JSON_VALUES = frozenset({int, float, type(None)})
VALUES_AT_ONCE = 2**16


def features_of_instances(instances: Any, manifest: Manifest) -> FeatureArray:
    """Features of the plain dialect's instances.

    Args:
        instances: the parsed JSON: a list of instances.
        manifest: of the model.

    Returns:
        float32 ``[n, ...]``.

    Raises:
        BadRequest: where the instances are not a list.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    if not isinstance(instances, list):
        raise BadRequest('Expected "instances" to be a list of rows, got another type.')
    if manifest.columns:
        return encode(instances, manifest.columns)
    return encode_nested(instances, manifest.instance_shape)


def features_of_tensor(data: Any, shape: Sequence[int], manifest: Manifest) -> FeatureArray:
    """Features of a JSON tensor, nested or flat, in row-major order.

    Args:
        data: nested lists of the given shape, or one flat list.
        shape: as the request states it; it must be the manifest's.
        manifest: of the model.

    Returns:
        float32 of the given shape, ``[n, ...]``.

    Raises:
        BadRequest: where data and shape contradict each other or the manifest.
        InvalidInstances: naming the instance and the column that is wrong.
    """
    check_shape(shape, manifest)
    if not isinstance(data, list):
        raise BadRequest(
            f'Expected "data" of {manifest.inputs[0].name} to be a list, got another type.'
        )
    flat = _flatten(data, shape) if data and isinstance(data[0], list) else data
    size = math.prod(shape)
    if len(flat) != size:
        raise BadRequest(
            f"Expected {size} values for the shape {list(shape)}, got {len(flat)}; data is "
            f"row-major, nested or flat."
        )
    _check_types(flat, manifest)
    with np.errstate(over="ignore"):  # too large for float32: becomes infinite, which is refused
        features = np.array(flat, np.float64).astype(np.float32).reshape(shape)
    return checked(features, manifest)


def check_shape(shape: Sequence[int], manifest: Manifest) -> None:
    """Check a tensor's shape against the manifest.

    Raises:
        BadRequest: where the shape differs, or has no rows.
    """
    wanted = manifest.instance_shape
    if len(shape) != len(wanted) + 1 or tuple(shape[1:]) != wanted or shape[0] < 1:
        expected = ", ".join(["n", *map(str, wanted)])
        raise BadRequest(
            f"Expected {manifest.inputs[0].name} to have the shape [{expected}] with n ≥ 1, got "
            f"{list(shape)}."
        )


def checked(features: FeatureArray, manifest: Manifest) -> FeatureArray:
    """Check features against the manifest, and return them unchanged.

    Args:
        features: float32 ``[n, ...]``.
        manifest: of the model.

    Raises:
        InvalidInstances: naming the instance and the column that is wrong.
    """
    if manifest.all_numeric and is_finite(features):
        return features  # nothing else to check; the checks below find what is wrong
    if manifest.columns:
        check_features(features, manifest.columns)
    else:
        check_finite(features)
    return features


def is_finite(features: FeatureArray) -> bool:
    """Whether all features are finite.

    One row is checked by its product with zeros: zero times NaN or infinity is NaN, and a sum with
    NaN is NaN. Several rows are checked in parts, so that the result of `isfinite` stays in the
    processor's cache.
    """
    values = features.reshape(-1)
    if len(features) == 1:
        return bool(np.dot(values, zeros(len(values))) == 0)
    places = range(0, len(values), VALUES_AT_ONCE)
    return all(np.isfinite(values[i : i + VALUES_AT_ONCE]).all() for i in places)


@cache
def zeros(size: int) -> FeatureArray:
    """A read-only float32 array ``[size]`` of zeros, which all callers share."""
    array = np.zeros(size, np.float32)
    array.flags.writeable = False
    return array


def _flatten(data: list[Any], shape: Sequence[int]) -> list[Any]:
    """Flatten nested lists of exactly the given shape."""
    level: list[Any] = [data]
    for axis, size in enumerate(shape):
        for i, part in enumerate(level):
            if not isinstance(part, list) or len(part) != size:
                row = f"instance {i // math.prod(shape[1:axis])}: " if axis else ""
                got = f"a list of {len(part)}" if isinstance(part, list) else "no list"
                raise BadRequest(
                    f"{row}expected nested lists of shape {list(shape)}, or one flat list of "
                    f"{math.prod(shape)} values; got {got} where {size} belong."
                )
        level = list(chain.from_iterable(level))
    return level


def _check_types(flat: list[Any], manifest: Manifest) -> None:
    if JSON_VALUES.issuperset(map(type, flat)):
        return
    width = math.prod(manifest.instance_shape)
    names = [column.name for column in manifest.columns]
    wrong = (
        InvalidValue(
            i // width,
            names[i % width] if names else None,
            f"expected a number, got {_kind(value)}",
        )
        for i, value in enumerate(flat)
        if type(value) not in JSON_VALUES
    )
    raise InvalidInstances(list(islice(wrong, MOST_PROBLEMS)))


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return {bool: "a boolean", list: "a list", dict: "an object"}.get(type(value), "another type")
