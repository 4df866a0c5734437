"""Files that do harm where they are loaded do none where they are audited."""

import pytest

from corpus import case
from hostile import hostile
from lockstep.engine.torchscript import load_module
from lockstep.errors import EngineUnavailable, Unreadable
from lockstep.proof.audit.torchscript import audit_torchscript
from lockstep.proof.confined import audit as confined
from lockstep.proof.confined.audit import ample, audit_confined
from lockstep.proof.confined.confinement import confinable

pytestmark = [
    pytest.mark.skipif(not confinable(), reason="This machine confines no process."),
    pytest.mark.slow,
]


@pytest.mark.parametrize("name", ["trace-train", "script-eval-unfrozen", "good-trace-unfrozen"])
def test_a_confined_audit_reports_what_an_audit_here_reports(name):
    data = case(name).read()
    assert audit_confined("model.ts", data) == audit_torchscript(load_module(data))


def test_a_file_that_writes_when_it_is_loaded_writes_nothing(tmp_path):
    target = tmp_path / "target"
    writing = f'self.held = torch.from_file("{target}", True, 16).fill_(7.0)'
    data = hostile(writing)
    load_module(data)
    assert target.stat().st_size == 64  # this is what it does to those who load it
    target.unlink()
    with pytest.raises(Unreadable, match=r"model\.ts: torch cannot load .*not permitted"):
        audit_confined("model.ts", data)
    assert not target.exists()


def test_a_file_that_reads_others_when_it_is_loaded_reads_nothing(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    data = hostile(f'self.held = torch.from_file("{secret}", False, 16)')
    load_module(data)
    with pytest.raises(Unreadable, match="not permitted"):
        audit_confined("model.ts", data)


def test_a_file_that_takes_memory_without_end_is_unreadable():
    data = hostile("""
        taken = [self.held]
        while len(taken) < 1000000000:
            taken.append(torch.empty(10000000))
        self.held = taken[-1]
    """)
    with pytest.raises(Unreadable, match="memory"):
        audit_confined("model.ts", data)


def test_a_file_that_spins_for_ever_is_unreadable():
    data = hostile("""
        turns = 1
        while turns > 0:
            turns = turns % 7 + 1
        self.held = torch.zeros(turns)
    """)
    with pytest.raises(Unreadable, match=r"was ended by SIGKILL \(it has 1 s to compute\)"):
        audit_confined("model.ts", data, limits=ample(len(data))._replace(cpu_s=1))


def test_what_a_file_prints_is_not_taken_for_its_report():
    report = '{"report": {"format": "torchscript", "operators": 7, "findings": []}}'
    data = hostile(f"print('{report}')\nself.held = torch.rand(1)")
    assert audit_confined("model.ts", data).verdict == "training"


def test_what_a_file_says_moves_no_cursor():
    data = hostile('raise Exception("\x1b[2J\x9b1A gone")')
    with pytest.raises(Unreadable, match=r"\\x1b\[2J\\x9b1A gone") as caught:
        audit_confined("model.ts", data)
    assert str(caught.value).isprintable()


def test_a_report_without_end_is_not_read():
    data = case("trace-train").read()
    with pytest.raises(Unreadable, match=r"its report is longer than 0 KiB"):
        audit_confined("model.ts", data, limits=ample(len(data))._replace(file_bytes=500))


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("print('nonsense')", "wrote something else"),
        ("print('{\"report\": {}}')", "wrote something else"),
        ("print({})", "wrote something else"),
        ("pass", "wrote something else"),
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("import os; os.abort()", "was ended by SIGABRT"),
    ],
)
def test_a_reader_that_gives_no_report_is_not_believed(monkeypatch, program, how):
    monkeypatch.setattr(confined, "_PROGRAM", program)
    with pytest.raises(Unreadable, match=rf"report on model\.ts, .* {how}.*; do not load"):
        audit_confined("model.ts", b"model")


def test_a_reader_that_only_waits_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(confined, "_PROGRAM", "import time; time.sleep(600)")
    monkeypatch.setattr(confined, "START_S", 1)
    with pytest.raises(Unreadable, match="was not done after 1 s"):
        audit_confined("model.ts", b"model", limits=ample(0)._replace(cpu_s=0))


def test_a_reader_that_cannot_be_started_is_no_traceback(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(Unreadable, match=r"model\.ts: no process can be started .*/nowhere"):
        audit_confined("model.ts", b"model")


def test_where_nothing_can_be_confined_the_sentence_names_the_flag(monkeypatch):
    monkeypatch.setattr(confined, "confinable", lambda: False)
    with pytest.raises(Unreadable, match=r"model\.ts can run .* pass --unconfined\."):
        audit_confined("model.ts", b"model")


def test_without_torch_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(confined, "find_spec", lambda _: None)
    with pytest.raises(EngineUnavailable, match=r"model\.ts needs torch.*lockstep\[torchscript\]"):
        audit_confined("model.ts", b"model")
