"""Makes a world of a domain: its items, its people, and the instructions they give."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Protocol

from instructrec.candidates import RandomCandidates
from instructrec.catalogue import Catalogue, Kind
from instructrec.envs import movies
from instructrec.envs.bank import Bank, compile_bank
from instructrec.envs.behaviour import Behaviour
from instructrec.envs.conversational import ConversationalPopulation, Tastes
from instructrec.envs.dials import Dials
from instructrec.envs.domain import Domain
from instructrec.envs.domain_file import MOST_ITEMS, domain_at
from instructrec.envs.domain_words import vocabulary_of
from instructrec.envs.held_out import HeldOut
from instructrec.envs.item_texts import in_language
from instructrec.envs.languages import LANGUAGES
from instructrec.envs.made_items import made_catalogue
from instructrec.envs.made_people import made_people, person_rules
from instructrec.envs.movielens import Ratings
from instructrec.envs.own_data import OwnData
from instructrec.envs.populations import with_population
from instructrec.names import unknown_name
from instructrec.protocols import CandidateSource, Reward
from instructrec.rewards import AmountReward, EngagementReward, RetentionReward, RuledReward
from instructrec.sessions import World
from instructrec.splits import Split, Splits


def domain_world(
    path: Path,
    name: str = "",
    *,
    split: str = "train",
    splits: Splits | None = None,
    language: str = "en",
    num_items: int | None = None,
    slate_size: int | None = None,
    turn_limit: int | None = None,
    bank_size: int | None = None,
    past_length: int = 64,
    behaviour: Behaviour | Mapping[str, float] | None = None,
    reward: Reward | None = None,
    candidates: CandidateSource | int | None = None,
    items_seed: int = 0,
    cooperation: float = 1.0,
    vagueness: float = 0.0,
    reveal: float | None = None,
    typos: float | None = None,
    click_noise: float = 0.0,
    patience: float = 1.0,
    drift: float | None = None,
) -> World:
    """Builds the world of a domain file.

    Args:
        path: The file.
        name: The world's full name; made of the file's name if omitted.
        split: "train", "validation" or "test": whose people and whose phrasings.
        splits: Finer than ``split``: from which split each axis is drawn.
        language: What people speak: one of the file's languages.
        num_items: How many items are made, 1 to 1,000,000; the file's count when omitted. Real items are as many as
            they are.
        slate_size: Items per slate; the file's when omitted.
        turn_limit: Slates per session at most; the file's when omitted.
        bank_size: How many different texts people may say; 6,000 in training and elsewhere 500, or 800 where people
            compare and change their minds, when omitted.
        past_length: How many items of a person's visible past agents see at most.
        behaviour: The users' constants, or some of them by name; the file's when omitted.
        reward: What a reaction is worth; the file's when omitted.
        candidates: Which items may be ranked each turn, or how many, drawn by chance; 0 for all of them, and the file's
            when omitted.
        items_seed: Which made-up items and people of this kind.
        cooperation: This and what follows are dials of realism: see `instructrec.envs.dials.Dials`.
        vagueness: As there.
        reveal: As there.
        typos: As there.
        click_noise: As there.
        patience: As there.
        drift: As there.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is wrong, a split is misspelt or a size out of range.
    """
    dials = Dials(
        cooperation=cooperation,
        vagueness=vagueness,
        reveal=reveal,
        typos=typos,
        click_noise=click_noise,
        patience=patience,
        drift=drift,
    )
    domain = domain_at(path, name)
    chosen = splits if splits is not None else Splits.of(split)
    slate_size = domain.slate_size if slate_size is None else slate_size
    turn_limit = domain.turn_limit if turn_limit is None else turn_limit
    catalogue = _catalogue(domain, num_items, items_seed)
    own = None
    if domain.asks is not None:
        own = vocabulary_of(domain, language)  # Before anything is made: says which languages there are.
        catalogue = _told(domain, num_items, items_seed, language)
    base = World(
        name=domain.name,
        catalogue=catalogue,
        population=_Nobody(),  # type: ignore[arg-type]
        reward=reward if reward is not None else _reward(domain),
        candidates=_offered(catalogue, domain.candidates if candidates is None else candidates),
        slate_size=slate_size,
        turn_limit=turn_limit,
        language=language if domain.asks is not None else World.language,
        words=own,
    )
    if domain.people.population != "conversational":
        if dials != Dials():
            raise ValueError(f"the people of {domain.name} do not converse; dials turn those who say what they want")
        return with_population(base, domain.people.population, dict(domain.people.settings), split=split)
    if domain.asks is None:
        raise ValueError(
            f"{path}: the people of {domain.name} need to know what to ask for; add `asks` and `languages`"
        )
    # Replies need texts of their own: those of every comparison at every position, and of every change.
    held_out = 800 if domain.asks.extras.replies else 500
    size = bank_size if bank_size is not None else (6_000 if chosen.has("templates", Split.TRAIN) else held_out)
    constants = behaviour if isinstance(behaviour, Behaviour) else _behaviour(domain, behaviour or {})
    words = dials.vocabulary(vocabulary_of(domain, language))
    population = ConversationalPopulation(
        catalogue,
        _tastes(domain, num_items, items_seed, chosen.users, past_length, constants),
        _bank(domain, num_items, items_seed, language, chosen, size, slate_size, turn_limit, dials),
        topic=domain.people.topic or domain.asks.about[0],
        behaviour=dials.behaviour(constants) if dials != Dials() else constants,
        slate_size=slate_size,
        turn_limit=turn_limit,
        vocabulary=words,
        rules=tuple(tuple(predicate for predicate, _ in rule.shares) for rule in domain.rules),
        lives_by=person_rules(domain, domain.people.count, items_seed) if domain.rules else None,
    )
    return replace(base, population=population)


def expected_ratings(path: Path, name: str, ratings: Ratings, num_items: int, *, seed: int) -> HeldOut | None:
    """Returns held-out ratings of a log and what the model of taste of a domain's people expects of them.

    The model, its rank and priors as they were fitted for these people, learns from four fifths of the log.

    Args:
        path: The domain file.
        name: The world's full name, or "".
        ratings: The log.
        num_items: How many items its numbers stand for.
        seed: Which fifth is held out.

    Returns:
        None where the domain's people and items are made up, so that no ratings stand behind them.
    """
    domain = domain_at(path, name)
    if domain.items.source == "made":
        return None
    return _SOURCES[domain.items.source].held_out(domain, ratings, num_items, seed)


class _Nobody:
    """Stands where a population will."""


def _catalogue(domain: Domain, num_items: int | None, seed: int) -> Catalogue:
    if domain.items.source == "made":
        size = domain.items.count if num_items is None else num_items
        if not 1 <= size <= MOST_ITEMS:
            raise ValueError(f"num_items must be from 1 to {MOST_ITEMS:,}, got {num_items}")
        return _made(domain, size, seed)
    if num_items is not None:
        raise ValueError(f"the items of {domain.name} are real: num_items cannot be set; leave it out")
    catalogue = _SOURCES[domain.items.source].catalogue(domain)
    _check_columns(domain, catalogue)
    return catalogue


@functools.lru_cache(maxsize=4)
def _told(domain: Domain, num_items: int | None, seed: int, language: str) -> Catalogue:
    """Returns the items with texts in the language that people speak."""
    items, tongue = _catalogue(domain, num_items, seed), LANGUAGES[language].tongue
    return in_language(items, domain.attributes, domain.words[language], tongue)


@functools.lru_cache(maxsize=4)
def _made(domain: Domain, size: int, seed: int) -> Catalogue:
    return replace(made_catalogue(domain, size, seed=seed), nouns=domain.nouns, units=domain.units)


@functools.lru_cache(maxsize=8)
def _tastes(
    domain: Domain,
    num_items: int | None,
    seed: int,
    users: tuple[Split, ...],
    past_length: int,
    behaviour: Behaviour,
) -> Tastes:
    if domain.items.source != "made":
        return _SOURCES[domain.items.source].tastes(domain, users, past_length, behaviour)
    return made_people(domain, _catalogue(domain, num_items, seed), users=users, past_length=past_length, seed=seed)


@functools.lru_cache(maxsize=8)
def _bank(
    domain: Domain,
    num_items: int | None,
    seed: int,
    language: str,
    splits: Splits,
    size: int,
    slate_size: int,
    turn_limit: int,
    dials: Dials,
) -> Bank:
    if domain.asks is None:
        raise ValueError(f"the people of {domain.name} do not say what they want")
    return compile_bank(
        _catalogue(domain, num_items, seed),
        dials.vocabulary(vocabulary_of(domain, language)),
        domain.asks.about,
        splits=splits,
        style=dials.style(),
        size=size,
        slate_size=slate_size,
        turn_limit=turn_limit,
    )


def _offered(catalogue: Catalogue, given: CandidateSource | int) -> CandidateSource | None:
    """Returns the source of candidates: as given, or so many drawn by chance."""
    if isinstance(given, str | float) or given is True:
        raise TypeError(f"candidates must be a whole number or draw items itself (CandidateSource), got {given!r}")
    if not isinstance(given, int):
        return given
    return RandomCandidates(catalogue, given) if given else None


def _reward(domain: Domain) -> Reward:
    if domain.reward == "engagement":
        return AmountReward()
    if domain.reward == "retention":
        return RetentionReward()
    broken = min((rule.reward for rule in domain.rules), default=0.0)
    return RuledReward(broken=broken) if broken < 0 else EngagementReward()


def _behaviour(domain: Domain, given: Mapping[str, float]) -> Behaviour:
    """Returns the constants of a domain's people, some of them given.

    Raises:
        ValueError: If there is no such constant, or its value is out of range.
    """
    known = [constant.name for constant in fields(Behaviour)]
    for name, value in given.items():
        if name not in known:
            raise ValueError(unknown_name("constant of behaviour", name, known))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"behaviour {name} must be a finite number, got {value!r}")
    replies = domain.asks.extras.replies if domain.asks is not None else {}
    wanted = {**replies, **domain.people.behaviour, **given}
    if domain.items.source == "made":
        return Behaviour(**wanted)
    return _SOURCES[domain.items.source].behaviour(wanted)


def _check_columns(domain: Domain, catalogue: Catalogue) -> None:
    """Raises a ValueError where the items are not what the file says of them."""
    for name, attribute in domain.attributes.items():
        column = catalogue.column(name)
        if column.kind is not attribute.kind:
            raise ValueError(f"{domain.name}: the file calls {name} {attribute.kind}, but the items' is {column.kind}")
        for value in attribute.values:
            column.mask_of([value]) if attribute.kind is not Kind.ORDINAL else column.values.index(value)


class _Source(Protocol):
    """Where real items and the people who rated them come from."""

    def catalogue(self, domain: Domain) -> Catalogue: ...
    def behaviour(self, given: Mapping[str, float]) -> Behaviour: ...
    def tastes(self, domain: Domain, users: tuple[Split, ...], past_length: int, behaviour: Behaviour) -> Tastes: ...
    def held_out(self, domain: Domain, ratings: Ratings, num_items: int, seed: int) -> HeldOut: ...


_SOURCES: Mapping[str, _Source] = {"movielens": movies.MovieLens(), "data": OwnData()}
