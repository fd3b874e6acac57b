"""Rankings of the whole catalogue: by what people here want at arrival, and by what real people rated later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from instructrec import metrics
from instructrec.agents.baselines import consumed
from instructrec.arrays import Bools, Floats, take
from instructrec.envs.movielens import Ratings, shipped
from instructrec.experiments.edit_measures import Cases, scorer_of
from instructrec.experiments.evaluation import Competitor, arguments_of_scores, decider
from instructrec.experiments.totals import Totals
from instructrec.experiments.workshop import AbsentError
from instructrec.noise import Noise
from instructrec.protocols import KnowsUtility
from instructrec.sessions import Observation, Sessions, SessionState, World, observe, persons_of, start

DEPTHS = (1, 5, 10)
LIKED = 4.0
"""Stars from which a film counts as liked."""
_BATCH, _LOOKED_AT = 128, 20_000


def measure_rankings(
    world: World, competitor_in: Callable[[World], Competitor], sessions: Sessions
) -> dict[str, Totals]:
    """Measures the order of the whole catalogue at arrival.

    Graded gain: the share of the goal that an item meets × the probability that it is clicked if looked at (where the
    population knows it). Relevant: what meets the whole goal. The goal is all that the person has in mind, said or not.

    Raises:
        AbsentError: If goals are not known there, or the world chooses candidates.
    """
    state = start(world, sessions)
    if state.instructions.goals is None or world.candidates is not None:
        raise AbsentError(f"{world.name} has no goals, or no ranking of all its items")
    order, cases = _Order(world, competitor_in(world)), Cases(len(state.turn))
    for begin in range(0, len(state.turn), _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, len(state.turn)))
        here = take(state, rows)
        goals = here.instructions.goals
        assert goals is not None
        met = metrics.goal_shares(goals, world.catalogue)
        gains = np.nan_to_num(met).astype(np.float64)
        if isinstance(world.population, KnowsUtility):
            gains = gains * world.population.expected_utility(here.population)
        _add(cases, rows, order.best(observe(world, here), here), gains, met > 1 - 1e-6)
    return {"arrival": cases.totals(world, sessions, persons_of(world, state))}


def _add(cases: Cases, rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64], gains: Floats, good: Bools) -> None:
    """Adds every measure of rankings.

    Args:
        cases: Where they are added.
        rows: Whose they are.
        places: Items, best first, [batch, depth]; -1 where there is none.
        gains: Of every item, [batch, num_items].
        good: Which are relevant, [batch, num_items].
    """
    ranked = np.where(places >= 0, np.take_along_axis(gains, places, axis=1), 0.0)
    hits = np.where(places >= 0, np.take_along_axis(good, places, axis=1), False)
    total = good.sum(axis=1)
    for k in (depth for depth in DEPTHS if depth <= places.shape[1]):
        cases.add(f"ndcg_{k}", rows, metrics.ndcg(ranked, gains, k))
        cases.add(f"precision_{k}", rows, metrics.precision_at(hits, total, k))
        cases.add(f"recall_{k}", rows, metrics.recall_at(hits, total, k))
        cases.add(f"hit_rate_{k}", rows, metrics.hit_rate_at(hits, total, k))
        cases.add(f"mrr_{k}", rows, metrics.mrr_at(hits, total, k))


@dataclass(frozen=True)
class _Order:
    """How a competitor orders the catalogue.

    Attributes:
        world: Where.
        competitor: Who.
    """

    world: World
    competitor: Competitor

    def best(self, observation: Observation, state: SessionState, barred: Bools | None = None) -> npt.NDArray[np.int64]:
        """Returns the best items, [batch, depth]; those that are barred are passed over, and -1 stands in the end.

        Whoever only shows slates is judged by its slate.
        """
        scores = scorer_of(self.competitor)
        if scores is None:
            luck = Noise(state.sessions.keys, state.turn)
            slates = np.asarray(decider(self.world, self.competitor)(observation, state, luck), np.int64)
            return _passed_over(slates, barred)
        found = np.array(scores(observation, state), np.float64)
        if barred is not None:
            found[barred] = -np.inf
        depth = min(max(DEPTHS), found.shape[1])
        return np.argsort(-found, axis=1, kind="stable")[:, :depth]


def _passed_over(slates: npt.NDArray[np.int64], barred: Bools | None) -> npt.NDArray[np.int64]:
    if barred is None:
        return slates
    out = np.take_along_axis(barred, slates, axis=1)
    order = np.argsort(out, axis=1, kind="stable")
    return np.take_along_axis(np.where(out, -1, slates), order, axis=1)


def measure_later_ratings(world: World, competitor_in: Callable[[World], Competitor]) -> dict[str, Totals]:
    """Measures how well an agent that hears nothing finds what the people of a world really liked later.

    Each person's earlier half of ratings is the past, of which agents see the latest; films of the later half with
    `LIKED` stars or more are to be found, among all that the person had not rated in the earlier half. Nobody speaks.

    Raises:
        AbsentError: If nobody's real ratings stand behind the world, or the agent knows those that are to be found.
    """
    if world.catalogue.item_ids != shipped()[0].item_ids or world.candidates is not None:
        raise AbsentError(f"no real later ratings stand behind the people of {world.name}")
    competitor = competitor_in(world)
    if arguments_of_scores(competitor) == 2 and not hasattr(competitor, "factors"):
        raise AbsentError("it knows tastes that were fitted to these very ratings, or nothing but goals")
    if arguments_of_scores(competitor) == 2:
        competitor = cast("Any", competitor).blank()  # It looks at goals rather than words.
    state = _everybody(world)
    person = persons_of(world, state)
    known, liked = _ratings_of(shipped()[1], person, world.catalogue.num_items)
    order, cases = _Order(world, competitor), Cases(len(person))
    for begin in range(0, len(person), _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, len(person)))
        here = take(state, rows)
        nothing = observe(world, here).saying(np.zeros(len(rows), np.int64))
        places = order.best(nothing, here, known[rows] | consumed(nothing, world.catalogue.num_items))
        _add(cases, rows, places, liked[rows].astype(np.float64), liked[rows])
    return {"later": cases.totals(world, state.sessions, person)}


def _everybody(world: World) -> SessionState:
    """Returns one arrival of each person who may come to a world."""
    person = persons_of(world, start(world, Sessions.first(0, _LOOKED_AT)))
    lanes = np.sort(np.unique(person, return_index=True)[1])
    return start(world, Sessions.first(0, lanes))


def _ratings_of(ratings: Ratings, person: npt.NDArray[np.int64], num_items: int) -> tuple[Bools, Bools]:
    """Returns what each person rated in the earlier half, and what they liked in the later, both [batch, num_items]."""
    known, liked = (np.zeros((len(person), num_items), np.bool_) for _ in range(2))
    starts = ratings.starts()
    for row, who in enumerate(person):
        begin, end = int(starts[who]), int(starts[who + 1])
        half = begin + (end - begin) // 2
        known[row, ratings.item[begin:half]] = True
        later = slice(half, end)
        liked[row, ratings.item[later][ratings.rating[later] >= LIKED]] = True
    return known, liked
