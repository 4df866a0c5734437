"""What a study found, as sentences and tables: its best trials, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lockstep_train.report.markdown import markdown_table
from lockstep_train.tune.result.tuning import Attempt, Tuning

SHOWN_TRIALS = 10


def trial_columns(tuning: Tuning) -> tuple[str, ...]:
    """The headings of `trial_rows`: the settings' own names, without their sections."""
    names = [dimension.name.split(".")[-1] for dimension in tuning.space.dimensions]
    return ("trial", "validation loss" if tuning.folds == 1 else "mean loss", *names)


def trial_rows(tuning: Tuning, most: int = SHOWN_TRIALS) -> list[tuple[str, ...]]:
    """The best trials, the best one first, and the configuration that was given.

    Args:
        tuning: the study.
        most: number of rows; the given configuration's is added where it is not among them.
    """
    shown = list(tuning.ranked[:most])
    if tuning.given is not None and tuning.given not in shown:
        shown.append(tuning.given)
    return [_trial_row(tuning, attempt) for attempt in shown]


def _trial_row(tuning: Tuning, attempt: Attempt) -> tuple[str, ...]:
    number = f"{attempt.number} (as given)" if attempt.given else str(attempt.number)
    values = _values(tuning, attempt)
    settings = [_shown(values[dimension.name]) for dimension in tuning.space.dimensions]
    return (number, f"{attempt.loss:.5f}", *settings)


def _values(tuning: Tuning, attempt: Attempt) -> Mapping[str, Any]:
    return tuning.space.given_values() if attempt.given else attempt.values


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def influence_rows(tuning: Tuning) -> list[tuple[str, ...]]:
    """What mattered, as rows of a table: setting, its share, and what to take."""
    return [
        (influence.name, f"{100 * influence.share:.0f} %", influence.direction)
        for influence in tuning.influences
    ]


def describe_study(tuning: Tuning) -> str:
    """What the study holds, in two or three sentences."""
    pruned = sum(attempt.ending == "pruned" for attempt in tuning.attempts)
    diverged = sum("diverged" in attempt.sentence for attempt in tuning.attempts)
    counts = f"{len(tuning.ranked)} trials were measured to their end, {pruned} were ended before"
    counts += f" ({diverged} of them diverged)." if diverged else "."
    best, given = tuning.best, tuning.given
    if given is None:
        result = f"The best is trial {best.number} with a loss of {best.loss:.5f}."
    elif best.given:
        result = f"None was better than the configuration as given, whose loss is {best.loss:.5f}."
    else:
        result = (
            f"The best is trial {best.number} with a loss of {best.loss:.5f}; the configuration "
            f"as given has {given.loss:.5f}."
        )
    if tuning.interrupted:
        result += " The study was interrupted: the same command goes on with it."
    return f"{counts} {result}"


def study_markdown(tuning: Tuning) -> str:
    """The study as a Markdown text: what it holds, the best trials, what mattered."""
    parts = [
        f"# Study {tuning.name}",
        describe_study(tuning),
        markdown_table(trial_columns(tuning), trial_rows(tuning)),
    ]
    if tuning.influences:
        parts += [
            "What mattered (PED-ANOVA), and in which direction:",
            markdown_table(("setting", "share", "direction"), influence_rows(tuning)),
        ]
    return "\n\n".join(parts) + "\n"
