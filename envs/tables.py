"""Reading tables that people bring, in blocks or whole, and saying precisely what is wrong with them.

A whole table is found as ``NAME.csv`` or ``NAME.csv.gz`` in a folder, or anywhere in an archive.
"""

from __future__ import annotations

import csv
import difflib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from instructrec.envs.files import Files

# Times are seconds, unless they are so large that they would lie more than a thousand years ahead.
_TOO_LATE, _UNITS = 5e10, (1.0, 1e3, 1e6, 1e9)


@dataclass(frozen=True)
class Table:
    """The wanted columns of a table, or of a block of its rows, as text, with the file's name and lines for messages.

    Attributes:
        source: Where it was read from.
        columns: Cells by column name, stripped of surrounding blanks; all of one length.
        lines: The line in the file that each row ends on, counted from 1.
        unit: What ``lines`` count: "line", or "row" where a file has no lines.
    """

    source: str
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]
    unit: str = "line"

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, row: int) -> str:
        """Returns where a row stands, for the beginning of a message."""
        return f"{self.source}, {self.unit} {self.lines[row]}"

    def filled(self, name: str) -> Sequence[str]:
        """Returns a column in which no cell may be empty.

        Raises:
            ValueError: If one is; the message names its line.
        """
        cells = self.columns[name]
        if "" in cells:
            raise ValueError(f"{self.at(cells.index(''))}: {name} is empty; fill it in or remove the line")
        return cells

    def floats(self, name: str) -> npt.NDArray[np.float64]:
        """Returns a column as finite numbers.

        Raises:
            ValueError: If a cell is not a finite number; the message names its line.
        """
        try:
            numbers = np.fromiter(map(float, self.columns[name]), np.float64, len(self))
        except ValueError:
            numbers = np.array([_float(cell) for cell in self.columns[name]])
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"{self.at(row)}: {name} is {self.columns[name][row]!r}, expected a finite number such as 3.5; "
                "correct it or remove the line"
            )
        return numbers

    def within(self, name: str, low: float, high: float) -> npt.NDArray[np.float64]:
        """Returns a column as numbers from ``low`` to ``high``.

        Raises:
            ValueError: If a cell is not such a number; the message names its line.
        """
        numbers = self.floats(name)
        wrong = np.flatnonzero((numbers < low) | (numbers > high))
        if len(wrong):
            row = int(wrong[0])
            expected = f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"
            raise ValueError(
                f"{self.at(row)}: {name} is {self.columns[name][row]}, expected {expected}; correct it or remove the "
                "line, or mend the range if you gave one"
            )
        return numbers

    def times(self, name: str) -> npt.NDArray[np.int64]:
        """Returns a column of times as seconds since 1970.

        Numbers are seconds, or milli-, micro- or nanoseconds where they are too large for seconds; other cells are ISO
        dates or times such as 2024-03-01 or 2024-03-01T12:30:00+00:00, in UTC where they name no zone.

        Raises:
            ValueError: If a cell is neither; the message names its line.
        """
        cells = self.columns[name]
        try:
            numbers = np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            numbers = np.array([_seconds(cell) for cell in cells])
        largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
        numbers = numbers / next((unit for unit in _UNITS if largest <= _TOO_LATE * unit), 1.0)
        wrong = np.flatnonzero(~(np.abs(numbers) <= _TOO_LATE))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"{self.at(row)}: {name} is {cells[row]!r}, expected a time: seconds since 1970 or an ISO date such as "
                "2024-03-01; correct it or remove the line"
            )
        return np.floor(numbers).astype(np.int64)

    def integers(self, name: str) -> npt.NDArray[np.int64]:
        """Returns a column as whole numbers.

        Raises:
            ValueError: If a cell is not a whole number that fits 64 bits; the message names its line.
        """
        numbers = np.empty(len(self), np.int64)
        for row, cell in enumerate(self.columns[name]):
            try:
                numbers[row] = int(cell)
            except (ValueError, OverflowError):
                raise ValueError(
                    f"{self.at(row)}: {name} is {cell!r}, expected a whole number such as 964982703; "
                    "correct it or remove the line"
                ) from None
        return numbers

    def check_unique(self, *names: str) -> None:
        """Raises a ValueError that names both lines if two rows agree in all the named columns."""
        keys = list(zip(*(self.columns[name] for name in names), strict=True))
        if len(set(keys)) == len(keys):
            return
        first: dict[tuple[str, ...], int] = {}
        for row, key in enumerate(keys):
            if first.setdefault(key, row) != row:
                what = " and ".join(f"{name} {cell!r}" for name, cell in zip(names, key, strict=True))
                raise ValueError(
                    f"{self.at(row)}: {what} stood on {self.unit} {self.lines[first[key]]} already; keep one of the two"
                )


@dataclass(frozen=True)
class Layout:
    """How a text file is divided into cells.

    Attributes:
        separator: What stands between cells, one character or more.
        quoted: Whether cells may stand in double quotes; only where the separator is one character.
        header: The column names of a file whose first line does not have them.
        encoding: The file's encoding.
    """

    separator: str = ","
    quoted: bool = True
    header: tuple[str, ...] | None = None
    encoding: str = "utf-8-sig"


def require(where: str, header: Sequence[str], columns: Sequence[str]) -> None:
    """Raises a ValueError that names the place and the cure if a header lacks a column or names it twice."""
    for column in columns:
        if column not in header:
            # A column that is asked for under its own name is what it is called.
            free = [name for name in header if name not in columns]
            near = difflib.get_close_matches(column, free, n=1, cutoff=0.5)
            cure = f"rename {near[0]!r} to it" if near else "add it"
            raise ValueError(f"{where}: the column {column!r} is missing; {cure} (found: {', '.join(header)})")
        if header.count(column) > 1:
            raise ValueError(f"{where}: the column {column!r} is named twice; remove one")


class TableReader:
    """A text table that is read block by block, so that memory does not grow with the file.

    Args:
        files: Where it lies.
        name: Which file.
        layout: How it is divided into cells.
        wanted: The columns that are expected, for the message about an empty file.

    Attributes:
        source: Its name for messages.
        header: The column names.

    Raises:
        ValueError: If the file has no header. The message names the file and the cure.
    """

    def __init__(self, files: Files, name: str, layout: Layout | None = None, wanted: Sequence[str] = ()) -> None:
        self._layout = layout if layout is not None else Layout()
        self.source = files.source(name)
        self._rows = _rows(self.source, files.lines(name, self._layout.encoding), self._layout)
        self._first_line = 1
        if self._layout.header is not None:
            self.header = self._layout.header
            return
        first = next(self._rows, None)
        if first is None:
            names = self._layout.separator.join(wanted)
            raise ValueError(f"{self.source} is empty; expected a first line with the column names {names}".rstrip())
        self.header, self._first_line = tuple(cell.strip() for cell in first[0]), first[1]

    def require(self, columns: Sequence[str]) -> None:
        """Raises a ValueError that names the cure if a column is missing or named twice."""
        require(f"{self.source}, line {self._first_line}", self.header, columns)

    def blocks(self, columns: Sequence[str], rows: int | None = 50_000) -> Iterator[Table]:
        """Yields the wanted columns of ``rows`` rows at a time, or of all at once when None; blank lines are skipped.

        Raises:
            ValueError: If a column is missing, there are no rows, or a row has too few or too many cells. The message
                names the file, the line and the cure.
        """
        self.require(columns)
        places = [self.header.index(column) for column in columns]
        empty = True
        while block := list(itertools.islice(self._rows, rows)):
            for cells, line in block:
                if len(cells) != len(self.header):
                    raise self._ragged(len(cells), line)
            parts = {
                column: [row[place].strip() for row, _ in block] for column, place in zip(columns, places, strict=True)
            }
            yield Table(self.source, parts, [line for _, line in block])
            empty = False
        if empty:
            before = "is empty" if self._layout.header is not None else "has a header but no rows"
            raise ValueError(f"{self.source} {before}; it needs at least one row of {', '.join(columns)}")

    def _ragged(self, found: int, line: int) -> ValueError:
        names = "the header names" if self._layout.header is None else "the format has"
        cure = (
            'put cells that hold a comma in double quotes ("like, this") and complete broken lines'
            if self._layout.quoted
            else f"cells are separated by {self._layout.separator!r}; complete broken lines"
        )
        return ValueError(f"{self.source}, line {line}: {found} cells, but {names} {len(self.header)}; {cure}")


def has_table(folder: Path, name: str) -> bool:
    """Returns whether ``folder`` (a folder or an archive) holds the table ``name``."""
    return _find(Files.at(folder, f"{name}.csv"), name) is not None


def read_table(folder: Path, name: str, columns: Sequence[str]) -> Table:
    """Reads the wanted columns of ``NAME.csv``; further columns are ignored and blank lines skipped.

    Args:
        folder: A folder, or an archive.
        name: The table's name, without ``.csv``.
        columns: The columns it must have.

    Raises:
        FileNotFoundError: If the folder or the table does not exist.
        ValueError: If it is not UTF-8, has no header, lacks a column, has no rows, or a row has too few or too many
            cells. The message names the file, the line and the cure.
    """
    files = Files.at(folder, f"{name}.csv")
    found = _find(files, name)
    if found is None:
        raise FileNotFoundError(f"{folder} holds no {name}.csv (nor {name}.csv.gz); expected it there")
    return next(TableReader(files, found, wanted=columns).blocks(columns, rows=None))


def _find(files: Files, name: str) -> str | None:
    """Returns the file that holds a table, or None where there is none. In a folder, folders inside do not count."""
    found = [each for each in files.find(f"{name}.csv") if "/" not in each or not files.place.is_dir()]
    return found[0] if found else None


def _rows(source: str, lines: Iterator[str], layout: Layout) -> Iterator[tuple[list[str], int]]:
    """Yields the non-blank rows of a text, and the line each ends on."""
    if not layout.quoted:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield line.rstrip("\r\n").split(layout.separator), number
        return
    reader = csv.reader(lines, delimiter=layout.separator, strict=True)
    try:
        for row in reader:
            if row:
                yield row, reader.line_num
    except csv.Error as problem:
        raise ValueError(
            f"{source}, line {reader.line_num}: {problem}; "
            "close every double quote, and write a quote inside a cell twice"
        ) from None


def _float(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _seconds(cell: str) -> float:
    """Returns an ISO date or a number as seconds, NaN if it is neither."""
    try:
        found = datetime.fromisoformat(cell)
    except ValueError:
        return _float(cell)
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
