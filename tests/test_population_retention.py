"""Retention: behaviours that go together, visits that end sooner where people are annoyed, returns that come sooner."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.arrays import Ints
from instructrec.catalogue import Catalogue, Column
from instructrec.envs import tiny_world
from instructrec.envs.population_retention import (
    BEHAVIOURS,
    POPULATION,
    RATES,
    RetentionPopulation,
    RetentionState,
)
from instructrec.envs.populations import with_population
from instructrec.noise import Noise
from instructrec.rewards import RetentionReward
from instructrec.sessions import Instructions, Reactions, Sessions, World
from instructrec.testing import check_population, check_reward, check_world

TOPICS = tuple(f"topic {number}" for number in range(8))
ALIKE = {"taste": 0.0, "allure": 0.0, "quality": 0.0, "mood": 0.0, "likeness": 0.0}
"""Settings under which nothing tells items, people and moods apart."""
CLICK, LONG_VIEW, LIKE, COMMENT, FOLLOW, FORWARD, HATE = range(7)


def catalogue(each: int = 25) -> Catalogue:
    """Returns items 0 to ``each`` - 1 of the first topic, then those of the second, …"""
    about = [name for name in TOPICS for _ in range(each)]
    return Catalogue(
        columns={"topic": Column.categorical("topic", about, TOPICS)},
        titles=tuple(f"Video {item}" for item in range(len(about))),
        texts=tuple(f"a video on {topic}" for topic in about),
        item_ids=tuple(map(str, range(len(about)))),
        popularity=np.ones(len(about), np.float32),
    )


VARIED, UNIFORM = np.arange(0, 150, 25), np.arange(6)
"""A slate of six topics, and one all about the first."""


def luck(sessions: Sessions, turn: int) -> Noise:
    return Noise(sessions.keys, np.full(len(sessions.lane), turn, np.int32))


def once(population: RetentionPopulation, slate: Ints, people: int = 30_000) -> np.ndarray:
    """Returns what many people do with one slate, [people, slate_size, 7]."""
    sessions = Sessions.first(1, people)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    return population.behaviours(state, np.tile(slate, (people, 1)), luck(sessions, 0))


def played(
    population: RetentionPopulation, policy: object, people: int = 1_500, turns: int = 70
) -> dict[str, np.ndarray]:
    """Returns per session: slates seen, ends of visits, days away in all, and engagement."""
    sessions = Sessions.first(7, people)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    there = np.ones(people, bool)
    total = {name: np.zeros(people) for name in ("slates", "visits", "days", "engagement")}
    for turn in range(turns):
        state, reactions = population.react(state, policy(state), luck(sessions, turn))
        total["slates"] += there
        total["visits"] += there & (reactions.days_away > 0)
        total["days"] += there * reactions.days_away
        total["engagement"] += there * reactions.engagement.sum(axis=1)
        there &= ~reactions.left
    assert not there.any(), "every session comes to an end"
    return total


def best(population: RetentionPopulation, sign: int = 1) -> object:
    """Returns the policy that shows what is clicked and enjoyed most, or least."""

    def policy(state: RetentionState) -> Ints:
        worth = population.expected_utility(state) * population.expected_enjoyment(state)
        return np.argsort(-sign * worth, axis=1, kind="stable")[:, :6]

    return policy


def showing(slate: Ints) -> object:
    return lambda state: np.tile(slate, (len(state.lean), 1))


def later(one: np.ndarray, other: np.ndarray) -> float:
    """Returns by how many standard errors one exceeds the other, on the same people."""
    difference = one - other
    return float(difference.mean() / (difference.std() / np.sqrt(len(difference))))


def test_better_recommendations_shorten_the_return_gap():
    population = RetentionPopulation(catalogue())
    good, middling, bad = (
        played(population, each) for each in (best(population), showing(VARIED), best(population, -1))
    )
    assert later(bad["days"], middling["days"]) > 4
    assert later(middling["days"], good["days"]) > 4
    assert good["engagement"].mean() > 2 * middling["engagement"].mean()
    deaf = RetentionPopulation(catalogue(), influence=0.0, diversity=0.0)
    pleased, annoyed = played(deaf, best(deaf)), played(deaf, best(deaf, -1))
    assert abs(later(pleased["days"], annoyed["days"])) < 4


def test_visits_that_show_more_topics_shorten_the_return_gap():
    population = RetentionPopulation(catalogue(), **ALIKE, influence=0.0, diversity=0.3)
    varied, uniform = played(population, showing(VARIED)), played(population, showing(UNIFORM))
    assert later(uniform["days"], varied["days"]) > 4
    blind = RetentionPopulation(catalogue(), **ALIKE, influence=0.0, diversity=0.0)
    assert (played(blind, showing(VARIED))["days"] == played(blind, showing(UNIFORM))["days"]).all()


def test_hates_shorten_visits_by_what_they_cost():
    calm, angry = (RetentionPopulation(catalogue(), **ALIKE, rates={"hate": rate}, visits=1) for rate in (1e-6, 0.2))
    long, short = played(calm, showing(VARIED)), played(angry, showing(VARIED))
    assert short["slates"].mean() < 0.75 * long["slates"].mean()
    assert (short["slates"] <= long["slates"]).all(), "the same people with the same luck"
    careless = RetentionPopulation(catalogue(), **ALIKE, rates={"hate": 0.2}, visits=1, hate_cost=0.0)
    assert (played(careless, showing(VARIED))["slates"] == long["slates"]).all()


def test_clicks_lengthen_visits():
    often, seldom = (
        RetentionPopulation(catalogue(), **ALIKE, rates={"click": rate, "hate": 1e-6}, visits=1)
        for rate in (0.95, 0.05)
    )
    long, short = played(often, showing(VARIED)), played(seldom, showing(VARIED))
    assert 8 < long["slates"].mean() <= 10
    assert 5 <= short["slates"].mean() < 6


def test_a_slate_takes_two_less_its_share_of_clicks_and_what_its_hates_cost():
    population = RetentionPopulation(catalogue(), rates={"hate": 0.2}, hate_cost=0.7)
    sessions = Sessions.first(2, 500)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    slates = np.tile(VARIED, (500, 1))
    did = population.behaviours(state, slates, luck(sessions, 0))
    after, _ = population.react(state, slates, luck(sessions, 0))
    expected = 10 - 2 + did[:, :, CLICK].mean(axis=1) - 0.7 * did[:, :, HATE].sum(axis=1)
    stays = expected >= 1
    np.testing.assert_allclose(after.temper[stays], expected[stays])
    assert (after.temper[~stays] == 10).all()


def test_being_pleased_is_a_moving_average_of_what_behaviours_are_worth():
    population = RetentionPopulation(catalogue(), memory=0.8)
    sessions = Sessions.first(2, 500)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    expected = np.zeros(500)
    for turn in range(3):
        did = population.behaviours(state, np.tile(VARIED, (500, 1)), luck(sessions, turn))
        state, reactions = population.react(state, np.tile(VARIED, (500, 1)), luck(sessions, turn))
        expected = 0.8 * expected + 0.2 * (did[:, :, :HATE].sum(axis=2) - did[:, :, HATE]).mean(axis=1)
    np.testing.assert_allclose(state.pleased, expected)
    order = np.argsort(expected)
    assert (np.diff(reactions.satisfaction[order]) >= 0).all()


def test_where_nothing_tells_items_apart_behaviours_come_at_their_rates_and_on_their_own():
    did = once(RetentionPopulation(catalogue(), **ALIKE, rates={"hate": 0.1}), VARIED)
    clicked = did[:, :, CLICK]
    assert clicked.mean() == pytest.approx(RATES["click"], abs=0.01)
    for behaviour in range(LONG_VIEW, HATE):
        assert did[clicked][:, behaviour].mean() == pytest.approx(RATES[BEHAVIOURS[behaviour]], abs=0.01)
    assert did[:, :, HATE].mean() == pytest.approx(0.1, abs=0.01)
    together = np.corrcoef(did[clicked][:, LONG_VIEW:].astype(float).T)
    assert np.abs(together - np.eye(6)).max() < 0.02


def test_what_follows_a_click_goes_together_and_hates_go_the_other_way():
    likely = {"like": 0.4, "comment": 0.4, "follow": 0.4, "forward": 0.4, "hate": 0.3}
    did = once(RetentionPopulation(catalogue(), **{**ALIKE, "mood": 1.0}, rates=likely), VARIED)
    clicked = did[:, :, CLICK]
    together = np.corrcoef(did[clicked][:, LONG_VIEW:].astype(float).T)
    assert together[:-1, :-1].min() > 0.1
    assert together[-1, :-1].max() < -0.1
    assert not did[~clicked][:, LONG_VIEW:HATE].any()
    assert did[~clicked][:, HATE].any()


def test_what_draws_clicks_need_not_please():
    population = RetentionPopulation(catalogue(), taste=0.0)
    order = np.argsort(population.allures - population.qualities)
    bait, gem = (once(population, items).mean(axis=(0, 1)) for items in (order[-6:], order[:6]))
    assert bait[CLICK] > 1.2 * gem[CLICK]
    assert bait[LONG_VIEW] < gem[LONG_VIEW]
    assert bait[HATE] > 5 * gem[HATE]
    assert abs(np.corrcoef(population.allures, population.qualities)[0, 1]) < 0.2


def test_items_too_much_alike_are_clicked_less_by_what_likeness_says():
    population = RetentionPopulation(catalogue(), **{**ALIKE, "likeness": 0.2})
    assert once(population, UNIFORM)[:, :, CLICK].mean() == pytest.approx(0.4 - 0.2, abs=0.01)
    assert once(population, VARIED)[:, :, CLICK].mean() == pytest.approx(0.4 - 0.2 / 6, abs=0.01)


def test_the_expected_utility_is_how_often_an_item_is_clicked():
    population, people = RetentionPopulation(catalogue(), likeness=0.0), 20_000
    sessions = Sessions.first(1, people)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    state = replace(state, taste=np.tile(state.taste[:1], (people, 1)))
    expected = population.expected_utility(replace(state, taste=state.taste[:1], lean=state.lean[:1]))[0]
    did = population.behaviours(state, np.tile(VARIED, (people, 1)), luck(sessions, 3))
    np.testing.assert_allclose(did[:, :, CLICK].mean(axis=0), expected[VARIED], atol=0.02)


def test_days_away_follow_a_geometric_law_cut_off_at_the_most():
    settings = {"influence": 0.0, "diversity": 0.0, "personality": 0.0, "temper": 1.0, "most_days": 4}
    population = RetentionPopulation(catalogue(), return_bias=0.3, **settings)
    sessions = Sessions.first(4, 40_000)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    _, reactions = population.react(state, np.tile(VARIED, (40_000, 1)), luck(sessions, 0))
    law = 0.3 * 0.7 ** np.arange(4)
    shares = np.bincount(reactions.days_away.astype(int), minlength=5) / 40_000
    np.testing.assert_allclose(shares, [0, *(law / law.sum())], atol=0.01)


def test_visits_follow_one_another_until_the_last_one_ends_and_its_days_count():
    total = played(RetentionPopulation(catalogue(), visits=3), showing(VARIED))
    assert (total["visits"] == 3).all()
    assert (total["days"] >= 3).all()


def test_a_new_visit_begins_with_fresh_temper_and_no_topics_seen_and_the_pleasure_lasts():
    population = RetentionPopulation(catalogue(), temper=1.0)
    sessions = Sessions.first(0, 50)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    after, reactions = population.react(state, np.tile(VARIED, (50, 1)), luck(sessions, 0))
    assert (reactions.days_away > 0).all()
    assert (after.temper == 1.0).all()
    assert not after.shown.any()
    assert (after.visit == 1).all()
    assert (after.pleased != 0).any()


@pytest.mark.parametrize("speaks", [True, False])
def test_those_who_come_back_say_after_how_many_days_if_they_speak(speaks):
    population = RetentionPopulation(catalogue(), speaks=speaks, temper=4.0, return_bias=0.2)
    sessions = Sessions.first(5, 300)
    state, said = population.arrive(sessions, luck(sessions, 0))
    assert set(population.texts.strings(said.texts)) == {"recommend something"}
    heard = set()
    for turn in range(6):
        state, reactions = population.react(state, np.tile(VARIED, (300, 1)), luck(sessions, turn))
        for days, text in zip(reactions.days_away, population.texts.strings(reactions.instructions.texts), strict=True):
            back = f"I am back after {'a day' if days == 1 else f'{days:.0f} days'}"
            assert text == (back if speaks and days else "recommend something")
            heard.add(text)
    assert len(heard) == (11 if speaks else 1)


def test_engagement_is_what_behaviours_are_worth_and_consumption_is_a_long_view():
    weights = {"click": 0.5, "like": 3.0, "hate": -2.0}
    population = RetentionPopulation(catalogue(), weights=weights, rates={"hate": 0.2})
    sessions = Sessions.first(9, 2_000)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    slates = np.tile(VARIED, (2_000, 1))
    did = population.behaviours(state, slates, luck(sessions, 0))
    _, reactions = population.react(state, slates, luck(sessions, 0))
    worth = did @ np.array([0.5, 1, 3, 1, 1, 1, -2])
    np.testing.assert_allclose(reactions.engagement, np.maximum(worth, 0) * did[:, :, CLICK])
    assert (worth < 0).any()
    assert (reactions.consumed == did[:, :, LONG_VIEW]).all()


def test_the_reward_of_retention_is_the_days_lost_and_engagement_if_wanted():
    population = RetentionPopulation(catalogue(), temper=2.5)
    sessions = Sessions.first(9, 200)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    _, reactions = population.react(state, np.tile(VARIED, (200, 1)), luck(sessions, 0))
    assert (reactions.days_away > 0).any()
    assert (reactions.days_away == 0).any()
    days = RetentionReward()(reactions)
    np.testing.assert_allclose(days.sum(axis=1), -0.1 * reactions.days_away, rtol=1e-5)
    assert (days == days[:, :1]).all()
    both = RetentionReward(day=0.5, unit=2.0)(reactions)
    expected = 2 * reactions.engagement.sum(axis=1) - 0.5 * reactions.days_away
    np.testing.assert_allclose(both.sum(axis=1), expected, rtol=1e-4, atol=1e-5)
    check_reward(RetentionReward(unit=1.0))
    once_only = Reactions(
        reactions.clicked, reactions.clicked, Instructions(np.zeros(200, np.int64)), np.zeros(200, bool)
    )
    with pytest.raises(ValueError, match="come only once; use EngagementReward"):
        RetentionReward()(once_only)


@given(seed=st.integers(0, 2**31), batch=st.integers(1, 24), size=st.integers(1, 8), speaks=st.booleans())
def test_it_keeps_the_promises_of_a_population(seed, batch, size, speaks):
    items = catalogue(each=3)
    settings = {"temper": 3.0, "visits": 2, "speaks": speaks, "rates": {"hate": 0.1}}
    check_population(lambda: RetentionPopulation(items, **settings), items, slate_size=size, batch=batch, seed=seed)


def test_it_comes_to_a_world_by_its_settings():
    items = catalogue()
    empty = World(
        name="test", catalogue=items, population=tiny_world().population, reward=RetentionReward(), turn_limit=8
    )
    world = with_population(empty, POPULATION.name, {"rates": {"hate": 0.05}})
    check_world(world)
    prints = {
        RetentionPopulation(items, **settings).fingerprint
        for settings in ({}, {"rates": {"hate": 0.05}}, {"weights": {"hate": -2}}, {"visits": 2}, {"speaks": False})
    }
    assert len(prints) == 5
    assert world.population.fingerprint in prints


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"column": "topics"}, "did you mean 'topic'"),
        ({"rates": {"hates": 0.1}}, "unknown behaviour in rates 'hates'; did you mean 'hate'"),
        ({"rates": {"like": 1.0}}, "like in rates must be"),
        ({"rates": 0.1}, "rates are behaviours and numbers"),
        ({"weights": {"like": "much"}}, "like in weights must be a number from -100 to 100, got 'much'"),
        ({"visits": 0}, "visits must be a whole number"),
        ({"temper": 0.5}, "temper must be a number from 1 to 1000"),
        ({"return_bias": 1.5}, "return_bias must be"),
        ({"likeness": -0.1}, "likeness must be"),
        ({"most_days": 3.5}, "most_days must be a whole number"),
        ({"speaks": 1}, "speaks must be true or false"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RetentionPopulation(catalogue(), **settings)
