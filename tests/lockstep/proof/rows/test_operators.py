"""The rule of each operator, held against what the operator does when it runs."""

import onnx
import pytest

from brute_force import dependence, session_of
from lockstep.proof.rows import row_independence

WIDTH = 16
HEADER = '<ir_version: 9, opset_import: ["" : {opset}, "ai.onnx.ml" : 3]>'
# An image [batch, 2, 2, 4], a sequence [batch, 4, 4], the batch in its middle, small constants.
GIVEN = """
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    two = Constant <value_ints = [2]> ()
    rest = Constant <value_ints = [-1]> ()
    half = Constant <value_float = 0.5> ()
    point = Constant <value = uint8 {3}> ()
    pair = Constant <value_floats = [1.0, 2.0]> ()
    four = Constant <value_floats = [1.0, 2.0, 3.0, 4.0]> ()
    image_shape = Constant <value_ints = [-1, 2, 2, 4]> ()
    image = Reshape (x, image_shape)
    sequence_shape = Constant <value_ints = [-1, 4, 4]> ()
    sequence = Reshape (x, sequence_shape)
    inside = Transpose <perm = [1, 0, 2]> (sequence)
    size = Shape <start = 0, end = 1> (x)
    large = ArgMax <axis = 1, keepdims = 0> (x)
    quarter = Constant <value_int = 4> ()
    small = Mod (large, quarter)
"""


def model_of(body, *, opset):
    text = f"{HEADER.format(opset=opset)} g (float[batch, {WIDTH}] x) => (y) {{{GIVEN}{body}}}"
    model = onnx.parser.parse_model(text)
    needed = {"y"}
    for node in reversed(list(model.graph.node)):
        if needed.isdisjoint(node.output):
            model.graph.node.remove(node)
            continue
        needed.update(node.input)
        for attribute in node.attribute:
            needed.update(name for inner in attribute.g.node for name in inner.input)
    inferred = onnx.shape_inference.infer_shapes(model)
    kind = inferred.graph.output[0].type.tensor_type.elem_type
    y = onnx.helper.make_tensor_value_info("y", kind or onnx.TensorProto.FLOAT, None)
    model.graph.output[0].CopyFrom(y)
    return model


INDEPENDENT = {
    "AveragePool, rounded up": (
        "p = AveragePool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (image)"
        " y = Flatten (p)"
    ),
    "BatchNormalization": "y = BatchNormalization (image, pair, pair, pair, pair)",
    "BatchNormalization of rows on the last axis": (
        "t = Transpose <perm = [1, 2, 3, 0]> (image)"
        " n = BatchNormalization (t, pair, pair, pair, pair)"
        " y = Transpose <perm = [3, 0, 1, 2]> (n)"
    ),
    "Not": "b = Greater (x, half) y = Not (b)",
    "Cast": "y = Cast <to = 11> (x)",
    "CastLike": "c = CastLike (two, x) y = Mul (x, c)",
    "Clip without a lower bound": "y = Clip (x, , half)",
    "Compress": (
        "c = Constant <value = bool[4] {1, 0, 1, 1}> () y = Compress <axis = 1> (sequence, c)"
    ),
    "Conv": (
        "w = Constant <value = float[3, 2, 2, 2] {"
        + ", ".join(map(str, range(24)))
        + "}> () c = Conv <pads = [1, 0, 1, 0]> (image, w) y = Flatten (c)"
    ),
    "Conv with a padding of its own choice": (
        "w = Constant <value = float[1, 2, 1, 2] {1, 2, 3, 4}> ()"
        ' y = Conv <auto_pad = "SAME_UPPER"> (image, w)'
    ),
    "ConvTranspose": (
        "w = Constant <value = float[2, 1, 1, 2] {1, 2, 3, 4}> () y = ConvTranspose (image, w)"
    ),
    "ConvInteger": (
        "q = QuantizeLinear (image, half, point) w = Constant <value = uint8[1, 2, 1, 1] {1, 2}> ()"
        " y = ConvInteger (q, w, point)"
    ),
    "CumSum": "y = CumSum (x, one)",
    "DepthToSpace": (
        "p = Transpose <perm = [0, 3, 1, 2]> (image) y = DepthToSpace <blocksize = 2> (p)"
    ),
    "DequantizeLinear": (
        "q = QuantizeLinear (x, half, point) y = DequantizeLinear (q, half, point)"
    ),
    "DequantizeLinear by column": (
        "q = QuantizeLinear (x, half, point) r = Reshape (q, sequence_shape)"
        " z = Constant <value = uint8[4] {0, 1, 2, 3}> ()"
        " y = DequantizeLinear <axis = 1> (r, four, z)"
    ),
    "Det": "y = Det (sequence)",
    "Dropout": "y, m = Dropout (x, half)",
    "Einsum of an ellipsis": (
        'y = Einsum <equation = "...ij,j->...i"> (sequence, four)'
    ),
    "Einsum without an arrow": 'y = Einsum <equation = "aij,j"> (sequence, four)',
    "Flatten of a later axis": "p = Flatten <axis = 2> (image) y = Reshape (p, image_shape)",
    "GatherElements": (
        "i = ArgMax <axis = 1> (sequence) y = GatherElements <axis = 1> (sequence, i)"
    ),
    "Gather from a table": (
        "t = Constant <value = float[4, 2] {1, 2, 3, 4, 5, 6, 7, 8}> () y = Gather (t, small)"
    ),
    "Gather of columns": "y = Gather <axis = 2> (sequence, one)",
    "Gather before the batch": (
        "g = Gather <axis = 0> (inside, two) y = Transpose <perm = [1, 0, 2]> (g)"
    ),
    "GatherND in the row's own part": (
        "i = Unsqueeze (small, one) y = GatherND <batch_dims = 1> (sequence, i)"
    ),
    "GatherND of columns": (
        "i = Constant <value = int64[1, 1] {2}> () g = GatherND (inside, i)"
        " y = Transpose <perm = [1, 0, 2]> (g)"
    ),
    "GatherND from a table": "i = Unsqueeze (small, one) y = GatherND (four, i)",
    "GlobalAveragePool": "y = GlobalAveragePool (image)",
    "GRU": (
        "w = Constant <value = float[1, 3, 4] {1,2,3,4,5,6,7,8,9,1,2,3}> ()"
        " r = Constant <value = float[1, 3, 1] {1, 2, 3}> ()"
        " s, h = GRU <hidden_size = 1> (inside, w, r) y = Transpose <perm = [1, 0, 2]> (h)"
    ),
    "GridSample": (
        "s = Constant <value_ints = [-1, 2, 4, 2]> () g = Reshape (x, s)"
        " y = GridSample (image, g)"
    ),
    "GroupNormalization, as exporters write it": (
        "s = Constant <value_ints = [0, 2, -1]> () g = Reshape (image, s)"
        " n = InstanceNormalization (g, pair, pair) t = Shape (image) y = Reshape (n, t)"
    ),
    "Hardmax": "y = Hardmax (x)",
    "If with a constant that is not read": (
        "m = Constant <value = float[1, 1] {2}> () d = Det (m) c = Greater (d, half)"
        " y = If (c) <then_branch = t () => (a) {a = Relu (x)},"
        " else_branch = e () => (b) {b = Abs (x)}>"
    ),
    "InstanceNormalization": "y = InstanceNormalization (image, pair, pair)",
    "LayerNormalization": "y = LayerNormalization <axis = 2> (sequence, four, four)",
    "LpNormalization": "y = LpNormalization <axis = 1> (x)",
    "LpPool": "y = LpPool <kernel_shape = [2, 2]> (image)",
    "LRN": "y = LRN <size = 3> (image)",
    "MatMul of stacked constants": (
        "w = Constant <value = float[4, 4, 1] {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}> ()"
        " u = Unsqueeze (sequence, two) y = MatMul (u, w)"
    ),
    "MatMul with a vector": "y = MatMul (sequence, four)",
    "MatMul of a vector": "y = MatMul (four, sequence)",
    "MatMulInteger": (
        "q = QuantizeLinear (x, half, point) w = Constant <value = uint8[16, 1] {"
        + ", ".join(map(str, range(16)))
        + "}> () y = MatMulInteger (q, w, point)"
    ),
    "MaxPool": "y = MaxPool <kernel_shape = [2, 2], dilations = [1, 2]> (image)",
    "MeanVarianceNormalization": "y = MeanVarianceNormalization <axes = [1, 2, 3]> (image)",
    "OneHot": "y = OneHot <axis = 1> (small, two, pair)",
    "Pad": "p = Constant <value_ints = [0, 1, 0, 2]> () y = Pad (x, p)",
    "Pad of named axes": "p = Constant <value_ints = [1, 2]> () y = Pad (x, p, , one)",
    "PRelu": "y = PRelu (sequence, four)",
    "QLinearConv": (
        "q = QuantizeLinear (image, half, point) w = Constant <value = uint8[1, 2, 1, 1] {1, 2}> ()"
        " c = QLinearConv (q, half, point, w, half, point, half, point)"
        " y = DequantizeLinear (c, half, point)"
    ),
    "QLinearMatMul": (
        "q = QuantizeLinear (x, half, point) w = Constant <value = uint8[16, 1] {"
        + ", ".join(map(str, range(16)))
        + "}> () m = QLinearMatMul (q, half, point, w, half, point, half, point)"
        " y = DequantizeLinear (m, half, point)"
    ),
    "ReduceProd of a shape": (
        "s = Shape (sequence) n = ReduceProd (s) f = Reshape (sequence, n)"
        " y = Reshape (f, sequence_shape)"
    ),
    "Resize by scales": (
        "s = Constant <value_floats = [1.0, 1.0, 2.0, 0.5]> () y = Resize (image, , s)"
    ),
    "Resize by sizes": (
        "c = Constant <value_ints = [2, 4, 2]> () s = Concat <axis = 0> (size, c)"
        " y = Resize (image, , , s)"
    ),
    "ReverseSequence": (
        "l = Add (small, one) y = ReverseSequence <batch_axis = 0, time_axis = 1> (sequence, l)"
    ),
    "ScatterElements": (
        "i = ArgMax <axis = 1> (sequence) v = ReduceMax (sequence, one)"
        " y = ScatterElements <axis = 1> (sequence, i, v)"
    ),
    "ScatterND of columns": (
        "i = Constant <value = int64[1, 1] {2}> () v = Gather <axis = 0> (inside, zero)"
        " s = ScatterND (inside, i, v) y = Transpose <perm = [1, 0, 2]> (s)"
    ),
    "SequenceInsert": (
        "e = SequenceConstruct (x) l = SequenceInsert (e, x) y = ConcatFromSequence <axis = 1> (l)"
    ),
    "Size": "n = Size (x) s = Reshape (n, rest) f = Reshape (x, s) y = Reshape (f, image_shape)",
    "SpaceToDepth": "y = SpaceToDepth <blocksize = 2> (image)",
    "Split by lengths": "l = Constant <value_ints = [4, 12]> () y, z = Split <axis = 1> (x, l)",
    "SplitToSequence into columns": (
        "p = SplitToSequence <axis = 1, keepdims = 0> (sequence) a = SequenceAt (p, zero)"
        " y = ConcatFromSequence <axis = 1, new_axis = 1> (p)"
    ),
    "Squeeze of every axis, without rows": (
        "c = Unsqueeze (four, zero) v = Squeeze (c) y = Add (sequence, v)"
    ),
    "Tile of a shape": (
        "r = Concat <axis = 0> (size, one) c = Unsqueeze (pair, zero) y = Tile (c, r)"
    ),
    "Trilu": "y = Trilu (sequence)",
    "Where over a mask of the row": (
        "n = IsNaN (x) y = Where (n, half, x)"
    ),
    "Binarizer": "y = ai.onnx.ml.Binarizer (x)",
    "LinearClassifier": (
        "four_columns = Constant <value_ints = [4]> () f = Slice (x, zero, four_columns, one)"
        " l, y = ai.onnx.ml.LinearClassifier <intercepts = [0.0, 1.0], classlabels_ints = [0, 1],"
        " coefficients = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],"
        ' post_transform = "SOFTMAX"> (f)'
    ),
    "ArrayFeatureExtractor": "y = ai.onnx.ml.ArrayFeatureExtractor (x, two)",
    "FeatureVectorizer": (
        "y = ai.onnx.ml.FeatureVectorizer <inputdimensions = [16, 16]> (x, x)"
    ),
    "Imputer": (
        "y = ai.onnx.ml.Imputer <imputed_value_floats = [1.0], replaced_value_float = 0.0> (x)"
    ),
    "LabelEncoder": (
        "y = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1], values_int64s = [5, 6]> (small)"
    ),
    "Normalizer": 'y = ai.onnx.ml.Normalizer <norm = "L2"> (x)',
    "OneHotEncoder": "y = ai.onnx.ml.OneHotEncoder <cats_int64s = [0, 1, 2]> (small)",
}  # fmt: skip

MIXING = {
    "BatchNormalization in training mode": (
        "y, m, v = BatchNormalization <training_mode = 1> (image, pair, pair, pair, pair)"
    ),
    "Compress": "c = Constant <value = bool[1] {1}> () y = Compress <axis = 0> (x, c)",
    "DynamicQuantizeLinear": "y, s, z = DynamicQuantizeLinear (x)",
    "Einsum of rows with rows": 'y = Einsum <equation = "bi,ci->bc"> (x, x)',
    "EyeLike": "e = EyeLike (x) y = Add (x, e)",
    "Gather of every other row": "a = Unsqueeze (large, one) y = Gather <axis = 1> (x, large)",
    "GatherElements of the first rows": (
        "i = Constant <value = int64[1, 1] {0}> () g = GatherElements <axis = 1> (x, i)"
        " y = Add (x, g)"
    ),
    "GatherND of the first row": "g = GatherND (x, zero) y = Add (x, g)",
    "InstanceNormalization with the batch inside": (
        "t = Unsqueeze (inside, zero) f = Flatten <axis = 2> (t)"
        " w = Constant <value_ints = [1, 4, -1]> () v = Reshape (inside, w)"
        " n = InstanceNormalization (v, four, four) y = ReduceMax <keepdims = 0> (n)"
    ),
    "LayerNormalization over the batch": (
        "t = Transpose (x) u = Softmax <axis = 1> (t) y = Transpose (u)"
    ),
    "MatMul of rows with rows": "t = Transpose (x) y = MatMul (x, t)",
    "MeanVarianceNormalization": "y = MeanVarianceNormalization (image)",
    "ReverseSequence along the batch": (
        "n = Constant <value_ints = [2, 2, 2, 2]> ()"
        " y = ReverseSequence <batch_axis = 1, time_axis = 0> (sequence, n)"
    ),
    "Split of the batch": (
        "t = Concat <axis = 0> (x, x, x) a, y = Split <axis = 0, num_outputs = 2> (t)"
    ),
    "Trilu": "y = Trilu (x)",
    "ScatterND of the first row": (
        "i = Constant <value = int64[1, 1] {0}> () v = Gather <axis = 0> (x, zero)"
        " w = Mul (v, half) y = ScatterND (x, i, w)"
    ),
    "Tile by the batch": (
        "r = Concat <axis = 0> (one, size) t = Tile (x, r) y = ReduceSum (t, one)"
    ),
    "Resize by the batch": (
        "s = Concat <axis = 0> (size, two, two, size) y = Resize (image, , , s)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INDEPENDENT)
def test_an_operator_that_keeps_rows_apart_is_called_independent_and_is(name):
    model = model_of(INDEPENDENT[name], opset=18)
    (verdict,) = row_independence(model)
    assert verdict.verdict == "independent", verdict
    assert dependence(session_of(model), WIDTH) is None


@pytest.mark.parametrize("name", MIXING)
def test_an_operator_that_mixes_rows_is_called_mixing_and_does(name):
    model = model_of(MIXING[name], opset=18)
    (verdict,) = row_independence(model)
    assert verdict.verdict == "mixing", verdict
    assert dependence(session_of(model), WIDTH) is not None


OLD = {
    "Clip-6": (10, "y = Clip <min = 0.0, max = 1.0> (x)"),
    "Dropout-10": (10, "y = Dropout <ratio = 0.5> (x)"),
    "Pad-2": (10, "y = Pad <pads = [0, 1, 0, 1]> (x)"),
    "ReduceSum-1": (12, "y = ReduceSum <axes = [1]> (x)"),
    "Resize-10": (10, "s = Constant <value = float[2] {1, 2}> () y = Resize (x, s)"),
    "Slice-1": (9, "y = Slice <axes = [1], starts = [1], ends = [3]> (x)"),
    "Softmax-1": (12, "y = Softmax (x)"),
    "Split-2": (12, "y, z = Split <axis = 1, split = [4, 12]> (x)"),
    "Squeeze-1": (12, "u = Unsqueeze <axes = [1]> (x) y = Squeeze <axes = [1]> (u)"),
    "TopK-1": (9, "y, i = TopK <k = 2> (x)"),
}


@pytest.mark.parametrize("name", OLD)
def test_the_attributes_of_old_versions_are_read(name):
    opset, body = OLD[name]
    header = HEADER.format(opset=opset)
    text = f"{header} g (float[batch, {WIDTH}] x) => (float[m, n] y) {{{body}}}"
    model = onnx.parser.parse_model(text.replace(', "ai.onnx.ml" : 3', ""))
    (verdict,) = row_independence(model)
    assert verdict.verdict == "independent", verdict
    assert dependence(session_of(model), WIDTH) is None
