"""Every domain file that comes with the package is a sound world, speaks, and is worth learning in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from instructrec.agents.baselines import Random
from instructrec.agents.references import GoalOracle, Oracle
from instructrec.arrays import Floats
from instructrec.envs.bank import Bank
from instructrec.envs.conversational import ConversationalPopulation, ConversationalState
from instructrec.envs.domain_file import FOLDER, domain_at
from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import SLOT, key_of
from instructrec.envs.worlds import make_world
from instructrec.experiments.evaluation import evaluate
from instructrec.goals import Operator, Predicate, Reveal, allowed, compile_goals
from instructrec.sessions import Observation, Sessions, SessionState, World, observe, start, step
from instructrec.splits import Splits
from instructrec.testing import check_world

FILES = sorted(FOLDER.glob("*.yaml"))
DOMAINS = {file.stem: domain_at(file, f"instructrec/{file.stem}") for file in FILES}
SPEAKING = [name for name, domain in DOMAINS.items() if domain.asks is not None]
MADE = [name for name in SPEAKING if DOMAINS[name].items.source == "made"]
RULED = [name for name in SPEAKING if DOMAINS[name].rules]
SPOKEN = [(name, language) for name in SPEAKING for language in DOMAINS[name].words]


@cache
def small(name: str, split: str = "train", language: str = "en") -> World:
    """A world of a few hundred items and texts."""
    settings = {"num_items": 400} if DOMAINS[name].items.source == "made" else {}
    return make_world(f"instructrec/{name}", bank_size=420, split=split, language=language, **settings)


@cache
def whole(name: str) -> World:
    """A world of all its items that says less."""
    return make_world(f"instructrec/{name}", bank_size=900)


def people_of(world: World) -> ConversationalPopulation:
    assert isinstance(world.population, ConversationalPopulation)
    return world.population


def meaning(predicates: Iterable[Predicate]) -> set[tuple[object, ...]]:
    """What predicates mean: excluding two values is excluding the one and the other."""
    found: set[tuple[object, ...]] = set()
    for predicate in predicates:
        if predicate.operator is Operator.EXCLUDE:
            found |= {("exclude", predicate.field, value) for value in predicate.values}
        else:
            found.add((*key_of(predicate), predicate.hard, predicate.weight))
    return found


def said_in(bank: Bank) -> Iterator[tuple[str, Sequence[Predicate]]]:
    """Yields (text, what it says) for every text about a goal or a shown item."""
    width = bank.goals.num_predicates
    for goal, predicates in enumerate(bank.predicates):
        volunteered = [p for p in predicates if p.reveal is Reveal.VOLUNTEERED]
        yield from ((text, volunteered) for text in bank.texts_of(bank.opening.group(goal)))
        yield from ((text, predicates) for text in bank.texts_of(bank.restated.group(goal)))
        for place, predicate in enumerate(predicates):
            yield from ((text, [predicate]) for text in bank.texts_of(bank.reveal.group(goal * width + place)))
    for group in range(bank.critique.num_groups):
        kind, place = divmod(group, bank.critique.num_groups // len(bank.critiques))
        critique = bank.critiques[kind]
        operator = Operator.MORE_THAN if critique.direction > 0 else Operator.LESS_THAN
        wanted = Predicate(field=critique.field, operator=operator, position=place + 1)
        yield from ((text, [wanted]) for text in bank.texts_of(bank.critique.group(group)))


@dataclass(frozen=True)
class Allowed:
    """The oracle, who shows nothing that breaks a hard condition of the goal while anything else is left."""

    world: World

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        scores = Oracle(self.world.population).scores(observation, state)
        assert state.instructions.goals is not None
        everything = np.arange(self.world.catalogue.num_items)
        # What the person lives by stands before the last place, which is a critique's and comes and goes.
        goals = state.instructions.goals
        kept = replace(goals, hard=goals.hard & (np.arange(goals.num_predicates) < goals.num_predicates - 1))
        return np.where(allowed(kept, self.world.catalogue, everything), scores, scores - 1)


def played(world: World, turns: int, sessions: Sessions) -> list[SessionState]:
    """What a few turns of random slates come to."""
    rng = np.random.default_rng(0)
    states = [start(world, sessions)]
    lanes = sessions.lane
    for _ in range(turns):
        slates = np.stack([rng.permutation(world.catalogue.num_items)[: world.slate_size] for _ in range(500)])
        states.append(step(world, states[-1], slates[lanes])[0])
    return states


@pytest.mark.parametrize("name", DOMAINS)
def test_it_is_a_sound_world(name: str) -> None:
    world = small(name) if name in SPEAKING else make_world(f"instructrec/{name}")
    check_world(world)
    assert DOMAINS[name].summary.endswith(".")


@pytest.mark.parametrize("name", SPEAKING)
def test_everything_an_item_can_be_asked_by_stands_in_its_text(name: str) -> None:
    world, domain = small(name), DOMAINS[name]
    assert domain.asks is not None
    assert len(set(world.catalogue.titles)) > 0.5 * world.catalogue.num_items
    if domain.items.source != "made":
        return
    for attribute in domain.asks.about:
        column = world.catalogue.column(attribute)
        for item in range(20):
            for value in column.values:
                if int(column.masks[item]) & column.mask_of([value]):
                    assert value in world.catalogue.texts[item]


@pytest.mark.parametrize("name", SPEAKING)
def test_people_speak_every_turn_and_ask_criticise_and_reveal(name: str) -> None:
    world = small(name)
    people = people_of(world)
    states = played(world, 4, Sessions.first(3, 300))
    said = {text for state in states for text in observe(world, state).instruction.tolist()}
    assert 0 not in said
    groups = (people.bank.critique, people.bank.opening, people.bank.restated, people.bank.reveal)
    assert all(said & set(phrases.ids.tolist()) for phrases in groups)
    assert {critique.field for critique in people.bank.critiques} <= set(world.catalogue.columns)


@pytest.mark.parametrize("name", MADE)
def test_one_alone_is_the_same_as_in_a_crowd(name: str) -> None:
    world = small(name)
    crowd = Sessions.first(5, 40)
    alone = Sessions(*(getattr(crowd, field)[7:8] for field in crowd.__dataclass_fields__))
    for one, all_of_them in zip(played(world, 3, alone), played(world, 3, crowd), strict=True):
        for field in ConversationalState.__dataclass_fields__:
            if field != "goals":
                mine, theirs = getattr(one.population, field), getattr(all_of_them.population, field)
                assert np.array_equal(mine[0], theirs[7])


@pytest.mark.parametrize("name", MADE)
def test_held_out_worlds_have_other_people_and_other_sentences(name: str) -> None:
    worlds = [small(name, split) for split in ("train", "validation", "test")]
    who = [set(people_of(world).tastes.who.tolist()) for world in worlds]
    assert all(who)
    assert sum(map(len, who)) == len(set.union(*who)) == DOMAINS[name].people.count
    said = [set(people_of(world).bank.texts) - {""} for world in worlds]
    assert len({world.fingerprint for world in worlds}) == 3
    for one in (1, 2):
        assert len(said[0] & said[one]) <= 0.15 * len(said[one])


@pytest.mark.parametrize("name", MADE)
def test_everything_can_be_said_in_words_never_heard(name: str) -> None:
    splits = Splits(users=("test",), templates=("test",), synonyms=("test",), combinations=("test",))
    held_out = make_world(f"instructrec/{name}", num_items=400, bank_size=420, splits=splits)
    heard, unheard = people_of(small(name, "test")).bank, people_of(held_out).bank
    assert unheard.num_goals > 40
    assert len(set(heard.texts) & set(unheard.texts)) < 0.3 * len(unheard.texts)


@pytest.mark.parametrize(("name", "language"), SPOKEN)
def test_the_parser_understands_what_is_said(name: str, language: str) -> None:
    people = people_of(whole(name) if language == "en" else small(name, language=language))
    vocabulary = people.vocabulary
    assert vocabulary is not None
    right = unknown = total = 0
    for text, wanted in said_in(people.bank):
        understood = parse(text, vocabulary)
        right += meaning(understood.predicates) == meaning(wanted)
        unknown += bool(understood.unknown)
        total += 1
    assert right >= 0.95 * total
    assert unknown <= 0.02 * total


@pytest.mark.parametrize("name", SPEAKING)
def test_no_sentence_means_anything_by_itself(name: str) -> None:
    vocabulary = people_of(small(name)).vocabulary
    assert vocabulary is not None
    sentences = [text for family in vocabulary.templates.values() for text in family]
    sentences += [*vocabulary.polite[0], *vocabulary.polite[1], *vocabulary.resets]
    for text in sentences:
        assert not parse(SLOT.sub(" , ", text), vocabulary).predicates, text


@pytest.mark.parametrize("name", MADE)
def test_every_value_has_words_enough_for_every_split(name: str) -> None:
    domain = DOMAINS[name]
    assert domain.asks is not None
    for language, words in domain.words.items():
        for attribute in domain.asks.about:
            for value in domain.attributes[attribute].values:
                terms = words.values[attribute, value]
                assert len(terms) >= 4 or language != "en", f"{attribute} {value}"


@pytest.mark.parametrize("name", MADE)
def test_it_is_worth_learning_in(name: str) -> None:
    world, people = whole(name), Sessions.first(11, 100)
    oracle = evaluate(world, Oracle(world.population), people)
    assert oracle.mean("csr") >= 0.95
    assert 0.3 <= oracle.mean("leave_rate") <= 0.8
    chance = evaluate(world, Random(world.catalogue.num_items, world.slate_size), people)
    by_goal = evaluate(world, GoalOracle(world.catalogue), people)
    assert chance.returns.mean() < 0.25 * by_goal.returns.mean()
    # Taste matters besides what is asked for.
    assert by_goal.returns.mean() < 0.85 * oracle.returns.mean()


@pytest.mark.parametrize("name", RULED)
def test_who_knows_the_goal_never_breaks_a_rule(name: str) -> None:
    world = whole(name)
    people, limits = people_of(world), [rule.shares for rule in DOMAINS[name].rules]
    episodes = evaluate(world, Allowed(world), Sessions.first(11, 60))
    assert people.lives_by is not None
    for turn in range(world.turn_limit):
        here = episodes.shown[:, turn, 0] >= 0
        slates, who = episodes.shown[here, turn], episodes.person[here]
        for rule, shares in enumerate(limits):
            for choice, (predicate, _) in enumerate(shares):
                theirs = slates[people.lives_by[who, rule] == choice]
                if predicate is not None and len(theirs):
                    goals = compile_goals([[predicate]], world.catalogue)
                    assert allowed(goals, world.catalogue, theirs.ravel()).all()
    assert (episodes.rewards >= 0).all()


@pytest.mark.parametrize("name", RULED)
def test_breaking_a_rule_is_counted_and_costs_the_penalty(name: str) -> None:
    world = small(name)
    people = people_of(world)
    penalty = min(rule.reward for rule in DOMAINS[name].rules)
    state = start(world, Sessions.first(2, 200))
    rng = np.random.default_rng(1)
    slates = np.stack([rng.permutation(world.catalogue.num_items)[: world.slate_size] for _ in range(200)])
    _, outcome = step(world, state, slates)
    broken = outcome.reactions.unsuitable
    assert broken is not None
    assert people.lives_by is not None
    assert 0.01 < broken.mean() < 0.9
    anything = [choice for choice, (predicate, _) in enumerate(DOMAINS[name].rules[0].shares) if predicate is None]
    free = np.isin(people.lives_by[state.population.person, 0], anything)
    assert not broken[free].any()
    assert broken[~free].any()
    earned = outcome.item_rewards
    assert np.allclose(earned, outcome.reactions.clicked + penalty * broken)


@pytest.mark.parametrize("name", RULED)
def test_everybody_always_asks_within_what_they_live_by(name: str) -> None:
    world = small(name)
    people = people_of(world)
    assert people.lives_by is not None
    for state in played(world, 3, Sessions.first(4, 100)):
        for row in range(100):
            lived = people.lives_by[state.population.person[row], 0]
            predicate = DOMAINS[name].rules[0].shares[lived][0]
            asked = {str(p) for p in people.bank.predicates[state.population.goal[row]]}
            assert predicate is None or str(predicate) in asked


def test_news_lose_half_their_worth_in_a_half_life() -> None:
    world = whole("News-v0")
    tastes, ages = people_of(world).tastes, world.catalogue.column("age").numbers
    felt = tastes.item_factors[:, -1].astype(float)
    fresh, half, quarter = (felt[ages == age][0] for age in (0, 12, 24))
    assert fresh > half > quarter
    assert np.isclose(fresh - half, 2 * (half - quarter))
    # Everybody likes fresh articles better, and some much more than others.
    minds = tastes.person_factors[:, -1]
    assert minds.mean() > 0.05
    assert minds.std() > 0.1
    new, old = tastes.quality[ages <= 3].mean(), tastes.quality[ages > 72].mean()
    assert new > old + 0.5


def test_a_cuisine_is_a_restaurants_and_a_class_a_hotels() -> None:
    catalogue = whole("Travel-v0").catalogue
    kind, cuisine, comfort = (catalogue.column(name) for name in ("kind", "cuisine", "class"))
    eats = (kind.masks & np.uint64(kind.mask_of(["restaurant", "café", "bar"]))) != 0
    assert (cuisine.masks[eats] != 0).all()
    assert not cuisine.masks[~eats].any()
    sleeps = (kind.masks & np.uint64(kind.mask_of(["hotel", "guesthouse", "apartment"]))) != 0
    assert np.array_equal(~np.isnan(comfort.numbers), sleeps)
    assert not any("no cuisine" in text or "unknown" in text for text in catalogue.texts)


def test_risk_and_return_go_together() -> None:
    catalogue = whole("Finance-v0").catalogue
    risk, earned = catalogue.column("risk").numbers, catalogue.column("yield").numbers
    means = [earned[risk == level].mean() for level in range(5)]
    assert means == sorted(means)
    kind = catalogue.column("kind")
    accounts = (kind.masks & np.uint64(kind.mask_of(["savings account"]))) != 0
    assert risk[accounts].max() <= 1


def test_people_may_ask_for_what_keeps_their_rule_anyway() -> None:
    people = people_of(whole("Finance-v0"))
    catalogue, limits = people.catalogue, {"risk ≤ 1", "risk ≤ 2", "risk ≤ 3"}
    idle = 0
    for predicates in people.bank.predicates:
        asked = [predicate for predicate in predicates if str(predicate) not in limits]
        if len(asked) < len(predicates):
            goals = compile_goals([predicates, asked], catalogue)
            both = allowed(goals, catalogue, np.arange(catalogue.num_items)).sum(axis=1)
            idle += bool(both[0] == both[1])
    assert idle > 0
