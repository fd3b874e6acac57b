"""People whose tastes are drawn from a domain's distributions, with a visible past of items they took to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import Catalogue
from instructrec.envs.conversational import Tastes
from instructrec.envs.domain import Domain
from instructrec.envs.made_items import lucky, standardised
from instructrec.goals import allowed, compile_goals
from instructrec.splits import Split, split_of

_LOGARITHMIC = ("lognormal", "counts", "exponential")
_MEAN_STARS, _RATING_NOISE = 3.5, 0.7
_LOOKED_AT = 2000
"""How many items, drawn by popularity, a person's past is chosen from."""
_CHOICE = 2.0
"""Log-odds per star of an item's coming to be in somebody's past."""


def made_people(
    domain: Domain, catalogue: Catalogue, *, users: tuple[Split, ...], past_length: int, seed: int = 0
) -> Tastes:
    """Makes the people of a domain; a person is the same whoever else may come.

    Args:
        domain: Who they are like.
        catalogue: What they have tastes in.
        users: Whose sessions may start: people of which splits.
        past_length: How many items of their past agents may see at most.
        seed: Which people of this kind.
    """
    people, factors = domain.people, item_factors(domain, catalogue)
    means = np.array([mean for mean, _, width in _tastes(domain, catalogue) for _ in range(width)])
    spreads = np.array([spread for _, spread, width in _tastes(domain, catalogue) for _ in range(width)])
    rng = lucky(domain.name, "people", seed)
    drawn = means + spreads * rng.standard_normal((people.count, len(means)))
    quality = _quality(domain, catalogue)
    limit = min(people.past, past_length)
    rules = person_rules(domain, people.count, seed)
    past = np.full((people.count, limit), -1, np.int32)
    ratings = np.zeros((people.count, limit), np.float32)
    met = _often_met(catalogue)
    for person in range(people.count):
        own = lucky(domain.name, "past", person, seed)
        items = np.unique(np.searchsorted(met, own.random(min(_LOOKED_AT, catalogue.num_items)), side="right"))
        items = _suited(domain, catalogue, items, rules[person])
        stars = quality[items] + factors[items] @ drawn[person]
        chosen, given = _past(own, items, stars, limit)
        past[person, : len(chosen)], ratings[person, : len(chosen)] = chosen, given
    who = [n for n in range(people.count) if split_of("users", f"{domain.name} {n}") in users]
    return Tastes(
        who=np.array(who, np.int32),
        person_factors=drawn.astype(np.float32),
        item_factors=factors,
        quality=quality.astype(np.float32),
        allure=_allure(domain, catalogue).astype(np.float32),
        past=past,
        past_ratings=ratings,
    )


def item_factors(domain: Domain, catalogue: Catalogue) -> npt.NDArray[np.float32]:
    """Returns what tastes weigh, float32 [num_items, rank]: shares of a set's values, standardised numbers."""
    parts = []
    for name in domain.people.tastes:
        column = catalogue.column(name)
        if column.is_set:
            has = column.indicators()
            parts.append(has / np.maximum(has.sum(axis=1, keepdims=True), 1))
        else:
            parts.append(_standard(domain, catalogue, name)[:, None].astype(np.float32))
    return np.concatenate(parts, axis=1) if parts else np.zeros((catalogue.num_items, 1), np.float32)


def person_rules(domain: Domain, count: int, seed: int = 0) -> npt.NDArray[np.int32]:
    """Returns which condition of each rule every person lives by, int32 [count, num_rules]."""
    found = np.zeros((count, len(domain.rules)), np.int32)
    for place, rule in enumerate(domain.rules):
        shares = np.cumsum([share for _, share in rule.shares])
        luck = lucky(domain.name, "rule", rule.name, seed).random(count)
        found[:, place] = np.minimum(np.searchsorted(shares, luck, side="right"), len(rule.shares) - 1)
    return found


def _tastes(domain: Domain, catalogue: Catalogue) -> list[tuple[float, float, int]]:
    """Returns mean, spread and width of every taste."""
    found = []
    for name, (mean, spread) in domain.people.tastes.items():
        column = catalogue.column(name)
        found.append((mean, spread, len(column.values) if column.is_set else 1))
    return found or [(0.0, 0.0, 1)]


def _standard(domain: Domain, catalogue: Catalogue, name: str) -> npt.NDArray[np.float64]:
    attribute = domain.attributes[name]
    counts = attribute.draw is not None and attribute.draw[0] in _LOGARITHMIC
    return standardised(catalogue.column(name).numbers, counts=counts, half_life=attribute.half_life)


def _quality(domain: Domain, catalogue: Catalogue) -> npt.NDArray[np.float64]:
    luck = lucky(domain.name, "quality", catalogue.num_items).standard_normal(catalogue.num_items)
    quality = domain.people.luck * luck
    for name, weight in domain.people.quality.items():
        quality += weight * _standard(domain, catalogue, name)
    return np.asarray(quality)


def _allure(domain: Domain, catalogue: Catalogue) -> npt.NDArray[np.float64]:
    weights = domain.people.allure
    luck = lucky(domain.name, "allure", catalogue.num_items).standard_normal(catalogue.num_items)
    drawn = np.sqrt(max(0.0, 1 - sum(weight**2 for weight in weights.values()))) * luck
    for name, weight in weights.items():
        drawn += weight * _standard(domain, catalogue, name)
    return np.asarray(drawn)


def _often_met(catalogue: Catalogue) -> npt.NDArray[np.float64]:
    """Returns the cumulated chances of coming across each item, [num_items]: those of its popularity."""
    cumulative = np.cumsum(catalogue.popularity.astype(np.float64) + 0.1)
    return np.asarray(cumulative[:-1] / cumulative[-1])


def _suited(
    domain: Domain, catalogue: Catalogue, items: npt.NDArray[np.int64], choices: npt.NDArray[np.int32]
) -> npt.NDArray[np.int64]:
    """Returns those of the items that break no rule that the person lives by."""
    for rule, choice in zip(domain.rules, choices.tolist(), strict=True):
        predicate = rule.shares[choice][0]
        if predicate is not None:
            items = items[allowed(compile_goals([[predicate]], catalogue), catalogue, items)[0]]
    return items


def _past(
    rng: np.random.Generator, items: npt.NDArray[np.int64], stars: npt.NDArray[np.float64], limit: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns the items of one person's past, oldest first, and the stars they gave."""
    luck = rng.random(len(items))
    order = np.argsort(-(_CHOICE * stars - np.log(-np.log(luck))), kind="stable")[:limit]
    order = order[rng.permutation(len(order))]
    noise = _RATING_NOISE * rng.standard_normal(len(order))
    given = np.clip(np.round(2 * (_MEAN_STARS + stars[order] + noise)) / 2, 0.5, 5.0)
    return items[order].astype(np.int32), given.astype(np.float32)
