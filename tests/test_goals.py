"""What an instruction means: every operator, what is missing, and what cannot be meant."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.catalogue import Catalogue, Column
from instructrec.goals import (
    Check,
    Goals,
    Operator,
    Predicate,
    Reveal,
    allowed,
    compile_goals,
    satisfied,
    share_met,
    threshold,
)

YEARS = [1970, 1985, 1990, 1999, 2005, np.nan]
GENRES = [("Horror",), ("Comedy",), ("Comedy", "Horror"), ("Drama",), (), ("Drama", "Comedy")]
AGES = ["kids", "teens", "adults", None, "teens", "kids"]


def films():
    columns = (
        Column.multi_valued("genre", GENRES),
        Column.numeric("year", YEARS),
        Column.ordinal("age", AGES, levels=["kids", "teens", "adults"]),
    )
    names = tuple("abcdef")
    return Catalogue({column.name: column for column in columns}, names, names, names, np.ones(6, np.float32))


ALL = np.arange(6)


def met(*predicates, items=ALL):
    """Returns which items meet each predicate, [num_predicates, num_items]."""
    return satisfied(compile_goals([predicates], films()), films(), items)[0]


def matching(predicate):
    return set(np.flatnonzero(met(predicate)[0]).tolist())


@pytest.mark.parametrize(
    ("predicate", "items"),
    [
        (Predicate(field="genre", operator=Operator.INCLUDE, values=("Horror",)), {0, 2}),
        (Predicate(field="genre", operator=Operator.INCLUDE, values=("Horror", "Drama")), {0, 2, 3, 5}),
        (Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror",)), {1, 3, 4, 5}),
        (Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror", "Comedy")), {3, 4}),
        (Predicate(field="year", operator=Operator.AT_LEAST, low=1990), {2, 3, 4}),
        (Predicate(field="year", operator=Operator.AT_MOST, high=1990), {0, 1, 2}),
        (Predicate(field="year", operator=Operator.BETWEEN, low=1985, high=1999), {1, 2, 3}),
        (Predicate(field="year", operator=Operator.BETWEEN, low=1999, high=1999), {3}),
        (Predicate(field="year", operator=Operator.HIGHEST, share=0.2), {4}),
        (Predicate(field="year", operator=Operator.HIGHEST, share=0.4), {3, 4}),
        (Predicate(field="year", operator=Operator.LOWEST, share=0.2), {0}),
        (Predicate(field="year", operator=Operator.LOWEST, share=1.0), {0, 1, 2, 3, 4}),
        (Predicate(field="age", operator=Operator.AT_MOST, high=1), {0, 1, 4, 5}),
        (Predicate(field="age", operator=Operator.AT_LEAST, low=2), {2}),
        (Predicate(field="genre", operator=Operator.SHARE, values=("Comedy",), share=0.5), {1, 2, 5}),
    ],
)
def test_each_operator_holds_for_exactly_its_items(predicate, items):
    assert matching(predicate) == items


@pytest.mark.parametrize("operator", [Operator.AT_LEAST, Operator.AT_MOST, Operator.BETWEEN, Operator.HIGHEST])
def test_a_missing_number_meets_no_range(operator):
    predicate = Predicate(field="year", operator=operator, low=-1e6, high=1e6, share=1.0)
    assert 5 not in matching(predicate)


@pytest.mark.parametrize(
    ("operator", "used", "unused"),
    [
        (Operator.AT_LEAST, {"low": 1990}, {"high": 1991}),
        (Operator.AT_MOST, {"high": 1990}, {"low": 1989}),
        (Operator.HIGHEST, {"share": 0.4}, {"high": 2000}),
        (Operator.LOWEST, {"share": 0.4}, {"low": 1980}),
    ],
)
def test_a_bound_that_the_operator_does_not_use_changes_nothing(operator, used, unused):
    plain = Predicate(field="year", operator=operator, **used)
    assert matching(plain) == matching(Predicate(field="year", operator=operator, **used, **unused))


def test_an_item_without_values_is_excluded_by_includes_and_passes_excludes():
    assert not met(Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy", "Drama", "Horror")))[0, 4]
    assert met(Predicate(field="genre", operator=Operator.EXCLUDE, values=("Comedy", "Drama", "Horror")))[0, 4]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40), st.integers(1, 40))
def test_a_superlative_holds_for_its_share_and_for_ties_only(numbers, share):
    values, part = np.array(numbers, np.float32), share / 40
    count = -(-share * len(numbers) // 40)
    ordered = sorted(numbers)
    assert threshold(values, part, highest=True) == ordered[-count]
    assert threshold(values, part, highest=False) == ordered[count - 1]


def test_a_superlative_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least one item with a number"):
        threshold(np.array([np.nan], np.float32), 0.5, highest=True)


HORROR = Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror",))
OLD = Predicate(field="year", operator=Operator.AT_MOST, high=1990, hard=False, weight=2.0)
SECRET = Predicate(field="genre", operator=Operator.EXCLUDE, values=("Drama",), reveal=Reveal.ON_VIOLATION)
HALF = Predicate(field="genre", operator=Operator.SHARE, values=("Comedy",), share=0.3)


def test_compiling_keeps_weight_hardness_and_what_was_said():
    goals = compile_goals([(HORROR, OLD, SECRET, HALF), ()], films())
    np.testing.assert_array_equal(goals.weight, [[1, 2, 1, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(goals.hard[0], [True, False, True, True])
    np.testing.assert_array_equal(goals.said[0], [True, True, False, True])
    np.testing.assert_array_equal(goals.item_level[0], [True, True, True, False])
    np.testing.assert_array_equal(goals.check[1], [Check.NOTHING] * 4)


def test_goals_of_different_length_share_one_width_and_unused_places_are_met():
    goals = compile_goals([(HORROR,), (OLD, HALF)], films(), num_predicates=3)
    assert goals.num_predicates == 3
    assert satisfied(goals, films(), ALL)[0, 1:].all()
    assert satisfied(Goals.empty(2, 3), films(), ALL).all()


def test_a_goal_alone_equals_the_same_in_a_batch():
    goals = [(HORROR, OLD), (HALF,), (SECRET, HALF)]
    slates = np.array([[0, 1], [2, 3], [5, 4]])
    together = satisfied(compile_goals(goals, films()), films(), slates)
    for row, goal in enumerate(goals):
        alone = satisfied(compile_goals([goal], films(), num_predicates=2), films(), slates[row : row + 1])
        np.testing.assert_array_equal(together[row], alone[0])


def test_the_same_items_for_everyone_equal_one_row_of_them_each():
    goals = compile_goals([(HORROR, OLD), (HALF, SECRET)], films())
    np.testing.assert_array_equal(
        satisfied(goals, films(), np.array([5, 0, 3])), satisfied(goals, films(), np.array([[5, 0, 3]] * 2))
    )


def test_a_share_counts_the_slate_up_to_rounding_of_the_fraction():
    goals = compile_goals([(HALF,)] * 2, films())
    slates = np.array([[1, 2, 5, *[0] * 7], [1, 2, 0, *[0] * 7]])
    np.testing.assert_array_equal(share_met(goals, satisfied(goals, films(), slates)), [[True], [False]])


def test_only_share_predicates_hold_for_slates():
    goals = compile_goals([(HORROR, HALF)], films())
    assert not share_met(goals, satisfied(goals, films(), np.array([[1, 5]])))[0, 0]


def test_allowed_items_meet_every_hard_item_level_predicate():
    goals = compile_goals([(HORROR, OLD, SECRET, HALF)], films())
    np.testing.assert_array_equal(np.flatnonzero(allowed(goals, films(), ALL)[0]), [1, 4])
    np.testing.assert_array_equal(np.flatnonzero(allowed(goals, films(), ALL, said_only=True)[0]), [1, 3, 4, 5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operator": Operator.INCLUDE}, "needs at least one name"),
        ({"operator": Operator.SHARE, "values": ("Comedy",), "share": 0.0}, r"needs share in \(0, 1\], got 0"),
        ({"operator": Operator.HIGHEST, "share": 1.5}, r"needs share in \(0, 1\], got 1.5"),
        ({"operator": Operator.MORE_THAN}, "counted from 1, got 0"),
        ({"operator": Operator.AT_LEAST}, "needs a finite low, got -inf"),
        ({"operator": Operator.AT_LEAST, "low": np.nan}, "needs a finite low, got nan"),
        ({"operator": Operator.AT_MOST}, "needs a finite high, got inf"),
        ({"operator": Operator.BETWEEN, "low": 2, "high": 1}, "needs low <= high, got 2 > 1"),
        ({"operator": Operator.AT_MOST, "high": 1, "weight": 0}, "needs a weight > 0"),
        ({"operator": Operator.AT_MOST, "high": 1, "weight": np.nan}, "needs a weight > 0"),
    ],
)
def test_a_predicate_that_says_too_little_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Predicate(field="year", **arguments)


@pytest.mark.parametrize(
    ("predicate", "message"),
    [
        (Predicate(field="gendre", operator=Operator.INCLUDE, values=("Drama",)), "did you mean 'genre'"),
        (Predicate(field="genre", operator=Operator.INCLUDE, values=("Dramma",)), "did you mean 'Drama'"),
        (Predicate(field="year", operator=Operator.INCLUDE, values=("1999",)), "needs a categorical or multi-valued"),
        (Predicate(field="genre", operator=Operator.AT_LEAST, low=1), "needs an ordinal or numeric"),
        (Predicate(field="year", operator=Operator.MORE_THAN, position=1), "speaks of a shown slate"),
    ],
)
def test_a_predicate_that_does_not_fit_the_catalogue_is_explained(predicate, message):
    with pytest.raises(ValueError, match=message):
        compile_goals([(predicate,)], films())


def test_a_goal_too_long_for_its_places_is_refused():
    with pytest.raises(ValueError, match="goal 0 has 2 predicates; there is room for 1"):
        compile_goals([(HORROR, OLD)], films(), num_predicates=1)


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (HORROR, "genre: not Horror"),
        (OLD, "year ≤ 1990"),
        (HALF, "at least 30% Comedy"),
        (Predicate(field="year", operator=Operator.BETWEEN, low=1990, high=1999), "year 1990–1999"),
        (Predicate(field="year", operator=Operator.MORE_THAN, position=2), "year above that of no. 2"),
        (Predicate(field="rating", operator=Operator.HIGHEST, share=0.1), "rating: highest 10%"),
    ],
)
def test_predicates_read_well(predicate, text):
    assert str(predicate) == text
