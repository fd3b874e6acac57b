"""Which column of a table is what: as people say it, or by the names that such columns usually have."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence

import numpy as np

from instructrec.envs.interactions import MISSING, Attribute
from instructrec.envs.number_cells import has_decimal_commas
from instructrec.envs.reading_settings import by_columns
from instructrec.names import unknown_name

USUAL: Mapping[str, tuple[str, ...]] = {
    "person": (
        "person", "person_id", "user", "user_id", "userid", "uid", "customer", "customer_id", "customerid", "reader_id",
        "reviewer_id", "reviewerid", "member_id", "visitor_id", "visitorid", "account_id", "listener_id", "profile_id",
    ),
    "item": (
        "item", "item_id", "itemid", "iid", "sku", "product", "product_id", "productid", "asin", "parent_asin",
        "movie_id", "movieid", "film_id", "book_id", "bookid", "isbn", "article_id", "artist_id", "track_id", "song_id",
        "game_id", "app_id", "recipe_id", "business_id", "news_id", "video_id", "course_id", "hotel_id",
    ),
    "rating": ("rating", "ratings", "stars", "star_rating", "score", "overall", "review_score"),
    "clicks": (
        "clicks", "click", "clicked", "count", "counts", "plays", "play_count", "playcount", "views", "purchases",
        "purchased", "quantity", "listens", "weight", "is_click", "label",
    ),
    "time": (
        "time", "timestamp", "ts", "date", "datetime", "created", "created_at", "event_time", "review_date", "unixtime",
        "unixreviewtime", "invoicedate", "order_date",
    ),
}  # fmt: skip
"""The names, without capitals, by which each role is recognised, the surest first."""
_SEPARATORS = ("|", ";", ",")
_LISTED, _LONGEST_VALUE, _WORDS = 0.15, 30, 8
_PADDED, _THOUSANDS = re.compile(r"0\d"), re.compile(r"\d,\d{3}(?!\d)")


def find_roles(
    source: str, header: Sequence[str], columns: Mapping[str, str] | None, needed: Sequence[str] = ("person", "item")
) -> dict[str, str]:
    """Returns the column of each role that a table has: those that were said, the others by their usual names.

    Args:
        source: The file's name for messages.
        header: The file's column names.
        columns: Column by role ("person", "item", "rating", "clicks", "time"), as far as people said it.
        needed: Roles it must have.

    Raises:
        ValueError: If a role is unknown, a named column is missing, or a needed role has none.
    """
    said = dict(columns or {})
    found: dict[str, str] = {}
    for role, column in said.items():
        if role not in USUAL:
            raise ValueError("columns: " + unknown_name("role", role, USUAL))
        if column not in header:
            raise ValueError(f"{source}, line 1: " + unknown_name(f"column for {role!r}", column, header))
        found[role] = column
    for role, names in USUAL.items():
        # Who names one of the two says what the numbers are; the other is not looked for.
        if role in found or (role in ("rating", "clicks") and {"rating", "clicks"} & set(found)):
            continue
        free = {column.lower().replace(" ", "_"): column for column in header if column not in found.values()}
        near = [free[name] for name in names if name in free]
        if near:
            found[role] = near[0]
    for role in needed:
        if role not in found:
            raise ValueError(
                f"{source}, line 1: no column for {role!r} (found: {', '.join(header)}); "
                f"say which it is by {by_columns(**{role: 'NAME'})}, or call it {USUAL[role][1]!r}"
            )
    return found


def guess_attribute(name: str, cells: Sequence[str]) -> Attribute:
    """Returns a column of a file that does not say what its cells are, as what they look like.

    Numbers where every cell is one (digits with leading zeros are codes); lists where cells are JSON or Python lists,
    or hold separators between short parts that recur; text where cells are eight words or more on average; single
    values otherwise.
    """
    filled = [cell for cell in cells if cell.lower() not in MISSING]
    if not filled:
        return Attribute.token(name, cells)
    if not any(_PADDED.match(cell.lstrip("+-")) for cell in filled):
        try:
            numbers = np.array([np.nan if cell.lower() in MISSING else float(cell) for cell in cells])
        except ValueError:
            numbers = np.array([np.inf])
        if not np.isinf(numbers).any():
            return Attribute.floats(name, numbers)
    if all(cell.startswith("[") and cell.endswith("]") for cell in filled):
        lists = [_list(cell) for cell in cells]
        if None not in lists:
            return Attribute.token_seq(name, [each for each in lists if each is not None])
    for separator in _SEPARATORS:
        if _divides(filled, separator):
            return Attribute.token_seq(name, [[part.strip() for part in cell.split(separator)] for cell in cells])
    if sum(cell.count(" ") + 1 for cell in filled) / len(filled) >= _WORDS:
        return Attribute.text(name, cells)
    return Attribute.token(name, cells)


def _divides(cells: Sequence[str], separator: str) -> bool:
    """Returns whether a separator stands between short values that recur, rather than inside sentences or names."""
    if separator == "," and has_decimal_commas(cells):
        return False
    divided = [cell for cell in cells if separator in cell and not _THOUSANDS.search(cell)]
    if len(divided) < _LISTED * len(cells):
        return False
    parts = [part.strip() for cell in cells for part in cell.split(separator)]
    short = sum(map(len, parts)) / len(parts) <= _LONGEST_VALUE
    # What recurs as a part more than as a whole cell is a value; a comma inside names or sentences joins new words.
    recurs = len(set(parts)) <= 0.7 * len(parts) or separator == "|"
    return short and recurs and len(set(parts)) < 2 * len(set(cells))


def _list(cell: str) -> list[str] | None:
    if cell.lower() in MISSING:
        return []
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(found, list):
            return [str(part).strip() for part in found if part is not None]
    return None
