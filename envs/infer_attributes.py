"""Finding out what the columns of an item table are: titles, attributes that people ask for, texts, or of no use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import MAX_VALUES, Kind
from instructrec.envs.interactions import MISSING, Attribute, AttributeKind, Interactions
from instructrec.envs.movielens import split_title

OTHER = "other"
"""The value that stands for all but the most frequent ones of an attribute with more than `MAX_VALUES`."""
MADE = ("rating", "popularity")
"""Attributes that are made from the interactions, so that a column of such a name is called ``listed_…``."""
_FEWEST, _COVERED, _DISTINCT = 0.02, 0.2, 0.9
_MOST_LEVELS, _LARGEST_LEVEL = 10, 1e6
_LARGEST = 1e30  # A catalogue holds 32-bit numbers.
_EARLIEST, _LATEST = 1850, 2100
_TITLES = ("title", "name", "movie_title", "product_name", "product_title", "item_name", "item_title", "book_title")
_ID = re.compile(r"(^|_)(id|ids|uid|code|zip|isbn|isbn13|ean|upc|gtin|asin|sku|index|phone|barcode|unnamed_\d+)$")
_YEAR_NAME = re.compile(r"year|released?($|_)|published|date|founded")
_PRICE_NAME = re.compile(r"(^|_)(price|cost|fee|amount|msrp|usd|eur|gbp)($|_)")
_PRICE = re.compile(r"[$€£¥]\s*([\d,]*\.?\d+)|([\d,]*\.?\d+)\s*(?:[$€£¥]|usd|eur|gbp)$", re.IGNORECASE)
_CODE = re.compile(r"[0-9a-f]{12,}|m\.0\w+|(?=(?:.*\d){4})[\w-]{6,}|\W*", re.IGNORECASE)
_TITLE_YEAR = re.compile(r"\((\d{4})\)\s*$")
_STOPWORDS = frozenset({"the", "of", "and", "to", "in", "for", "with", "is"})
_LEVELS = (
    ("xxs", "xs", "s", "m", "l", "xl", "xxl", "xxxl"),
    ("tiny", "small", "medium", "large", "huge"),
    ("very low", "low", "medium", "high", "very high"),
    ("beginner", "intermediate", "advanced", "expert"),
    ("easy", "medium", "hard"),
    ("bronze", "silver", "gold", "platinum"),
    ("poor", "fair", "good", "very good", "excellent"),
)
_DATES = ("%d-%b-%Y", "%d.%m.%Y", "%Y/%m/%d", "%B %d, %Y", "%b %d, %Y")


class Use(StrEnum):
    """What becomes of a column."""

    TITLE = "title"
    ATTRIBUTE = "attribute"
    TEXT = "text"
    LEFT_OUT = "left out"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was concluded about a column. `dataclasses.replace` corrects it before the catalogue is made.

    Attributes:
        column: The column's name in the data.
        use: What becomes of it.
        why: Why, for people to read.
        name: The attribute's name in the catalogue; of small letters, digits and underscores.
        kind: What sort of attribute.
        like: "year" or "price" where numbers are such.
        values: Of a set attribute the values that are kept, the most frequent first, or none for as many as it can
            hold; of an ordinal its levels, lowest first. Where a set attribute has more, all others become `OTHER`.
        coverage: Share of the items that have a value.
    """

    column: str
    use: Use
    why: str
    name: str = ""
    kind: Kind | None = None
    like: str = ""
    values: tuple[str, ...] = field(default=(), repr=False)
    coverage: float = 1.0


def infer_attributes(record: Interactions) -> tuple[Finding, ...]:
    """Concludes from names and content what every column of the item table is.

    Numbers are attributes, years and prices among them; numbers with 3 to 10 whole values, and words such as S, M, L
    are levels; 0 and 1 are no and yes; dates become years. Words are attributes where at least a fifth of the items
    share one of the most frequent 64 (63 and "other" where there are more). Left out are ids, running numbers, web
    addresses, codes, columns with one value, with almost none, or with a different one for nearly every item.

    Returns:
        A finding per column, in their order; one more where titles end in a year and no column has it.
    """
    title = _title_column(record.items)
    findings = [
        Finding(column=name, use=Use.TITLE, why="names the items", name="title") if name == title else _examined(column)
        for name, column in record.items.items()
    ]
    if title and not any(finding.like == "year" for finding in findings):
        cells = record.items[title].cells()
        share = sum(bool(_TITLE_YEAR.search(cell)) for cell in cells) / max(len(cells), 1)
        if share >= 0.5:
            findings.append(
                Finding(
                    column=title,
                    use=Use.ATTRIBUTE,
                    why="the year in brackets at the end of titles",
                    name="year",
                    kind=Kind.NUMERIC,
                    like="year",
                    coverage=share,
                )
            )
    return tuple(_renamed(findings))


def describe(findings: Sequence[Finding]) -> str:
    """Returns what was concluded, a line per column, for people to read."""
    width = max((len(finding.column) for finding in findings), default=0)
    lines = []
    for finding in findings:
        what = str(finding.use)
        if finding.use is Use.ATTRIBUTE:
            kind = f"{finding.kind}, {finding.like}" if finding.like else f"{finding.kind}"
            what = f"{finding.name} ({kind}; {finding.coverage:.0%} of items)"
        lines.append(f"{finding.column:<{width}}  {what}: {finding.why}")
    return "\n".join(lines) or "there is no item table: items are known by their ids alone"


def spoken(values: Sequence[str]) -> tuple[str, ...]:
    """Returns an item's values without those that stand for a missing one."""
    return tuple(value for value in values if value.lower() not in MISSING)


def column_values(column: Attribute) -> Sequence[tuple[str, ...]]:
    """Returns each row's values; a number as one, written briefly."""
    return column.values or tuple((cell,) if cell else () for cell in column.cells())


def most_frequent(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the values that an attribute can hold, the most frequent first: 64, or 63 where `OTHER` is needed."""
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    if len(ranked) <= MAX_VALUES:
        return tuple(ranked)
    return tuple(value for value in ranked if value != OTHER)[: MAX_VALUES - 1]


def numbers_of(column: Attribute, like: str = "") -> npt.NDArray[np.float64] | None:
    """Returns a column as numbers, NaN where missing; None if it does not hold numbers, prices or dates.

    Args:
        column: The column.
        like: "year": numbers outside 1000 to 2100 are missing, dates and times become years, and of a title the year
            in brackets counts. "price": numbers below 0 are missing, and currency signs do not matter.
    """
    if column.kind is AttributeKind.FLOAT:
        numbers = column.numbers.copy()
    elif column.kind is AttributeKind.TEXT and like != "year":
        return None
    else:
        cells = tuple(" ".join(spoken(values)) for values in column.values)
        parsed = [_number(cell, like) for cell in cells]
        found = sum(number is not None for number in parsed)
        filled = sum(bool(cell) for cell in cells)
        if not filled or found < (0.5 if like else 1.0) * filled:
            return None
        numbers = np.array([np.nan if number is None else number for number in parsed])
    numbers[~(np.abs(numbers) < _LARGEST)] = np.nan
    if like == "year":
        times = numbers > 1e7  # Seconds since 1970, or milliseconds.
        seconds = np.where(numbers > 5e10, numbers / 1e3, numbers)
        numbers[times] = [_year_of(second) for second in seconds[times]]
        numbers[(numbers < 1000) | (numbers > _LATEST)] = np.nan
    if like == "price":
        numbers[numbers < 0] = np.nan
    return numbers + 0.0  # No minus zero.


def _title_column(items: Mapping[str, Attribute]) -> str:
    """Returns the column of titles: by its name, or else the words that differ most from item to item; "" if none."""
    words = {name: column for name, column in items.items() if column.kind is not AttributeKind.FLOAT}
    names = {_plain(name): name for name in words}
    for wanted in _TITLES:
        if wanted in names:
            return names[wanted]
    distinct = {}
    for name, column in words.items():
        cells = [cell for cell in column.cells() if cell]
        if not cells or sum(map(len, cells)) / len(cells) > 80 or column.kind is AttributeKind.TOKEN_SEQ:
            continue
        spaced = sum(" " in cell for cell in cells) / len(cells)
        coded = sum(bool(_CODE.fullmatch(cell)) or cell.startswith("http") for cell in cells) / len(cells)
        share = len(set(cells)) / len(column)
        if share >= 0.5 and coded < 0.5 and (spaced > 0.2 or _plain(name).endswith(("title", "name"))):
            distinct[name] = share
    return max(distinct, key=lambda name: distinct[name]) if distinct else ""


def _examined(column: Attribute) -> Finding:
    """Returns what one column is, leaving names that clash to `_renamed`."""
    name, plain = column.name, _plain(column.name)
    filled = [" ".join(said) for values in column_values(column) if (said := spoken(values))]
    coverage = len(filled) / max(len(column), 1)

    def left_out(why: str) -> Finding:
        return Finding(column=name, use=Use.LEFT_OUT, why=why, coverage=coverage)

    if not filled:
        return left_out("empty")
    if coverage < _FEWEST:
        return left_out(f"only {coverage:.1%} of the items have it")
    if len(set(filled)) == 1:
        return left_out(f"the same for every item ({filled[0][:40]!r})")
    if column.kind is AttributeKind.TEXT:
        return Finding(column=name, use=Use.TEXT, why="words to read; they go into the items' texts", coverage=coverage)
    if _ID.search(plain) and (column.kind is not AttributeKind.TOKEN_SEQ):
        return left_out("an id or code, by its name")
    priced = bool(_PRICE_NAME.search(plain)) or sum(bool(_PRICE.search(cell)) for cell in filled) > 0.5 * len(filled)
    dated = bool(_YEAR_NAME.search(plain)) or _are_dates(filled)
    like = "price" if priced else "year" if dated else ""
    for sort in dict.fromkeys((like, "")):
        numbers = numbers_of(column, sort)
        if numbers is not None and not np.isnan(numbers).all():
            return replace(_of_numbers(column, plain, numbers, sort), coverage=float((~np.isnan(numbers)).mean()))
    found = _of_words(column, plain, filled)
    return replace(found, coverage=coverage)


def _of_numbers(column: Attribute, plain: str, numbers: npt.NDArray[np.float64], like: str) -> Finding:
    present = numbers[~np.isnan(numbers)]
    distinct, whole = np.unique(present), bool((present == np.floor(present)).all())
    low, high = float(present.min()), float(present.max())

    def attribute(kind: Kind, why: str, values: Sequence[str] = (), like: str = "") -> Finding:
        return Finding(
            column=column.name,
            use=Use.ATTRIBUTE,
            why=why,
            name=plain,
            kind=kind,
            values=tuple(values),
            like=like,
        )

    if like != "year" and whole and len(distinct) == len(numbers) > 2 and high - low + 1 == len(numbers):
        return Finding(column=column.name, use=Use.LEFT_OUT, why="a running number")
    if len(distinct) == 1:
        return Finding(column=column.name, use=Use.LEFT_OUT, why=f"the same number for every item ({low:g})")
    if set(distinct) == {0, 1}:
        return attribute(Kind.CATEGORICAL, "0 and 1 mean no and yes", ("yes", "no"))
    span = f"{low:.6g} to {high:.6g}"
    years = whole and len(distinct) >= 5 and low >= _EARLIEST and high <= _LATEST - 50
    if (like == "year" and high >= 1000) or (not like and years):
        return attribute(Kind.NUMERIC, f"years, {span}", like="year")
    if like == "price":
        return attribute(Kind.NUMERIC, f"prices, {span}", like="price")
    if whole and 3 <= len(distinct) <= _MOST_LEVELS and max(-low, high) <= _LARGEST_LEVEL:
        levels = [f"{level:.0f}" for level in distinct]
        return attribute(Kind.ORDINAL, f"few whole numbers: {', '.join(levels)}", levels)
    return attribute(Kind.NUMERIC, f"numbers, {span}")


def _of_words(column: Attribute, plain: str, filled: Sequence[str]) -> Finding:
    def left_out(why: str) -> Finding:
        return Finding(column=column.name, use=Use.LEFT_OUT, why=why)

    counts = Counter(value for values in column.values for value in spoken(values))
    total, several = counts.total(), column.kind is AttributeKind.TOKEN_SEQ
    if sum(count for value, count in counts.items() if value.lower().startswith(("http:", "https:"))) > 0.5 * total:
        return left_out("web addresses")
    if sum(count for value, count in counts.items() if _CODE.fullmatch(value)) > 0.5 * total:
        return left_out(f"codes that nobody says, such as {next(iter(counts))[:24]!r}")
    if several and len(_STOPWORDS & {value.lower() for value in counts}) >= 3:
        return Finding(column=column.name, use=Use.TEXT, why="words of a text; they go into the items' texts")
    levels = _levels({value.lower(): value for value in counts}) if not several else ()
    if levels:
        return Finding(
            column=column.name,
            use=Use.ATTRIBUTE,
            why=f"levels: {', '.join(levels)}",
            name=plain,
            kind=Kind.ORDINAL,
            values=levels,
        )
    if not several and len(counts) >= _DISTINCT * len(filled) and len(filled) >= 10:
        return left_out("different for nearly every item")
    ranked, kept = len(counts), most_frequent(counts)
    more = ranked > MAX_VALUES
    known = set(kept)
    covered = sum(bool(known & set(values)) for values in column.values) / max(len(filled), 1)
    if covered < _COVERED:
        return left_out(f"{ranked:,} values, of which the most frequent {len(kept)} cover {covered:.0%} of items")
    why = f"{ranked} values, such as {', '.join(repr(value[:24]) for value in kept[:3])}"
    if more:
        why = f"the {len(kept)} most frequent of {ranked:,} values and {OTHER!r}; they cover {covered:.0%} of items"
    one = not any(len(values) > 1 for values in column.values)
    return Finding(
        column=column.name,
        use=Use.ATTRIBUTE,
        why=why,
        name=plain,
        kind=Kind.CATEGORICAL if one else Kind.MULTI_VALUED,
        values=kept,
    )


def _renamed(findings: Sequence[Finding]) -> list[Finding]:
    """Gives attributes distinct names: the last part of dotted ones where that is free, and never a `MADE` one's."""
    taken: set[str] = set()
    renamed = []
    for finding in findings:
        if finding.use is Use.ATTRIBUTE:
            short = _plain(finding.column.rpartition(".")[2]) if "." in finding.column else finding.name
            names = [short, finding.name, *(f"{finding.name}_{number}" for number in range(2, len(findings) + 2))]
            names = [f"listed_{name}" if name in MADE else name for name in names]
            finding = replace(finding, name=next(name for name in names if name not in taken))
            taken.add(finding.name)
        renamed.append(finding)
    return renamed


def _plain(name: str) -> str:
    """Returns a column's name in small letters, digits and underscores: ``Release Year`` is ``release_year``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"\W+", "_", words.lower()).strip("_") or "column"


def _levels(values: Mapping[str, str]) -> tuple[str, ...]:
    """Returns three or more words that are levels of one scale in its order, or nothing."""
    for scale in _LEVELS:
        if len(values) >= 3 and set(values) <= set(scale):
            return tuple(values[level] for level in scale if level in values)
    return ()


def _number(cell: str, like: str) -> float | None:
    """Returns a cell as a number of its sort, or None where it is none."""
    try:
        # Leading zeros are those of codes; float would take "1_000" too.
        if not re.match(r"[+-]?0\d", cell) and "_" not in cell:
            return float(cell)
    except ValueError:
        pass
    if like == "price" and (found := _PRICE.search(cell) or re.search(r"()([\d,]*\d(?:\.\d+)?)", cell)):
        return float((found[1] or found[2]).replace(",", ""))
    if like == "year":
        when = _date(cell)
        if when is not None:
            return float(when.year)
        return None if np.isnan(year := split_title(cell)[1]) else year
    return None


def _date(cell: str) -> datetime | None:
    for read in (datetime.fromisoformat, *(lambda text, form=form: datetime.strptime(text, form) for form in _DATES)):
        try:
            return read(cell)
        except ValueError:
            continue
    return None


def _are_dates(filled: Sequence[str]) -> bool:
    some = filled[:: max(1, len(filled) // 200)]
    return sum(not cell.isdecimal() and _date(cell) is not None for cell in some) > 0.9 * len(some)


def _year_of(seconds: float) -> float:
    try:
        return float(datetime.fromtimestamp(seconds, UTC).year)
    except (ValueError, OverflowError, OSError):
        return float("nan")
