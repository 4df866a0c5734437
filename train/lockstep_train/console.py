"""What a person is told before a network is fitted."""

from __future__ import annotations

from rich.console import Console

from lockstep.display import plain_table
from lockstep_train.data.dataset import Dataset
from lockstep_train.data.overview import HEADINGS, overview


def tell_data(console: Console, dataset: Dataset) -> None:
    """Show the columns, which rows go where, and what should be known of them."""
    rows = ", ".join(
        f"{len(part):,} {word}"
        for part, word in (
            (dataset.train, "to learn from"),
            (dataset.validation, "to stop by"),
            (dataset.test, "to test once"),
        )
    )
    say(console, f"{dataset.name}: {dataset.task} of {dataset.target_name}; rows: {rows}.")
    console.print(plain_table(HEADINGS, overview(dataset)))
    for note in dataset.notes:
        say(console, f"note: {note}")


def say(console: Console, sentence: str) -> None:
    """Show a sentence as it is."""
    console.print(sentence, soft_wrap=True, markup=False, highlight=False)
