"""What is in training mode is not served, and what is served cannot be put into it."""

import types

import numpy as np
import pytest
import torch

from corpus import CASES, sample_rows
from lockstep.artifact.columns import Column
from lockstep.artifact.folder import GOLDEN
from lockstep.artifact.golden import Golden
from lockstep.artifact.manifest import TensorSpec
from lockstep.engine.engine import MODEL_FILES, open_engine
from lockstep.engine.torchscript import load_module
from lockstep.errors import Disproved, ParityBroken, RowMixing, TrainingMode, Unrepeatable
from lockstep.proof.load import prove_at_load
from lockstep_service.errors import CannotStart
from lockstep_service.repository.load import load_repository
from lockstep_service.settings import Settings
from lockstep_service.view.telemetry import Telemetry
from planting import CLASSES, FEATURES
from serving import bits, golden_rows, resealed

pytestmark = pytest.mark.slow

BAD = [case for case in CASES if case.servable and case.refused_by]
GOOD = [case for case in CASES if case.servable and not case.refused_by]
REFUSED_AS = {
    "audit": TrainingMode,
    "rows": RowMixing,
    # Where a tile of one row makes it repeatable, it is no longer what its golden rows say.
    "behaviour": (RowMixing, Unrepeatable, ParityBroken),
}
LEAVES = (type, types.ModuleType, str, bytes, np.ndarray, torch.Tensor)
OUTPUTS = (TensorSpec(name="probabilities", datatype="FP32", shape=(-1, CLASSES)),)


def planted(case, artifact, models):
    """The file of a case in an artifact whose digests hold, with golden rows of its own making."""
    features = np.resize(sample_rows(16), (64, FEATURES))
    with torch.random.fork_rng(devices=[]):
        answers = open_engine(case.format, case.read(), OUTPUTS).run(features)[0]
    golden = Golden(features, {"probabilities": answers}, {case.format: {"probabilities": answers}})
    return resealed(
        artifact,
        models,
        {MODEL_FILES[case.format]: case.read(), GOLDEN: golden.to_bytes()},
        name="planted",
        columns=tuple(Column(name=f"feature_{i}") for i in range(FEATURES)),
        inputs=(TensorSpec(name="features", datatype="FP32", shape=(-1, FEATURES)),),
        outputs=OUTPUTS,
        classes=("a", "b", "c"),
    )


@pytest.mark.parametrize("case", BAD, ids=str)
def test_a_file_in_training_mode_is_refused_at_load_though_its_digests_hold(
    case, artifact, tmp_path
):
    written = planted(case, artifact, tmp_path)
    with pytest.raises(Disproved) as refusal:
        prove_at_load(written, case.format, threads=1, max_batch_rows=64, budget_s=5)
    assert isinstance(refusal.value, REFUSED_AS[case.refused_by])


@pytest.mark.parametrize("case", GOOD, ids=str)
def test_a_file_in_inference_mode_is_served(case, artifact, tmp_path):
    planted(case, artifact, tmp_path)
    repository = load_repository(Settings(models=tmp_path, engine=case.format), Telemetry())
    assert repository.find("planted").proof.batch_invariance.holds


def test_the_service_does_not_start_with_nothing_but_training_mode(artifact, tmp_path):
    case = next(case for case in BAD if case.format == "onnx" and case.refused_by == "audit")
    planted(case, artifact, tmp_path)
    with pytest.raises(CannotStart, match=r"model\.onnx is in training mode at .*Dropout"):
        load_repository(Settings(models=tmp_path), Telemetry())


def reachable(start):
    """Everything that attributes, containers, closures and bound methods lead to."""
    seen, waiting = {}, [start]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, LEAVES):
            continue
        seen[id(thing)] = thing
        waiting += _parts(thing)
    return list(seen.values())


def _parts(thing):
    if isinstance(thing, dict):
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, list | tuple | set | frozenset):
        return list(thing)
    if isinstance(thing, types.FunctionType):  # not its globals: those are the whole program's
        return [cell.cell_contents for cell in thing.__closure__ or ()]
    names = {*getattr(thing, "__dict__", {}), "__self__", "__func__", "__wrapped__"}
    names |= {name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())}
    if type(thing).__module__.startswith("torch"):
        names |= {name for name in dir(thing) if not name.startswith("__")}
    return [_attribute(thing, name) for name in names]


def _attribute(thing, name):
    try:
        return getattr(thing, name)
    except (AttributeError, RuntimeError):  # torch's answer where a graph or tensor has none
        return None


def test_the_walk_of_the_test_below_would_find_a_module():
    linear = torch.nn.Linear(1, 1)
    for hidden in ({"a": [linear.forward]}, lambda: linear, types.SimpleNamespace(x=(linear,))):
        assert any(isinstance(thing, torch.nn.Module) for thing in reachable(hidden))


def test_nothing_that_is_served_leads_to_a_module_or_to_its_mode(each_app):
    found = reachable(each_app.state.repository)
    assert len(found) > 50
    for thing in found:
        assert not isinstance(thing, torch.nn.Module)
        assert not hasattr(thing, "train")


def test_train_on_the_sealed_file_changes_nothing(torchscript_app, artifact):
    """Frozen: there is no attribute left for a mode, and no parameter to change."""
    rows = golden_rows(artifact)
    served = torchscript_app.state.repository.find("wine")
    module = load_module(served.artifact.read("model.ts"))
    with torch.inference_mode():
        before = module(torch.from_numpy(rows)).numpy()
        module.train()
        for submodule in module.modules():
            submodule.train(mode=True)
        after = module(torch.from_numpy(rows)).numpy()
    assert bits(before) == bits(after)
    assert not list(module.parameters())
    assert not list(module.buffers())
    assert "training" not in module.graph.str()


def test_gradients_are_off(torchscript_app, artifact):
    module = load_module(torchscript_app.state.repository.find("wine").artifact.read("model.ts"))
    assert not module(torch.from_numpy(golden_rows(artifact))).requires_grad
