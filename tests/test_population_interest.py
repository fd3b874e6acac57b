"""Interest evolution: interests follow what is watched, time is kept account of, trash shortens sessions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.catalogue import Catalogue, Column
from instructrec.envs import tiny_world
from instructrec.envs.population_interest import POPULATION, InterestPopulation, InterestState
from instructrec.envs.populations import with_population
from instructrec.noise import Noise
from instructrec.rewards import AmountReward
from instructrec.sessions import Sessions, World
from instructrec.testing import check_population, check_world

TOPICS = tuple(f"topic {number:02d}" for number in range(20))
TRASH, GOLD = 0, 19
"""The topics of the lowest and the highest quality."""


def catalogue(topics: int = 20, each: int = 5, **columns: Column) -> Catalogue:
    """Returns items 0 to ``each`` - 1 of the first topic, then those of the second, …"""
    about = [name for name in TOPICS[:topics] for _ in range(each)]
    return Catalogue(
        columns={"topic": Column.categorical("topic", about, TOPICS[:topics]), **columns},
        titles=tuple(f"Video {item}" for item in range(len(about))),
        texts=tuple(f"a video on {topic}" for topic in about),
        item_ids=tuple(map(str, range(len(about)))),
        popularity=np.ones(len(about), np.float32),
    )


def luck(sessions: Sessions, turn: int) -> Noise:
    return Noise(sessions.keys, np.full(len(sessions.lane), turn, np.int32))


def users(interest: list[float], budget: float = 200.0, people: int = 1) -> InterestState:
    return InterestState(np.tile(interest, (people, 1)), np.full(people, budget))


def played(population: InterestPopulation, policy: object, people: int = 400, turns: int = 400):
    """Returns how many slates each saw and how many minutes each watched, under a policy of the state."""
    sessions = Sessions.first(3, people)
    state, _ = population.arrive(sessions, luck(sessions, 0))
    there, slates, minutes = np.ones(people, bool), np.zeros(people), np.zeros(people)
    for turn in range(turns):
        state, reactions = population.react(state, policy(state), luck(sessions, turn))
        minutes += there * reactions.engagement.sum(axis=1)
        slates += there
        there &= ~reactions.left
    assert not there.any(), "every session comes to an end"
    return slates, minutes


def showing(*items: int) -> object:
    return lambda state: np.tile(items, (len(state.budget), 1))


@pytest.mark.parametrize("choice", ["logit", "proportional"])
def test_what_is_watched_is_chosen_by_appeal_and_nothing_by_its_own(choice):
    population = InterestPopulation(catalogue(topics=3), choice=choice, no_click=0.4)
    people, interest = 40_000, np.array([-0.8, 0.1, 0.9])
    sessions = Sessions.first(0, people)
    slates = np.tile([0, 5, 10], (people, 1))
    _, reactions = population.react(users(list(interest), people=people), slates, luck(sessions, 0))
    mass = np.append(interest, 0.4)
    mass = np.exp(mass) if choice == "logit" else mass + 1
    shares = np.append(reactions.clicked.mean(axis=0), 1 - reactions.clicked.any(axis=1).mean())
    np.testing.assert_allclose(shares, mass / mass.sum(), atol=5 * 0.5 / np.sqrt(people))
    assert (reactions.clicked.sum(axis=1) <= 1).all()


def test_watching_moves_the_interest_up_as_often_as_the_interest_says_and_by_what_it_says():
    population = InterestPopulation(catalogue(topics=2), no_click=-20)
    people, interest = 20_000, 0.4
    sessions = Sessions.first(1, people)
    after, reactions = population.react(
        users([interest, -0.3], people=people), np.zeros((people, 1), int), luck(sessions, 0)
    )
    watched = reactions.clicked[:, 0]
    moved = after.interest[watched, 0] - interest
    np.testing.assert_allclose(np.abs(moved), 0.3 * (1 - 0.4) * (1 - 0.4))
    assert (moved > 0).mean() == pytest.approx((interest + 1) / 2, abs=0.02)
    assert (after.interest[:, 1] == -0.3).all()
    assert (after.interest[~watched] == [interest, -0.3]).all()


def test_interests_drift_apart_under_what_is_shown_and_the_others_stay():
    population = InterestPopulation(catalogue(each=5))
    sessions = Sessions.first(2, 4_000)
    first, _ = population.arrive(sessions, luck(sessions, 0))
    state = first
    shown = np.tile([5 * GOLD, 5 * GOLD + 1, 5 * GOLD + 2], (4_000, 1))
    for turn in range(40):
        state, _ = population.react(state, shown, luck(sessions, turn))
    began, ended = first.interest[:, GOLD], state.interest[:, GOLD]
    assert ended[began > 0.3].mean() > began[began > 0.3].mean() + 0.1
    assert ended[began < -0.3].mean() < began[began < -0.3].mean() - 0.1
    assert (np.delete(state.interest, GOLD, axis=1) == np.delete(first.interest, GOLD, axis=1)).all()


def test_time_is_spent_by_watching_refunded_by_quality_and_lost_by_looking():
    quality = Column.numeric("quality", [-3.4, 0.0, 1.7, 3.4, np.nan])
    population = InterestPopulation(catalogue(1, 5, quality=quality, length=Column.numeric("length", [2, 4, 8, 1, 9])))
    for item, change in ((0, -2 - 2 * 0.9), (1, -4), (2, -8 + 8 * 0.45), (3, -1 + 0.9)):
        people = 200
        sessions = Sessions.first(item, people)
        after, reactions = population.react(users([0.5], people=people), np.full((people, 1), item), luck(sessions, 0))
        watched = reactions.clicked[:, 0]
        assert watched.any()
        assert not watched.all()
        np.testing.assert_allclose(after.budget[watched] - 200, change)
        np.testing.assert_allclose(after.budget[~watched] - 200, -0.5)
        np.testing.assert_allclose(reactions.engagement[watched, 0], population.minutes[item])
        assert not reactions.engagement[~watched].any()


def test_nobody_watches_longer_than_there_is_time_and_whoever_has_none_leaves():
    population = InterestPopulation(catalogue(1, 5), no_click=-20)
    sessions = Sessions.first(0, 100)
    after, reactions = population.react(
        users([0.9], budget=1.5, people=100), np.zeros((100, 1), int), luck(sessions, 0)
    )
    watched = reactions.clicked[:, 0]
    np.testing.assert_allclose(reactions.engagement[watched, 0], 1.5)
    assert (after.budget[watched] <= 0).all()
    assert (reactions.left == (after.budget <= 0)).all()
    _, later = population.react(after, np.zeros((100, 1), int), luck(sessions, 1))
    assert not later.engagement.any(), "who left watches nothing"


def test_trashy_topics_shorten_sessions():
    population = InterestPopulation(catalogue())
    trash, wasted = played(population, showing(5 * TRASH, 5 * TRASH + 1, 5 * TRASH + 2))
    gold, watched = played(population, showing(5 * GOLD, 5 * GOLD + 1, 5 * GOLD + 2))
    assert gold.mean() > 2 * trash.mean()
    assert watched.mean() > 3 * wasted.mean()


def test_allure_draws_clicks_to_trash_that_cost_minutes_later():
    plain, lured = InterestPopulation(catalogue()), InterestPopulation(catalogue(), allure=2.0)
    sessions = Sessions.first(4, 5_000)
    slates = np.tile([5 * TRASH, 5 * GOLD], (5_000, 1))
    state, _ = plain.arrive(sessions, luck(sessions, 0))
    before, after = (each.react(state, slates, luck(sessions, 0))[1].clicked.mean(axis=0) for each in (plain, lured))
    assert after[0] > before[0] + 0.2
    assert after[1] < before[1]
    assert played(lured, showing(5 * TRASH, 5 * GOLD))[1].mean() < played(plain, showing(5 * TRASH, 5 * GOLD))[1].mean()


def test_who_looks_ahead_to_quality_earns_more_minutes_than_who_shows_what_is_watched_now():
    population = InterestPopulation(catalogue(), choice="proportional")

    def greedy(state: InterestState) -> np.ndarray:
        return np.argsort(-population.expected_utility(state), axis=1, kind="stable")[:, :3]

    def far_sighted(state: InterestState) -> np.ndarray:
        worth = population.expected_utility(state) * population.expected_enjoyment(state) ** 4
        return np.argsort(-worth, axis=1, kind="stable")[:, :3]

    greedily, wisely = played(population, greedy)[1], played(population, far_sighted)[1]
    assert wisely.mean() > 1.3 * greedily.mean()


@pytest.mark.parametrize("choice", ["logit", "proportional"])
def test_the_expected_utility_is_how_often_an_item_alone_is_watched(choice):
    population = InterestPopulation(catalogue(), choice=choice, allure=0.5)
    people = 20_000
    sessions = Sessions.first(6, people)
    one, _ = population.arrive(Sessions.first(6, 1), luck(Sessions.first(6, 1), 0))
    state = users(list(one.interest[0]), people=people)
    for item in (0, 37, 99):
        _, reactions = population.react(state, np.full((people, 1), item), luck(sessions, item))
        assert reactions.clicked.mean() == pytest.approx(population.expected_utility(one)[0, item], abs=0.02)


def test_qualities_follow_topics_and_hang_on_nothing_but_the_items_number():
    population = InterestPopulation(catalogue(each=50))
    means = population.qualities.reshape(20, 50).mean(axis=1)
    np.testing.assert_allclose(means[:14], np.linspace(-3, 0, 14), atol=0.08)
    np.testing.assert_allclose(means[14:], np.linspace(0, 3, 6), atol=0.08)
    assert 0.08 < (population.qualities.reshape(20, 50) - means[:, None]).std() < 0.12
    shorter, longer = (InterestPopulation(catalogue(topics=1, each=size)).qualities for size in (4, 40))
    assert (shorter == longer[:4]).all()


def test_a_catalogues_own_numbers_stand_for_quality_by_value_or_by_rank():
    rated = Column.numeric("rating", [5, 1, np.nan, 3, 1])
    population = InterestPopulation(catalogue(1, 5, rating=rated), quality="rating")
    assert population.qualities[[0, 1, 3, 4]].tolist() == [3, -3, 0, -3]
    near = Column.numeric("quality", [0.5, -1, 2, 3.4, -3.4])
    assert InterestPopulation(catalogue(1, 5, quality=near)).qualities == pytest.approx([0.5, -1, 2, 3.4, -3.4])


def test_an_item_of_several_topics_interests_by_their_mean_and_one_of_none_leaves_people_as_they_are():
    about = Column.multi_valued("topic", [("a", "b"), ("a",), ()], ("a", "b", "c"))
    items = replace(catalogue(1, 3), columns={"topic": about})
    population = InterestPopulation(items, no_click=-20)
    state = users([0.8, -0.2, 0.5], people=500)
    appeal = -np.log(1 / population.expected_utility(state)[0] - 1) - 20
    np.testing.assert_allclose(appeal, [0.3, 0.8, 0], atol=1e-6)
    sessions = Sessions.first(0, 500)
    both, _ = population.react(state, np.zeros((500, 1), int), luck(sessions, 0))
    assert ((both.interest != state.interest) == [True, True, False])[both.budget < 199.4].all()
    none, _ = population.react(state, np.full((500, 1), 2), luck(sessions, 0))
    assert (none.interest == state.interest).all()


@given(seed=st.integers(0, 2**31), batch=st.integers(1, 24), size=st.integers(1, 6), choice=st.booleans())
def test_it_keeps_the_promises_of_a_population(seed, batch, size, choice):
    items = catalogue(topics=7, each=2)
    settings = {"choice": "proportional" if choice else "logit", "budget": 12.0}
    check_population(lambda: InterestPopulation(items, **settings), items, slate_size=size, batch=batch, seed=seed)


def test_it_comes_to_a_world_by_its_settings():
    items = catalogue()
    empty = World(
        name="test",
        catalogue=items,
        population=tiny_world().population,
        reward=AmountReward(),
        slate_size=3,
        turn_limit=5,
    )
    world = with_population(empty, POPULATION.name, {"pace": 0.1})
    check_world(world)
    assert world.population.texts.bank == ("", "recommend something")
    prints = {
        InterestPopulation(items, **settings).fingerprint
        for settings in (
            {},
            {"pace": 0.1},
            {"refund": 0.5},
            {"allure": 1.0},
            {"choice": "proportional"},
            {"no_click": 0},
        )
    }
    assert len(prints) == 6
    assert world.population.fingerprint in prints


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"column": "topics"}, "did you mean 'topic'"),
        ({"column": "year"}, "holds numbers"),
        ({"quality": "yeer"}, "did you mean 'year'"),
        ({"length": "topic"}, "holds words"),
        ({"length": "year"}, "item 1 has the length 0"),
        ({"choice": "logits"}, "did you mean 'logit'"),
        ({"choice": "proportional", "no_click": -1.0}, "above -1"),
        ({"no_click": 21}, "no_click must be a number from -20 to 20, got 21"),
        ({"allure": -1.0}, "allure must be"),
        ({"budget": 0}, "budget must be"),
        ({"penalty": 0.0}, "penalty must be"),
        ({"pace": 1.1}, "pace must be a number from 0 to 1"),
        ({"refund": 1.0}, "refund must be a number from 0 to 0.99"),
        ({"pace": float("nan")}, "pace must be"),
        ({"pace": True}, "got True"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    items = catalogue(topics=1, each=2, year=Column.numeric("year", [1999, 0]))
    with pytest.raises(ValueError, match=message):
        InterestPopulation(items, **settings)
