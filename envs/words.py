"""The words of Movies in English: genres, eras, ratings, popularity, and what people ask for how often.

Figures marked *measured* are of the 8,797 training queries of the MIT movie corpus (tags GENRE, YEAR, RATINGS_AVERAGE,
TITLE per word): 4,950 of them name a genre, a year or a rating and no title, and the mix is theirs. No sentence is
taken from it. Figures marked *assumed* are ours.

The most ordinary words of a meaning stand first: they are always training's, and said more often.
"""

from __future__ import annotations

from instructrec.envs.frames import (
    COMPARATIVES,
    FRAMES,
    HEADS,
    MEASURES,
    POLITE,
    PORTIONS,
    RESETS,
    TEMPLATES,
)
from instructrec.envs.vocabulary import Pool, RequestKind, Sense, Speech, Term, Vocabulary
from instructrec.goals import Operator, Predicate

RECENT_FROM = 2010
"""The first year that "recent" means; the data end in 2018. Assumed."""
CLASSIC_UNTIL = 1979
"""The last year that "classic" means. Assumed."""
LAST_YEAR = 2018
"""The year from which "the last ten years" is counted."""
GOOD, HIGHLY_RATED, BEST = 0.5, 0.25, 0.05
"""The share of rated films that are "good", "highly rated", among "the best rated". Assumed."""
POPULAR, MOST_POPULAR, OBSCURE = 0.15, 0.03, 0.6
"""The share of all films that are "popular", among "the most popular", "obscure". Assumed."""
NEWEST = 0.05
"""The share of films that are among "the newest", and among "the oldest". Assumed."""
WISH = 0.5
"""The weight of a wish ("popular", "good"), beside 1 for what is required. Assumed."""


def _adjectives(*texts: str) -> tuple[Term, ...]:
    return tuple(Term(text, Speech.ADJECTIVE) for text in texts)


def _nouns(*pairs: tuple[str, str]) -> tuple[Term, ...]:
    return tuple(Term(one, Speech.NOUN, many) for one, many in pairs)


def _terms(speech: Speech, *texts: str) -> tuple[Term, ...]:
    return tuple(Term(text, speech) for text in texts)


def _genre(name: str, *groups: tuple[Term, ...]) -> Sense:
    predicate = Predicate(field="genre", operator=Operator.INCLUDE, values=(name,))
    return Sense(predicate, tuple(term for group in groups for term in group))


_MASS, _KIND, _AFTER, _PERIOD, _SUPERLATIVE = (
    Speech.MASS,
    Speech.KIND,
    Speech.AFTER,
    Speech.PERIOD,
    Speech.SUPERLATIVE,
)

GENRES = (
    _genre(
        "Action",
        _terms(_MASS, "action"),
        _adjectives("action-packed", "explosive", "adrenaline-fueled"),
        _nouns(("action flick", "action flicks"), ("shoot-em-up", "shoot-em-ups")),
        _terms(_AFTER, "with plenty of action", "with car chases and explosions", "full of fights"),
    ),
    _genre(
        "Adventure",
        _terms(_MASS, "adventure"),
        _adjectives("adventurous", "swashbuckling"),
        _nouns(("adventure story", "adventure stories"), ("swashbuckler", "swashbucklers")),
        _terms(_AFTER, "with a big adventure", "with a daring quest", "about an expedition"),
    ),
    _genre(
        "Animation",
        _adjectives("animated"),
        _nouns(("cartoon", "cartoons"), ("animated feature", "animated features")),
        _terms(_MASS, "animation"),
        _adjectives("hand-drawn"),
    ),
    _genre(
        "Children",
        _terms(_KIND, "kids", "family", "children's"),
        _adjectives("kid-friendly", "family-friendly", "child-friendly"),
        _terms(_AFTER, "for kids", "for the little ones", "for the whole family", "for children"),
    ),
    _genre(
        "Comedy",
        _nouns(("comedy", "comedies")),
        _adjectives("funny", "hilarious", "humorous", "comedic"),
        _terms(_AFTER, "to make me laugh", "with lots of laughs", "full of jokes", "with plenty of humor"),
    ),
    _genre(
        "Crime",
        _terms(_MASS, "crime"),
        _terms(_KIND, "gangster", "mafia", "heist"),
        _nouns(("crime story", "crime stories")),
        _terms(_AFTER, "about gangsters", "about a bank robbery", "about the mob"),
    ),
    _genre(
        "Documentary",
        _nouns(("documentary", "documentaries"), ("doc", "docs"), ("docu", "docus")),
        _adjectives("factual"),
        _terms(_KIND, "nonfiction", "documentary-style"),
    ),
    _genre(
        "Drama",
        _nouns(("drama", "dramas")),
        _adjectives("dramatic", "emotional"),
        _nouns(("tearjerker", "tearjerkers")),
        _terms(_MASS, "melodrama"),
    ),
    _genre(
        "Fantasy",
        _terms(_MASS, "fantasy"),
        _adjectives("magical", "fantastical"),
        _terms(_MASS, "sword-and-sorcery"),
        _nouns(("fairy tale", "fairy tales")),
        _terms(_AFTER, "with magic in it", "with wizards and dragons", "set in a magic kingdom"),
    ),
    _genre(
        "Film-Noir",
        _terms(_MASS, "noir", "film noir"),
        _adjectives("hardboiled", "noirish", "noir-style"),
        _terms(_KIND, "noir-tinged"),
    ),
    _genre(
        "Horror",
        _terms(_MASS, "horror"),
        _adjectives("scary", "frightening", "creepy", "terrifying", "spooky"),
        _nouns(("slasher", "slashers")),
        _terms(_AFTER, "to give me nightmares", "to scare me", "with plenty of scares"),
    ),
    _genre(
        "IMAX",
        _terms(_MASS, "IMAX"),
        _terms(_KIND, "IMAX-format", "giant-screen", "large-format", "IMAX-sized"),
        _terms(_AFTER, "made for IMAX", "shown in IMAX", "available in IMAX"),
    ),
    _genre(
        "Musical",
        _nouns(("musical", "musicals")),
        _terms(_MASS, "song-and-dance", "singing and dancing"),
        _terms(_KIND, "show-tune"),
        _terms(_AFTER, "with singing and dancing", "full of songs", "with big musical numbers"),
    ),
    _genre(
        "Mystery",
        _nouns(("mystery", "mysteries")),
        _terms(_KIND, "detective", "murder mystery"),
        _nouns(("whodunit", "whodunits")),
        _adjectives("mysterious", "puzzling"),
        _terms(_AFTER, "with a puzzle to solve", "about an unsolved case", "with a detective"),
    ),
    _genre(
        "Romance",
        _adjectives("romantic"),
        _terms(_MASS, "romance"),
        _adjectives("lovey-dovey"),
        _nouns(("love story", "love stories")),
        _terms(_AFTER, "about falling in love", "about a couple in love", "with a love story"),
    ),
    _genre(
        "Sci-Fi",
        _terms(_MASS, "sci-fi", "science fiction", "scifi"),
        _adjectives("futuristic"),
        _nouns(("space opera", "space operas")),
        _terms(_AFTER, "set in space", "with robots or aliens", "set in the future"),
    ),
    _genre(
        "Thriller",
        _nouns(("thriller", "thrillers")),
        _adjectives("suspenseful", "thrilling"),
        _nouns(("nail-biter", "nail-biters")),
        _terms(_MASS, "suspense"),
        _terms(_AFTER, "to keep me on the edge of my seat", "full of suspense", "with lots of suspense"),
    ),
    _genre(
        "War",
        _terms(_MASS, "war"),
        _terms(_KIND, "military", "wartime", "combat"),
        _adjectives("war-torn"),
        _terms(_AFTER, "about soldiers", "about a war", "set on a battlefield"),
    ),
    _genre(
        "Western",
        _nouns(("western", "westerns"), ("horse opera", "horse operas")),
        _terms(_KIND, "cowboy", "wild west", "old west"),
        _terms(_AFTER, "with cowboys", "set in the old west", "with gunslingers"),
    ),
)


def _decade(first: int, *names: str) -> Sense:
    predicate = Predicate(field="year", operator=Operator.BETWEEN, low=first, high=first + 9)
    return Sense(predicate, _terms(_PERIOD, *names))


def _span(years: int, *names: str) -> Sense:
    predicate = Predicate(field="year", operator=Operator.AT_LEAST, low=LAST_YEAR + 1 - years)
    shapes = ("from the last {}", "made in the past {}", "from the past {}", "released in the last {}")
    return Sense(predicate, _terms(_AFTER, *(shape.format(name) for shape in shapes for name in names)))


DECADES = (
    _decade(1930, "30s", "1930s", "30's", "thirties"),
    _decade(1940, "40s", "1940s", "40's", "forties"),
    _decade(1950, "50s", "1950s", "50's", "fifties"),
    _decade(1960, "60s", "1960s", "60's", "sixties"),
    _decade(1970, "70s", "1970s", "70's", "seventies"),
    _decade(1980, "80s", "1980s", "80's", "eighties"),
    _decade(1990, "90s", "1990s", "90's", "nineties"),
    _decade(2000, "2000s", "2000's", "noughties", "aughts", "two-thousands"),
    _decade(2010, "2010s", "2010's", "twenty-tens"),
)
SPANS = (
    _span(5, "five years", "5 years"),
    _span(10, "ten years", "10 years", "decade"),
    _span(20, "twenty years", "20 years", "two decades"),
    _span(30, "thirty years", "30 years", "three decades"),
)
ERAS = (
    Sense(
        Predicate(field="year", operator=Operator.AT_LEAST, low=RECENT_FROM),
        _adjectives("recent", "new", "modern", "contemporary")
        + _terms(_AFTER, "from the last few years", "from recent years", "that came out lately"),
    ),
    Sense(
        Predicate(field="year", operator=Operator.AT_MOST, high=CLASSIC_UNTIL),
        _adjectives("classic", "old", "vintage", "old-fashioned", "retro")
        + _terms(_AFTER, "from the old days", "from way back", "from a bygone era"),
    ),
)


def _wish(field: str, operator: Operator, share: float, *groups: tuple[Term, ...], weight: float = WISH) -> Sense:
    predicate = Predicate(field=field, operator=operator, share=share, hard=False, weight=weight)
    return Sense(predicate, tuple(term for group in groups for term in group))


WISHES = (
    _wish(
        "rating", Operator.HIGHEST, GOOD, _adjectives("good", "decent", "solid", "enjoyable", "worthwhile", "watchable")
    ),
    _wish(
        "rating",
        Operator.HIGHEST,
        HIGHLY_RATED,
        _adjectives(
            "highly rated",
            "well reviewed",
            "acclaimed",
            "critically acclaimed",
            "excellent",
            "well rated",
            "must-see",
            "highly recommended",
        ),
        _terms(_AFTER, "with great reviews", "with excellent ratings", "with two thumbs up", "that critics loved"),
    ),
    _wish(
        "popularity",
        Operator.HIGHEST,
        POPULAR,
        _adjectives("popular", "well known", "famous", "mainstream", "widely seen"),
        _nouns(("blockbuster", "blockbusters")),
        _terms(
            _AFTER,
            "that everybody knows",
            "that everyone has seen",
            "that lots of people watched",
            "liked by many people",
        ),
    ),
    _wish(
        "popularity",
        Operator.LOWEST,
        OBSCURE,
        _adjectives("obscure", "little known", "lesser known", "underseen", "overlooked"),
        _nouns(("hidden gem", "hidden gems")),
        _terms(_AFTER, "that nobody knows", "that hardly anyone has seen", "off the beaten track"),
    ),
)
SUPERLATIVES = tuple(
    _wish(field, operator, share, _terms(_SUPERLATIVE, *texts), weight=1.0)
    for field, operator, share, texts in (
        ("rating", Operator.HIGHEST, BEST, ("best rated", "top rated", "highest rated", "best", "best reviewed")),
        ("year", Operator.HIGHEST, NEWEST, ("newest", "latest", "most recent", "most up-to-date")),
        ("year", Operator.LOWEST, NEWEST, ("oldest", "earliest", "most ancient")),
        (
            "popularity",
            Operator.HIGHEST,
            MOST_POPULAR,
            ("most popular", "best known", "most famous", "most watched", "biggest"),
        ),
    )
)


def _from(years: range) -> tuple[Predicate, ...]:
    return tuple(Predicate(field="year", operator=Operator.AT_LEAST, low=year) for year in years)


def _until(years: range) -> tuple[Predicate, ...]:
    return tuple(Predicate(field="year", operator=Operator.AT_MOST, high=year) for year in years)


def _between(width: int, firsts: range) -> tuple[Predicate, ...]:
    return tuple(Predicate(field="year", operator=Operator.BETWEEN, low=low, high=low + width) for low in firsts)


def _meanings(*senses: Sense) -> tuple[Predicate, ...]:
    return tuple(sense.predicate for sense in senses)


YEARS = (
    Pool(0.42, _meanings(*DECADES)),
    Pool(0.12, _meanings(*SPANS)),
    Pool(0.06, _between(0, range(1980, 2016))),
    Pool(0.10, _meanings(*ERAS)),
    Pool(0.13, _from(range(1970, 2011, 5)) + _from(range(1971, 2012, 5))),
    Pool(0.09, _until(range(1970, 2006, 5)) + _until(range(1969, 2005, 5))),
    Pool(0.05, _between(10, range(1960, 2001, 5)) + _between(15, range(1960, 2001, 5))),
    Pool(0.03, _meanings(SUPERLATIVES[1], SUPERLATIVES[2])),
)
"""How years are named. Fitted: loosely, to the MIT movie queries, where 51 % of the years named are decades, 31 % spans
up to now ("the last ten years"), 11 % single years, 3 % words such as "recent"; bounds and ranges, .4 % there, and
superlatives were raised so that they are learned."""
QUALITY = (
    Pool(0.24, tuple(Predicate(field="rating", operator=Operator.AT_LEAST, low=low) for low in (3.0, 3.5, 4.0))),
    Pool(0.18, _meanings(WISHES[0])),
    Pool(0.24, _meanings(WISHES[1])),
    Pool(0.14, _meanings(WISHES[2])),
    Pool(0.08, _meanings(WISHES[3])),
    Pool(0.07, _meanings(SUPERLATIVES[0])),
    Pool(0.05, _meanings(SUPERLATIVES[3])),
)
"""How quality is named. Fitted: loosely, to the MIT movie queries, where of the ratings named 31 % are numbers, 27 %
"good", "ok" and the like, 25 % high praise, 11 % popularity, 2.5 % superlatives; "obscure" was added and superlatives
raised."""

_EXCLUDING = 0.25
"""The share of requests with an exclusion, besides what else they ask. Assumed: far above the .9 % of the MIT movie
queries that hold any negation, since those are single searches and in conversation people reject."""
_NAMED = (
    (0.358, ("genre",)),
    (0.195, ("genre", "year")),
    (0.134, ("genre", "year", "quality")),
    (0.121, ("year",)),
    (0.100, ("genre", "quality")),
    (0.054, ("year", "quality")),
    (0.039, ("quality",)),
)
"""What a specific request names, of genre, year and quality (how good or popular), and its share. Fitted: to the 4,950
MIT movie queries that name one of them and no title."""
_SPECIFIC = 0.80
"""The share of requests that name something specific, rather than what is vague or unsaid. Assumed."""

REQUESTS = (
    *(RequestKind("+".join(parts), _SPECIFIC * (1 - _EXCLUDING) * share, parts) for share, parts in _NAMED),
    *(
        RequestKind("+".join((*parts, "exclusion")), _SPECIFIC * _EXCLUDING * share, (*parts, "exclusion"))
        for share, parts in _NAMED
    ),
    RequestKind("exclusion", 0.04, ("exclusion",)),
    RequestKind("share", 0.03, ("share",)),
    RequestKind("share+year", 0.02, ("share", "year")),
    RequestKind("vague", 0.05, ("vague",), "vague"),
    RequestKind("vague+exclusion", 0.02, ("vague", "exclusion"), "vague"),
    RequestKind("implicit", 0.04, (), "none"),
)

MOVIES = Vocabulary(
    name="movies-en",
    senses=(*GENRES, *DECADES, *SPANS, *ERAS, *WISHES, *SUPERLATIVES),
    frames=FRAMES,
    measures=MEASURES,
    portions=PORTIONS,
    comparatives=COMPARATIVES,
    heads=HEADS,
    templates=TEMPLATES,
    polite=POLITE,
    resets=RESETS,
    pools={"year": YEARS, "quality": QUALITY, "vague": (Pool(1.0, _meanings(WISHES[0])),)},
    requests=REQUESTS,
)
"""Movies in English."""
