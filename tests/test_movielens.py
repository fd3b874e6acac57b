"""MovieLens: what is read, what is shipped and its claims, and what is said of files that are wrong."""

import csv
import gzip
import io
import zipfile

import numpy as np
import pytest

from instructrec.envs.movielens import (
    DATA,
    Ratings,
    genre_phrase,
    item_text,
    load_movielens,
    load_tags,
    read_people,
    shipped,
    shipped_people,
    split_title,
    visible_past,
)
from instructrec.experiments import fit_movies

MOVIES = """movieId,title,genres
10,"Matrix, The (1999)",Action|Sci-Fi
20,Alien (1979),Horror|Sci-Fi
5,Babylon 5,(no genres listed)
"""
RATINGS = """userId,movieId,rating,timestamp
2,10,4.0,30
2,20,2.0,10
10,10,5.0,7
2,5,3.0,10
"""
TAGS = """userId,movieId,tag,timestamp
2,20,Space,1
3,20,space ,1
3,20,monster,1
4,20,In Netflix queue,1
"""


@pytest.fixture
def folder(tmp_path):
    def write(movies=MOVIES, ratings=RATINGS, tags=TAGS):
        for name, content in (("movies", movies), ("ratings", ratings), ("tags", tags)):
            if content is not None:
                data = content if isinstance(content, bytes) else content.encode()
                (tmp_path / f"{name}.csv").write_bytes(data)
        return tmp_path

    return write


def test_the_catalogue_holds_what_the_files_say(folder):
    films, _ = load_movielens(folder(), min_ratings=2, shrinkage=1.0)
    assert films.item_ids == ("10", "20", "5")
    assert films.titles == ("The Matrix (1999)", "Alien (1979)", "Babylon 5")
    assert films.column("genre").values == ("Action", "Horror", "Sci-Fi")
    np.testing.assert_array_equal(films.column("genre").indicators(), [[1, 0, 1], [0, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(films.column("year").numbers, [1999, 1979, np.nan])
    np.testing.assert_array_equal(films.column("popularity").numbers, [2, 1, 1])
    np.testing.assert_array_equal(films.popularity, [2, 1, 1])
    # (4 + 5 + one rating of the overall mean 3.5) / 3
    np.testing.assert_allclose(films.column("rating").numbers, [12.5 / 3, np.nan, np.nan], rtol=1e-6)


def test_texts_are_one_sentence_with_the_most_frequent_tags_first(folder):
    assert load_movielens(folder())[0].texts == (
        "The Matrix, an action and sci-fi film from 1999.",
        "Alien, a horror and sci-fi film from 1979: space, monster.",
        "Babylon 5, a film.",
    )


def test_ratings_are_sorted_by_person_then_time_then_item(folder):
    _, ratings = load_movielens(folder())
    assert ratings.person_ids == ("2", "10")
    np.testing.assert_array_equal(ratings.person, [0, 0, 0, 1])
    np.testing.assert_array_equal(ratings.item, [1, 2, 0, 0])
    np.testing.assert_array_equal(ratings.rating, [2, 3, 4, 5])
    np.testing.assert_array_equal(ratings.timestamp, [10, 10, 30, 7])
    np.testing.assert_array_equal(ratings.starts(), [0, 3, 4])


def test_the_order_of_lines_does_not_matter(folder):
    one = load_movielens(folder())
    head, *lines = RATINGS.splitlines()
    other = load_movielens(folder(ratings="\n".join([head, *reversed(lines)])))
    assert one[0].fingerprint == other[0].fingerprint
    np.testing.assert_array_equal(one[1].item, other[1].item)


def test_folders_gzip_and_zip_archives_read_alike(folder, tmp_path):
    plain = load_movielens(folder())[0].fingerprint
    archive = tmp_path / "ml.zip"
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(archive, "w") as content:
        for name, text in (("movies", MOVIES), ("ratings", RATINGS), ("tags", TAGS)):
            content.writestr(f"ml-some/{name}.csv", text)
            (packed / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert load_movielens(archive)[0].fingerprint == load_movielens(packed)[0].fingerprint == plain


def test_tags_are_optional_and_a_byte_order_mark_blank_lines_and_more_columns_do_no_harm(folder):
    movies = "\ufeff" + MOVIES.replace("title,genres", "title,genres,extra").replace("\n", ",x\n").replace(
        "extra,x", "extra"
    )
    films, ratings = load_movielens(folder(movies=movies, ratings=RATINGS + "\n\n", tags=None))
    assert films.titles[0] == "The Matrix (1999)"
    assert len(ratings.item) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"movies": ""}, r"movies\.csv is empty; expected a first line with .*movieId,title,genres"),
        ({"movies": "movieId,title,genres\n"}, r"movies\.csv has a header but no rows"),
        ({"ratings": "userId,movieId,rating,timestamp\n"}, r"ratings\.csv has a header but no rows"),
        (
            {"movies": MOVIES.replace("movieId", "movie_id")},
            r"movies\.csv, line 1: the column 'movieId' is missing; rename 'movie_id' to it",
        ),
        ({"movies": MOVIES.replace(",genres", ",x")}, r"line 1: the column 'genres' is missing; add it \(found: "),
        ({"ratings": RATINGS.replace("timestamp", "rating")}, r"line 1: the column 'rating' is named twice"),
        ({"ratings": RATINGS + "2,10\n"}, r"ratings\.csv, line 6: 2 cells, but the header names 4"),
        ({"movies": MOVIES + "7,Up, Up (2001),Drama\n"}, r"movies\.csv, line 5: 4 cells.*double quotes"),
        ({"movies": MOVIES + '7,"Up (2001),Drama\n'}, r"movies\.csv, line 5: .*close every double quote"),
        ({"movies": MOVIES + "20,Aliens (1986),Horror\n"}, r"line 5: movieId '20' stood on line 3 already; keep one"),
        ({"movies": MOVIES + ",Aliens (1986),Horror\n"}, r"line 5: movieId is empty; fill it in"),
        ({"movies": MOVIES + "7, ,Horror\n"}, r"line 5: title is empty; fill it in"),
        ({"ratings": RATINGS + "2,10,4.5,99\n"}, r"line 6: userId '2' and movieId '10' stood on line 2 already"),
        ({"ratings": RATINGS + "3,999,4.5,99\n"}, r"line 6: movieId '999' is not in the movies file; add the film"),
        ({"ratings": RATINGS + "3,10,nan,99\n"}, r"line 6: rating is 'nan', expected a finite number"),
        ({"ratings": RATINGS + "3,10,inf,99\n"}, r"line 6: rating is 'inf', expected a finite number"),
        ({"ratings": RATINGS + "3,10,good,99\n"}, r"line 6: rating is 'good', expected a finite number"),
        ({"ratings": RATINGS + "3,10,4,yesterday\n"}, r"line 6: timestamp is 'yesterday', expected a whole number"),
        ({"ratings": RATINGS + f"3,10,4,{10**30}\n"}, r"line 6: timestamp is '10+', expected a whole number"),
        ({"ratings": RATINGS + ",10,4,5\n"}, r"line 6: userId is empty"),
        ({"tags": TAGS + "3,999,good,1\n"}, r"tags\.csv, line 6: movieId '999' is not in the movies file"),
        (
            {"movies": MOVIES.encode() + "7,Amélie (2001),Comedy\n".encode("latin-1")},
            r"movies\.csv, line 5: not UTF-8 \(byte 0xe9\).*iconv",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_line_and_cure(folder, change, message):
    with pytest.raises(ValueError, match=message):
        load_movielens(folder(**change))


def test_more_genres_than_a_column_holds_are_explained(folder):
    genres = "|".join(f"g{n}" for n in range(65))
    with pytest.raises(ValueError, match=r"'genre' has 6. different values.*at most 64"):
        load_movielens(folder(movies=MOVIES + f"7,Everything (2001),{genres}\n"))


def test_missing_files_and_unsound_archives_are_explained(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no movies\.csv"):
        load_movielens(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"does not exist; give a folder or a \.zip archive"):
        load_movielens(tmp_path / "nowhere")
    (tmp_path / "torn.zip").write_bytes((DATA / "ml-latest-small.zip").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"torn\.zip is not a sound \.zip archive.*again"):
        load_movielens(tmp_path / "torn.zip")
    (tmp_path / "movies.csv.gz").write_bytes(gzip.compress(MOVIES.encode())[:-9])
    with pytest.raises(ValueError, match=r"movies\.csv\.gz is not a sound gzip file.*again"):
        load_movielens(tmp_path)


@pytest.mark.parametrize("arguments", [{"min_ratings": 0}, {"shrinkage": -1.0}])
def test_impossible_settings_are_refused(folder, arguments):
    with pytest.raises(ValueError, match="min_ratings must be 1 or more and shrinkage 0 or more"):
        load_movielens(folder(), **arguments)


@pytest.mark.parametrize(
    ("raw", "title", "year"),
    [
        ("Matrix, The (1999)", "The Matrix", 1999),
        ("Avventura, L' (Adventure, The) (1960)", "L'Avventura (The Adventure)", 1960),
        ("City of Lost Children, The (Cité des enfants perdus, La) (1995)",
         "The City of Lost Children (La Cité des enfants perdus)", 1995),
        ("Léon: The Professional (a.k.a. The Professional) (Léon) (1994)",
         "Léon: The Professional (a.k.a. The Professional) (Léon)", 1994),
        ("Paris, Texas (1984)", "Paris, Texas", 1984),
        ("Girl, Interrupted (1999)", "Girl, Interrupted", 1999),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey", 1968),
        ("Death Note: Desu nôto (2006–2007)", "Death Note: Desu nôto", 2006),
        ("Black Mirror", "Black Mirror", np.nan),
        ("1984", "1984", np.nan),
    ],
)  # fmt: skip
def test_titles_read_as_people_say_them(raw, title, year):
    found, when = split_title(raw)
    assert found == title
    np.testing.assert_equal(when, year)


def test_phrases_read_as_people_say_them():
    assert genre_phrase([]) == "a film"
    assert genre_phrase(["IMAX"]) == "an IMAX film"
    assert genre_phrase(["Children", "Film-Noir", "War"]) == "a children's, film noir and war film"
    assert item_text("It", np.nan, ["Horror"], ["clown", "rain"], max_tags=1) == "It, a horror film: clown."


def test_the_shipped_set_is_whole():
    films, ratings = shipped()
    assert films.num_items == 9742
    assert (ratings.num_persons, len(ratings.item)) == (610, 100_836)
    assert films.popularity.sum() == 100_836
    assert len(load_tags(DATA / "ml-latest-small.zip", films.item_ids)) > 1400
    assert films.titles[films.item_ids.index("318")] == "The Shawshank Redemption (1994)"
    # Sorted by person and time: nobody's time runs backwards.
    assert (np.diff(ratings.timestamp)[np.diff(ratings.person) == 0] >= 0).all()
    assert (np.diff(ratings.person) >= 0).all()


def test_the_shipped_files_stand_beside_their_terms_and_are_small():
    assert "Usage License" in (DATA / "README.txt").read_text(encoding="utf-8")
    assert (DATA / "ml-latest-small.zip").stat().st_size < 1_200_000
    assert (DATA / "movies_people.npz").stat().st_size < 700_000
    with zipfile.ZipFile(DATA / "ml-latest-small.zip") as archive:
        # Fixed dates: packing the same files again gives the same bytes.
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        text = io.TextIOWrapper(archive.open("ml-latest-small/movies.csv"), "utf-8", newline="")
        assert sum(1 for _ in csv.reader(text)) == 9743


def test_a_visible_past_is_the_latest_of_the_earliest_half():
    # Person 0 has seven ratings, person 1 one, person 2 two, person 3 none.
    person = np.array([0] * 7 + [1] + [2] * 2, np.int32)
    item = np.arange(10, 20, dtype=np.int32)
    ratings = Ratings(person, item, item / 10, np.zeros(10, np.int64), ("a", "b", "c", "d"))
    items, stars = visible_past(ratings, length=2)
    np.testing.assert_array_equal(items, [[11, 12], [-1, -1], [18, -1], [-1, -1]])
    np.testing.assert_allclose(stars, [[1.1, 1.2], [0, 0], [1.8, 0], [0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(visible_past(ratings, length=5)[0][0], [10, 11, 12, -1, -1])
    assert items.dtype == np.int32
    assert stars.dtype == np.float32
    with pytest.raises(ValueError, match="length must be at least 1"):
        visible_past(ratings, length=0)


def test_nobodys_visible_past_reaches_into_their_later_half():
    _, ratings = shipped()
    items, _ = visible_past(ratings, length=64)
    for person, (begin, end) in enumerate(zip(ratings.starts()[:-1], ratings.starts()[1:], strict=True)):
        later = ratings.item[begin + (end - begin) // 2 : end]
        assert not np.isin(items[person], later).any()
        assert (items[person] >= 0).sum() == min((end - begin) // 2, 64)


def test_people_fit_the_catalogue_and_the_average_person_is_average():
    people, (films, ratings) = shipped_people(), shipped()
    assert people.person_factors.shape == (ratings.num_persons, people.rank)
    assert people.item_factors.shape == (films.num_items, people.rank)
    for array in (people.person_bias, people.item_bias, people.person_factors, people.item_factors):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
    np.testing.assert_allclose(people.person_factors.mean(axis=0), 0, atol=1e-6)


def test_the_shipped_claims_hold_on_a_split_fitted_now():
    people, (films, ratings) = shipped_people(), shipped()
    setting = fit_movies.Setting(
        rank=people.rank, taste_variance=people.taste_variance, noise_variance=people.noise_variance
    )
    seed = fit_movies.REPORTING[0]
    biases = fit_movies.held_out(ratings, films.num_items, fit_movies.Setting(rank=0), seed).rmse
    found = fit_movies.held_out(ratings, films.num_items, setting, seed)
    found = found.rescaled(0.0, people.quality_scale, people.taste_scale)
    assert found.rmse < biases - 0.02
    assert found.rmse == pytest.approx(people.rmse, abs=0.01)
    assert biases == pytest.approx(people.rmse_biases, abs=0.01)
    _, quality, taste = found.slopes()
    for slope in (quality, taste, people.quality_slope, people.taste_slope):
        assert 0.9 < slope < 1.1


def test_false_alarms_make_the_catalogue_agree_as_often_as_measured():
    people, (films, _) = shipped_people(), shipped()
    agreeing, total = fit_movies.genre_agreement(films)
    assert people.genre_agreement == agreeing / total
    assert 0.8 < people.genre_agreement < 0.87
    has = films.column("genre").indicators() > 0
    chance = fit_movies.false_alarms(has.mean(), people.genre_misses, people.genre_agreement)
    assert people.genre_false_alarms == pytest.approx(chance, rel=1e-5)
    draws = np.random.default_rng(0).random(has.shape)
    perceived = np.where(has, draws > people.genre_misses, draws < people.genre_false_alarms)
    assert has[perceived].mean() == pytest.approx(people.genre_agreement, abs=0.01)


def test_the_same_people_give_the_same_bytes_and_come_back_whole(tmp_path):
    people = shipped_people()
    content = fit_movies.as_bytes(people)
    assert content == fit_movies.as_bytes(people) == (DATA / "movies_people.npz").read_bytes()
    (tmp_path / "people.npz").write_bytes(content)
    assert fit_movies.difference(people, read_people(tmp_path / "people.npz")) == 0


def test_a_people_file_that_lacks_something_is_explained(tmp_path):
    np.savez(tmp_path / "people.npz", mean=3.5)
    with pytest.raises(ValueError, match=r"people\.npz: unknown array 'person_bias'.*write it again with"):
        read_people(tmp_path / "people.npz")
