"""Words that mean the opposite apart are one phrase, in whatever language, and nothing else is."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.agents.phrases import phrases_of, plain, words_of

ITEMS = {"red": 0, "blue": 1, "tall": 2, "红": 0}
"""The first three of eight items are red, blue and tall; nobody asks for the others."""


class Listener:
    """Lifts what is named, and lowers it where a word before or after it in the clause says no; counts the texts."""

    def __init__(self, before=(), after=()):
        self.before, self.after, self.heard = before, after, []

    def __call__(self, texts):
        self.heard += texts
        return np.stack([self._worth(text) for text in texts])

    def _worth(self, text):
        scores = np.zeros(8)
        for clause in re.split("[,;]", text):
            words = [plain(word) for word in words_of(clause)]
            for place, word in enumerate(words):
                if word in ITEMS:
                    no = {*words[:place]} & {*self.before} or {*words[place + 1 :]} & {*self.after}
                    scores[ITEMS[word]] += -1 if no else 1
        return scores - scores.mean()


def cut(text, most=99, **listens):
    return [plain(part) for part in phrases_of(words_of(text), Listener(**listens), most)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tall things, no red", ["tall", "things", "no red"]),
        ("no red", ["no red"]),
        ("without any red, but tall", ["without any red", "but", "tall"]),
        ("no red or blue, tall", ["no red or blue", "tall"]),
        ("no red; tall, without blue", ["no red", "tall", "without blue"]),
        ("no tall tales", ["no tall", "tales"]),
    ],
)
def test_what_turns_a_word_round_is_one_phrase_with_it_and_all_between(text, parts):
    assert cut(text, before=("no", "without")) == parts


def test_no_language_is_known_beforehand():
    assert cut("tall, 不要红", before=("不",)) == ["tall", "不要红"]
    assert cut("red nahi, tall", after=("nahi",)) == ["red nahi", "tall"]


@pytest.mark.parametrize("text", ["red and tall please", "no thank you, red", "red, red and red", "word"])
def test_words_that_say_apart_what_they_say_together_stay_apart(text):
    assert cut(text, before=("no",)) == [plain(word) for word in words_of(text)]


def test_what_is_too_faint_to_be_called_the_opposite_joins_nothing():
    def worth(texts):
        whole, faint = np.eye(4)[0], np.eye(4)[1]
        turned = {"no hint": -1, "hint": 1}
        return np.stack(
            [whole * ("red" in text) + 0.2 * faint * turned.get(text.partition(" red")[0], 0) for text in texts]
        )

    assert phrases_of(["no ", "hint ", "red"], worth, 99) == ["no ", "hint ", "red"]


@given(st.lists(st.sampled_from(["no", "red", "blue", "tall", "or", "x,"]), max_size=9), st.integers(0, 60))
def test_phrases_joined_are_the_text_and_no_more_texts_are_read_than_allowed(words, most):
    text = " ".join(words)
    listener = Listener(before=("no",))
    assert "".join(phrases_of(words_of(text), listener, most)) == text
    assert len(listener.heard) == len(set(listener.heard)) <= most


def test_a_text_is_read_no_further_than_allowed():
    assert cut("tall things, no red", most=5, before=("no",)) == ["tall", "things", "no", "red"]


@given(st.text(alphabet="ab, .'90二喜剧。\n-", max_size=40), st.integers(1, 8))
def test_words_joined_are_the_text(text, most):
    found = words_of(text, most)
    assert "".join(found) == (text if text.strip() else "")
    assert len(found) <= most


def test_words_are_what_people_take_for_words():
    assert words_of("sci-fi, from the 90s!") == ["sci-fi, ", "from ", "the ", "90s!"]
    assert words_of("喜剧，新") == ["喜", "剧，", "新"]
    assert words_of("a , b c d", most=2) == ["a , b ", "c d"]
    assert [plain(part) for part in ("90s! ", "no\n musicals, ", " ?! ")] == ["90s", "no musicals", "?!"]
