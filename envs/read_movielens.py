"""Reading MovieLens as GroupLens gives it out: 100K (tabs and pipes), 1M (``::``), and the later CSV sets.

References:
    F. Maxwell Harper and Joseph A. Konstan (2015), The MovieLens Datasets: History and Context, ACM TiiS 5(4), 19.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from instructrec.envs.files import Files
from instructrec.envs.gathering import MAX_RATINGS, Gathering, Rows
from instructrec.envs.interactions import Attribute, Feedback, Interactions
from instructrec.envs.movielens import NO_GENRES, load_tags, split_title
from instructrec.envs.tables import Layout, TableReader

_RATINGS = ("userId", "movieId", "rating", "timestamp")
_FILM = ("movieId", "title", "genres")
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_MOST_TAGS = 8


@dataclass(frozen=True)
class _Set:
    """The files of one edition: which, how they are divided, and the range of its stars."""

    ratings: str
    films: str
    people: str
    ratings_layout: Layout
    films_layout: Layout
    people_layout: Layout
    scale: tuple[float, float]


def _plain(separator: str, *header: str) -> Layout:
    return Layout(separator, quoted=False, header=header, encoding="latin-1")


EDITIONS = {
    "movielens-100k": _Set(
        "u.data",
        "u.item",
        "u.user",
        _plain("\t", *_RATINGS),
        _plain("|", "movieId", "title", "released", "video", "url", *_GENRES_100K),
        _plain("|", "userId", "age", "gender", "occupation", "zip"),
        (1, 5),
    ),
    "movielens-1m": _Set(
        "ratings.dat",
        "movies.dat",
        "users.dat",
        _plain("::", *_RATINGS),
        _plain("::", *_FILM),
        _plain("::", "userId", "gender", "age", "occupation", "zip"),
        (1, 5),
    ),
    "movielens": _Set("ratings.csv", "movies.csv", "", Layout(), Layout(), Layout(), (0.5, 5)),
}
"""The editions by format name."""


def read_movielens(files: Files, edition: str, *, max_ratings: int = MAX_RATINGS) -> Interactions:
    """Reads an edition of MovieLens; films have ``title``, as people say it, ``genre``, ``year`` and perhaps ``tags``.

    Args:
        files: Where it lies.
        edition: A key of `EDITIONS`.
        max_ratings: How many ratings are held at most.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is malformed; the message names the file, the line and the cure.
    """
    parts = EDITIONS[edition]
    films = _films(TableReader(files, _one(files, parts.films), parts.films_layout, _FILM))
    reader = TableReader(files, _one(files, parts.ratings), parts.ratings_layout, _RATINGS)
    gathering = Gathering(reader.source, max_ratings)
    for block in reader.blocks(_RATINGS):
        gathering.add(block, "userId", "movieId", block.within("rating", *parts.scale), block.times("timestamp"))
    if edition == "movielens" and files.find("tags.csv"):
        tags = load_tags(files.place, films.ids)
        words = [tuple(tags.get(item, ())[:_MOST_TAGS]) for item in range(len(films.ids))]
        films = Rows(films.source, films.ids, {**films.attributes, "tags": Attribute.token_seq("tags", words)})
    return gathering.finished(
        edition,
        feedback=Feedback.RATINGS,
        items=films,
        persons=_people(files, parts),
        scale=parts.scale,
    )


def _one(files: Files, name: str) -> str:
    found = files.find(name)
    if not found:
        raise FileNotFoundError(f"{files.place} holds no {name}; expected it there (found: {files.listed()})")
    return found[0]


def _films(reader: TableReader) -> Rows:
    flags = [name for name in _GENRES_100K if name in reader.header]
    table = next(reader.blocks(["movieId", "title", *(flags or ["genres"])], rows=None))
    table.check_unique("movieId")
    named = [split_title(title) for title in table.filled("title")]
    genres: Sequence[Sequence[str]]
    if flags:
        # The first flag means that nobody knows the genre.
        present = {name: table.within(name, 0, 1) for name in flags}
        genres = [[name for name in flags[1:] if present[name][row]] for row in range(len(table))]
    else:
        genres = [[part.strip() for part in cell.split("|") if part != NO_GENRES] for cell in table.columns["genres"]]
    return Rows(
        reader.source,
        tuple(table.filled("movieId")),
        {
            "title": Attribute.token("title", [title for title, _ in named]),
            "genre": Attribute.token_seq("genre", genres),
            "year": Attribute.floats("year", [year for _, year in named]),
        },
    )


def _people(files: Files, parts: _Set) -> Rows | None:
    if not parts.people or not files.find(parts.people):
        return None
    reader = TableReader(files, files.find(parts.people)[0], parts.people_layout)
    table = next(reader.blocks(["userId", "age", "gender", "occupation"], rows=None))
    table.check_unique("userId")
    attributes = {
        "age": Attribute.floats("age", table.floats("age")),
        "gender": Attribute.token("gender", table.columns["gender"]),
        "occupation": Attribute.token("occupation", table.columns["occupation"]),
    }
    return Rows(reader.source, tuple(table.filled("userId")), attributes)
