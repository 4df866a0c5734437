"""What is served, what is refused, and what the rest of the world is told of it."""

import shutil
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.artifact.folder import SERVING_FILES, open_artifact
from lockstep_service.app import create_app
from lockstep_service.errors import CannotStart, NotServing, UnknownModel
from lockstep_service.repository import load as loading
from lockstep_service.repository.load import load_repository
from lockstep_service.settings import Settings
from lockstep_service.view.telemetry import Telemetry
from serving import ask, assert_problem, copied, flip_byte, golden_rows, post, resealed


def load(models, **given_settings):
    return load_repository(Settings(models=models, **given_settings), Telemetry())


def spoil(folder):
    flip_byte(folder / "model.onnx", 500)


def garble(folder):
    (folder / "golden.npz").write_bytes(b"no archive")


def rename(folder):
    folder.parent.rename(folder.parent.with_name("other"))


def cut(folder):
    (folder / "manifest.json").unlink()


def renumber(folder):
    folder.rename(folder.with_name("7"))


BAD = {
    "a flipped byte": (spoil, "wine/versions/1", "is not the file that was sealed"),
    "unreadable golden rows": (garble, "wine/versions/1", "is not the file that was sealed"),
    "no manifest": (cut, "wine/versions/1", "holds no manifest.json"),
    "the folder of another name": (rename, "other/versions/1", "must bear the name"),
    "the folder of another version": (renumber, "wine/versions/7", "must bear the name"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_artifact_beside_a_good_one_is_reported_and_the_rest_is_served(
    bad, artifact, gauge, tmp_path
):
    make_bad, path, reason = BAD[bad]
    make_bad(copied(artifact, tmp_path))
    copied(gauge, tmp_path)
    app = create_app(Settings(models=tmp_path))
    name = path.partition("/")[0]

    answer = post(app, "/models/gauge/predict", {"instances": [[1, "red"]]})
    assert answer.status_code == 200
    for place in (name, path):
        refused = ask(app, "GET", f"/v2/models/{place}/ready")
        assert refused.status_code == 503
        assert refused.json()["ready"] is False
        assert reason in refused.json()["reason"]
        assert_problem(ask(app, "GET", f"/v2/models/{place}"), 503, reason)
    predicted = post(app, f"/models/{name}/predict", {"instances": []})
    assert_problem(predicted, 503, reason)
    assert predicted.headers["retry-after"] == "1"
    assert ask(app, "GET", "/v2/models/gauge/ready").status_code == 200
    assert ask(app, "GET", "/v2/health/ready").status_code == 503
    assert ask(app, "GET", "/v2/health/ready").json() == {"ready": False}
    assert ask(app, "GET", "/v2/health/live").status_code == 200


def test_a_bad_version_of_a_good_name_is_reported_and_the_last_good_one_serves(artifact, tmp_path):
    copied(artifact, tmp_path)
    resealed(artifact, tmp_path, {}, version=2)
    spoil(resealed(artifact, tmp_path, {}, version=3).path)
    app = create_app(Settings(models=tmp_path))

    assert ask(app, "GET", "/v2/health/ready").status_code == 200
    assert ask(app, "GET", "/v2/models/wine/ready").status_code == 200
    assert ask(app, "GET", "/v2/models/wine").json()["versions"] == ["1", "2"]
    refused = ask(app, "GET", "/v2/models/wine/versions/3/ready")
    assert (refused.status_code, refused.json()["ready"]) == (503, False)
    body = {"instances": golden_rows(artifact)[:1].tolist()}
    assert post(app, "/predict", body).json()["version"] == 2
    assert post(app, "/models/wine/versions/1/predict", body).json()["version"] == 1
    assert_problem(post(app, "/models/wine/versions/3/predict", body), 503, "was refused")
    unknown = post(app, "/models/wine/versions/4/predict", body)
    assert_problem(unknown, 404, "no version '4' of wine; it has 1, 2")


def test_versions_are_ordered_as_numbers(artifact, tmp_path):
    for version in (9, 10):
        resealed(artifact, tmp_path, {}, version=version)
    assert load(tmp_path).find("wine").manifest.version == 10


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    file=st.sampled_from([*sorted(SERVING_FILES), "manifest.json", "digest"]),
    position=st.integers(0, 2**20),
    bit=st.integers(0, 7),
)
def test_any_flipped_bit_of_a_serving_file_is_refused(artifact_copy, file, position, bit):
    path = artifact_copy / file
    whole = path.read_bytes()
    spoiled = bytearray(whole)
    spoiled[position % len(whole)] ^= 1 << bit
    path.write_bytes(spoiled)
    try:
        with pytest.raises(CannotStart):
            load(artifact_copy.parent.parent)
    finally:
        path.write_bytes(whole)


def test_a_changed_card_is_only_warned_of(artifact_copy, capsys):
    flip_byte(artifact_copy / "card.md", 10)
    assert load(artifact_copy).find("wine").manifest.version == 1
    assert "paper changed" in capsys.readouterr().out


def test_a_single_artifact_may_be_the_models_folder(artifact, tmp_path):
    folder = tmp_path / "mounted"
    shutil.copytree(artifact, folder)
    served = load(folder).find()
    assert (served.manifest.name, served.manifest.version) == ("wine", 1)


def test_a_single_bad_artifact_is_nothing_to_serve(artifact_copy):
    flip_byte(artifact_copy / "manifest.json", 0)
    with pytest.raises(CannotStart, match="do not belong together"):
        load(artifact_copy)


def test_hidden_temporary_and_foreign_entries_are_passed_over(artifact, tmp_path):
    copied(artifact, tmp_path)
    shutil.copytree(artifact, tmp_path / ".hidden" / "1")
    shutil.copytree(artifact, tmp_path / "wine" / ".writing-0a1b")
    (tmp_path / "wine" / "latest").mkdir()
    (tmp_path / "wine" / "²").mkdir()
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "README.md").write_text("# Models")
    loaded = load(tmp_path)
    assert list(loaded.models) == ["wine"]
    assert list(loaded.models["wine"].served) == [1]
    assert loaded.ready


def test_a_folder_that_cannot_be_listed_is_passed_over(artifact, tmp_path, monkeypatch, capsys):
    """As lost+found of a mounted volume is for anybody but root, as which tests may run."""
    copied(artifact, tmp_path)
    (tmp_path / "lost+found").mkdir()

    def forbidden(folder):
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied")
        return [1]

    monkeypatch.setattr("lockstep_service.repository.load.version_numbers", forbidden)
    assert list(load(tmp_path).models) == ["wine"]
    assert "folder passed over" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["no folder", "an empty folder", "a file", "an empty name"])
def test_nothing_to_serve_is_said_with_what_to_do(kind, tmp_path):
    folder = tmp_path / "models"
    if kind == "a file":
        folder.write_text("")
    elif kind != "no folder":
        (folder / ("wine" if kind == "an empty name" else "")).mkdir(parents=True)
    with pytest.raises(CannotStart, match=r"nothing to serve in .*lockstep train digits"):
        load(folder)


def test_every_reason_is_said_where_all_are_refused(artifact, gauge, tmp_path):
    spoil(copied(artifact, tmp_path))
    cut(copied(gauge, tmp_path))
    with pytest.raises(CannotStart, match=r"(?s)no manifest\.json.*not the file that was sealed"):
        load(tmp_path)


def test_an_error_that_nobody_foresaw_refuses_one_artifact_only(
    artifact, gauge, tmp_path, monkeypatch, capsys
):
    copied(artifact, tmp_path)
    copied(gauge, tmp_path)
    prove = loading.prove_at_load

    def stumbling(artifact, *words, **options):
        if artifact.manifest.name == "gauge":
            raise ZeroDivisionError
        return prove(artifact, *words, **options)

    monkeypatch.setattr(loading, "prove_at_load", stumbling)
    loaded = load(tmp_path)
    assert loaded.find("wine")
    assert not loaded.ready
    with pytest.raises(NotServing, match="ZeroDivisionError"):
        loaded.find("gauge")
    assert "Traceback" in capsys.readouterr().out


def test_an_engine_without_a_file_refuses_the_model(artifact, pair, tmp_path):
    copied(artifact, tmp_path)
    copied(pair, tmp_path)
    loaded = load(tmp_path, engine="torchscript")
    assert loaded.find("wine").proof.engine == "torchscript"
    with pytest.raises(NotServing, match=r"holds no model\.ts"):
        loaded.find("pair")


def test_several_models_need_a_name_or_a_default(artifact, gauge, tmp_path):
    copied(artifact, tmp_path)
    copied(gauge, tmp_path)
    with pytest.raises(UnknownModel, match=r"gauge, wine.*LOCKSTEP_DEFAULT_MODEL"):
        load(tmp_path).find()
    assert load(tmp_path, default_model="gauge").find().manifest.name == "gauge"
    with pytest.raises(CannotStart, match="default model 'beer' is not in"):
        load(tmp_path, default_model="beer")


def test_what_is_looked_up_never_grows_with_what_is_asked(artifact):
    loaded = load(artifact)
    for i in range(100):
        with pytest.raises(UnknownModel):
            loaded.find(f"model-{i}")
        with pytest.raises(UnknownModel):
            loaded.find("wine", f"{i + 2}")
    loaded.find()
    loaded.find("wine")
    loaded.find("wine", "1")
    assert len(loaded._paths) == 3


def test_loading_keeps_to_its_budget_and_says_what_was_sampled(artifact):
    begin = time.monotonic()
    proof = load(artifact, proof_budget_s=0.001, max_batch_rows=4096).find().proof
    assert time.monotonic() - begin < 3
    assert proof.batch_invariance.asked == 4096
    assert proof.batch_invariance.tried < 4096


def test_a_budget_that_is_over_before_the_measuring_does_not_make_it_a_proof(artifact):
    """Opening an engine may take longer than the budget; then a tile is still needed here."""
    patient = load(artifact, engine="torchscript").find().proof
    hasty = load(artifact, engine="torchscript", proof_budget_s=1e-6).find().proof
    assert hasty.batch_invariance.tried > 0
    assert hasty.tile == patient.tile


def test_two_applications_in_one_process_share_nothing(models, gauge):
    first, second = create_app(Settings(models=models)), create_app(Settings(models=gauge))
    assert ask(first, "GET", "/v2/models/gauge").status_code == 404
    assert ask(second, "GET", "/v2/models/wine").status_code == 404


def test_the_digest_in_the_metadata_is_that_of_the_artifact(app, artifact):
    digest = ask(app, "GET", "/v2/models/wine").json()["digest"]
    assert digest == open_artifact(artifact).digest
