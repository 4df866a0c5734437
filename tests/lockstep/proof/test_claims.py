import pytest

from lockstep.proof.audit.finding import AuditReport, Finding
from lockstep.proof.behaviour import BatchInvariance, Determinism
from lockstep.proof.certificate import Certificate, EngineProof, this_machine
from lockstep.proof.claims import claims
from lockstep.proof.parity import Parity
from lockstep.proof.rows import RowVerdict

ALWAYS = Determinism(runs=100, rows=82, holds=True)
NEVER = Determinism(runs=100, rows=82, holds=False)
PLAIN = BatchInvariance(batch_sizes="1-64", tried=64, asked=64, batches=128, holds=True)
TILED = BatchInvariance(batch_sizes="16", tried=1, asked=1, batches=90, holds=True)
MIXED = BatchInvariance(
    batch_sizes="1-2",
    tried=2,
    asked=64,
    batches=3,
    holds=False,
    counterexample="row 3 at position 1 of a batch of 2",
)


def certificate(*, verdict="clean", rows="independent", engine=None, parity=()):
    kind = "training" if verdict == "training" else "undecided"
    found = Finding(node="main/D_0", operator="Dropout", kind=kind, problem="on", advice="Off.")
    return Certificate(
        machine=this_machine(1),
        audit={
            "model.onnx": AuditReport(
                format="onnx", operators=9, findings=() if verdict == "clean" else (found,)
            )
        },
        rows=(RowVerdict(output="y", verdict=rows, reason="So it is.", rests_on=("Gemm", "Relu")),),
        parity=tuple(parity),
        engines={"onnx": engine or EngineProof(determinism=ALWAYS, batch_invariance=PLAIN)},
    )


def row(claim, **options):
    return next(each for each in claims(certificate(**options)) if each.claim == claim)


@pytest.mark.parametrize(
    ("verdict", "holds"), [("clean", True), ("training", False), ("undecided", False)]
)
def test_an_audit_holds_only_where_it_is_clean(verdict, holds):
    found = row("inference mode", verdict=verdict)
    assert found.holds is holds
    assert found.measured.startswith(f"{verdict}, 9 operators read")


@pytest.mark.parametrize(
    ("rows", "verdict", "measured"),
    [
        ("independent", "holds", "read through Gemm, Relu"),
        ("mixing", "does not hold", "So it is."),
        ("undecided", "measured only", "So it is."),
    ],
)
def test_what_reading_cannot_decide_is_left_to_the_measurement_and_said(rows, verdict, measured):
    found = row("each row on its own", rows=rows)
    assert (found.verdict, found.measured) == (verdict, measured)


@pytest.mark.parametrize(
    ("engine", "holds", "measured"),
    [
        (EngineProof(determinism=ALWAYS, batch_invariance=PLAIN), True, "64 batch sizes (1-64)"),
        (
            EngineProof(determinism=ALWAYS, batch_invariance=MIXED, tile=16, tile_invariance=TILED),
            True,
            "in a tile of 16, every row at every position",
        ),
        (
            EngineProof(determinism=ALWAYS, batch_invariance=MIXED),
            False,
            "not so for row 3 at position 1 of a batch of 2",
        ),
    ],
    ids=["plain", "in a tile", "not at all"],
)
def test_batch_invariance_is_that_of_the_run_that_serves(engine, holds, measured):
    found = row("batch-invariant", engine=engine)
    assert (found.holds, found.measured) == (holds, measured)


def test_an_engine_that_is_random_without_its_optimisations_is_not_deterministic():
    engine = EngineProof(determinism=ALWAYS, determinism_unoptimised=NEVER, batch_invariance=PLAIN)
    assert row("deterministic", engine=engine).holds is False


def test_parity_names_the_output_where_there_are_several():
    def figures(output):
        return Parity(
            left="eager", right="onnx", output=output, rows=82, max_abs=2e-7, max_ulp=3,
            bound=1e-5, holds=True,
        )  # fmt: skip

    assert row("parity", parity=[figures("y")]).subject == "eager = onnx"
    assert row("parity", parity=[figures("y"), figures("z")]).subject == "eager = onnx in y"
    assert row("parity", parity=[figures("y")]).measured == "max abs 2e-07, 3 ulp, bound 1e-05"
