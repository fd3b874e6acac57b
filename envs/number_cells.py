"""Reading the cells of a column as numbers, prices or years, and saying which of them cannot be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from instructrec.envs.interactions import MISSING, Attribute, AttributeKind
from instructrec.envs.movielens import split_title

LATEST = 2100
"""The last year there can be."""
PRICE = re.compile(r"[$€£¥]\s*([\d,]*\.?\d+)|([\d,]*\.?\d+)\s*(?:[$€£¥]|usd|eur|gbp)$", re.IGNORECASE)
"""A price, by its currency."""
_LARGEST = 1e30  # A catalogue holds 32-bit numbers.
_MOST, _HALF = 0.9, 0.5
_THOUSANDS = re.compile(r"\d{1,3}(,\d{2,3})*,\d{3}(\.\d+)?")
_CODE = re.compile(r"[+-]?0\d")
_DECIMAL_COMMA = re.compile(r"[-+$€£¥]?\s*\d+,\d+\s*[€$£¥]?")
_DATES = ("%d-%b-%Y", "%d.%m.%Y", "%Y/%m/%d", "%B %d, %Y", "%b %d, %Y")


@dataclass(frozen=True)
class NumbersRead:
    """A column's cells, read as numbers.

    Attributes:
        numbers: NaN where there is none, float64 [num_rows].
        unread: The rows that hold something which is no such number, int64 [num_unread].
        filled: How many rows hold anything.
        enough: Whether the column is one of numbers: at least half of what it holds, where its name or its signs say
            that these are prices or years, nine tenths otherwise; a code with leading zeros makes it one of words.
    """

    numbers: npt.NDArray[np.float64]
    unread: npt.NDArray[np.int64]
    filled: int
    enough: bool


def numbers_read(column: Attribute, like: str = "") -> NumbersRead:
    """Reads a column's cells as numbers.

    Args:
        column: The column.
        like: "year": numbers outside 1000 to 2100 are unread, dates and times become years, and of a title the year
            in brackets counts. "price": numbers below 0 are unread, and currency signs do not matter.
    """
    if column.kind is AttributeKind.FLOAT:
        numbers = column.numbers.copy()
        present, code = ~np.isnan(numbers), False
    else:
        cells = tuple(" ".join(spoken(values)) for values in column.values)
        parsed = [_number(cell, like) for cell in cells]
        numbers = np.array([np.nan if number is None else number for number in parsed], np.float64)
        present = np.array([bool(cell) for cell in cells], np.bool_)
        code = not like and any(_CODE.match(cell) for cell, number in zip(cells, parsed, strict=True) if number is None)
    found, filled = int((present & ~np.isnan(numbers)).sum()), int(present.sum())
    text = column.kind is AttributeKind.TEXT and like != "year"
    enough = filled > 0 and found >= (_HALF if like else _MOST) * filled and not code and not text
    numbers[~(np.abs(numbers) < _LARGEST)] = np.nan
    if like == "year":
        times = numbers > 1e7  # Seconds since 1970, or milliseconds.
        seconds = np.where(numbers > 5e10, numbers / 1e3, numbers)
        numbers[times] = [_year_of(second) for second in seconds[times]]
        numbers[(numbers < 1000) | (numbers > LATEST)] = np.nan
    if like == "price":
        numbers[numbers < 0] = np.nan
    # No minus zero.
    return NumbersRead(numbers + 0.0, np.flatnonzero(present & np.isnan(numbers)), filled, enough)


def numbers_of(column: Attribute, like: str = "") -> npt.NDArray[np.float64] | None:
    """Returns a column as numbers, NaN where there is none; None if it is not one of numbers, prices or dates.

    Args:
        column: The column.
        like: As in `numbers_read`.
    """
    read = numbers_read(column, like)
    return read.numbers if read.enough else None


def cure_of(cell: str, like: str) -> str:
    """Returns what to write instead of a cell that cannot be read."""
    if _DECIMAL_COMMA.fullmatch(cell):
        return f"write a point for the comma ({cell.replace(',', '.')})"
    example = {"year": "a year such as 1999, or a date such as 1999-05-02", "price": "a price such as 12.50"}
    return f"write {example.get(like, 'a number such as 12.5')}, or leave the cell empty"


def has_decimal_commas(cells: Sequence[str]) -> bool:
    """Returns whether most cells are numbers like ``12,5``, and none a list of three parts or more."""
    commas = sum(bool(_DECIMAL_COMMA.fullmatch(cell)) for cell in cells)
    return commas > 0.5 * len(cells) and all(cell.count(",") < 2 for cell in cells)


def price_in(text: str) -> float | None:
    """Returns the first price in a text, ``"from $1,299.00"`` is 1299.0, or None where there is none that is sure.

    A comma divides thousands; taken away from 12,50 it would make it a hundred times as much.
    """
    found = PRICE.search(text) or re.search(r"()([\d,]*\d(?:\.\d+)?)", text)
    price = "" if found is None else found[1] or found[2]
    sure = price and ("," not in price or _THOUSANDS.fullmatch(price))
    return float(price.replace(",", "")) if sure else None


def spoken(values: Sequence[str]) -> tuple[str, ...]:
    """Returns an item's values without those that stand for a missing one."""
    return tuple(value for value in values if value.lower() not in MISSING)


def date_of(cell: str) -> datetime | None:
    """Returns a cell as a date, or None where it is none."""
    for read in (datetime.fromisoformat, *(lambda text, form=form: datetime.strptime(text, form) for form in _DATES)):
        try:
            return read(cell)
        except ValueError:
            continue
    return None


def _number(cell: str, like: str) -> float | None:
    """Returns a cell as a number of its sort, or None where it is none."""
    try:
        # Leading zeros are those of codes; float would take "1_000" too.
        if not _CODE.match(cell) and "_" not in cell:
            return float(cell)
    except ValueError:
        pass
    if like == "price":
        return price_in(cell)
    if like == "year":
        when = date_of(cell)
        if when is not None:
            return float(when.year)
        return None if np.isnan(year := split_title(cell)[1]) else year
    return None


def _year_of(seconds: float) -> float:
    try:
        return float(datetime.fromtimestamp(seconds, UTC).year)
    except (ValueError, OverflowError, OSError):
        return float("nan")
