"""What the agent asks itself about numbers: the words fit what a unit counts, and mean the right items."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from instructrec.agents.prompts import EnglishPrompts
from instructrec.agents.wordings_of_amounts import ANY
from instructrec.catalogue import Catalogue, Column

SIZE = 1200
WEEK = r"(?:up to|at most|under|within|not over|no more than|from the last) (?:(?:a |one |1 )?week|(?:seven|7) days)"
Meant = Callable[[np.ndarray, float], np.ndarray]


def below(numbers: np.ndarray, bound: float) -> np.ndarray:
    return numbers <= bound


def above(numbers: np.ndarray, bound: float) -> np.ndarray:
    return numbers >= bound


@pytest.fixture(scope="module")
def goods() -> Catalogue:
    rng = np.random.default_rng(0)
    hours = np.round(rng.exponential(60, SIZE)).astype(np.float32).clip(0, 400)
    columns = [
        Column.numeric("price", np.round(rng.lognormal(4, 1, SIZE)).astype(np.float32)),
        Column.numeric("age", hours),
        Column.numeric("minutes", np.arange(SIZE, dtype=np.float32) % 120 + 1),
        Column.numeric("days", np.arange(SIZE, dtype=np.float32) % 400),
        Column.numeric("weight", np.linspace(1, 30, SIZE).astype(np.float32)),
        Column.ordinal("range", [("budget", "middle", "premium")[i % 3] if i % 7 else None for i in range(SIZE)],
                       ("budget", "middle", "premium")),
    ]  # fmt: skip
    names = tuple(str(i) for i in range(SIZE))
    return Catalogue(
        columns={column.name: column for column in columns},
        titles=names,
        texts=names,
        item_ids=names,
        popularity=np.ones(SIZE, np.float32),
        units={"price": "euros", "age": "hours", "minutes": "minutes", "days": "days", "weight": "kilos"},
    )


@pytest.fixture(scope="module")
def asked(goods: Catalogue) -> dict[str, dict[str, np.ndarray]]:
    """By column, what is asked for by which words."""
    words = EnglishPrompts(goods, {}, np.random.default_rng(1))
    return {
        name: {part.words: part.items for part in (words.of_number(column) for _ in range(6000))}
        for name, column in goods.columns.items()
    }


@pytest.mark.parametrize(
    ("column", "pattern", "meant"),
    [
        ("price", r"with a budget of (\d+) euros", below),
        ("price", r"(?:my budget is|for under|I can afford) €(\d+)", below),
        ("price", r"I can spend (\d+) euros", below),
        ("price", r"nothing cheaper than (\d+) euros?", above),
        ("price", r"under (\d+) €", below),
        ("minutes", r"I have (\d+) minutes", below),
        ("minutes", r"longer than (\d+) minutes", above),
        ("age", r"from the last (\d+) hours", below),
        ("age", r"older than (\d+) hours", above),
        ("days", r"not older than (\d+) days", below),
        ("days", r"that lasts at most (\d+) days", below),
        ("weight", r"at least (\d+) kilos", above),
        ("weight", r"up to (\d+) kilos", below),
    ],
)
def test_a_bound_means_the_items_within_it(goods, asked, column: str, pattern: str, meant: Meant) -> None:
    found = [(re.fullmatch(pattern, words), items) for words, items in asked[column].items()]
    matches = [(float(match.group(1)), items) for match, items in found if match]
    assert matches
    for bound, items in matches:
        np.testing.assert_array_equal(items, meant(goods.column(column).numbers, bound))


@pytest.mark.parametrize(
    ("column", "words", "least", "most"),
    [
        ("age", "from today", 0, 24),
        ("age", "since yesterday", 0, 48),
        ("age", "from this week", 0, 168),
        ("age", "of the last day", 0, 24),
        ("minutes", "in half an hour or less", 0, 30),
        ("minutes", "longer than an hour", 60, 999),
        ("days", WEEK, 0, 7),
    ],
)
def test_times_are_called_what_people_call_them(goods, asked, column: str, words: str, least: int, most: int) -> None:
    numbers = goods.column(column).numbers
    found = [items for said, items in asked[column].items() if re.fullmatch(words, said)]
    assert found
    for items in found:
        np.testing.assert_array_equal(items, (numbers >= least) & (numbers <= most))


def test_what_is_said_fits_what_is_counted(asked: dict[str, dict[str, np.ndarray]]) -> None:
    spoken = {column: " ".join(words) for column, words in asked.items()}
    assert "budget of" in spoken["price"]
    for other in ("age", "minutes", "days", "weight"):
        assert not re.search("budget|€", spoken[other])
    assert [" ago" in spoken[column] for column in ("age", "minutes")] == [True, False]
    assert ["brief" in spoken[column] for column in ("minutes", "age", "weight")] == [True, False, False]
    assert not re.search(r"(?:last|past) (?:a|an|one) ", spoken["age"])


def test_all_ways_of_any_amount_are_used(asked: dict[str, dict[str, np.ndarray]]) -> None:
    spoken = "\n".join(asked["weight"])
    for ways in (ANY.at_most, ANY.at_least, ANY.between):
        for way in ways:
            assert re.search(re.escape(way).replace(r"\{\}", ".+"), spoken), way


@pytest.mark.parametrize(
    ("words", "levels"),
    [
        ("budget", {0}),
        ("premium", {2}),
        ("of the middle range", {1}),
        ("middle or better", {1, 2}),
        ("nothing above middle", {0, 1}),
        ("not budget", {1, 2}),
    ],
)
def test_levels_are_named(goods, asked, words: str, levels: set[int]) -> None:
    numbers = goods.column("range").numbers
    np.testing.assert_array_equal(asked["range"][words], np.isin(numbers, list(levels)))


@pytest.mark.parametrize(
    ("column", "less", "more"),
    [("price", "cheaper", "pricier"), ("minutes", "shorter", "longer"), ("age", "fresher", "older")],
)
def test_more_and_less_of_it_have_their_own_words(goods: Catalogue, column: str, less: str, more: str) -> None:
    words = EnglishPrompts(goods, {}, np.random.default_rng(2))
    up, down = ({words.compared(goods.column(column), side) for _ in range(300)} for side in (True, False))
    assert (more in up, less in up) == (True, False)
    assert (more in down, less in down) == (False, True)
