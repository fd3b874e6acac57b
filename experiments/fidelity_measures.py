"""Comparing what a world produces with what a log holds, aspect by aspect.

References:
    Amatriain, Pujol and Oliver (2009), I like it... I like it not: evaluating user ratings noise in recommender
    systems (UMAP).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from instructrec.catalogue import Catalogue
from instructrec.envs.bank import Bank
from instructrec.envs.domain_world import expected_ratings
from instructrec.envs.english import English
from instructrec.envs.held_out import HeldOut
from instructrec.envs.lexicon import words_of
from instructrec.envs.worlds import world_spec
from instructrec.experiments.distances import (
    HALVINGS,
    TOP_SHARES,
    Distance,
    Units,
    category_divergence,
    concentration,
    concentration_gap,
    earth_mover,
    largest_gap,
    noise_floor,
    place_divergence,
    ragged,
    rate_gap,
    rates,
    share,
    share_gap,
)
from instructrec.experiments.fidelity_aspects import FEWEST, PER_PERSON, Finding, LackingError, Simulated, compared
from instructrec.experiments.fidelity_logs import ClickLog, DialogueLog, Log, QueryLog, RatingLog, kind_of
from instructrec.goals import Check
from instructrec.sessions import World

_SPLIT = 20
"""Which random fifth of the ratings is held out: none that chose or reported the shipped people's setting."""
_QUALITY = ("rating", "popularity")
"""Attributes that queries call quality."""

Comparison: TypeAlias = Callable[[], Finding]


def comparisons(log: Log, simulated: Simulated) -> Iterator[tuple[str, Comparison]]:
    """Yields what a log allows to compare: the aspect, and a function that does it or raises `LackingError`."""
    match log:
        case RatingLog():
            sizes = (log.catalogue.num_items, simulated.world.catalogue.num_items)
            yield "popularity_curve", lambda: _popularity(log.source, _rated(log), sizes, simulated)
            yield "genre_entropy", lambda: _entropy(log, simulated)
            yield from _ratings(log, simulated)
        case QueryLog():
            yield "instruction_length", lambda: _length(log, simulated)
            yield "request_kinds", lambda: _kinds("request_kinds", log, simulated)
            yield "covered_request_kinds", lambda: _kinds("covered_request_kinds", log, simulated)
            yield "exclusions", lambda: _exclusions(log, simulated)
        case DialogueLog():
            for place, name in enumerate(("accept_rate", "reject_rate", "critique_rate")):
                yield name, functools.partial(_answers, name, place, log, simulated)
            yield "rounds", lambda: _lengths("rounds", log.source, log.rounds, simulated)
        case ClickLog():
            yield "click_rate_by_position", lambda: _positions("click_rate_by_position", log, simulated, rate_gap)
            yield "clicks_by_position", lambda: _positions("clicks_by_position", log, simulated, place_divergence)
            if log.turns is not None:
                yield "session_length", functools.partial(_lengths, "session_length", log.source, log.turns, simulated)
            if log.items is not None:
                # Such a log knows no item but those shown, so the others of the world do not count either.
                items, shown = ragged(log.items), simulated.episodes.shown
                sizes = (log.num_items, len(np.unique(shown[shown >= 0])))
                yield "popularity_curve", lambda: _popularity(log.source, items, sizes, simulated)


def _mean(values: Units, unit: str) -> str:
    return f"{values.mean():.2f} {unit} on average" if len(values) else ""


def _percent(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


# --- Ratings ---------------------------------------------------------------------------------------------------------


def _rated(log: RatingLog) -> Units:
    return ragged(np.split(log.ratings.item.astype(np.int64), log.ratings.starts()[1:-1]))


def _consumed(simulated: Simulated) -> Units:
    """Returns what each person clicked, in all sessions together."""
    episodes = simulated.episodes
    rows = [np.flatnonzero(episodes.person == person) for person in np.unique(episodes.person)]
    return ragged([episodes.shown[mine][episodes.clicked[mine]].astype(np.int64) for mine in rows])


def _popularity(source: str, items: Units, num_items: tuple[int, int], simulated: Simulated) -> Finding:
    sides = list(zip((items, _consumed(simulated)), num_items, strict=True))
    count = min(sum(map(len, units)) for units, _ in sides)
    if count < FEWEST:
        raise LackingError(f"too little to count: {count} items chosen, of at least {FEWEST}")
    log, world = (concentration(units, size, count) for units, size in sides)
    floor = max(noise_floor([units], functools.partial(_concentration_gap, size)) for units, size in sides)
    told = [f"the top 1 % of items get {np.interp(0.01, TOP_SHARES, curve):.0%}" for curve in (log, world)]
    return Finding(
        name="popularity_curve",
        source=source,
        distance=float(np.abs(log - world).max()),
        floor=floor,
        log=told[0],
        world=told[1],
        note=f"{count:,} choices each; who recommends decides what can be chosen",
        drawing={"log": log, "world": world},
    )


def _concentration_gap(num_items: int, one: Units, other: Units) -> float:
    return concentration_gap(one, other, num_items, num_items)


def _entropies(items: Units, catalogue: Catalogue) -> Units:
    genres, rng = catalogue.column("genre").indicators(), np.random.default_rng(0)
    found = []
    for mine in items:
        if len(mine) >= PER_PERSON:
            counts = genres[rng.choice(mine, PER_PERSON, replace=False)].sum(axis=0, dtype=np.float64)
            parts = counts[counts > 0] / max(counts.sum(), 1.0)
            found.append(float(-(parts * np.log2(parts)).sum()))
    return np.array(found)


def _entropy(log: RatingLog, simulated: Simulated) -> Finding:
    for place, catalogue in (("world", simulated.world.catalogue), ("log", log.catalogue)):
        if "genre" not in catalogue.columns:
            raise LackingError(f"not in this {place}: its items have no genre")
    rated, clicked = _entropies(_rated(log), log.catalogue), _entropies(_consumed(simulated), simulated.world.catalogue)
    told = (_mean(rated, "bits"), _mean(clicked, "bits"))
    note = "a session asks for something, while a person's ratings are of years"
    return compared("genre_entropy", log.source, (rated, clicked), earth_mover, told, note=note)


def _ratings(log: RatingLog, simulated: Simulated) -> Iterator[tuple[str, Comparison]]:
    """Fits the world's model of taste to four fifths of the ratings and asks it for the others."""

    @functools.cache
    def held() -> HeldOut:
        if log.clicks:
            raise LackingError("not in this log: it holds clicks, no ratings")
        spec = world_spec(simulated.world_id or simulated.world.name)
        if spec.file is None or not hasattr(simulated.world.population, "tastes"):
            raise LackingError("not in this world: its people have no model of ratings")
        if log.ratings.num_persons < FEWEST:
            raise LackingError(f"too few people in this log: {log.ratings.num_persons} of at least {FEWEST}")
        found = expected_ratings(spec.file, spec.name, log.ratings, log.catalogue.num_items, seed=_SPLIT)
        if found is None:
            raise LackingError("not in this world: its people and their tastes are made up, not fitted to ratings")
        return found

    yield "rating_error", lambda: _rating_error(log, held())
    yield "rating_calibration", lambda: _rating_calibration(log, held())
    yield "rating_distribution", lambda: _rating_distribution(log, held())


def _rating_error(log: RatingLog, held: HeldOut) -> Finding:
    note = (
        f"always saying the mean misses by {held.rating.std():.2f}; people who rate a film twice differ by .56 to .82 "
        "(Amatriain et al. 2009)"
    )
    return Finding("rating_error", log.source, held.rmse, None, note=note)


def _tenths(expected: Units, given: Units) -> tuple[Units, Units]:
    rows = np.array_split(np.argsort(expected, kind="stable"), 10)
    said, meant = (np.array([values[some].mean() for some in rows if len(some)]) for values in (expected, given))
    return said, meant


def _rating_calibration(log: RatingLog, held: HeldOut) -> Finding:
    expected, rng = held.expected, np.random.default_rng(0)

    def miss(given: Units) -> float:
        said, meant = _tenths(expected, given)
        return float(np.abs(said - meant).mean())

    # Were the model right, ratings would scatter around what it says.
    chance = [miss(expected + held.rmse * rng.standard_normal(len(expected))) for _ in range(HALVINGS)]
    said, meant = _tenths(expected, held.rating)
    slope = float(np.polyfit(expected, held.rating, 1)[0])
    return Finding(
        name="rating_calibration",
        source=log.source,
        distance=miss(held.rating),
        floor=float(np.quantile(chance, 0.95)),
        note=f"slope of given on predicted ratings {slope:.2f}, where 1 is right; the noise floor is that of ratings "
        "scattered around the predictions",
        drawing={"log": meant, "world": said},
    )


def _rating_distribution(log: RatingLog, held: HeldOut) -> Finding:
    marks, rng = np.unique(held.rating), np.random.default_rng(0)
    drawn = held.expected + held.rmse * rng.standard_normal(len(held.rating))
    nearest = marks[np.abs(drawn[:, None] - marks).argmin(axis=1)]
    told = (_mean(held.rating, "stars"), _mean(nearest, "stars"))
    note = "the world's ratings are its predictions with normal errors, on the log's scale"
    return compared("rating_distribution", log.source, (held.rating, nearest), category_divergence, told, note=note)


# --- Queries ---------------------------------------------------------------------------------------------------------


def _length(log: QueryLog, simulated: Simulated) -> Finding:
    words = np.array([len(words_of(text)) for text in simulated.texts])
    told = (_mean(log.length, "words"), _mean(words, "words"))
    return compared("instruction_length", log.source, (log.length, words), earth_mover, told)


def _kinds(name: str, log: QueryLog, simulated: Simulated) -> Finding:
    if simulated.episodes.goals is None:
        raise LackingError("not in this world: its instructions have no goals")
    goals = simulated.episodes.goals[0]
    fields = np.array(["quality" if name in _QUALITY else name for name in simulated.world.catalogue.columns])
    asked = (goals.check != Check.NOTHING) & goals.said
    said = np.array(
        [kind_of(set(fields[column[held]].tolist())) for column, held in zip(goals.column, asked, strict=True)]
    )
    kinds = log.kinds
    if name == "covered_request_kinds":
        kinds, said = log.mix[log.covered], said[said != kind_of(set())]
    return compared(name, log.source, (kinds, said), category_divergence, (_most(kinds), _most(said)))


def _most(names: Units) -> str:
    if not len(names):
        return ""
    known, counts = np.unique(names, return_counts=True)
    return f"most often {known[counts.argmax()]}, {_percent(float(counts.max() / counts.sum()))}"


def _exclusions(log: QueryLog, simulated: Simulated) -> Finding:
    excludes = np.array([bool(set(words_of(text)) & English.negations) for text in simulated.texts])
    sides = [np.stack([holds, np.ones_like(holds)], axis=1).astype(np.int64) for holds in (log.excludes, excludes)]
    return _shares("exclusions", log.source, sides[0], sides[1], "counted by words such as no and without")


def _shares(name: str, source: str, log: Units, world: Units, note: str) -> Finding:
    for whose, units in (("log", log), ("world", world)):
        if not units[:, 1].sum():
            raise LackingError(f"not in this {whose}")
    told, drawing = (_percent(share(log)), _percent(share(world))), (share(log), share(world))
    return compared(name, source, (log, world), share_gap, told, note=note, drawing=drawing)


# --- Dialogues and clicks --------------------------------------------------------------------------------------------


def _answers(name: str, place: int, log: DialogueLog, simulated: Simulated) -> Finding:
    """Any click takes a slate up and none turns it down; a critique or a condition added asks for a change."""
    episodes = simulated.episodes
    # What was said after the last slate before the turn limit is not played any more.
    answered = np.arange(episodes.rewards.shape[1]) < (episodes.length - ~episodes.left)[:, None]
    if name == "critique_rate":
        criticised = np.isin(episodes.instruction, _critiques(simulated.world))
        held = np.concatenate([criticised[:, 1:], np.zeros_like(criticised[:, :1])], axis=1)
    else:
        held = episodes.clicked.any(axis=2) == (name == "accept_rate")
    world = np.stack([(held & answered).sum(axis=1), answered.sum(axis=1)], axis=1)
    size = simulated.world.slate_size
    note = f"a slate holds {size} items, a dialogue's turn few; here a slate without a click is turned down"
    return _shares(name, log.source, log.answers[:, [place, 3]], world, note)


def _critiques(world: World) -> Units:
    bank = getattr(world.population, "bank", None)
    if not isinstance(bank, Bank):
        raise LackingError("not in this world: its people do not criticise")
    return np.concatenate([bank.critique.ids, bank.reveal.ids])


def _lengths(name: str, source: str, log: Units, simulated: Simulated) -> Finding:
    length = simulated.episodes.length
    told = (_mean(log, "slates"), _mean(length, "slates"))
    note = f"a session of the world ends after {simulated.world.turn_limit} slates at the latest"
    return compared(name, source, (log, length), largest_gap, told, note=note)


def _positions(name: str, log: ClickLog, simulated: Simulated, distance: Distance) -> Finding:
    episodes = simulated.episodes
    clicks = episodes.clicked.sum(axis=1)
    sides = (log.positions, np.stack([clicks, np.broadcast_to(episodes.length[:, None], clicks.shape)], axis=1))
    for whose, units in zip(("log", "world"), sides, strict=True):
        if not units[:, 0].sum():
            raise LackingError(f"nothing is clicked in this {whose}")
    if name == "click_rate_by_position":
        told = [f"{_percent(float(units[:, 0].sum() / units[:, 1].sum()))} of shown items" for units in sides]
    else:
        told = [f"{_percent(float(units[:, 0, 0].sum() / units[:, 0].sum()))} on the first" for units in sides]
    drawing = (rates(sides[0]), rates(sides[1]))
    return compared(name, log.source, sides, distance, (told[0], told[1]), drawing=drawing)
