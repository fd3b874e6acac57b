"""Names that people type, finding the one they meant; and how records that grow are written down."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns a sentence for an unknown ``name`` that suggests the nearest known one and lists the rest."""
    names = sorted(known)
    # As people type them: without capitals, and without the namespace in front ("movies" for "instructrec/Movies-v0").
    plain = {each.rpartition("/")[2].lower(): each for each in names}
    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), plain, n=1, cutoff=0.5)
    hint = f"did you mean {plain[near[0]]!r}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(names) or 'none'}"


def in_a_line(thing: object, *parts: str) -> str:
    """Returns one short line about an object, for its ``repr``: its class and what matters, without its arrays.

    No fingerprint is made of it.
    """
    return f"{type(thing).__name__}({', '.join(parts)})"


ADDED = {"added": True}
"""Metadata of a dataclass field that came later: `written` leaves it out where it has its default, so that a record
that does not use it is written, and fingerprinted, as before there was such a field."""


def written(record: Any) -> str:
    """Returns a dataclass as its ``repr`` writes it, without `ADDED` fields that have their defaults."""
    parts = []
    for each in fields(record):
        value = getattr(record, each.name)
        if not (each.metadata.get("added") and each.default is not MISSING and value == each.default):
            parts.append(f"{each.name}={value!r}")
    return f"{type(record).__qualname__}({', '.join(parts)})"
