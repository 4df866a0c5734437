"""A tensor for each column, by the Open Inference Protocol."""

import json

import numpy as np
import pytest

from lockstep_service.dialects.oip.columns import DTYPES
from serving import ask, assert_problem, post

INFER = "/v2/models/gauge/infer"
LENGTH = "inference-header-content-length"


def tensor(name, data, datatype="FP32", **changes):
    return {"name": name, "shape": [len(data), 1], "datatype": datatype, "data": data, **changes}


LEVEL = tensor("level", [1.5, None])
COLOUR = tensor("colour", ["red", "green"], "BYTES")


def answered(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"]


def send_bytes(app, *tensors):
    """Each given as name, datatype, rows, bytes and the size that is said of them."""
    inputs = [
        {
            "name": name,
            "shape": [rows],
            "datatype": datatype,
            "parameters": {"binary_data_size": size},
        }
        for name, datatype, rows, _, size in tensors
    ]
    header = json.dumps({"id": "7", "inputs": inputs}).encode()
    body = header + b"".join(data for *_, data, _ in tensors)
    return ask(app, "POST", INFER, content=body, headers={LENGTH: str(len(header))})


def words(*texts):
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


@pytest.mark.parametrize("inputs", [[LEVEL, COLOUR], [COLOUR, LEVEL]])
def test_columns_are_found_by_name(several, inputs):
    assert answered(post(several, INFER, {"inputs": inputs})) == [101.5, 207.0]


@pytest.mark.parametrize(
    "changes", [{"data": [[1.5], [None]]}, {"shape": [2]}, {"shape": [2], "data": [[1.5], [None]]}]
)
def test_a_column_may_be_nested_or_flat(several, changes):
    inputs = [{**LEVEL, **changes}, COLOUR]
    assert answered(post(several, INFER, {"inputs": inputs})) == [101.5, 207.0]


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "BOOL"])
def test_every_datatype_of_numbers_travels_as_bytes(several, datatype):
    numbers = np.array([1, 2], DTYPES[datatype]).tobytes()
    colours = words(b"red", b"green")
    answer = send_bytes(
        several,
        ("level", datatype, 2, numbers, len(numbers)),
        ("colour", "BYTES", 2, colours, len(colours)),
    )
    assert answered(answer) == [101.0, 202.0]
    assert answer.json()["id"] == "7"


def test_nan_is_missing_and_a_column_may_be_json_beside_bytes(several):
    numbers = np.array([np.nan, 2], "<f4").tobytes()
    level = {
        "name": "level",
        "shape": [2, 1],
        "datatype": "FP32",
        "parameters": {"binary_data_size": 8},
    }
    header = json.dumps({"inputs": [COLOUR, level]}).encode()
    headers = {LENGTH: str(len(header))}
    answer = ask(several, "POST", INFER, content=header + numbers, headers=headers)
    assert answered(answer) == [107.0, 202.0]


def test_booleans_are_no_numbers(several):
    colours = words(b"red")
    answer = send_bytes(
        several, ("level", "BOOL", 1, b"\x02", 1), ("colour", "BYTES", 1, colours, 7)
    )
    assert_problem(answer, 400, "instance 0, column level: expected a number, got true")


BAD_COLUMNS = {
    "one is absent": ([LEVEL], "column colour"),
    "one is unknown": ([LEVEL, COLOUR, tensor("color", [1, 2])], "column color"),
    "one is there twice": ([LEVEL, LEVEL, COLOUR], "'level' 2 times"),
    "of other rows": ([LEVEL, tensor("colour", ["red"], "BYTES")], "'colour' to have the shape"),
    "of two columns": ([{**LEVEL, "shape": [2, 2]}, COLOUR], "'level' to have the shape"),
    "of no rows": ([tensor("level", []), tensor("colour", [], "BYTES")], "n ≥ 1"),
    "of no shape": ([{**LEVEL, "shape": []}, COLOUR], "'level' to have the shape"),
    "fewer values": ([{**LEVEL, "data": [1.5]}, COLOUR], "2 values, got 1"),
    "no values": ([{**LEVEL, "data": None}, COLOUR], "got no list"),
    "another datatype": ([{**LEVEL, "datatype": "FP128"}, COLOUR], "'FP128'"),
    "text for a number": ([{**LEVEL, "data": ["a", 1]}, COLOUR], "got the string 'a'"),
    "a number for text": ([LEVEL, {**COLOUR, "data": ["red", 2]}], "category as a string"),
    "bytes that are not there": (
        [{**LEVEL, "data": None, "parameters": {"binary_data_size": 8}}, COLOUR],
        "binary_data_size",
    ),
    "both bytes and data": ([{**LEVEL, "parameters": {"binary_data_size": 0}}, COLOUR], "data"),
}


@pytest.mark.parametrize("bad", BAD_COLUMNS)
def test_columns_that_are_wrong_are_refused(several, bad):
    inputs, sentence = BAD_COLUMNS[bad]
    assert_problem(post(several, INFER, {"inputs": inputs}), 400, sentence)


GOOD = words(b"red", b"green")
BAD_WORDS = {
    "cut short": GOOD[:-1],
    "a length alone": words(b"red") + b"\x05\x00\x00\x00",
    "half a length": words(b"red") + b"\x05",
    "a length beyond": words(b"red") + b"\xff\xff\xff\xff" + b"green",
    "one too many": GOOD + words(b"off"),
    "one too few": words(b"red"),
    "nothing": b"",
    "not UTF-8": words(b"red", b"\xff"),
}


@pytest.mark.parametrize("bad", BAD_WORDS)
def test_strings_that_do_not_fill_their_bytes_are_refused(several, bad):
    data = BAD_WORDS[bad]
    level = np.zeros(2, "<f4").tobytes()
    answer = send_bytes(
        several, ("colour", "BYTES", 2, data, len(data)), ("level", "FP32", 2, level, 8)
    )
    assert_problem(answer, 400, "strings of 'colour'")


@pytest.mark.parametrize("size", [-1, 7, 9, 10**30, "8", True, 1.5])
def test_a_size_that_is_none_is_refused(several, size):
    level = np.zeros(2, "<f4").tobytes()
    answer = send_bytes(
        several, ("colour", "BYTES", 2, GOOD, len(GOOD)), ("level", "FP32", 2, level, size)
    )
    assert_problem(answer, 400, "'level'")


def test_bytes_behind_the_last_column_are_refused(several):
    level = np.zeros(2, "<f4").tobytes() + b"more"
    answer = send_bytes(
        several, ("colour", "BYTES", 2, GOOD, len(GOOD)), ("level", "FP32", 2, level, 8)
    )
    assert_problem(answer, 400, "behind the last tensor", "4")


def test_a_network_without_columns_takes_one_tensor(several):
    image = tensor("image", [[[1, 2, 3], [4, 9, 5]]], shape=[1, 2, 3])
    answer = post(several, "/v2/models/pair/infer", {"inputs": [image, LEVEL]})
    assert_problem(answer, 400, "the one tensor 'image'")
