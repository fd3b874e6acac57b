"""Domain files that extend others, and what they say of contexts, counts and the like: read, checked and spoken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from instructrec.agents.informed import InformedSettings, fit_informed
from instructrec.agents.references import GoalOracle, Oracle, goal_parts
from instructrec.envs.bank import Bank, compile_bank
from instructrec.envs.domain_file import FOLDER, domain_at, read_domain
from instructrec.envs.domain_words import vocabulary_of
from instructrec.envs.languages import LANGUAGES
from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import key_of
from instructrec.envs.worlds import make_world
from instructrec.experiments.evaluation import evaluate
from instructrec.goals import Operator, Predicate, Reveal, satisfied
from instructrec.sessions import Sessions, World, observe, start

NAMES = ("instructrec/Shop-v0", "instructrec/MoviesTalk-v0")


@cache
def world(name: str, split: str = "train", language: str = "en") -> World:
    return make_world(name, split=split, language=language)


def bank_of(name: str, split: str = "train", language: str = "en") -> Bank:
    return world(name, split, language).population.bank


@pytest.mark.parametrize(
    ("split", "fingerprint"),
    [("train", "7a8ace0536db7166"), ("validation", "8df26b8cbdd556c1"), ("test", "1edca7de42b595c8")],
)
def test_movies_is_what_published_figures_were_measured_on(split, fingerprint):
    assert world("instructrec/Movies-v0", split).fingerprint == fingerprint


# Words.


def meaning(predicates) -> set:
    """What predicates mean: excluding two values is excluding the one and the other."""
    found = set()
    for predicate in predicates:
        if predicate.operator is Operator.EXCLUDE and predicate.given is None:
            found |= {("exclude", predicate.field, value, predicate.hard) for value in predicate.values}
        else:
            found.add((*key_of(predicate), predicate.hard, predicate.weight))
    return found


def at_first(predicates) -> list[Predicate]:
    said = [p if p.reveal is Reveal.VOLUNTEERED else p.believed for p in predicates]
    return [p for p in said if p is not None]


def said_in(bank: Bank) -> Iterator[tuple[str, str, list[Predicate]]]:
    """Yields (what sort of text, text, what it says) for every text of a bank that is not a critique."""
    width, changes = bank.goals.num_predicates, bank.changes
    for goal, predicates in enumerate(bank.predicates):
        first = at_first(predicates)
        sort = bank.kinds[goal]
        yield from ((sort, text, first) for text in bank.texts_of(bank.opening.group(goal)))
        yield from (("reset", text, first) for text in bank.texts_of(bank.reset.group(goal)))
        yield from ((sort, text, list(predicates)) for text in bank.texts_of(bank.restated.group(goal)))
        for place, predicate in enumerate(predicates):
            yield from (
                ("reveal", text, [predicate]) for text in bank.texts_of(bank.reveal.group(goal * width + place))
            )
    for group in range(bank.like.num_groups):
        likeness = bank.likenesses[group // 10]
        operator = Operator.UNLIKE if likeness.unlike else Operator.LIKE
        wanted = [Predicate(field=likeness.field, operator=operator, position=group % 10 + 1)]
        yield from (("likeness", text, wanted) for text in bank.texts_of(bank.like.group(group)))
    for change in range(changes.num):
        new = bank.predicates[changes.target[change]]
        wanted = at_first(new) if changes.relaxes[change] else [new[changes.place[change]]]
        sort = "relax" if changes.relaxes[change] else "override"
        yield from ((sort, text, wanted) for text in bank.texts_of(changes.phrases.group(change)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_people_say_is_understood_whatever_operator_they_use(name, split, language):
    words = world(name, split, language).population.vocabulary
    right: dict[str, list[bool]] = {}
    for sort, text, wanted in said_in(bank_of(name, split, language)):
        sort = next((s for s in ("count", "conditional", "context", "misinformed", "infeasible") if s in sort), sort)
        right.setdefault(sort, []).append(meaning(parse(text, words).predicates) == meaning(wanted))
    assert {"count", "conditional", "context", "misinformed", "infeasible", "likeness", "override"} <= set(right)
    for sort, each in right.items():
        assert np.mean(each) >= 0.9, sort
    assert np.mean([one for each in right.values() for one in each]) >= 0.98


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_fresh_start_is_heard_as_one_and_nothing_else_is(name, language):
    words, bank = world(name, language=language).population.vocabulary, bank_of(name, language=language)
    announced = [
        text
        for goal in range(bank.num_goals)
        if bank.predicates[goal]
        for text in bank.texts_of(bank.reset.group(goal))
    ]
    assert np.mean([parse(text, words).fresh for text in announced]) >= 0.98
    relaxed = bank.texts_of(
        np.concatenate([bank.changes.phrases.group(c) for c in np.flatnonzero(bank.changes.relaxes)])
    )
    assert np.mean([parse(text, words).fresh for text in relaxed]) >= 0.98
    others = np.concatenate([bank.opening.ids, bank.restated.ids, bank.reveal.ids, bank.critique.ids, bank.more.ids])
    assert not any(parse(text, words).fresh for text in bank.texts_of(np.setdiff1d(others, bank.reset.ids)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("at least three comedies", ["at least 3 of genre: Comedy"]),
        ("a thriller, exactly two of them from the 90s", ["genre: Thriller", "2 of year 1990–1999"]),
        ("if it's a horror film, only before 1980", ["if genre: Horror: year ≤ 1979"]),
        (
            "a film from the 80s, if it is a western, at least 4 stars",
            ["year 1980–1989", "if genre: Western: rating ≥ 4"],
        ),
        ("more like the third one", ["genre like that of no. 3"]),
        ("nothing like number 2", ["genre unlike that of no. 2"]),
        ("the same year as the first one", ["year like that of no. 1"]),
        ("like the third but older", ["year below that of no. 3"]),
        ("more like these", []),
        ("keep it to the 80s instead", ["year 1980–1989"]),
        ("for a date", ["genre: Romance", "genre: not Horror", "rating: highest 50%"]),
        ("at least 4 stars", ["rating ≥ 4"]),
    ],
)
def test_phrases_mean_what_people_mean(text, wanted):
    assert [str(p) for p in parse(text, world("instructrec/MoviesTalk-v0").population.vocabulary).predicates] == wanted


def test_people_who_do_not_use_an_operator_have_no_words_for_it():
    words = world("instructrec/Movies-v0").population.vocabulary
    assert set(words.templates) == {"opening", "vague", "implicit", "restated", "reveal", "critique", "more"}
    assert not parse("more like the third one", words).predicates


# What requests hold.


@pytest.mark.parametrize("name", NAMES)
def test_goals_hold_what_their_kind_says(name):
    bank = bank_of(name)
    for kind, predicates in zip(bank.kinds, bank.predicates, strict=True):
        parts = kind.split("+")
        assert ("count" in parts) == any(p.least for p in predicates)
        assert ("conditional" in parts) == any(p.given is not None for p in predicates)
        assert ("misinformed" in parts) == any(p.believed is not None for p in predicates)
        assert ("context" in parts) == any(p.context for p in predicates)


@pytest.mark.parametrize("name", NAMES)
def test_a_context_is_all_that_the_file_says_of_it_and_is_in_every_split(name):
    contexts = domain_at(FOLDER / f"{name.rpartition('/')[2]}.yaml").asks.extras.contexts
    found = set()
    for split in ("train", "test"):
        for predicates in bank_of(name, split).predicates:
            named = {p.context for p in predicates} - {""}
            for context in named:
                held = [p for p in predicates if p.context == context]
                assert {key_of(p) for p in held} == {key_of(p) for p in contexts[context]}
                assert all(p.reveal is Reveal.VOLUNTEERED for p in held)
                found.add((context, split))
    assert {context for context, split in found if split == "train"} == set(contexts)
    assert len([1 for _, split in found if split == "test"]) >= len(contexts) - 1


@pytest.mark.parametrize("name", NAMES)
def test_conditions_and_counts_rule_something_out_and_can_be_met(name):
    bank, catalogue = bank_of(name), world(name).catalogue
    met = satisfied(bank.goals, catalogue, np.arange(catalogue.num_items))
    hard = np.all(met | ~(bank.goals.item_level)[:, :, None], axis=1)
    for goal, predicates in enumerate(bank.predicates):
        for place, predicate in enumerate(predicates):
            if predicate.given is not None:
                assert not met[goal, place].all()
            if predicate.least:
                counts = met[goal, place][hard[goal]]
                assert counts.sum() >= 2 * predicate.least
                assert counts.mean() * 10 <= predicate.least
            if predicate.believed is not None:
                assert predicate.believed.field == predicate.field
                assert key_of(predicate.believed) != key_of(predicate)


def test_nothing_that_was_asked_for_at_once_is_met_by_an_infeasible_request():
    for name in NAMES:
        bank = bank_of(name)
        assert bank.infeasible.sum() >= 5
        assert [kind == "infeasible" for kind in bank.kinds] == bank.infeasible.tolist()
        assert not bank.matching[bank.infeasible].any()
        assert bank.matching[~bank.infeasible].all()
    assert not bank_of("instructrec/Movies-v0").infeasible.any()


# References and metrics.


def test_references_keep_what_is_asked_whatever_operator_asks_it():
    place = world("instructrec/Shop-v0")
    sessions = Sessions.first(3, 300)
    for reference, least in ((Oracle(place.population), 0.9), (GoalOracle(place.catalogue), 0.97)):
        played = evaluate(place, reference, sessions, keep_goals=True)
        assert played.mean("csr") >= least
    assert played.mean("strict_slate") >= 0.95
    # Turns in which nothing could be met are counted by no metric of adherence.
    nothing_to_meet = ~np.stack([goals.feasible.all(axis=1) for goals in played.goals], axis=1)
    assert nothing_to_meet.any()
    assert np.isnan(played.turns["csr"][nothing_to_meet]).all()


def test_the_informed_know_of_every_item_what_goals_mean():
    place = world("instructrec/Shop-v0")
    state = start(place, Sessions.first(5, 400))
    goals = state.instructions.goals
    model = fit_informed(place, InformedSettings(sessions=60, rounds=1, steps=2))
    slates = np.stack(
        [np.random.default_rng(n).choice(place.catalogue.num_items, 10, replace=False) for n in range(400)]
    )
    features = model.features(observe(place, state), goals, slates)
    broken, wished = goal_parts(goals, place.catalogue)
    np.testing.assert_allclose(features[:, :, 0], np.take_along_axis(broken, slates, axis=1), atol=1e-5)
    np.testing.assert_allclose(features[:, :, 1], np.take_along_axis(wished, slates, axis=1), atol=1e-5)


# Files.


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_file_that_extends_another_is_the_other_with_its_entries_added(tmp_path):
    path = write(
        tmp_path,
        "extends: Shop-v0\nslate_size: 5\nitems: {count: 300}\nasks:\n  others: {share: 0.5}\n  alike: [brand]\n",
    )
    mine, base = read_domain(path), read_domain(FOLDER / "Shop-v0.yaml")
    assert (mine.slate_size, mine.turn_limit, mine.items.count) == (5, 10, 300)
    assert mine.items.title == base.items.title
    assert mine.attributes == base.attributes
    assert mine.asks.extras.alike == ("brand",)
    shares = {kind.name: kind.share for kind in mine.asks.kinds}
    assert shares["share"] == 0.5
    assert shares["exclusion"] == {kind.name: kind.share for kind in base.asks.kinds}["exclusion"]
    assert mine.name == "local/mine-v0"


def test_a_file_may_extend_another_by_its_relative_path_and_notices_when_that_changes(tmp_path):
    base = write(tmp_path, "extends: Shop-v0\nturn_limit: 7\n", "base.yaml")
    path = write(tmp_path, "extends: base.yaml\nslate_size: 4\n")
    assert domain_at(path) is domain_at(path)
    assert (domain_at(path).slate_size, domain_at(path).turn_limit) == (4, 7)
    before = domain_at(path)
    write(tmp_path, "extends: Shop-v0\nturn_limit: 8\n", "base.yaml")
    stamp = base.stat().st_mtime_ns + 10_000_000
    os.utime(base, ns=(stamp, stamp))
    assert domain_at(path) is not before
    assert domain_at(path).turn_limit == 8


def test_mistakes_are_told_where_they_stand_in_the_file_that_holds_them(tmp_path):
    write(tmp_path, "extends: Shop-v0\nturn_limit: none\n", "base.yaml")
    with pytest.raises(ValueError, match=r"base\.yaml, line 2: turn_limit"):
        read_domain(write(tmp_path, "extends: base.yaml\n\nslate_size: 3\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: Shop-v1\n", r"line 1: extends: unknown domain file 'Shop-v1'; did you mean 'Shop-v0'"),
        ("extends: mine.yaml\n", r"line 1: extends: mine.yaml extends this file"),
    ],
)
def test_what_cannot_be_extended_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_domain(write(tmp_path, text))


@pytest.mark.parametrize(
    ("asks", "message"),
    [
        ("counts: {of: [hue], at_least: [2]}", r"line 3: asks.counts.of\[0\]: unknown part 'hue'"),
        ("counts: {at_least: [0]}", r"line 3: asks.counts.at_least\[0\]: expected a whole number from 1"),
        ("conditional: [prize]", r"line 3: asks.conditional\[0\]: unknown part 'prize'; did you mean 'price'"),
        ("misinformed: [brand, hue]", r"line 3: asks.misinformed\[1\]: unknown part 'hue'"),
        ("infeasible: [category]", r"line 3: asks.infeasible\[0\]: one condition alone can be met"),
        ("infeasible: [category+hue]", r"line 3: asks.infeasible\[0\]: there is no part 'hue'"),
        ("others: {category+infeasible: 0.1}", r"line 3: asks.others.category\+infeasible: what nothing meets"),
        ("alike: [hue]", r"line 3: asks.alike\[0\]: unknown attribute 'hue'"),
        ("contexts: {x: [price <= cheap]}", r"line 3: asks.contexts.x\[0\]: in 'price <= cheap'"),
        (
            "contexts: {x: [price >= 1, price >= 2, price >= 3, price >= 4]}",
            r"x: means 4 conditions; a context means 1 to 3",
        ),
        ("replies: {likes: 0.1}", r"line 3: asks.replies.likes: unknown entry 'likes'; did you mean 'like'"),
        ("replies: {like: 2}", r"line 3: asks.replies.like: expected a number from 0 to 1"),
        ("replies: {like: 0.5, unlike: 0.4}", r"line 3: asks.replies: new_goal \+ critique \+ like"),
    ],
)
def test_mistakes_in_what_people_ask_name_their_line_and_cure(tmp_path, asks, message):
    path = write(tmp_path, f"extends: Shop-v0\nasks:\n  {asks}\n")
    with pytest.raises(ValueError, match=message):
        read_domain(path)


def test_a_kind_of_request_needs_its_data(tmp_path):
    movies = "extends: Movies-v0\nasks:\n  others: {context: 0.1}\n"
    with pytest.raises(ValueError, match=r"line 3: asks.others.context: .*add asks: contexts"):
        read_domain(write(tmp_path, movies))
    with pytest.raises(ValueError, match=r"line 3: asks.counts: counts nothing; add at_least"):
        read_domain(write(tmp_path, "extends: Movies-v0\nasks:\n  counts: {of: [genre]}\n"))


def test_a_context_without_words_is_asked_for_by_nobody(tmp_path):
    text = "extends: Movies-v0\nasks:\n  others: {context: 0.5}\n  contexts: {alone: [genre Drama]}\n"
    silent = make_world(str(write(tmp_path, text)), bank_size=300)
    assert "context" not in silent.population.bank.kinds
    said = text + "languages:\n  en:\n    says:\n      alone: {after: [all by myself, for a lonely night, on my own]}\n"
    spoken = make_world(str(write(tmp_path, said, "spoken.yaml")), bank_size=300)
    assert "context" in spoken.population.bank.kinds


def test_a_language_without_words_for_operators_goes_without_them(monkeypatch):
    plain = ("opening", "vague", "implicit", "restated", "reveal", "critique", "more")
    english = LANGUAGES["en"]
    few = replace(english, templates={family: english.templates[family] for family in plain})
    monkeypatch.setitem(LANGUAGES, "en", few)
    domain = read_domain(FOLDER / "Shop-v0.yaml")
    words = vocabulary_of(domain, "en")
    catalogue = world("instructrec/Shop-v0").catalogue
    bank = compile_bank(catalogue, words, domain.asks.about, size=1_000)
    parts = {part for kind in bank.kinds for part in kind.split("+")}
    assert "context" in parts
    assert not parts & {"count", "conditional", "misinformed", "infeasible", "relaxed"}
    assert not bank.likenesses
    assert not bank.changes.num
    assert not bank.reset.num_groups
