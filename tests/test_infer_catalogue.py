"""A catalogue from people's own data: what columns are concluded to be, and what becomes of them."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.catalogue import Kind
from instructrec.envs.column_roles import guess_attribute
from instructrec.envs.infer_attributes import OTHER, Use, describe, infer_attributes, reading_losses
from instructrec.envs.infer_catalogue import infer_catalogue
from instructrec.envs.interactions import Attribute, AttributeKind, Feedback, Interactions
from instructrec.envs.movielens import DATA, Ratings, shipped
from instructrec.envs.number_cells import numbers_of
from instructrec.envs.read_data import read_data

NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel", "Ivy", "Juniper", "Kauri", "Larch")


def record_of(columns, *, count=12, feedback=Feedback.RATINGS, numbers=None):
    """Returns a record in which person p rated item i = p modulo the items, and person 0 rated everything else too."""
    item = np.r_[np.arange(count), np.arange(count)].astype(np.int32)
    person = np.r_[np.zeros(count), np.arange(1, count + 1)].astype(np.int32)
    rating = np.asarray(numbers if numbers is not None else 1 + np.arange(2 * count) % 5, np.float32)
    ratings = Ratings(person, item, rating, np.zeros(2 * count, np.int64), tuple(f"p{n}" for n in range(count + 1)))
    attributes = {name: cells if isinstance(cells, Attribute) else guess_attribute(name, cells)
                  for name, cells in columns.items()}  # fmt: skip
    return Interactions("here", "tables", ratings, feedback, (1, 5), tuple(f"i{n}" for n in range(count)), attributes)


def finding(name, cells, **options):
    found = infer_attributes(record_of({name: cells}, count=len(cells), **options))
    return found[0]


def test_a_tables_columns_become_typed_attributes_title_and_texts():
    record = record_of(
        {
            "Product Title": [f"{name} chair" for name in NAMES],
            "releaseYear": ["1999", "2001", "2003", "2005", "2007", "2009", "2011", "2013", "2015", "2017", "2019", ""],
            "price": [f"${n + 1},000.50" for n in range(12)],
            "brand": ["Ikko", "Ikko", "Ruhl", "Ruhl", "Ruhl", "Ruhl", "Sedia", "Sedia", "Sedia", "Sedia", "N/A", ""],
            "rooms": ["hall|bath", "hall", "bath", "hall", "bath|attic", "attic", "", "hall", "hall", "", "", ""],
            "legs": ["3", "4", "5", "3", "4", "4", "4", "4", "4", "4", "4", "4"],
            "foldable": ["0", "1"] * 6,
            "size": ["S", "M", "L"] * 4,
            "blurb": ["It stands well in any room that has a floor of wood. It creaks."] * 6
            + ["It leans against the wall when nobody is sitting on it, says the maker."] * 6,
        }
    )  # fmt: skip
    catalogue = infer_catalogue(record, noun="chair")
    assert {name: (column.kind, column.values) for name, column in catalogue.columns.items()} == {
        "release_year": (Kind.NUMERIC, ()),
        "price": (Kind.NUMERIC, ()),
        "brand": (Kind.CATEGORICAL, ("Ikko", "Ruhl", "Sedia")),
        "rooms": (Kind.MULTI_VALUED, ("attic", "bath", "hall")),
        "legs": (Kind.ORDINAL, ("3", "4", "5")),
        "foldable": (Kind.CATEGORICAL, ("no", "yes")),
        "size": (Kind.ORDINAL, ("S", "M", "L")),
        "rating": (Kind.NUMERIC, ()),
        "popularity": (Kind.NUMERIC, ()),
    }
    likes = {found.name: found.like for found in infer_attributes(record) if found.like}
    assert likes == {"release_year": "year", "price": "price"}
    assert catalogue.titles[0] == "Alder chair"
    assert catalogue.texts[0] == (
        "Alder chair, a chair with brand Ikko, with rooms hall and bath, with legs 3, without foldable, with size S, "
        "from 1999, for 1000.50: It stands well in any room that has a floor of wood. It creaks."
    )
    np.testing.assert_array_equal(catalogue.column("price").numbers[:2], np.float32([1000.5, 2000.5]))
    assert np.isnan(catalogue.column("release_year").numbers[11])
    assert catalogue.column("brand").masks[10] == catalogue.column("brand").masks[11] == 0
    np.testing.assert_array_equal(catalogue.column("foldable").indicators()[:2], [[1, 0], [0, 1]])


def test_popularity_and_mean_rating_come_from_the_interactions_as_movielens_does_it():
    films, _ = shipped()
    catalogue = infer_catalogue(read_data(DATA / "ml-latest-small.zip"))
    for name in ("rating", "popularity", "year"):
        np.testing.assert_allclose(catalogue.column(name).numbers, films.column(name).numbers, rtol=1e-6)
    np.testing.assert_array_equal(catalogue.popularity, films.popularity)
    assert catalogue.column("genre").values == films.column("genre").values
    np.testing.assert_array_equal(catalogue.column("genre").masks, films.column("genre").masks)
    assert catalogue.item_ids == films.item_ids
    assert catalogue.column("tags").values.count(OTHER) == 1


def test_clicks_make_popularity_but_no_rating_and_what_was_passed_over_makes_none():
    record = record_of({}, feedback=Feedback.CLICKS, numbers=[0] * 12 + [3] * 11 + [0])
    catalogue = infer_catalogue(record)
    assert list(catalogue.columns) == ["popularity"]
    np.testing.assert_array_equal(catalogue.popularity, [1] * 11 + [0])
    assert catalogue.titles[3] == "item i3"
    assert catalogue.texts[3] == "item i3, an item."


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("product_id", ["x", "x", "y"] * 4, "an id or code, by its name"),
        ("", [str(n) for n in range(12)], "a running number"),
        ("page", [f"https://shop/{n % 3}" for n in range(12)], "web addresses"),
        ("hash", [f"{n % 3}a5e1c7d9b3f0" for n in range(12)], "codes that nobody says"),
        ("country", ["Peru"] * 12, r"the same for every item \('Peru'\)"),
        ("weight", ["2.5"] * 12, "the same for every item"),
        ("owner", [f"{name}!" for name in NAMES], "different for nearly every item"),
        ("nothing", [""] * 12, "empty"),
        ("note", ["", "unknown"] * 6, "empty"),
    ],
)
def test_ids_codes_and_what_says_nothing_are_left_out_with_the_reason(name, cells, why):
    record = record_of({"title": [f"Tree {each}" for each in NAMES], name: cells})
    found = infer_attributes(record)[1]
    assert found.use is Use.LEFT_OUT
    assert re.search(why, found.why)
    assert f"left out: {found.why}" in describe(infer_attributes(record))
    assert list(infer_catalogue(record).columns) == ["rating", "popularity"]


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1999-05-02", "2003-01-01T10:00:00Z", ""], [1999, 2003, np.nan]),
        (["02-May-1999", "01-Jan-2003", "?"], [1999, 2003, np.nan]),
        (["1999", "2003", "0"], [1999, 2003, np.nan]),
        (["925603200", "1041379200", ""], [1999, 2003, np.nan]),
        (["925603200000", "1041379200000", ""], [1999, 2003, np.nan]),
    ],
)
def test_dates_and_times_become_years(cells, numbers):
    found = finding("release_date", cells * 4)
    assert (found.use, found.kind, found.like) == (Use.ATTRIBUTE, Kind.NUMERIC, "year")
    np.testing.assert_array_equal(numbers_of(guess_attribute("release_date", cells), "year"), numbers)


@pytest.mark.parametrize(
    ("name", "cells", "kind", "told"),
    [
        ("price", ["cheap", "n/a", *map(str, range(20, 30))], Kind.NUMERIC,
         "1 of 12 items have no value; 1 of its values is no prices, left out: 'cheap' (item i0); write a price such "
         "as 12.50, or leave the cell empty"),
        ("pages", ["1.5", "many", *map(str, range(20, 40))], Kind.NUMERIC,
         "1 of its values is no numbers, left out: 'many' (item i1); write a number such as 12.5, or leave"),
        ("price", ["5,50", "6,50", "7,50"] * 4, Kind.CATEGORICAL,
         "12 of its values are no prices, so the column was taken for words, without bounds to ask for: '5,50' "
         "(item i0); write a point for the comma (5.50)"),
        ("weight", ["5,5", "6,5", "7,25"] * 4, Kind.CATEGORICAL, "12 of its values are no numbers, so the column"),
        ("height", ["tall", "tall", "1", "2", "3", "4"] * 2, Kind.CATEGORICAL, "4 of its values are no numbers, so"),
        ("year", ["1999", "19999", "2001"] * 4, Kind.NUMERIC, "4 of its values are no years, left out: '19999'"),
        ("price", ["-3", "4", "5"] * 4, Kind.NUMERIC, "4 of its values are no prices, left out: '-3'"),
        ("colour", ["red", "blue", ""] * 4, Kind.CATEGORICAL, "4 of 12 items have no value"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_a_number_is_counted_and_told_with_its_place_and_cure(name, cells, kind, told):
    record = record_of({name: cells}, count=len(cells))
    findings = infer_attributes(record)
    assert findings[0].kind is kind
    assert told in reading_losses(record, findings)[name]
    assert infer_catalogue(record).columns[name].kind is kind


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("colour", ["red", "blue", "green"] * 4),
        ("price", ["low", "high", "higher"] * 4),
        ("sizes", ["1,2,3", "2,3", "1,3"] * 4),
        ("number", ["1.5", "2.5", "3e3"] * 4),
    ],
)
def test_what_is_read_whole_is_no_loss(name, cells):
    record = record_of({name: cells})
    assert reading_losses(record, infer_attributes(record)) == {}


def test_codes_with_leading_zeros_stay_words_beside_numbers():
    assert finding("post", ["007", *(["123", "124"] * 20)]).kind is Kind.CATEGORICAL


@pytest.mark.parametrize(
    ("cell", "price"),
    [("$1,299.00", 1299), ("1,23,456 usd", 123456), ("€12,50", np.nan), ("12,5", np.nan), ("12,500", 12500)],
)
def test_a_comma_divides_thousands_and_never_makes_a_price_a_hundred_times_as_much(cell, price):
    column = Attribute.token("price", [cell, "1", "2"])
    np.testing.assert_equal(numbers_of(column, "price")[0], price)


def test_years_stand_in_titles_where_no_column_has_them():
    catalogue = infer_catalogue(record_of({"title": [f"{name} ({1990 + n})" for n, name in enumerate(NAMES)]}))
    np.testing.assert_array_equal(catalogue.column("year").numbers, 1990 + np.arange(12))


def test_values_that_differ_in_capitals_alone_are_one_spelt_as_most_often():
    cells = ["Oak|elm", "oak|OAK", "Oak", "Elm", "ash", "ASH"] * 2
    column = infer_catalogue(record_of({"wood": cells})).column("wood")
    assert column.values == ("Elm", "Oak", "ash")
    assert column.masks[1] == column.mask_of(["Oak"])
    sizes = infer_catalogue(record_of({"size": ["S", "m", "L", "s", "M", "l"] * 2})).column("size")
    np.testing.assert_array_equal(sizes.numbers, [0, 1, 2] * 4)
    # A finding that was corrected keeps its spelling.
    found = replace(finding("wood", cells), values=("oak", "elm"))
    assert infer_catalogue(record_of({"wood": cells}), [found]).column("wood").values == ("elm", "oak", OTHER)


@pytest.mark.parametrize("cells", [("0", "1"), ("No", "yes"), ("FALSE", "True"), ("n", "Y"), ("f", "t")])
def test_what_means_no_and_yes_becomes_that(cells):
    catalogue = infer_catalogue(record_of({"new": [*cells, cells[1]] * 4}))
    np.testing.assert_array_equal(catalogue.column("new").indicators()[:3], [[1, 0], [0, 1], [0, 1]])
    assert catalogue.texts[0].endswith("without new.")


def test_more_than_64_values_keep_the_most_frequent_and_other():
    tags = [[f"t{min(n % 100, k)}" for k in (5, 100)] for n in range(600)]
    attribute = Attribute.token_seq("tags", tags)
    found = finding("tags", attribute)
    assert len(found.values) == 63
    assert found.values[0] == "t5"
    column = infer_catalogue(record_of({"tags": attribute}, count=600)).column("tags")
    assert len(column.values) == 64
    rare = next(f"t{n}" for n in range(100) if f"t{n}" not in column.values)
    row = tags.index([f"t{5}", rare])
    assert int(column.masks[row]) == column.mask_of(["t5", OTHER])


def test_whole_numbers_are_the_same_level_however_they_are_written():
    written = {"legs": ["3.0", "4", "5", "3", "-0", "0"] * 2, "folds": ["1.0", "0"] * 6}
    record = record_of(written)
    as_tokens = {name: Attribute.token(name, cells) for name, cells in written.items()}
    for catalogue in (infer_catalogue(record), infer_catalogue(replace(record, items=as_tokens))):
        assert catalogue.column("legs").values == ("0", "3", "4", "5")
        np.testing.assert_array_equal(catalogue.column("legs").numbers[:6], [1, 2, 3, 1, 0, 0])
        np.testing.assert_array_equal(catalogue.column("folds").indicators()[:2], [[0, 1], [1, 0]])


def test_values_too_scattered_to_ask_for_are_left_out():
    found = finding("author", [f"Writer {'abcdefghij'[n % 10]}{chr(97 + n // 10)}" for n in range(250)] * 2)
    assert found.use in (Use.LEFT_OUT, Use.TITLE)
    tags = Attribute.token_seq("tags", [[f"w{n}"] for n in range(1000)])
    assert finding("tags", tags).use is Use.LEFT_OUT


def test_words_of_a_text_are_no_values_and_go_into_the_texts():
    words = Attribute.token_seq("summary", [["the", "fall", "of", "a", "tree", "and", "to", name] for name in NAMES])
    record = record_of({"title": list(NAMES), "summary": words})
    assert infer_attributes(record)[1].use is Use.TEXT
    assert infer_catalogue(record).texts[2] == "Cedar, an item: the fall of a tree and to Cedar."


def test_a_column_called_as_one_that_is_made_is_renamed_and_dotted_names_are_cut():
    record = record_of(
        {"rating": ["PG", "R"] * 6, "film.film.country": ["Peru", "Oslo"] * 6, "country": ["x", "y"] * 6}
    )
    assert list(infer_catalogue(record).columns) == ["listed_rating", "country", "country_2", "rating", "popularity"]


def test_findings_can_be_corrected_before_the_catalogue_is_made():
    record = record_of({"title": list(NAMES), "floor": ["1", "2", "3"] * 4, "shelf": ["a", "b"] * 6})
    title, floor, shelf = infer_attributes(record)
    asked = replace(floor, kind=Kind.NUMERIC, name="storey")
    catalogue = infer_catalogue(record, [title, asked, replace(shelf, use=Use.LEFT_OUT)])
    assert list(catalogue.columns) == ["storey", "rating", "popularity"]
    np.testing.assert_array_equal(catalogue.column("storey").numbers[:3], [1, 2, 3])
    named = infer_catalogue(record, [replace(floor, kind=Kind.CATEGORICAL, values=())]).column("floor")
    assert (named.kind, named.values) == (Kind.CATEGORICAL, ("1", "2", "3"))
    with pytest.raises(ValueError, match="findings: unknown column 'flor'; did you mean 'floor'"):
        infer_catalogue(record, [replace(floor, column="flor")])
    with pytest.raises(ValueError, match="column 'shelf' does not hold numbers; make it categorical"):
        infer_catalogue(record, [replace(shelf, kind=Kind.NUMERIC)])


def test_beyond_max_items_the_most_popular_stay_in_their_order():
    record = record_of({"title": list(NAMES)}, feedback=Feedback.CLICKS, numbers=[0] * 12 + [0, 1] * 6)
    catalogue = infer_catalogue(record, max_items=6)
    assert catalogue.titles == NAMES[1::2]
    with pytest.raises(ValueError, match="max_items and min_ratings must be 1 or more"):
        infer_catalogue(record, max_items=0)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "", "nan"], AttributeKind.FLOAT),
        (["00123", "04567"], AttributeKind.TOKEN),
        (['["a", "b"]', "['c']", "[]"], AttributeKind.TOKEN_SEQ),
        (["red, blue", "blue", "red, green", "green, blue", "red"], AttributeKind.TOKEN_SEQ),
        (["Smith, John", "Doe, Jane", "Ray, Ann"], AttributeKind.TOKEN),
        (["$1,000.50", "$2,000.50", "$3,000.50"], AttributeKind.TOKEN),
        (["a long line of words that nobody would call one value"], AttributeKind.TEXT),
        (["", ""], AttributeKind.TOKEN),
    ],
)
def test_cells_are_guessed_by_what_they_look_like(cells, kind):
    assert guess_attribute("x", cells).kind is kind


@given(
    columns=st.dictionaries(
        st.text(max_size=8),
        st.lists(
            st.one_of(st.text(max_size=12), st.integers(-3, 3000).map(str), st.floats().map(str),
                      st.sampled_from(["1999-01-01", "$3", "a|b", "[1]", "['x", "yes", "(1990)", "None", "٣", "1_0"])),
            min_size=12, max_size=12,
        ),
        max_size=4,
    ),
    feedback=st.sampled_from(Feedback),
)  # fmt: skip
def test_whatever_the_cells_are_a_sound_catalogue_comes_out(columns, feedback):
    record = record_of(columns, feedback=feedback)
    findings = infer_attributes(record)
    assert {found.column for found in findings} == set(columns)
    catalogue = infer_catalogue(record, findings)
    assert catalogue.num_items == 12
    assert all(catalogue.titles)
    assert all(text.endswith(".") and "\n" not in text for text in catalogue.texts)
    assert catalogue.fingerprint == infer_catalogue(record).fingerprint


@pytest.mark.skipif("INSTRUCTREC_ML100K" not in os.environ, reason="INSTRUCTREC_ML100K names no MovieLens 100K")
def test_movielens_100k_gets_title_year_and_genres_and_no_freebase_codes():
    catalogue = infer_catalogue(read_data(os.environ["INSTRUCTREC_ML100K"]), noun="film")
    assert list(catalogue.columns) == ["release_year", "class", "rating", "popularity"]
    assert len(catalogue.column("class").values) == 18
    assert catalogue.texts[0] == "Toy Story, a film with class Animation, Children's and Comedy, from 1995."
