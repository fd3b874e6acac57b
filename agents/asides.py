"""What people say besides: names, plots, ages and reasons that no attribute of a catalogue answers to.

A reader that has met none of them makes something of each: of "starring Nora Belling" as of "set in 1920". Names and
plots are put together from syllables and everyday nouns; whoever is called so is nobody that was meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

_Option = TypeVar("_Option")

_FIRST = (
    *(
        "anna",
        "ben",
        "carla",
        "dan",
        "edith",
        "frank",
        "greta",
        "hugo",
        "irene",
        "jack",
        "kate",
        "liam",
        "maria",
        "nora",
    ),
    *("oscar", "paula", "quentin", "rita", "sam", "tessa", "ursula", "victor", "wanda", "yusuf", "zoe", "john", "mary"),
    *("tom", "will", "julia", "george", "chris", "brad", "sandra", "robert", "jennifer", "harrison", "meryl", "steven"),
)
_ONSETS = ("b", "br", "c", "d", "f", "g", "gr", "h", "j", "k", "l", "m", "n", "p", "r", "s", "sh", "st", "t", "tr", "w")
_VOWELS = ("a", "e", "i", "o", "u", "ea", "oo", "ai")
_ENDS = ("n", "r", "ll", "son", "ley", "man", "ford", "ton", "ck", "by", "ski", "nes", "well", "berg", "ard", "s")
_PEOPLE = (
    *("starring {}", "with {}", "with {} in it", "directed by {}", "by {}", "featuring {}", "that stars {}", "and {}"),
    *("that {} was in", "in which {} plays the lead", "where {} plays a {who}", "by the director {}", "written by {}"),
    *("that {} directed", "with a young {}", "played by {}", "from director {}", "made by {}", "did {} play in"),
    *(
        "with {} and {}",
        "starring {} or {}",
        "with actor {}",
        "with the actress {}",
        "produced by {}",
        "with music by {}",
    ),
)
_WHO = (
    *("plumber", "gardener", "teacher", "baker", "nurse", "farmer", "painter", "pianist", "waiter", "lawyer", "tailor"),
    *("student", "widow", "twin", "neighbor", "boy", "girl", "father", "grandmother", "doctor", "boxer", "chef", "dog"),
)
_WHAT = (
    *("bicycle", "lighthouse", "bakery", "violin", "suitcase", "boat", "island", "bridge", "farm", "letter", "garden"),
    *(
        "horse",
        "hotel",
        "school",
        "baseball team",
        "restaurant",
        "train",
        "piano",
        "mountain",
        "house",
        "river",
        "town",
    ),
)
_DOES = ("loses", "buys", "finds", "inherits", "sells", "builds", "runs", "leaves", "dreams of", "returns to", "saves")
_PLACES = ("paris", "alaska", "japan", "new york", "london", "texas", "brazil", "a small town", "africa", "the desert")
_PLOTS = (
    *("about a {who} who {does} a {what}", "where a {who} {does} a {what}", "about a {what}", "with a {what} in it"),
    *("about two {who}s", "set in {place}", "that takes place in {place}", "filmed in {place}", "about a {who}"),
    *("in which a {who} {does} a {what}", "where the {who} dies", "about {who}s", "about a {what} in {place}"),
)
_BEFORE = (
    *(
        "r rated",
        "pg-13",
        "pg 13",
        "unrated",
        "g rated",
        "pg rated",
        "french",
        "foreign",
        "japanese",
        "black and white",
    ),
    *("award-winning", "independent", "indie", "silent", "short", "low-budget", "big-budget", "made-for-tv", "spanish"),
    *("british", "italian", "historical", "biographical", "sports", "disney", "full-length", "english", "five-minute"),
    *("two-hour", "three-part", "religious", "political", "sport", "nature", "holiday", "christmas", "true-story"),
)
_QUESTIONS = (
    *(
        "has {} ever made {{}}",
        "did {} make {{}}",
        "was {} ever in {{}}",
        "is there {{}} that {} made",
        "is {} in {{}}",
    ),
    *(
        "does {} appear in {{}}",
        "did {} ever act in {{}}",
        "has {} been in {{}}",
        "{{}}, was {} in it",
        "what {} {{}} is there",
    ),
    *(
        "which {{}} did {} do",
        "I love {}, do you have {{}}",
        "was it {} who made {{}}",
        "does {} sing in {{}}",
        "{}: {{}}",
    ),
)
_SCORES = (
    *("with {} stars", "rated {} stars", "with a score of {}", "that got {} stars", "with an average score of {}"),
    *("{} stars", "scored {}", "with {} out of ten", "that was given {} stars", "with {} points", "rated about {}"),
)
_COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SET_IN = (
    *("set in {}", "set in the {}s", "that takes place in {}", "that takes place in the {}s", "taking place in {}"),
    *("set during the {}s", "about the year {}", "about life in the {}s", "that is set in the year {}", "based in {}"),
)
_AGES = (
    *("rated r", "rated pg", "rated pg 13", "rated pg-13", "with an r rating", "pg 13", "pg-13", "that is rated r"),
    *("with a pg rating", "rated nc 17", "rated g", "that is r rated", "with a pg-13 rating", "not rated", "unrated"),
)
_OTHERS = (
    *("in english", "in color", "in black and white", "with subtitles", "on dvd", "in french", "under two hours"),
    *(
        "with a twist ending",
        "with a happy ending",
        "with a good soundtrack",
        "based on a book",
        "based on a true story",
    ),
    *("that won an oscar", "nominated for an award", "that won awards", "with a sequel", "with a strong female lead"),
    *(
        "from a novel",
        "that is part of a series",
        "whose title I forgot",
        "with beautiful pictures",
        "with a big budget",
    ),
)
_REMARKS = (
    *("my parents are visiting", "it's raining outside", "my wife picked the last one", "I've had a long day"),
    *(
        "we have the evening off",
        "my sister is coming over",
        "it's for a birthday",
        "I'm home alone",
        "dinner is ready",
    ),
    *("my husband is asleep", "I have a cold", "my friends are here", "it's Friday night", "I can't sleep", "no rush"),
    *("there are four of us", "the popcorn is ready", "I just got home", "we are on a train", "my roommate asked"),
    *(
        "it is my turn to choose",
        "I promised my mother",
        "thanks in advance",
        "you did well last time",
        "I'm in a hurry",
    ),
    *("I'm new here", "my boss told me to", "we have two hours", "the sofa is waiting", "my dog likes it too"),
    *("I hope you can help", "work was awful", "it's cold tonight", "everyone is tired", "my internet is slow"),
    *("a friend told me about this", "my brother wants to join", "I'm on holiday", "we finished our series"),
)


class Asides:
    """Says things that ask for nothing.

    Args:
        rng: Of what is said.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def _pick(self, options: Sequence[_Option]) -> _Option:
        return options[int(self._rng.integers(len(options)))]

    def described(self) -> str:
        """Returns what may follow a noun and cannot be checked: "starring Nora Belling", "set in 1920"."""
        kind = self._rng.random()
        if kind < 0.4:
            said = self._pick(_PEOPLE).replace("{who}", self._pick(_WHO))
            return said.format(*(self._name() for _ in range(said.count("{}"))))
        if kind < 0.65:
            said = self._pick(_PLOTS)
            return said.format(
                who=self._pick(_WHO), what=self._pick(_WHAT), does=self._pick(_DOES), place=self._pick(_PLACES)
            )
        if kind < 0.75:
            said = self._pick(_SET_IN)
            year = int(self._rng.integers(1800, 2020))
            return said.format(year // 10 * 10 if "{}s" in said else year)
        if kind < 0.81:
            return self._pick(_SCORES).format(self._pick(_COUNTS))
        return self._pick(_AGES if kind < 0.91 else _OTHERS)

    def before(self) -> str:
        """Returns what may stand before a noun and cannot be checked: "unrated", "Nora Belling"."""
        return self._name() if self._rng.random() < 0.35 else self._pick(_BEFORE)

    def question(self) -> str:
        """Returns a question about somebody, with ``{}`` for what is asked for."""
        return self._pick(_QUESTIONS).format(self._name())

    def remark(self) -> str:
        """Returns a sentence that has nothing to do with it."""
        return self._pick(_REMARKS)

    def _name(self) -> str:
        last = "".join((self._pick(_ONSETS), self._pick(_VOWELS), self._pick(_ENDS)))
        return f"{self._pick(_FIRST)} {last}" if self._rng.random() < 0.75 else last
