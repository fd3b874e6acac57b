import re
from functools import cache

import numpy as np
import pytest

from instructrec.envs.english import misspell, ordinal, with_article
from instructrec.envs.grammar import CLEAN, Style, clause, criticise, realise
from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import SLOT, Speech, key_of
from instructrec.envs.worlds import speech_of
from instructrec.goals import Operator, Predicate
from instructrec.splits import EVERY_SPLIT, Split

MOVIES = speech_of("instructrec/Movies-v0")
TEMPLATES, REQUESTS = MOVIES.templates, MOVIES.requests
GENRES = [sense for sense in MOVIES.senses if sense.predicate.field == "genre"]
SUPERLATIVES = [s for s in MOVIES.senses if s.terms[0].speech is Speech.SUPERLATIVE]
OTHERS = [s for s in MOVIES.senses if s.predicate.field != "genre"]
THRILLER = Predicate(field="genre", operator=Operator.INCLUDE, values=("Thriller",))
NO_HORROR = Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror",))
NINETIES = Predicate(field="year", operator=Operator.BETWEEN, low=1990, high=1999)


@cache
def words(templates: tuple[Split, ...] = EVERY_SPLIT, synonyms: tuple[Split, ...] = EVERY_SPLIT):
    return MOVIES.restricted(templates, synonyms)


def rng(seed=0):
    return np.random.default_rng(seed)


def said(predicates, number=60, family="opening", **restricted):
    generator = rng()
    return [realise(predicates, words(**restricted), generator, family=family) for _ in range(number)]


def test_there_are_forty_templates_and_more():
    assert len(TEMPLATES["opening"]) >= 40
    assert sum(len(family) for family in TEMPLATES.values()) >= 140
    for family in TEMPLATES.values():
        assert len(set(family)) == len(family)


def test_every_genre_has_at_least_four_words_and_every_era_and_wish_three():
    assert len(GENRES) == 19
    for sense in GENRES:
        assert len({text for term in sense.terms for text in (term.text,)}) >= 4, sense.predicate
    for sense in OTHERS:
        assert len(sense.terms) >= 3, sense.predicate


def test_no_word_means_two_things():
    meaning = {}
    for sense in MOVIES.senses:
        for text in (text for term in sense.terms for text in term.texts):
            assert meaning.setdefault(text, key_of(sense.predicate)) == key_of(sense.predicate), text


def test_templates_hold_no_word_that_means_something():
    for family in TEMPLATES.values():
        for template in family:
            understood = parse(SLOT.sub(" ", template), MOVIES)
            assert not understood.predicates, template
            assert not understood.unknown, template


def test_the_mix_of_requests_is_a_distribution():
    assert sum(kind.share for kind in REQUESTS) == pytest.approx(1, abs=0.002)
    assert len({kind.name for kind in REQUESTS}) == len(REQUESTS)


@pytest.mark.parametrize("templates", EVERY_SPLIT)
@pytest.mark.parametrize("synonyms", EVERY_SPLIT)
def test_every_meaning_can_be_said_in_every_split(templates, synonyms):
    some = words((templates,), (synonyms,))
    generator = rng()
    shares = [
        Predicate(field="genre", operator=Operator.SHARE, values=("War",), share=p.share) for p in MOVIES.portions
    ]
    exclusions = [Predicate(field="genre", operator=Operator.EXCLUDE, values=s.predicate.values) for s in GENRES]
    pooled = [p for pools in MOVIES.pools.values() for pool in pools for p in pool.predicates]
    for predicate in [*(sense.predicate for sense in MOVIES.senses), *shares, *exclusions, *pooled]:
        for text in (clause(some, generator, predicate), realise([predicate], some, generator)):
            assert text
            assert "{" not in text


def test_splits_share_no_template_and_no_synonym():
    for axis in ({"templates": (Split.TRAIN,)}, {"synonyms": (Split.TRAIN,)}):
        (name,) = axis
        train = words(**axis)
        test = words(**{name: (Split.TEST,)})
        if name == "templates":
            for family in TEMPLATES:
                assert train.templates[family]
                assert not set(train.templates[family]) & set(test.templates[family])
            assert not {f.text for f in train.frames} & {f.text for f in test.frames}
        else:
            for one, other in zip(train.senses, test.senses, strict=True):
                assert any(term.speech is not Speech.AFTER for term in one.terms) or one.terms
                assert not {t.text for t in one.terms} & {t.text for t in other.terms}


def test_the_most_ordinary_words_are_heard_in_training():
    train = words((Split.TRAIN,), (Split.TRAIN,))
    known = {term.text for sense in train.senses for term in sense.terms}
    assert known >= {
        "action",
        "animated",
        "comedy",
        "romantic",
        "horror",
        "scary",
        "thriller",
        "sci-fi",
        "90s",
        "recent",
    }
    assert known >= {"good", "highly rated", "popular", "best rated", "newest"}
    assert {"no {stuff}", "nothing {adjective}", "made after {beyond}"} <= {frame.text for frame in train.frames}


def test_a_share_of_the_slate_is_asked_of_many():
    half = Predicate(field="genre", operator=Operator.SHARE, values=("War",), share=0.5, hard=False)
    for text in said([half], 100):
        assert not re.search(r"\ba (movie|film|flick|picture)\b", text.lower()), text


def test_a_request_says_all_of_it_in_many_ways():
    texts = said([THRILLER, NINETIES, NO_HORROR], 200)
    assert len(set(texts)) > 150
    assert len({re.split(r"\W+", text.lower())[0] for text in texts}) > 15


def test_exclusions_come_first_sometimes_and_lists_too():
    texts = [text.lower() for text in said([THRILLER, NO_HORROR], 300)]
    horror, thriller = "horror|scar|fright|creep|terrif|spook|slasher", "thrill|suspens|nail|edge"
    first = [
        t for t in texts if (h := re.search(horror, t)) and (s := re.search(thriller, t)) and h.start() < s.start()
    ]
    assert 0.02 < len(first) / len(texts) < 0.5
    assert any(text.count(",") == 1 and len(text.split()) <= 5 for text in texts)


def test_only_a_superlative_takes_the():
    best = SUPERLATIVES[0].predicate
    for text in said([best, THRILLER], 100):
        assert not re.search(r"\b(a|an|some|something) (best|top|highest)\b", text.lower()), text


def test_articles_follow_the_sound():
    assert with_article("80s movie") == "an 80s movie"
    assert with_article("1980s movie") == "a 1980s movie"
    assert with_article("action flick") == "an action flick"
    assert with_article("IMAX film") == "an IMAX film"
    assert with_article("European film") == "a European film"


def test_ordinals_go_past_ten():
    assert [ordinal(place) for place in (1, 2, 10, 11, 12, 21, 22, 33, 111)] == [
        "first", "second", "tenth", "11th", "12th", "21st", "22nd", "33rd", "111th",
    ]  # fmt: skip


def test_critiques_name_the_place_and_the_direction():
    generator = rng()
    for more in MOVIES.comparatives:
        for position in (1, 4, 10):
            text = criticise(more, position, words(), generator).lower()
            assert ordinal(position) in text or f"number {position}" in text
            assert any(term in text for term in more.terms)


def test_asking_for_more_says_nothing_new():
    for text in said((), 100, family="more") + said((), 100, family="implicit"):
        understood = parse(text, MOVIES)
        assert not understood.predicates, text
        assert not understood.unknown, text


def test_the_same_generator_says_the_same():
    assert said([THRILLER, NO_HORROR]) == said([THRILLER, NO_HORROR])


def test_style_rates_are_kept():
    generator = rng()
    style = Style(polite=0.3, casual=0.5, typos=0.0, reset=0.0)
    texts = [realise([THRILLER], words(), generator, style=style) for _ in range(2000)]
    courteous = sum(
        bool(re.search(r"please|thank|cheers|if you can|if possible|^h(i|ey|ello)|excuse", t.lower())) for t in texts
    )
    assert 0.25 < courteous / 2000 < 0.36
    assert 0.4 < sum(text == text.lower() for text in texts) / 2000 < 0.6


def test_typos_come_at_their_rate_and_change_one_letter():
    generator = rng()
    noisy = [realise([THRILLER], words(), generator, style=Style(typos=1.0, reset=0.0)) for _ in range(300)]
    unknown = sum(bool(parse(text, MOVIES).unknown) for text in noisy)
    assert unknown < 15
    original = "something suspenseful from the nineties"
    changed = {misspell(original, rng(seed)) for seed in range(200)}
    assert len(changed) > 20
    for text in changed:
        assert abs(len(text) - len(original)) <= 1
        assert text.split()[2:4] == ["from", "the"]


def test_short_texts_are_never_misspelt():
    assert misspell("no war", rng()) == "no war"
    assert CLEAN.typos == 0


def test_a_rate_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="typos is a probability"):
        Style(typos=1.5)


def test_what_has_no_word_is_an_error_that_helps():
    with pytest.raises(ValueError, match="has no word for genre 'Opera'"):
        clause(words(), rng(), Predicate(field="genre", operator=Operator.EXCLUDE, values=("Opera",)))
    with pytest.raises(ValueError, match=r"cannot say a share of 0\.7"):
        clause(words(), rng(), Predicate(field="genre", operator=Operator.SHARE, values=("War",), share=0.7))
    with pytest.raises(ValueError, match="add a Sense or a Frame"):
        clause(words(), rng(), Predicate(field="budget", operator=Operator.AT_LEAST, low=3))
