"""The parts of requests that are more than a condition drawn by itself: contexts, counts, and what depends or errs.

Each is made of conditions that other parts draw, so that a domain says only which parts they may come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from instructrec.envs.grammar import countable
from instructrec.envs.vocabulary import key_of
from instructrec.goals import Operator, Predicate, Reveal

if TYPE_CHECKING:
    from instructrec.envs.requests import Asking

_DRAWS = 30
"""How often a part is drawn at most until what comes fits."""
_SHARED = 0.5
"""The largest share of the items meant that also meet what a mistaken user believes."""


def context_part(asking: Asking, rng: np.random.Generator, named: Sequence[Predicate]) -> list[Predicate]:
    """Returns all that a situation means: they are said by its name, together."""
    contexts = asking.words.extras.contexts
    name = list(contexts)[int(rng.integers(len(contexts)))]
    return of_context(asking, name)


def of_context(asking: Asking, name: str) -> list[Predicate]:
    """Returns what one situation means."""
    return [replace(predicate, context=name) for predicate in asking.words.extras.contexts[name]]


def count_part(asking: Asking, rng: np.random.Generator, named: Sequence[Predicate]) -> list[Predicate]:
    """Returns how many of the slate must, or must exactly, meet a condition."""
    extras, words = asking.words.extras, asking.words
    families = [("at_least", number, 0) for number in extras.at_least]
    families += [("exactly", number, number) for number in extras.exactly]
    families = [each for each in families if words.templates.get(each[0])]
    found = _drawn(asking, extras.counted, rng, named, lambda test: countable(words, test))
    if found is None or not families:
        return []
    _, least, most = families[int(rng.integers(len(families)))]
    return [replace(found, least=least, most=most, hard=False)]


def conditional_part(asking: Asking, rng: np.random.Generator, named: Sequence[Predicate]) -> list[Predicate]:
    """Returns a condition on the items of one value: "if it is a horror film, only from before 1980"."""
    fields = {predicate.field for predicate in named}
    on = [attribute for attribute in asking.plainly_named if attribute not in fields] or [asking.about[0]]
    given = _drawn(asking, [on[int(rng.integers(len(on)))]], rng, named, lambda test: True)
    if given is None:
        return []
    others = [*named, given]
    then = _drawn(asking, asking.words.extras.conditional, rng, others, lambda test: test.field != given.field)
    return [replace(then, given=given)] if then is not None else []


def misinformed_part(asking: Asking, rng: np.random.Generator, named: Sequence[Predicate]) -> list[Predicate]:
    """Returns what would satisfy a user who believes, and says, another thing of the same attribute.

    At most half of the items that are meant meet what is believed: a mistake that few would notice is none.
    """
    parts = asking.words.extras.misinformed
    part = [parts[int(rng.integers(len(parts)))]]
    meant = _drawn(asking, part, rng, named, lambda test: True)
    if meant is None:
        return []
    means = asking.matcher.met(meant)

    def mistaken(test: Predicate) -> bool:
        same = test.field == meant.field and test.operator is meant.operator
        both = np.count_nonzero(means & asking.matcher.met(test))
        return same and bool(both <= _SHARED * np.count_nonzero(means))

    believed = _drawn(asking, part, rng, named, mistaken)
    return [replace(meant, believed=believed, reveal=Reveal.ON_VIOLATION)] if believed is not None else []


SPECIAL: dict[str, Callable[[Asking, np.random.Generator, Sequence[Predicate]], list[Predicate]]] = {
    "context": context_part,
    "count": count_part,
    "conditional": conditional_part,
    "misinformed": misinformed_part,
}
"""The parts, by the names that domain files know them by."""


def infeasible(asking: Asking, rng: np.random.Generator) -> list[Predicate]:
    """Returns conditions each of which many items meet, and none all; none where that is not found."""
    sets = asking.words.extras.infeasible
    for _ in range(_DRAWS):
        found: list[Predicate] = []
        for part in sets[int(rng.integers(len(sets)))]:
            drawn = _drawn(asking, [part], rng, found, lambda test: True)
            found += [drawn] if drawn is not None else []
        if len(found) > 1 and not asking.matcher.jointly(found, hard_only=True).any():
            return found
    return []


def revised(
    asking: Asking, predicates: Sequence[Predicate], parts: Sequence[str], rng: np.random.Generator
) -> tuple[int, tuple[Predicate, ...]] | None:
    """Returns a place and the request with another condition on the same attribute there; None where there is none.

    Args:
        asking: Where conditions come from.
        predicates: The request.
        parts: The parts that it was drawn from.
        rng: Where every choice comes from.
    """
    places = [place for place, each in enumerate(predicates) if _replaceable(each)]
    if not places:
        return None
    place = places[int(rng.integers(len(places)))]
    old = predicates[place]
    new = _drawn(asking, parts, rng, (), lambda test: test.field == old.field and key_of(test) != key_of(old))
    if new is None:
        return None
    return place, (*predicates[:place], new, *predicates[place + 1 :])


def _replaceable(predicate: Predicate) -> bool:
    one_value = predicate.operator is not Operator.EXCLUDE and len(predicate.values) <= 1
    return predicate.plain and predicate.hard and predicate.reveal is Reveal.VOLUNTEERED and one_value


def _drawn(
    asking: Asking,
    parts: Sequence[str],
    rng: np.random.Generator,
    named: Sequence[Predicate],
    fits: Callable[[Predicate], bool],
) -> Predicate | None:
    """Returns one required condition of one of the parts that is not named yet, one value of an attribute at a time."""
    known = {key_of(predicate) for predicate in named}
    ordinary = [part for part in parts if part not in SPECIAL and part not in ("exclusion", "share", "infeasible")]
    for _ in range(_DRAWS if ordinary else 0):
        drawn = asking.part(ordinary[int(rng.integers(len(ordinary)))], rng, named)
        for predicate in drawn[:1]:
            if _replaceable(predicate) and key_of(predicate) not in known and fits(predicate):
                return predicate
    return None
