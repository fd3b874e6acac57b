"""The Movies world is real, leaks nothing, and is worth learning in."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pytest

from instructrec.agents.references import Oracle, Planner
from instructrec.arrays import Floats, Ints
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.movielens import shipped
from instructrec.envs.worlds import make_world
from instructrec.experiments.evaluation import Episodes, evaluate
from instructrec.goals import allowed
from instructrec.policies import best_first
from instructrec.protocols import PrivilegedRanker
from instructrec.sessions import Observation, Sessions, SessionState, World, observe, start, step
from instructrec.splits import split_of

PEOPLE = Sessions.first(11, 240)


@pytest.fixture(scope="module")
def train() -> World:
    return make_world("instructrec/Movies-v0")


@pytest.fixture(scope="module")
def oracle(train: World) -> Episodes:
    return evaluate(train, Oracle(train.population), PEOPLE)


@dataclass(frozen=True)
class WorstOfTheBestFirst:
    """The oracle's ten films, in reverse."""

    ranker: PrivilegedRanker
    slate_size: int

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        scores = self.ranker.scores(observation, state)
        best: Ints = best_first(scores, self.slate_size)
        turned = np.full(scores.shape, -1.0)
        np.put_along_axis(turned, best, np.arange(self.slate_size, dtype=float)[None, :], axis=1)
        return turned


def test_the_greedy_oracle_follows_instructions(oracle: Episodes) -> None:
    assert oracle.mean("csr") >= 0.97


def test_planning_beats_greed_by_a_twentieth(train: World, oracle: Episodes) -> None:
    planner = evaluate(train, Planner(train.population, 6.0), PEOPLE)
    gain = planner.returns - oracle.returns
    # The same people with the same luck: even the cautious end of the difference is worth the trouble.
    assert gain.mean() >= 0.05 * oracle.returns.mean()
    assert gain.mean() > 2 * gain.std() / np.sqrt(len(gain))


def test_leaving_early_is_neither_rare_nor_the_rule(oracle: Episodes) -> None:
    assert 0.3 <= oracle.mean("leave_rate") <= 0.8


def test_the_order_of_a_slate_matters(train: World, oracle: Episodes) -> None:
    turned = evaluate(train, WorstOfTheBestFirst(Oracle(train.population), train.slate_size), PEOPLE)
    assert turned.returns.mean() <= 0.9 * oracle.returns.mean()


def test_held_out_worlds_have_other_people_and_other_sentences(train: World) -> None:
    others = [make_world("instructrec/Movies-v0", split=split) for split in ("validation", "test")]
    groups = [set(world.population.tastes.who.tolist()) for world in (train, *others)]
    assert all(groups)
    assert sum(map(len, groups)) == len(set.union(*groups)) == shipped()[1].num_persons
    said = [set(world.population.texts.bank) - {""} for world in (train, *others)]
    for one in (1, 2):
        assert len(said[0] & said[one]) <= 0.02 * len(said[one])
    assert len({world.fingerprint for world in (train, *others)}) == 3


def test_everybody_who_comes_belongs_to_the_split() -> None:
    world = make_world("instructrec/Movies-v0", split="test")
    state = start(world, Sessions.first(0, 500))
    names = shipped()[1].person_ids
    assert {split_of("users", names[person]) for person in state.population.person} == {"test"}


def test_the_bank_has_the_size_that_was_asked_for(train: World) -> None:
    assert len(train.population.texts.bank) == 6_000
    assert len(make_world("instructrec/Movies-v0", split="test").population.texts.bank) == 500
    assert len(make_world("instructrec/Movies-v0", bank_size=1_500).population.texts.bank) == 1_500


def test_what_people_ask_for_they_would_like(train: World) -> None:
    state = start(train, Sessions.first(4, 2_000))
    users, tastes = state.population, train.population.tastes
    liked = tastes.person_factors[users.person] @ tastes.item_factors.T
    assert state.instructions.goals is not None
    matching = allowed(state.instructions.goals, train.catalogue, np.arange(train.catalogue.num_items))
    share = matching / np.maximum(matching.sum(axis=1, keepdims=True), 1)
    own = (liked * share).sum(axis=1)
    somebody_elses = (np.roll(liked, 1, axis=0) * share).sum(axis=1)
    assert own.mean() > somebody_elses.mean() + 2 * (own - somebody_elses).std() / np.sqrt(len(own))


def test_agents_see_only_the_visible_past(train: World) -> None:
    observation = observe(train, start(train, Sessions.first(0, 300)))
    state = start(train, Sessions.first(0, 300))
    ratings = shipped()[1]
    starts = ratings.starts()
    for row in range(300):
        person = state.population.person[row]
        mine = ratings.item[starts[person] : starts[person + 1]]
        seen = observation.past[row][observation.past[row] >= 0]
        assert len(seen) <= 64
        assert set(seen) <= set(mine[: len(mine) // 2])


def test_hidden_state_never_moves_an_observation(train: World) -> None:
    """Everything hidden is replaced by another person's: what agents see stays the same."""
    from dataclasses import replace

    state = start(train, Sessions.first(0, 50))
    state, _ = step(train, state, np.argsort(-train.catalogue.popularity)[None, :10].repeat(50, axis=0))
    turned = np.roll(np.arange(50), 1)
    hidden = type(state.population)(
        **{
            field.name: getattr(state.population, field.name)[turned]
            for field in fields(state.population)
            if field.name != "goals"
        },
        goals=state.population.goals,
    )
    before, after = observe(train, state), observe(train, replace(state, population=hidden))
    for field in fields(before):
        one, other = getattr(before, field.name), getattr(after, field.name)
        assert one is other or np.array_equal(one, other)


def test_constants_enter_the_fingerprint(train: World) -> None:
    assert make_world("instructrec/Movies-v0", behaviour=Behaviour(boredom=0.0)).fingerprint != train.fingerprint
    assert make_world("instructrec/Movies-v0").fingerprint == train.fingerprint


def test_a_misspelt_split_is_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'validation'"):
        make_world("instructrec/Movies-v0", split="validaton")
