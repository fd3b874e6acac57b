"""Comparisons with shown items become bounds, whatever slate they were about."""

from __future__ import annotations

import numpy as np
import pytest

from instructrec.agents.comparisons import LAST, PLACES, Comparison, Comparisons, chosen, comparison_width

SIZE = np.array([9.0, 1.0, 2.0, 3.0, 4.0, 9.0, 5.0, 6.0, 9.0], np.float32)
"""Four steps of a year at 1 to 4, two of a price at 6 and 7; the others are of no step."""
STEPS = np.array([[1, 5], [6, 8]])
YEARS, PRICES = [0, 1, 2, 3, 4], [2, 1, 0, 1, 2]


@pytest.fixture
def comparisons() -> Comparisons:
    table = np.full((5, 9), -1.0, np.float32)
    for item, (year, price) in enumerate(zip(YEARS, PRICES, strict=True)):
        table[item, 1 : 1 + year] = table[item, 6 : 6 + price] = 0.5
    return Comparisons.of(table, STEPS, SIZE)


def said(**chances: float) -> np.ndarray:
    """Chances by name: year_up, price_up, year_down, price_down, and p0, p1, ... and last."""
    ways = ["year_up", "price_up", "year_down", "price_down"]
    names = [*ways, *(f"p{place}" for place in range(PLACES)), "last"]
    found = np.zeros((1, comparison_width(2)), np.float32)
    for name, chance in chances.items():
        found[0, names.index(name)] = chance
    return found


@pytest.mark.parametrize(
    ("chances", "slate", "wanted"),
    [
        ({"year_up": 1, "p1": 1}, [4, 2, 0], {3: 3.0}),
        ({"year_down": 1, "p1": 1}, [4, 2, 0], {2: -2.0}),
        ({"price_down": 1, "last": 1}, [4, 2, 0], {7: -6.0}),
        ({"price_up": 1, "p2": 1}, [0, 0, 2], {6: 5.0}),
        ({"year_up": 0.5, "p1": 0.5, "p2": 0.5}, [4, 2, 0], {3: 0.75, 1: 0.25}),
        ({"year_up": 1, "last": 1}, [1, 3, -1], {4: 4.0}),
        ({"year_up": 1, "p0": 1}, [4, 2, 0], {}),
        ({"year_down": 1, "p0": 1}, [0, 2, 4], {}),
        ({"year_up": 1, "p3": 1}, [4, 2, 0], {}),
        ({"year_up": 1, "p1": 1}, [-1, -1, -1], {}),
        ({"year_up": 0.01, "p1": 1}, [4, 2, 0], {}),
    ],
    ids=[
        *("newer", "older", "cheaper than the last", "dearer", "unsure of the place", "the last that there is"),
        *("nothing is newer", "nothing is older", "beyond the slate", "nothing was shown", "hardly heard"),
    ],
)
def test_a_bound_is_the_step_next_to_the_shown_items(comparisons, chances, slate, wanted) -> None:
    expected = np.zeros(9, np.float32)
    for place, weight in wanted.items():
        expected[place] = weight
    np.testing.assert_allclose(comparisons.wishes(said(**chances), np.array([slate]))[0], expected)


def test_texts_do_not_touch_each_other(comparisons) -> None:
    texts = [said(year_up=1, p1=1), said(), said(price_down=0.7, last=1)]
    slates = np.array([[4, 2, 0], [1, 1, 1], [0, 3, 4]])
    together = comparisons.wishes(np.concatenate(texts), slates)
    for row, text in enumerate(texts):
        np.testing.assert_array_equal(together[row], comparisons.wishes(text, slates[row : row + 1])[0])


def test_slates_longer_than_words_reach_are_told_as_far_as_they_do(comparisons) -> None:
    slate = np.array([[4] * PLACES + [0] * 5])
    assert comparisons.wishes(said(year_down=1, p9=1), slate)[0, 4] == -4
    assert comparisons.wishes(said(year_up=1, last=1), slate)[0, 1] == 1


def test_without_numbers_there_is_nothing_to_compare() -> None:
    none = Comparisons.of(np.ones((5, 9), np.float32), np.zeros((0, 2), np.int64), SIZE)
    chances = np.ones((2, comparison_width(0)), np.float32)
    assert not none.wishes(chances, np.array([[0, 1], [2, 3]])).any()


def test_a_choice_is_one_of_each() -> None:
    numbers = ("year", "price")
    for comparison, ones in (
        (None, (0, 5)),
        (Comparison("price", True, 0), (2, 6)),
        (Comparison("year", False, 9), (3, 15)),
        (Comparison("year", True, LAST), (1, 16)),
    ):
        found = chosen(comparison, numbers)
        assert len(found) == 2 + comparison_width(2)
        assert tuple(np.flatnonzero(found)) == ones
