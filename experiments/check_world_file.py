"""Looking through a domain file: what its items are, what people say there, and what its author may want to mend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from instructrec.envs.bank import Bank
from instructrec.envs.conversational import ConversationalPopulation
from instructrec.envs.parser import parse
from instructrec.envs.vocabulary import Vocabulary, key_of
from instructrec.envs.worlds import make_world, world_spec
from instructrec.experiments.folding import fold
from instructrec.goals import Reveal
from instructrec.sessions import World
from instructrec.testing import check_world

_SHOWN_ITEMS, _SHOWN_GOALS, _FEWEST_WORDS, _MOST_ITEMS = 3, 6, 3, 20_000
_READ, _MOST_NARROW, _MOST_MISREAD = 200, 0.3, 0.1
_AIM_NARROW, _FEW_TURNS = 0.1, 4


def check_world_file(name: str) -> dict[str, Any]:
    """Builds the world of a domain file, checks that it keeps its promises, and samples what people say.

    Args:
        name: A world's name, or the path of a domain file.

    Returns:
        ``warnings`` that an author may mend, ``items``, ``instructions`` with what they mean, and all of it as
        ``text`` of at most 80 columns.

    Raises:
        ValueError: If the file is wrong; the message names its line.
        BrokenPromiseError: If the world does not keep its promises.
    """
    spec = world_spec(name)
    world = make_world(name)
    if world.catalogue.num_items <= _MOST_ITEMS:
        check_world(world, batch=4)
    document = {
        "world": spec.name,
        "fingerprint": world.fingerprint,
        "num_items": world.catalogue.num_items,
        "attributes": {column.name: str(column.kind) for column in world.catalogue.columns.values()},
        "items": [world.catalogue.texts[item] for item in _some(world.catalogue.num_items, _SHOWN_ITEMS)],
        "instructions": _instructions(world),
        "warnings": warnings(world),
    }
    return {**document, "text": _text(document, spec.about().summary)}


def warnings(world: World) -> list[str]:
    """Returns what an author of the world may want to mend, in sentences."""
    population = world.population
    if not isinstance(population, ConversationalPopulation) or population.vocabulary is None:
        return []
    words, bank, found = population.vocabulary, population.bank, []
    few = [str(sense.predicate) for sense in words.senses if len(sense.terms) < _FEWEST_WORDS]
    if few:
        shown = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        found.append(f"fewer than {_FEWEST_WORDS} words, so that none can be held out for tests: {shown}")
    asked = {(p.field, value) for goal in bank.predicates for p in goal for value in p.values}
    for column in world.catalogue.columns.values():
        if not column.is_set:
            continue
        counts = column.indicators().sum(axis=0)
        rare = [value for value, count in zip(column.values, counts, strict=True) if not count]
        unsaid = [value for value in column.values if (column.name, value) not in asked and value not in rare]
        if rare:
            found.append(f"no item has {column.name} {', '.join(rare)}")
        if unsaid and len(unsaid) < len(column.values):
            found.append(f"nobody asks for {column.name} {', '.join(unsaid)}")
    if (narrow := float(bank.narrow.mean())) > _MOST_NARROW:
        room = world.slate_size * world.turn_limit
        found.append(
            f"{narrow:.0%} of the requests are met by fewer than the {room} items that a session may show "
            f"({world.turn_limit} slates of {world.slate_size}); about {_enough_items(bank, world):,} such items "
            f"instead of {world.catalogue.num_items:,} would do, or {_enough_turns(bank, world)}"
        )
    if (misread := _misread(bank, words)) > _MOST_MISREAD:
        found.append(f"the parser misreads {misread:.0%} of the requests: some word means two things, or nothing")
    return found


def _usual(bank: Bank) -> int:
    """Returns how many items meet nine requests in ten, or more.

    A larger catalogue has narrower requests too, so that what would do for seven in ten of today's does not.
    """
    return max(1, int(np.quantile(bank.matching, _AIM_NARROW, method="lower")))


def _enough_items(bank: Bank, world: World) -> int:
    """Returns how many items like these would do, in two digits: those that meet a request grow with the catalogue."""
    exact = world.catalogue.num_items * world.slate_size * world.turn_limit / _usual(bank)
    digit = 10 ** max(0, math.floor(math.log10(exact)) - 1)
    return int(math.ceil(exact / digit) * digit)


def _enough_turns(bank: Bank, world: World) -> str:
    """Returns shorter sessions that these items are enough for, as a domain file says them."""
    turns = _usual(bank) // world.slate_size
    if turns >= 2:
        return f"turn_limit: {turns}"
    turns = min(world.turn_limit, _FEW_TURNS)
    return f"slate_size: {max(1, _usual(bank) // turns)} and turn_limit: {turns}"


def _misread(bank: Bank, words: Vocabulary) -> float:
    """Returns the share of openings that the parser does not turn back into what they ask for."""
    goals = _some(bank.num_goals, _READ)
    wrong = 0
    for goal in goals:
        meant = {key_of(p) for p in bank.predicates[goal] if p.reveal is Reveal.VOLUNTEERED}
        text = bank.texts[int(bank.opening.group(goal)[0])]
        wrong += {key_of(p) for p in parse(text, words).predicates} != meant
    return wrong / max(len(goals), 1)


def _instructions(world: World) -> list[dict[str, Any]]:
    population = world.population
    if not isinstance(population, ConversationalPopulation):
        return [{"text": text, "means": []} for text in list(population.texts.bank)[:_SHOWN_GOALS] if text]
    bank = population.bank
    return [
        {
            "text": bank.texts[int(bank.opening.group(goal)[0])],
            "means": [str(p) if p.reveal is Reveal.VOLUNTEERED else f"({p})" for p in bank.predicates[goal]],
        }
        for goal in _some(bank.num_goals, _SHOWN_GOALS)
    ]


def _some(size: int, count: int) -> list[int]:
    drawn: list[int] = np.random.default_rng(0).permutation(size)[:count].tolist()
    return sorted(drawn)


def _text(document: dict[str, Any], summary: str) -> str:
    kinds = ", ".join(f"{name} ({kind})" for name, kind in document["attributes"].items())
    lines = [f"{document['world']}: {summary}", "", f"{document['num_items']:,} items: {kinds}"]
    lines += [f"  {item}" for item in document["items"]]
    lines += ["", "What people say, and what it means (in brackets: said when it is broken):"]
    for said in document["instructions"]:
        lines += [f'  "{said["text"]}"', f"      {'; '.join(said['means']) or 'anything'}"]
    lines += ["", *(f"! {warning}." for warning in document["warnings"])]
    lines += ["It keeps its promises." + (" The lines with ! may be mended." if document["warnings"] else "")]
    return fold("\n".join(lines), indent="      ")
