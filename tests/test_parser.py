import time
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructrec.envs.bank import Bank, compile_bank
from instructrec.envs.grammar import Style
from instructrec.envs.lexicon import words_of
from instructrec.envs.movielens import shipped
from instructrec.envs.parser import Parse, parse
from instructrec.envs.vocabulary import key_of
from instructrec.envs.worlds import speech_of
from instructrec.goals import Operator, Predicate, Reveal
from instructrec.splits import EVERY_SPLIT, Splits

MOVIES = speech_of("instructrec/Movies-v0")


def understood(text: str) -> list[str]:
    return [str(predicate) for predicate in parse(text, MOVIES).predicates]


def meaning(predicates) -> set:
    """What predicates mean: excluding two values is excluding the one and the other."""
    found = set()
    for predicate in predicates:
        if predicate.operator is Operator.EXCLUDE:
            found |= {("exclude", predicate.field, value, predicate.hard) for value in predicate.values}
        else:
            found.add((*key_of(predicate), predicate.hard, predicate.weight))
    return found


def said_in(bank: Bank):
    """Yields (text, what it says) for every text of a bank."""
    width = bank.goals.num_predicates
    for goal, predicates in enumerate(bank.predicates):
        volunteered = [p for p in predicates if p.reveal is Reveal.VOLUNTEERED]
        yield from ((text, volunteered) for text in bank.texts_of(bank.opening.group(goal)))
        yield from ((text, predicates) for text in bank.texts_of(bank.restated.group(goal)))
        for place, predicate in enumerate(predicates):
            yield from ((text, [predicate]) for text in bank.texts_of(bank.reveal.group(goal * width + place)))
    size = bank.critique.num_groups // len(bank.critiques)
    for kind, critique in enumerate(bank.critiques):
        operator = Operator.MORE_THAN if critique.direction > 0 else Operator.LESS_THAN
        for place in range(size):
            wanted = [Predicate(field=critique.field, operator=operator, position=place + 1)]
            yield from ((text, wanted) for text in bank.texts_of(bank.critique.group(kind * size + place)))
    yield from ((text, []) for text in bank.texts_of(bank.more.ids))


@cache
def bank_of(name: str, typos: float) -> Bank:
    every = Splits(templates=EVERY_SPLIT, synonyms=EVERY_SPLIT, combinations=EVERY_SPLIT)
    splits = every if name == "every" else Splits.of(name)
    return compile_bank(
        shipped()[0],
        MOVIES,
        ["genre"],
        splits=splits,
        size=3000 if name in ("train", "every") else 500,
        style=Style(typos=typos),
    )


def accuracy(bank: Bank) -> float:
    right = [meaning(parse(text, MOVIES).predicates) == meaning(wanted) for text, wanted in said_in(bank)]
    return sum(right) / len(right)


@pytest.mark.parametrize("name", ["train", "validation", "test", "every"])
def test_clean_text_of_every_split_is_understood_exactly(name):
    bank = bank_of(name, 0.0)
    assert accuracy(bank) >= 0.98
    assert not [text for text in bank.texts if parse(text, MOVIES).unknown]


def test_text_with_a_typo_in_every_sentence_is_still_mostly_understood():
    assert accuracy(bank_of("every", 1.0)) >= 0.97


def test_the_first_sentence_of_the_readme_is_understood():
    result = parse("a tense thriller from the 90s, no horror", MOVIES)
    assert [str(p) for p in result.predicates] == ["genre: Thriller", "year 1990–1999", "genre: not Horror"]
    assert result.unknown == ("tense",)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("no horror", ["genre: not Horror"]),
        ("no horror or westerns", ["genre: not Horror or Western"]),
        ("no horror, war", ["genre: not Horror", "genre: War"]),
        ("no gory horror", ["genre: not Horror"]),
        ("no horror and an action movie", ["genre: not Horror", "genre: Action"]),
        ("I don't really like horror movies", ["genre: not Horror"]),
        ("don’t show me musicals", ["genre: not Musical"]),
        ("anything but a western", ["genre: not Western"]),
        ("comedy or drama, but not a western", ["genre: Comedy or Drama", "genre: not Western"]),
        ("romantic comedy", ["genre: Romance", "genre: Comedy"]),
        ("not too old", ["year ≥ 1980"]),
        ("no films made before 1990", ["year ≥ 1990"]),
        ("no horror made before 1990", ["genre: not Horror", "year ≤ 1989"]),
        ("something of the last ten years", ["year ≥ 2009"]),
        ("from the past three decades", ["year ≥ 1989"]),
        ("a 1990 s comedy", ["year 1990–1999", "genre: Comedy"]),
        ("rated four or better", ["rating ≥ 4"]),
        ("nothing recent", ["year ≤ 2009"]),
        ("before 1980", ["year ≤ 1979"]),
        ("made before 1980", ["year ≤ 1979"]),
        ("released after 2000", ["year ≥ 2001"]),
        ("from 1994", ["year 1994–1994"]),
        ("from 1994 on", ["year ≥ 1994"]),
        ("made between 1985 and 1995", ["year 1985–1995"]),
        ("made between 1995 and 1985", ["year 1985–1995"]),
        ("rated 4 or better", ["rating ≥ 4"]),
        ("with at least 3.5 stars", ["rating ≥ 3.5"]),
        ("rated 40 or better", []),
        ("the best rated 90's comedies", ["rating: highest 5%", "year 1990–1999", "genre: Comedy"]),
        ("at least half comedies", ["at least 50% Comedy"]),
        ("mostly dramas, some of them famous", ["at least 60% Drama", "popularity: highest 15%"]),
        ("newer than the second one", ["year above that of no. 2"]),
        ("like the third but older", ["year below that of no. 3"]),
        ("something less well known than number 4", ["popularity below that of no. 4"]),
        ("better rated than the first", ["rating above that of no. 1"]),
        ("more like these", []),
        ("sci-fi", ["genre: Sci-Fi"]),
        ("SCI FI!!", ["genre: Sci-Fi"]),
        ("thrilers", ["genre: Thriller"]),
    ],
)
def test_phrases_mean_what_people_mean(text, wanted):
    assert understood(text) == wanted


def test_what_no_operator_can_say_is_not_understood_rather_than_turned_round():
    assert parse("nothing from the 80s", MOVIES) == Parse((), ("80s",))
    assert parse("something newer", MOVIES) == Parse((), ("newer",))


def test_small_words_are_not_unknown_and_content_words_are():
    result = parse("Could you please find me something atmospheric about baseball for tonight?", MOVIES)
    assert result == Parse((), ("atmospheric", "baseball"))


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("", ()),
        ("   \n\t", ()),
        ("...?!", ()),
        ("🎬🍿", ("🎬", "🍿")),
        ("我想看一部恐怖片", ("我想看一部恐怖片",)),
        ("\ud800", ("\ud800",)),
    ],
)
def test_text_in_no_known_words_is_unknown_not_an_error(text, unknown):
    assert parse(text, MOVIES) == Parse((), unknown)


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_it_never_raises_on_any_text(text):
    assert isinstance(parse(text, MOVIES), Parse)


_PIECES = sorted({word for sense in MOVIES.senses for term in sense.terms for word in words_of(term.text)} | {
    "no", "not", "or", "and", ",", ".", "than", "second", "number", "2", "1990", "between", "before", "after", "from",
    "newer", "less", "half", "mostly", "at", "least", "stars", "rated", "3.5", "nothing", "-", "but", "a", "the",
})  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=40))
@settings(max_examples=300, deadline=None)
def test_it_never_raises_on_its_own_words_in_any_order(pieces):
    result = parse(" ".join(pieces), MOVIES)
    assert len({key_of(p) for p in result.predicates}) <= len(pieces)


@pytest.mark.parametrize(
    "text", ["no horror " * 1000, "x" * 10_000, "between 1990 and " * 600, "9" * 10_000, "(" * 10_000]
)
def test_ten_thousand_characters_take_bounded_time(text):
    parse("", MOVIES)
    began = time.perf_counter()
    parse(text, MOVIES)
    assert time.perf_counter() - began < 1.0
