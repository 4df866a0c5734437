"""What a training shows while it runs."""

from rich.console import Console

from lockstep_train.fit.curves import Epoch
from lockstep_train.progress import follow


def epoch(number):
    return Epoch(number, 1e-3, 0.5, 0.6, 0.9, 0.8, 0.1)


def test_a_terminal_sees_one_bar_and_a_log_a_few_lines(capsys):
    with follow(Console(force_terminal=True, width=100), 40) as on_epoch:
        for number in range(1, 31):
            on_epoch(epoch(number))
    shown = capsys.readouterr().out
    assert "30/30" in shown
    assert "loss 0.5000, validation loss 0.6000" in shown
    with follow(Console(width=100), 40) as on_epoch:
        for number in range(1, 41):
            on_epoch(epoch(number))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11
    assert lines[0] == "epoch 1/40: loss 0.5000, validation loss 0.6000"
