"""Baselines do what their names say, remember what was said, and skip what was consumed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from instructrec.agents.baselines import (
    BM25,
    Cosine,
    ParserRanker,
    Popularity,
    Random,
    SkipConsumed,
    TextMemory,
    baselines,
    consumed,
    instructions_of,
    words,
)
from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.population_clickbait import ClickbaitPopulation
from instructrec.envs.worlds import speech_of
from instructrec.noise import Noise, session_keys
from instructrec.policies import best_first
from instructrec.rewards import EngagementReward
from instructrec.sessions import Observation, World
from instructrec.texts import Texts

TEXTS = Texts()
NAMES = ("Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta")
GENRES = (("Comedy",), ("Horror",), ("Comedy", "Horror"), ("Drama",), ("Comedy",), ("Western",))
YEARS = (1985, 1991, 2012, 2001, 2003, np.nan)


@pytest.fixture(scope="module")
def films() -> Catalogue:
    return Catalogue(
        {"genre": Column.multi_valued("genre", GENRES), "year": Column.numeric("year", YEARS)},
        NAMES,
        tuple(f"{name}, a {' and '.join(genre).lower()} film" for name, genre in zip(NAMES, GENRES, strict=True)),
        NAMES,
        np.array([50, 40, 30, 20, 10, 5], np.float32),
    )


def seen(
    *said: str,
    past: tuple[int, ...] = (),
    slates: tuple[tuple[int, ...], ...] = (),
    clicked: tuple[tuple[int, int], ...] = (),
    candidates: tuple[int, ...] | None = None,
) -> Observation:
    """What an agent sees of one session in which ``said`` was said, the last of it now."""
    ids, turn = TEXTS.ids(said), len(said) - 1
    shown, clicks = np.full((1, 4, 2), -1, np.int32), np.zeros((1, 4, 2), np.bool_)
    for at, slate in enumerate(slates):
        shown[0, at] = slate
    for at, position in clicked:
        clicks[0, at, position] = True
    earlier = np.full((1, 4), -1, np.int64)
    earlier[0, :turn] = ids[:-1]
    return Observation(
        instruction=ids[-1:],
        said=earlier,
        past=np.array([[*past, -1]], np.int32),
        past_ratings=np.zeros((1, len(past) + 1), np.float32),
        slates=shown,
        clicked=clicks,
        turn=np.array([turn], np.int32),
        candidates=None if candidates is None else np.array([candidates], np.int32),
        texts=TEXTS,
    )


def order(scores: Floats) -> str:
    """The initials of the items, best first."""
    return "".join(NAMES[item][0] for item in best_first(scores, scores.shape[1])[0])


def test_random_slates_are_distinct_and_equally_likely() -> None:
    keys = session_keys(np.zeros(6000, np.int64), np.arange(6000), np.zeros(6000, np.int64))
    many = seen("").rows(np.zeros(6000, np.int64))
    slates = Random(4, 2).act(many, Noise(keys, np.zeros(6000, np.int32)))
    counts = Counter(map(tuple, slates.tolist()))
    assert len(counts) == 12
    assert all(abs(count - 500) < 5 * np.sqrt(500) for count in counts.values())
    np.testing.assert_allclose(np.exp(Random(4, 2).log_prob(many, slates).sum(axis=1)), 1 / 12)


def test_random_slates_are_drawn_from_the_candidates() -> None:
    noise = Noise(session_keys(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)), np.zeros(1))
    shown = Random(6, 3).act(seen("", candidates=(5, 1, 3)), noise)
    assert sorted(shown[0]) == [1, 3, 5]
    np.testing.assert_allclose(Random(6, 3).log_prob(seen("", candidates=(5, 1, 3)), shown), -np.log([[3, 2, 1]]))
    with pytest.raises(ValueError, match=r"item 0 .* not among the candidates"):
        Random(6, 3).log_prob(seen("", candidates=(5, 1, 3)), np.array([[5, 1, 0]]))


def a_world(films: Catalogue) -> World:
    people = ClickbaitPopulation(films, column="year")
    return World(name="x/Films-v0", catalogue=films, population=people, reward=EngagementReward(), slate_size=2)


def test_what_was_consumed_goes_last_for_everybody(films: Catalogue) -> None:
    situation = seen("", "", past=(0,), slates=((1, 2),), clicked=((0, 1),))
    assert consumed(situation, 6)[0].tolist() == [True, False, True, False, False, False]
    assert order(SkipConsumed(Popularity(films), 6).scores(situation)).startswith("BDEZ")
    some = seen("", past=(0,), candidates=(4, 0, 1))
    assert np.isneginf(SkipConsumed(Popularity(films), 6).scores(some)).tolist() == [[False, True, False]]
    competitors = baselines(a_world(films))
    assert set(competitors) == {"random", "popularity", "bm25", "parser"}
    assert all(isinstance(one, SkipConsumed) for name, one in competitors.items() if name != "random")


def test_popularity_hears_nothing(films: Catalogue) -> None:
    assert order(Popularity(films).scores(seen("a western"))) == "ABGDEZ"


def test_words_are_compared_without_endings_and_small_talk() -> None:
    assert words("Show me some Comedies, please!") == ["comedy"]
    assert words("westerns horses glass bus") == ["western", "horse", "glass", "bus"]
    assert words("90年代恐怖片，IMAX 鞋") == ["90", "年代", "代恐", "恐怖", "怖片", "imax", "鞋"]


def test_bm25_finds_what_shares_words_and_orders_the_rest_by_popularity(films: Catalogue) -> None:
    assert order(BM25(films).scores(seen("westerns"))) == "ZABGDE"
    assert order(BM25(films).scores(seen(""))) == "ABGDEZ"
    assert order(BM25(films).scores(seen("qwertz uiop"))) == "ABGDEZ"
    assert order(BM25(films).scores(seen("a drama", candidates=(0, 3, 5))))[0] == "B"  # place 1 of the candidates


def test_what_was_said_stays_said_as_far_as_memory_goes(films: Catalogue) -> None:
    assert order(BM25(films, memory=0.5).scores(seen("westerns", "more")))[0] == "Z"
    assert order(BM25(films, memory=0.0).scores(seen("westerns", "more"))) == "ABGDEZ"
    assert order(BM25(films, memory=0.5).scores(seen("drama", "westerns"))) == "ZDABGE"
    heard = instructions_of(seen("one", "two", "three"))[0]
    assert [TEXTS.strings(np.array([text]))[0] for text in heard] == ["three", "two", "one", "", ""]


class Letters:
    """Encodes a text as the counts of its letters."""

    fingerprint = "letters"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        self.encoded += texts
        return np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], np.float32)


def test_cosine_ranks_by_similarity_and_encodes_each_text_once(films: Catalogue) -> None:
    encoder = Letters()
    ranker = Cosine(films, encoder, memory=0.0)
    scores = ranker.scores(seen("Zeta, a western film"))
    assert order(scores)[0] == "Z"
    assert scores[0, 5] == pytest.approx(1.0, abs=2e-3)
    before = len(encoder.encoded)
    ranker.scores(seen("Zeta, a western film"))
    assert len(encoder.encoded) == before
    assert order(ranker.scores(seen(""))) == "ABGDEZ"
    assert "cosine" in baselines(a_world(films), encoder)


def test_a_text_memory_forgets_the_least_recently_used() -> None:
    made: list[str] = []

    def make(texts: list[str]) -> npt.NDArray[np.float32]:
        made.extend(texts)
        return np.ones((len(texts), 2), np.float32)

    memory, situation = TextMemory(make, capacity=2), seen("x")
    one, two, three = TEXTS.ids(["one", "two", "three"])
    for text in (one, two, one, three, one, two):
        assert memory.of(situation, np.array([text])).shape == (1, 2)
    assert made == ["one", "two", "three", "two"]


def test_a_ranker_that_met_other_people_hears_what_these_say(films: Catalogue) -> None:
    # The same id is another text where people have a table of their own, as training people do.
    here, there = (
        replace(seen(""), instruction=np.array([1]), texts=Texts(["", words])) for words in ("a western", "a drama")
    )
    for ranker in (BM25(films), ParserRanker(films, speech_of("instructrec/Movies-v0"))):
        assert [order(ranker.scores(one))[0] for one in (here, there, here)] == ["Z", "D", "Z"]


def test_the_parser_ranks_by_conditions_met_then_by_popularity(films: Catalogue) -> None:
    ranker = ParserRanker(films, speech_of("instructrec/Movies-v0"))
    assert order(ranker.scores(seen("a comedy, no horror"))) == "AEGDZB"
    assert order(ranker.scores(seen("something from before 1990")))[0] == "A"
    assert order(ranker.scores(seen("")))[0] == "A"


def test_the_parser_finds_of_candidates_what_it_finds_of_all(films: Catalogue) -> None:
    ranker = ParserRanker(films, speech_of("instructrec/Movies-v0"))
    for said in (("a comedy, no horror",), ("",), ("a comedy", "from before 1990"), ("a comedy, no horror",)):
        everything, some = ranker.scores(seen(*said)), ranker.scores(seen(*said, candidates=(4, 1, 0)))
        np.testing.assert_array_equal(some, everything[:, [4, 1, 0]])


def test_a_first_sentence_is_forgotten_with_the_table_that_numbers_it(films: Catalogue) -> None:
    ranker, first = ParserRanker(films, speech_of("instructrec/Movies-v0")), seen("")
    for wish, best in (("a comedy", "A"), ("a western", "Z"), ("a comedy", "A")):
        asked = replace(first, instruction=np.array([1]), texts=Texts([wish]))
        assert order(ranker.scores(asked))[0] == best


def test_the_parser_remembers_until_the_same_is_asked_for_anew(films: Catalogue) -> None:
    ranker = ParserRanker(films, speech_of("instructrec/Movies-v0"))
    assert order(ranker.scores(seen("a comedy", "no horror")))[:2] == "AE"
    assert order(ranker.scores(seen("no horror", "a comedy", "show me more")))[:2] == "AE"
    assert order(ranker.scores(seen("a comedy", "a western")))[0] == "Z"
    assert order(ranker.scores(seen("no horror", "a horror film")))[:2] == "BG"
    assert len(ranker.understood(seen("a comedy from the 90s", "actually, a western"), 0)) == 1


def test_a_critique_is_resolved_against_the_item_it_speaks_of(films: Catalogue) -> None:
    ranker = ParserRanker(films, speech_of("instructrec/Movies-v0"))
    newer = seen("a comedy", "newer than the second one", slates=((0, 4),))
    assert [str(condition) for condition in ranker.understood(newer, 0)] == ["genre: Comedy", "year ≥ 2003"]
    assert order(ranker.scores(newer))[0] == "G"
    beyond = seen("a comedy", "newer than the third one", slates=((0, 4),))
    assert len(ranker.understood(beyond, 0)) == 1
    unknown = seen("a comedy", "newer than the second one", slates=((0, 5),))
    assert len(ranker.understood(unknown, 0)) == 1
