"""Encoding: from raw values to the float32 that the network sees, in one place.

The service and `lockstep predict` call :func:`encode` for rows of raw values. Tensors pass the
same checks.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.artifact.columns import TRUTHS, Column, FeatureArray
from lockstep.errors import MOST_PROBLEMS, SHOWN_PROBLEMS, InvalidInstances, InvalidValue
from lockstep.spelling import nearest_word

NUMBER_TYPES = frozenset({int, float})

# Finding a similar word takes time, and a request may be wrong in a million places.
HINTED_WORD_LENGTH = 64
HINTED_VOCABULARY = 1000


def encode(instances: Sequence[Any], columns: Sequence[Column]) -> FeatureArray:
    """Turn raw instances into the features that the network sees.

    Args:
        instances: ``n`` rows, each a list of values in column order or an object by column name.
            A category is its string, or the whole number that the string spells; surrounding
            blanks are ignored. A boolean is true or false, 1 or 0, or one of the words in
            ``TRUTHS``. None, and a string among the column's ``missing_words``, is missing.
        columns: the ``d`` columns.

    Returns:
        float32 ``[n, d]``, finite except for NaN where a value is missing.

    Raises:
        InvalidInstances: naming each instance and column that is wrong.
    """
    if not instances:
        raise InvalidInstances([InvalidValue(0, None, "expected at least one instance, got none")])
    features = _encode_plain(instances, columns)
    if features is None:
        features = _encode_each(instances, columns)
    check_features(features, columns)
    return features


def _encode_plain(instances: Sequence[Any], columns: Sequence[Column]) -> FeatureArray | None:
    """The common case, without a Python step per value: lists of numbers without categories."""
    width = len(columns)
    if any(type(row) is not list or len(row) != width for row in instances):
        return None
    if any(column.kind == "categorical" for column in columns):
        return None
    if not NUMBER_TYPES.issuperset(map(type, chain.from_iterable(instances))):
        return None
    try:
        flat = np.fromiter(chain.from_iterable(instances), np.float64, len(instances) * width)
    except OverflowError:  # an integer beyond float64: `_encode_each` reports it
        return None
    return _to_float32(flat).reshape(len(instances), width)


def _to_float32(values: NDArray[np.float64]) -> FeatureArray:
    with np.errstate(over="ignore"):  # values beyond float32 are refused later as infinite
        return values.astype(np.float32)


def _encode_each(instances: Sequence[Any], columns: Sequence[Column]) -> FeatureArray:
    problems: list[InvalidValue] = []
    features = np.zeros((len(instances), len(columns)), np.float64)
    for i, instance in enumerate(instances):
        if len(problems) >= MOST_PROBLEMS:
            break
        values = _values(i, instance, columns, problems)
        for j, value in enumerate(values):
            try:
                features[i, j] = _encode_value(value, columns[j])
            except _UnknownCategory as error:
                hint = _did_you_mean(error.word, columns[j].codes, problems)
                problems.append(InvalidValue(i, columns[j].name, f"{error}{hint}"))
            except ValueError as error:
                problems.append(InvalidValue(i, columns[j].name, str(error)))
    if problems:
        raise InvalidInstances(problems[:MOST_PROBLEMS])
    return _to_float32(features)


def _values(
    index: int, instance: Any, columns: Sequence[Column], problems: list[InvalidValue]
) -> Sequence[Any]:
    """The values of one instance in column order; empty if its shape is wrong."""
    if isinstance(instance, Mapping):
        return _values_by_name(index, instance, columns, problems)
    if not isinstance(instance, list | tuple):
        message = (
            f"expected a list of {len(columns)} values or an object by column name, "
            f"got {_show(instance)}"
        )
        problems.append(InvalidValue(index, None, message))
        return ()
    if len(instance) != len(columns):
        message = f"expected {len(columns)} values, got {len(instance)}"
        problems.append(InvalidValue(index, None, message))
        return ()
    return instance


def _values_by_name(
    index: int,
    instance: Mapping[Any, Any],
    columns: Sequence[Column],
    problems: list[InvalidValue],
) -> Sequence[Any]:
    names = [column.name for column in columns]
    known = set(names)
    strange = (str(key)[:HINTED_WORD_LENGTH] for key in instance if key not in known)
    unknown = list(islice(strange, MOST_PROBLEMS))
    for key in unknown:
        hint = _did_you_mean(key, names, problems) or ", leave it out"
        problems.append(InvalidValue(index, key, f"there is no such column{hint}"))
    absent = [name for name in names if name not in instance]
    problems.extend(
        InvalidValue(index, name, "the column is not there; send a value for it") for name in absent
    )
    return () if unknown or absent else [instance[name] for name in names]


def _encode_value(value: Any, column: Column) -> float:
    if isinstance(value, str):
        code = column.codes.get(value)
        if code is not None:
            return code
        if value.strip() in column.missing_words:
            return math.nan
    if value is None:
        return math.nan
    if column.kind == "numeric":
        return _number(value)
    if isinstance(value, float) and math.isnan(value):
        return math.nan
    return _truth(value) if column.kind == "boolean" else _code(value, column)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise ValueError(f"expected a number, got {_show(value)}")  # noqa: TRY004 - caught as one
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _truth(value: Any) -> float:
    if isinstance(value, str):
        truth = TRUTHS.get(value.strip().lower())
    else:
        truth = bool(value) if isinstance(value, int | float) and value in (0, 1) else None
    if truth is None:
        raise ValueError(f"expected true or false, got {_show(value)}")
    return float(truth)


def _code(value: Any, column: Column) -> int:
    codes = column.codes
    word = _word(value, codes)
    code = codes.get(word.strip())
    if code is not None:
        return code
    if column.unknown_allowed:
        return len(codes)
    raise _UnknownCategory(word, codes)


def _word(value: Any, codes: Collection[str]) -> str:
    """The string of a category. A number is one only if the categories are numbers."""
    match value:
        case str():
            return value
        case bool():
            word = "true" if value else "false"
        case int():
            word = str(value)
        case float() if value.is_integer():
            word = str(int(value))
        case _:
            word = ""
    numbered = any(known.lstrip("-").isdecimal() for known in codes)
    if word in codes or (word and numbered and not isinstance(value, bool)):
        return word
    raise ValueError(f"expected a category as a string, got {_show(value)}")


class _UnknownCategory(ValueError):
    """A word is not in the vocabulary."""

    def __init__(self, word: str, codes: Mapping[str, int]) -> None:
        super().__init__(f"expected one of {len(codes)} categories, got {_show(word)}")
        self.word = word


def _did_you_mean(word: str, known: Collection[str], problems: Sequence[InvalidValue]) -> str:
    """A hint with the nearest known word, for the few problems that are shown."""
    if len(problems) >= SHOWN_PROBLEMS or len(known) > HINTED_VOCABULARY:
        return ""
    near = nearest_word(word[:HINTED_WORD_LENGTH], known)
    return f", did you mean {near!r}?" if near is not None else ""


def check_features(features: FeatureArray, columns: Sequence[Column]) -> None:
    """Refuse features that the network was not trained for.

    Args:
        features: float32 ``[n, d]``.
        columns: the ``d`` columns.

    Raises:
        InvalidInstances: for an infinity; for a NaN where nothing was missing in training; or for
            a code that is not a whole number from 0 to the column's largest code (1 for a boolean;
            one more than the vocabulary's last where an unseen category is allowed).
    """
    if np.isfinite(features).all() and all(column.kind == "numeric" for column in columns):
        return
    wrong = np.isinf(features)
    refusing = np.array([not column.missing_allowed for column in columns])
    wrong |= np.isnan(features) & refusing
    for j, column in enumerate(columns):
        if column.kind != "numeric":
            code = features[:, j]
            whole = (code == np.floor(code)) & (code >= 0) & (code <= column.largest_code)
            wrong[:, j] |= ~whole & ~np.isnan(code)
    if wrong.any():
        places = zip(*(axis[:MOST_PROBLEMS] for axis in np.nonzero(wrong)), strict=True)
        raise InvalidInstances(
            [
                InvalidValue(int(i), columns[j].name, _wrong(features[i, j], columns[j]))
                for i, j in places
            ]
        )


def _wrong(value: np.float32, column: Column) -> str:
    if np.isnan(value):
        return "expected a value, got none (null or NaN); it was never missing in training"
    if np.isinf(value):
        return "expected a number that float32 can hold, got one beyond ±3.4e38 or an infinity"
    if column.kind == "boolean":
        return f"expected 0 or 1, got {value:g}"
    last = f"{column.largest_code}{' (never seen)' if column.unknown_allowed else ''}"
    return f"expected the code of a category, a whole number from 0 to {last}, got {value:g}"


def encode_nested(instances: Sequence[Any], shape: Sequence[int]) -> FeatureArray:
    """Turn nested lists into a tensor, for networks whose input has no columns (images).

    Args:
        instances: ``n`` instances, each nested lists of numbers of the given shape.
        shape: the shape of one instance.

    Returns:
        float32 ``[n, *shape]``, finite.

    Raises:
        InvalidInstances: for a wrong shape, a value that is not a number, NaN, or an infinity.
    """
    if not instances:
        raise InvalidInstances([InvalidValue(0, None, "expected at least one instance, got none")])
    problems: list[InvalidValue] = []
    rows: list[list[float]] = []
    for i, instance in enumerate(instances):
        try:
            rows.append(_flatten(instance, list(shape)))
        except ValueError as error:
            problems.append(InvalidValue(i, None, str(error)))
            if len(problems) >= MOST_PROBLEMS:
                break
    if problems:
        raise InvalidInstances(problems)
    features = _to_float32(np.array(rows, np.float64)).reshape(len(rows), *shape)
    check_finite(features)
    return features


def check_finite(features: FeatureArray) -> None:
    """Refuse NaN and infinity, for networks whose input has no columns.

    Raises:
        InvalidInstances: naming the instances that hold one.
    """
    finite = np.isfinite(features).reshape(len(features), -1).all(axis=1)
    if not finite.all():
        message = "expected numbers that float32 can hold, got NaN or an infinity"
        wrong = np.flatnonzero(~finite)[:MOST_PROBLEMS]
        raise InvalidInstances([InvalidValue(int(i), None, message) for i in wrong])


def _flatten(value: Any, shape: list[int]) -> list[float]:
    if not shape:
        return [_number(value)]
    if not isinstance(value, list):
        raise ValueError(  # noqa: TRY004 - caught as one
            f"expected nested lists of shape {shape}, got {_show(value)}"
        )
    if len(value) != shape[0]:
        raise ValueError(f"expected a list of {shape[0]}, got one of {len(value)}")
    return list(chain.from_iterable(_flatten(item, shape[1:]) for item in value))


def _show(value: Any) -> str:
    """A value as text for a message, shortened."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the string {value[:40]!r}"
        case list() | tuple():
            return f"a list of {len(value)}"
        case Mapping():
            return "an object"
        case _:
            return f"{value!r}"[:40]
