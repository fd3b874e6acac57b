"""Reading what people bring, whatever its format: `read_data` finds out which it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from instructrec.envs.files import Files
from instructrec.envs.gathering import MAX_RATINGS, Repeats, Unknown
from instructrec.envs.interactions import Interactions
from instructrec.envs.read_amazon import JSON_LINES, read_amazon
from instructrec.envs.read_movielens import EDITIONS, read_movielens
from instructrec.envs.read_openbandit import campaigns, read_openbandit
from instructrec.envs.read_recbole import read_recbole
from instructrec.envs.read_tables import PARQUET, TEXT, read_tables
from instructrec.names import unknown_name


@dataclass(frozen=True)
class Format:
    """A format that can be read.

    Attributes:
        looks_for: The files by which it is recognised, in words.
        options: The options of `read_data` that it has, beside ``max_ratings``.
        recognises: Whether a place holds it.
        read: Reads it.
    """

    looks_for: str
    options: frozenset[str]
    recognises: Callable[[Files], bool]
    read: Callable[..., Interactions]


def _movielens(edition: str) -> Format:
    parts = EDITIONS[edition]

    def recognises(files: Files) -> bool:
        return bool(files.find(parts.ratings) and files.find(parts.films)) and files.only in ("", parts.ratings)

    def read(files: Files, **options: Any) -> Interactions:
        return read_movielens(files, edition, **options)

    return Format(f"{parts.ratings} and {parts.films}", frozenset(), recognises, read)


def _ends(files: Files, *patterns: str) -> bool:
    return bool(set(files.find(*patterns)) & ({files.only} if files.only else set(files.names)))


_ROLES = frozenset({"columns", "scale", "repeats", "unknown", "encoding"})
FORMATS: Mapping[str, Format] = {
    **{edition: _movielens(edition) for edition in EDITIONS},
    "recbole": Format("NAME.inter", _ROLES, lambda files: _ends(files, "*.inter"), read_recbole),
    "open-bandit": Format(
        "CAMPAIGN.csv and item_context.csv", frozenset(), lambda files: bool(campaigns(files)), read_openbandit
    ),
    "amazon": Format(
        "reviews as .jsonl(.gz) and meta_….jsonl(.gz)",
        frozenset({"items", "repeats", "unknown"}),
        lambda files: _ends(files, *JSON_LINES),
        read_amazon,
    ),
    "tables": Format(
        ".csv, .tsv or .parquet with a column for people and one for items",
        _ROLES | {"items", "persons"},
        lambda files: _ends(files, *TEXT, *PARQUET),
        read_tables,
    ),
}
"""The formats by name, in the order in which they are looked for."""


def format_of(files: Files) -> str | None:
    """Returns the name of the format that a place holds; None where it holds none."""
    return next((name for name, each in FORMATS.items() if each.recognises(files)), None)


def read_data(
    path: Path | str,
    format: str | None = None,  # noqa: A002
    columns: Mapping[str, str] | None = None,
    *,
    items: Path | str | None = None,
    persons: Path | str | None = None,
    scale: tuple[float, float] | None = None,
    repeats: Repeats | None = None,
    unknown: Unknown | None = None,
    max_ratings: int = MAX_RATINGS,
    encoding: str | None = None,
) -> Interactions:
    """Reads interactions, and what is known of items and people, in any of `FORMATS`.

    Args:
        path: A folder, an archive (.zip, .whl, .tar, .tar.gz), ``ARCHIVE/FOLDER`` inside one, or a single file.
        format: The format, one of `FORMATS`; found out when omitted.
        columns: Column by role: "person", "item", "rating" or "clicks", "time"; for tables and RecBole.
        items: The item table's file, if it lies elsewhere; for tables and Amazon.
        persons: The people table's file, if it lies elsewhere; for tables.
        scale: The lowest and highest rating there can be; numbers outside are refused. For tables and RecBole.
        repeats: "refuse", "last" or "sum": what becomes of a person and item that occur twice. When omitted, ratings
            are refused, clicks added up, and of Amazon's reviews the latest counts.
        unknown: "refuse", "drop" or "keep": what becomes of items that the item table lacks. When omitted, tables
            refuse, RecBole keeps, and Amazon drops them.
        max_ratings: How many interactions are held at most; beyond it whole people are drawn by a hash of their id.
        encoding: The encoding of tables and RecBole files, UTF-8 when omitted.

    Raises:
        FileNotFoundError: If something is missing.
        ImportError: If a table is Parquet and pyarrow is not installed.
        ValueError: If the format cannot be told or a file is malformed; the message names the file, the line, the
            column and the cure.
    """
    files = Files.at(path)
    if format is None:
        format = format_of(files)  # noqa: A001
        if format is None:
            sought = "; ".join(f"{name}: {each.looks_for}" for name, each in FORMATS.items())
            raise ValueError(
                f"{path}: cannot tell the format from {files.only or files.listed()}. Looked for {sought}. "
                "Give the folder that holds these"
            )
    if format not in FORMATS:
        raise ValueError(unknown_name("format", format, FORMATS))
    if repeats not in (None, "refuse", "last", "sum") or unknown not in (None, "refuse", "drop", "keep"):
        raise ValueError(
            f"repeats is one of refuse, last, sum and unknown one of refuse, drop, keep; got {repeats!r}, {unknown!r}"
        )
    if scale is not None and not -float("inf") < scale[0] < scale[1] < float("inf"):
        raise ValueError(f"scale is the lowest and the highest rating, such as (1, 5); got {scale}")
    said = {
        "columns": columns,
        "items": items,
        "persons": persons,
        "scale": scale,
        "repeats": repeats,
        "unknown": unknown,
        "encoding": encoding,
    }
    given = {name: value for name, value in said.items() if value is not None}
    chosen = FORMATS[format]
    for name in given:
        if name not in chosen.options:
            raise ValueError(
                f"{path} is read as {format}, which has no setting {name!r} "
                f"(it has: {', '.join(sorted(chosen.options)) or 'none'}); leave it out, or have plain tables read: "
                "format='tables' (on the command line `--data-format tables`)"
            )
    return chosen.read(files, max_ratings=max_ratings, **given)
