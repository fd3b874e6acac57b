"""The hot loop of the conversational population: one user after the other, compiled.

Each user's arithmetic touches that user's rows alone and runs in a fixed order, so a user alone and the same user in a
crowd agree bit for bit. The functions run as plain Python too (``react.py_func``), which is their reference.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from instructrec.goals import ALIKE, Check
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
    for place in range(num_consumed):
        if consumed[place] == item:
            return True
    for place in range(len(past)):
        if past[place] == item:
            return True
    return False


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
    total, count = 0.0, 0
    for topic in range(len(satiation)):
        if (topics >> np.uint64(topic)) & _ONE:
            total += np.float64(satiation[topic])
            count += 1
    return total / count if count > 0 else total


@njit(cache=True)
def _can_critique(column: Any, direction: Any, number: Any, items: Items) -> Any:
    """Whether at least a tenth of the catalogue lies strictly beyond ``number``."""
    count = items.present[column]
    row = items.sorted_numbers[column, :count]
    if direction > 0:
        beyond = count - np.searchsorted(row, number, side="right")
    else:
        beyond = np.searchsorted(row, number, side="left")
    return beyond >= 0.1 * items.sorted_numbers.shape[1]


@njit(cache=True)
def _adopt(goals: GoalArrays, n: Any, place: Any, bank_goals: GoalArrays, goal: Any) -> None:
    """Puts what a goal of the bank holds at ``place`` in that place of user n's goal."""
    goals.check[n, place] = bank_goals.check[goal, place]
    goals.column[n, place] = bank_goals.column[goal, place]
    goals.mask[n, place] = bank_goals.mask[goal, place]
    goals.low[n, place] = bank_goals.low[goal, place]
    goals.high[n, place] = bank_goals.high[goal, place]
    goals.negate[n, place] = bank_goals.negate[goal, place]
    goals.share[n, place] = bank_goals.share[goal, place]
    goals.hard[n, place] = bank_goals.hard[goal, place]
    goals.weight[n, place] = bank_goals.weight[goal, place]
    goals.said[n, place] = bank_goals.said[goal, place]
    goals.least[n, place] = bank_goals.least[goal, place]
    goals.most[n, place] = bank_goals.most[goal, place]
    goals.given_column[n, place] = bank_goals.given_column[goal, place]
    goals.given_mask[n, place] = bank_goals.given_mask[goal, place]
    goals.given_low[n, place] = bank_goals.given_low[goal, place]
    goals.given_high[n, place] = bank_goals.given_high[goal, place]
    goals.feasible[n, place] = bank_goals.feasible[goal, place]


@njit(cache=True)
def _compare(
    goals: GoalArrays, n: Any, check: Any, column: Any, mask: Any, low: Any, high: Any, negate: Any, feasible: Any
) -> None:
    """Puts what was said relative to a shown item in the last place of user n's goal."""
    last = goals.check.shape[1] - 1
    goals.check[n, last] = check
    goals.column[n, last] = column
    goals.mask[n, last] = mask
    goals.low[n, last] = low
    goals.high[n, last] = high
    goals.negate[n, last] = negate
    goals.hard[n, last] = True
    goals.weight[n, last] = 1.0
    goals.said[n, last] = True
    goals.feasible[n, last] = feasible


@njit(cache=True)
def _liken(item: Any, kind: Any, n: Any, goals: GoalArrays, items: Items, speech: Speech, slate_size: Any) -> Any:
    """Asks for what is like, or unlike, a shown item (`instructrec.goals.resolved`); returns whether that is possible.

    It is where the item has a value that the goal does not name, or a number that the goal does not bound, and enough
    is left: two slates of items that share the commonest of its values, or, going by the items that have each, a tenth
    of the catalogue that shares none.
    """
    column, last = speech.like_column[kind], goals.check.shape[1] - 1
    if not speech.like_is_set[kind]:
        number = items.numbers[item, column]
        if np.isnan(number):
            return False
        for place in range(last):
            if goals.check[n, place] == _RANGE and goals.column[n, place] == column:
                return False
        count = items.present[column]
        row = items.sorted_numbers[column, :count]
        reach = np.int64(ALIKE * count)
        low = row[max(np.searchsorted(row, number, side="left") - reach, 0)]
        high = row[min(np.searchsorted(row, number, side="right") - 1 + reach, count - 1)]
        _compare(goals, n, _RANGE, column, _NO_BITS, low, high, False, goals.feasible[n, 0])
        return True
    mask = items.masks[item, column]
    for place in range(last):
        if goals.check[n, place] != _NOTHING and goals.column[n, place] == column:
            mask &= ~goals.mask[n, place]
    commonest, together = 0, 0
    for value in range(items.value_counts.shape[1]):
        if (mask >> np.uint64(value)) & _ONE:
            commonest = max(commonest, items.value_counts[column, value])
            together += items.value_counts[column, value]
    everything = items.sorted_numbers.shape[1]
    if speech.like_unlike[kind]:
        possible = together > 0 and everything - together >= 0.1 * everything
    else:
        possible = commonest >= 2 * slate_size
    if possible:
        unlike = speech.like_unlike[kind]
        _compare(goals, n, _SET, column, mask, _MINUS, _PLUS, unlike, goals.feasible[n, 0])
    return possible


@njit(cache=True)
def _nth(holds: Any, count: Any) -> Any:
    """The place of the ``count``-th True, counted from 0."""
    for place in range(len(holds)):
        if holds[place]:
            if count == 0:
                return place
            count -= 1
    return -1


@njit(cache=True)
def _change_of(goal: Any, relaxes: Any, luck: Any, speech: Speech) -> Any:
    """One of the changes that a goal may undergo, -1 where there is none."""
    first, after = speech.change_first[goal], speech.change_first[goal + 1]
    count = 0
    for change in range(first, after):
        if speech.change_relaxes[change] == relaxes:
            count += 1
    chosen = np.int64(luck * count)
    for change in range(first, after):
        if speech.change_relaxes[change] == relaxes:
            if chosen == 0:
                return change
            chosen -= 1
    return -1


@njit(cache=True)
def _undergo(
    change: Any, aloud: Any, n: Any, goal: Any, pending: Any, goals: GoalArrays, bank_goals: GoalArrays, speech: Speech
) -> None:
    """Turns a user's goal into the one that a change leads to; other conditions stay as said as they were."""
    target, place, last = speech.change_target[change], speech.change_place[change], goals.check.shape[1] - 1
    goal[n] = target
    _adopt(goals, n, place, bank_goals, target)
    goals.said[n, place] = aloud and goals.check[n, place] != _NOTHING
    for other in range(last + 1):
        goals.feasible[n, other] = bank_goals.feasible[target, other]
    # What was said of a shown item yields where both speak of the same attribute.
    if goals.check[n, last] != _NOTHING and goals.column[n, last] == goals.column[n, place]:
        goals.check[n, last] = _NOTHING
        goals.weight[n, last] = 0.0
    if not aloud:
        pending[n] = change
    elif pending[n] >= 0 and speech.change_place[pending[n]] == place:
        pending[n] = -1


@njit(cache=True)
def react(
    keys: Any,
    turn: Any,
    slates: Any,
    constants: Constants,
    items: Items,
    speech: Speech,
    person_factors: Any,
    past: Any,
    goal_chances: Any,
    bank_goals: GoalArrays,
    turn_limit: Any,
    # the state, overwritten with what it becomes
    person: Any,
    goal: Any,
    num_goals: Any,
    pending: Any,
    satiation: Any,
    satisfaction: Any,
    trust: Any,
    consumed_items: Any,
    num_consumed: Any,
    goals: GoalArrays,
    # outputs
    examined: Any,
    clicked: Any,
    consumed: Any,
    left: Any,
    texts: Any,
) -> None:
    """Lets every user read a slate, click, consume, change mood, and leave or speak.

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
            shared -= constants.boredom * _boredom(items.topics[item], satiation[n])
            if _seen_before(item, past[who], consumed_items[n], num_consumed[n]):
                shared -= constants.seen
            likes = _sigmoid(
                constants.click_bias
                + constants.click_per_star * stars
                + constants.allure * np.float64(items.allure[item])
                + shared
            )
            enjoys = _sigmoid(constants.enjoyment_bias + constants.enjoyment_per_star * stars + shared)
            if violations > 0:
                broken += 1.0
            go_on = constants.continue_after_skip
            if _uniform(now, _CLICK, position) < likes:
                clicked[n, position] = True
                go_on = constants.continue_after_click
                num_clicked += 1
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

        # What they say next. Goals come from a sequence of their own, whatever was shown.
        phrasing = _uniform(now, _PHRASING, 1)
        if constants.weight_drift > 0:
            for place in range(places):
                step = constants.weight_drift * _SPREAD * (_uniform(now, _DRIFT, 2 + place) - 0.5)
                goals.weight[n, place] = np.float64(goals.weight[n, place]) * np.exp(step)
        if constants.drift > 0 and _uniform(now, _DRIFT, 0) < constants.drift and pending[n] < 0:
            change = _change_of(goal[n], False, _uniform(now, _DRIFT, 1), speech)
            if change >= 0:
                _undergo(change, False, n, goal, pending, goals, bank_goals, speech)
        spoken = False
        in_time = 0 < constants.reveal_turn <= turn[n] + 1.0
        for place in range(places):
            check = goals.check[n, place]
            if spoken or goals.said[n, place] or check == _NOTHING or check == _SHARE or check == _COUNT:
                continue
            hurt = in_time
            for position in range(slate_size):
                if not examined[n, position]:
                    continue
                if check == _GIVEN:
                    met = _passes(slates[n, position], place, n, key, goals, items, constants)
                else:
                    met = _meets(slates[n, position], place, n, key, goals, items, constants)
                if not met:
                    hurt = True
            group = goal[n] * places + place
            drifted = pending[n] >= 0 and speech.change_place[pending[n]] == place
            speakable = drifted or speech.reveal_start[group + 1] > speech.reveal_start[group]
            if hurt and speakable and _uniform(now, _CRITIQUE, 0) < constants.reveal:
                goals.said[n, place] = True
                if drifted:
                    texts[n] = _phrase(speech.change_start, speech.change_ids, pending[n], phrasing)
                    pending[n] = -1
                else:
                    texts[n] = _phrase(speech.reveal_start, speech.reveal_ids, group, phrasing)
                spoken = True
        if spoken:
            continue
        if constants.relax > 0 and _uniform(now, _CRITIQUE, 5) < constants.relax:
            change = _change_of(goal[n], True, _uniform(now, _CRITIQUE, 6), speech)
            if change >= 0:
                _undergo(change, True, n, goal, pending, goals, bank_goals, speech)
                # They say all that they still want: an earlier comparison is let go.
                goals.check[n, places - 1] = _NOTHING
                goals.weight[n, places - 1] = 0.0
                texts[n] = _phrase(speech.change_start, speech.change_ids, change, phrasing)
                continue
        choice = _uniform(now, _CRITIQUE, 1)
        if choice < constants.new_goal:
            want = _draw(goal_chances[who], _uniform(key, _GOAL, num_goals[n]))
            num_goals[n] += 1
            goal[n] = want
            pending[n] = -1
            for place in range(places):
                _adopt(goals, n, place, bank_goals, want)
            if len(speech.reset_start) > 1 and _uniform(now, _CRITIQUE, 7) < constants.reset:
                texts[n] = _phrase(speech.reset_start, speech.reset_ids, want, phrasing)
            else:
                texts[n] = _phrase(speech.opening_start, speech.opening_ids, want, phrasing)
            continue
        if choice < constants.new_goal + constants.critique:
            kind = np.int64(_uniform(now, _CRITIQUE, 2) * len(speech.critique_column))
            where, direction = speech.critique_column[kind], speech.critique_direction[kind]
            about = np.int64(_uniform(now, _CRITIQUE, 3) * num_examined)
            number = items.numbers[slates[n, about], where]
            last = places - 1
            possible = not np.isnan(number) and _can_critique(where, direction, number, items)
            for place in range(last):
                if goals.check[n, place] == _RANGE and goals.column[n, place] == where:
                    possible = False
            if possible:
                low = np.nextafter(number, _PLUS) if direction > 0 else _MINUS
                high = _PLUS if direction > 0 else np.nextafter(number, _MINUS)
                _compare(goals, n, _RANGE, where, _NO_BITS, low, high, False, goals.feasible[n, 0])
                texts[n] = _phrase(speech.critique_start, speech.critique_ids, kind * slate_size + about, phrasing)
                continue
        choice -= constants.new_goal + constants.critique
        if 0 <= choice < constants.like + constants.unlike:
            unlike = choice >= constants.like
            kinds, fitting = 0, 0
            for kind in range(len(speech.like_column)):
                kinds += speech.like_unlike[kind] == unlike
            for position in range(slate_size):
                fitting += examined[n, position] and clicked[n, position] != unlike
            if kinds > 0 and fitting > 0:
                kind = _nth(speech.like_unlike == unlike, np.int64(_uniform(now, _CRITIQUE, 8) * kinds))
                about = _nth(examined[n] & (clicked[n] != unlike), np.int64(_uniform(now, _CRITIQUE, 9) * fitting))
                if _liken(slates[n, about], kind, n, goals, items, speech, slate_size):
                    texts[n] = _phrase(speech.like_start, speech.like_ids, kind * slate_size + about, phrasing)
                    continue
        choice -= constants.like + constants.unlike
        if 0 <= choice < constants.override:
            change = _change_of(goal[n], False, _uniform(now, _CRITIQUE, 10), speech)
            if change >= 0:
                _undergo(change, True, n, goal, pending, goals, bank_goals, speech)
                texts[n] = _phrase(speech.change_start, speech.change_ids, change, phrasing)
                continue
        if _uniform(now, _CRITIQUE, 4) < constants.restate:
            # Saying it all again is saying what holds now: an earlier critique is let go.
            goals.check[n, places - 1] = _NOTHING
            goals.weight[n, places - 1] = 0.0
            unsaid = False
            for place in range(places):
                if goals.check[n, place] != _NOTHING and not goals.said[n, place]:
                    unsaid = True
            if unsaid:
                texts[n] = _phrase(speech.opening_start, speech.opening_ids, goal[n], phrasing)
                # What changed unsaid is said now, with all that the goal volunteers.
                if pending[n] >= 0:
                    goals.said[n, speech.change_place[pending[n]]] = True
                    pending[n] = -1
            else:
                texts[n] = _phrase(speech.restated_start, speech.restated_ids, goal[n], phrasing)
        else:
            texts[n] = speech.more_ids[np.int64(phrasing * len(speech.more_ids))]
