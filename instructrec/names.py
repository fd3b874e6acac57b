"""Names that people type: finding the one they meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns a sentence for an unknown ``name`` that suggests the nearest known one and lists the rest."""
    names = sorted(known)
    # As people type them: without capitals, and without the namespace in front ("movies" for "instructrec/Movies-v0").
    plain = {each.rpartition("/")[2].lower(): each for each in names}
    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), plain, n=1, cutoff=0.5)
    hint = f"did you mean {plain[near[0]]!r}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}known: {', '.join(names) or 'none'}"
