"""What people mean by the genres and times they name: words of ordinary English into predicates over films.

The mapping is written down here, so that anybody can dispute it. A word means a genre where films of the sort are
listed under it by definition ("whodunit") or by habit (at least four of five films that MovieLens' raters tagged
"superhero", "police" or "parody" are Action, Crime or Comedy). What the catalogue has no genre for means nothing:
biography, history, sport, disaster, teen, independent, avant-garde, silent, short, foreign, political, Disney. Nor
does "classic", which raters say of films of any year.

Times are counted from `NOW`, in which the catalogue's films end. Where words leave room, the reading is that of the
Movies world: "the last five years" are five (2014 to 2018), "recent" begins in 2010, "old" ends in 1979, and the newest
and oldest are the outer 5 %.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from instructrec.goals import Operator, Predicate

NOW = 2018
RECENT_FROM, OLD_UNTIL, OUTER_SHARE = 2010, 1979, 0.05

GENRES: Mapping[str, tuple[str, ...]] = {
    "Action": ("action", "action packed", "superhero", "superheroes", "martial arts", "kung fu", "karate"),
    "Adventure": ("adventure", "adventures", "adventurous", "swashbuckler", "swashbuckling", "quest"),
    "Animation": (
        *("animation", "animations", "animated", "cartoon", "cartoons", "anime", "pixar", "claymation", "stop motion"),
        *("computer animated", "3d animated", "cg animated", "cgi animated"),
    ),
    "Children": (
        *("kid", "kids", "child", "children", "childrens", "family", "kid friendly", "family friendly"),
        *("child friendly", "for kids", "for children"),
    ),
    "Comedy": (
        *("comedy", "comedies", "comedic", "comical", "funny", "funniest", "hilarious", "humorous", "humor", "humour"),
        *("laugh", "laughs", "joke", "jokes", "gag", "gags", "parody", "parodies", "spoof", "spoofs", "farce"),
        *("satire", "satires", "satirical", "slapstick", "mockumentary", "mockumentaries", "dark comedy"),
        *("dark comedies", "black comedy", "black comedies", "romcom", "rom com", "romcoms", "rom coms", "amusing"),
        *("dramedy", "dramedies", "tragicomedy"),
    ),
    "Crime": (
        *("crime", "crimes", "gangster", "gangsters", "mafia", "mob", "mobster", "heist", "police", "cop", "cops"),
        *("organized crime", "true crime"),
    ),
    "Documentary": ("documentary", "documentaries", "doc", "docs", "nonfiction", "non fiction"),
    "Drama": (
        *("drama", "dramas", "dramatic", "melodrama", "melodramas", "melodramatic", "tearjerker", "tearjerkers"),
        *("tear jerker", "tear jerkers", "emotional", "tragedy", "tragedies", "tragic", "dramedy", "dramedies"),
        "tragicomedy",
    ),
    "Fantasy": ("fantasy", "fantasies", "magical", "fairy tale", "fairy tales", "fairytale", "fairytales"),
    "Film-Noir": ("noir", "noire", "film noir", "film noire", "film noirs"),
    "Horror": (
        *("horror", "horrors", "scary", "scariest", "scarier", "frightening", "creepy", "terrifying", "spooky"),
        *("slasher", "slashers", "vampire", "vampires", "zombie", "zombies"),
    ),
    "IMAX": ("imax",),
    "Musical": ("musical", "musicals", "singing and dancing", "song and dance"),
    "Mystery": (
        *("mystery", "mysteries", "murder mystery", "murder mysteries", "whodunit", "whodunits", "detective"),
        *("mysterious", "detectives"),
    ),
    "Romance": (
        *("romance", "romances", "romantic", "love", "love story", "love stories", "romcom", "rom com", "romcoms"),
        "rom coms",
    ),
    "Sci-Fi": (
        *("sci fi", "scifi", "science fiction", "sci", "sf", "futuristic", "dystopia", "dystopian", "space opera"),
        *("post apocalyptic", "postapocalyptic", "time travel"),
    ),
    "Thriller": ("thriller", "thrillers", "thrilling", "suspense", "suspenseful"),
    "War": (
        *("war", "wars", "military", "wartime", "combat", "world war ii", "world war two", "world war 2", "ww ii"),
        *("wwii", "ww2", "world war i", "world war one", "civil war", "vietnam war"),
    ),
    "Western": (
        *("western", "westerns", "spaghetti western", "spaghetti westerns", "cowboy", "cowboys", "wild west"),
        "old west",
    ),
}
"""The catalogue's genres, and what people call them; a phrase that stands twice means both."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SMALL = frozenset(
    _words(
        "a an the of and or with film films movie movies flick flicks picture pictures genre genres kind kinds sort "
        "type types style themed scene scenes s"
    )
)
"""Words beside a genre that change nothing."""
NEGATIONS = frozenset(
    _words("no not non nothing without except excluding excludes besides isnt arent wasnt werent doesnt dont never nor")
)
THROUGH = frozenset(_words("a an any the that are is in from made released really very too of"))
"""Words that may stand between a negation and what it turns round."""

_LONGEST = 3
_SHORTEST_SLIP, _ALIKE = 5, 0.85
_NUMBERS = {
    word: number
    for number, word in enumerate(_words("one two three four five six seven eight nine ten eleven twelve"), 1)
} | {"fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100}
_DECADES = {
    name: 1920 + 10 * place
    for place, name in enumerate(_words("twenties thirties forties fifties sixties seventies eighties nineties"))
}


@dataclass(frozen=True)
class Meaning:
    """What a named genre or time means.

    Attributes:
        predicates: All of them are asked for; none where the words mean nothing that the catalogue could tell.
        form: What sort of phrase it is: the genres, or such as "a decade".
        unread: The words that mean nothing here.
    """

    predicates: tuple[Predicate, ...]
    form: str
    unread: tuple[str, ...] = ()


NOTHING = Meaning((), "")


def _phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for genre, phrases in GENRES.items():
        for phrase in phrases:
            key = tuple(phrase.split())
            found[key] = (*found.get(key, ()), genre)
    return found


_PHRASES = _phrases()
_SINGLE = sorted(key[0] for key in _PHRASES if len(key) == 1)


def genre_meaning(words: Sequence[str]) -> Meaning:
    """Returns what words that name a genre mean: an inclusion each, an exclusion each where they begin with "not".

    Words of five letters or more are forgiven a slip.

    Args:
        words: In lower case, without marks.
    """
    words = [part for word in words for part in word.replace("'", "").replace("-", " ").split()]
    negated = bool(words) and words[0] in NEGATIONS and tuple(words[:2]) not in _PHRASES
    genres: dict[str, None] = {}
    unread: list[str] = []
    at = 1 if negated else 0
    while at < len(words):
        key, end = _longest(words, at)
        if key:
            genres |= dict.fromkeys(_PHRASES[key])
        elif words[at] not in SMALL:
            unread.append(words[at])
        at = end
    operator = Operator.EXCLUDE if negated else Operator.INCLUDE
    predicates = tuple(Predicate(field="genre", operator=operator, values=(genre,)) for genre in genres)
    return Meaning(predicates, " + ".join(sorted(genres)), tuple(unread))


def _longest(words: Sequence[str], at: int) -> tuple[tuple[str, ...], int]:
    """Returns the longest phrase that begins at ``at`` and where it ends; an empty one where none does."""
    for length in range(min(_LONGEST, len(words) - at), 0, -1):
        if tuple(words[at : at + length]) in _PHRASES:
            return tuple(words[at : at + length]), at + length
    if len(words[at]) >= _SHORTEST_SLIP and words[at] not in SMALL:
        near = difflib.get_close_matches(words[at], _SINGLE, n=1, cutoff=_ALIKE)
        if near:
            return (near[0],), at + 1
    return (), at + 1


# --- Times -----------------------------------------------------------------------------------------------------------

_YEAR, _DECADE = r"(1[89]\d\d|20\d\d)", r"(1[89][1-9]0|20[01]0|\d0)s"
_TIME = rf"(?:{_DECADE}|{_YEAR}|(\d\d))"
_FULL = {
    name: re.compile(pattern)
    for name, pattern in {
        "part": rf"(early|mid|late) {_DECADE}",
        "range": rf"{_TIME}(?: (?:to|and|through|until|thru|(or)))? {_TIME}",
        "time": rf"(?:(?:spring|summer|fall|autumn|winter|january|february|march|april|may|june|july|august|september|"
        rf"october|november|december) )?{_TIME}",
        "span": r"(?:last|past)(?: (\d+))? (years?|decades?)",
        "few": r"(?:(?:last|past) (?:few|couple of|couple|several) years|recent years|recent|recently|new|newer|newly|"
        r"modern|contemporary)",
    }.items()
}
_SETTING = re.compile(r"\b(?:set|place|takes place|taking place|based|about|depicting)(?: (?:in|during))?$")
_BEFORE = re.compile(r"\b(?:before|prior to|until|up to|earlier than|older than)$")
_AFTER = re.compile(r"\b(?:after|later than|newer than)$")
_SINCE = re.compile(r"\bsince$")
_ONWARDS = re.compile(r"^(?:and|or) (?:later|newer|after|beyond|up|on|onwards?)\b|^onwards?\b")
_BACK = re.compile(r"^(?:and|or) (?:earlier|older|before)\b")
_SUPERLATIVES = {"newest": 1, "latest": 1, "most recent": 1, "oldest": -1, "earliest": -1}
_SKIPPED = re.compile(r"^(?:(?:in|from|of|the|year|years|released|made|movies?|films?|between|out|came|over|within) )+")


def time_meaning(words: Sequence[str], before: Sequence[str] = (), after: Sequence[str] = ()) -> Meaning:
    """Returns what words that name a time mean: a condition on the year, or nothing where they name none.

    Where a film is *set* says nothing about when it was made, and questions ("what year") ask for nothing.

    Args:
        words: The words, in lower case.
        before: The words before them, for "before", "set in", "early" and the like.
        after: The words after them, for "or later".
    """
    said, follows = _plain(words), _plain(after)
    lead = re.sub(r"(?: (?:the|year|years))+$", "", _plain(before))
    direction = re.match(r"(.*\b(?:before|prior to|until|after|since)) (.+)$", said)
    if direction:
        lead, said = f"{lead} {direction[1]}", direction[2]
    tail = re.search(r" ((?:and|or) (?:after|beyond|later|newer|before|earlier|older))$", said)
    if tail:
        said, follows = said[: tail.start()], tail[1]
    said = re.sub(r" (?:movies?|films?)$", "", _SKIPPED.sub("", f"{said} ").strip())
    if part := re.search(r"\b(early|mid|late)$", lead):
        said = f"{part[1]} {said}"
    if lead.endswith("most") and said == "recent":
        said = "most recent"
    if _SETTING.search(lead) and not _FULL["span"].fullmatch(said):
        return NOTHING
    alone = not re.search(r"\b(?:the|past)$", _plain(before)) and "past" not in said
    return _time(said, lead, follows, last_year_alone=alone)


def _time(said: str, lead: str, follows: str, *, last_year_alone: bool) -> Meaning:
    if said in _SUPERLATIVES:
        operator = Operator.HIGHEST if _SUPERLATIVES[said] > 0 else Operator.LOWEST
        return _one("newest or oldest", operator, share=OUTER_SHARE)
    if said in ("old", "older", "vintage"):
        return _one("recent or old", Operator.AT_MOST, high=OLD_UNTIL)
    if said == "this year":
        return _one("this or last year", Operator.BETWEEN, low=NOW, high=NOW)
    if _FULL["few"].fullmatch(said):
        return _one("recent or old", Operator.AT_LEAST, low=RECENT_FROM)
    if found := _FULL["span"].fullmatch(said):
        count, decades = int(found[1] or 1), found[2].startswith("decade")
        if count == 1 and not decades:
            if last_year_alone:
                return _one("this or last year", Operator.BETWEEN, low=NOW - 1, high=NOW - 1)
            return _one("this or last year", Operator.AT_LEAST, low=NOW - 1)
        years = 10 * count if decades else count
        return _one("last decades" if decades else "last years", Operator.AT_LEAST, low=NOW + 1 - years)
    if found := _FULL["part"].fullmatch(said):
        first = _decade(found[2])
        low, high = {"early": (0, 4), "mid": (4, 6), "late": (5, 9)}[found[1]]
        return _one("part of a decade", Operator.BETWEEN, low=first + low, high=first + high)
    if found := _FULL["range"].fullmatch(said):
        *first_time, either, last_decade, last_year, last_short = found.groups()
        (low, middle), (later, high) = _ends(*first_time), _ends(last_decade, last_year, last_short)
        # No bound says "the 1950s or the 1990s".
        apart = later > middle + 1 and (either or last_decade)
        return _one("range", Operator.BETWEEN, low=low, high=high) if low <= later and not apart else NOTHING
    if found := _FULL["time"].fullmatch(said):
        low, high = _ends(*found.groups())
        if _BEFORE.search(lead):
            return _one("bound", Operator.AT_MOST, high=low - 1)
        if _AFTER.search(lead):
            return _one("bound", Operator.AT_LEAST, low=high + 1)
        if _SINCE.search(lead) or _ONWARDS.search(follows):
            return _one("bound", Operator.AT_LEAST, low=low)
        if _BACK.search(follows):
            return _one("bound", Operator.AT_MOST, high=high)
        return _one("decade" if high > low else "single year", Operator.BETWEEN, low=low, high=high)
    return NOTHING


def _one(form: str, operator: Operator, **bounds: float) -> Meaning:
    return Meaning((Predicate(field="year", operator=operator, **bounds),), form)  # type: ignore[arg-type]


def _ends(decade: str | None, year: str | None, short: str | None) -> tuple[int, int]:
    """Returns the first and the last year of what `_TIME` found."""
    if decade is not None:
        return _decade(decade), _decade(decade) + 9
    number = int(year or short or 0)
    if year is None:
        number += 2000 if number <= NOW - 2000 else 1900
    return number, number


def _decade(name: str) -> int:
    number = int(name)
    return number if number >= 1000 else number + (2000 if number in (0, 10) else 1900)


def _plain(words: Sequence[str]) -> str:
    """Returns words with figures for numbers, "1950s" for "1950 s", and decades in figures for "fifties"."""
    text = " ".join(words).lower().replace("'", "").replace("-", " ")
    parts = [str(_NUMBERS.get(word, f"{_DECADES[word]}s" if word in _DECADES else word)) for word in text.split()]
    return re.sub(r"(?<!\d)(\d\d|\d{4}) s\b", r"\1s", " ".join(parts))
