"""Conditions as people write them in a domain file, such as ``year >= 1990``, and the predicates they are.

========================== ==================================================================
``genre Horror``           the item has the value; ``genre Comedy or Drama``: any of them
``genre not Horror``       it has none of them
``year >= 1990``           the number is that or more; ``<=`` likewise; levels of an ordinal are named: ``risk <= low``
``risk low``               exactly that level of an ordinal
``year 1990..1999``        from the one to the other, both included
``rating highest 5%``      among that share of the catalogue; ``lowest`` likewise
``..., wish``              a wish of weight 0.5 rather than a requirement; ``wish 1`` has weight 1
========================== ==================================================================

A condition with an ``n`` in the place of a number is a series: ``year n..n+9`` with ``1930..2010 by 10`` are nine
decades.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from instructrec.envs.yaml_reader import Entry
from instructrec.goals import Operator, Predicate
from instructrec.names import unknown_name

WISH = 0.5
"""The weight of a wish ("popular", "good"), beside 1 for what is required."""

Levels = Mapping[str, Sequence[str]]
"""The attributes there are, and the names of their values or levels (`Ranked`); none for numbers."""


class Ranked(tuple[str, ...]):
    """The names of an ordinal attribute's levels, lowest first: what is asked of them is asked of numbers."""


_SHAPES = "write it as `FIELD VALUE`, `FIELD not VALUE`, `FIELD >= NUMBER`, `FIELD LOW..HIGH` or `FIELD highest 5%`"
_WISH = re.compile(r",\s*wish(?:\s+([\d.]+))?$")
_BOUND = re.compile(r"(>=|<=)\s*(.+)$")
_SHARE = re.compile(r"(highest|lowest)\s+([\d.]+)\s*%$")
_SERIES = re.compile(r"\s*(-?[\d.]+)\s*\.\.\s*(-?[\d.]+)\s+by\s+([\d.]+)\s*$")
_PLACE = re.compile(r"\bn(?:\s*\+\s*(\d+(?:\.\d+)?))?(?!\w)")


def condition(text: str, attributes: Levels) -> Predicate:
    """Returns the predicate that a condition states.

    Args:
        text: The condition.
        attributes: The attributes it may speak of.

    Raises:
        ValueError: If it is no condition, or speaks of what does not exist; the message says how to write it.
    """
    said = text.strip()
    wish = _WISH.search(said)
    body = said[: wish.start()] if wish else said
    weight = float(wish[1] or WISH) if wish else 1.0
    field, _, rest = body.partition(" ")
    rest = rest.strip()
    if field not in attributes:
        raise ValueError(f"in {text!r}: " + unknown_name("attribute", field, attributes))
    if not rest:
        raise ValueError(f"{text!r} states nothing about {field}; {_SHAPES}")
    names = attributes[field]
    if share := _SHARE.match(rest):
        operator = Operator.HIGHEST if share[1] == "highest" else Operator.LOWEST
        _numbers_only(text, field, names)
        return _predicate(text, field, operator, share=float(share[2]) / 100, hard=wish is None, weight=weight)
    if bound := _BOUND.match(rest):
        _numbers_only(text, field, names)
        number = _number(text, bound[2], names)
        side = {"low": number} if bound[1] == ">=" else {"high": number}
        operator = Operator.AT_LEAST if bound[1] == ">=" else Operator.AT_MOST
        return _predicate(text, field, operator, hard=wish is None, weight=weight, **side)
    if ".." in rest:
        _numbers_only(text, field, names)
        low, _, high = rest.partition("..")
        bounds = {"low": _number(text, low, names), "high": _number(text, high, names)}
        return _predicate(text, field, Operator.BETWEEN, hard=wish is None, weight=weight, **bounds)
    operator = Operator.EXCLUDE if rest.startswith("not ") else Operator.INCLUDE
    values = tuple(value.strip() for value in rest.removeprefix("not ").split(" or "))
    if not names:
        raise ValueError(f"in {text!r}: {field} holds numbers; {_SHAPES}")
    for value in values:
        if value not in names:
            raise ValueError(f"in {text!r}: " + unknown_name(f"value of {field}", value, names))
    if isinstance(names, Ranked):
        if operator is Operator.EXCLUDE or len(values) > 1:
            raise ValueError(f"in {text!r}: levels have an order; write `{field} LOWEST..HIGHEST`, >= or <=")
        at = names.index(values[0])
        return _predicate(text, field, Operator.BETWEEN, low=at, high=at, hard=wish is None, weight=weight)
    return _predicate(text, field, operator, values=values, hard=wish is None, weight=weight)


def _numbers_only(text: str, field: str, names: Sequence[str]) -> None:
    if names and not isinstance(names, Ranked):
        raise ValueError(f"in {text!r}: {field} holds values without an order; write `{field} VALUE` or `not VALUE`")


def series(text: str, numbers: str, attributes: Levels) -> tuple[Predicate, ...]:
    """Returns the predicates of a series: ``text`` with ``n`` replaced by every number of ``FIRST..LAST by STEP``.

    Raises:
        ValueError: If either is not written so, or the series is empty or longer than 1,000.
    """
    span = _SERIES.match(numbers)
    if span is None:
        raise ValueError(f"expected FIRST..LAST by STEP, such as 1970..2010 by 5, got {numbers!r}")
    first, last, step = (_exact(number) for number in span.groups())
    if not _PLACE.search(text.partition(" ")[2]):
        raise ValueError(f"{text!r} has no n for the numbers {numbers} to stand in, as in `year >= n`")
    count = int((last - first) / step + 1e-9) + 1 if step > 0 and last >= first else 0
    if not 1 <= count <= 1000:
        raise ValueError(f"{numbers!r} holds {count} numbers; a series holds 1 to 1,000")
    field, _, rest = text.strip().partition(" ")
    found = []
    for place in range(count):
        number = first + place * step
        said = _PLACE.sub(lambda match, at=number: str(at + _exact(match[1] or "0")), rest)  # type: ignore[misc]
        found.append(condition(f"{field} {said}", attributes))
    return tuple(found)


def conditions_of(entry: Entry, attributes: Levels) -> tuple[Predicate, ...]:
    """Returns what an entry of a domain file states: a condition, or series of them by their conditions.

    Raises:
        ValueError: As `condition` and `series`, with the entry's place.
    """
    if entry.is_mapping:
        found = (span.made(series, text, span.text(), attributes) for text, span in entry.pairs().items())
        return tuple(predicate for predicates in found for predicate in predicates)
    return (entry.made(condition, entry.text(), attributes),)


def _number(text: str, said: str, levels: Sequence[str]) -> float:
    said = said.strip()
    if said in levels:
        return list(levels).index(said)
    try:
        return _exact(said)
    except ValueError:
        known = f"a number or one of {', '.join(levels)}" if levels else "a number"
        if ":" in said:
            known += " (a series such as `price <= n: 10..50 by 5` stands without quotes)"
        raise ValueError(f"in {text!r}: expected {known}, got {said!r}") from None


def _exact(said: str) -> float:
    """Returns a number as it is written: 1990 is a whole one, 3.0 is not."""
    return int(said) if re.fullmatch(r"-?\d+", said) else float(said)


def _predicate(text: str, field: str, operator: Operator, **given: object) -> Predicate:
    try:
        return Predicate(field=field, operator=operator, **given)  # type: ignore[arg-type]
    except ValueError as problem:
        raise ValueError(f"in {text!r}: {problem}") from None
