"""What conversational users say after a slate, compiled: the second half of a turn, after the reactions to it.

They reveal what they held back, give up or replace a condition, begin anew, compare with what they were shown, or say
it all again. Functions run as plain Python too (``speak.py_func``), which is their reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from instructrec.envs.conversational_kernels import (
    Constants,
    GoalArrays,
    Items,
    Speech,
    _draw,
    _meets,
    _passes,
    _phrase,
    _turn_key,
    _uniform,
)
from instructrec.goals import ALIKE, Check
from instructrec.noise import Purpose

_SET, _RANGE, _SHARE, _NOTHING = int(Check.SET), int(Check.RANGE), int(Check.SHARE), int(Check.NOTHING)
_COUNT, _GIVEN = int(Check.COUNT), int(Check.GIVEN)
_GOAL, _PHRASING = np.uint64(Purpose.GOAL), np.uint64(Purpose.PHRASING)
_CRITIQUE, _DRIFT = np.uint64(Purpose.CRITIQUE), np.uint64(Purpose.DRIFT)
_ONE, _NO_BITS = np.uint64(1), np.uint64(0)
_MINUS, _PLUS = np.float32(-np.inf), np.float32(np.inf)
_SPREAD = np.sqrt(12.0)
"""What makes the standard deviation of a uniform draw 1."""


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
def speak(
    keys: Any,
    turn: Any,
    slates: Any,
    constants: Constants,
    items: Items,
    speech: Speech,
    goal_chances: Any,
    bank_goals: GoalArrays,
    examined: Any,
    clicked: Any,
    # the state, overwritten with what it becomes
    person: Any,
    goal: Any,
    num_goals: Any,
    pending: Any,
    goals: GoalArrays,
    # output
    texts: Any,
) -> None:
    """Lets every user say something about the slate they just saw.

    Goals come from a sequence of their own, whatever was shown. The state arrays are overwritten; callers pass copies.
    Shapes are those of `instructrec.envs.conversational.ConversationalState` and `instructrec.sessions.Reactions`.
    """
    slate_size = slates.shape[1]
    places = goals.check.shape[1]
    for n in range(len(keys)):
        key = keys[n]
        now = _turn_key(key, turn[n])
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
            want = _draw(goal_chances[person[n]], _uniform(key, _GOAL, num_goals[n]))
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
            about = np.int64(_uniform(now, _CRITIQUE, 3) * np.sum(examined[n]))
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
            ways, fitting = speech.like_unlike == unlike, examined[n] & (clicked[n] != unlike)
            way = _nth(ways, np.int64(_uniform(now, _CRITIQUE, 8) * np.sum(ways)))
            about = _nth(fitting, np.int64(_uniform(now, _CRITIQUE, 9) * np.sum(fitting)))
            if way >= 0 and about >= 0:
                if _liken(slates[n, about], way, n, goals, items, speech, slate_size):
                    texts[n] = _phrase(speech.like_start, speech.like_ids, way * slate_size + about, phrasing)
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
