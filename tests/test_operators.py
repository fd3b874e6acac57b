"""Counts, conditions, likeness and infeasible goals mean exactly what they are defined to mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructrec import metrics
from instructrec.agents.references import goal_parts
from instructrec.catalogue import Catalogue, Column
from instructrec.goals import (
    ALIKE,
    Goals,
    Operator,
    Predicate,
    Reveal,
    alike,
    allowed,
    compile_goals,
    resolved,
    satisfied,
    share_met,
)

GENRES = [("Horror",), ("Comedy",), ("Comedy", "Horror"), ("Drama",), (), ("Drama", "Comedy")]
YEARS = [1970, 1985, 1990, 1999, 2005, np.nan]
ALL = np.arange(6)


def catalogue_of(genres: list[tuple[str, ...]], years: list[float]) -> Catalogue:
    names = tuple(str(place) for place in range(len(genres)))
    columns = {
        "genre": Column.multi_valued("genre", genres, values=["Comedy", "Drama", "Horror"]),
        "year": Column.numeric("year", years),
    }
    return Catalogue(columns, names, names, names, np.ones(len(names), np.float32))


FILMS = catalogue_of(GENRES, YEARS)
HORROR = Predicate(field="genre", operator=Operator.INCLUDE, values=("Horror",))
COMEDY = Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy",))
OLD = Predicate(field="year", operator=Operator.AT_MOST, high=1979)
OLD_HORROR = Predicate(field="year", operator=Operator.AT_MOST, high=1979, given=HORROR)
THREE_COMEDIES = Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy",), least=3, hard=False)
TWO_NINETIES = Predicate(field="year", operator=Operator.BETWEEN, low=1990, high=1999, least=2, most=2, hard=False)


def meeting(predicate: Predicate) -> set[int]:
    met = satisfied(compile_goals([[predicate]], FILMS), FILMS, ALL)[0, 0]
    return set(np.flatnonzero(met).tolist())


def holds(predicate: Predicate, slate: list[int]) -> bool:
    goals = compile_goals([[predicate]], FILMS)
    return bool(share_met(goals, satisfied(goals, FILMS, np.array([slate])))[0, 0])


# What they mean, by example.


def test_a_condition_asks_nothing_of_items_it_does_not_depend_on():
    assert meeting(OLD_HORROR) == {0, 1, 3, 4, 5}  # Of the horrors 0 is old and 2 is not.
    assert {0, 1, 3, 4, 5} == set(np.flatnonzero(allowed(compile_goals([[OLD_HORROR]], FILMS), FILMS, ALL)[0]))


def test_a_condition_may_depend_on_a_number_and_a_missing_one_is_not_asked():
    late = Predicate(field="year", operator=Operator.AT_LEAST, low=1990)
    assert meeting(Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror",), given=late)) == {
        0,
        1,
        3,
        4,
        5,
    }


@pytest.mark.parametrize(
    ("slate", "three_comedies", "two_nineties"),
    [
        ([1, 2, 5, 0], True, False),
        ([1, 2, 3, 0], False, True),
        ([2, 3, 4, 5], False, True),
        ([0, 1, 4, 5], False, False),
    ],
)
def test_counts_hold_for_slates(slate, three_comedies, two_nineties):
    assert holds(THREE_COMEDIES, slate) == three_comedies
    assert holds(TWO_NINETIES, slate) == two_nineties


def test_exactly_two_is_broken_by_a_third():
    both = Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy",), least=2, most=2)
    assert holds(both, [1, 2, 0, 3])
    assert not holds(both, [1, 2, 5, 3])


def test_like_is_to_share_a_value_that_the_goal_does_not_name():
    like = Predicate(field="genre", operator=Operator.LIKE, position=2)
    assert resolved(like, FILMS, 2).values == ("Comedy", "Horror")
    assert resolved(like, FILMS, 2, [COMEDY]).values == ("Horror",)
    assert resolved(like, FILMS, 1, [COMEDY]) is None
    assert resolved(like, FILMS, 4) is None
    assert meeting(resolved(like, FILMS, 2, [COMEDY])) == {0, 2}


def test_unlike_is_to_share_no_value_that_the_goal_does_not_name():
    unlike = Predicate(field="genre", operator=Operator.UNLIKE, position=1)
    assert meeting(resolved(unlike, FILMS, 2)) == {3, 4}
    assert meeting(resolved(unlike, FILMS, 2, [COMEDY])) == {1, 3, 4, 5}


def test_numbers_are_alike_within_a_tenth_of_the_catalogue_either_way():
    numbers = np.arange(100, 140, dtype=np.float32)
    assert ALIKE == 0.1
    assert alike(numbers, 120) == (116, 124)
    assert alike(numbers, 101) == (100, 105)
    assert alike(np.array([1, 2, 2, 2, 9, np.nan], np.float32), 2) == (2, 2)
    like = Predicate(field="year", operator=Operator.LIKE, position=1)
    assert str(resolved(like, FILMS, 3)) == "year 1999–1999"
    assert resolved(like, FILMS, 5) is None


def test_what_is_relative_to_a_shown_item_becomes_a_bound():
    newer = Predicate(field="year", operator=Operator.MORE_THAN, position=1)
    assert meeting(resolved(newer, FILMS, 2)) == {3, 4}
    older = Predicate(field="year", operator=Operator.LESS_THAN, position=1)
    assert meeting(resolved(older, FILMS, 2)) == {0, 1}
    assert resolved(COMEDY, FILMS, 2) is COMEDY


# The same by brute force.


def slowly_meets(predicate: Predicate, genres: tuple[str, ...], year: float) -> bool:
    """One item, one predicate, as the docstrings say it."""
    if predicate.given is not None and not slowly_meets(predicate.given, genres, year):
        return True
    if predicate.operator is Operator.INCLUDE:
        return any(value in genres for value in predicate.values)
    if predicate.operator is Operator.EXCLUDE:
        return not any(value in genres for value in predicate.values)
    low = predicate.low if predicate.operator in (Operator.AT_LEAST, Operator.BETWEEN) else -np.inf
    high = predicate.high if predicate.operator in (Operator.AT_MOST, Operator.BETWEEN) else np.inf
    return low <= year <= high


def slowly_holds(predicate: Predicate, items: list[tuple[tuple[str, ...], float]]) -> bool:
    passing = sum(slowly_meets(predicate, *item) for item in items)
    return passing >= predicate.least and (predicate.most == 0 or passing <= predicate.most)


some_items = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["Comedy", "Drama", "Horror"]), unique=True, max_size=3).map(tuple),
        st.sampled_from([1970.0, 1980.0, 1990.0, 2000.0, np.nan]),
    ),
    min_size=5,
    max_size=12,
)
values = st.lists(st.sampled_from(["Comedy", "Drama", "Horror"]), unique=True, min_size=1, max_size=2).map(tuple)
years = st.sampled_from([1975.0, 1980.0, 1990.0])
tests = st.one_of(
    st.builds(lambda v: {"field": "genre", "operator": Operator.INCLUDE, "values": v}, values),
    st.builds(lambda y: {"field": "year", "operator": Operator.AT_LEAST, "low": y}, years),
    st.builds(lambda y: {"field": "year", "operator": Operator.AT_MOST, "high": y}, years),
    st.builds(lambda y: {"field": "year", "operator": Operator.BETWEEN, "low": y, "high": y + 10}, years),
)
exclusions = st.builds(lambda v: {"field": "genre", "operator": Operator.EXCLUDE, "values": v}, values)


@st.composite
def predicates(draw: st.DrawFn) -> Predicate:
    test = draw(st.one_of(tests, exclusions))
    sort = draw(st.sampled_from(["plain", "count", "given"]))
    if sort == "count":
        least = draw(st.integers(1, 4))
        return Predicate(**test, least=least, most=draw(st.sampled_from([0, least, least + 1])), hard=False)
    if sort == "given":
        return Predicate(**test, given=Predicate(**draw(tests)))
    return Predicate(**test)


@settings(max_examples=150, deadline=None)
@given(some_items, st.lists(predicates(), min_size=1, max_size=4))
def test_arrays_agree_with_plain_python(items, goal):
    catalogue = catalogue_of([genres for genres, _ in items], [year for _, year in items])
    goals = compile_goals([goal], catalogue)
    everything = np.arange(len(items))
    slate = everything[:5]
    met = satisfied(goals, catalogue, everything)[0]
    for place, predicate in enumerate(goal):
        assert met[place].tolist() == [slowly_meets(predicate, *item) for item in items]
        if predicate.least:
            whole = share_met(goals, satisfied(goals, catalogue, slate[None]))[0, place]
            assert whole == slowly_holds(predicate, items[:5])
    np.testing.assert_array_equal(satisfied(goals, catalogue, slate[None])[0], met[:, :5])
    hard = [predicate for predicate in goal if not predicate.least]
    kept = [all(slowly_meets(predicate, *item) for predicate in hard) for item in items]
    assert allowed(goals, catalogue, everything)[0].tolist() == kept
    # What the references reckon with: the weight that is broken, and the met share of the wishes.
    broken, wished = goal_parts(goals, catalogue)
    counts = [predicate for predicate in goal if predicate.least]
    for item, (genres, year) in enumerate(items):
        assert broken[0, item] == sum(not slowly_meets(predicate, genres, year) for predicate in hard)
        met_counts = np.mean([slowly_meets(p, genres, year) for p in counts]) - 0.5 if counts else 0.0
        assert wished[0, item] == pytest.approx(met_counts, abs=1e-6)


# Metrics.


def judged(slate: list[int], *goal: Predicate) -> tuple[Goals, np.ndarray]:
    goals = compile_goals([goal], FILMS)
    return goals, satisfied(goals, FILMS, np.array([slate]))


def test_a_count_holds_once_a_slate_and_a_condition_position_by_position():
    assert metrics.csr(*judged([1, 2, 5, 0], THREE_COMEDIES))[0] == 1
    assert metrics.csr(*judged([1, 2, 0, 3], THREE_COMEDIES))[0] == 0
    assert metrics.csr(*judged([1, 2, 5, 0], THREE_COMEDIES, OLD_HORROR))[0] == pytest.approx((1 + 0.75) / 2)
    assert metrics.strict(*judged([1, 2, 5, 0], THREE_COMEDIES, OLD_HORROR))[0] == 0.75
    assert np.isnan(metrics.csr_include(*judged([1, 2], THREE_COMEDIES))[0])
    assert np.isnan(metrics.csr_range(*judged([1, 2], OLD_HORROR))[0])


def test_goals_that_nothing_meets_are_left_out():
    goals, met = judged([0, 1], COMEDY, Predicate(field="genre", operator=Operator.EXCLUDE, values=("Comedy",)))
    assert metrics.csr(goals, met)[0] == 0.5
    goals.feasible[:] = False
    for measure in (metrics.csr, metrics.csr_hidden, metrics.strict, metrics.strict_slate, metrics.violation):
        assert np.isnan(measure(goals, met)[0])


def test_predicates_that_differ_only_in_what_they_depend_on_are_told_apart():
    goals = compile_goals([[OLD_HORROR, OLD], [Predicate(**{**vars(OLD_HORROR), "given": COMEDY}), OLD]], FILMS)
    matches, rows = metrics.matching(goals, FILMS)
    assert len(matches) == 3
    assert rows[0, 1] == rows[1, 1]
    np.testing.assert_array_equal(matches[rows], satisfied(goals, FILMS, ALL))


# What does not go together, and what is written down.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"least": 3, "most": 2}, "1 <= least <= most"),
        ({"most": 2}, "1 <= least <= most"),
        ({"least": -1}, "1 <= least <= most"),
        ({"least": 2, "given": HORROR}, "cannot be counted"),
        ({"given": THREE_COMEDIES}, "can depend on an inclusion or a range"),
        ({"given": OLD_HORROR}, "can depend on an inclusion or a range"),
        ({"believed": OLD}, "not volunteered"),
        ({"believed": THREE_COMEDIES, "reveal": Reveal.ON_VIOLATION}, "mistaken for a plain test"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy",), **settings)


def test_likeness_needs_a_position_and_a_shown_slate():
    with pytest.raises(ValueError, match="counted from 1"):
        Predicate(field="genre", operator=Operator.LIKE)
    with pytest.raises(ValueError, match="speaks of a shown slate"):
        compile_goals([[Predicate(field="genre", operator=Operator.LIKE, position=1)]], FILMS)
    with pytest.raises(ValueError, match="cannot compare 'year'"):
        resolved(Predicate(field="year", operator=Operator.UNLIKE, position=1), FILMS, 0)


def test_they_read_well():
    assert str(OLD_HORROR) == "if genre: Horror: year ≤ 1979"
    assert str(THREE_COMEDIES) == "at least 3 of genre: Comedy"
    assert str(TWO_NINETIES) == "2 of year 1990–1999"
    assert str(Predicate(field="genre", operator=Operator.LIKE, position=3)) == "genre like that of no. 3"


def test_a_predicate_that_uses_none_of_it_is_written_as_before():
    assert "least" not in repr(COMEDY)
    assert "given" not in repr(COMEDY)
    assert "least=3" in repr(THREE_COMEDIES)
    assert repr(HORROR) in repr(OLD_HORROR)
