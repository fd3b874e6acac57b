from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import Vocabulary, key_of
from instructrec.envs.worlds import make_world, spoken_in
from instructrec.experiments.answering import Answers, answer, summary, to_markdown, to_text
from instructrec.experiments.cli import run
from instructrec.experiments.real_requests import Request, Requests, read_requests
from instructrec.experiments.request_meanings import GENRES, genre_meaning, time_meaning
from instructrec.goals import compile_goals, satisfied
from instructrec.sessions import Observation, World

INVENTED = """\
find:O me:O a:O scary:B-GENRE movie:O from:O the:O 1990:B-YEAR s:I-YEAR <=> <NULL>
any:O mockumentaries:B-GENRE with:O john:B-ACTOR smith:I-ACTOR <=> <NULL>
something:O that:O is:O not:O a:O musical:B-GENRE <=> <NULL>
list:O comedies:B-GENRE or:O westerns:B-GENRE from:O the:O 1970s:B-YEAR or:O 1980s:B-YEAR <=> <NULL>
a:O romantic:B-GENRE comedy:I-GENRE out:O in:O the:O last:B-YEAR ten:I-YEAR years:I-YEAR <=> <NULL>
a:O lighthouse:B-GENRE drama:I-GENRE <=> <NULL>
a:O good:O biography:B-GENRE <=> <NULL>
a:O horror:B-GENRE musical:B-GENRE from:O 1931:B-YEAR <=> <NULL>
what:O genre:B-GENRE is:O the:O blue:B-TITLE lamp:I-TITLE <=> <NULL>
who:O is:O john:B-ACTOR smith:I-ACTOR <=> <NULL>
"""


@functools.cache
def _movies() -> World:
    return make_world("instructrec/Movies-v0", split="validation")


def _words() -> Vocabulary:
    return spoken_in(_movies())


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    file = tmp_path / "valid"
    file.write_text(INVENTED)
    return file


def _read(file: Path) -> Requests:
    return read_requests(file, _movies().catalogue, _words())


def _asked(tmp_path: Path, query: str) -> Request:
    file = tmp_path / "one"
    file.write_text(query)
    (found,) = _read(file).kept
    return found


def _says(request: Request) -> list[str]:
    return [str(predicate) for predicate in request.predicates]


def test_every_genre_of_the_films_has_words_and_no_other() -> None:
    assert set(GENRES) == set(_movies().catalogue.column("genre").values)


@pytest.mark.parametrize(
    ("said", "meant", "unread"),
    [
        ("scary movies", ["genre: Horror"], []),
        ("romantic comedies", ["genre: Romance", "genre: Comedy"], []),
        ("romcom", ["genre: Comedy", "genre: Romance"], []),
        ("sci fi", ["genre: Sci-Fi"], []),
        ("film noir", ["genre: Film-Noir"], []),
        ("spaghetti western", ["genre: Western"], []),
        ("docmentary", ["genre: Documentary"], []),
        ("lighthouse drama", ["genre: Drama"], ["lighthouse"]),
        ("non comedy", ["genre: not Comedy"], []),
        ("non fiction", ["genre: Documentary"], []),
        ("biography", [], ["biography"]),
        ("classic", [], ["classic"]),
        ("genre", [], []),
    ],
)
def test_words_of_genres_mean_what_the_films_are_listed_under(said: str, meant: list[str], unread: list[str]) -> None:
    found = genre_meaning(said.split())
    assert [str(predicate) for predicate in found.predicates] == meant
    assert list(found.unread) == unread


@pytest.mark.parametrize(
    ("before", "said", "after", "meant"),
    [
        ("from the", "1950 s", "", "year 1950–1959"),
        ("from the", "90s", "", "year 1990–1999"),
        ("from the", "eighties", "", "year 1980–1989"),
        ("of the", "2010s", "", "year 2010–2019"),
        ("from the late", "90s", "", "year 1995–1999"),
        ("in", "1994", "", "year 1994–1994"),
        ("from", "86", "", "year 1986–1986"),
        ("of", "autumn 1991", "", "year 1991–1991"),
        ("made before", "1980", "", "year ≤ 1979"),
        ("", "before the year 1990", "", "year ≤ 1989"),
        ("after the", "1980s", "", "year ≥ 1990"),
        ("released since", "2003", "", "year ≥ 2003"),
        ("from", "1985", "or later", "year ≥ 1985"),
        ("from the", "1970s and beyond", "", "year ≥ 1970"),
        ("", "between 2003 and 2007", "", "year 2003–2007"),
        ("from", "1986 to 1988", "", "year 1986–1988"),
        ("from the", "1970s or 1980s", "", "year 1970–1989"),
        ("of the", "past six decades", "", "year ≥ 1959"),
        ("in the", "last decade", "", "year ≥ 2009"),
        ("", "last year", "", "year 2017–2017"),
        ("within the", "last year", "", "year ≥ 2017"),
        ("", "this year", "", "year 2018–2018"),
        ("the most", "recent", "", "year: highest 5%"),
        ("some", "recent", "", "year ≥ 2010"),
        ("the", "oldest movie", "", "year: lowest 5%"),
        ("", "old", "", "year ≤ 1979"),
    ],
)
def test_times_are_bounds_on_the_year_counted_from_2018(before: str, said: str, after: str, meant: str) -> None:
    (found,) = time_meaning(said.split(), before.split(), after.split()).predicates
    assert str(found) == meant


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("a film set in the", "1950 s"),
        ("that takes place in", "1940"),
        ("what", "year"),
        ("", "1970s or 1990s"),
        ("", "upcoming"),
        ("the", "1800s"),
    ],
)
def test_settings_questions_and_what_no_bound_says_mean_nothing(before: str, said: str) -> None:
    assert not time_meaning(said.split(), before.split()).predicates


@pytest.mark.parametrize(
    "said",
    ["last five years", "past ten years", "last two decades", "last few years", "1960s", "since 1985"],
)
def test_where_words_leave_room_years_are_counted_as_in_the_movies_world(said: str) -> None:
    (ours,) = time_meaning(said.split()).predicates
    (theirs,) = parse(f"a movie {said}" if "since" in said else f"a movie from the {said}", _words()).predicates
    assert key_of(ours) == key_of(theirs)


def test_spans_become_predicates_and_what_nobody_wants_is_excluded(corpus: Path) -> None:
    found = _read(corpus)
    assert [_says(request) for request in found.kept] == [
        ["genre: Horror", "year 1990–1999"],
        ["genre: Comedy"],
        ["genre: not Musical"],
        ["genre: Comedy or Western", "year 1970–1989"],
        ["genre: Romance", "genre: Comedy", "year ≥ 2009"],
        ["genre: Drama"],
    ]
    assert [request.kind for request in found.kept] == [
        "genre + time", "genre", "exclusion", "genre + time", "genre + time", "genre",
    ]  # fmt: skip


def test_what_is_left_out_is_counted_by_its_cause_and_by_its_words(corpus: Path) -> None:
    found = _read(corpus)
    assert found.counts == {"queries": 10, "name": 9, "titles": 1, "unmapped": 1, "few": 1, "kept": 6}
    assert found.unmapped == {"biography": 1}
    assert found.partly == {"lighthouse drama": 1}
    genre = _movies().catalogue.column("genre")
    assert found.matches[1] == int((genre.masks & np.uint64(genre.mask_of(["Comedy"])) > 0).sum())
    assert min(found.matches) >= 10


def test_inside_are_words_in_which_the_parser_reads_just_that(corpus: Path) -> None:
    found = _read(corpus)
    assert [request.inside for request in found.kept] == [True, False, True, False, True, False]
    assert [request.whole for request in found.kept] == [True, False, True, True, True, False]


def test_a_negation_reaches_what_stands_next_to_it_and_no_further(tmp_path: Path) -> None:
    near = _asked(tmp_path, "films:O that:O are:O not:O horror:B-GENRE but:O a:O comedy:B-GENRE")
    assert _says(near) == ["genre: not Horror", "genre: Comedy"]
    far = _asked(tmp_path, "isnt:O there:O one:O good:O comedy:B-GENRE")
    assert _says(far) == ["genre: Comedy"]
    time = _asked(tmp_path, "a:O comedy:B-GENRE not:O from:O the:O 1990s:B-YEAR")
    assert "year" not in str(_says(time)), "no single bound says what is not from a decade"


class _Knowing:
    """Ranks by what the text at hand is known to mean, or by its contrary; keeps whom it met."""

    def __init__(self, requests: Sequence[Request], *, sign: int = 1) -> None:
        self.meant = {request.text: request.predicates for request in requests}
        self.sign, self.pasts = sign, dict[str, Any]()

    def scores(self, observation: Observation) -> Any:
        texts = observation.texts.strings(observation.instruction)
        self.pasts |= dict(zip(texts, observation.past.tolist(), strict=True))
        films = _movies().catalogue
        goals = compile_goals([self.meant[text] for text in texts], films)
        met = satisfied(goals, films, np.arange(films.num_items))
        return self.sign * np.where(goals.weight[:, :, None] > 0, met, 0).sum(axis=1).astype(np.float32)


def _answers(found: Requests) -> dict[str, Answers]:
    knowing, contrary = _Knowing(found.kept), _Knowing(found.kept, sign=-1)
    answers = {
        "knowing": answer(_movies(), knowing, found.kept, seed=1),
        "contrary": answer(_movies(), contrary, found.kept, seed=1),
    }
    assert knowing.pasts == contrary.pasts, "all agents answer the same people"
    assert len({str(past) for past in knowing.pasts.values()}) > 1
    return answers


def test_who_knows_what_is_meant_meets_all_of_it_and_who_does_the_contrary_nothing(corpus: Path) -> None:
    answers = _answers(_read(corpus))
    assert answers["knowing"].csr.tolist() == [1.0] * 6
    assert answers["contrary"].csr.tolist() == [0.0] * 6
    assert answers["knowing"].strict.tolist() == [1.0] * 6
    assert np.nan_to_num(answers["contrary"].violation).tolist() == [0, 0, 1, 0, 0, 0]


def test_what_phrases_cost_adds_up_to_what_is_missing(corpus: Path) -> None:
    found = _read(corpus)
    document = summary(found, _answers(found), _movies().catalogue.num_items, "contrary")
    for key in ("forms", "words"):
        for place in ("inside", "outside"):
            lost = [row["agents"]["contrary"]["lost"] for row in document[key] if row["place"] == place]
            assert sum(lost) == pytest.approx(1.0)
    inside = next(row for row in document["groups"] if (row["place"], row["kind"]) == ("inside", "all"))
    assert inside["queries"] == 3
    assert inside["agents"]["knowing"]["csr"] == {"value": 1.0, "low": 1.0, "high": 1.0}


def test_the_command_measures_prints_and_keeps(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["requests", "movies", "--corpus", str(corpus.parent), "--agents", "random,parser", "--out", str(out)]
    assert run([*asked, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    inside = {row["kind"]: row["agents"] for row in document["groups"] if row["place"] == "inside"}
    assert inside["all"]["parser"]["csr"]["value"] == 1.0
    assert inside["all"]["random"]["csr"]["value"] < 0.7
    assert inside["exclusion"]["parser"]["violation"]["value"] == 0.0
    assert json.loads((out / "requests.json").read_text()) == document
    assert (out / "requests.md").read_text() == to_markdown(document)
    assert "mockumentaries (genre: Comedy)" in to_markdown(document)
    assert max(map(len, to_text(document).splitlines())) <= 80


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "there is no corpus"),
        ("", "holds no query"),
        ("a comedy please", "'a' is no word:TAG"),
        ("a:O comedy:GENRE", "'comedy:GENRE' is no word:TAG"),
        (b"caf\xe9:O", "not UTF-8"),
        ("who:O is:O john:B-ACTOR", "names a genre or a time"),
    ],
)
def test_a_corpus_that_cannot_be_read_is_told_with_its_cure(
    given: str | bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "corpus"
    if given is not None:
        file.write_bytes(given if isinstance(given, bytes) else given.encode())
    assert run(["requests", "movies", "--corpus", str(file), "--agents", "random", "--out", str(tmp_path / "o")]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["movies", "--agents", "prser"], "did you mean 'parser'"),
        (["movies", "--agents", "slate_ppo"], "has to be trained first"),
        (["movies", "--agents", "informed"], "does not read what is said"),
        (["movies", "--agents", ""], "name at least one agent"),
        (["shop", "--agents", "random"], "measure in movies"),
        (["movies", "--world-set", "language=zh", "--agents", "random"], "the requests are English"),
    ],
)
def test_agents_and_worlds_that_do_not_fit_are_refused_in_a_sentence(
    arguments: list[str], words: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["requests", *arguments, "--corpus", str(corpus), "--out", str(tmp_path / "out")]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
