from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812 - the name that everybody gives it

from corpus import (
    HIDDEN,
    RUNS,
    TORCHSCRIPT_CASES,
    Case,
    case,
    reference_network,
    sample_rows,
    script,
    trace,
)
from lockstep.proof.audit.torchscript import audit_torchscript


def load(data: bytes):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        return torch.jit.load(io.BytesIO(data))


def audit(data: bytes):
    return audit_torchscript(load(data))


@pytest.mark.parametrize("each", TORCHSCRIPT_CASES, ids=str)
def test_every_form_of_training_mode_is_found_and_no_good_file_is_refused(each: Case):
    report = audit(each.read())
    assert report.verdict == each.verdict, report.findings
    assert report.operators > 4
    assert all(finding.node and finding.problem for finding in report.findings)
    assert all(finding.advice.endswith(".") for finding in report.findings)


@pytest.mark.parametrize("each", TORCHSCRIPT_CASES, ids=str)
def test_the_corpus_behaves_as_it_says(each: Case):
    module, rows = load(each.read()), torch.from_numpy(sample_rows())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        together, *again = (module(rows) for _ in range(RUNS))
        assert together.shape == (len(rows), 3)
        assert all(torch.equal(together, other) for other in again) != each.random
        if not each.random:
            alone = torch.cat([module(rows[:2]), module(rows[2:])])
            assert np.allclose(alone, together, atol=1e-5) != each.mixes_rows


@pytest.mark.parametrize(
    ("name", "nodes", "advice"),
    [
        (
            "script-train",
            ["forward/norm/aten::batch_norm_0", "forward/dropout/aten::dropout_0"],
            "model.eval()",
        ),
        (
            "trace-train",
            ["forward/norm/aten::batch_norm_0", "forward/dropout/aten::dropout_0"],
            "model.eval()",
        ),
        (
            "script-eval-unfrozen",
            ["forward/norm/aten::batch_norm_0", "forward/dropout/aten::dropout_0"],
            "torch.jit.freeze",
        ),
        (
            "trace-eval-without-statistics",
            ["forward/aten::batch_norm_0"],
            "track_running_stats=True",
        ),
    ],
)
def test_a_finding_names_the_node_and_says_what_to_do(name, nodes, advice):
    findings = audit(case(name).read()).findings
    assert [finding.node for finding in findings] == nodes
    assert all(advice in finding.advice for finding in findings)


def test_eval_after_loading_repairs_a_scripted_file_and_no_traced_one():
    scripted, traced = (load(case(f"{way}-train").read()).eval() for way in ("script", "trace"))
    assert audit_torchscript(scripted).verdict == "undecided"
    assert audit_torchscript(traced).verdict == "training"


class Wrapped(nn.Module):
    """A hidden tensor through whatever is given, in a network without any other mode."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.linear = nn.Linear(6, HIDDEN)
        self.inner = inner

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.inner(self.linear(features))


class Noise(nn.Module):
    def __init__(self, draw: str) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (
            x
            + {
                "rand": lambda: torch.rand(HIDDEN),
                "rand_like": lambda: torch.rand_like(x),
                "randn": lambda: torch.randn(HIDDEN),
                "randn_like": lambda: torch.randn_like(x),
                "randint": lambda: torch.randint(3, (HIDDEN,)),
                "randint_like": lambda: torch.randint_like(x, 3),
                "randperm": lambda: torch.randperm(HIDDEN),
                "normal": lambda: torch.normal(x, 1.0),
                "normal_": lambda: torch.zeros(HIDDEN).normal_(),
                "uniform_": lambda: torch.zeros(HIDDEN).uniform_(),
                "exponential_": lambda: torch.zeros(HIDDEN).exponential_(),
                "geometric_": lambda: torch.zeros(HIDDEN).geometric_(0.5),
                "cauchy_": lambda: torch.zeros(HIDDEN).cauchy_(),
                "log_normal_": lambda: torch.zeros(HIDDEN).log_normal_(),
                "random_": lambda: torch.zeros(HIDDEN).random_(),
                "bernoulli": lambda: torch.bernoulli(torch.sigmoid(x)),
                "bernoulli_": lambda: torch.zeros(HIDDEN).bernoulli_(0.5),
                "multinomial": lambda: torch.multinomial(torch.sigmoid(x), HIDDEN),
                "poisson": lambda: torch.poisson(torch.sigmoid(x)),
                "native_dropout": lambda: torch.native_dropout(x, 0.5, True)[0],
            }[self.draw]()
        )


DRAWS = [
    "rand",
    "rand_like",
    "randn",
    "randn_like",
    "randint",
    "randint_like",
    "randperm",
    "normal",
    "normal_",
    "uniform_",
    "exponential_",
    "geometric_",
    "cauchy_",
    "log_normal_",
    "random_",
    "bernoulli",
    "bernoulli_",
    "multinomial",
    "poisson",
    "native_dropout",
]


@pytest.mark.parametrize("draw", DRAWS)
def test_every_random_operator_is_found(draw):
    report = audit(trace(lambda: Wrapped(Noise(draw)), freeze=True))
    assert report.verdict == "training"
    assert [finding.operator for finding in report.findings] == [f"aten::{draw}"]


class Attention(nn.Module):
    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 1, 2, 4)
        x = F.scaled_dot_product_attention(x, x, x, dropout_p=self.probability)
        return x.flatten(1)


class Recurrent(nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, num_layers=2, dropout=dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


class PerChannel(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.reshape(-1, 2, 4)).flatten(1)


LAYERS = {
    "dropout": (nn.Dropout, True),
    "alpha dropout": (nn.AlphaDropout, True),
    "feature alpha dropout": (nn.FeatureAlphaDropout, True),
    "channel dropout": (lambda: PerChannel(nn.Dropout1d()), True),
    "in-place dropout": (lambda: nn.Dropout(inplace=True), True),
    "random leaky ReLU": (nn.RReLU, True),
    "batch norm": (lambda: nn.BatchNorm1d(HIDDEN), True),
    "instance norm that tracks": (
        lambda: PerChannel(nn.InstanceNorm1d(2, track_running_stats=True)),
        True,
    ),
    "instance norm": (lambda: PerChannel(nn.InstanceNorm1d(2)), False),
    "layer norm": (lambda: nn.LayerNorm(HIDDEN), False),
    "group norm": (lambda: nn.GroupNorm(2, HIDDEN), False),
    "recurrent layers with dropout": (lambda: Recurrent(0.3), True),
    "recurrent layers without": (lambda: Recurrent(0.0), False),
    "linear": (lambda: nn.Linear(HIDDEN, HIDDEN), False),
}


@pytest.mark.slow
@pytest.mark.parametrize("export", [script, trace])
@pytest.mark.parametrize(("layer", "has_mode"), LAYERS.values(), ids=LAYERS)
def test_a_layer_is_found_in_training_mode_and_clean_once_frozen_in_eval_mode(
    export, layer, has_mode
):
    trained = audit(export(lambda: Wrapped(layer()), train=True))
    assert trained.verdict == ("training" if has_mode else "clean")
    frozen = audit(export(lambda: Wrapped(layer()), freeze=True))
    assert frozen.verdict == "clean", frozen.findings
    unfrozen = audit(script(lambda: Wrapped(layer())))
    assert unfrozen.verdict == ("undecided" if has_mode else "clean")


@pytest.mark.parametrize(("probability", "verdict"), [(0.1, "training"), (0.0, "clean")])
def test_attention_is_judged_by_its_dropout_probability(probability, verdict):
    assert audit(trace(lambda: Wrapped(Attention(probability)))).verdict == verdict


class Guarded(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            x = x + torch.rand_like(x)
        return x


def test_what_runs_only_in_training_mode_is_undecided_until_it_is_frozen():
    unfrozen = audit(script(lambda: Wrapped(Guarded())))
    assert [finding.kind for finding in unfrozen.findings] == ["undecided"]
    assert "only while" in unfrozen.findings[0].problem
    assert audit(script(lambda: Wrapped(Guarded()), freeze=True)).verdict == "clean"
    assert audit(script(lambda: Wrapped(Guarded()), train=True)).verdict == "training"


class Callers(nn.Module):
    """A helper whose flag is an argument, called with whatever each method passes."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def drop(self, x: torch.Tensor, flag: bool) -> torch.Tensor:
        return F.dropout(self.linear(x), 0.5, flag)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(x, False)


class OtherMethod(Callers):
    @torch.jit.export
    def explore(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(x, True)


class InFork(Callers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.jit.wait(torch.jit.fork(self.drop, x, True))


class InLoop(Callers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in range(x.shape[0]):
            if step > 1:
                x = self.drop(x, True)
        return x


class ByBatchSize(Callers):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(x, x.shape[0] > 4)


class ByAttribute(Callers):
    def __init__(self) -> None:
        super().__init__()
        self.on = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.on = not self.on
        return self.drop(x, self.on)


@pytest.mark.parametrize(
    ("network", "verdict"),
    [
        (Callers, "clean"),
        (OtherMethod, "training"),
        (InFork, "training"),
        (InLoop, "training"),
        (ByBatchSize, "undecided"),
        (ByAttribute, "undecided"),
    ],
)
def test_a_flag_that_is_an_argument_is_what_the_callers_pass(network, verdict):
    assert audit(script(network)).verdict == verdict


def drop_after(module, inputs: tuple[torch.Tensor], output: torch.Tensor):  # noqa: ARG001
    return F.dropout(output, 0.5, True)


def test_a_hook_is_read_too():
    def network() -> nn.Module:
        hooked = Callers()
        hooked.register_forward_hook(drop_after)
        return hooked

    drop_after.__annotations__ |= {"inputs": tuple[torch.Tensor], "output": torch.Tensor}
    assert audit(script(network)).verdict == "training"


class Statistics(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, x.detach().mean(0), x.detach().var(0), training=False)


def test_statistics_computed_from_the_rows_are_training():
    report = audit(trace(lambda: Wrapped(Statistics()), freeze=True))
    assert [finding.operator for finding in report.findings] == ["aten::batch_norm"]
    assert report.verdict == "training"


@settings(max_examples=20, deadline=None)
@given(
    layers=st.lists(st.sampled_from(["linear", "relu", "norm"]), max_size=4),
    place=st.integers(0, 4),
    depth=st.integers(0, 3),
    training=st.booleans(),
    traced=st.booleans(),
)
def test_a_dropout_is_found_wherever_it_stands(layers, place, depth, training, traced):
    def network() -> nn.Module:
        makers = {
            "linear": lambda: nn.Linear(6, 6),
            "relu": nn.ReLU,
            "norm": lambda: nn.BatchNorm1d(6),
        }
        modules = [makers[layer]().eval() for layer in layers]
        planted: nn.Module = nn.Dropout()
        for _ in range(depth):
            planted = nn.Sequential(planted)
        return Planted(*modules[:place], planted, *modules[place:], on=training)

    report = audit((trace if traced else script)(network))
    dropouts = [finding for finding in report.findings if "dropout" in finding.operator]
    assert any(finding.kind == "training" for finding in dropouts) == training
    assert len(dropouts) == (1 if training or not traced else 0)


class Planted(nn.Sequential):
    """Layers in eval mode, but for every Dropout among them where ``on`` is set."""

    def __init__(self, *modules: nn.Module, on: bool) -> None:
        super().__init__(*modules)
        self.on = on

    def train(self, mode: bool = True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.training = self.on
        return self


def test_auditing_changes_nothing():
    module = load(case("script-train").read())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    audit_torchscript(module)
    assert module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_the_reference_network_is_the_same_each_time():
    first, second = reference_network(), reference_network()
    rows = torch.from_numpy(sample_rows())
    assert torch.equal(first(rows), second(rows))
    assert not first.training
