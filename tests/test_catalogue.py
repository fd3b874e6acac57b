"""Catalogues: four sorts of attribute, and errors that say what is wrong with one."""

from dataclasses import replace

import numpy as np
import pytest

from instructrec.catalogue import MAX_VALUES, Catalogue, Column, Kind


def catalogue(**changes):
    columns = (
        Column.multi_valued("genre", [("Comedy",), ("Drama", "Horror"), ()]),
        Column.categorical("language", ["en", None, "fr"]),
        Column.ordinal("age", ["kids", "adults", None], levels=["kids", "teens", "adults"]),
        Column.numeric("year", [1999, np.nan, 2005]),
    )
    parts = {
        "columns": {column.name: column for column in columns},
        "titles": ("A", "B", "C"),
        "texts": ("a film", "b film", "c film"),
        "item_ids": ("1", "2", "3"),
        "popularity": np.array([3, 0, 1], np.float32),
    }
    return Catalogue(**(parts | changes))


def test_each_sort_of_column_holds_what_it_was_given():
    columns = catalogue().columns
    assert [column.kind for column in columns.values()] == [
        Kind.MULTI_VALUED,
        Kind.CATEGORICAL,
        Kind.ORDINAL,
        Kind.NUMERIC,
    ]
    assert columns["genre"].values == ("Comedy", "Drama", "Horror")
    np.testing.assert_array_equal(columns["genre"].indicators(), [[1, 0, 0], [0, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(columns["language"].indicators(), [[1, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(columns["age"].numbers, [0, 2, np.nan])
    np.testing.assert_array_equal(columns["year"].numbers, [1999, np.nan, 2005])


def test_set_columns_have_no_numbers_and_number_columns_no_sets():
    for column in catalogue().columns.values():
        empty = np.isnan(column.numbers) if column.is_set else column.masks == 0
        assert empty.all()


def test_the_masks_of_sixty_four_values_are_all_different():
    column = Column.multi_valued("tag", [(f"{n:02}",) for n in range(MAX_VALUES)])
    assert len(np.unique(column.masks)) == MAX_VALUES
    np.testing.assert_array_equal(column.indicators(), np.eye(MAX_VALUES))
    assert column.mask_of(["63"]) == 1 << 63


def test_values_given_keep_their_order_and_may_go_unused():
    column = Column.multi_valued("genre", [("B",), ("A", "C")], values=["C", "B", "A", "Unused"])
    assert column.values == ("C", "B", "A", "Unused")
    np.testing.assert_array_equal(column.indicators(), [[0, 1, 0, 0], [1, 0, 1, 0]])


def test_a_mask_is_the_union_of_its_values():
    column = catalogue().column("genre")
    assert column.mask_of(["Comedy", "Horror"]) == column.mask_of(["Comedy"]) | column.mask_of(["Horror"])
    assert column.mask_of([]) == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Column.multi_valued("genre", [("Comdy",)], values=["Comedy"]), "item 0: .*did you mean 'Comedy'"),
        (lambda: Column.multi_valued("genre", [(str(n),) for n in range(65)]), "65 different values.*at most 64"),
        (lambda: Column.ordinal("age", ["kid"], levels=["kids", "adults"]), "item 0: .*did you mean 'kids'"),
        (lambda: Column.numeric("year", [1999, np.inf]), "'year' of item 1 is infinite"),
        (lambda: Column.numeric("year", np.zeros((2, 2))), "one number per item"),
        (lambda: catalogue().column("genre").mask_of(["Comdy"]), "did you mean 'Comedy'"),
        (lambda: catalogue().column("gendre"), "did you mean 'genre'"),
        (lambda: catalogue().place("jahr"), "known: age, genre, language, year"),
    ],
)
def test_a_wrong_column_or_name_is_explained(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"titles": ()}, "the catalogue is empty"),
        ({"texts": ("only one",)}, "3 titles, but {'texts': 1}"),
        ({"item_ids": ("1", "2")}, "'item_ids': 2"),
        ({"columns": {"year": Column.numeric("year", [1.0])}}, "\"column 'year'\": 1"),
        ({"item_ids": ("1", "2", "1")}, "item id '1' occurs more than once"),
        ({"popularity": np.array([0, -1, 0], np.float32)}, "popularity of item 1 is -1"),
        ({"popularity": np.array([0, 1, np.nan], np.float32)}, "popularity of item 2 is nan"),
        ({"popularity": np.array([np.inf, 1, 1], np.float32)}, "popularity of item 0 is inf"),
    ],
)
def test_a_wrong_catalogue_is_explained(changes, message):
    with pytest.raises(ValueError, match=message):
        catalogue(**changes)


def test_rows_of_masks_and_numbers_are_the_columns_side_by_side():
    items = catalogue()
    for name, column in items.columns.items():
        np.testing.assert_array_equal(items.masks[:, items.place(name)], column.masks)
        np.testing.assert_array_equal(items.numbers[:, items.place(name)], column.numbers)


def test_equal_content_has_equal_fingerprints():
    assert catalogue().fingerprint == catalogue().fingerprint


@pytest.mark.parametrize(
    "changes",
    [
        {"titles": ("A", "B", "D")},
        {"texts": ("a film", "b film", "d film")},
        {"item_ids": ("1", "2", "4")},
        {"popularity": np.array([3, 0, 2], np.float32)},
        {"columns": {"year": Column.numeric("year", [1, 2, 3])}},
    ],
)
def test_any_change_changes_the_fingerprint(changes):
    assert catalogue(**changes).fingerprint != catalogue().fingerprint


def test_values_and_numbers_enter_the_fingerprint():
    columns = catalogue().columns
    for column in columns.values():
        changed = (
            replace(column, masks=column.masks[::-1])
            if column.is_set
            else replace(column, numbers=column.numbers[::-1])
        )
        assert catalogue(columns={**columns, column.name: changed}).fingerprint != catalogue().fingerprint
