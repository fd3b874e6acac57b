"""Aspects of an agent: the things that are played with it, each of which makes totals that tables are made of.

``held_out``: people, sentences and combinations that training never met. ``generalisation``: each axis held out by
itself, and all of them. ``unseen_items``: the held-out items alone, by agents trained once more without them.
``cold_start``: little known of the past. ``ranking``: the order of the whole catalogue at arrival. ``edits``: what
changes when words do. ``held_out_ratings``: what real people rated later. ``other``: another world of the same items.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from instructrec import metrics
from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue
from instructrec.experiments.edit_measures import measure_edits
from instructrec.experiments.evaluation import Judge, evaluate, without_words
from instructrec.experiments.ranking_measures import measure_later_ratings, measure_rankings
from instructrec.experiments.totals import Totals
from instructrec.experiments.workshop import AbsentError, Contestant, Workshop
from instructrec.goals import Goals
from instructrec.sessions import Observation, Sessions, SessionState, World, pasts_of
from instructrec.splits import Splits

ASPECTS = ("held_out", "generalisation", "unseen_items", "cold_start", "ranking", "edits", "held_out_ratings")
"""What a whole protocol measures; ``other`` comes with another world."""
AXES = ("users", "templates", "synonyms", "combinations")
"""What is held out axis by axis; items are a world's candidates, and need agents trained without them."""
PASTS = (0, 1, 5, 20)
"""How many of the latest ratings of a past are left for a cold start."""
TIMED = 200


@dataclass(frozen=True)
class Aspect:
    """Something to measure.

    Attributes:
        name: Its name.
        conditions: All that decides what comes of it, beside the agent.
        measure: Measures a contestant; raises `AbsentError` where that makes no sense.
    """

    name: str
    conditions: Mapping[str, Any]
    measure: Callable[[Contestant], dict[str, Totals]]


def aspects_of(
    names: tuple[str, ...], shop: Workshop, sessions: Sessions, other: World | None = None, *, unseen: bool = False
) -> list[Aspect]:
    """Returns what is measured of a cell.

    Args:
        names: Of `ASPECTS`.
        shop: Makes the worlds.
        sessions: Who is met.
        other: Another world.
        unseen: Whether the cell was trained without the held-out items: then it is measured on them alone.
    """
    known = {"people": len(sessions.lane), "seed": int(sessions.seed[0])}
    world = shop.world(str(shop.held_out))

    def aspect(name: str, worlds: Mapping[str, World], measure: Callable[[Contestant], dict[str, Totals]]) -> Aspect:
        prints = {part: each.fingerprint for part, each in worlds.items()}
        return Aspect(name, {"aspect": name, "worlds": prints, **known}, measure)

    def plays(worlds: Mapping[str, World]) -> Callable[[Contestant], dict[str, Totals]]:
        return lambda contestant: {part: _played(each, contestant, sessions) for part, each in worlds.items()}

    if unseen:
        places = {"unseen_items": shop.world(str(shop.held_out), items=shop.held_out)}
        return [aspect("unseen_items", places, plays(places))]
    made: dict[str, Callable[[], Aspect]] = {
        "held_out": lambda: aspect("held_out", {"own": world}, lambda who: _held_out(world, who, sessions)),
        "generalisation": lambda: aspect("generalisation", splits_of(shop), plays(splits_of(shop))),
        "cold_start": lambda: aspect("cold_start", {"own": world}, lambda who: _cold_start(world, who, sessions)),
        "ranking": lambda: aspect("ranking", {"own": world}, lambda who: measure_rankings(world, who.at, sessions)),
        "edits": lambda: aspect(
            "edits", {"own": world}, lambda who: measure_edits(world, who.at, sessions, Splits.of(shop.held_out))
        ),
        "held_out_ratings": lambda: aspect(
            "held_out_ratings", {"own": world}, lambda who: measure_later_ratings(world, who.at)
        ),
    }
    found = [made[name]() for name in names if name != "unseen_items"]
    if other is not None:
        found.append(aspect("other", {"other": other}, lambda who: _elsewhere(world, other, who, sessions)))
    return found


def splits_of(shop: Workshop) -> dict[str, World]:
    """Returns the worlds of the generalisation table, by the axis that is held out in them.

    An axis that makes no difference in a world is left out.
    """

    def make() -> dict[str, World]:
        held = (shop.held_out,)
        worlds = {"seen": shop.world("train")}
        for axis in AXES:
            worlds |= _where(shop, axis, Splits(**{axis: held}))
        worlds |= _where(shop, "all", Splits(**dict.fromkeys(AXES, held)))
        # Not where the world chooses candidates itself, or has fewer held-out items than a slate has places.
        with contextlib.suppress(AbsentError):
            worlds["items"] = shop.world(str(shop.held_out), items=shop.held_out)
        known = {world.fingerprint: axis for axis, world in reversed(worlds.items())}
        return {axis: world for axis, world in worlds.items() if known[world.fingerprint] == axis}

    return shop.kept("splits", make)


def _where(shop: Workshop, axis: str, splits: Splits) -> dict[str, World]:
    world = shop.world_where(splits)
    return {} if world is None else {axis: world}


def _played(world: World, contestant: Contestant, sessions: Sessions) -> Totals:
    return Totals.of(evaluate(world, contestant.at(world), sessions), shown=False)


def _held_out(world: World, contestant: Contestant, sessions: Sessions) -> dict[str, Totals]:
    """Plays an agent as it is, hearing nothing, and hearing another person."""
    competitor = contestant.at(world)
    own = evaluate(world, competitor, sessions, timed_decisions=TIMED, also=by_selectivity(world.catalogue))
    parts = {"own": Totals.of(own)}
    silent = without_words(competitor)
    for name, deprived in zip(("blank", "swapped"), silent or (), strict=False):
        parts[name] = Totals.of(evaluate(world, deprived, sessions))
    return parts


def by_selectivity(catalogue: Catalogue) -> Judge:
    """Returns CSR by the share of items that meet the goal: ``csr_below_1`` for under 1 %, and so on."""

    def judge(goals: Goals, known: Mapping[str, Floats]) -> dict[str, Floats]:
        classes = metrics.selectivity(goals, catalogue)
        return {
            f"csr_{name}": np.where(classes == place, known["csr"], np.nan)
            for place, name in enumerate(metrics.SELECTIVITIES)
        }

    return judge


def _cold_start(world: World, contestant: Contestant, sessions: Sessions) -> dict[str, Totals]:
    if not pasts_of(world, Sessions.first(0, 1))[0].shape[1]:
        raise AbsentError(f"nobody in {world.name} has a past that could be cut short")
    competitor = contestant.at(world)
    return {
        str(count): Totals.of(evaluate(world, competitor, sessions, hears=_knowing(count)), shown=False)
        for count in PASTS
    }


def _knowing(count: int) -> Callable[[Observation, SessionState], Observation]:
    """Returns what cuts visible pasts to their latest items."""

    def cut(observation: Observation, state: SessionState) -> Observation:
        real = observation.past >= 0
        # How many real items stand from here to the end.
        kept = real & (np.cumsum(real[:, ::-1], axis=1)[:, ::-1] <= count)
        return replace(
            observation,
            past=np.where(kept, observation.past, -1).astype(np.int32),
            past_ratings=np.where(kept, observation.past_ratings, 0).astype(np.float32),
        )

    return cut


def _elsewhere(home: World, other: World, contestant: Contestant, sessions: Sessions) -> dict[str, Totals]:
    if contestant.bound and _items(home) != _items(other):
        raise AbsentError(f"{other.name} has other items than {home.name}, and it knows only those it was trained on")
    if contestant.bound and home.slate_size != other.slate_size:
        raise AbsentError(
            f"slates of {other.name} hold {other.slate_size} items, and it fills {home.slate_size} places"
        )
    return {"other": _played(other, contestant, sessions)}


def _items(world: World) -> str:
    """Returns a hash of a world's items, whatever the language of what is written about them."""
    return replace(world.catalogue, texts=world.catalogue.titles, labels={}).fingerprint
