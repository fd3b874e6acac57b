"""What can be asked of items, and how a set of items is told by what they have."""

from __future__ import annotations

import numpy as np
import pytest

from instructrec.agents.attributes import attributes_of, steps
from instructrec.catalogue import Catalogue, Column

GENRES = ("Comedy", "Horror", "Western", "Drama")


def catalogue_of(*columns: Column) -> Catalogue:
    size = len(columns[0].numbers)
    return Catalogue(
        columns={column.name: column for column in columns},
        titles=tuple(f"t{item}" for item in range(size)),
        texts=tuple(f"text {item}" for item in range(size)),
        item_ids=tuple(str(item) for item in range(size)),
        popularity=np.ones(size, np.float32),
    )


@pytest.fixture
def genre() -> Column:
    rng = np.random.default_rng(0)
    return Column.multi_valued("genre", [tuple(rng.choice(GENRES, 1 + i % 2, replace=False)) for i in range(300)])


@pytest.fixture
def year() -> Column:
    years = np.random.default_rng(1).integers(1950, 2020, 300).astype(np.float32)
    years[3] = np.nan
    return Column.numeric("year", years)


def test_at_least_and_at_most_are_single_steps_and_missing_is_its_own(year):
    numbers = year.numbers
    bases = steps(numbers, 7)
    for step in bases[:, :-2].T:
        above, below = numbers[step == 1], numbers[step == 0]
        assert np.nanmin(above) > np.nanmax(below[~np.isnan(below)]) or np.isnan(numbers[3])
    known = ~np.isnan(numbers)
    for decade in range(1960, 2020, 10):  # People put their bounds at round numbers.
        wanted = (numbers >= decade)[known]
        assert any(np.array_equal(step[known] == 1, wanted) for step in bases[:, :-2].T), decade
    assert bases[:, -1].tolist() == np.isnan(numbers).astype(float).tolist()


def test_few_distinct_numbers_have_a_step_between_each():
    assert steps(np.array([1.0, 3.0, 2.0, 3.0]), 16)[:, :2].tolist() == [[0, 0], [1, 1], [1, 0], [1, 1]]


def test_a_number_that_no_item_has_is_a_rank_and_missing_everywhere():
    assert steps(np.full(3, np.nan), 8).tolist() == [[0, 1]] * 3


@pytest.mark.parametrize("value", range(4))
def test_a_value_is_told_by_itself_and_its_lack_by_the_opposite(genre, year, value):
    attributes = attributes_of(catalogue_of(genre, year))
    has = genre.indicators()[:, value] > 0
    alone = np.eye(attributes.table.shape[1])[value]
    for sign, items in ((1, has), (-1, ~has)):
        weights, either = attributes.described(items)
        assert weights.tolist() == (sign * alone).tolist()
        assert not either.any()


def test_two_values_together_either_of_them_and_neither_are_three_things(genre, year):
    attributes = attributes_of(catalogue_of(genre, year))
    has = genre.indicators()[:, 1:3] > 0
    for items, weight, choice in ((has.all(axis=1), 1, 0), (has.any(axis=1), 0, 1), (~has.any(axis=1), -1, 0)):
        weights, either = attributes.described(items)
        assert weights[:4].tolist() == [0, weight, weight, 0]
        assert either.tolist() == [0, choice, choice, 0]
        assert not weights[4:].any()


def test_all_items_and_none_are_told_by_nothing(genre, year):
    attributes = attributes_of(catalogue_of(genre, year))
    for items in (np.ones(300, np.bool_), np.zeros(300, np.bool_)):
        assert not np.concatenate(attributes.described(items)).any()


def test_what_no_column_tells_exactly_is_told_as_well_as_can_be(genre, year):
    attributes = attributes_of(catalogue_of(genre, year))
    one, other = genre.indicators()[:, 0] > 0, genre.indicators()[:, 1] > 0
    weights, _ = attributes.described(one & ~other)
    told = attributes.table @ weights
    assert told[one & ~other].min() > max(told[one & other].max(), told[~one].max())


def test_a_range_begins_at_one_step_and_ends_at_another(genre, year):
    attributes = attributes_of(catalogue_of(genre, year))
    within = (year.numbers >= 1980) & (year.numbers < 1990)
    told, _ = attributes.described(within)
    assert sorted(told[told != 0]) == [-1, 1]
    reached = attributes.table @ told > 0.5
    assert (reached == within)[~np.isnan(year.numbers)].all()


def test_a_bound_between_steps_is_told_by_the_nearest(genre):
    price = Column.numeric("price", np.random.default_rng(2).lognormal(4, 1, 300).astype(np.float32))
    attributes = attributes_of(catalogue_of(genre, price))
    bound = float(np.quantile(price.numbers, 0.37))
    told, _ = attributes.described(price.numbers <= bound)
    assert told[attributes.steps[0]].sum() == pytest.approx(-1, abs=0.01)
    assert not told[: attributes.num_values].any()


@pytest.mark.parametrize("kept", ["genre", "year"])
def test_a_catalogue_may_have_only_values_or_only_numbers(genre, year, kept):
    column = {"genre": genre, "year": year}[kept]
    attributes = attributes_of(catalogue_of(column))
    assert attributes.num_values == (4 if kept == "genre" else 0)
    assert np.isfinite(attributes.scaled).all()
    meant = genre.indicators()[:, 0] > 0 if kept == "genre" else year.numbers >= 2000
    assert attributes.described(meant)[0].argmax() in ([0] if kept == "genre" else range(70))


def test_weights_of_scaled_attributes_count_as_those_of_the_attributes_themselves(genre, year):
    attributes = attributes_of(catalogue_of(genre, year))
    told, _ = attributes.described(year.numbers >= 1990)
    scores = attributes.scaled @ (told * attributes.spread)
    np.testing.assert_allclose(scores - scores.max(), attributes.table @ told - 1, atol=1e-6)


def test_values_are_named_as_wanted_or_refused_by_the_fewest_names(genre, year):
    attributes = attributes_of(catalogue_of(genre, year))
    has = genre.indicators() > 0
    for items, signs in (
        (has[:, 1], [0, 1, 0, 0]),
        (~has[:, 1], [0, -1, 0, 0]),
        (has[:, 1:3].any(axis=1), [0, 1, 1, 0]),
        (~has[:, 1:3].any(axis=1), [0, -1, -1, 0]),
        (year.numbers > 1990, [0, 0, 0, 0]),
    ):
        assert attributes.named(items).tolist() == signs


def test_to_refuse_one_of_many_is_not_to_want_all_the_others(year):
    # Every item has one value: those that are not red are green, blue or black.
    colour = Column.multi_valued("colour", [(("red", "green", "blue", "black")[i % 4],) for i in range(300)])
    attributes, red = attributes_of(catalogue_of(colour, year)), colour.values.index("red")
    signs = attributes.named(~(colour.indicators()[:, red] > 0))
    assert np.flatnonzero(signs).tolist() == [red]
    assert signs[red] == -1
