"""Boredom: clicks by position and relevance, too much of one topic tires for a while, and variety pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.arrays import Ints
from instructrec.catalogue import Catalogue, Column
from instructrec.envs import tiny_world
from instructrec.envs.population_boredom import POPULATION, BoredomPopulation, BoredomState
from instructrec.envs.populations import with_population
from instructrec.noise import Noise
from instructrec.rewards import EngagementReward
from instructrec.sessions import Sessions, World
from instructrec.testing import check_population, check_world

TOPICS = tuple(f"topic {number}" for number in range(10))
EACH = 40
DULL = np.arange(400, 410)
"""Items without a topic, which nobody clicks."""


def catalogue(topics: int = 10, each: int = EACH, dull: int = 10) -> Catalogue:
    """Returns items 0 to ``each`` - 1 of the first topic, then those of the second, …, then those without any."""
    about = [*(name for name in TOPICS[:topics] for _ in range(each)), *([None] * dull)]
    return Catalogue(
        columns={"topic": Column.categorical("topic", about, TOPICS[:topics])},
        titles=tuple(f"Item {item}" for item in range(len(about))),
        texts=tuple(f"a thing of {topic}" for topic in about),
        item_ids=tuple(map(str, range(len(about)))),
        popularity=np.ones(len(about), np.float32),
    )


def luck(sessions: Sessions, turn: int) -> Noise:
    return Noise(sessions.keys, np.full(len(sessions.lane), turn, np.int32))


def arrived(population: BoredomPopulation, people: int, seed: int = 3) -> tuple[Sessions, BoredomState]:
    sessions = Sessions.first(seed, people)
    return sessions, population.arrive(sessions, luck(sessions, 0))[0]


def keen(**settings: object) -> BoredomPopulation:
    """Returns users who click whatever has anything to do with their taste, at every rank."""
    return BoredomPopulation(catalogue(), **{"offset": 0.02, "slope": 1000.0, "examination": 1.0, **settings})


def lived(population: BoredomPopulation, taste: list[float], slates: list[Ints]) -> list[BoredomState]:
    """Returns one keen user's states after each slate."""
    sessions, state = arrived(population, 1)
    state, states = replace(state, taste=np.array([taste])), []
    for turn, slate in enumerate(slates):
        state, _ = population.react(state, slate[None], luck(sessions, turn))
        states.append(state)
    return states


def clicks(population: BoredomPopulation, policy: object, people: int = 60, turns: int = 100) -> np.ndarray:
    """Returns how often each user clicks in a session, under a policy of the state."""
    (sessions, state), total = arrived(population, people), np.zeros(people)
    for turn in range(turns):
        state, reactions = population.react(state, policy(state), luck(sessions, turn))
        total += reactions.clicked.sum(axis=1)
    return total


def greedy(population: BoredomPopulation, most: int = 10) -> object:
    """Returns the policy that shows the most relevant items, at most so many of one main topic."""

    def policy(state: BoredomState) -> Ints:
        best = np.argsort(-population.expected_utility(state), axis=1, kind="stable")
        topics = population.main_topics[best]
        # How many of an item's topic stand above it.
        above = np.zeros(best.shape, int)
        for topic in range(population.vectors.shape[1]):
            has = topics == topic
            above += np.where(has, has.cumsum(axis=1) - 1, 0)
        return np.take_along_axis(best, (above >= most).argsort(axis=1, kind="stable")[:, :10], axis=1)

    return policy


def of_topic(topic: int, number: int, size: int = 10, start: int = 0) -> Ints:
    """Returns a slate of ``number`` items of a topic, filled up with dull ones."""
    first = EACH * topic + start
    return np.concatenate([np.arange(first, first + number), DULL[: size - number]])


def test_examination_and_so_clicks_fall_off_with_the_rank():
    population = BoredomPopulation(catalogue(), offset=-1.0)
    (sessions, state), people = arrived(population, 20_000), 20_000
    _, reactions = population.react(state, np.tile(np.arange(0, 400, 40), (people, 1)), luck(sessions, 0))
    expected = 0.85 ** np.arange(10)
    np.testing.assert_allclose(reactions.clicked.mean(axis=0), expected, atol=5 * 0.5 / np.sqrt(people))
    assert (reactions.clicked <= reactions.examined).all()


def test_an_examined_item_is_clicked_with_the_probability_that_its_expected_utility_is():
    population = BoredomPopulation(catalogue(), slope=5.0, examination=1.0)
    _, one = arrived(population, 1)
    likely, people = population.expected_utility(one)[0], 20_000
    sessions, state = arrived(population, people)
    state = replace(state, taste=np.tile(one.taste, (people, 1)))
    items = np.argsort(likely)[[0, 200, 350, 400, 409]]
    _, reactions = population.react(state, np.tile(items, (people, 1)), luck(sessions, 1))
    np.testing.assert_allclose(reactions.clicked.mean(axis=0), likely[items], atol=0.02)
    assert likely.max() > 2 * likely.min()


def test_too_many_clicks_on_a_topic_bore_of_it_for_as_many_turns_as_the_window_has():
    population = keen()
    states = lived(population, [1.0] + [0.0] * 9, [of_topic(0, 5)] + [of_topic(0, 0)] * 7)
    assert [int(state.bored[0, 0]) for state in states] == [5, 4, 3, 2, 1, 0, 0, 0]
    bored = [population.expected_utility(state)[0, :EACH].max() for state in states]
    assert max(bored[:5]) < 1e-6
    assert min(bored[5:]) > 0.999
    assert not any(state.bored[0, 1:].any() for state in states)


def test_who_is_bored_of_a_topic_does_not_click_it_but_clicks_the_others():
    population, taste = keen(), np.zeros(10)
    taste[[0, 1]] = 0.7, 0.7
    sessions, state = arrived(population, 1)
    state = replace(state, taste=taste[None])
    pure = [item for item in range(EACH) if population.vectors[item, 1] == 0][:5]
    slate = np.array([*pure, *DULL[:5]])
    state, first = population.react(state, slate[None], luck(sessions, 0))
    assert first.clicked.sum() == 5
    state, second = population.react(state, slate[None], luck(sessions, 1))
    assert not second.clicked.any()
    _, third = population.react(state, of_topic(1, 5)[None], luck(sessions, 2))
    assert third.clicked.sum() == 5


def test_those_who_lose_all_interest_click_nothing_while_they_are_bored():
    population, taste = keen(loses="interest"), np.full(10, 10**-0.5)
    states = lived(population, list(taste), [of_topic(0, 5), of_topic(1, 2)])
    assert population.expected_utility(states[0]).max() < 1e-6
    assert (states[1].topics[0] >= 0).sum() == 5
    others = lived(keen(), list(taste), [of_topic(0, 5), of_topic(1, 2)])
    assert (others[1].topics[0] >= 0).sum() == 7


def test_a_varied_slate_bores_nobody_and_a_repeated_topic_does():
    population = keen()
    taste = [10**-0.5] * 10
    varied = [np.arange(turn, 400 + turn, 40) for turn in range(8)]
    assert not any(state.bored.any() for state in lived(population, taste, varied))
    clicked = [(state.ages[0] == 1).sum() for state in lived(population, taste, varied)]
    assert clicked == [10] * 8
    same = lived(population, taste, [of_topic(turn % 2, 10) for turn in range(8)])
    assert all(state.bored.any() for state in same)


@pytest.mark.parametrize(("pause", "bored"), [(0, True), (3, True), (4, False)])
def test_clicks_older_than_the_window_are_forgotten(pause, bored):
    slates = [of_topic(0, 4), *([of_topic(0, 0)] * pause), of_topic(0, 1, start=4)]
    last = lived(keen(), [1.0] + [0.0] * 9, slates)[-1]
    assert bool(last.bored[0, 0]) == bored


def test_only_the_last_clicks_are_remembered_in_their_order():
    population = keen(threshold=100)
    taste = [10**-0.5] * 10
    states = lived(population, taste, [of_topic(3, 8), of_topic(5, 4), of_topic(7, 1)])
    assert states[0].topics[0].tolist() == [-1, -1] + [3] * 8
    assert states[1].topics[0].tolist() == [3] * 6 + [5] * 4
    assert states[2].topics[0].tolist() == [3] * 5 + [5] * 4 + [7]
    assert states[2].ages[0].tolist() == [3] * 5 + [2] * 4 + [1]


@pytest.mark.parametrize("window", [2, 5])
def test_boredom_agrees_with_a_diary_kept_click_by_click(window):
    # The rules once more, as one person would live them: a list of clicks, a clock per bored topic.
    population = BoredomPopulation(catalogue(), offset=0.2, slope=10.0, threshold=3, recent=6, window=window)
    sessions, state = arrived(population, 20)
    slates = np.random.default_rng(0).permuted(np.tile(np.arange(120), (30, 20, 1)), axis=2)[:, :, :10]
    diaries: list[list[tuple[int, int]]] = [[] for _ in range(20)]
    clocks = [dict.fromkeys(range(10), 0) for _ in range(20)]
    ever = 0
    for turn, shown in enumerate(slates):
        state, reactions = population.react(state, shown, luck(sessions, turn))
        for user, (diary, clock) in enumerate(zip(diaries, clocks, strict=True)):
            diary += [(turn, int(item) // EACH) for item in shown[user][reactions.clicked[user]]]
            recent = [topic for when, topic in diary[-6:] if when > turn - window]
            for topic in clock:
                clock[topic] -= clock[topic] > 0
                if clock[topic] == 0 and recent.count(topic) >= 3:
                    clock[topic] = window
            ever += any(clock.values())
            assert state.bored[user].tolist() == list(clock.values())
    assert 50 < ever < 590


def test_who_shows_the_most_relevant_items_alone_loses_to_who_varies_topics_over_a_hundred_turns():
    population = BoredomPopulation(catalogue())
    myopic, varied = clicks(population, greedy(population)), clicks(population, greedy(population, most=2))
    assert varied.mean() > 1.3 * myopic.mean()
    # Without boredom it is the other way round.
    patient = BoredomPopulation(catalogue(), threshold=11)
    assert clicks(patient, greedy(patient)).mean() > clicks(patient, greedy(patient, most=2)).mean()


def test_clicks_pull_the_taste_towards_what_is_clicked():
    population = keen(influence=0.2, threshold=100)
    taste = np.zeros(10)
    taste[[0, 4]] = 0.8, 0.6
    after = lived(population, list(taste), [of_topic(4, 3)])[0].taste[0]
    expected = 0.8 * taste + 0.2 * population.vectors[160:163].mean(axis=0)
    np.testing.assert_allclose(after, expected / np.linalg.norm(expected))
    assert after[4] > taste[4]
    unmoved = lived(population, list(taste), [of_topic(0, 0)])[0].taste[0]
    assert (unmoved == taste).all()
    assert (lived(keen(), list(taste), [of_topic(4, 3)])[0].taste[0] == taste).all()


def test_items_are_unit_vectors_of_two_or_three_topics_their_own_the_greatest():
    population = BoredomPopulation(catalogue())
    vectors, num_topics = population.vectors[:400], (population.vectors[:400] > 0).sum(axis=1)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1)
    assert set(num_topics) == {2, 3}
    assert 0.4 < (num_topics == 2).mean() < 0.6
    assert (population.main_topics[:400] == np.repeat(np.arange(10), EACH)).all()
    assert (population.main_topics[400:] == -1).all()
    assert not population.vectors[400:].any()
    several = Column.multi_valued("topic", [("a", "b", "d"), ("b", "c"), ()], ("a", "b", "c", "d"))
    mixed = BoredomPopulation(replace(catalogue(1, 3, 0), columns={"topic": several}))
    assert (mixed.vectors > 0).tolist() == [[True, True, False, True], [False, True, True, False], [False] * 4]


@pytest.mark.parametrize(("topics", "least", "most"), [(10, 3, 5), (4, 4, 4), (2, 2, 2), (1, 1, 1)])
def test_people_like_three_to_five_topics_or_all_of_four(topics, least, most):
    _, state = arrived(BoredomPopulation(catalogue(topics=topics)), 5_000)
    likes = (state.taste > 0).sum(axis=1)
    assert (likes.min(), likes.max()) == (least, most)
    np.testing.assert_allclose(np.linalg.norm(state.taste, axis=1), 1)
    assert np.ptp((state.taste > 0).mean(axis=0)) < 0.05


@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 24),
    size=st.integers(1, 12),
    influence=st.sampled_from([0.0, 0.3]),
    loses=st.sampled_from(["topic", "interest"]),
)
def test_it_keeps_the_promises_of_a_population(seed, batch, size, influence, loses):
    items = catalogue(topics=5, each=3, dull=2)
    settings = {"offset": 0.2, "slope": 10.0, "threshold": 2, "influence": influence, "loses": loses, "recent": 3}
    check_population(lambda: BoredomPopulation(items, **settings), items, slate_size=size, batch=batch, seed=seed)


def test_it_comes_to_a_world_by_its_settings():
    items = catalogue()
    empty = World(
        name="test", catalogue=items, population=tiny_world().population, reward=EngagementReward(), turn_limit=4
    )
    world = with_population(empty, POPULATION.name, {"threshold": 4})
    check_world(world)
    assert world.population.texts.bank == ("", "recommend something")
    prints = {
        BoredomPopulation(items, **settings).fingerprint
        for settings in ({}, {"threshold": 4}, {"slope": 10.0}, {"loses": "interest"}, {"influence": 0.05})
    }
    assert len(prints) == 5
    assert world.population.fingerprint in prints


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"column": "topik"}, "did you mean 'topic'"),
        ({"loses": "topics"}, "did you mean 'topic'"),
        ({"offset": 2.0}, "offset must be a number from -1 to 1, got 2.0"),
        ({"slope": -1.0}, "slope must be"),
        ({"examination": 1.2}, "examination must be"),
        ({"influence": "much"}, "influence must be a number from 0 to 1, got 'much'"),
        ({"recent": 0}, "recent must be a whole number from 1 to 100, got 0"),
        ({"window": 2.5}, "window must be a whole number"),
        ({"threshold": 0}, "threshold must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        BoredomPopulation(catalogue(), **settings)
