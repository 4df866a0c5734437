"""What a person sees while a network is fitted: a progress bar, or plain lines into a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lockstep_train.fit.curves import Epoch

PLAIN_LINES = 10
"""Lines that a whole training writes where there is no terminal."""


@contextmanager
def follow(console: Console, epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """Show each epoch as it ends: number, loss, validation loss, time left.

    Args:
        console: where it is shown; plain lines where it is no terminal.
        epochs: at most.

    Yields:
        What is to be told of each epoch (``on_epoch`` of `fit.fit.fit`).
    """
    if not console.is_terminal:
        yield lambda epoch: _print_line(console, epoch, epochs)
        return
    columns = (
        TextColumn("epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=epochs)
        yield lambda epoch: progress.update(
            task, completed=epoch.number, description=_losses(epoch)
        )
        # Stopping early is an end as well: the bar is not left hanging.
        progress.update(task, total=progress.tasks[0].completed)


def _print_line(console: Console, epoch: Epoch, epochs: int) -> None:
    every = max(1, epochs // PLAIN_LINES)
    if epoch.number == 1 or epoch.number % every == 0:
        console.print(f"epoch {epoch.number}/{epochs}: {_losses(epoch)}", highlight=False)


def _losses(epoch: Epoch) -> str:
    return f"loss {epoch.train_loss:.4f}, validation loss {epoch.validation_loss:.4f}"
