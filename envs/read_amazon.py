"""Reading Amazon Reviews 2023: reviews and item metadata as JSON lines, joined on ``parent_asin``.

Both files are streamed; of the metadata only the items that were reviewed are kept.

References:
    Hou et al. (2024), Bridging Language and Items for Retrieval and Recommendation, arXiv 2403.03952.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np

from instructrec.envs.files import Files
from instructrec.envs.gathering import MAX_RATINGS, Gathering, Repeats, Rows, Unknown
from instructrec.envs.interactions import MISSING, Attribute, Feedback, Interactions
from instructrec.envs.number_cells import price_in
from instructrec.envs.reading_settings import by_setting
from instructrec.envs.tables import Table

JSON_LINES = ("*.jsonl", "*.json", "*.ndjson")
_REVIEW = ("user_id", "parent_asin", "rating", "timestamp")
_BLOCK = 5_000
_DETAILS_SHARE, _MOST_DETAILS, _LONGEST_TEXT = 0.2, 12, 500


def read_amazon(
    files: Files,
    *,
    items: Path | str | None = None,
    repeats: Repeats | None = None,
    unknown: Unknown | None = None,
    max_ratings: int = MAX_RATINGS,
) -> Interactions:
    """Reads the reviews of one category and, from ``meta_…``, the items they are about.

    Items have ``title``, ``main_category``, ``store``, ``price``, ``categories``, ``description`` and whatever details
    at least a fifth of them name (brand, colour, …).

    Args:
        files: Where both lie.
        items: The metadata's file, if it lies elsewhere.
        repeats: What becomes of several reviews of an item by one person; the latest counts if None.
        unknown: What becomes of items without metadata; left out if None.
        max_ratings: How many reviews are held at most.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is malformed; the message names the file, the line and the cure.
    """
    reviews, metadata = review_files(files)
    where, name = files, metadata
    if items is not None:
        where = Files.at(items, "the metadata")
        name = where.only
        if not name:
            raise ValueError(f"{items}: the metadata must be one file; give the file itself")
    if not name:
        raise FileNotFoundError(
            f"{files.place} holds no meta_{reviews}; download the category's metadata beside its reviews, or give it "
            f"by {by_setting('items', 'FILE')}"
        )
    gathering, notes = Gathering(files.source(reviews), max_ratings), list[str]()
    for table in _reviews(files, reviews):
        gathering.add(table, "user_id", "parent_asin", table.within("rating", 1, 5), table.times("timestamp"))
    return gathering.finished(
        "amazon",
        feedback=Feedback.RATINGS,
        items=_metadata(where, name, gathering.item_ids, notes),
        scale=(1, 5),
        repeats=repeats if repeats is not None else "last",
        unknown=unknown if unknown is not None else "drop",
        notes=notes,
    )


def review_files(files: Files) -> tuple[str, str]:
    """Returns the names of the file of reviews and, if it is there, of the metadata that belongs to it.

    Raises:
        ValueError: If there is not exactly one file of reviews.
    """
    found = files.find(*JSON_LINES)
    metadata = [name for name in found if name.rpartition("/")[2].lower().startswith("meta")]
    reviews = [files.only] if files.only else [name for name in found if name not in metadata]
    if len(reviews) != 1:
        raise ValueError(
            f"{files.place}: expected one .jsonl file of reviews beside its metadata (meta_….jsonl), found "
            f"{', '.join(reviews) or 'none'}; give the file of reviews itself as the path"
        )
    if not files.only:
        return reviews[0], metadata[0] if len(metadata) == 1 else _belonging(reviews[0], metadata)
    return reviews[0], _belonging(reviews[0], metadata)


def _belonging(reviews: str, metadata: list[str]) -> str:
    stem = reviews.rpartition("/")[2].lower().removesuffix(".gz").partition(".")[0]
    return next((name for name in metadata if name.rpartition("/")[2].lower().startswith(f"meta_{stem}.")), "")


def _objects(files: Files, name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yields the objects of a file of JSON lines with their line numbers."""
    empty = True
    for number, line in enumerate(files.lines(name), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as problem:
            raise ValueError(
                f"{files.source(name)}, line {number}: not JSON ({problem}); the file holds one object a line: "
                "complete or remove this one"
            ) from None
        if not isinstance(found, dict):
            raise ValueError(
                f'{files.source(name)}, line {number}: expected an object such as {{"rating": 5.0}}, got '
                f"{str(found)[:40]!r}; remove the line"
            )
        empty = False
        yield number, found
    if empty:
        raise ValueError(f"{files.source(name)} is empty; download it again")


def _reviews(files: Files, name: str) -> Iterator[Table]:
    """Yields the reviews in blocks, without their texts."""
    rows = _essentials(files, name)
    while block := list(itertools.islice(rows, _BLOCK)):
        cells = {key: [row[place] for _, row in block] for place, key in enumerate(_REVIEW)}
        yield Table(files.source(name), cells, [line for line, _ in block])


def _essentials(files: Files, name: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields what matters of every review with its line number."""
    for line, review in _objects(files, name):
        for key in _REVIEW:
            if review.get(key) is None:
                raise ValueError(
                    f"{files.source(name)}, line {line}: the review has no {key!r} (found: {', '.join(review)}); "
                    "is this a file of reviews of Amazon Reviews 2023? Otherwise remove the line"
                )
        yield line, tuple(str(review[key]).strip() for key in _REVIEW)


def _metadata(files: Files, name: str, wanted: Set[str], notes: list[str]) -> Rows:
    """Returns what is known of the wanted items; the first of several entries for one item counts.

    Notes prices that cannot be read.
    """
    known: dict[str, dict[str, Any]] = {}
    lines: list[int] = []
    unread: list[tuple[int, str]] = []
    details: Counter[str] = Counter()
    for line, entry in _objects(files, name):
        asin = entry.get("parent_asin")
        if asin is None:
            raise ValueError(
                f"{files.source(name)}, line {line}: the item has no 'parent_asin' (found: {', '.join(entry)}); is "
                "this a file of metadata of Amazon Reviews 2023? Otherwise remove the line"
            )
        if str(asin) not in wanted or str(asin) in known:
            continue
        more = entry.get("details")
        if isinstance(more, str):
            more = _object(more)
        more = {key: str(value) for key, value in more.items() if value} if isinstance(more, dict) else {}
        details.update(more.keys())
        lines.append(line)
        price = _words(entry.get("price"))
        if price.lower() not in MISSING and math.isnan(clean_price(entry["price"])):
            unread.append((line, price))
        known[str(asin)] = {
            "title": _words(entry.get("title")),
            "main_category": _words(entry.get("main_category")),
            "store": _words(entry.get("store")),
            "price": clean_price(entry.get("price")),
            "categories": [_words(part) for part in entry.get("categories") or ()],
            "description": _words(entry.get("features"))[:_LONGEST_TEXT]
            or _words(entry.get("description"))[:_LONGEST_TEXT],
            "details": more,
        }
    if not known:
        raise ValueError(
            f"{files.source(name)}: describes none of the {len(wanted):,} reviewed items; check that reviews and "
            "metadata are of one category"
        )
    if unread:
        line, price = unread[0]
        notes.append(
            f"the price of {len(unread):,} items is no number, and left out: {price[:40]!r} "
            f"({files.source(name)}, line {line})"
        )
    rows = list(known.values())
    attributes = {key: Attribute.token(key, [row[key] for row in rows]) for key in ("title", "main_category", "store")}
    attributes["price"] = Attribute.floats("price", [row["price"] for row in rows])
    attributes["categories"] = Attribute.token_seq("categories", [row["categories"] for row in rows])
    attributes["description"] = Attribute.text("description", [row["description"] for row in rows])
    # As many items name a detail, as useful it is; equally frequent ones by name, so that the file's order is nothing.
    common = sorted(details, key=lambda key: (-details[key], key))[:_MOST_DETAILS]
    for key in common:
        if details[key] >= _DETAILS_SHARE * len(rows) and key.lower() not in attributes:
            attributes[key.lower()] = Attribute.token(key.lower(), [_words(row["details"].get(key)) for row in rows])
    return Rows(files.source(name), tuple(known), attributes, lines)


def clean_price(value: object) -> float:
    """Returns a price as a number, NaN where there is none: ``"from $1,299.00"`` is 1299.0, ``"—"`` is missing.

    Of a range the lower end counts.
    """
    if isinstance(value, bool) or value is None:
        return math.nan
    if isinstance(value, int | float):
        return float(value) if np.isfinite(value) and value >= 0 else math.nan
    found = price_in(str(value))
    return math.nan if found is None else found


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _words(value: object) -> str:
    """Returns a string, or a list of them, as one line."""
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(_words, value)))
    return " ".join(str(value).split()) if value is not None else ""
