"""Made-up catalogues of any size, with the attributes of Movies: for scale, for tests and for worlds without data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from instructrec.catalogue import MAX_VALUES, Catalogue, Column, Kind
from instructrec.envs.movielens import genre_phrase

GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Children",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "IMAX",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
# An item has one genre, and this many more on average.
_MORE_GENRES = 1.2
_FIRST = ("Silent", "Golden", "Broken", "Distant", "Hidden", "Last", "Crimson", "Frozen", "Gentle", "Lonely", "Second")
_SECOND = ("Harbor", "Garden", "Mirror", "Empire", "River", "Promise", "Shadow", "Summer", "Voyage", "Window", "Island")


def synthetic_catalogue(
    num_items: int,
    *,
    seed: int = 0,
    num_genres: int = 19,
    first_year: int = 1920,
    last_year: int = 2020,
    ratings_per_item: float = 10.0,
    tail: float = 0.9,
    min_ratings: int = 5,
) -> Catalogue:
    """Makes a catalogue with the attributes ``genre``, ``year``, ``rating`` and ``popularity``.

    Genres are skewed, one or more per item, years crowd towards the last one, popularity is Zipf-like with a long
    tail down to items that nobody rated, ratings are missing below ``min_ratings``. Popularity does not depend on an
    item's number, genre or year. The same arguments always give the same catalogue.

    Args:
        num_items: How many items, at least 1; a million take seconds.
        seed: Which catalogue of this kind.
        num_genres: How many genres, 1 to 64; the first 19 have the names Movies uses.
        first_year: Earliest year.
        last_year: Latest year, also the most frequent.
        ratings_per_item: Mean popularity.
        tail: Exponent of the popularity curve; 0 is flat.
        min_ratings: Ratings that an item needs for a ``rating``.

    Raises:
        ValueError: If an argument is out of range.
    """
    if num_items < 1:
        raise ValueError(f"num_items must be at least 1, got {num_items}")
    if not 1 <= num_genres <= MAX_VALUES:
        raise ValueError(f"num_genres must be from 1 to {MAX_VALUES}, got {num_genres}")
    if first_year > last_year or ratings_per_item < 0 or tail < 0:
        raise ValueError("first_year must not exceed last_year, and ratings_per_item and tail must be 0 or more")
    rng = np.random.default_rng([num_items, seed])
    names = (*GENRES, *(f"Genre {number}" for number in range(len(GENRES) + 1, num_genres + 1)))[:num_genres]
    genres = _genres(rng, num_items, num_genres)
    age = np.minimum(rng.exponential((last_year - first_year + 1) / 5, num_items), last_year - first_year)
    year = np.floor(last_year - age).astype(np.float32)
    counts = _counts(rng, num_items, ratings_per_item, tail)
    mean = 3.3 + 0.5 * rng.standard_normal(num_items)
    rating = np.where(counts >= min_ratings, np.clip(mean, 0.5, 5), np.nan).astype(np.float32)
    nothing = np.full(num_items, np.nan, np.float32)
    columns = (
        Column("genre", Kind.MULTI_VALUED, names, genres, nothing),
        Column.numeric("year", year),
        Column.numeric("rating", rating),
        Column.numeric("popularity", counts),
    )
    titles, texts = _words(genres, names, year)
    ids = tuple(map(str, range(1, num_items + 1)))
    return Catalogue({column.name: column for column in columns}, titles, texts, ids, counts)


def _genres(rng: np.random.Generator, num_items: int, num_genres: int) -> npt.NDArray[np.uint64]:
    """Draws each item's set of genres as a mask, uint64 [num_items]; genre frequencies fall off like a power."""
    share = rng.permutation(np.arange(1, num_genres + 1) ** -0.8)
    share /= share.sum()
    first = np.minimum(np.searchsorted(np.cumsum(share), rng.random(num_items), side="right"), num_genres - 1)
    masks = np.uint64(1) << first.astype(np.uint64)
    for genre in range(num_genres):  # One genre at a time: a million items by 64 genres would not fit the cache.
        has = rng.random(num_items, np.float32) < _MORE_GENRES * share[genre]
        masks |= has.astype(np.uint64) << np.uint64(genre)
    return masks


def _counts(rng: np.random.Generator, num_items: int, mean: float, tail: float) -> npt.NDArray[np.float32]:
    """Draws how often each item was rated, float32 [num_items]: a power of its rank in a random order."""
    expected = rng.permutation(np.arange(1, num_items + 1) ** -tail)
    counts: npt.NDArray[np.float32] = rng.poisson(expected * (mean * num_items / expected.sum())).astype(np.float32)
    return counts


def _words(
    masks: npt.NDArray[np.uint64], names: tuple[str, ...], year: npt.NDArray[np.float32]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns titles, each once, and texts."""
    # Few sets of genres are ever drawn: each is put into words once.
    kinds, kind = np.unique(masks, return_inverse=True)
    phrases = [genre_phrase([name for bit, name in enumerate(names) if int(mask) >> bit & 1]) for mask in kinds]
    pairs = [f"The {first} {second}" for first in _FIRST for second in _SECOND]
    stems = [
        pairs[item % len(pairs)] if item < len(pairs) else f"{pairs[item % len(pairs)]} {item // len(pairs) + 1}"
        for item in range(len(masks))
    ]
    years = year.astype(np.int64).tolist()
    titles = tuple(f"{stem} ({when})" for stem, when in zip(stems, years, strict=True))
    texts = tuple(
        f"{stem}, {phrases[place]} from {when}." for stem, place, when in zip(stems, kind.tolist(), years, strict=True)
    )
    return titles, texts
