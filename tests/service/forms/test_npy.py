"""The .npy form: what numpy.save writes goes in, whatever its type and order, and comes out."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects import ARRAY, ARROW, LISTS, NPY, npy_bytes
from serving import ask, assert_problem, bits, golden_rows, post, probabilities

PREDICT = "/models/wine/predict"
REAL = ["<f4", ">f4", "<f8", ">f8", "<f2", "i1", "<i2", ">i4", "<i8", "u1", "<u2", "<u4", ">u8"]


@pytest.fixture(scope="module")
def rows(artifact):
    return golden_rows(artifact)[:8]


def send(app, body, path=PREDICT, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(app, "POST", path, content=body, headers={"content-type": NPY, **named})


def small(dtype):
    """Numbers that every real type holds, 4 rows of 13 columns."""
    return (np.arange(52).reshape(4, 13) + 1).astype(dtype)


@pytest.mark.parametrize("dtype", REAL)
def test_every_real_type_is_read_as_the_numbers_that_it_holds(several, dtype):
    as_json = post(several, PREDICT, {"instances": small(dtype).tolist()})
    assert send(several, npy_bytes(small(dtype))).json() == as_json.json()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_number_is_rounded_as_the_same_number_in_json(several, data):
    dtype = data.draw(st.sampled_from(["<f8", "<i8", "<u8"]))
    bounds = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype != "<f8" else (-1e30, 1e30)
    number = st.floats(*bounds) if dtype == "<f8" else st.integers(*bounds)
    row = data.draw(st.lists(number, min_size=13, max_size=13))
    as_json = post(several, PREDICT, {"instances": [row]})
    as_array = send(several, npy_bytes(np.array([row], dtype)))
    assert as_array.status_code == as_json.status_code
    if as_json.status_code == 200:
        assert as_array.content == as_json.content


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_order_and_version_change_nothing(several, rows, order, version):
    body = npy_bytes(np.array(rows, order=order), version=version)
    expected = post(several, PREDICT, {"instances": rows.tolist()})
    assert bits(probabilities(send(several, body))) == bits(probabilities(expected))


def test_an_array_of_one_axis_is_one_row(several, rows):
    one = send(several, npy_bytes(rows[0]))
    assert one.content == send(several, npy_bytes(rows[:1])).content


def test_an_instance_may_be_a_tensor(several):
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = "/models/pair/predict"
    expected = post(several, path, {"instances": [image.tolist()]}).json()
    assert send(several, npy_bytes(image), path).json() == expected
    assert send(several, npy_bytes(image[None]), path).json() == expected


def test_a_large_body_is_read_beside_the_loop_with_the_same_bits(several, rows):
    many = np.resize(rows, (30_000, 13))
    answer = probabilities(send(several, npy_bytes(many)))
    expected = probabilities(send(several, npy_bytes(rows)))
    assert bits(answer[:8]) == bits(expected)
    assert bits(answer[-8:]) == bits(np.resize(expected, answer.shape)[-8:])


BAD_TYPES = {
    "booleans": np.ones((1, 13), bool),
    "complex numbers": np.ones((1, 13), complex),
    "strings": np.full((1, 13), "1.5"),
    "bytes": np.full((1, 13), b"1.5"),
    "dates": np.zeros((1, 13), "M8[s]"),
    "records": np.zeros((1, 13), [("a", "<f4")]),
    "long doubles": np.ones((1, 13), np.longdouble),
}


@pytest.mark.parametrize("bad", BAD_TYPES)
def test_another_type_is_refused(several, bad):
    answer = send(several, npy_bytes(BAD_TYPES[bad]))
    assert_problem(answer, 400, "real numbers of at most 64 bits", "send float32")


def test_objects_are_refused_and_never_unpickled(several):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was opened",)

    array = np.full((1, 13), Trap(), object)
    assert_problem(send(several, npy_bytes(array)), 400, "real numbers")


@pytest.mark.parametrize("shape", [(), (0,), (12,), (1, 12), (0, 13), (1, 13, 1), (13, 1), (26,)])
def test_another_shape_is_refused(several, shape):
    answer = send(several, npy_bytes(np.zeros(shape, np.float32)))
    assert_problem(answer, 400, "[n, 13]", str(list(shape)))


@pytest.mark.parametrize("change", [-1, -52, 1, 400])
def test_a_body_of_another_length_is_refused(several, rows, change):
    body = npy_bytes(rows)
    body = body[:change] if change < 0 else body + bytes(change)
    assert_problem(
        send(several, body), 400, f"Expected {rows.nbytes} bytes", str(rows.nbytes + change)
    )


def header(text, version=b"\x01\x00", length=None):
    data = text.encode() + b"\n"
    size = len(data) if length is None else length
    return b"\x93NUMPY" + version + size.to_bytes(2 if version[0] == 1 else 4, "little") + data


GOOD = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 13), }"
BAD_HEADERS = {
    "no header": b"\x93NUMPY",
    "a header beyond the body": header(GOOD, length=500),
    "a header of a gigabyte": header(GOOD, b"\x02\x00", length=2**30),
    "a long header": header(GOOD.ljust(5000)),
    "version 3": header(GOOD, b"\x03\x00"),
    "version 0": header(GOOD, b"\x00\x00"),
    "an archive": b"PK\x03\x04" + bytes(60),
    "an expression": header("__import__('os').abort()"),
    "deep brackets": header("(" * 400),
    "many signs": header("-" * 500 + "1"),
    "a list": header("[1, 2]"),
    "other keys": header("{'descr': '<f4', 'shape': (1, 13)}"),
    "a key more": header(GOOD.replace(", }", ", 'x': 1}")),
    "no type": header(GOOD.replace("'<f4'", "'what'")),
    "a number as type": header(GOOD.replace("'<f4'", "7")),
    "a negative shape": header(GOOD.replace("(1, 13)", "(-1, 13)")),
    "a huge shape": header(GOOD.replace("(1, 13)", f"({2**80}, 13)")),
    "a fractional shape": header(GOOD.replace("(1, 13)", "(1.0, 13)")),
    "Python 2's numbers": header(GOOD.replace("(1, 13)", "(1L, 13L)")) + bytes(52),
    "a null byte": header(GOOD.replace("f4", "f\x004")),
}


@pytest.mark.parametrize("bad", BAD_HEADERS)
def test_a_header_that_is_none_is_refused(several, bad):
    assert_problem(send(several, BAD_HEADERS[bad]), 400, "Expected")


def test_a_header_of_another_writer_is_read(several, rows):
    text = f"{{\"shape\":({len(rows)},13),'descr':'<f4','fortran_order':False}}"
    answer = send(several, header(text) + rows.tobytes())
    assert answer.content == send(several, npy_bytes(rows)).content


@pytest.mark.parametrize(
    "accept", [NPY, NPY.upper(), f"{NPY}, application/json;q=0.9", f"application/json;q=.1,{NPY}"]
)
@pytest.mark.parametrize("dialect", [ARRAY, LISTS], ids=lambda dialect: dialect.name)
def test_the_answer_is_an_array_where_the_client_accepts_one(several, rows, dialect, accept):
    names = [column.name for column in several.state.repository.find("wine").manifest.columns]
    answer = dialect.send(several, "wine", rows.tolist(), names, accept=accept)
    assert answer.headers["content-type"] == NPY
    array = np.load(io.BytesIO(answer.content), allow_pickle=False)
    expected = probabilities(post(several, PREDICT, {"instances": rows.tolist()}))
    assert bits(array) == bits(expected)


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/json",
        f"{NPY};q=0",
        f"application/json, {NPY}",
        f"{NPY};q=0.5, application/json",
        "text/html",
        ";;q=,,=",
    ],
)
def test_the_answer_is_json_where_the_client_accepts_nothing_else_more(several, rows, accept):
    answer = send(several, npy_bytes(rows), accept=accept)
    assert answer.headers["content-type"] == "application/json"
    assert answer.status_code == 200


def test_a_regression_answers_an_array_of_one_column(several):
    body = npy_bytes(np.array([[1.5, 1], [np.nan, 2]]))
    answer = send(several, body, "/models/gauge/predict", accept=NPY)
    array = np.load(io.BytesIO(answer.content))
    assert array.dtype == np.float32
    assert array.tolist() == [[101.5], [207.0]]


def test_several_outputs_do_not_fit_into_an_array(several):
    answer = send(several, npy_bytes(np.zeros((2, 3))), "/models/pair/predict", accept=NPY)
    assert_problem(answer, 400, "One array", "flat (FP32), place (INT64)", "application/json")


def test_a_problem_is_json_whatever_is_accepted(several):
    assert_problem(send(several, b"", accept=NPY), 400)


def test_a_long_array_is_compressed_where_the_client_asks(several, rows):
    body = npy_bytes(np.resize(rows, (1000, 13)))
    answer = send(several, body, accept=NPY, accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert np.load(io.BytesIO(answer.content)).shape == (1000, 3)


def test_another_type_of_body_is_refused_with_those_that_are_taken(several):
    answer = ask(several, "POST", PREDICT, content=b"1,2", headers={"content-type": "text/csv"})
    assert_problem(answer, 415, "application/json", NPY, ARROW, "'text/csv'")


def test_a_type_may_be_written_otherwise(several, rows):
    headers = {"content-type": "Application/X-NPY; charset=binary"}
    answer = ask(several, "POST", PREDICT, content=npy_bytes(rows), headers=headers)
    assert answer.status_code == 200
