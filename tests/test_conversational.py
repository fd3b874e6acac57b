"""The conversational users do what they are described to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from instructrec.arrays import take
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.bank import Bank, Critique, Phrases
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conversational import ConversationalPopulation, ConversationalState, Tastes
from instructrec.goals import Check, Predicate, compile_goals
from instructrec.noise import Noise
from instructrec.rewards import EngagementReward
from instructrec.sessions import Sessions, SessionState, World, start, step

NUM_ITEMS, SLATE = 40, 4
COMEDY, HORROR = np.arange(0, 20), np.arange(20, 40)


def films() -> Catalogue:
    """Twenty comedies, then twenty horrors; item i is from 1980 + i."""
    return Catalogue(
        columns={
            "genre": Column.multi_valued("genre", [["Comedy"] if i < 20 else ["Horror"] for i in range(NUM_ITEMS)]),
            "year": Column.numeric("year", np.arange(1980, 1980 + NUM_ITEMS, dtype=np.float32)),
        },
        titles=tuple(f"film {i}" for i in range(NUM_ITEMS)),
        texts=tuple(f"film {i}" for i in range(NUM_ITEMS)),
        item_ids=tuple(str(i) for i in range(NUM_ITEMS)),
        popularity=np.ones(NUM_ITEMS, np.float32),
    )


def groups(*phrases: list[int]) -> Phrases:
    start = np.cumsum([0, *map(len, phrases)]).astype(np.int32)
    return Phrases(start=start, ids=np.array([text for group in phrases for text in group], np.int32))


def small_bank(catalogue: Catalogue) -> Bank:
    """Goal 0: comedies. Goal 1: comedies, and, once shown one, nothing from 1990 on."""
    comedy = Predicate(field="genre", operator="include", values=("Comedy",))
    early = Predicate(field="year", operator="at_most", high=1989, reveal="on_violation")
    predicates = ((comedy,), (comedy, early))
    texts = (
        "",
        "a comedy",
        "before 1990 please",
        "a comedy before 1990",
        "newer than the first",
        "newer than another",
        "more",
    )
    return Bank(
        texts=texts,
        predicates=predicates,
        goals=compile_goals(predicates, catalogue, 3),
        kinds=("genre", "genre"),
        intention=("specific", "specific"),
        narrow=np.zeros(2, np.bool_),
        matching=np.array([20, 10], np.int32),
        frequency=np.array([0.5, 0.5]),
        opening=groups([1], [1]),
        restated=groups([1], [3]),
        reveal=groups([], [], [], [], [2], []),
        critique=groups([4], *[[5]] * (SLATE - 1)),
        critiques=(Critique(name="newer", column=catalogue.place("year"), field="year", direction=1),),
        more=groups([6]),
    )


def world(**constants: float) -> World:
    catalogue = films()
    tastes = Tastes(
        who=np.arange(3, dtype=np.int32),
        person_factors=np.zeros((3, 1), np.float32),
        item_factors=np.zeros((NUM_ITEMS, 1), np.float32),
        quality=np.zeros(NUM_ITEMS, np.float32),
        allure=np.zeros(NUM_ITEMS, np.float32),
        past=np.full((3, 5), -1, np.int32),
        past_ratings=np.zeros((3, 5), np.float32),
    )
    settings = {
        "perceived_miss": 0.0,
        "perceived_false_alarm": 0.0,
        "click_bias": -0.5,
        "enjoyment_bias": 0.0,
        "hard_violation": 4.0,
        "continue_after_skip": 0.9,
        "continue_after_click": 0.9,
        "leave_most": 1.0,
        "leave_bias": -2.5,
        "trust_loss_violation": 0.5,
        "trust_loss_clickbait": 0.7,
    } | constants
    population = ConversationalPopulation(
        catalogue, tastes, small_bank(catalogue), topic="genre", behaviour=Behaviour(**settings), slate_size=SLATE
    )
    return World(name="test", catalogue=catalogue, population=population, reward=EngagementReward(), slate_size=SLATE)


def shown(items: np.ndarray, batch: int) -> np.ndarray:
    return np.broadcast_to(items[:SLATE], (batch, SLATE)).astype(np.int32)


def with_goal(place: World, goal: int, batch: int = 2_000) -> SessionState:
    """Sessions of those who want ``goal``."""
    state = start(place, Sessions.first(0, 3 * batch))
    return take(state, np.flatnonzero(state.population.goal == goal)[:batch])


def users(state: SessionState) -> ConversationalState:
    assert isinstance(state.population, ConversationalState)
    return state.population


def test_what_was_asked_for_is_clicked_more() -> None:
    place = world()
    state = with_goal(place, 0)
    _, asked = step(place, state, shown(COMEDY, 2_000))
    _, broken = step(place, state, shown(HORROR, 2_000))
    assert asked.reward.mean() > 5 * broken.reward.mean()


def test_the_expected_click_of_an_examined_item_is_what_happens() -> None:
    place = world(continue_after_skip=1.0, continue_after_click=1.0)
    state = with_goal(place, 0)
    expected = place.population.expected_utility(state.population)
    for items in (COMEDY, HORROR):
        _, outcome = step(place, state, shown(items, 2_000))
        assert outcome.reactions.examined.all()
        assert outcome.reactions.clicked.mean() == pytest.approx(expected[:, items[:SLATE]].mean(), abs=0.02)


def test_attention_falls_down_the_slate() -> None:
    place = world(continue_after_skip=0.5, continue_after_click=0.5)
    _, outcome = step(place, with_goal(place, 0), shown(COMEDY, 2_000))
    seen = outcome.reactions.examined.mean(axis=0)
    assert seen == pytest.approx([1.0, 0.5, 0.25, 0.125], abs=0.04)
    assert not (outcome.reactions.clicked & ~outcome.reactions.examined).any()
    assert not (outcome.reactions.consumed & ~outcome.reactions.clicked).any()


def test_allure_draws_clicks_and_costs_trust() -> None:
    place = world(allure=3.0, trust_recovery=0.0)
    population = place.population
    bait = np.where(np.arange(NUM_ITEMS) < 10, 1.0, 0.0).astype(np.float32)
    catalogue = place.catalogue
    tempted = ConversationalPopulation(
        catalogue,
        replace(population.tastes, allure=bait),
        population.bank,
        topic="genre",
        behaviour=population.behaviour,
        slate_size=SLATE,
    )
    place = replace(place, population=tempted)
    state = with_goal(place, 0)
    after_bait, baited = step(place, state, shown(COMEDY[:10], 2_000))
    after_plain, plain = step(place, state, shown(COMEDY[10:], 2_000))
    assert baited.reward.mean() > plain.reward.mean() + 1
    assert users(after_bait).trust.mean() < users(after_plain).trust.mean() - 0.05


def test_ignoring_the_instruction_costs_trust_satisfaction_and_the_user() -> None:
    place = world()
    state = with_goal(place, 0)
    heard, kept = step(place, state, shown(COMEDY, 2_000))
    ignored, lost = step(place, state, shown(HORROR, 2_000))
    assert users(ignored).trust.mean() < users(heard).trust.mean() - 0.2
    assert users(ignored).satisfaction.mean() < users(heard).satisfaction.mean() - 0.05
    assert lost.terminated.mean() > kept.terminated.mean() + 0.1


def test_the_same_topic_bores() -> None:
    place = world(boredom=6.0, leave_bias=-20.0, new_goal=0.0, critique=0.0, seen=0.0)
    state = with_goal(place, 0)
    clicks = []
    for _ in range(5):
        state, outcome = step(place, state, shown(COMEDY, 2_000))
        clicks.append(outcome.reward.mean())
    assert clicks[-1] < 0.8 * clicks[0]


def test_what_was_consumed_is_not_wanted_again() -> None:
    place = world(seen=6.0, boredom=0.0, leave_bias=-20.0, new_goal=0.0, critique=0.0)
    state = with_goal(place, 0)
    state, first = step(place, state, shown(COMEDY, 2_000))
    _, again = step(place, state, shown(COMEDY, 2_000))
    repeated = again.reactions.clicked[first.reactions.clicked].mean()
    assert repeated < 0.1 < first.reactions.clicked.mean()


def test_a_held_back_condition_is_said_when_a_shown_item_breaks_it() -> None:
    place = world(reveal=1.0, leave_bias=-20.0)
    state = with_goal(place, 1)
    after, outcome = step(place, state, shown(COMEDY[10:], 2_000))
    assert (outcome.reactions.instructions.texts == 2).all()
    assert after.instructions.goals is not None
    assert after.instructions.goals.said[:, 1].all()
    _, fine = step(place, state, shown(COMEDY, 2_000))
    assert (fine.reactions.instructions.texts != 2).all()


def test_a_critique_speaks_of_the_item_that_was_shown() -> None:
    place = world(critique=1.0, new_goal=0.0, leave_bias=-20.0)
    state = with_goal(place, 0)
    after, outcome = step(place, state, shown(COMEDY, 2_000))
    goals = after.instructions.goals
    assert goals is not None
    first = outcome.reactions.instructions.texts == 4
    assert 0 < first.sum() < 2_000
    assert (goals.check[:, -1] == Check.RANGE).all()
    # "newer than the first": the first was from 1980, so 1981 meets it and 1980 does not.
    low = goals.low[first, -1]
    assert ((low > 1980) & (low <= 1981)).all()


def test_goals_follow_their_own_sequence_whatever_is_shown() -> None:
    place = world(new_goal=1.0, critique=0.0, reveal=0.0, leave_bias=-20.0)
    one = other = start(place, Sessions.first(3, 200))
    for _ in range(4):
        one, _ = step(place, one, shown(COMEDY, 200))
        other, _ = step(place, other, shown(HORROR, 200))
        assert (users(one).goal == users(other).goal).all()
    assert len(set(users(one).goal)) > 1


def test_the_kernel_agrees_with_itself_run_as_plain_python(interpret_kernels: Callable[[], None]) -> None:
    place = world(perceived_miss=0.1, perceived_false_alarm=0.1)
    compiled, interpreted = [], []

    def play(record: list[object]) -> None:
        state = start(place, Sessions.first(5, 30))
        for turn in range(4):
            state, outcome = step(place, state, (np.arange(SLATE) * 9 + turn + np.arange(30)[:, None]) % NUM_ITEMS)
            record += [outcome.reactions.clicked, outcome.reactions.left, state.instructions.texts, users(state).trust]

    play(compiled)
    interpret_kernels()
    with np.errstate(over="ignore"):
        play(interpreted)
    for here, there in zip(compiled, interpreted, strict=True):
        np.testing.assert_array_equal(here, there)


def test_noise_in_the_kernel_is_the_noise_of_the_core() -> None:
    from instructrec.envs import conversational_kernels as kernels

    noise = Noise(np.array([12345678901234567], np.uint64), np.array([3]))
    key = kernels._turn_key(noise.keys[0], 3)
    for index in range(5):
        assert kernels._uniform(key, np.uint64(18), index) == noise.uniform(18, 5)[0, index]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [("reveal", 1.5, "reveal is a probability"), ("allure", np.nan, "finite"), ("new_goal", 0.9, "must not exceed 1")],
)
def test_impossible_constants_are_refused(setting: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Behaviour(**{setting: value})
