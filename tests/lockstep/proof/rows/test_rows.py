"""Row independence, read off graphs as exporters write them and as anybody may."""

import io
import warnings

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from lockstep.proof.rows import RowVerdict, row_independence

FEATURES = 6


class Table(nn.Module):
    """Imputation with an indicator, standardising, codes, and sines of learnt frequencies."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.randn(FEATURES))
        self.register_buffer("deviation", torch.rand(FEATURES) + 1)
        self.register_buffer("fill", torch.randn(FEATURES))
        self.embedding = nn.Embedding(5, 3)
        self.frequencies = nn.Parameter(torch.randn(FEATURES, 4))
        self.head = nn.Linear(2 * FEATURES + 3 + 7 + 8 * FEATURES, 3)

    def forward(self, x):
        missing = torch.isnan(x)
        x = torch.where(missing, self.fill, x)
        scaled = ((x - self.mean) / self.deviation).clamp(-5, 5)
        embedded = self.embedding(x[:, 0].clamp(0, 4).long())
        one_hot = functional.one_hot(x[:, 1].clamp(0, 6).long(), 7).float()
        angles = 2 * torch.pi * x.unsqueeze(-1) * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], -1).flatten(1)
        return self.head(torch.cat([scaled, missing.float(), embedded, one_hot, waves], 1))


class Quantiles(nn.Module):
    """A quantile look-up: count the edges below, then interpolate between two of them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("edges", torch.sort(torch.randn(FEATURES, 9), 1).values)

    def forward(self, x):
        place = (x.unsqueeze(-1) >= self.edges).sum(-1).clamp(1, 8)
        edges = self.edges.expand(x.shape[0], -1, -1)
        low = torch.gather(edges, 2, (place - 1).unsqueeze(-1)).squeeze(-1)
        high = torch.gather(edges, 2, place.unsqueeze(-1)).squeeze(-1)
        return (x - low) / (high - low + 1e-6)


class Ensemble(nn.Module):
    """Members with weights of their own, multiplied in one of the forms that people write."""

    def __init__(self, form):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(4, FEATURES, 3))
        self.scales = nn.Parameter(torch.randn(4, FEATURES))
        self.shared = nn.Linear(FEATURES, 3)
        self.form = form

    def forward(self, x):
        members = getattr(self, self.form)(x)
        return torch.softmax(members.mean(1) / 1.3, -1)

    def one_product_a_member(self, x):
        return (x[:, None, None, :].expand(-1, 4, -1, -1) @ self.weights).squeeze(2)

    def members_before_rows(self, x):
        return (x.unsqueeze(0).expand(4, -1, -1) @ self.weights).transpose(0, 1)

    def einsum(self, x):
        return torch.einsum("bi,kio->bko", x, self.weights)

    def members_inside_the_batch_axis(self, x):
        return self.shared((x[:, None, :] * self.scales).reshape(-1, FEATURES)).reshape(-1, 4, 3)

    def members_outside_the_batch_axis(self, x):
        stacked = (x[None] * self.scales[:, None]).reshape(-1, FEATURES)
        return self.shared(stacked).reshape(4, -1, 3).transpose(0, 1)


class Attention(nn.Module):
    """Columns as tokens, behind a learnt first one."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(1, 1, 8))
        self.weights = nn.Parameter(torch.randn(FEATURES, 8))
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        tokens = x.unsqueeze(-1) * self.weights
        return self.layer(torch.cat([self.first.expand(x.shape[0], -1, -1), tokens], 1))[:, 0]


class Recurrent(nn.Module):
    """Columns as steps of a sequence."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 4, batch_first=True, bidirectional=True)

    def forward(self, x):
        steps, (last, _) = self.lstm(x.unsqueeze(-1))
        return torch.cat([steps.mean(1), last.transpose(0, 1).flatten(1)], 1)


def blocks():
    layers = []
    for activation in (nn.ReLU(), nn.SiLU(), nn.GELU()):
        layers += [nn.Linear(FEATURES, FEATURES), nn.BatchNorm1d(FEATURES), activation]
        layers += [nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(FEATURES, 3), nn.Softmax(-1))


def images():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 4, 2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(8, 3),
    )


def exported(network, *, optimize=True):
    with warnings.catch_warnings():
        # torch warns of its own use of its own tree library.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        program = torch.onnx.export(
            network.eval(),
            (torch.randn(3, FEATURES),),
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            external_data=False,
            optimize=optimize,
            verbose=False,
        )
    return program.model_proto


def exported_by_tracing(network, **options):
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter before dynamo says that it is deprecated, as does what it calls.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Of an LSTM it warns that the sample's batch size may be kept: that is what is read here.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", message=".*variable length.*", category=UserWarning)
        torch.onnx.export(
            network.eval(),
            (torch.randn(3, FEATURES),),
            file,
            dynamo=False,
            input_names=["features"],
            **options,
        )
    return onnx.load_from_string(file.getvalue())


NETWORKS = {
    "blocks": blocks,
    "table": Table,
    "quantiles": Quantiles,
    "one product a member": lambda: Ensemble("one_product_a_member"),
    "members before rows": lambda: Ensemble("members_before_rows"),
    "einsum": lambda: Ensemble("einsum"),
    "members inside the batch axis": lambda: Ensemble("members_inside_the_batch_axis"),
    "members outside the batch axis": lambda: Ensemble("members_outside_the_batch_axis"),
    "attention": Attention,
    "images": images,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_eval_mode_is_decided_independent(name):
    (verdict,) = row_independence(exported(NETWORKS[name]()))
    assert verdict.verdict == "independent", verdict
    assert verdict.rests_on == tuple(sorted(set(verdict.rests_on)))
    assert verdict.node is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blocks", "table", "quantiles", "one product a member"])
def test_an_export_that_nobody_has_optimized_is_decided_independent(name):
    (verdict,) = row_independence(exported(NETWORKS[name](), optimize=False))
    assert verdict.verdict == "independent", verdict


@pytest.mark.parametrize("name", ["blocks", "table", "one product a member", "images"])
def test_a_traced_export_is_decided_independent(name):
    model = exported_by_tracing(NETWORKS[name](), dynamic_axes={"features": {0: "batch"}})
    (verdict,) = row_independence(model)
    assert verdict.verdict == "independent", verdict


@pytest.mark.parametrize("name", ["table", "quantiles", "members inside the batch axis"])
def test_a_batch_of_fixed_size_is_followed_through_the_numbers_that_spell_it(name):
    (verdict,) = row_independence(exported_by_tracing(NETWORKS[name]()))
    assert verdict.verdict == "independent", verdict


def test_a_recurrent_network_is_decided_independent():
    model = exported_by_tracing(Recurrent(), dynamic_axes={"features": {0: "batch"}})
    (verdict,) = row_independence(model)
    assert verdict.verdict == "independent", verdict
    assert "LSTM" in verdict.rests_on


class Mixing(nn.Module):
    def __init__(self, mix):
        super().__init__()
        self.mix = mix

    def forward(self, x):
        return self.mix(x)


MIXERS = {
    "mean": lambda x: x - x.mean(0),
    "softmax": lambda x: x.softmax(0),
    "running sum": lambda x: x.cumsum(0),
    "first row": lambda x: x - x[0:1],
    "reversed": lambda x: x.flip(0),
    "batch size": lambda x: x / x.shape[0],
    "gram matrix": lambda x: x @ (x.T @ x),
    "attention over rows": lambda x: (x @ x.T).softmax(-1) @ x,
    "positions": lambda x: x + torch.arange(x.shape[0])[:, None],
    "positions in a table": lambda x: x + torch.ones(64, FEATURES).cumsum(0)[: x.shape[0]],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXERS)
def test_what_mixes_rows_is_found(name):
    (verdict,) = row_independence(exported(Mixing(MIXERS[name])))
    assert verdict.verdict == "mixing", verdict
    assert verdict.node is not None
    assert verdict.node.startswith("main/")


@pytest.mark.slow
@pytest.mark.parametrize("optimize", [True, False], ids=["optimized", "as written"])
def test_a_batch_norm_that_keeps_no_statistics_mixes_rows_in_eval_mode(optimize):
    network = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5, track_running_stats=False))
    (verdict,) = row_independence(exported(network, optimize=optimize))
    assert (verdict.verdict, verdict.operator) == ("mixing", "ReduceMean")


HEADER = '<ir_version: 9, opset_import: ["" : {opset}, "ai.onnx.ml" : 3, "own" : 1]>'
CONSTANTS = """
    zero = Constant <value_ints: ints = [0]> ()
    one = Constant <value_ints: ints = [1]> ()
    two = Constant <value_ints: ints = [2]> ()
    rest = Constant <value_ints: ints = [-1]> ()
    scalar = Constant <value_float: float = 2.0> ()
    pair = Constant <value_floats: floats = [1.0, 2.0]> ()
    size = Shape <start: int = 0, end: int = 1> (x)
"""


def read(body, *, inputs="float[batch, 4] x", opset=18, functions=""):
    outputs = "float[m, n] y"
    text = f"{HEADER.format(opset=opset)}\ngraph ({inputs}) => ({outputs}) {{{CONSTANTS}{body}}}"
    (verdict,) = row_independence(onnx.parser.parse_model(text + functions))
    return verdict


INDEPENDENT = {
    "a constant for each row": "s = Concat <axis = 0> (size, one) y = Expand (scalar, s)",
    "zeros beside the row": (
        "s = Concat <axis = 0> (size, two) z = ConstantOfShape (s) y = Concat <axis = 1> (x, z)"
    ),
    "flat and back": (
        "f = Reshape (x, rest) g = Relu (f) s = Concat <axis = 0> (size, rest) y = Reshape (g, s)"
    ),
    "folded across the rows and back": (
        "c = Constant <value_ints = [2, -1]> () f = Reshape (x, c) g = Mul (f, scalar)"
        " s = Concat <axis = 0> (size, rest) y = Reshape (g, s)"
    ),
    "stacked on itself and cut again": (
        "t = Concat <axis = 0> (x, x) d = Mul (size, two) y = Slice (t, size, d, zero)"
    ),
    "there and back": "t = Transpose (x) u = Softmax <axis = 0> (t) y = Transpose (u)",
    "a branch that a shape chooses": (
        "w = Shape <start = 1> (x) c = Equal (w, one)"
        " y = If (c) <then_branch = t () => (a) {a = ReduceMean (x)},"
        " else_branch = e () => (b) {b = Relu (x)}>"
    ),
    "a list of parts": (
        "p = SplitToSequence <axis = 1> (x, two) a = SequenceAt (p, zero)"
        " y = ConcatFromSequence <axis = 1> (p)"
    ),
    "a fused bias": "y = Gemm <transB = 1> (x, x2)",
    "the row's own largest place": "i = ArgMax <axis = 1> (x) y = GatherElements <axis = 1> (x, i)",
    "scaled columns": "y = ai.onnx.ml.Scaler <offset = [1.0], scale = [2.0]> (x)",
    "a linear model": "y = ai.onnx.ml.LinearRegressor <coefficients = [1.0, 1.0, 1.0, 1.0]> (x)",
}  # fmt: skip


@pytest.mark.parametrize("name", INDEPENDENT)
def test_a_graph_whose_rows_stay_apart_is_independent(name):
    body = INDEPENDENT[name].replace("x2", "w")
    if name == "a fused bias":
        body = f"w = Constant <value = float[3, 4] {{{', '.join(['1'] * 12)}}}> () {body}"
    assert read(body).verdict == "independent", read(body)


MIXED = {
    "a mean of everything": ("y = ReduceMean (x)", "ReduceMean"),
    "softmax of old, over all axes from one on": ("y = Softmax <axis = 0> (x)", "Softmax"),
    "batch statistics": (
        (
            "a, b, c = Split <axis = 1> (x) y = BatchNormalization <training_mode = 1>"
            " (x, pair, pair, pair, pair)"
        ),
        "BatchNormalization",
    ),
    "summed by a matrix product": ("t = Transpose (x) y = MatMul (t, x)", "MatMul"),
    "summed by a Gemm": ("y = Gemm <transA = 1> (x, pair)", "Gemm"),
    "summed by an Einsum": ('y = Einsum <equation = "bi->i"> (x)', "Einsum"),
    "a constant for each position": (
        "c = Constant <value = float[3, 1] {1, 2, 3}> () y = Add (x, c)",
        "Add",
    ),
    "broadcast along the features": (
        "r = ReduceSum <keepdims = 0> (x, one) y = Add (x, r)",
        "Add",
    ),
    "the batch size in the data": (
        "f = Cast <to = 1> (size) r = Sqrt (f) y = Div (x, r)",
        "Div",
    ),
    "a branch that the batch size chooses": (
        (
            "c = Greater (size, two) y = If (c) <then_branch = t () => (a) {a = Relu (x)},"
            " else_branch = e () => (b) {b = Abs (x)}>"
        ),
        "If",
    ),
    "two rows in one": (
        "c = Constant <value_ints = [-1, 8]> () f = Reshape (x, c) y = Softmax <axis = 1> (f)",
        "Softmax",
    ),
    "the rows on another axis": ("y = Transpose (x)", "Transpose"),
    "two rows for each": ("y = Concat <axis = 0> (x, x)", "Concat"),
    "the scale of the whole batch": (
        "y, s, z = DynamicQuantizeLinear (x)",
        "DynamicQuantizeLinear",
    ),
    "a border of rows": ("p = Constant <value_ints = [1, 0, 0, 0]> () y = Pad (x, p)", "Pad"),
    "sorted rows": ("y, i = TopK <axis = 0> (x, two)", "TopK"),
    "the batch as a sequence": (
        (
            "u = Unsqueeze (x, one) w = ConstantOfShape (wide) r = ConstantOfShape (deep)"
            " y, h = RNN <hidden_size = 2> (u, w, r)"
        ),
        "RNN",
    ),
}


@pytest.mark.parametrize("name", MIXED)
def test_the_node_at_which_rows_mix_is_named(name):
    body, operator = MIXED[name]
    shapes = (
        "wide = Constant <value_ints = [1, 2, 4]> () deep = Constant <value_ints = [1, 2, 2]> ()"
    )
    verdict = read(f"{shapes} {body}")
    assert (verdict.verdict, verdict.operator) == ("mixing", operator), verdict
    assert verdict.node.startswith(f"main/{operator}_")
    assert verdict.reason.endswith(".")


UNDECIDED = {
    "an operator of one's own": "y = own.Mystery (x)",
    "an operator of one's own over constants": "c = own.Mystery (pair) y = Mul (x, c)",
    "a live dropout": "on = Constant <value = bool {1}> () y, m = Dropout (x, scalar, on)",
    "noise": "y = Bernoulli (x)",
    "a shape for one batch size": ("c = Constant <value_ints = [2, 2, 4]> () y = Reshape (x, c)"),
    "every axis of length 1 taken away": "y = Squeeze (x)",
    "places that the data choose": "n = NonZero (x) y = Cast <to = 1> (n)",
    "the row's own position": (
        "b = Squeeze (size) z = Constant <value_int = 0> () o = Constant <value_int = 1> ()"
        " r = Range (z, b, o) y = Gather (x, r)"
    ),
    "no row for each row": "y = Abs (pair)",
    "a loop": (
        "n = Constant <value_int = 3> () on = Constant <value = bool {1}> ()"
        " y = Loop (n, on, x) <body = b (int64 i, bool c, float[p, q] v) => (d, w)"
        " {d = Identity (c) w = Relu (v)}>"
    ),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_where_there_is_no_sure_rule_nothing_is_claimed(name):
    verdict = read(UNDECIDED[name])
    assert verdict.verdict == "undecided", verdict
    assert verdict.node is not None


def test_softmax_before_version_13_works_along_all_axes_from_one_on():
    body = "t = Unsqueeze <axes = [0]> (x) u = Softmax <axis = 1> (t) y = Squeeze <axes = [0]> (u)"
    assert read(body, opset=11).verdict == "mixing"


def test_before_version_7_nothing_is_decided():
    assert read("y = Add <broadcast = 1, axis = 0> (x, x)", opset=6).verdict == "undecided"


FUNCTION = """
<domain: "own", opset_import: ["" : 18]>
scaled <axis> (v) => (w) {
    s = Softmax <axis: int = @axis> (v)
    w = Relu (s)
}
"""


@pytest.mark.parametrize(("axis", "expected"), [(1, "independent"), (0, "mixing")])
def test_a_function_is_read_as_its_call_binds_it(axis, expected):
    verdict = read(f"y = own.scaled <axis = {axis}> (x)", functions=FUNCTION)
    assert verdict.verdict == expected, verdict
    if expected == "mixing":
        assert verdict.node.endswith(".scaled/Softmax_0")


def test_an_input_that_a_call_leaves_out_is_left_out_inside():
    clipped = """
    <domain: "own", opset_import: ["" : 18]>
    scaled (v, low, high) => (w) {w = Clip (v, low, high)}
    """
    verdict = read("y = own.scaled (x, , scalar)", functions=clipped)
    assert verdict.verdict == "independent", verdict
    shorter = read("y = own.scaled (x, scalar)", functions=clipped)
    assert shorter.verdict == "independent", shorter


def test_a_function_that_calls_itself_is_undecided():
    loop = '\n<domain: "own", opset_import: ["own" : 1]>\nscaled (v) => (w) {w = own.scaled (v)}'
    assert read("y = own.scaled (x)", functions=loop).verdict == "undecided"


def test_all_inputs_share_the_batch():
    inputs = "float[batch, 4] x, float[batch, 1] weight"
    assert read("y = Mul (x, weight)", inputs=inputs).verdict == "independent"
    turned = read("t = Transpose (weight) y = Mul (x, t)", inputs=inputs)
    assert turned.verdict == "mixing"


@pytest.mark.parametrize("batch", ["batch", "", "8"], ids=["named", "nameless", "fixed"])
def test_axis_0_is_the_batch_whatever_it_is_called(batch):
    inputs = f"float[{batch or '?'}, 4] x"
    if not batch:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph(
            [helper.make_node("Softmax", ["x"], ["y"], axis=0)], "g", [x], [y]
        )
        (verdict,) = row_independence(helper.make_model(graph))
        assert verdict.verdict == "mixing"
        return
    assert read("y = Softmax <axis = 0> (x)", inputs=inputs).verdict == "mixing"
    assert read("y = Softmax <axis = 1> (x)", inputs=inputs).verdict == "independent"


def test_rows_of_a_constant_as_long_as_a_fixed_batch_must_be_equal():
    equal = "c = Constant <value = float[2, 1] {3, 3}> () y = Add (x, c)"
    unequal = "c = Constant <value = float[2, 1] {3, 4}> () y = Add (x, c)"
    assert read(equal, inputs="float[2, 4] x").verdict == "independent"
    assert read(unequal, inputs="float[2, 4] x").verdict == "mixing"


def test_a_file_for_one_row_is_not_refused_for_mixing_what_has_no_neighbours():
    assert read("y = Softmax <axis = 0> (x)", inputs="float[1, 4] x").verdict == "undecided"


@pytest.mark.parametrize("inputs", ["float x", "float[batch, batch] x"], ids=["scalar", "square"])
def test_an_input_without_a_clear_batch_axis_is_undecided(inputs):
    verdict = read("y = Relu (x)", inputs=inputs)
    assert verdict.verdict == "undecided"
    assert verdict.node is None


def test_each_output_has_its_own_verdict():
    text = f"""{HEADER.format(opset=18)}
    graph (float[batch, 4] x) => (float[batch, 4] good, float[batch, 4] bad) {{
        good = Relu (x)
        bad = Softmax <axis: int = 0> (x)
    }}"""
    good, bad = row_independence(onnx.parser.parse_model(text))
    assert (good.output, good.verdict, good.rests_on) == ("good", "independent", ("Relu",))
    assert (bad.output, bad.verdict, bad.node) == ("bad", "mixing", "main/Softmax_1")


def test_a_verdict_travels_through_json():
    verdict = read("y = Relu (x)")
    assert RowVerdict.model_validate_json(verdict.model_dump_json()) == verdict
    with pytest.raises(ValidationError):
        verdict.verdict = "mixing"
