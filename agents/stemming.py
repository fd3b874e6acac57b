"""Classic preparation of English texts: stop words taken out, plurals made singular.

Retrieval by words gains by it. Who reads sentences loses the words that turn them round: "no", "not", "before" and
"more" are stop words, so that "no comedies" and "a comedy" become the same.

References:
    Harman (1991), How effective is suffixing? JASIS 42 (the S stemmer); Bird, Klein and Loper (2009), Natural language
    processing with Python (the list of stop words, as bm25s carries it).
"""

from __future__ import annotations

import re
from functools import cache

_WORD = re.compile(r"\d+(?:[.,]\d+)*\w*|[^\W_]+")
"""Numbers stay whole; apostrophes part words, as the list of stop words has them ("don", "t")."""


def stemmed(text: str) -> str:
    """Returns a text's words in their order, small, stemmed and without stop words, with a blank between."""
    words = (word for word in _WORD.findall(text.lower()) if word not in _stop_words())
    return " ".join(word if word[0].isdigit() else singular(word) for word in words)


def singular(word: str) -> str:
    """Returns a word in small letters without the ending of a plural, by the S stemmer."""
    if word.endswith("ies") and not word.endswith(("eies", "aies")) and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")) and len(word) > 3:
        return word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and len(word) > 3:
        return word[:-1]
    return word


@cache
def _stop_words() -> frozenset[str]:
    # Imported when first needed: it brings scipy along.
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    return frozenset(STOPWORDS_EN_PLUS)
