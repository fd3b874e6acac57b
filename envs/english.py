"""How English is put together and taken apart: articles, plurals, ordinals, small words, and how it is misspelt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from instructrec.envs.tongue import NounPhrase, Token
from instructrec.envs.vocabulary import Term

SHORTEST_MISSPELT = 5
"""The shortest word that is misspelt by `misspell` and forgiven by the parser."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_BESIDE = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuioposdfghjklkxcvbnmn", strict=True))
_TOKEN = re.compile(r"\d+\.\d+|[^\W_]+|[^\w\s]|_")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NUMBERS = {
    **{"two": 2.0, "three": 3.0, "four": 4.0, "five": 5.0, "six": 6.0, "seven": 7.0, "eight": 8.0, "nine": 9.0},
    **{"ten": 10.0, "twelve": 12.0, "fifteen": 15.0, "twenty": 20.0, "thirty": 30.0, "forty": 40.0, "fifty": 50.0},
}
"""Numbers that are said in words; "one" is too often no number."""


def ordinal(position: int) -> str:
    """Returns the word for a place counted from 1: "second", "11th"."""
    if position <= len(_ORDINALS):
        return _ORDINALS[position - 1]
    last = "th" if position % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(position % 10, "th")
    return f"{position}{last}"


def with_article(phrase: str) -> str:
    """Returns ``phrase`` with "a" or "an" before it, by sound: "an 80s movie", "a 1980s movie"."""
    first = phrase.lower()
    consonant = first.startswith(("uni", "use", "one", "eu"))
    vowel = first.startswith(("a", "e", "i", "o", "u", "8", "11", "18")) and not consonant
    return f"{'an' if vowel else 'a'} {phrase}"


def joined(parts: Sequence[str]) -> str:
    """Returns a list as people say it: "scary, popular and recent"."""
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def misspell(text: str, rng: np.random.Generator) -> str:
    """Misspells one letter of one long word: doubled, dropped, swapped with the next, or its neighbour on the keyboard.

    Never the first or the last letter. Texts without a long word stay as they are.
    """
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) >= SHORTEST_MISSPELT and word.isascii() and word.isalpha()]
    if not long:
        return text
    place = long[int(rng.integers(len(long)))]
    word = words[place]
    at = int(rng.integers(1, len(word) - 1))
    words[place] = (
        word[: at + 1] + word[at:],
        word[:at] + word[at + 1 :],
        word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        word[:at] + _BESIDE.get(word[at], word[at]) + word[at + 1 :],
    )[int(rng.integers(4))]
    return " ".join(words)


def number_of(word: str) -> float | None:
    """Returns the number that is written in Arabic figures, or None."""
    figures = word[0].isdigit() and word.isascii() and word.replace(".", "", 1).isdigit()
    return float(word) if figures else None


class English:
    """English: a `Tongue`."""

    comma = ", "
    question = "?"
    unknown = "unknown"
    alternative = " or "
    please = "please"
    measures = False
    phrasal = False
    function_words = _words(
        "a about again all also am an and any anything are as at be been being but by can could did do does doing done "
        "dont else ever every for from get gets give go going got had has have he her here him his how i id if ill im "
        "in into is isnt it its ive just kind kinda know let lets like liked likes list long look looking lot lots "
        "made make makes many may maybe me might mood more most movie movies much must my need needs never no not "
        "nothing now of off ok okay on one ones only or other others our out over own per please possible pretty "
        "quite rather really recommend recommendation recommendations right say see seen she should show so some "
        "someone something sort still stuff such suggest sure take tell than thank thanks that thats the their them "
        "then there these they thing things think this those though to today tonight too two up us very want wanted "
        "wants was watch watched watching we well were what whats when where which while who whose why will wish with "
        "without would yes yet you your"
    )
    """Apostrophes left out."""
    negations = _words("no not nothing never without except avoid non dont doesnt isnt arent wont")
    through = _words(
        "a an any the of kind kinds sort sorts type stuff too very so really that thing things more at all like want "
        "to see watch it be me give show need or nor and another other"
    )
    leading = _words("from in with about made released set out")
    place = ""
    closing = ""
    alternatives = _words("or nor")
    additions = _words("and")
    articles = _words("a an some any the")
    openers = _words("it should be has to must have come came out that released made from in of the with a an only")
    """In "it should be rated 4 or higher" the last four words are enough."""
    boundaries = frozenset(".,;:!?()")
    punctuation = frozenset(".,;:!?()[]{}-–—\"'`*/_…")

    def noun_phrase(self, phrase: NounPhrase, shape: str) -> str:
        """Returns the phrase with the article that its slot asks for."""
        text = self._bare(phrase, plural=shape in ("some", "any", "many", "those"))
        definite = f"the {text}" if phrase.superlative else ""
        match shape:
            case "one" | "a":
                return text if phrase.something else definite or with_article(text)
            case "some":
                return definite or f"some {text}"
            case "those":
                return definite or text
            case "any":
                return f"any of {definite}" if definite else f"any {text}"
            case _:
                return text

    def _bare(self, phrase: NounPhrase, *, plural: bool) -> str:
        before = [piece.text for piece in sorted(phrase.before, key=lambda piece: piece.rank)]
        after = [piece.text for piece in sorted(phrase.after, key=lambda piece: piece.rank)]
        if phrase.something:
            return " ".join(part for part in ("something", joined(before), *after) if part)
        *attributes, head = phrase.heads
        core = [phrase.superlative, *before, *(one for one, _ in attributes), head[plural]]
        return " ".join(part for part in (*core, *after) if part)

    def one(self, phrase: str, measure: str) -> str:
        """Returns the phrase with an indefinite article."""
        return with_article(phrase)

    def joined(self, term: Term, head: str) -> str:
        """Returns both with a blank between them."""
        return f"{term.text} {head}"

    def series(self, names: Sequence[str]) -> str:
        """Returns "scary, popular and recent"; "none" for none."""
        return joined(names) or "none"

    def listed(self, tags: Sequence[str], rng: np.random.Generator) -> str:
        """Returns fragments with commas between them."""
        return ", ".join(tags)

    def ordinal(self, position: int) -> str:
        """Returns "second", "11th"."""
        return ordinal(position)

    def figure(self, position: int) -> str:
        """Returns "2": templates put "number" before it."""
        return str(position)

    def count(self, number: int, measure: str) -> str:
        """Returns "three", "11"."""
        words = (word for word, value in _NUMBERS.items() if value == number and number <= len(_ORDINALS))
        return next(words, str(number))

    def of_them(self, text: str) -> str:
        """Returns "of them from the 90s"."""
        return f"of them {text}"

    def places(self, position: int) -> tuple[str, ...]:
        """Returns "second", "number 2"."""
        return ordinal(position), f"number {position}"

    def written(self, text: str, rng: np.random.Generator, casual: float) -> str:
        """Returns a sentence with a capital and perhaps a full stop, or all in lower case."""
        if rng.random() < casual:
            return text.lower().removesuffix("?" if rng.random() < 0.5 else "")
        return text[:1].upper() + text[1:] + ("" if text.endswith("?") or rng.random() < 0.4 else ".")

    def misspell(self, text: str, rng: np.random.Generator) -> str:
        """Misspells one letter of one long word."""
        return misspell(text, rng)

    def tokens(self, text: str) -> list[Token]:
        """Returns words in lower case, without the apostrophes inside them, and marks."""
        # Apostrophes vanish inside words, so that "don't", "dont" and "don’t" are one word and "90's" is "90s".
        plain = re.sub(r"(?<=\w)['’ʼ](?=\w)", "", unicodedata.normalize("NFKC", text))
        # Speech recognisers write "1990 s".
        plain = re.sub(r"(?<!\w)(\d\d|\d{4}) [sS](?!\w)", r"\1s", plain)
        words = _TOKEN.findall(plain)
        return [Token(word.lower(), word, _NUMBERS.get(word.lower(), number_of(word))) for word in words]

    def forms(self, text: str) -> tuple[str, ...]:
        """Returns the text alone: plurals are terms' own."""
        return (text,)

    def alike(self, token: str) -> str:
        """Returns nothing: misspelt words are forgiven whole."""
        return ""
