"""References know what they claim to know, no more, and stand in the order that they claim."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from instructrec.agents import click_regression
from instructrec.agents.baselines import Popularity, SkipConsumed, consumed
from instructrec.agents.informed import FEATURES, Informed, InformedSettings, fit_informed
from instructrec.agents.references import GoalOracle, Oracle, OtherGoals, Planner, goal_parts
from instructrec.candidates import RandomCandidates
from instructrec.envs.tiny import myopic_value, tiny_world
from instructrec.envs.worlds import make_world
from instructrec.experiments.evaluation import evaluate, without_words
from instructrec.goals import satisfied
from instructrec.policies import best_first
from instructrec.sessions import Observation, Sessions, SessionState, World, observe, start, step

SESSIONS = Sessions.first(5, 150)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world("instructrec/Movies-v0", split="validation")


@pytest.fixture(scope="module")
def ceiling() -> Informed:
    return fit_informed(make_world("instructrec/Movies-v0", split="train"), InformedSettings(sessions=300, rounds=2))


@pytest.fixture(scope="module")
def later(world: World, ceiling: Informed) -> tuple[Observation, SessionState]:
    """Sessions after two slates of popular films."""
    state = start(world, Sessions.first(9, 12))
    for _ in range(2):
        scores = GoalOracle(world.catalogue).scores(observe(world, state), state)
        state, _ = step(world, state, best_first(scores, world.slate_size))
    return observe(world, state), state


def test_the_oracle_shows_what_is_likeliest_to_be_clicked_now() -> None:
    tiny = tiny_world()
    played = evaluate(tiny, Oracle(tiny.population), Sessions.first(0, 4000))
    error = played.returns.std() / np.sqrt(len(played.returns))
    assert abs(played.mean("return") - myopic_value(tiny)) < 4 * error


def test_those_who_know_more_do_better(world: World, ceiling: Informed) -> None:
    competitors: dict[str, Any] = {
        "popularity": SkipConsumed(Popularity(world.catalogue), world.catalogue.num_items),
        "goal_oracle": GoalOracle(world.catalogue),
        "informed": ceiling,
        "oracle": Oracle(world.population),
    }
    returns = {name: evaluate(world, one, SESSIONS).mean("return") for name, one in competitors.items()}
    assert sorted(returns, key=returns.__getitem__) == ["popularity", "goal_oracle", "informed", "oracle"]


def test_knowing_goals_means_meeting_them(world: World, ceiling: Informed) -> None:
    for reference in (GoalOracle(world.catalogue), ceiling):
        played = evaluate(world, reference, SESSIONS)
        assert played.mean("csr") > 0.95
        assert played.mean("violation") < 0.02
        controls = without_words(reference)
        assert controls is not None
        for control in controls:
            assert evaluate(world, control, SESSIONS).mean("csr") < 0.7


def test_goal_parts_are_the_sums_over_predicates(world: World, later: tuple[Observation, SessionState]) -> None:
    goals = later[1].instructions.goals
    assert goals is not None
    broken, wished = goal_parts(goals, world.catalogue)
    everything = np.arange(world.catalogue.num_items)
    met = satisfied(goals, world.catalogue, everything)
    for row in range(len(goals.check)):
        hard = goals.hard[row] & goals.item_level[row]
        expected = (goals.weight[row, hard, None] * ~met[row, hard]).sum(axis=0)
        np.testing.assert_allclose(broken[row], expected, atol=1e-5)
        total = goals.weight[row, ~hard].sum()
        if total:
            share = (goals.weight[row, ~hard, None] * met[row, ~hard]).sum(axis=0) / total
            np.testing.assert_allclose(wished[row], share - 0.5, atol=1e-5)
        else:
            assert not wished[row].any()


def test_the_honest_ceiling_sees_nothing_hidden_but_goals(
    ceiling: Informed, later: tuple[Observation, SessionState]
) -> None:
    observation, state = later
    ignorant = replace(state, population=None, sessions=None)  # type: ignore[arg-type]
    np.testing.assert_array_equal(ceiling.scores(observation, state), ceiling.scores(observation, ignorant))


def test_what_it_scores_is_what_it_was_fitted_to(ceiling: Informed, later: tuple[Observation, SessionState]) -> None:
    observation, state = later
    assert state.instructions.goals is not None
    assert observation.clicked.any()
    items = np.concatenate([observation.slates[:, 0], observation.slates[:, 1], observation.past[:, -5:]], axis=1)
    items = np.where(items < 0, 0, items)
    features = ceiling.features(observation, state.instructions.goals, items)
    assert features.shape == (12, 25, len(FEATURES))
    expected = features @ ceiling.weights + ceiling.item_odds[items]
    scores = np.take_along_axis(ceiling.scores(observation, state), items.astype(np.int64), axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-3)


def test_it_learns_how_people_behave(ceiling: Informed, world: World) -> None:
    weights = dict(zip(FEATURES, ceiling.weights, strict=True))
    assert weights["broken"] < -1
    assert weights["wished"] > 0
    assert weights["consumed"] < 0
    behaviour = world.population.behaviour  # type: ignore[attr-defined]
    looking_on = (behaviour.continue_after_skip + behaviour.continue_after_click) / 2
    assert abs(ceiling.looking_on - looking_on) < 0.1


def test_references_rank_the_candidates_that_there_are(world: World, ceiling: Informed) -> None:
    some = replace(world, candidates=RandomCandidates(world.catalogue, 50))
    state = start(some, Sessions.first(2, 6))
    observation = observe(some, state)
    for reference in (ceiling, GoalOracle(world.catalogue), Oracle(world.population), Planner(world.population)):
        some_scores = reference.scores(observation, state)
        all_scores = reference.scores(observe(world, state), state)
        assert some_scores.shape == (6, 50)
        np.testing.assert_array_equal(some_scores, np.take_along_axis(all_scores, observation.candidates, axis=1))


def test_a_planner_without_foresight_is_the_oracle(world: World, later: tuple[Observation, SessionState]) -> None:
    own, other = Planner(world.population, 0.0).scores(*later), Oracle(world.population).scores(*later)
    np.testing.assert_array_equal(own, other)
    with pytest.raises(ValueError, match="foresight must be 0 or more"):
        Planner(world.population, -1.0)


def test_references_are_refused_where_nothing_is_known(later: tuple[Observation, SessionState], world: World) -> None:
    class Silent:
        """Knows nothing of its utility."""

    with pytest.raises(TypeError, match="Silent has none, so leave the oracle out"):
        Oracle(Silent())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="lacks one of them"):
        Planner(tiny_world().population)
    observation, state = later
    silent = replace(state, instructions=replace(state.instructions, goals=None))
    with pytest.raises(ValueError, match="these instructions have none; leave it out"):
        GoalOracle(world.catalogue).scores(observation, silent)
    with pytest.raises(ValueError, match="nobody here has one; leave it out"):
        fit_informed(tiny_world(), InformedSettings(sessions=5))


def test_other_goals_are_the_next_persons(world: World, later: tuple[Observation, SessionState]) -> None:
    observation, state = later
    reference = GoalOracle(world.catalogue)
    own, other = reference.scores(observation, state), OtherGoals(reference).scores(observation, state)
    known = consumed(observation, world.catalogue.num_items)
    both = ~known[1:] & ~known[:-1]
    np.testing.assert_array_equal(own[:-1][both], other[1:][both])


def test_what_was_looked_at_follows_from_clicks() -> None:
    rng = np.random.default_rng(0)
    slates, size, go_on = 20_000, 8, 0.8
    chance = rng.uniform(0.05, 0.6, (slates, size))
    looked = np.concatenate([np.ones((slates, 1)), np.cumprod(rng.random((slates, size - 1)) < go_on, axis=1)], axis=1)
    clicked = (rng.random((slates, size)) < chance) & (looked > 0)
    guess = 0.5
    for _ in range(40):
        posterior, guess = click_regression._looked(clicked, chance, guess)
    assert abs(guess - go_on) < 0.01
    assert (posterior[clicked] == 1).all()
    # Calibrated: of the positions thought to be looked at with probability p, a share of p were.
    for low in (0.1, 0.4, 0.7):
        chosen = (posterior > low) & (posterior < low + 0.2)
        assert abs(looked[chosen].mean() - posterior[chosen].mean()) < 0.02


def test_newton_steps_reach_the_ridge_optimum() -> None:
    rng = np.random.default_rng(1)
    shared, items = rng.normal(size=(400, 3)), rng.integers(0, 12, 400)
    clicks, looked = (rng.random(400) < 0.4).astype(float), rng.random(400)
    spread = 0.5

    def loss(both: np.ndarray) -> float:
        odds = shared @ both[:3] + both[3:][items]
        prior = (both[:3] ** 2).sum() / click_regression._LOOSE**2 + (both[3:] ** 2).sum() / spread**2
        return float((looked * (np.logaddexp(0, odds) - clicks * odds)).sum() + prior / 2)

    weights, effects = np.zeros(3), np.zeros(12)
    for _ in range(8):
        chance = expit(shared @ weights + effects[items])
        slope, curvature = looked * (clicks - chance), looked * chance * (1 - chance)
        step = click_regression._newton_step(shared, items, slope, curvature, weights, effects, spread)
        weights, effects = weights + step[0], effects + step[1]
    best = minimize(loss, np.zeros(15), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(np.concatenate([weights, effects]), best, atol=1e-4)
