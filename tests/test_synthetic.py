"""Synthetic catalogues: any size, the shape of Movies, the same ones every time."""

import time

import numpy as np
import pytest

from instructrec.envs.movielens import shipped
from instructrec.envs.synthetic import synthetic_catalogue


@pytest.mark.parametrize("size", [1, 2, 1000, 20_000])
def test_a_catalogue_has_the_size_asked_for_and_the_columns_of_movies(size):
    made, real = synthetic_catalogue(size), shipped()[0]
    assert made.num_items == size
    assert list(made.columns) == list(real.columns)
    assert [column.kind for column in made.columns.values()] == [column.kind for column in real.columns.values()]
    assert made.column("genre").values == real.column("genre").values


def test_every_item_has_a_genre_a_year_and_words_of_its_own():
    made = synthetic_catalogue(20_000)
    assert (made.column("genre").masks > 0).all()
    assert made.column("year").numbers.min() >= 1920
    assert made.column("year").numbers.max() <= 2020
    assert len(set(made.titles)) == len(set(made.texts)) == 20_000


def test_texts_name_what_the_columns_hold():
    made = synthetic_catalogue(50)
    spoken = {"Children": "children's", "IMAX": "IMAX", "Film-Noir": "film noir"}
    for item in range(50):
        assert f"from {made.column('year').numbers[item]:.0f}." in made.texts[item]
        has = made.column("genre").indicators()[item] > 0
        for name, present in zip(made.column("genre").values, has, strict=True):
            assert (spoken.get(name, name.lower()) in made.texts[item].split(", ", 1)[1]) == present


def test_popularity_has_a_long_tail_and_rare_items_no_rating():
    made = synthetic_catalogue(20_000)
    counts = np.sort(made.popularity)[::-1]
    assert counts[:200].sum() > 0.25 * counts.sum()
    assert counts.mean() == pytest.approx(10, rel=0.05)
    np.testing.assert_array_equal(made.column("popularity").numbers, made.popularity)
    np.testing.assert_array_equal(np.isnan(made.column("rating").numbers), made.popularity < 5)


def test_the_same_arguments_give_the_same_catalogue_and_other_seeds_another():
    assert synthetic_catalogue(300, seed=1).fingerprint == synthetic_catalogue(300, seed=1).fingerprint
    assert synthetic_catalogue(300, seed=1).fingerprint != synthetic_catalogue(300, seed=2).fingerprint


@pytest.mark.parametrize("num_genres", [1, 19, 64])
def test_genres_are_as_many_as_asked_for(num_genres):
    column = synthetic_catalogue(5000, num_genres=num_genres).column("genre")
    assert len(column.values) == len(set(column.values)) == num_genres
    assert (column.indicators().sum(axis=0) > 0).all()


def test_a_large_catalogue_takes_seconds():
    begun = time.process_time()
    assert synthetic_catalogue(100_000).num_items == 100_000
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_items": 0}, "num_items must be at least 1, got 0"),
        ({"num_items": 5, "num_genres": 65}, "num_genres must be from 1 to 64, got 65"),
        ({"num_items": 5, "first_year": 2021}, "first_year must not exceed last_year"),
    ],
)
def test_impossible_catalogues_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic_catalogue(**arguments)
