"""Policies to evaluate on a log whose world cannot be made: only the probabilities that they give to what was shown.

`target_log_probs` takes a policy as people write it and returns what the estimators of `instructrec.slate_estimators`
and `instructrec.session_estimators` need:

==============  ======================================================================================================
``random``      every slate of the items with the same probability
``NAME=FILE``   your own policy: a table with columns ``session``, ``turn`` and ``position`` (each from 0 or from 1),
                and ``propensity`` or ``log_propensity``: of each shown item, given the items shown above it
``NAME=LOG``    the policy of another log of slates of one item, over the same items: how often that log shows each item
                where the same was said (in the Open Bandit Dataset, at the same position)
==============  ======================================================================================================
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from instructrec.envs.files import Files
from instructrec.envs.log_rows import log_chances
from instructrec.envs.read_tables import open_table
from instructrec.log_files import DiskLog, open_log
from instructrec.log_manifest import MANIFEST
from instructrec.turns import Turns

Chances = npt.NDArray[np.float64]
"""Log-probability of each shown item given those above it, -inf for what is never shown, [num_turns, slate_size]."""

RANDOM = "random"


def target_log_probs(policy: str, log: DiskLog, turns: Turns | None = None) -> Chances:
    """Returns with which log-probability a policy would have shown what a log shows.

    Args:
        policy: ``random``, ``NAME=FILE`` or ``NAME=LOG``; the module says what they mean.
        log: The log.
        turns: All its turns, where they have been read already.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the policy is none of these, the file lacks a row or has one twice, or a cell is no probability;
            the message names the place and the cure.
        RunError: If a log is damaged, or the other one is of other items.
    """
    turns = log.read() if turns is None else turns
    name, mark, place = policy.partition("=")
    if not mark and name == RANDOM:
        world = log.plan.world
        left = (world.num_candidates or world.num_items) - np.arange(world.slate_size)
        return np.tile(-np.log(left), (len(turns), 1))
    if not mark or not name or not place:
        raise ValueError(
            f"{policy!r} is no policy for {log.folder}, a log without a world: give random, NAME=FILE with the "
            "probabilities of your own policy, or NAME=LOG for that of another log"
        )
    if (Path(place) / MANIFEST).exists():
        return _shares(open_log(place), log, turns)
    return _from_table(Path(place), log, turns)


def _shares(other: DiskLog, log: DiskLog, turns: Turns) -> Chances:
    world = log.plan.world
    if other.plan.world.slate_size != 1 or world.slate_size != 1:
        raise ValueError(
            f"the policy of {other.folder} can be counted only where slates have one item; give its probabilities in a "
            "file instead, NAME=FILE"
        )
    if other.items()[0] != log.items()[0]:
        raise ValueError(f"{other.folder} and {log.folder} are logs of other items; give two of one catalogue")
    known: dict[str, int] = {text: number for number, text in enumerate(sorted(set(turns.texts.values())))}
    counts = np.zeros((len(known), world.num_items))
    for part in other.shards():
        where = _contexts(part, known)
        np.add.at(counts, (where[where >= 0], part.slates[where >= 0, 0]), 1)
    where = _contexts(turns, known)
    shown = counts.sum(axis=1)
    unseen = np.flatnonzero(shown[where] == 0)
    if len(unseen):
        text = turns.texts[int(turns.instruction[unseen[0]])]
        raise ValueError(f"{other.folder} shows nothing where {log.folder} has “{text}”: its policy is unknown there")
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(counts[where, turns.slates[:, 0]] / shown[where])[:, None])


def _contexts(turns: Turns, known: dict[str, int]) -> npt.NDArray[np.int64]:
    numbers, places = np.unique(turns.instruction, return_inverse=True)
    return np.array([known.get(turns.texts[number], -1) for number in numbers.tolist()], np.int64)[places]


def _from_table(path: Path, log: DiskLog, turns: Turns) -> Chances:
    if path.is_dir():
        raise ValueError(f"{path} is a folder and no log; give a table of probabilities, or a log's folder")
    files = Files.at(path, "a table of probabilities")
    reader = open_table(files, files.only or path.name)
    width = turns.slates.shape[1]
    as_log = "log_propensity" in reader.header
    chance = "log_propensity" if as_log else "propensity"
    wanted = ["session", chance] + [name for name in ("turn", "position") if name in reader.header]
    for name, needed in (("turn", (turns.turn > 0).any()), ("position", width > 1), ("session", True), (chance, True)):
        if needed and name not in reader.header:
            raise ValueError(
                f"{reader.source}: the column {name!r} is missing (found: {', '.join(reader.header)}); a policy's "
                "table has session, turn, position and propensity or log_propensity"
            )
    names = log.session_ids()
    sessions = {name: number for number, name in enumerate(names)}
    first = np.append(np.flatnonzero(turns.begins), len(turns))
    parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], Chances]] = []
    places: list[str] = []
    for block in reader.blocks(wanted):
        number = np.fromiter((sessions.get(each, -1) for each in block.filled("session")), np.int64, len(block))
        nothing = np.zeros(len(block), np.int64)
        turn = block.integers("turn") if "turn" in wanted else nothing
        position = block.integers("position") if "position" in wanted else nothing
        parts.append((number, turn, position, log_chances(block, chance, as_log=as_log, shown=False)))
        places += [f"{block.unit} {line}" for line in block.lines]
    number, turn, position = (np.concatenate([part[place] for part in parts]) for place in range(3))
    chances = np.concatenate([part[3] for part in parts])
    for name, values in (("turn", turn), ("position", position)):
        if values.min() not in (0, 1):
            row = int(values.argmin())
            raise ValueError(f"{reader.source}, {places[row]}: {name} is {values[row]}; count it from 0 or from 1")
    turn, position = turn - turn.min(), position - position.min()
    row = first[number] + turn
    strange = (number >= 0) & ((row >= first[number + 1]) | (position >= width))
    if strange.any():
        at = int(np.argmax(strange))
        raise ValueError(
            f"{reader.source}, {places[at]}: session {names[number[at]]!r} of {log.folder} has no turn {turn[at]}, "
            f"position {position[at]} (both counted from 0); remove the row"
        )
    kept = np.flatnonzero(number >= 0)
    cell = row[kept] * width + position[kept]
    known, once = np.unique(cell, return_index=True)
    if len(known) < len(cell):
        at = int(kept[np.delete(np.arange(len(cell)), once)[0]])
        raise ValueError(
            f"{reader.source}, {places[at]}: turn {turn[at]}, position {position[at]} of session {names[number[at]]!r} "
            "stood there before; keep one row of each"
        )
    found = np.full(turns.slates.size, np.nan)
    found[cell] = chances[kept]
    missing = np.flatnonzero(np.isnan(found))
    if len(missing):
        at = int(missing[0] // width)
        raise ValueError(
            f"{reader.source} lacks {len(missing):,} of {found.size:,} probabilities, first that of session "
            f"{names[int(turns.session[at])]!r}, turn {turns.turn[at]}, position {missing[0] % width}; give one for "
            f"each item that {log.folder} shows, 0 for what is never shown"
        )
    return found.reshape(-1, width)
