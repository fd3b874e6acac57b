"""Reading CSV tables that people bring, and saying precisely what is wrong with them.

A table is found as ``NAME.csv`` or ``NAME.csv.gz`` in a folder, or as ``NAME.csv`` anywhere in a ``.zip`` archive.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Table:
    """The wanted columns of a CSV file as text, with the file's name and line numbers for messages.

    Attributes:
        source: Where it was read from.
        columns: Cells by column name, stripped of surrounding blanks; all of one length.
        lines: The line in the file that each row ends on, counted from 1.
    """

    source: str
    columns: Mapping[str, Sequence[str]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def at(self, row: int) -> str:
        """Returns where a row stands, for the beginning of a message."""
        return f"{self.source}, line {self.lines[row]}"

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
        numbers = np.empty(len(self), np.float64)
        for row, cell in enumerate(self.columns[name]):
            try:
                numbers[row] = float(cell)
            except ValueError:
                numbers[row] = np.nan
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"{self.at(row)}: {name} is {self.columns[name][row]!r}, expected a finite number such as 3.5; "
                "correct it or remove the line"
            )
        return numbers

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
                    f"{self.at(row)}: {what} stood on line {self.lines[first[key]]} already; keep one of the two"
                )


def has_table(folder: Path, name: str) -> bool:
    """Returns whether ``folder`` (a folder or a .zip archive) holds the table ``name``."""
    return _find(folder, name) is not None


def read_table(folder: Path, name: str, columns: Sequence[str]) -> Table:
    """Reads the wanted columns of ``NAME.csv``; further columns are ignored and blank lines skipped.

    Args:
        folder: A folder, or a .zip archive.
        name: The table's name, without ``.csv``.
        columns: The columns it must have.

    Raises:
        FileNotFoundError: If the folder or the table does not exist.
        ValueError: If it is not UTF-8, has no header, lacks a column, has no rows, or a row has too few or too many
            cells. The message names the file, the line and the cure.
    """
    found = _find(folder, name)
    if found is None:
        raise FileNotFoundError(f"{folder} holds no {name}.csv (nor {name}.csv.gz); expected it there")
    source, content = found
    text = _decoded(source, content)
    rows, lines = _rows(source, text)
    if not rows:
        raise ValueError(f"{source} is empty; expected a first line with the column names {','.join(columns)}")
    header = [cell.strip() for cell in rows[0]]
    for column in columns:
        if column not in header:
            near = difflib.get_close_matches(column, header, n=1, cutoff=0.5)
            cure = f"rename {near[0]!r} to it" if near else "add it"
            raise ValueError(
                f"{source}, line {lines[0]}: the column {column!r} is missing; {cure} (found: {', '.join(header)})"
            )
        if header.count(column) > 1:
            raise ValueError(f"{source}, line {lines[0]}: the column {column!r} is named twice; remove one")
    if len(rows) == 1:
        raise ValueError(f"{source} has a header but no rows; it needs at least one")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise ValueError(
                f"{source}, line {line}: {len(row)} cells, but the header names {len(header)}; "
                'put cells that hold a comma in double quotes ("like, this") and complete broken lines'
            )
    cells = dict(zip(header, zip(*rows[1:], strict=True), strict=True))
    return Table(source, {column: [cell.strip() for cell in cells[column]] for column in columns}, lines[1:])


def _find(folder: Path, name: str) -> tuple[str, bytes] | None:
    """Returns the table's name for messages and its bytes, or None where there is none."""
    if folder.is_dir():
        plain, packed = folder / f"{name}.csv", folder / f"{name}.csv.gz"
        if plain.is_file():
            return str(plain), plain.read_bytes()
        if not packed.is_file():
            return None
        try:
            return str(packed), gzip.decompress(packed.read_bytes())
        except (OSError, EOFError, zlib.error) as problem:
            raise ValueError(f"{packed} is not a sound gzip file ({problem}); download or compress it again") from None
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist; give a folder or a .zip archive that holds {name}.csv")
    try:
        with zipfile.ZipFile(folder) as archive:
            members = [member for member in archive.namelist() if member.split("/")[-1] == f"{name}.csv"]
            return (f"{folder}:{members[0]}", archive.read(members[0])) if members else None
    except (zipfile.BadZipFile, zlib.error) as problem:
        raise ValueError(f"{folder} is not a sound .zip archive ({problem}); download or pack it again") from None


def _decoded(source: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise ValueError(
            f"{source}, line {line}: not UTF-8 (byte 0x{content[problem.start]:02x}); save it as UTF-8, "
            "for instance with: iconv -f latin1 -t utf-8"
        ) from None


def _rows(source: str, text: str) -> tuple[list[list[str]], list[int]]:
    """Splits a CSV text into its non-blank rows and the line each ends on."""
    rows: list[list[str]] = []
    lines: list[int] = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as problem:
        raise ValueError(
            f"{source}, line {reader.line_num}: {problem}; "
            "close every double quote, and write a quote inside a cell twice"
        ) from None
    return rows, lines
