"""The choice among a table's columns: the network's columns, in its order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lockstep.artifact.columns import Column
from lockstep.errors import SHOWN_PROBLEMS, Unreadable
from lockstep.spelling import nearest_word
from lockstep.table.chunk import Note


def choose(path: Path, names: Sequence[str], columns: Sequence[Column], note: Note) -> list[int]:
    """Find each column of the network in the table.

    Args:
        path: of the table.
        names: of the table's columns, without duplicates.
        columns: of the network.
        note: is called with a sentence that names the columns that are ignored.

    Returns:
        The place in the table of each column of the network.

    Raises:
        Unreadable: naming the columns that the table lacks.
    """
    known = {column.name for column in columns}
    # Blanks around a name are ignored, unless another column has the same name without them.
    places = {name.strip(): place for place, name in enumerate(names)}
    places |= {name: place for place, name in enumerate(names)}
    found: list[int] = []
    absent: list[str] = []
    for column in columns:
        bare = column.name.strip()
        name = column.name if column.name in places or bare in known else bare
        if name in places:
            found.append(places[name])
        else:
            absent.append(column.name)
    taken = set(found)
    extra = [name for place, name in enumerate(names) if place not in taken]
    if absent:
        near = nearest_word(absent[0], extra)
        hint = f" Is {near!r} meant for {absent[0]!r}?" if near else ""
        listed = ", ".join(absent[:SHOWN_PROBLEMS])
        more = f" and {len(absent) - SHOWN_PROBLEMS} more" if len(absent) > SHOWN_PROBLEMS else ""
        raise Unreadable(
            f"{path} lacks {len(absent)} of the network's {len(columns)} columns: "
            f"{listed}{more}.{hint} The first line must name the columns (else: --no-header)."
        )
    if extra:
        note(f"{path}: passing over columns that the network does not know: {', '.join(extra)}.")
    return found
