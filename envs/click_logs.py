"""Logs of what was shown and clicked, as people keep them: a table with a row for every shown item.

The columns, in any order, further ones being ignored:

| column | holds |
|---|---|
| ``session`` | the visit it belongs to, any text; a person's visits stand in the order they happened |
| ``turn`` | which slate of the visit, a whole number that grows within it |
| ``position`` | the place in the slate, best first, counted from 0 or from 1 |
| ``item`` | the item's id, as in the catalogue's ``item_ids`` |
| ``clicked`` | 1 or 0 (true or false will do) |
| ``person`` | optional: whose visit it is, any text; without it every visit is a person of its own |
| ``instruction`` | optional: what the person said before the slate; empty where it said nothing new |

A table is a CSV file (``.csv``, ``.csv.gz``) or a Parquet file (``.parquet``, read with pyarrow).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import Catalogue
from instructrec.envs.files import Files
from instructrec.envs.read_tables import ParquetReader, Reader
from instructrec.envs.tables import Table, TableReader

COLUMNS = ("session", "turn", "position", "item", "clicked")
OPTIONAL = ("person", "instruction")
_TRUTH = {"1": True, "0": False, "true": True, "false": False, "1.0": True, "0.0": False}
_PARQUET = (".parquet", ".pq")
TABLES = (".csv", ".csv.gz", *_PARQUET)
"""How the names of tables end."""


@dataclass(frozen=True)
class ClickLog:
    """Slates that were shown and what was clicked of them; session by session, each in order.

    Attributes:
        items: Item numbers, padded with -1 at the end, int32 [num_slates, slate_size].
        clicked: Which of them were clicked, [num_slates, slate_size].
        session: The session of each slate, ascending from 0, int32 [num_slates].
        said: What was said before each slate, a place in ``texts``, int32 [num_slates]; what was said before where
            nothing new was, and 0, the empty text, where nothing was said at all.
        person: Whose each session is, a place in ``persons``, int32 [num_sessions].
        persons: The people's names.
        texts: What was said, the empty text first.
    """

    items: npt.NDArray[np.int32]
    clicked: npt.NDArray[np.bool_]
    session: npt.NDArray[np.int32]
    said: npt.NDArray[np.int32]
    person: npt.NDArray[np.int32]
    persons: tuple[str, ...]
    texts: tuple[str, ...]

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The first slate of each session, and the number of slates, int64 [num_sessions + 1]."""
        return np.searchsorted(self.session, np.arange(len(self.person) + 1)).astype(np.int64)

    @property
    def turn(self) -> npt.NDArray[np.int64]:
        """How many slates of its session came before each, [num_slates]."""
        return np.arange(len(self.session)) - self.starts[self.session]

    @property
    def last(self) -> npt.NDArray[np.bool_]:
        """Whether a slate is the last of its session, [num_slates]."""
        return np.append(self.session[1:] != self.session[:-1], True)

    def past(self, most: int) -> npt.NDArray[np.int32]:
        """Returns what the person clicked in earlier sessions, the latest ``most`` items, oldest first, padded with -1.

        Returns:
            int32 [num_sessions, most].
        """
        found = np.full((len(self.person), most), -1, np.int32)
        clicks: dict[int, list[int]] = {}
        for session, (person, start, end) in enumerate(
            zip(self.person.tolist(), self.starts[:-1], self.starts[1:], strict=True)
        ):
            before = clicks.setdefault(person, [])
            found[session, : len(before)] = before
            now = self.items[start:end][self.clicked[start:end]].tolist()
            # An item stands where it was clicked last.
            before[:] = reversed(list(dict.fromkeys(reversed(before + now)))[:most])
        return found

    def clicked_before(self) -> npt.NDArray[np.bool_]:
        """Returns which of the shown items had been clicked in an earlier slate of the session, as ``clicked``."""
        again = np.zeros_like(self.clicked)
        seen: set[int] = set()
        session = -1
        for row, now in enumerate(self.session.tolist()):
            if now != session:
                session, seen = now, set()
            if seen:
                again[row] = [item in seen for item in self.items[row].tolist()]
            seen.update(self.items[row][self.clicked[row]].tolist())
        return again

    def of(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Returns the slates of the people chosen, a truth value per person [num_persons]."""
        return np.flatnonzero(chosen[self.person][self.session])


def read_log(path: str | os.PathLike[str], catalogue: Catalogue) -> ClickLog:
    """Reads a log; the module says how it must look.

    Args:
        path: A ``.csv``, ``.csv.gz`` or ``.parquet`` file.
        catalogue: Whose items were shown.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing or a row makes no sense; the message names the line (the row, in a Parquet
            file) and the cure.
        ImportError: If it is a Parquet file and pyarrow is not installed.
    """
    table = log_table(Path(path))
    session, names = _numbered(table.filled("session"))
    turn, position = table.integers("turn"), table.integers("position")
    items, clicked = _items(table, catalogue), truth_cells(table, "clicked")
    order = np.lexsort((position, turn, session))
    session, turn, position = session[order], turn[order], position[order]
    fresh = np.append(True, (session[1:] != session[:-1]) | (turn[1:] != turn[:-1]))
    slate = np.cumsum(fresh) - 1
    place = np.arange(len(order)) - np.flatnonzero(fresh)[slate]
    check_positions(table, order, fresh, position, place)
    shape = (int(slate[-1]) + 1, int(place.max()) + 1)
    shown, marked = np.full(shape, -1, np.int32), np.zeros(shape, np.bool_)
    shown[slate, place], marked[slate, place] = items[order], clicked[order]
    check_distinct(table, order, fresh, shown, catalogue.item_ids)
    if not marked.any() or (marked | (shown < 0)).all():
        some = "every" if marked.any() else "no"
        raise ValueError(f"{table.source}: {some} shown item was clicked; a log needs items clicked and items not")
    person, persons = _persons(table, order, session, names)
    said, texts = _said(table, order, fresh, session)
    return ClickLog(shown, marked, session[fresh].astype(np.int32), said, person, persons, texts)


def open_log(path: Path) -> Reader:
    """Opens a table by its name; its ``header`` tells what it may be.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If its name is none of a table, or it is not what its name says.
        ImportError: If it is a Parquet file and pyarrow is not installed.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the log in it, such as {path / 'log.csv'}")
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a log as .csv, .csv.gz or .parquet")
    if not path.name.lower().endswith(TABLES):
        raise ValueError(f"{path} is no table this reads; a log is named .csv, .csv.gz or .parquet")
    files = Files.at(path)
    return ParquetReader(files, path.name) if path.suffix.lower() in _PARQUET else TableReader(files, path.name)


def log_table(path: Path, columns: Sequence[str] = COLUMNS, optional: Sequence[str] = OPTIONAL) -> Table:
    """Returns the table's ``columns``, and those of the ``optional`` ones that it has, as text.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a line has too few cells, or there is no row.
        ImportError: If it is a Parquet file and pyarrow is not installed.
    """
    reader = open_log(path)
    return next(reader.blocks([*columns, *(name for name in optional if name in reader.header)], rows=None))


def _numbered(cells: Sequence[str]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Returns a number per cell, in order of first appearance, and what they stand for."""
    codes: dict[str, int] = {}
    numbers = np.fromiter((codes.setdefault(cell, len(codes)) for cell in cells), np.int64, len(cells))
    return numbers, tuple(codes)


def _items(table: Table, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    places = {name: place for place, name in enumerate(catalogue.item_ids)}
    cells = table.filled("item")
    items = np.fromiter((places.get(cell, -1) for cell in cells), np.int64, len(cells))
    unknown = np.flatnonzero(items < 0)
    if len(unknown):
        row = int(unknown[0])
        more = f" (nor are {len(unknown) - 1:,} further {table.unit}s')" if len(unknown) > 1 else ""
        raise ValueError(
            f"{table.at(row)}: item {cells[row]!r} is not in the catalogue{more}; ids are those of item_ids, such as "
            f"{catalogue.item_ids[0]!r}: add the item, or remove every line of its slate"
        )
    return items


def truth_cells(table: Table, name: str) -> npt.NDArray[np.bool_]:
    """Returns a column of truth values, such as which rows were clicked.

    Raises:
        ValueError: If a cell is neither 1 nor 0; the message names its line.
    """
    cells = table.columns[name]
    for row, cell in enumerate(cells):
        if cell.lower() not in _TRUTH:
            raise ValueError(f"{table.at(row)}: {name} is {cell!r}, expected 1 or 0; correct it or remove the slate")
    return np.fromiter((_TRUTH[cell.lower()] for cell in cells), np.bool_, len(cells))


class Placed(Protocol):
    """Rows of which can be said where they stand, as of a `Table`."""

    @property
    def unit(self) -> str:
        """What ``lines`` count: "line" or "row"."""
        ...

    @property
    def lines(self) -> Any:
        """The line of each row."""
        ...

    def at(self, row: int) -> str:
        """Returns where a row stands, for the beginning of a message."""
        ...


def check_positions(
    table: Placed,
    order: npt.NDArray[np.int64],
    fresh: npt.NDArray[np.bool_],
    position: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
) -> None:
    """Requires that slates have no gap and no position twice, counted from 0 or from 1 throughout.

    Args:
        table: Where the rows stand.
        order: The rows, slate by slate and each from top to bottom, [num_rows].
        fresh: Whether a slate begins, in that order.
        position: The positions, in that order.
        place: The positions that follow from the order, from 0.

    Raises:
        ValueError: If it is not so; the message names the line and the cure.
    """
    low = int(position.min())
    if low not in (0, 1):
        row = int(order[position.argmin()])
        raise ValueError(f"{table.at(row)}: position is {low}; positions are counted from 0 or from 1, best first")
    twice = np.flatnonzero(~fresh[1:] & (position[1:] == position[:-1])) + 1
    if len(twice):
        here, before = sorted((int(order[twice[0]]), int(order[twice[0] - 1])), reverse=True)
        raise ValueError(
            f"{table.at(here)}: position {position[twice[0]]} of this slate stood on "
            f"{table.unit} {table.lines[before]} already; keep one of the two, or number the turns"
        )
    wrong = np.flatnonzero(position != place + low)
    if len(wrong):
        row = int(order[wrong[0]])
        raise ValueError(
            f"{table.at(row)}: position is {position[wrong[0]]}, expected {place[wrong[0]] + low}: this log counts "
            f"from {low}, and a slate has no gaps; add the missing lines or number the positions again"
        )


def check_distinct(
    table: Placed,
    order: npt.NDArray[np.int64],
    fresh: npt.NDArray[np.bool_],
    shown: npt.NDArray[np.int32],
    item_ids: Sequence[str],
) -> None:
    """Requires slates of distinct items.

    Args:
        table: Where the rows stand.
        order: As in `check_positions`.
        fresh: As in `check_positions`.
        shown: The slates, padded with -1, [num_slates, slate_size].
        item_ids: The items' ids.

    Raises:
        ValueError: If one holds an item twice; the message names the line and the cure.
    """
    ordered = np.sort(shown, axis=1)
    repeated = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if repeated.any():
        slate = int(repeated.argmax())
        items = shown[slate].tolist()
        place = next(place for place, item in enumerate(items) if item in items[:place])
        row = int(order[np.flatnonzero(fresh)[slate] + place])
        raise ValueError(
            f"{table.at(row)}: item {item_ids[items[place]]!r} stands in this slate twice; a slate holds "
            "distinct items, so remove one, or number the turns"
        )


def _persons(
    table: Table, order: npt.NDArray[np.int64], session: npt.NDArray[np.int64], names: tuple[str, ...]
) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    if "person" not in table.columns:
        return np.arange(len(names), dtype=np.int32), names
    of_row, persons = _numbered(table.filled("person"))
    of_row = of_row[order]
    first = np.flatnonzero(np.append(True, session[1:] != session[:-1]))
    person = of_row[first]
    other = np.flatnonzero(of_row != person[session])
    if len(other):
        row = int(order[other[0]])
        raise ValueError(
            f"{table.at(row)}: person is {persons[of_row[other[0]]]!r}, but session {names[session[other[0]]]!r} began "
            f"with {persons[person[session[other[0]]]]!r}; a session belongs to one person, so give each its own"
        )
    return person.astype(np.int32), persons


def _said(
    table: Table, order: npt.NDArray[np.int64], fresh: npt.NDArray[np.bool_], session: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    first = np.flatnonzero(fresh)
    if "instruction" not in table.columns:
        return np.zeros(len(first), np.int32), ("",)
    of_row, texts = _numbered(["", *table.columns["instruction"]])
    of_row = of_row[1:][order]
    slate = np.cumsum(fresh) - 1
    other = np.flatnonzero(of_row != of_row[first][slate])
    if len(other):
        row = int(order[other[0]])
        raise ValueError(
            f"{table.at(row)}: the instruction is {texts[of_row[other[0]]]!r}, but the slate began with "
            f"{texts[of_row[first][slate[other[0]]]]!r}; all lines of a slate answer one instruction"
        )
    said, begins = of_row[first], np.append(True, np.diff(session[first]) != 0)
    for row in np.flatnonzero((said == 0) & ~begins).tolist():
        said[row] = said[row - 1]
    return said.astype(np.int32), texts
