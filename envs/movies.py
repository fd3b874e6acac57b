"""The Movies world: real films, people with tastes fitted to real ratings, and requests in English."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue
from instructrec.envs.bank import Bank, compile_bank
from instructrec.envs.conversational import Behaviour, ConversationalPopulation, Tastes
from instructrec.envs.movielens import shipped, shipped_people, visible_past
from instructrec.noise import mix
from instructrec.protocols import CandidateSource, Reward
from instructrec.rewards import EngagementReward
from instructrec.sessions import World
from instructrec.splits import Split, Splits, split_of


def movies_world(
    *,
    split: str = "train",
    splits: Splits | None = None,
    slate_size: int = 10,
    turn_limit: int = 10,
    bank_size: int | None = None,
    past_length: int = 64,
    behaviour: Behaviour | None = None,
    reward: Reward | None = None,
    candidates: CandidateSource | None = None,
) -> World:
    """Builds the Movies world.

    Args:
        split: "train", "validation" or "test": whose people and whose phrasings.
        splits: Finer than ``split``: from which split each axis is drawn.
        slate_size: Films per slate.
        turn_limit: Slates per session at most.
        bank_size: How many different texts people may say; 6,000 in training and 500 elsewhere when omitted.
        past_length: How many films of a person's visible past agents see at most.
        behaviour: The users' constants.
        reward: What a reaction is worth; a point per click when omitted.
        candidates: Which films may be ranked each turn; all of them when omitted.

    Raises:
        ValueError: If a split is misspelt or a size out of range.
    """
    chosen = splits if splits is not None else Splits.of(split)
    size = bank_size if bank_size is not None else (6_000 if chosen.has("templates", Split.TRAIN) else 500)
    catalogue = shipped()[0]
    people = shipped_people()
    if behaviour is None:
        behaviour = Behaviour(perceived_miss=people.genre_misses, perceived_false_alarm=people.genre_false_alarms)
    population = ConversationalPopulation(
        catalogue,
        _tastes(chosen.users, past_length, behaviour.allure_from_popularity),
        _bank(chosen, size, slate_size, turn_limit),
        topic="genre",
        behaviour=behaviour,
        slate_size=slate_size,
        turn_limit=turn_limit,
    )
    return World(
        name="instructrec/Movies-v0",
        catalogue=catalogue,
        population=population,
        reward=reward if reward is not None else EngagementReward(),
        candidates=candidates,
        slate_size=slate_size,
        turn_limit=turn_limit,
    )


@functools.lru_cache(maxsize=8)
def _bank(splits: Splits, size: int, slate_size: int, turn_limit: int) -> Bank:
    return compile_bank(shipped()[0], splits=splits, size=size, slate_size=slate_size, turn_limit=turn_limit)


@functools.lru_cache(maxsize=8)
def _tastes(users: tuple[Split, ...], past_length: int, from_popularity: float) -> Tastes:
    catalogue, ratings = shipped()
    people = shipped_people()
    past, past_ratings = visible_past(ratings, past_length)
    who = [row for row, name in enumerate(ratings.person_ids) if split_of("users", name) in users]
    return Tastes(
        who=np.array(who, np.int32),
        person_factors=people.person_factors,
        item_factors=people.item_factors,
        quality=people.item_bias,
        allure=allure(catalogue, people.item_bias, from_popularity),
        past=past,
        past_ratings=past_ratings,
    )


def allure(catalogue: Catalogue, quality: Floats, from_popularity: float) -> npt.NDArray[np.float32]:
    """Returns what draws people to a film without pleasing them, in standard deviations [num_items].

    Part of it is popularity beyond what quality explains, the rest is luck that stays with the film.

    Args:
        catalogue: The films.
        quality: Stars, [num_items].
        from_popularity: Correlation of allure with the unexplained popularity, 0 to 1.
    """
    popularity = np.log1p(catalogue.popularity.astype(np.float64))
    slope, intercept = np.polyfit(quality.astype(np.float64), popularity, 1)
    unexplained = _standardised(popularity - slope * quality - intercept)
    words = mix(np.arange(1, catalogue.num_items + 1, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95))
    luck = _standardised((words >> np.uint64(11)).astype(np.float64))
    drawn = from_popularity * unexplained + np.sqrt(1 - from_popularity**2) * luck
    return np.asarray(drawn, np.float32)


def _standardised(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))
