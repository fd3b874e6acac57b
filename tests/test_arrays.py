"""Records: taking rows out of dataclasses of arrays and putting them back."""

from dataclasses import dataclass

import numpy as np
import pytest

from instructrec.arrays import arrays_of, is_shared, put, row_products, rows_of, some_rows, stacked, take


@dataclass(frozen=True)
class Inner:
    score: np.ndarray


@dataclass(frozen=True)
class Outer:
    item: np.ndarray
    inner: Inner
    absent: Inner | None = None


def record(size=5):
    return Outer(np.arange(2 * size).reshape(size, 2), Inner(np.arange(size) * 0.5))


@pytest.mark.parametrize("rows", [np.array([3, 0]), np.array([True, False, False, True, False]), slice(1, 4)])
def test_take_keeps_the_chosen_rows_of_nested_records(rows):
    taken = take(record(), rows)
    np.testing.assert_array_equal(taken.item, record().item[rows])
    np.testing.assert_array_equal(taken.inner.score, record().inner.score[rows])
    assert taken.absent is None


@pytest.mark.parametrize("rows", [np.array([0, 1]), np.ones(5, np.bool_), slice(0, 2)])
def test_what_is_taken_shares_no_memory(rows):
    original = record()
    taken = take(original, rows)
    taken.item[:] = -1
    taken.inner.score[:] = -1
    np.testing.assert_array_equal(original.item, record().item)
    np.testing.assert_array_equal(original.inner.score, record().inner.score)


@pytest.mark.parametrize("rows", [np.array([4, 1]), np.array([False, True, False, False, True])])
def test_put_undoes_take_and_leaves_the_original_alone(rows):
    original, blank = record(), take(record(), np.zeros(5, np.int64))
    mixed = put(blank, rows, take(original, rows))
    np.testing.assert_array_equal(mixed.item[rows], original.item[rows])
    np.testing.assert_array_equal(mixed.inner.score[rows], original.inner.score[rows])
    others = np.setdiff1d(np.arange(5), np.arange(5)[rows])
    np.testing.assert_array_equal(mixed.item[others], blank.item[others])
    np.testing.assert_array_equal(blank.item, take(original, np.zeros(5, np.int64)).item)


def test_arrays_have_dotted_names_and_absent_records_none():
    assert [name for name, _ in arrays_of(record())] == ["item", "inner.score"]


def test_the_number_of_rows_is_common_to_all_arrays():
    assert rows_of(record(7)) == 7
    with pytest.raises(ValueError, match=r"one row per user.*'item': 5.*'inner\.score': 3"):
        rows_of(Outer(record().item, Inner(np.zeros(3))))


@pytest.mark.parametrize("rows", [np.array([3, 0, 0]), np.array([True, False, True, False, False]), slice(1, 4)])
def test_rows_that_share_their_memory_go_on_sharing_it(rows):
    shared = np.broadcast_to(np.arange(7), (5, 7))
    for own in (shared, shared.copy()):
        np.testing.assert_array_equal(some_rows(own, rows), own[rows])
        np.testing.assert_array_equal(stacked([own, own[:2]]), np.concatenate([own, own[:2]]))
    assert is_shared(some_rows(shared, rows))
    assert is_shared(stacked([shared, shared[:2]]))
    assert not is_shared(stacked([shared, np.broadcast_to(np.arange(1, 8), (2, 7))]))
    assert not is_shared(stacked([shared, shared.copy()]))


@pytest.mark.parametrize("thing", [3, {"item": np.zeros(2)}, Outer])
def test_only_dataclasses_of_arrays_are_records(thing):
    with pytest.raises(TypeError, match="expected a dataclass of arrays"):
        take(thing, np.array([0]))


@pytest.mark.parametrize("width", [1, 5])
def test_row_products_are_sums(width):
    rng = np.random.default_rng(width)
    rows, blocks = rng.normal(size=(7, width)), rng.normal(size=(7, 3, width))
    wanted = [[sum(row * vector) for vector in block] for row, block in zip(rows, blocks, strict=True)]
    np.testing.assert_allclose(row_products(rows, blocks), wanted)


def test_row_products_are_zeros_where_there_is_nothing_to_sum():
    rows = np.full((7, 9), np.nan)[:, :0]
    blocks = np.broadcast_to(np.nan, (7, 3, 0))  # The memory that they do not stretch over is NaN.
    np.testing.assert_array_equal(row_products(rows, blocks), np.zeros((7, 3)))
