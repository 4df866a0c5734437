"""Model files that are in training mode, and files that are not, made by torch and onnx themselves.

Each case says what must be found in it, and by which check. The builds are cached: a case costs its
export once a session. Where ``servable`` is set, the file takes float32 ``features`` [batch, 6] and
gives float32 ``probabilities`` [batch, 3], so a server could be asked to serve it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import numpy as np
import onnx
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody gives it

from planting import (
    CLASSES,
    FEATURES,
    HIDDEN,
    NESTING_NAMES,
    Around,
    Nodes,
    aside,
    batch_norm,
    batch_statistics,
    behind_identities,
    carried_flag,
    chain,
    chosen_flag,
    computed_flag,
    dropout,
    flag_node,
    microsoft,
    model_with,
    noise,
    planted,
    tensor,
)

Check = Literal["audit", "rows", "behaviour"]


RUNS = 40
"""So many runs of a network that draws are not all alike, however rarely it draws."""


@dataclass(frozen=True)
class Case:
    """One model file, and what is known of it.

    Attributes:
        name: unique, fit for a test's identifier.
        format: what kind of file it is.
        build: makes the file; use :meth:`read`, which does so once.
        verdict: what the audit must say.
        refused_by: the first check that must refuse it; None where nothing may.
        servable: whether it takes ``features`` [batch, 6] to ``probabilities`` [batch, 3].
        mixes_rows: whether a row's answer depends on its batch.
        random: whether the same batch gets different answers, with optimisations off.
    """

    name: str
    format: Literal["onnx", "torchscript"]
    build: Callable[[], bytes]
    verdict: Literal["clean", "training", "undecided"] = "training"
    refused_by: Check | None = "audit"
    servable: bool = True
    mixes_rows: bool = False
    random: bool = False

    def read(self) -> bytes:
        """The bytes of the file."""
        return _built(self.build)

    def __str__(self) -> str:
        return self.name


@cache
def _built(build: Callable[[], bytes]) -> bytes:
    return build()


# --- torch's own files ---------------------------------------------------------------------------


class ReferenceNetwork(nn.Module):
    """Linear → norm → ReLU → dropout → Linear → softmax."""

    def __init__(self, norm: nn.Module, dropout: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, HIDDEN)
        self.norm = norm
        self.dropout = dropout
        self.head = nn.Linear(HIDDEN, CLASSES)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(torch.relu(self.norm(self.linear(features))))
        return torch.softmax(self.head(hidden), dim=-1)


class ForgetfulDropout(nn.Module):
    """``F.dropout`` without ``training=``: it drops in eval mode too."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.dropout(hidden, 0.5)


class OwnBatchNorm(nn.Module):
    """Batch normalisation spelled out: no operator that a reader could know by its name."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        centred = hidden - hidden.mean(dim=0, keepdim=True)
        return centred / (centred.square().mean(dim=0, keepdim=True) + 1e-5).sqrt()


class TableNetwork(nn.Module):
    """What stands before and behind the blocks of a table: two members over columns of all kinds.

    Column 0, rounded, is a category, masked at random in training, one-hot and embedded. The others
    are numbers: imputed, placed among quantiles and in bins, waved, with a layer for each column.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("edges", torch.linspace(-6, 6, 5 * (FEATURES - 1)).view(-1, 5))
        self.register_buffer("heights", torch.randn(6 * (FEATURES - 1)))
        self.register_buffer("offset", torch.arange(FEATURES - 1) * 6)
        self.register_buffer("temperature", torch.tensor(1.5))
        self.frequencies = nn.Parameter(torch.randn(FEATURES - 1, 8))
        self.table = nn.Parameter(torch.randn(6, 3))
        self.columns = nn.Conv1d(16 * (FEATURES - 1), FEATURES - 1, 1, groups=FEATURES - 1)
        self.members = nn.ModuleList(nn.Linear(6 + 3 + 8 * (FEATURES - 1), CLASSES) for _ in "ab")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        dense = torch.cat(
            [self._categories(features[:, :1].round()), self._numbers(features[:, 1:])], 1
        )
        first, second = (F.softmax(m(dense) / self.temperature, dim=1) for m in self.members)
        return (first + second) * 0.5

    def _categories(self, codes: torch.Tensor) -> torch.Tensor:
        unknown = torch.tensor(4.0)
        whole = codes.abs().floor() == codes
        safe = torch.minimum(torch.where(whole, codes, unknown), unknown)
        if self.training:
            safe = torch.where(torch.rand_like(safe) < 0.5, unknown, safe)
        safe = torch.where(torch.isnan(codes), torch.tensor(5.0), safe)
        one_hot = (safe == torch.arange(6.0)).float()
        return torch.cat([one_hot, F.embedding(safe.long(), self.table).flatten(1)], 1)

    def _numbers(self, numbers: torch.Tensor) -> torch.Tensor:
        missing = torch.isnan(numbers)
        present = torch.where(missing, self.edges[:, 2], numbers)
        below = (present.unsqueeze(-1) >= self.edges).float().sum(-1).long()
        ranks = self.heights[below + self.offset]
        low, high = self.edges[:, :4], self.edges[:, 1:]
        bins = torch.maximum((present.unsqueeze(-1) - low) / (high - low), torch.zeros(4))
        bins = torch.minimum(bins, torch.ones(4)).reshape(-1, 4 * (FEATURES - 1))
        angles = present.unsqueeze(-1).clamp(-100, 100) * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], -1).reshape(-1, 16 * (FEATURES - 1), 1)
        layers = self.columns(waves).reshape(-1, FEATURES - 1)
        clipped = present / torch.sqrt(1 + present * present)
        return torch.cat([missing.float(), ranks, bins, layers, clipped], 1)


def table_network() -> TableNetwork:
    """The table's network in eval mode; its weights are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return TableNetwork().eval()


def reference_network(
    norm: Callable[[int], nn.Module] = nn.BatchNorm1d,
    dropout: Callable[[], nn.Module] = nn.Dropout,
) -> ReferenceNetwork:
    """The network of the corpus in eval mode; its weights and statistics are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = ReferenceNetwork(norm(HIDDEN), dropout())
        with torch.no_grad():
            for _ in range(4):  # running statistics that are not those of a fresh layer
                network.train()(torch.randn(32, FEATURES) * 3 + 1)
    return network.eval()


def sample_rows(rows: int = 8) -> np.ndarray:
    """Rows like those that the reference network was fed with, float32 ``[rows, 6]``."""
    generator = np.random.default_rng(11)
    return generator.normal(1, 3, (rows, FEATURES)).astype(np.float32)


@contextmanager
def _exporting() -> Iterator[None]:
    """What torch says of its own exporters, and of the modes that the corpus is about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*training mode.*", category=UserWarning)
        warnings.filterwarnings("ignore", message="ONNX (export mode|Pre)", category=UserWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield


def _dynamo(
    network: Callable[[], nn.Module] = reference_network, *, train: bool = False, **options: object
) -> bytes:
    with _exporting():
        program = torch.onnx.export(
            network().train(train),
            (torch.from_numpy(sample_rows()),),
            dynamo=True,
            dynamic_shapes=({0: "batch"},),
            input_names=["features"],
            output_names=["probabilities"],
            external_data=False,
            verbose=False,
            **options,
        )
    return program.model_proto.SerializeToString()


def _legacy(
    mode: torch.onnx.TrainingMode,
    network: Callable[[], nn.Module] = reference_network,
    *,
    train: bool = False,
    opset: int = 17,
    **options: object,
) -> bytes:
    buffer = io.BytesIO()
    with _exporting():
        torch.onnx.export(
            network().train(train),
            (torch.from_numpy(sample_rows()),),
            buffer,
            dynamo=False,
            training=mode,
            opset_version=opset,
            input_names=["features"],
            output_names=["probabilities"],
            dynamic_axes={"features": {0: "batch"}, "probabilities": {0: "batch"}},
            **options,
        )
    return buffer.getvalue()


def script(network: Callable[[], nn.Module], *, train: bool = False, freeze: bool = False) -> bytes:
    """The file of ``torch.jit.script``."""
    with _exporting():
        return _saved(torch.jit.script(network().train(train)), freeze=freeze)


def trace(network: Callable[[], nn.Module], *, train: bool = False, freeze: bool = False) -> bytes:
    """The file of ``torch.jit.trace``, unchecked: training mode answers differently each time."""
    with _exporting(), torch.random.fork_rng(devices=[]):
        rows = torch.from_numpy(sample_rows())
        traced = torch.jit.trace(network().train(train), rows, check_trace=False)
        return _saved(traced, freeze=freeze)


def _saved(module: torch.nn.Module, *, freeze: bool) -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.freeze(module) if freeze else module, buffer)
    return buffer.getvalue()


_WITHOUT_STATISTICS = partial(
    reference_network, norm=partial(nn.BatchNorm1d, track_running_stats=False)
)
_FORGETFUL = partial(reference_network, dropout=ForgetfulDropout)
_SPELLED_OUT = partial(reference_network, norm=lambda _: OwnBatchNorm())
_MODE = torch.onnx.TrainingMode

TORCH_ONNX = (
    Case("dynamo-train", "onnx", partial(_dynamo, train=True), random=True),
    Case(
        "dynamo-train-eval-flag-ignored",
        "onnx",
        partial(_dynamo, train=True, training=_MODE.EVAL),
        random=True,
    ),
    Case(
        "dynamo-train-unoptimised",
        "onnx",
        partial(_dynamo, train=True, optimize=False),
        random=True,
    ),
    Case("dynamo-eval-forgetful-dropout", "onnx", partial(_dynamo, _FORGETFUL), random=True),
    Case(
        "dynamo-eval-without-statistics",
        "onnx",
        partial(_dynamo, _WITHOUT_STATISTICS),
        mixes_rows=True,
    ),
    Case(
        "dynamo-eval-spelled-out-batch-norm",
        "onnx",
        partial(_dynamo, _SPELLED_OUT),
        verdict="clean",
        refused_by="rows",
        mixes_rows=True,
    ),
    *(
        Case(
            f"legacy-{mode.name.lower()}-opset-{opset}",
            "onnx",
            partial(_legacy, mode, train=True, opset=opset),
            # Before opset 14 onnxruntime refuses to load the training form of BatchNormalization.
            servable=opset >= 14,
            mixes_rows=True,
            random=True,
        )
        for mode, opset in (
            (_MODE.TRAINING, 9),
            (_MODE.TRAINING, 12),
            (_MODE.TRAINING, 17),
            (_MODE.PRESERVE, 14),
        )
    ),
    Case(
        "legacy-training-in-functions",
        "onnx",
        partial(
            _legacy,
            _MODE.TRAINING,
            train=True,
            opset=15,
            export_modules_as_functions={nn.Dropout},
        ),
        mixes_rows=True,
        random=True,
    ),
    Case(
        "legacy-eval-forgetful-dropout",
        "onnx",
        partial(_legacy, _MODE.EVAL, _FORGETFUL),
        random=True,
    ),
    Case(
        "dynamo-train-masks-codes", "onnx", partial(_dynamo, table_network, train=True), random=True
    ),
    Case("good-dynamo-eval", "onnx", _dynamo, "clean", None),
    Case("good-dynamo-eval-table", "onnx", partial(_dynamo, table_network), "clean", None),
    Case("good-dynamo-eval-unoptimised", "onnx", partial(_dynamo, optimize=False), "clean", None),
    Case("good-legacy-eval", "onnx", partial(_legacy, _MODE.EVAL), "clean", None),
    Case("good-legacy-eval-opset-9", "onnx", partial(_legacy, _MODE.EVAL, opset=9), "clean", None),
)

TORCHSCRIPT = (
    Case(
        "script-train",
        "torchscript",
        partial(script, reference_network, train=True),
        mixes_rows=True,
        random=True,
    ),
    Case("script-eval-unfrozen", "torchscript", partial(script, reference_network), "undecided"),
    Case(
        "trace-train",
        "torchscript",
        partial(trace, reference_network, train=True),
        mixes_rows=True,
        random=True,
    ),
    Case(
        "script-eval-forgetful-dropout",
        "torchscript",
        partial(script, _FORGETFUL, freeze=True),
        random=True,
    ),
    Case(
        "trace-eval-forgetful-dropout",
        "torchscript",
        partial(trace, _FORGETFUL, freeze=True),
        random=True,
    ),
    Case(
        "script-eval-without-statistics",
        "torchscript",
        partial(script, _WITHOUT_STATISTICS, freeze=True),
        mixes_rows=True,
    ),
    Case(
        "trace-eval-without-statistics",
        "torchscript",
        partial(trace, _WITHOUT_STATISTICS, freeze=True),
        mixes_rows=True,
    ),
    Case(
        "trace-eval-spelled-out-batch-norm",
        "torchscript",
        partial(trace, _SPELLED_OUT, freeze=True),
        verdict="clean",
        refused_by="behaviour",
        mixes_rows=True,
    ),
    Case(
        "trace-train-masks-codes",
        "torchscript",
        partial(trace, table_network, train=True),
        random=True,
    ),
    Case(
        "good-trace-frozen-table",
        "torchscript",
        partial(trace, table_network, freeze=True),
        "clean",
        None,
    ),
    Case(
        "good-trace-frozen",
        "torchscript",
        partial(trace, reference_network, freeze=True),
        "clean",
        None,
    ),
    Case(
        "good-script-frozen",
        "torchscript",
        partial(script, reference_network, freeze=True),
        "clean",
        None,
    ),
    Case("good-trace-unfrozen", "torchscript", partial(trace, reference_network), "clean", None),
)


# --- files written with onnx.helper --------------------------------------------------------------


def _function_mode(training_mode: int) -> bytes:
    """A function whose BatchNormalization takes its mode from an attribute of the call."""
    around = Around(opset=15, domains={"local": 1})
    formals = ["x", "scale", "bias", "mean", "var"]
    node = helper.make_node("BatchNormalization", formals, ["y"], "norm")
    node.attribute.add(name="training_mode", ref_attr_name="mode", type=onnx.AttributeProto.INT)
    node.output.extend(["new_mean", "new_var"] if training_mode else [])
    around.functions.append(
        helper.make_function(
            "local", "Norm", formals, ["y"], [node], [helper.make_opsetid("", 15)], ["mode"]
        )
    )
    return model_with(partial(_call_norm, formals[1:], training_mode), around).SerializeToString()


def _call_norm(
    statistics: list[str], training_mode: int, x: str, y: str, p: str
) -> list[NodeProto]:
    inputs = [x, *statistics]
    return [helper.make_node("Norm", inputs, [y], f"{p}_call", domain="local", mode=training_mode)]


def _training_info() -> bytes:
    model = model_with(dropout(None))
    model.training_info.add().algorithm.name = "step"
    return model.SerializeToString()


def _flag_tensor(name: str, *, on: bool) -> TensorProto:
    return numpy_helper.from_array(np.array(on), name)


def _sparse_flag(name: str) -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.array([True]), name)
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0])), [1])


def _bad(name: str, fragment: Nodes, claims: dict[str, object], **around: object) -> Case:
    return Case(name, "onnx", partial(_serialised, fragment, around), **claims)


def _good(name: str, fragment: Nodes, claims: dict[str, object], **around: object) -> Case:
    return _bad(name, fragment, {"verdict": "clean", "refused_by": None} | claims, **around)


def _serialised(fragment: Nodes, around: dict[str, object]) -> bytes:
    return model_with(fragment, Around(**around)).SerializeToString()


# Claims about a case.
_READ_ONLY = {"servable": False}
_RANDOM = {"random": True}
_MIXES_ROWS = {"mixes_rows": True}
_UNDECIDED = {"verdict": "undecided"}

_CONSUMED = {"consumed_inputs": [0, 0, 0, 1, 1]}

OLD_OPSETS = (
    # onnxruntime promises nothing below opset 7, and loads no training form of BatchNormalization
    # below 14: these are for reading only.
    _bad("dropout-opset-1", dropout(None, 1), _READ_ONLY, opset=1),
    _bad("dropout-opset-6", dropout(None, 6), _READ_ONLY, opset=6),
    _bad("dropout-opset-6-is-test-0", dropout(None, 6, is_test=0), _READ_ONLY, opset=6),
    _bad("batch-norm-opset-1", batch_norm(**_CONSUMED), _READ_ONLY, opset=1),
    _bad("batch-norm-opset-6", batch_norm(), _READ_ONLY, opset=6),
    *(
        _bad(f"batch-norm-opset-{opset}", batch_norm(5), _READ_ONLY, opset=opset)
        for opset in (7, 9, 13)
    ),
    _good("good-dropout-opset-1", dropout(None, 1, is_test=1), _READ_ONLY, opset=1),
    _good("good-dropout-opset-6", dropout(None, 6, is_test=1), _READ_ONLY, opset=6),
    _good("good-batch-norm-opset-1", batch_norm(is_test=1, **_CONSUMED), _READ_ONLY, opset=1),
    _good("good-batch-norm-opset-6", batch_norm(is_test=1), _READ_ONLY, opset=6),
    *(
        _good(f"good-{name}-opset-{opset}", fragment, {}, opset=opset)
        for opset in (7, 9, 11)
        for name, fragment in (("dropout", dropout(None, opset)), ("batch-norm", batch_norm()))
    ),
)


def _flag_input(name: str = "flag") -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, TensorProto.BOOL, [])]


def _flag_tensor(*, on: bool) -> TensorProto:
    return numpy_helper.from_array(np.array(on), "flag")


def _sparse_flag() -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.array([True]), "flag")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([0])), [1])


_FLAGGED = dropout("flag")
_MICROSOFT = {"com.microsoft": 1}
_TRAINING = "ai.onnx.preview.training"

FLAGS = (
    *(
        _bad(f"dropout-opset-{opset}", dropout("yes", opset), _RANDOM, opset=opset)
        for opset in (12, 13, 15, 18, 22)
    ),
    *(
        _bad(f"batch-norm-opset-{opset}", batch_norm(3, training_mode=1), _MIXES_ROWS, opset=opset)
        for opset in (14, 15, 18)
    ),
    _bad(
        "dropout-behind-identities", chain(behind_identities("yes", "flag", 5), _FLAGGED), _RANDOM
    ),
    _bad(
        "dropout-behind-constant",
        chain(flag_node("flag", "Constant", [], value=_flag_tensor(on=True)), _FLAGGED),
        _RANDOM,
    ),
    _bad(
        "dropout-behind-cast",
        chain(
            flag_node("one", "Constant", [], value_int=1),
            flag_node("flag", "Cast", ["one"], to=TensorProto.BOOL),
            _FLAGGED,
        ),
        _RANDOM,
    ),
    _bad("dropout-behind-not", chain(flag_node("flag", "Not", ["no"]), _FLAGGED), _RANDOM),
    _bad("dropout-behind-if", chosen_flag("yes"), _RANDOM),
    _bad("dropout-behind-sparse", _FLAGGED, _READ_ONLY, sparse=[_sparse_flag()]),
    _bad("dropout-nobody-uses", aside(dropout("yes")), {}),
    _bad(
        "dropout-overridable-true",
        _FLAGGED,
        _READ_ONLY,
        inputs=_flag_input(),
        initializers=[_flag_tensor(on=True)],
    ),
    _bad(
        "dropout-overridable-false",
        _FLAGGED,
        _UNDECIDED | _READ_ONLY,
        inputs=_flag_input(),
        initializers=[_flag_tensor(on=False)],
    ),
    _bad("dropout-flag-is-input", _FLAGGED, _UNDECIDED | _READ_ONLY, inputs=_flag_input()),
    _bad(
        "dropout-flag-behind-input",
        chain(behind_identities("given", "flag", 2), _FLAGGED),
        _UNDECIDED | _READ_ONLY,
        inputs=_flag_input("given"),
    ),
    _bad(
        "dropout-flag-chosen-by-input",
        chosen_flag("flag"),
        _UNDECIDED | _READ_ONLY,
        inputs=_flag_input(),
    ),
    _bad("dropout-flag-computed", computed_flag, _UNDECIDED | _RANDOM),
    _bad("dropout-flag-carried", carried_flag, _UNDECIDED),
    _bad("batch-norm-of-batch-statistics", batch_statistics, _MIXES_ROWS),
    _bad(
        "bitmask-dropout",
        microsoft("BitmaskDropout", ["ratio", "yes"]),
        _READ_ONLY,
        domains=_MICROSOFT,
    ),
    _bad(
        "bias-dropout",
        microsoft("BiasDropout", ["bias", "", "ratio", "yes"]),
        _READ_ONLY,
        domains=_MICROSOFT,
    ),
    _bad(
        "unknown-dropout",
        microsoft("DropoutGrad", ["ratio"]),
        _UNDECIDED | _READ_ONLY,
        domains=_MICROSOFT,
    ),
    _bad(
        "training-operator",
        lambda x, y, p: [
            helper.make_node("Gradient", [x], [y], f"{p}_gradient", domain=_TRAINING, xs=[x], y=x)
        ],
        _READ_ONLY,
        domains={_TRAINING: 1},
    ),
    Case("training-info", "onnx", _training_info, servable=False),
    _good("good-dropout-false", dropout("no"), {}),
    _good("good-dropout-without-flag", dropout(None), {}),
    _good(
        "good-dropout-behind-identities", chain(behind_identities("no", "flag", 5), _FLAGGED), {}
    ),
    _good("good-dropout-behind-not", chain(flag_node("flag", "Not", ["yes"]), _FLAGGED), {}),
    _good("good-batch-norm-opset-15", batch_norm(training_mode=0), {}, opset=15),
    _good(
        "good-batch-norm-behind-identities",
        chain(behind_identities("mean", "own_mean", 2), batch_norm(mean="own_mean")),
        {},
    ),
    _good(
        "good-bitmask-dropout",
        microsoft("BitmaskDropout", ["ratio", "no"]),
        _READ_ONLY,
        domains=_MICROSOFT,
    ),
)

RANDOM = tuple(
    _bad(f"random-{operator}", noise(operator, **attributes), _RANDOM)
    for operator, attributes in {
        "RandomNormal": {"shape": [HIDDEN]},
        "RandomUniform": {"shape": [HIDDEN]},
        "RandomNormalLike": {},
        "RandomUniformLike": {},
        "Bernoulli": {},
        "Multinomial": {"sample_size": HIDDEN},
    }.items()
)

NESTED = (
    *(
        Case(f"{name}-in-{nesting}", "onnx", partial(planted, fragment, [nesting]), **claims)
        for nesting in NESTING_NAMES
        for name, fragment, claims in (
            ("dropout", dropout("yes"), _RANDOM),
            ("batch-norm", batch_norm(3, training_mode=1), _MIXES_ROWS),
            ("good-dropout", dropout("no"), {"verdict": "clean", "refused_by": None}),
            ("good-batch-norm", batch_norm(), {"verdict": "clean", "refused_by": None}),
        )
    ),
    Case("batch-norm-mode-of-the-call", "onnx", partial(_function_mode, 1), mixes_rows=True),
    Case("good-batch-norm-mode-of-the-call", "onnx", partial(_function_mode, 0), "clean", None),
)


# --- other makers' good files --------------------------------------------------------------------


def _layer_norm(x: str, y: str, p: str) -> list[NodeProto]:
    return [
        helper.make_node("LayerNormalization", [x, "scale", "bias"], ["normal"], f"{p}_norm"),
        helper.make_node("Relu", ["normal"], [y], f"{p}_relu"),
    ]


def _relu(x: str, y: str, p: str) -> list[NodeProto]:
    return [helper.make_node("Relu", [x], [y], f"{p}_relu")]


def _classical(nodes: list[NodeProto], *more_outputs: onnx.ValueInfoProto) -> bytes:
    graph = helper.make_graph(
        nodes,
        "classical",
        [tensor("features", FEATURES)],
        [*more_outputs, tensor("probabilities", CLASSES)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()


_ML = partial(helper.make_node, domain="ai.onnx.ml")


def _linear_classifier() -> bytes:
    """Scaler → LinearClassifier → Normalizer, as sklearn-onnx writes a logistic regression."""
    coefficients = np.random.default_rng(5).normal(size=CLASSES * FEATURES)
    return _classical(
        [
            _ML(
                "Scaler", ["features"], ["scaled"], offset=[1.0] * FEATURES, scale=[0.3] * FEATURES
            ),
            _ML(
                "LinearClassifier",
                ["scaled"],
                ["label", "scores"],
                classlabels_ints=[0, 1, 2],
                coefficients=coefficients.tolist(),
                intercepts=[0.1, 0.0, -0.1],
                multi_class=1,
                post_transform="SOFTMAX",
            ),
            _ML("Normalizer", ["scores"], ["probabilities"], norm="L1"),
        ],
        helper.make_tensor_value_info("label", TensorProto.INT64, ["batch"]),
    )


def _tree_classifier() -> bytes:
    """Two trees of one split each, as sklearn-onnx writes a forest."""
    node = {
        "nodes_treeids": [0, 0, 0, 1, 1, 1],
        "nodes_nodeids": [0, 1, 2, 0, 1, 2],
        "nodes_featureids": [0, 0, 0, 3, 0, 0],
        "nodes_values": [1.0, 0.0, 0.0, 0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
        "nodes_truenodeids": [1, 0, 0, 1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0, 2, 0, 0],
        "class_treeids": [0, 0, 1, 1],
        "class_nodeids": [1, 2, 1, 2],
        "class_ids": [0, 1, 1, 2],
        "class_weights": [0.5, 0.5, 0.5, 0.5],
        "classlabels_int64s": [0, 1, 2],
        "post_transform": "NONE",
    }
    return _classical(
        [
            _ML("TreeEnsembleClassifier", ["features"], ["label", "scores"], **node),
            _ML("Normalizer", ["scores"], ["probabilities"], norm="L1"),
        ]
    )


OTHER_MAKERS = (
    _good("good-gemm-relu", _relu, {}),
    _good("good-layer-normalization", _layer_norm, {}),
    _good(
        "good-unknown-operator",
        lambda x, y, p: [helper.make_node("Twist", [x], [y], f"{p}_twist", domain="acme")],
        _READ_ONLY,
        domains={"acme": 1},
    ),
    Case(
        "good-scaler-linear-classifier", "onnx", _linear_classifier, "clean", None, servable=False
    ),
    Case("good-tree-ensemble", "onnx", _tree_classifier, "clean", None),
)

CASES = (*TORCH_ONNX, *TORCHSCRIPT, *OLD_OPSETS, *FLAGS, *RANDOM, *NESTED, *OTHER_MAKERS)
ONNX_CASES = tuple(case for case in CASES if case.format == "onnx")
TORCHSCRIPT_CASES = tuple(case for case in CASES if case.format == "torchscript")


def case(name: str) -> Case:
    """The case of that name."""
    return next(each for each in CASES if each.name == name)
