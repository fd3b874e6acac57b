"""What people say in the middle of a session changes what they want as they say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest

from instructrec.arrays import take
from instructrec.envs.bank import Bank
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conversational import ConversationalPopulation, ConversationalState
from instructrec.envs.worlds import make_world
from instructrec.goals import Check, Goals, Operator, Predicate, Reveal, compile_goals, resolved, satisfied
from instructrec.sessions import Outcome, Sessions, SessionState, World, start, step

QUIET = {"new_goal": 0.0, "critique": 0.0, "reveal": 0.0, "leave_most": 0.0, "like": 0.0, "unlike": 0.0}
QUIET |= {"override": 0.0, "reset": 0.0, "relax": 0.0, "restate": 1.0}


@cache
def shop() -> World:
    return make_world("instructrec/Shop-v0", num_items=2_000)


def with_constants(**constants: float) -> World:
    """The shop, with users of other constants."""
    world = shop()
    settings = {**asdict(world.population.behaviour), **constants}
    return replace(world, population=like_population(world.population, Behaviour(**settings)))


def like_population(population: ConversationalPopulation, behaviour: Behaviour) -> ConversationalPopulation:
    return ConversationalPopulation(
        population.catalogue,
        population.tastes,
        population.bank,
        topic="category",
        behaviour=behaviour,
        vocabulary=population.vocabulary,
    )


def bank() -> Bank:
    return shop().population.bank


def users(state: SessionState) -> ConversationalState:
    assert isinstance(state.population, ConversationalState)
    return state.population


def who_want(place: World, wanted: np.ndarray, batch: int = 400, seed: int = 1) -> SessionState:
    """Sessions of those who want one of some goals."""
    state = start(place, Sessions.first(seed, 40_000))
    rows = np.flatnonzero(np.isin(users(state).goal, np.flatnonzero(wanted)))[:batch]
    assert len(rows) > 20
    return take(state, rows)


def shown(batch: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.choice(2_000, 10, replace=False) for _ in range(batch)]).astype(np.int32)


def after_one(place: World, state: SessionState, seed: int = 0) -> tuple[SessionState, Outcome, np.ndarray]:
    slates = shown(len(state.turn), seed)
    return *step(place, state, slates), slates


def test_kinds_of_request_are_in_the_bank_as_tagged():
    kinds = set(bank().kinds)
    assert {"count", "context", "infeasible", "category+misinformed", "occasion+conditional", "relaxed"} <= kinds
    assert (bank().frequency[[kind == "relaxed" for kind in bank().kinds]] == 0).all()


# Like and unlike.


@pytest.mark.parametrize("unlike", [False, True])
def test_likeness_speaks_of_what_was_shown_and_clicked_or_passed_over(unlike):
    place = with_constants(**QUIET | {"unlike" if unlike else "like": 1.0, "click_bias": 0.0})
    state = start(place, Sessions.first(2, 3_000))
    before = users(state).goals
    after, outcome, slates = after_one(place, state)
    catalogue, goals = place.catalogue, users(after).goals
    spoke = np.flatnonzero(np.isin(outcome.reactions.instructions.texts, bank().like.ids))
    assert len(spoke) > 300
    group_of = {int(text): group for group in range(bank().like.num_groups) for text in bank().like.group(group)}
    fields = set()
    for row in spoke:
        likeness, position = divmod(group_of[int(outcome.reactions.instructions.texts[row])], 10)
        kind = bank().likenesses[likeness]
        assert kind.unlike == unlike
        assert outcome.reactions.examined[row, position]
        assert outcome.reactions.clicked[row, position] != unlike
        operator = Operator.UNLIKE if unlike else Operator.LIKE
        said = Predicate(field=kind.field, operator=operator, position=position + 1)
        named = bank().predicates[users(state).goal[row]]
        plain = resolved(said, catalogue, int(slates[row, position]), named)
        assert plain is not None
        wanted = compile_goals([[plain]], catalogue)
        for name in vars(wanted).keys() - {"feasible"}:
            assert vars(goals)[name][row, -1] == vars(wanted)[name][0, 0], name
        fields.add(kind.field)
    assert fields == ({"category"} if unlike else {"category", "brand", "price"})
    # Everybody else, and every other place, stays as it was.
    for name, array in vars(goals).items():
        np.testing.assert_array_equal(array[:, :-1], vars(before)[name][:, :-1])


def test_nobody_compares_where_the_goal_names_all_that_the_item_is():
    place = with_constants(**QUIET | {"unlike": 1.0})
    category = place.catalogue.place("category")
    bound = (bank().goals.column == category) & (bank().goals.mask == np.uint64(2**64 - 1))
    assert not bound.any()
    names_it = ((bank().goals.column == category) & (bank().goals.check == Check.SET) & ~bank().goals.negate).any(
        axis=1
    )
    state = who_want(place, names_it)
    goals = users(state).goals
    slates = shown(len(state.turn))
    # Show each user only items of what they asked for: nothing is left that could be unlike.
    met = satisfied(goals, place.catalogue, np.arange(2_000))
    for row in range(len(slates)):
        fitting = np.flatnonzero(np.all(met[row] | (goals.column[row] != category)[:, None], axis=0))
        slates[row] = np.resize(fitting, 10) if len(fitting) >= 10 else slates[row]
    enough = np.array([len(set(slate)) == 10 for slate in slates])
    state, slates = take(state, enough), slates[enough]
    _, outcome = step(place, state, slates)
    assert not np.isin(outcome.reactions.instructions.texts, bank().like.ids).any()


# Changes of mind.


def changed_at(one: Goals, other: Goals) -> np.ndarray:
    """Which places of two batches of goals differ in what they ask for."""
    names = ("check", "column", "mask", "low", "high", "negate", "least", "given_mask")
    return np.any([vars(one)[name] != vars(other)[name] for name in names], axis=0)


def test_a_change_leads_to_a_goal_that_differs_in_one_place():
    changes, goals = bank().changes, bank().goals
    origins = np.repeat(np.arange(bank().num_goals), np.diff(changes.first))
    assert changes.num > 100
    assert len(origins) == changes.num
    differ = changed_at(take(goals, origins), take(goals, changes.target))
    assert (differ.sum(axis=1) == 1).all()
    assert (np.argmax(differ, axis=1) == changes.place).all()
    for change in range(changes.num):
        old, new = (bank().predicates[goal] for goal in (origins[change], changes.target[change]))
        if changes.relaxes[change]:
            assert new == old[:-1]
        else:
            assert old[changes.place[change]].field == new[changes.place[change]].field


def test_an_override_replaces_one_condition_aloud_and_keeps_what_was_said():
    place = with_constants(**QUIET | {"override": 1.0})
    changes = bank().changes
    can = np.array([not changes.relaxes[a:b].all() for a, b in zip(changes.first, changes.first[1:], strict=False)])
    state = who_want(place, can)
    before = users(state).goals
    after, outcome, _ = after_one(place, state)
    now = users(after)
    texts = outcome.reactions.instructions.texts
    assert np.isin(texts, changes.phrases.ids).all()
    differ = changed_at(before, now.goals)
    assert (differ.sum(axis=1) == 1).all()
    assert now.goals.said[differ].all()
    np.testing.assert_array_equal(now.goals.said[~differ], before.said[~differ])
    assert not changed_at(now.goals, take(bank().goals, now.goal)).any()
    assert (now.pending == -1).all()
    # The text says the very condition that is new.
    for row in range(50):
        group = next(g for g in range(changes.num) if texts[row] in changes.phrases.group(g))
        if changes.target[group] == now.goal[row]:
            assert changes.place[group] == np.argmax(differ[row])


def test_what_nothing_meets_is_tagged_until_it_is_relaxed():
    catalogue = shop().catalogue
    hopeless = bank().infeasible
    assert hopeless.sum() >= 10
    assert (bank().matching[hopeless] == 0).all()
    assert (bank().matching[~hopeless] > 0).all()
    one_by_one = satisfied(bank().goals, catalogue, np.arange(catalogue.num_items)).any(axis=2)
    assert one_by_one.all()
    assert [kind == "infeasible" for kind in bank().kinds] == hopeless.tolist()
    place = with_constants(**QUIET | {"relax": 1.0})
    state = who_want(place, hopeless, batch=200)
    after, outcome, _ = after_one(place, state)
    assert np.isin(outcome.reactions.instructions.texts, bank().changes.phrases.ids).all()
    assert users(after).goals.feasible.all()
    assert (bank().matching[users(after).goal] >= 10).all()
    patient = with_constants(**QUIET)
    after, _, _ = after_one(patient, who_want(patient, hopeless, batch=200))
    assert not users(after).goals.feasible.any()


def test_a_new_goal_may_be_announced_and_holds_nothing_of_the_old():
    place = with_constants(**QUIET | {"new_goal": 1.0, "reset": 1.0})
    after, outcome, _ = after_one(place, start(place, Sessions.first(4, 500)))
    assert np.isin(outcome.reactions.instructions.texts, bank().reset.ids).all()
    for name, array in vars(users(after).goals).items():
        np.testing.assert_array_equal(array, vars(bank().goals)[name][users(after).goal])
    half = with_constants(**QUIET | {"new_goal": 1.0, "reset": 0.5})
    _, outcome, _ = after_one(half, start(half, Sessions.first(4, 2_000)))
    assert np.isin(outcome.reactions.instructions.texts, bank().reset.ids).mean() == pytest.approx(0.5, abs=0.05)


def test_a_condition_that_drifts_is_said_once_a_shown_item_breaks_it():
    place = with_constants(**QUIET | {"drift": 1.0, "reveal": 1.0})
    changes = bank().changes
    can = np.array([not changes.relaxes[a:b].all() for a, b in zip(changes.first, changes.first[1:], strict=False)])
    all_said = bank().goals.said.sum(axis=1) == (bank().goals.check != Check.NOTHING).sum(axis=1)
    state = who_want(place, can & all_said)
    before = users(state).goals
    after, outcome, _ = after_one(place, state)
    differ = changed_at(before, users(after).goals)
    assert (differ.sum(axis=1) == 1).all()
    said = np.isin(outcome.reactions.instructions.texts, changes.phrases.ids)
    assert said.mean() > 0.5  # A slate at random breaks most conditions.
    assert users(after).goals.said[said][differ[said]].all()
    assert (users(after).pending[said] == -1).all()
    silent = with_constants(**QUIET | {"drift": 1.0, "restate": 0.0})
    after, outcome, _ = after_one(silent, state)
    assert np.isin(outcome.reactions.instructions.texts, bank().more.ids).all()
    assert not users(after).goals.said[changed_at(before, users(after).goals)].any()
    assert (users(after).pending >= 0).all()
    # Saying it all again says it too.
    again = with_constants(**QUIET)
    after, outcome, _ = after_one(again, after)
    assert users(after).goals.said.sum() == before.said.sum()
    assert (users(after).pending == -1).all()


def test_weights_drift_and_nothing_else_does():
    place = with_constants(**QUIET | {"weight_drift": 0.2, "new_goal": 0.0})
    state = start(place, Sessions.first(4, 3_000))
    after, _, _ = after_one(place, state)
    one, other = users(state).goals, users(after).goals
    used = one.weight > 0
    steps = np.log(other.weight[used] / one.weight[used])
    assert steps.std() == pytest.approx(0.2, abs=0.01)
    assert steps.mean() == pytest.approx(0, abs=0.01)
    assert not other.weight[~used].any()
    assert not changed_at(one, other).any()


# When what is held back comes out.


def test_held_back_conditions_come_out_by_turn_on_violation_or_never():
    width = bank().goals.num_predicates
    held = np.array(
        [any(len(bank().reveal.group(goal * width + p)) for p in range(width)) for goal in range(bank().num_goals)]
    )
    late = with_constants(**QUIET | {"reveal": 1.0, "reveal_turn": 3.0, "perceived_miss": 0.0})
    state = who_want(late, held, batch=300)
    never = with_constants(**QUIET)
    other = state
    unsaid = (users(state).goals.check != Check.NOTHING) & ~users(state).goals.said
    assert unsaid.any(axis=1).all()
    for _ in range(3):
        # What they want, so that nothing is broken; the best items are among those that meet everything.
        best = np.argsort(-late.population.expected_utility(users(state)), axis=1, kind="stable")[:, :10]
        state, outcome = step(late, state, best.astype(np.int32))
        other, _ = step(never, other, shown(len(other.turn)))
    assert np.isin(outcome.reactions.instructions.texts, bank().reveal.ids).mean() > 0.9
    assert (users(state).goals.said & unsaid).any(axis=1).all()
    assert not (users(other).goals.said & unsaid).any()


def test_the_mistaken_say_what_they_believe_until_a_shown_item_proves_it_wrong():
    place = with_constants(**QUIET | {"reveal": 1.0, "perceived_miss": 0.0, "perceived_false_alarm": 0.0})
    mistaken = ["misinformed" in kind for kind in bank().kinds]
    open_otherwise = [all(p.believed or p.reveal is Reveal.VOLUNTEERED for p in goal) for goal in bank().predicates]
    state = who_want(place, np.array(mistaken) & np.array(open_otherwise), batch=300)
    before, meant = users(state).goals, []
    for row, goal in enumerate(users(state).goal):
        (wrong,) = (at for at, p in enumerate(bank().predicates[goal]) if p.believed is not None)
        meant.append(wrong)
        assert not before.said[row, wrong]
        assert np.delete(before.said[row], wrong).sum() == (np.delete(before.check[row], wrong) != 0).sum()
    after, outcome, slates = after_one(place, state)
    corrected = np.isin(outcome.reactions.instructions.texts, bank().reveal.ids)
    met = satisfied(before, place.catalogue, slates)[np.arange(len(meant)), meant]
    np.testing.assert_array_equal(corrected, (outcome.reactions.examined & ~met).any(axis=1))
    assert users(after).goals.said[corrected].sum() == before.said[corrected].sum() + corrected.sum()
    assert not changed_at(before, users(after).goals).any()


# What they do with slates.


def test_the_expected_click_of_the_first_item_is_what_happens_where_goals_count_or_depend():
    # Little misperception: the chance is that of the mean perception, a little off the mean of the chances.
    noise = {"perceived_miss": 0.1, "perceived_false_alarm": 0.05, "click_bias": -1.0, "hard_violation": 2.0}
    place = with_constants(**QUIET | noise)
    special = np.isin(bank().goals.check, (Check.COUNT, Check.GIVEN)).any(axis=1)
    for check in (Check.COUNT, Check.GIVEN):
        wanted = special & (bank().goals.check == check).any(axis=1)
        clicks, chances = [], []
        for seed in range(4):
            state = who_want(place, wanted, batch=1_500, seed=3 + seed)
            expected = place.population.expected_utility(users(state))
            _, outcome, slates = after_one(place, state, seed)
            clicks.append(outcome.reactions.clicked[:, 0])
            chances.append(np.take_along_axis(expected, slates[:, :1], axis=1)[:, 0])
        happened, chance = np.concatenate(clicks), np.concatenate(chances)
        order = np.argsort(chance)
        for part in np.array_split(order, 3):
            assert happened[part].mean() == pytest.approx(chance[part].mean(), abs=0.04)


def test_enough_is_enough_and_too_many_are_unwelcome():
    """Of "exactly two" a third is passed over, and of "at least two" anything goes after the second."""
    place = with_constants(**QUIET | {"perceived_miss": 0.0, "perceived_false_alarm": 0.0, "soft_match": 12.0})
    state = start(place, Sessions.first(4, 4_000))
    catalogue = place.catalogue
    counted = Predicate(field="brand", operator=Operator.INCLUDE, values=("Albion",), least=2, most=2, hard=False)
    brand = catalogue.column("brand")
    of_brand = brand.masks == np.uint64(brand.mask_of(["Albion"]))
    those, others = np.flatnonzero(of_brand)[:10], np.flatnonzero(~of_brand)[:10]

    def clicks(predicate: Predicate, slate: np.ndarray) -> np.ndarray:
        goals = compile_goals([[predicate]] * 4_000, catalogue, bank().goals.num_predicates)
        wanting = replace(state, population=replace(users(state), goals=goals))
        eager = with_constants(
            **QUIET | {"perceived_miss": 0.0, "perceived_false_alarm": 0.0, "soft_match": 12.0, "boredom": 0.0}
            | {"continue_after_skip": 1.0, "continue_after_click": 1.0, "click_bias": 0.0, "click_per_star": 0.0}
            | {"allure": 0.0, "seen": 0.0}
        )  # fmt: skip
        _, outcome = step(eager, wanting, np.broadcast_to(slate, (4_000, 10)).astype(np.int32))
        return outcome.reactions.clicked.mean(axis=0)

    high, low = pytest.approx(1 / (1 + np.exp(-6)), abs=0.02), pytest.approx(1 / (1 + np.exp(6)), abs=0.02)
    exactly = clicks(counted, np.concatenate([others[:1], those[:3], others[1:7]]))
    assert exactly[0] == low
    assert exactly[[1, 2]].tolist() == [high, high]
    assert exactly[3] == low
    assert exactly[4:].tolist() == [high] * 6
    at_least = clicks(replace(counted, most=0), those)
    assert at_least.tolist() == [high] * 10


def test_a_count_that_is_not_held_costs_trust():
    place = with_constants(**QUIET | {"trust_recovery": 0.0, "trust_loss_clickbait": 0.0, "perceived_miss": 0.0})
    state = start(place, Sessions.first(4, 500))
    catalogue = place.catalogue
    offer = catalogue.column("offer").masks != 0
    slate = np.concatenate([np.flatnonzero(offer)[:3], np.flatnonzero(~offer)[:7]]).astype(np.int32)
    values = ("coupon", "promotion", "free shipping")
    trust = []
    for least, most in ((3, 0), (3, 3), (4, 0), (2, 2)):
        count = Predicate(field="offer", operator=Operator.INCLUDE, values=values, least=least, most=most, hard=False)
        goals = compile_goals([[count]] * 500, catalogue, bank().goals.num_predicates)
        after, _ = step(
            place, replace(state, population=replace(users(state), goals=goals)), np.broadcast_to(slate, (500, 10))
        )
        trust.append(float(users(after).trust.mean()))
    assert trust[0] == trust[1] == 1
    assert trust[2] < 0.99
    assert trust[3] < 0.99


# Alone and in a crowd, compiled and not.

LIVELY = {"like": 0.12, "unlike": 0.1, "override": 0.15, "reset": 0.5, "relax": 0.4, "drift": 0.2}
LIVELY |= {"weight_drift": 0.1, "reveal_turn": 4.0, "leave_most": 0.1}


def test_one_user_alone_equals_the_same_user_in_a_crowd():
    place = with_constants(**LIVELY)
    crowd = start(place, Sessions.first(6, 60))
    alone = [take(crowd, np.array([row])) for row in range(0, 60, 7)]
    for turn in range(6):
        slates = shown(60, turn)
        crowd, _ = step(place, crowd, slates)
        alone = [step(place, one, slates[row : row + 1])[0] for one, row in zip(alone, range(0, 60, 7), strict=True)]
        for one, row in zip(alone, range(0, 60, 7), strict=True):
            assert one.instructions.texts[0] == crowd.instructions.texts[row]
            for name in ("goal", "pending", "trust", "satisfaction", "satiation"):
                np.testing.assert_array_equal(getattr(users(one), name)[0], getattr(users(crowd), name)[row])
            for name, array in vars(users(one).goals).items():
                np.testing.assert_array_equal(array[0], vars(users(crowd).goals)[name][row])


def test_the_kernels_agree_with_themselves_run_as_plain_python(interpret_kernels: Callable[[], None]):
    place = with_constants(**LIVELY)
    compiled, interpreted = [], []

    def play(record: list[object]) -> None:
        state = start(place, Sessions.first(5, 150))
        for turn in range(5):
            state, outcome = step(place, state, shown(150, turn))
            record += [outcome.reactions.clicked, outcome.reactions.left, state.instructions.texts]
            record += [users(state).trust, users(state).pending, *vars(users(state).goals).values()]

    play(compiled)
    interpret_kernels()
    with np.errstate(over="ignore"):
        play(interpreted)
    for here, there in zip(compiled, interpreted, strict=True):
        np.testing.assert_array_equal(here, there)


def test_goals_come_in_the_same_order_whatever_else_is_said():
    settings = {"new_goal": 0.5, "critique": 0.0, "like": 0.1, "override": 0.0, "drift": 0.0, "relax": 0.0}
    place = with_constants(**LIVELY | settings | {"unlike": 0.1, "leave_most": 0.0})
    one = other = start(place, Sessions.first(3, 200))
    for turn in range(4):
        one, _ = step(place, one, shown(200, turn))
        other, _ = step(place, other, shown(200, 100 + turn))
    same = users(one).num_goals == users(other).num_goals
    assert same.mean() > 0.3
    assert (users(one).goal[same] == users(other).goal[same]).all()


def test_rates_that_exclude_each_other_cannot_exceed_one():
    with pytest.raises(ValueError, match="like \\+ unlike \\+ override must not exceed 1"):
        Behaviour(like=0.5, unlike=0.3)
    with pytest.raises(ValueError, match="drift is a probability"):
        Behaviour(drift=2.0)
    with pytest.raises(ValueError, match="reveal_turn must be 0 or more"):
        Behaviour(reveal_turn=-1.0)
    assert repr(Behaviour()) == repr(Behaviour(drift=0.0))
    assert "drift" not in repr(Behaviour())
    assert repr(Behaviour(drift=0.1)) != repr(Behaviour())
