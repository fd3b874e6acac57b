"""The hot loop of the conversational population: one user after the other, compiled.

Each user's arithmetic touches that user's rows alone and runs in a fixed order, so a user alone and the same user in a
crowd agree bit for bit. The functions run as plain Python too (``react.py_func``), which is their reference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from instructrec.goals import Check
from instructrec.noise import Purpose

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S12, _S27, _S30, _S31, _S32 = (np.uint64(bits) for bits in (12, 27, 30, 31, 32))
_ONE = np.uint64(1)

_SET, _RANGE, _SHARE, _NOTHING = int(Check.SET), int(Check.RANGE), int(Check.SHARE), int(Check.NOTHING)
_COUNT, _GIVEN = int(Check.COUNT), int(Check.GIVEN)
_NO_BITS = np.uint64(0)
_MINUS, _PLUS = np.float32(-np.inf), np.float32(np.inf)
_TO_GIVEN = 2**30
"""Where the luck of perceiving what a condition depends on begins: beyond 16 for each of a million items."""
_SPREAD = np.sqrt(12.0)
"""What makes the standard deviation of a uniform draw 1."""
_PERSON, _GOAL, _PHRASING = np.uint64(Purpose.PERSON), np.uint64(Purpose.GOAL), np.uint64(Purpose.PHRASING)
_PERCEPTION, _EXAMINATION = np.uint64(Purpose.PERCEPTION), np.uint64(Purpose.EXAMINATION)
_CLICK, _CONSUMPTION = np.uint64(Purpose.CLICK), np.uint64(Purpose.CONSUMPTION)
_LEAVING, _CRITIQUE, _DRIFT = np.uint64(Purpose.LEAVING), np.uint64(Purpose.CRITIQUE), np.uint64(Purpose.DRIFT)


class Constants(NamedTuple):
    """The behaviour's constants as the kernels take them; documented in `instructrec.envs.behaviour.Behaviour`."""

    click_bias: float
    click_per_star: float
    allure: float
    enjoyment_bias: float
    enjoyment_per_star: float
    soft_match: float
    hard_violation: float
    boredom: float
    satiation_memory: float
    seen: float
    continue_after_skip: float
    continue_after_click: float
    perceived_miss: float
    perceived_false_alarm: float
    satisfaction_rate: float
    no_click_satisfaction: float
    trust_recovery: float
    trust_loss_violation: float
    trust_loss_clickbait: float
    leave_most: float
    leave_bias: float
    leave_fatigue: float
    leave_dissatisfaction: float
    leave_distrust: float
    reveal: float
    new_goal: float
    critique: float
    restate: float
    reveal_turn: float
    like: float
    unlike: float
    override: float
    reset: float
    relax: float
    drift: float
    weight_drift: float
    click_noise: float


class Items(NamedTuple):
    """What the kernels read of the catalogue and of the items' hidden sides."""

    masks: Any  # uint64 [num_items, num_columns]
    numbers: Any  # float32 [num_items, num_columns]
    factors: Any  # float32 [num_items, rank]
    quality: Any  # float32 [num_items], stars
    allure: Any  # float32 [num_items], standard deviations
    topics: Any  # uint64 [num_items], the set attribute that satiates
    sorted_numbers: Any  # float32 [num_columns, num_items], ascending, NaN last
    present: Any  # int32 [num_columns], how many numbers are not missing
    value_counts: Any  # int32 [num_columns, 64], how many items have each value


class GoalArrays(NamedTuple):
    """`instructrec.goals.Goals` as the kernels take them: arrays [batch, num_predicates] in the same order."""

    check: Any
    column: Any
    mask: Any
    low: Any
    high: Any
    negate: Any
    share: Any
    hard: Any
    weight: Any
    said: Any
    least: Any
    most: Any
    given_column: Any
    given_mask: Any
    given_low: Any
    given_high: Any
    feasible: Any


class Speech(NamedTuple):
    """What the kernels read of the bank of instructions: groups of text ids (see `instructrec.envs.bank.Phrases`)."""

    opening_start: Any
    opening_ids: Any
    restated_start: Any
    restated_ids: Any
    reveal_start: Any
    reveal_ids: Any
    critique_start: Any
    critique_ids: Any
    critique_column: Any  # int8 [num_kinds]
    critique_direction: Any  # int8 [num_kinds], +1 or -1
    more_ids: Any
    like_start: Any
    like_ids: Any
    like_column: Any  # int8 [num_likenesses]
    like_is_set: Any  # bool [num_likenesses], whether it compares values rather than numbers
    like_unlike: Any  # bool [num_likenesses]
    reset_start: Any
    reset_ids: Any
    change_first: Any  # int32 [num_goals + 1], the changes of goal g are change_first[g] to change_first[g + 1] - 1
    change_place: Any  # int8 [num_changes], where the goals differ
    change_target: Any  # int32 [num_changes], the goal that it becomes
    change_relaxes: Any  # bool [num_changes], whether a condition is given up rather than replaced
    change_start: Any
    change_ids: Any


@njit(cache=True)
def _mix(value: Any) -> Any:
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return value ^ (value >> _S31)


@njit(cache=True)
def _turn_key(key: Any, turn: Any) -> Any:
    return _mix(key + (np.uint64(turn) + _ONE) * _GOLDEN)


@njit(cache=True)
def _uniform(key: Any, purpose: Any, index: Any) -> Any:
    word = _mix(key + ((purpose << _S32) + np.uint64(index) + _ONE) * _GOLDEN)
    return (np.float64(word >> _S12) + 0.5) * 2.0**-52


@njit(cache=True)
def _sigmoid(value: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-value))


@njit(cache=True)
def _phrase(start: Any, ids: Any, group: Any, luck: Any) -> Any:
    first, last = start[group], start[group + 1]
    return ids[first + np.int64(luck * (last - first))]


@njit(cache=True)
def _draw(cumulative: Any, luck: Any) -> Any:
    """The first place whose cumulative probability exceeds ``luck``."""
    low, high = np.int64(0), np.int64(len(cumulative) - 1)
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > luck:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def arrive(
    keys: Any,
    people: Any,
    goal_chances: Any,
    speech: Speech,
    person: Any,
    goal: Any,
    texts: Any,
) -> None:
    """Fills in who comes, what they want and what they say first.

    Args:
        keys: Session keys, uint64 [batch].
        people: The persons who may come, int32 [num_people].
        goal_chances: Cumulative goal probabilities, float32 [num_persons, num_goals].
        speech: The bank's groups.
        person: Output, int32 [batch].
        goal: Output, int32 [batch].
        texts: Output, int64 [batch].
    """
    for n in range(len(keys)):
        key = keys[n]
        who = people[np.int64(_uniform(key, _PERSON, 0) * len(people))]
        want = _draw(goal_chances[who], _uniform(key, _GOAL, 0))
        person[n] = who
        goal[n] = want
        texts[n] = _phrase(speech.opening_start, speech.opening_ids, want, _uniform(key, _PHRASING, 0))


@njit(cache=True)
def _has(mask: Any, wanted: Any) -> Any:
    return (mask & wanted) != np.uint64(0)


@njit(cache=True)
def _seen_before(item: Any, past: Any, consumed: Any, num_consumed: Any) -> Any:
    # To the end even when found: without a way out, the loops look at many places at once.
    found = False
    for place in range(num_consumed):
        found |= consumed[place] == item
    for place in range(len(past)):
        found |= past[place] == item
    return found


# Inlined, or every call would count the references of all the arrays in its arguments: that halves the speed.
@njit(cache=True, inline="always")
def _meets(item: Any, place: Any, n: Any, key: Any, goals: GoalArrays, items: Items, constants: Constants) -> Any:
    """Whether the user perceives that an item meets the predicate at ``place``; numbers are perceived exactly."""
    where = goals.column[n, place]
    if goals.check[n, place] == _RANGE:
        number = items.numbers[item, where]
        return number >= goals.low[n, place] and number <= goals.high[n, place]
    has = _has(items.masks[item, where], goals.mask[n, place])
    luck = _uniform(key, _PERCEPTION, item * 16 + place)
    if has:
        has = luck >= constants.perceived_miss
    else:
        has = luck < constants.perceived_false_alarm
    return has != goals.negate[n, place]


@njit(cache=True)
def _passes(item: Any, place: Any, n: Any, key: Any, goals: GoalArrays, items: Items, constants: Constants) -> Any:
    """The same for counts and for conditions that depend on another, which few goals hold."""
    if goals.check[n, place] == _GIVEN:
        where, mask = goals.given_column[n, place], goals.given_mask[n, place]
        number = items.numbers[item, where]
        asked = number >= goals.given_low[n, place] and number <= goals.given_high[n, place]
        if mask != _NO_BITS:
            luck = _uniform(key, _PERCEPTION, _TO_GIVEN + item * 16 + place)
            asked = _perceived(items.masks[item, where], mask, luck, constants)
        if not asked:
            return True
    where, mask = goals.column[n, place], goals.mask[n, place]
    if mask == _NO_BITS:
        number = items.numbers[item, where]
        return number >= goals.low[n, place] and number <= goals.high[n, place]
    luck = _uniform(key, _PERCEPTION, item * 16 + place)
    return _perceived(items.masks[item, where], mask, luck, constants) != goals.negate[n, place]


@njit(cache=True)
def _perceived(mask: Any, wanted: Any, luck: Any, constants: Constants) -> Any:
    if _has(mask, wanted):
        return luck >= constants.perceived_miss
    return luck < constants.perceived_false_alarm


@njit(cache=True)
def _counts(item: Any, place: Any, n: Any, goals: GoalArrays, items: Items) -> Any:
    """Whether an item counts towards the count at ``place``, by the catalogue."""
    where = goals.column[n, place]
    if goals.mask[n, place] == _NO_BITS:
        number = items.numbers[item, where]
        return number >= goals.low[n, place] and number <= goals.high[n, place]
    return _has(items.masks[item, where], goals.mask[n, place]) != goals.negate[n, place]


@njit(cache=True)
def _boredom(topics: Any, satiation: Any) -> Any:
    total, count, topic = 0.0, 0, 0
    while topics != _NO_BITS:
        if topics & _ONE:
            total += np.float64(satiation[topic])
            count += 1
        topics >>= _ONE
        topic += 1
    return total / count if count > 0 else total


@njit(cache=True)
def react(
    keys: Any,
    turn: Any,
    slates: Any,
    constants: Constants,
    items: Items,
    person_factors: Any,
    past: Any,
    turn_limit: Any,
    # the state, overwritten with what it becomes
    person: Any,
    goals: GoalArrays,
    satiation: Any,
    satisfaction: Any,
    trust: Any,
    consumed_items: Any,
    num_consumed: Any,
    # outputs
    examined: Any,
    clicked: Any,
    consumed: Any,
    left: Any,
) -> None:
    """Lets every user read a slate, click, consume, change mood, and stay or leave.

    The state arrays are overwritten; callers pass copies. Shapes are those of
    `instructrec.envs.conversational.ConversationalState` and `instructrec.sessions.Reactions`.
    """
    slate_size = slates.shape[1]
    places = goals.check.shape[1]
    rank = person_factors.shape[1]
    passed = np.zeros(places, np.int64)
    for n in range(len(keys)):
        passed[:] = 0
        key = keys[n]
        now = _turn_key(key, turn[n])
        who = person[n]
        before, tired = past[who], satiation[n]
        looking = True
        num_examined, num_clicked = 0, 0
        broken, enjoyed, bait = 0.0, 0.0, 0.0
        for position in range(slate_size):
            item = slates[n, position]
            examined[n, position] = looking
            if not looking:
                continue
            num_examined += 1
            stars = np.float64(items.quality[item])
            for f in range(rank):
                stars += np.float64(person_factors[who, f]) * np.float64(items.factors[item, f])
            violations, soft_met, soft_total = 0.0, 0.0, 0.0
            for place in range(places):
                if goals.check[n, place] == _NOTHING:
                    continue
                if goals.check[n, place] <= _SHARE:
                    met = _meets(item, place, n, key, goals, items, constants)
                else:
                    met = _passes(item, place, n, key, goals, items, constants)
                if goals.check[n, place] == _COUNT:
                    # Those that count are welcome until there are most of them, others once there are enough.
                    if met:
                        passed[place] += 1
                        met = goals.most[n, place] == 0 or passed[place] <= goals.most[n, place]
                    else:
                        met = passed[place] >= goals.least[n, place]
                if goals.hard[n, place] and goals.check[n, place] != _SHARE and goals.check[n, place] != _COUNT:
                    if not met:
                        violations += np.float64(goals.weight[n, place])
                else:
                    soft_total += np.float64(goals.weight[n, place])
                    if met:
                        soft_met += np.float64(goals.weight[n, place])
            shared = -constants.hard_violation * violations
            if soft_total > 0:
                shared += constants.soft_match * (soft_met / soft_total - 0.5)
            shared -= constants.boredom * _boredom(items.topics[item], tired)
            if _seen_before(item, before, consumed_items[n], num_consumed[n]):
                shared -= constants.seen
            likes = _sigmoid(
                constants.click_bias
                + constants.click_per_star * stars
                + constants.allure * np.float64(items.allure[item])
                + shared
            )
            if violations > 0:
                broken += 1.0
            go_on = constants.continue_after_skip
            if _uniform(now, _CLICK, position) < likes + constants.click_noise * (0.5 - likes):
                clicked[n, position] = True
                go_on = constants.continue_after_click
                num_clicked += 1
                enjoys = _sigmoid(constants.enjoyment_bias + constants.enjoyment_per_star * stars + shared)
                enjoyed += enjoys
                if likes > enjoys:
                    bait += likes - enjoys
                consumed[n, position] = _uniform(now, _CONSUMPTION, position) < enjoys
            looking = _uniform(now, _EXAMINATION, position) < go_on

        # A broken condition on the slate as a whole counts as one broken position.
        for place in range(places):
            if goals.check[n, place] == _SHARE and goals.said[n, place]:
                counted = 0
                for position in range(slate_size):
                    if _has(items.masks[slates[n, position], goals.column[n, place]], goals.mask[n, place]):
                        counted += 1
                if counted < np.float64(goals.share[n, place]) * slate_size - 1e-6:
                    broken += 1.0
            elif goals.check[n, place] == _COUNT and goals.said[n, place]:
                counted = 0
                for position in range(slate_size):
                    if _counts(slates[n, position], place, n, goals, items):
                        counted += 1
                most = goals.most[n, place]
                if counted < goals.least[n, place] or (most > 0 and counted > most):
                    broken += 1.0

        for topic in range(satiation.shape[1]):
            satiation[n, topic] = constants.satiation_memory * np.float64(satiation[n, topic])
        for position in range(slate_size):
            if not clicked[n, position]:
                continue
            item = slates[n, position]
            consumed_items[n, num_consumed[n]] = item
            num_consumed[n] += 1
            for topic in range(satiation.shape[1]):
                if (items.topics[item] >> np.uint64(topic)) & _ONE:
                    more = (1.0 - constants.satiation_memory) / slate_size
                    satiation[n, topic] = np.float64(satiation[n, topic]) + more

        felt = enjoyed / num_clicked if num_clicked > 0 else constants.no_click_satisfaction
        # Moods are kept in single and reckoned in double precision, compiled or not.
        pleased = np.float64(satisfaction[n])
        pleased += constants.satisfaction_rate * (felt - pleased)
        trusting = np.float64(trust[n])
        trusting += constants.trust_recovery * (1.0 - trusting) - constants.trust_loss_violation * broken / num_examined
        if num_clicked > 0:
            trusting -= constants.trust_loss_clickbait * bait / num_clicked
        trusting = np.float64(min(1.0, max(0.0, trusting)))
        satisfaction[n], trust[n] = pleased, trusting
        hazard = constants.leave_most * _sigmoid(
            constants.leave_bias
            + constants.leave_fatigue * (turn[n] + 1.0) / turn_limit
            + constants.leave_dissatisfaction * (0.5 - pleased)
            + constants.leave_distrust * (1.0 - trusting)
        )
        left[n] = _uniform(now, _LEAVING, 0) < hazard
