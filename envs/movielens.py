"""MovieLens: reading its CSV files, and the small set that is shipped (610 people, 9,742 films).

References:
    F. Maxwell Harper and Joseph A. Konstan (2015), The MovieLens Datasets: History and Context, ACM TiiS 5(4), 19.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.tables import Table, has_table, read_table
from instructrec.names import unknown_name

DATA = Path(__file__).parent / "data"
NO_GENRES = "(no genres listed)"
# What people tag for their own bookkeeping says nothing about the film.
_BOOKKEEPING = frozenset({"in netflix queue", "imdb top 250", "owned", "dvd", "to see", "seen", "bluray", "dvd-video"})
_SPOKEN = {"Children": "children's", "IMAX": "IMAX", "Film-Noir": "film noir"}
_YEAR = re.compile(r"\s*\((\d{4})(?:\s*[-–]\s*\d{0,4})?\)$")
_ARTICLE = re.compile(
    r"^(a\.k\.a\. )?(.+), "
    r"(The|An?|L'|Les?|La|Los|Las|El|Il|Lo|I|Gli|Der|Die|Das|Den|Det|De|Een|Het|Ein|Eine|Un|Une|Una|En|Os?|Da)$"
)


@dataclass(frozen=True)
class Ratings:
    """Who rated what and when, sorted by person, then time, then item.

    Attributes:
        person: Person numbers, int32 [num_ratings].
        item: Item numbers in the catalogue, int32 [num_ratings].
        rating: float32 [num_ratings].
        timestamp: Seconds since 1970, int64 [num_ratings].
        person_ids: The people's ids outside this project, one per person number.
    """

    person: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    rating: npt.NDArray[np.float32]
    timestamp: npt.NDArray[np.int64]
    person_ids: tuple[str, ...]

    @property
    def num_persons(self) -> int:
        """How many people there are."""
        return len(self.person_ids)

    def some(self, rows: Bools) -> Ratings:
        """Returns those of the rows chosen, [num_ratings]; people keep their numbers."""
        return Ratings(self.person[rows], self.item[rows], self.rating[rows], self.timestamp[rows], self.person_ids)

    def starts(self) -> npt.NDArray[np.int64]:
        """Returns where each person's ratings begin, and the end of the last, int64 [num_persons + 1]."""
        return np.searchsorted(self.person, np.arange(self.num_persons + 1)).astype(np.int64)


@dataclass(frozen=True)
class People:
    """The shipped people: taste and quality fitted to their real ratings by ``experiments/fit_movies.py``.

    The world's own knowledge: none of it may reach an agent. The expected rating of item i by person u is
    ``mean + person_bias[u] + item_bias[i] + person_factors[u] @ item_factors[i]``, rescaled so that on held-out
    ratings each term has a regression slope of about 1.

    Attributes:
        mean: The mean rating.
        person_bias: How generous each person is, float32 [num_persons].
        item_bias: Each item's quality in stars around the mean, float32 [num_items].
        person_factors: Taste, float32 [num_persons, rank].
        item_factors: What the taste is for, float32 [num_items, rank].
        residual_sd: Standard deviation of held-out ratings around the expectation.
        taste_variance: The prior variance of taste that was chosen; see `instructrec.factors.fit_factors`.
        noise_variance: The noise variance that was chosen; see there.
        quality_scale: What the fitted item biases were multiplied with.
        taste_scale: What the fitted taste was multiplied with.
        quality_slope: Held-out regression slope of ratings on the rescaled item bias.
        taste_slope: Held-out regression slope of ratings on the rescaled taste.
        rmse_mean: Held-out RMSE of the mean alone.
        rmse_biases: Held-out RMSE of the best user and item biases.
        rmse: Held-out RMSE of the whole model.
        genre_agreement: Of the tags that name a genre, the share that the catalogue agrees with.
        genre_misses: Assumed: chance that a genre in the catalogue is not perceived.
        genre_false_alarms: Chance that a genre not in the catalogue is perceived; follows from the two above.
    """

    mean: float
    person_bias: npt.NDArray[np.float32]
    item_bias: npt.NDArray[np.float32]
    person_factors: npt.NDArray[np.float32]
    item_factors: npt.NDArray[np.float32]
    residual_sd: float
    taste_variance: float
    noise_variance: float
    quality_scale: float
    taste_scale: float
    quality_slope: float
    taste_slope: float
    rmse_mean: float
    rmse_biases: float
    rmse: float
    genre_agreement: float
    genre_misses: float
    genre_false_alarms: float

    @property
    def rank(self) -> int:
        """How many factors there are."""
        return int(self.item_factors.shape[1])


def load_movielens(folder: Path, *, min_ratings: int = 5, shrinkage: float = 5.0) -> tuple[Catalogue, Ratings]:
    """Reads MovieLens CSV files: ``movies``, ``ratings`` and, where there is one, ``tags``.

    The catalogue has the attributes ``genre``, ``year`` (missing where the title has none), ``rating`` (a mean drawn
    towards the overall mean; missing below ``min_ratings``) and ``popularity`` (number of ratings).

    Args:
        folder: A folder with ``.csv`` or ``.csv.gz`` files, or a .zip archive as GroupLens gives them out.
        min_ratings: Ratings that an item needs for a ``rating``, at least 1.
        shrinkage: How many ratings of the overall mean are added to each item's.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is malformed; the message names the file, the line and the cure.
    """
    if min_ratings < 1 or shrinkage < 0:
        raise ValueError(f"min_ratings must be 1 or more and shrinkage 0 or more, got {min_ratings} and {shrinkage}")
    movies = read_table(Path(folder), "movies", ("movieId", "title", "genres"))
    movies.check_unique("movieId")
    item_ids = tuple(movies.filled("movieId"))
    ratings = _ratings(read_table(Path(folder), "ratings", ("userId", "movieId", "rating", "timestamp")), item_ids)
    named = [split_title(title) for title in movies.filled("title")]
    genres = [_genres(cell) for cell in movies.columns["genres"]]
    counts = np.bincount(ratings.item, minlength=len(item_ids))
    totals = np.bincount(ratings.item, ratings.rating, minlength=len(item_ids))
    shrunken = (totals + shrinkage * ratings.rating.mean(dtype=np.float64)) / np.maximum(counts + shrinkage, 1)
    columns = (
        Column.multi_valued("genre", genres),
        Column.numeric("year", np.array([year for _, year in named], np.float32)),
        Column.numeric("rating", np.where(counts >= min_ratings, shrunken, np.nan)),
        Column.numeric("popularity", counts.astype(np.float32)),
    )
    tags = load_tags(folder, item_ids)
    texts = [
        item_text(title, year, genre, tags.get(item, ()))
        for item, ((title, year), genre) in enumerate(zip(named, genres, strict=True))
    ]
    titles = tuple(title if np.isnan(year) else f"{title} ({year:.0f})" for title, year in named)
    catalogue = Catalogue(
        {column.name: column for column in columns}, titles, tuple(texts), item_ids, counts.astype(np.float32)
    )
    return catalogue, ratings


def load_tags(folder: Path, item_ids: Sequence[str]) -> Mapping[int, Sequence[str]]:
    """Returns each tagged item's tags in lower case, most frequent first; nothing where there is no tags file.

    Raises:
        ValueError: If the file is malformed or tags an unknown item.
    """
    if not has_table(Path(folder), "tags"):
        return {}
    table = read_table(Path(folder), "tags", ("movieId", "tag"))
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for item, tag in zip(_item_numbers(table, item_ids), table.columns["tag"], strict=True):
        cleaned = " ".join(tag.lower().split())
        if cleaned and cleaned not in _BOOKKEEPING:
            counts[int(item)][cleaned] += 1
    # Sorted by name first: most_common keeps that order among equally frequent tags.
    return {
        item: [tag for tag, _ in Counter(dict(sorted(tags.items()))).most_common()] for item, tags in counts.items()
    }


def split_title(title: str) -> tuple[str, float]:
    """Returns a title as people say it, and its year (NaN if none): 'Matrix, The (1999)' is ('The Matrix', 1999.0).

    Of a range of years the first counts. Articles return to the front in translated titles too.
    """
    match = _YEAR.search(title)
    year = float(match[1]) if match else float("nan")
    main, *others = re.split(r" (?=\()", title[: match.start()] if match else title)
    parts = [
        _article_first(main),
        *(f"({_article_first(part[1:-1])})" if part.endswith(")") else part for part in others),
    ]
    return " ".join(parts), year


def _article_first(title: str) -> str:
    match = _ARTICLE.match(title)
    if not match:
        return title
    known_as, name, article = match.groups(default="")
    return f"{known_as}{article}{'' if article.endswith(chr(39)) else ' '}{name}"


def item_text(title: str, year: float, genres: Sequence[str], tags: Sequence[str] = (), max_tags: int = 8) -> str:
    """Returns one sentence about a film for language models to read: title, genres, year and its first tags."""
    text = f"{title}, {genre_phrase(genres)}"
    if not np.isnan(year):
        text += f" from {year:.0f}"
    return f"{text}: {', '.join(tags[:max_tags])}." if tags else f"{text}."


def genre_phrase(genres: Sequence[str]) -> str:
    """Returns what kind of film has these genres, as people say it: 'an action and sci-fi film'."""
    names = [_SPOKEN.get(genre, genre.lower()) for genre in genres]
    if not names:
        return "a film"
    kind = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind} film"


def _genres(cell: str) -> tuple[str, ...]:
    names = (name.strip() for name in cell.split("|"))
    return tuple(dict.fromkeys(name for name in names if name and name != NO_GENRES))


def _item_numbers(table: Table, item_ids: Sequence[str]) -> npt.NDArray[np.int32]:
    numbers = {item_id: number for number, item_id in enumerate(item_ids)}
    rows = np.array([numbers.get(item_id, -1) for item_id in table.columns["movieId"]], np.int32)
    if (rows < 0).any():
        row = int(np.flatnonzero(rows < 0)[0])
        raise ValueError(
            f"{table.at(row)}: movieId {table.columns['movieId'][row]!r} is not in the movies file; "
            "add the film there or remove the line"
        )
    return rows


def _ratings(table: Table, item_ids: Sequence[str]) -> Ratings:
    table.check_unique("userId", "movieId")
    ids = table.filled("userId")
    # People count upwards as their ids do, whatever the order of the lines.
    whole = all(person.isdecimal() for person in ids)
    person_ids = tuple(sorted(set(ids), key=(lambda person: (int(person), person)) if whole else None))
    numbers = {person: number for number, person in enumerate(person_ids)}
    person = np.array([numbers[name] for name in ids], np.int32)
    item = _item_numbers(table, item_ids)
    rating, timestamp = table.floats("rating").astype(np.float32), table.integers("timestamp")
    order = np.lexsort((item, timestamp, person))
    return Ratings(person[order], item[order], rating[order], timestamp[order], person_ids)


def visible_past(ratings: Ratings, length: int = 64) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Returns what agents may know of each person: the latest ``length`` of the earliest half of their ratings.

    The half is rounded down, so that somebody with one rating has no visible past.

    Returns:
        Items, oldest first, then -1, int32 [num_persons, length]; and their ratings, then 0, float32 of that shape.
    """
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    starts = ratings.starts()
    ends = starts[:-1] + np.diff(starts) // 2
    begins = np.maximum(starts[:-1], ends - length)
    rows = begins[:, None] + np.arange(length)
    kept = rows < ends[:, None]
    rows = np.where(kept, rows, 0)
    items = np.where(kept, ratings.item[rows], -1).astype(np.int32)
    return items, np.where(kept, ratings.rating[rows], 0).astype(np.float32)


@functools.cache
def shipped() -> tuple[Catalogue, Ratings]:
    """Returns the embedded MovieLens ml-latest-small. Its terms stand in ``envs/data/README.txt``."""
    return load_movielens(DATA / "ml-latest-small.zip")


@functools.cache
def shipped_people() -> People:
    """Returns the embedded people, made by ``python -m instructrec.experiments.fit_movies``."""
    return read_people(DATA / "movies_people.npz")


def read_people(path: Path) -> People:
    """Reads people from an ``.npz`` file.

    Raises:
        ValueError: If the file lacks something.
    """
    with np.load(path, allow_pickle=False) as content:
        missing = [field.name for field in fields(People) if field.name not in content.files]
        if missing:
            raise ValueError(
                f"{path}: {unknown_name('array', missing[0], content.files)}; "
                "write it again with python -m instructrec.experiments.fit_movies"
            )
        values = {field.name: content[field.name] for field in fields(People)}
    arguments: dict[str, Any] = {name: value if value.ndim else float(value) for name, value in values.items()}
    return People(**arguments)
