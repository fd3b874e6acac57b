"""Finding out what the columns of an item table are: titles, attributes that people ask for, texts, or of no use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import MAX_VALUES, Kind
from instructrec.envs.domain_file import RESERVED
from instructrec.envs.interactions import Attribute, AttributeKind, Interactions
from instructrec.envs.number_cells import (
    LATEST,
    PRICE,
    NumbersRead,
    cure_of,
    date_of,
    has_decimal_commas,
    numbers_read,
    spoken,
)

ANSWERS = {"no", "yes"}
"""The values of an attribute whose cells say yes and no, however they are written."""
OTHER = "other"
"""The value that stands for all but the most frequent ones of an attribute with more than `MAX_VALUES`."""
MADE = ("rating", "popularity")
"""Attributes that are made from the interactions, so that a column of such a name is called ``listed_…``."""
_PARTS = ("quality", *RESERVED)  # What people of a domain file ask for under these names is no attribute.
_FEWEST, _COVERED, _DISTINCT = 0.02, 0.2, 0.9
_SOME, _HALF = 0.1, 0.5
_SHOWN = 40
_MOST_LEVELS, _LARGEST_LEVEL = 10, 1e6
_EARLIEST = 1850
_TITLES = ("title", "name", "movie_title", "product_name", "product_title", "item_name", "item_title", "book_title")
_PAIRS = ({"no", "yes"}, {"false", "true"}, {"n", "y"}, {"f", "t"})
_ID = re.compile(r"(^|_)(id|ids|uid|code|zip|isbn|isbn13|ean|upc|gtin|asin|sku|index|phone|barcode|unnamed_\d+)$")
_YEAR_NAME = re.compile(r"year|released?($|_)|published|date|founded")
_PRICE_NAME = re.compile(r"(^|_)(price|cost|fee|amount|msrp|usd|eur|gbp)($|_)")
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


class Use(StrEnum):
    """What becomes of a column."""

    TITLE = "title"
    ATTRIBUTE = "attribute"
    TEXT = "text"
    LEFT_OUT = "left out"


@dataclass(frozen=True, kw_only=True)
class Unread:
    """Cells of a column that were to be numbers and cannot be read as such.

    Attributes:
        count: How many.
        row: The first one's item.
        cell: What stands there.
        like: "year" or "price" where such were expected.
        cure: What to write instead.
        as_words: Whether they are so many that the whole column was taken for words; else they count as missing.
    """

    count: int
    row: int
    cell: str
    like: str
    cure: str
    as_words: bool


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
        missing: How many items have an empty cell, or one that says that there is no value.
        unread: What could not be read as a number, where numbers were expected.
    """

    column: str
    use: Use
    why: str
    name: str = ""
    kind: Kind | None = None
    like: str = ""
    values: tuple[str, ...] = field(default=(), repr=False)
    coverage: float = 1.0
    missing: int = 0
    unread: Unread | None = None


def infer_attributes(record: Interactions) -> tuple[Finding, ...]:
    """Concludes from names and content what every column of the item table is.

    Numbers are attributes, years and prices among them, where nine tenths of the cells are numbers (half of them in
    columns of prices and years; what is unread is told); numbers with 3 to 10 whole values, and words such as S, M, L
    are levels; 0 and 1, false and true, n and y are no and yes; dates become years. Words that differ in capitals alone
    are one; words are attributes where at least a fifth of the items share one of the most frequent 64 (63 and "other"
    where there are more). Left out are ids, running numbers, web addresses, codes, columns with one value, with almost
    none, or with a different one for nearly every item.

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


def reading_losses(record: Interactions, findings: Sequence[Finding]) -> dict[str, str]:
    """Returns a sentence for every column that lacks values or holds what cannot be read, with the first such place."""
    losses = {}
    for finding in findings:
        parts, unread = [], finding.unread
        if finding.use is Use.ATTRIBUTE and finding.missing:
            parts.append(f"{finding.missing:,} of {record.num_items:,} items have no value")
        if unread is not None:
            what = {"year": "years", "price": "prices"}.get(unread.like, "numbers")
            became = "so the column was taken for words, without bounds to ask for" if unread.as_words else "left out"
            parts.append(
                f"{unread.count:,} of its values {'is' if unread.count == 1 else 'are'} no {what}, {became}: "
                f"{unread.cell[:_SHOWN]!r} ({record.item_at(unread.row)}); {unread.cure}"
            )
        if parts:
            losses[finding.column] = "; ".join(parts)
    return losses


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


def column_values(column: Attribute) -> Sequence[tuple[str, ...]]:
    """Returns each row's values; a number as one, written briefly."""
    return column.values or tuple((cell,) if cell else () for cell in column.cells())


def one_spelling(cells: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Returns each row's values, those that differ only in capitals spelt as most often: a word means one thing."""
    counts = Counter(value for values in cells for value in values)
    spelt = {OTHER: OTHER}
    for value in sorted(counts, key=lambda value: (-counts[value], value.isupper(), value)):
        spelt.setdefault(value.lower(), value)
    return [tuple(dict.fromkeys(spelt[value.lower()] for value in values)) for values in cells]


def most_frequent(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the values that an attribute can hold, the most frequent first: 64, or 63 where `OTHER` is needed."""
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    if len(ranked) <= MAX_VALUES:
        return tuple(ranked)
    return tuple(value for value in ranked if value != OTHER)[: MAX_VALUES - 1]


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
    priced = bool(_PRICE_NAME.search(plain)) or sum(bool(PRICE.search(cell)) for cell in filled) > 0.5 * len(filled)
    dated = bool(_YEAR_NAME.search(plain)) or _are_dates(filled)
    like = "price" if priced else "year" if dated else ""
    missing = len(column) - len(filled)
    for sort in dict.fromkeys((like, "")):
        read = numbers_read(column, sort)
        if read.enough and not np.isnan(read.numbers).all():
            found = _of_numbers(column, plain, read.numbers, sort)
            known, unread = float((~np.isnan(read.numbers)).mean()), _unread(column, read, sort, as_words=False)
            return replace(found, coverage=known, missing=missing, unread=unread)
    read = numbers_read(column, like)
    share = 1 - len(read.unread) / len(filled)
    expected = share >= (_SOME if like else _HALF) or has_decimal_commas(filled)
    unread = _unread(column, read, like, as_words=True) if expected else None
    return replace(_of_words(column, plain, filled), coverage=coverage, missing=missing, unread=unread)


def _unread(column: Attribute, read: NumbersRead, like: str, *, as_words: bool) -> Unread | None:
    if not len(read.unread):
        return None
    row = int(read.unread[0])
    cell = column.take(read.unread[:1]).cells()[0]
    return Unread(count=len(read.unread), row=row, cell=cell, like=like, cure=cure_of(cell, like), as_words=as_words)


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
    years = whole and len(distinct) >= 5 and low >= _EARLIEST and high <= LATEST - 50
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

    cells = one_spelling(column.values)
    counts = Counter(value for values in cells for value in spoken(values))
    total, several = counts.total(), column.kind is AttributeKind.TOKEN_SEQ
    if sum(count for value, count in counts.items() if value.lower().startswith(("http:", "https:"))) > 0.5 * total:
        return left_out("web addresses")
    if sum(count for value, count in counts.items() if _CODE.fullmatch(value)) > 0.5 * total:
        return left_out(f"codes that nobody says, such as {next(iter(counts))[:24]!r}")
    if several and len(_STOPWORDS & {value.lower() for value in counts}) >= 3:
        return Finding(column=column.name, use=Use.TEXT, why="words of a text; they go into the items' texts")
    if not several and {value.lower() for value in counts} in _PAIRS:
        return Finding(
            column=column.name,
            use=Use.ATTRIBUTE,
            why=f"{' and '.join(sorted(counts))} mean no and yes",
            name=plain,
            kind=Kind.CATEGORICAL,
            values=("yes", "no"),
        )
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
    covered = sum(bool(known & set(values)) for values in cells) / max(len(filled), 1)
    if covered < _COVERED:
        return left_out(f"{ranked:,} values, of which the most frequent {len(kept)} cover {covered:.0%} of items")
    why = f"{ranked} values, such as {', '.join(repr(value[:24]) for value in kept[:3])}"
    if more:
        why = f"the {len(kept)} most frequent of {ranked:,} values and {OTHER!r}; they cover {covered:.0%} of items"
    one = not any(len(values) > 1 for values in cells)
    return Finding(
        column=column.name,
        use=Use.ATTRIBUTE,
        why=why,
        name=plain,
        kind=Kind.CATEGORICAL if one else Kind.MULTI_VALUED,
        values=kept,
    )


def _renamed(findings: Sequence[Finding]) -> list[Finding]:
    """Gives attributes distinct names: the last part of dotted ones where that is free, never a `MADE` or a part's.

    All are identifiers, as domain files ask.
    """
    taken: set[str] = set()
    renamed = []
    for finding in findings:
        if finding.use is Use.ATTRIBUTE:
            short = _plain(finding.column.rpartition(".")[2]) if "." in finding.column else finding.name
            names = [short, finding.name, *(f"{finding.name}_{number}" for number in range(2, len(findings) + 2))]
            names = [
                f"listed_{name}" if name in (*MADE, *_PARTS) or not name.isidentifier() else name for name in names
            ]
            finding = replace(finding, name=next(name for name in names if name not in taken))
            taken.add(finding.name)
        renamed.append(finding)
    return renamed


def _plain(name: str) -> str:
    """Returns a column's name in small letters, digits and underscores: ``Release Year`` is ``release_year``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    plain = "".join(each if f"_{each}".isidentifier() else " " for each in words.lower())
    return re.sub(" +", "_", plain).strip("_") or "column"


def _levels(values: Mapping[str, str]) -> tuple[str, ...]:
    """Returns three or more words that are levels of one scale in its order, or nothing."""
    for scale in _LEVELS:
        if len(values) >= 3 and set(values) <= set(scale):
            return tuple(values[level] for level in scale if level in values)
    return ()


def _are_dates(filled: Sequence[str]) -> bool:
    some = filled[:: max(1, len(filled) // 200)]
    return sum(not cell.isdecimal() and date_of(cell) is not None for cell in some) > 0.9 * len(some)
