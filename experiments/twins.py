"""Twins: the same people with the same luck, once more, with one thing changed: what the agent hears, or the agent.

Person, goal, perception and every draw are the same in both plays; what differs afterwards differs because of the one
change. The difference is *twin minus original*, paired by person.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from instructrec.experiments.competitors import TRAINED, check_names, references, split_name, untrained, world_of
from instructrec.experiments.edits import EDITS, Hearing, check_edit, words_of_edit
from instructrec.experiments.evaluation import Competitor, Episodes, evaluate
from instructrec.experiments.headline import ABOUT, REFERENCES
from instructrec.experiments.progress import Narrator
from instructrec.experiments.statistics import Crossed, variance_saved
from instructrec.sessions import Sessions, World
from instructrec.splits import Splits

METRICS = ("return", "csr", "violation", "session_length", "leave_rate")
"""What is compared, where it exists; see `instructrec.experiments.evaluation`."""
EXAMPLES = 3
"""How many edited instructions a document shows."""
SAVED_BY = (
    "formula: 1 - Var(difference) / (Var(original) + Var(twin)), variances over resamplings of people; the denominator "
    "is the variance that the difference would have were the two played with people of their own"
)


def twins(
    world_id: str,
    *,
    agent: str,
    edit: str = "",
    against: str = "",
    world_settings: Mapping[str, Any] | None = None,
    people: int = 500,
    seed: int = 1,
    final: bool = False,
    narrator: Narrator,
) -> dict[str, Any]:
    """Plays the same sessions twice and returns what the change made of them.

    Args:
        world_id: The world.
        agent: Who is played: a name, or a run folder.
        edit: What happens to the words it hears, one of `EDITS`; ``removed`` where ``against`` names nobody either.
        against: Who is played the second time, instead of an edit: a name, or a run folder.
        world_settings: The world's settings.
        people: How many sessions.
        seed: Their seed.
        final: Whether to read the test split.
        narrator: Is told what is happening.

    Returns:
        ``difference``: metric → value, low, high (95 %, resampling people), of twin minus original; ``means``: metric →
        original and twin; ``variance_saved``: metric → share of the unpaired variance, and ``variance_saved_by``: how
        that was reckoned; ``world``, ``fingerprint``, ``split``, ``seed``, ``people``, ``sessions``, ``agent``,
        ``against``, ``edit``; of an edit also ``edited_turns``, the share of turns in which other words were heard,
        and ``examples``.

    Raises:
        ValueError: If both or neither can be changed as asked: see `words_of_edit`.
    """
    if edit and against:
        raise ValueError("one thing is changed at a time: give --edit or --against, not both")
    edit = edit or ("" if against else "removed")
    if edit and agent in REFERENCES:
        raise ValueError(
            f"{agent} is told the goal and does not listen, so an edit of the words changes nothing for it; "
            "name an agent that listens, such as parser, or compare with --against"
        )
    world = world_of(world_id, dict(world_settings or {}), split_name(final))
    sessions = Sessions.first(seed, people)
    if edit:
        check_edit(edit, world, sessions)

    def competitor(name: str) -> Competitor:
        return competitor_named(name, world, world_id, dict(world_settings or {}), narrator)

    first = competitor(agent)
    second = competitor(against) if against else first
    with narrator.task(f"Playing {people} sessions twice") as advance:

        def play(who: Competitor, done: float, hears: Hearing | None = None) -> Episodes:
            ended = 0

            def progress(more: int) -> None:
                nonlocal ended
                ended += more
                advance(done + ended / people / 2, "")

            return evaluate(world, who, sessions, progress=progress, hears=hears)

        original = play(first, 0.0)
        hearing = None
        if edit:
            words = words_of_edit(edit, world, original, Splits.of(split_name(final)))
            hearing = Hearing(words, sessions, world.turn_limit)
        twin = play(second, 0.5, hearing)
    about = {"agent": agent, "against": against or None, "edit": edit or None}
    document = {**about, "split": split_name(final), "seed": seed, **compare_twins(original, twin)}
    return document if hearing is None else {**document, **_edited(hearing, world)}


def compare_twins(original: Episodes, twin: Episodes) -> dict[str, Any]:
    """Returns the paired differences of two plays of the same sessions; keys as in `twins`.

    Raises:
        ValueError: If they were played in different worlds or with different people.
    """
    if original.fingerprint != twin.fingerprint or not np.array_equal(original.sessions.keys, twin.sessions.keys):
        raise ValueError("twins are the same sessions of the same world; play both in one world with one seed")
    crossed = Crossed.of(original.person)
    differences, means, saved = {}, {}, {}
    for metric in METRICS:
        if metric not in original.metrics or metric not in twin.metrics:
            continue
        one, other = crossed.ratio(*original.totals(metric)), crossed.ratio(*twin.totals(metric))
        if not np.isfinite(one.value) or not np.isfinite(other.value):
            continue
        differences[metric] = (other - one).interval().as_dict()
        means[metric] = {"original": one.value, "twin": other.value}
        share = variance_saved(other, one)
        saved[metric] = None if np.isnan(share) else share
    return {
        "world": original.world,
        "fingerprint": original.fingerprint,
        "people": crossed.num_people,
        "sessions": len(original.length),
        "difference": differences,
        "means": means,
        "variance_saved": saved,
        "variance_saved_by": SAVED_BY,
    }


def _edited(hearing: Hearing, world: World) -> dict[str, Any]:
    changed = [pair for pair in hearing.examples.items() if pair[0] != pair[1]][:EXAMPLES]
    strings = world.population.texts.strings
    examples = [dict(zip(("said", "heard"), strings(np.array(pair)), strict=True)) for pair in changed]
    return {"edited_turns": hearing.edited / max(hearing.turns, 1), "examples": examples}


def competitor_named(
    name: str, world: World, world_id: str, settings: dict[str, Any], narrator: Narrator
) -> Competitor:
    """Returns an agent by name, or from its run folder.

    Args:
        name: The name, or the folder.
        world: Where it will be played.
        world_id: The world's id, for fitting ``informed`` in its training world.
        settings: The world's settings, for the same.
        narrator: Is told what is absent and why.

    Raises:
        ValueError: If there is none of the name, it has to be trained first, or the world has no such reference.
    """
    if name not in ABOUT and (Path(name).is_dir() or os.sep in name):
        from instructrec.experiments.trainers import trained_ranker

        return trained_ranker(name, world)[0]
    check_names([name])
    if name in TRAINED or name.startswith(tuple(f"{one}_" for one in TRAINED)):
        raise ValueError(f"{name} has to be trained: give its run folder, or name one of those that learn nothing")
    if name not in REFERENCES:
        return untrained([name], world)[name]
    found = references([name], world, lambda: world_of(world_id, settings, "train"), narrator)
    if name not in found:
        raise ValueError(f"{world.name} has no {name}")
    return found[name]


# --- For people ------------------------------------------------------------------------------------------------------

_NAMES = {"csr": "CSR", "session_length": "turns", "leave_rate": "leave rate"}


def to_text(document: Mapping[str, Any]) -> str:
    """Returns a twins document as a table and sentences, at most 80 columns."""
    heads = ("", "original", "twin", "difference", "95 %", "variance saved")
    rows = [heads]
    for metric, difference in document["difference"].items():
        means, saved = document["means"][metric], document["variance_saved"][metric]
        rows.append(
            (
                _NAMES.get(metric, metric),
                f"{means['original']:.3f}",
                f"{means['twin']:.3f}",
                _signed(difference["value"]),
                "–" if difference["low"] is None else f"{_signed(difference['low'])} to {_signed(difference['high'])}",
                "–" if saved is None else f"{saved:.0%}",
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(heads))]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    change = (
        f"original {document['agent']}, twin {document['against']}"
        if document["against"]
        else f"{document['agent']}, instructions {document['edit']}: {EDITS[document['edit']]}"
    )
    told = [f"{document['world']}, {change}.", "", lines[0], "─" * len(lines[0]), *lines[1:], ""]
    told += [
        f"The same {document['sessions']} sessions of {document['people']} people, {document['split']}, with the same "
        "luck. Intervals resample people."
    ]
    saved = document["variance_saved"].get("return")
    if saved is not None and saved < 1:
        unpaired = document["sessions"] / (1 - saved)
        told += [f"Sessions of other people would take {unpaired:,.0f} for as narrow an interval of return."]
    if document["edit"]:
        told += [f"Other words were heard in {document['edited_turns']:.0%} of the turns:"]
        told += [f"  “{one['said']}” → {_quoted(one['heard'])}" for one in document["examples"]]
    wrapped = (textwrap.wrap(line, 80, subsequent_indent="    ") if len(line) > 80 else [line] for line in told)
    return "\n".join(line for lines in wrapped for line in lines)


def _cells(row: tuple[str, ...], widths: list[int]) -> list[str]:
    return [
        cell.rjust(width) if place else cell.ljust(width)
        for place, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # Adding 0 makes a negative zero positive.


def _quoted(text: str) -> str:
    return f"“{text}”" if text else "nothing"
