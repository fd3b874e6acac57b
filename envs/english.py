"""What English adds to any vocabulary: small words, ordinals, articles, and how it is misspelt."""

from __future__ import annotations

import numpy as np

SHORTEST_MISSPELT = 5
"""The shortest word that is misspelt by `misspell` and forgiven by the parser."""

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_BESIDE = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuioposdfghjklkxcvbnmn", strict=True))


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTION_WORDS = _words(
    "a about again all also am an and any anything are as at be been being but by can could did do does doing done "
    "dont else ever every for from get gets give go going got had has have he her here him his how i id if ill im in "
    "into is isnt it its ive just kind kinda know let lets like liked likes list long look looking lot lots made make "
    "makes many may maybe me might mood more most movie movies much must my need needs never no not nothing now of off "
    "ok okay on one ones only or other others our out over own per please possible pretty quite rather really "
    "recommend recommendation recommendations right say see seen she should show so some someone something sort still "
    "stuff such suggest sure take tell than thank thanks that thats the their them then there these they thing things "
    "think this those though to today tonight too two up us very want wanted wants was watch watched watching we well "
    "were what whats when where which while who whose why will wish with without would yes yet you your"
)
"""Words that carry no condition of their own and so are never "not understood"; apostrophes left out."""
NEGATIONS = _words("no not nothing never without except avoid non dont doesnt isnt arent wont")
"""Words that turn round what follows."""
THROUGH = _words(
    "a an any the of kind kinds sort sorts type stuff too very so really that thing things more at all like want to "
    "see watch it be me give show need or nor and another other"
)
"""What may stand between "no" and what it negates, or between two negated things."""
LEADING = _words("from in with about made released set out")
"""What may lead from "nothing" to what it negates, but not from one negated thing to the next."""
ALTERNATIVES = _words("or nor")
ARTICLES = _words("a an some any the")
OPENERS = _words("it should be has to must have come came out that released made from in of the with a an only")
"""How a frame may begin before what it says: in "it should be rated 4 or higher" the last four words are enough."""
NUMBERS = {
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


def number_word(number: int) -> str:
    """Returns a whole number as people write it: "three", "11"."""
    return next((word for word, value in NUMBERS.items() if value == number and number <= len(_ORDINALS)), str(number))


def with_article(phrase: str) -> str:
    """Returns ``phrase`` with "a" or "an" before it, by sound: "an 80s movie", "a 1980s movie"."""
    first = phrase.lower()
    consonant = first.startswith(("uni", "use", "one", "eu"))
    vowel = first.startswith(("a", "e", "i", "o", "u", "8", "11", "18")) and not consonant
    return f"{'an' if vowel else 'a'} {phrase}"


def joined(parts: list[str]) -> str:
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
