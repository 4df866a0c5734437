"""The Arrow form: what polars and pyarrow write goes in by column, and comes out again."""

import base64
import contextlib
import io
import struct
import zlib

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects import ARROW, LISTS, STREAM
from lockstep.artifact.columns import Column
from lockstep.artifact.frame import encode_frame
from lockstep.errors import InvalidInstances
from lockstep_service.errors import BadRequest
from lockstep_service.forms.arrow import reader as arrow_reader
from lockstep_service.forms.arrow.reader import MOST_MESSAGES, read_stream
from lockstep_service.forms.arrow.schema import FLOATING_TYPE, _dtype
from lockstep_service.forms.arrow.table import label_column
from lockstep_service.forms.arrow.writer import write_stream
from serving import ask, assert_problem, bits, golden_rows, post, probabilities

PREDICT, GAUGE = "/models/wine/predict", "/models/gauge/predict"
LEVELS = [pl.CompatLevel.oldest(), pl.CompatLevel.newest()]
LONG = "a category of more than twelve bytes"
COLUMNS = (
    Column(name="level", missing_allowed=True),
    Column(
        name="colour",
        kind="categorical",
        vocabulary=("off", "red", "green", LONG),
        missing_allowed=True,
    ),
    Column(name="lit", kind="boolean", missing_allowed=True),
)
# Two batches of colour: dictionary of int8, its second time another one, and level: double, as
# pyarrow 26 writes them: (1.5, red), (null, green), (0, off), (2, red), (NaN, off).
BY_PYARROW = (
    "c-qZUy-vh140e86B2=La73#pyH{k|G9)N-6;BqX5qDX*l;&pfg9*wQoiTf9|=mv(f<ixf8eeqAbuIp+6V1eW"
    "uE+B^t3|c5c5B>sA&HhcWF^o!ngD1rd+7-tr@8M9t9=6`MAJO-`-8o{DsCTF((7Pq#aySc2mfsVK?knaZ$xs"
    "{j?i$Rc{2U^a#TR=#aWOt4?i<v4!a<nFwrSryaJ4#|eGdj%OiUFqss}8Nsr%xZAz(_LR1xqXb%<3QkCTf0{R"
    "}If6Gd*>FJTk~>r(J-2mVn+!UL0;^?6U;xfkzt)W`R%kIQ)<N{1fmfn{Fz{X*UPkGf@2uSoi^Nv>SMi<LXd&"
    "o!Lrp7JC1q$YW|qISQJef-Cs)RB8q3;)&hyGnMVR`6r5V(FO;@9UHLBkLCn**D4"
)


def stream(frame, level=LEVELS[0], **options):
    body = io.BytesIO()
    frame.write_ipc_stream(body, compat_level=level, **options)
    return body.getvalue()


def send(app, body, path=GAUGE, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(app, "POST", path, content=body, headers={"content-type": ARROW, **named})


def answers_to(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def answers(answer):
    return [prediction["prediction"] for prediction in answer.json()["predictions"]]


@pytest.fixture(scope="module")
def frame(several, artifact):
    names = [column.name for column in several.state.repository.find("wine").manifest.columns]
    return pl.DataFrame(golden_rows(artifact), schema=names)


@pytest.fixture(scope="module")
def gauges():
    return pl.DataFrame({"colour": ["red", "green", "off"], "level": [1.5, None, 2.0]})


def test_columns_are_found_by_name_in_any_order(several, frame):
    expected = post(several, PREDICT, {"instances": frame.rows()})
    turned = frame.select(reversed(frame.columns))
    assert send(several, stream(turned), PREDICT).content == expected.content


@pytest.mark.parametrize("rows_a_batch", [1, 7, 50])
def test_several_batches_are_one_request(several, frame, rows_a_batch):
    body = stream(frame)
    schema = len(body) - len(messages(body)[1])
    pieces = [messages(stream(piece))[1][:-8] for piece in frame.iter_slices(rows_a_batch)]
    split = body[:schema] + b"".join(pieces) + body[-8:]
    assert send(several, split, PREDICT).content == send(several, body, PREDICT).content


def messages(body):
    """The schema's message, and all behind it."""
    (length,) = struct.unpack_from("<i", body, 4)
    return body[: 8 + length], body[8 + length :]


@pytest.mark.parametrize("level", LEVELS, ids=["large strings", "views"])
@pytest.mark.parametrize(
    "kind",
    [pl.String, pl.Categorical, pl.Enum(["green", "off", "red"])],
    ids=["strings", "categories", "an enumeration"],
)
def test_categories_travel_as_strings_or_in_a_dictionary(several, gauges, kind, level):
    body = stream(gauges.with_columns(pl.col("colour").cast(kind)), level)
    assert answers(send(several, body)) == [101.5, 207.0, 2.0]


@pytest.mark.parametrize(
    "kind",
    [
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
        *(pl.Float32, pl.Float64),
    ],
)
def test_every_type_of_numbers_is_read(several, gauges, kind):
    whole = gauges.with_columns(pl.Series("level", [5, None, 2], pl.Int64).cast(kind))
    assert answers(send(several, stream(whole))) == [105.0, 207.0, 2.0]


def test_a_column_of_nulls_needs_no_type(several, gauges):
    body = stream(gauges.with_columns(pl.lit(None).alias("level")))
    assert answers(send(several, body)) == [107.0, 207.0, 7.0]


def test_what_pyarrow_writes_is_read(several):
    body = zlib.decompress(base64.b85decode("".join(BY_PYARROW)))
    assert answers(send(several, body)) == [101.5, 207.0, 0.0, 102.0, 7.0]


WRONG_TYPES = {
    "dates": (pl.Date, "numbers", "Date"),
    "durations": (pl.Duration, "numbers", "Duration"),
    "lists": (pl.List(pl.Float64), "numbers", "LargeList"),
    "arrays": (pl.Array(pl.Float64, 2), "numbers", "FixedSizeList"),
    "structs": (pl.Struct({"a": pl.Float64}), "numbers", "Struct"),
    "decimals": (pl.Decimal(5, 2), "numbers", "Decimal"),
    "binary": (pl.Binary, "numbers", "LargeBinary"),
}


@pytest.mark.parametrize("wrong", WRONG_TYPES)
def test_a_type_that_no_network_takes_is_refused_by_column(several, gauges, wrong):
    kind, expected, got = WRONG_TYPES[wrong]
    body = stream(gauges.with_columns(pl.lit(None, kind).alias("level")))
    sentence = f"column level: expected an Arrow column of {expected}, got the type {got}"
    assert_problem(send(several, body), 400, sentence)


def test_booleans_are_no_numbers_as_in_json(several, gauges):
    body = stream(gauges.with_columns(pl.Series("level", [None, True, False])))
    assert_problem(
        send(several, body), 400, "instance 1, column level: expected a number, got true"
    )


def test_columns_that_are_unknown_absent_or_there_twice_are_named(several, gauges):
    renamed = stream(gauges.rename({"level": "levle"}))
    assert_problem(send(several, renamed), 400, "column levle", "did you mean 'level'")
    assert_problem(send(several, stream(gauges.drop("level"))), 400, "column level", "not there")
    level, colour = np.ones(1), np.array(["red"])
    twice = write_stream(["level", "level", "colour"], [level, level, colour])
    assert_problem(send(several, twice), 400, "column level", "twice")


def test_a_very_long_name_is_told_only_in_part(several, gauges):
    answer = send(several, stream(gauges.rename({"level": "x" * 100_000})))
    assert_problem(answer, 400, "there is no such column")
    assert len(answer.content) < 1500


def test_more_columns_than_anybody_has_are_refused(several):
    many = pl.DataFrame({f"c{i}": [1.0] for i in range(3000)})
    assert_problem(send(several, stream(many)), 400, "there is no such column")


def test_a_network_without_columns_takes_no_columns(several, gauges):
    answer = send(several, stream(gauges), "/models/pair/predict")
    assert_problem(answer, 400, "no columns", "application/x-npy")


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compression_inside_the_stream_is_refused_with_what_to_do(several, gauges, compression):
    body = stream(gauges, compression=compression)
    assert_problem(send(several, body), 400, "without compression inside", "gzip")


def test_a_file_of_arrow_is_no_stream(several, gauges):
    body = io.BytesIO()
    gauges.write_ipc(body)
    assert_problem(send(several, body.getvalue()), 400, "Arrow IPC stream", "Feather")


def test_a_stream_that_is_cut_between_two_batches_is_refused_and_not_read_in_part(several, frame):
    schema, batch = messages(stream(frame[:50]))
    more, end = messages(stream(frame[50:]))[1][:-8], batch[-8:]
    whole = schema + batch[:-8] + more + end
    assert len(answers_to(send(several, whole, PREDICT))) == len(frame)
    for cut in (schema, schema + batch[:-8], whole[:-8]):
        sentence = "with its end-of-stream marker, got one that stops without it"
        assert_problem(send(several, cut, PREDICT), 400, sentence, "close the writer")


def test_bytes_behind_the_end_are_refused(several, gauges):
    assert_problem(send(several, stream(gauges) + b"more"), 400, "Arrow IPC stream")


@pytest.mark.parametrize("length", [1, 2, 3, 4, 12])
def test_a_message_of_the_oldest_form_is_refused(several, gauges, length):
    """Of a few bytes, it ends the process of a reader in C."""
    body = struct.pack("<i", length) + stream(gauges)[8:]
    assert_problem(send(several, body), 400, "Arrow IPC stream")


@pytest.mark.parametrize(
    ("offset", "length"),
    [(2**62, 2**62), (2**40, 2**63 - 1), (-8, 8), (0, -8), (-(2**63), 2**63 - 1), (8, 2**31)],
)
def test_a_buffer_that_is_not_there_is_refused(several, offset, length):
    body = write_stream(["level", "colour"], [np.arange(3.0), np.array(["red"] * 3)])
    place = body.index(struct.pack("<qqq", 0, 24, 24))
    spoilt = body[:place] + struct.pack("<qq", offset, length) + body[place + 16 :]
    assert_problem(send(several, spoilt), 400, "Arrow IPC stream")


def test_a_few_bytes_do_not_stand_for_many_rows():
    columns = (Column(name="level", missing_allowed=True),)
    body = stream(pl.DataFrame({"level": [None] * 77}))
    rows = struct.pack("<q", 77)
    with pytest.raises(BadRequest, match="send fewer rows"):
        read_stream(body.replace(rows, struct.pack("<q", 2**40)), columns)
    with pytest.raises(BadRequest, match="Arrow IPC stream"):
        read_stream(body.replace(rows, struct.pack("<q", -77)), columns)


def test_many_messages_are_refused(several, gauges, monkeypatch):
    schema, rest = messages(stream(gauges))
    monkeypatch.setattr(arrow_reader, "MOST_MESSAGES", 20)
    assert_problem(send(several, schema + rest[:-8] * 30), 400, "20 messages", "larger batches")
    assert MOST_MESSAGES > 1000


VALUES = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("nan"))),
        st.sampled_from([None, "off", "red", "green", LONG]),
        st.sampled_from([None, True, False]),
    ),
    min_size=1,
    max_size=20,
)


def table(values):
    schema = {"level": pl.Float64, "colour": pl.String, "lit": pl.Boolean}
    return pl.DataFrame(values, schema, orient="row")


@given(values=VALUES, level=st.sampled_from(LEVELS), categories=st.booleans())
def test_what_polars_writes_is_read_back(values, level, categories):
    frame = table(values)
    if categories:
        frame = frame.with_columns(pl.col("colour").cast(pl.Categorical))
    read = read_stream(stream(frame, level), COLUMNS)
    for name in frame.columns:
        found = [read[name][i] for i in range(len(values))]
        assert str(found) == str(frame[name].to_list())


@given(values=VALUES)
def test_what_is_written_polars_reads_back(values):
    columns = [
        np.array([float(level or 0) for level, _, _ in values], np.float32),
        np.array([colour or "" for _, colour, _ in values], object),
        np.array([bool(lit) for _, _, lit in values]),
        np.arange(len(values), dtype=np.int64),
    ]
    names = ["level", "colour", "lit", "row"]
    found = pl.read_ipc_stream(io.BytesIO(write_stream(names, columns)))
    assert found.columns == names
    for series, column in zip(found, columns, strict=True):
        assert str(series.to_list()) == str(column.tolist())


def spoilt(draw, body):
    """A stream in which a few numbers are others, as an attacker would choose them."""
    data = bytearray(body)
    for _ in range(draw(st.integers(1, 3))):
        number = draw(
            st.one_of(
                st.sampled_from([0, 1, -1, 2**31 - 1, -(2**31), 2**62, -(2**63), 2**63 - 1]),
                st.integers(-300, 300),
            )
        )
        form = draw(st.sampled_from("bhiq"))
        size = struct.calcsize(form)
        bound = 2 ** (8 * size - 1)
        at = draw(st.integers(0, (len(data) - size) // 2)) * 2
        struct.pack_into(f"<{form}", data, at, (number + bound) % (2 * bound) - bound)
    return bytes(data)


@pytest.mark.slow
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), level=st.sampled_from(LEVELS))
def test_a_stream_with_other_numbers_is_read_or_refused(data, level):
    frame = table([(1.5, "red", True), (None, LONG, None), (2.5, "green", False)])
    if data.draw(st.booleans()):
        frame = frame.with_columns(pl.col("colour").cast(pl.Categorical))
    body = spoilt(data.draw, stream(frame, level))
    with contextlib.suppress(BadRequest, InvalidInstances):
        assert encode_frame(read_stream(body, COLUMNS), COLUMNS).shape[1] == 3


@pytest.mark.parametrize("dialect", [STREAM, LISTS], ids=lambda dialect: dialect.name)
def test_the_answer_is_a_stream_where_the_client_accepts_one(several, frame, dialect):
    rows = frame.rows()
    answer = dialect.send(several, "wine", rows, frame.columns, accept=ARROW)
    assert answer.headers["content-type"] == ARROW
    table = pl.read_ipc_stream(io.BytesIO(answer.content))
    as_json = post(several, PREDICT, {"instances": rows})
    classes = as_json.json()["classes"]
    assert table.columns == ["label", *(f"probability_{label}" for label in classes)]
    labels = [prediction["label"] for prediction in as_json.json()["predictions"]]
    assert table["label"].to_list() == labels
    found = np.ascontiguousarray(table.drop("label").to_numpy())
    assert bits(found) == bits(probabilities(as_json))


def test_several_outputs_are_columns_each(several):
    image = [[1, 2, 3], [4, 9, 5]]
    body = LISTS.write([image], ["image"])[0]
    headers = {"accept": ARROW}
    answer = ask(several, "POST", "/models/pair/predict", content=body, headers=headers)
    table = pl.read_ipc_stream(io.BytesIO(answer.content))
    assert table.rows() == [(1.0, 2.0, 3.0, 4.0, 9.0, 5.0, 4)]
    assert table.columns == [*(f"flat_{i}" for i in range(6)), "place"]


def test_a_regression_answers_its_prediction(several, gauges):
    answer = send(several, stream(gauges), accept=ARROW)
    table = pl.read_ipc_stream(io.BytesIO(answer.content))
    assert table.to_dict(as_series=False) == {"prediction": [101.5, 207.0, 2.0]}


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((3, 1), [3, 1]),
        ((False, True), [False, True]),
        ((0.5, 2.0), [0.5, 2.0]),
        (("a", "b"), ["a", "b"]),
        (("a", 1, True), ["a", "1", "true"]),
        ((1, 2**70), ["1", str(2**70)]),
    ],
)
def test_labels_keep_their_type_where_they_share_one(classes, expected):
    body = write_stream(["label"], [label_column(classes)])
    assert pl.read_ipc_stream(io.BytesIO(body))["label"].to_list() == expected


@pytest.mark.parametrize("precision", [-3, -1, 3])
def test_a_precision_that_arrow_does_not_have_is_refused(precision):
    class Floating:
        """The type of a column, as its FlatBuffers table holds it."""

        def number(self, *_):
            return precision

    with pytest.raises(ValueError, match=f"precision {precision}"):
        _dtype(FLOATING_TYPE, Floating())
