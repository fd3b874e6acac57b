"""Logs on disk: a folder of shards that other programs read too, safe to read and safe to kill.

    manifest.json           what the log is of: world, policy, sessions, seed; and which shards are whole
    turns-00000.parquet     one row per turn (`instructrec.log_shards` lists the columns), whole sessions
    truth-00000.parquet     what was hidden from the policy, row by row the same turns; only where asked for
    items.parquet           what item numbers mean, for other programs

A shard counts only once the manifest lists it, with its hash; files appear by rename. So a log that was killed at any
moment is a smaller log, and recording it again adds exactly the shards that are missing. Shard ``i`` holds the first
sessions of lanes ``i · sessions_per_shard`` onwards, so what a shard holds depends on the plan and its number alone.
Reading executes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec import runs
from instructrec.log_manifest import AGAIN, MANIFEST, LogPlan, Manifest, Shard
from instructrec.log_shards import (
    Truth,
    arrow,
    decode_items,
    decode_session_ids,
    decode_truth,
    decode_turns,
    encode_truth,
    encode_turns,
)
from instructrec.logs import Log
from instructrec.names import in_a_line
from instructrec.runs import RunError
from instructrec.sessions import World
from instructrec.turns import Turns, as_log, find_fault, joined_turns

ITEMS = "items.parquet"
"""What item numbers mean, beside the shards; it never changes and is not listed."""


# --- Writing -----------------------------------------------------------------------------------------------------


class LogWriter:
    """Adds shards to a log, each whole or not at all; made by `writing`.

    Attributes:
        manifest: What the log says of itself now.
        lost: The numbers of the shards that were listed, and were found gone or damaged.
    """

    def __init__(self, folder: Path, manifest: Manifest, lost: Sequence[int] = ()) -> None:
        self._folder, self.manifest, self.lost = folder, manifest, tuple(lost)

    @property
    def num_sessions(self) -> int:
        """How many sessions it holds already."""
        return sum(shard.sessions for shard in self.manifest.shards)

    @property
    def missing(self) -> list[int]:
        """The numbers of the shards that are not there yet."""
        there = {shard.number for shard in self.manifest.shards}
        return [number for number in range(self.manifest.plan.num_shards) if number not in there]

    def add(self, number: int, turns: Turns, truth: Truth | None = None, session_ids: Sequence[str] = ()) -> None:
        """Writes a shard, then lists it.

        Args:
            number: Which.
            turns: All turns of the first sessions of its lanes, lane by lane.
            truth: What was hidden, where the plan says so.
            session_ids: What the session of each turn is called, where it is not called by its lane.

        Raises:
            RunError: If it cannot be written.
            ValueError: If the turns are not what the plan says, or break what a log promises.
        """
        plan, source = self.manifest.plan, f"shard {number} of {self._folder}"
        if plan.truth != (truth is not None):
            raise ValueError(f"{source}: the plan says truth={plan.truth}; give what was hidden exactly where it is so")
        fault = _fault(turns, plan, number)
        if fault is not None:
            raise ValueError(f"{source}, row {fault[0]}: {fault[1]}")
        contents = [encode_turns(turns, session_ids)] + ([] if truth is None else [encode_truth(turns, truth)])
        hashes = [hashlib.sha256(content).hexdigest() for content in contents]
        shard = Shard(
            number=number,
            rows=len(turns),
            sessions=len(plan.lanes(number)),
            bytes=len(contents[0]),
            sha256=hashes[0],
            truth_sha256=hashes[1] if len(hashes) > 1 else "",
        )
        for name, content in zip(shard.files, contents, strict=True):
            runs.write_bytes(self._folder / name, content)
        listed = {each.number: each for each in self.manifest.shards} | {number: shard}
        self.manifest = dataclasses.replace(self.manifest, shards=tuple(listed[key] for key in sorted(listed)))
        self.manifest.write(self._folder)


@contextlib.contextmanager
def writing(
    folder: str | os.PathLike[str], plan: LogPlan, notes: Mapping[str, Any] | None = None
) -> Iterator[LogWriter]:
    """Holds a log's folder for adding shards: a new one, or one that was begun with the same plan.

    Shards that are listed but gone or damaged count as missing; the writer names them.

    Args:
        folder: The folder, made when missing.
        plan: What the log is to hold.
        notes: The command and versions, for a new one.

    Raises:
        ImportError: If pyarrow is not installed.
        RunError: If it holds a log of another plan, another process writes there, or it cannot be written.
    """
    arrow()
    folder = Path(folder)
    with runs.locked(folder):
        if (folder / MANIFEST).exists():
            manifest = Manifest.read(folder)
            differences = runs.differences(runs.plain(manifest.plan), runs.plain(plan))
            if differences:
                raise RunError(
                    f"{folder} holds a log of another plan, and one folder holds one: {'; '.join(differences[:4])}; "
                    "use the old settings, or choose another folder"
                )
            whole = tuple(shard for shard in manifest.shards if _is_whole(folder, shard))
            lost = [shard.number for shard in manifest.shards if shard not in whole]
            manifest = dataclasses.replace(manifest, shards=whole)
        else:
            manifest, lost = Manifest(plan=plan, notes=notes or {}), []
            manifest.write(folder)
        yield LogWriter(folder, manifest, lost)


def _is_whole(folder: Path, shard: Shard) -> bool:
    return all(
        (folder / name).exists() and hashlib.sha256(runs.read_bytes(folder / name)).hexdigest() == expected
        for name, expected in shard.files.items()
    )


def _fault(turns: Turns, plan: LogPlan, number: int) -> tuple[int, str] | None:
    """Returns the first row that breaks what a log promises or is not what the plan has there."""
    wide = dict.fromkeys(("slates", "log_probs", "item_rewards", "clicked"), plan.world.slate_size)
    wide |= {} if plan.world.num_candidates is None else {"candidates": plan.world.num_candidates}
    shapes = {name: (len(turns), wide[name]) if name in wide else (len(turns),) for name, _ in turns.arrays()}
    for name, array in turns.arrays():
        if array.shape != shapes[name]:
            return 0, f"{name} have the shape {array.shape}, and by the plan {shapes[name]}"
    if plan.world.num_candidates is not None and turns.candidates is None:
        return 0, f"there are no candidates, and by the plan {plan.world.num_candidates} a turn"
    found = find_fault(turns, num_items=plan.world.num_items, turn_limit=plan.world.turn_limit)
    if found is not None:
        return found
    lanes, first = plan.lanes(number), np.flatnonzero(turns.begins)
    size = min(len(lanes), len(first))
    wrong = np.flatnonzero(
        (turns.lane[first[:size]] != lanes[:size])
        | (turns.seed[first[:size]] != plan.seed)
        | (turns.ordinal[first[:size]] != 0)
    )
    if len(wrong) or len(first) != len(lanes):
        place = int(wrong[0]) if len(wrong) else size
        row = int(first[place]) if place < len(first) else max(len(turns) - 1, 0)
        expected = f"that of lane {lanes[place]}, seed {plan.seed}" if place < len(lanes) else "none"
        return row, f"the session after {place} others should be {expected}; shard {number} holds lanes in order"
    return None


# --- Reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DiskLog:
    """A log's folder, open for reading; its length is the number of turns.

    Every shard is checked as it is read: its hash, its columns, and what a log promises of each row.

    Attributes:
        folder: Where it lies.
        manifest: What it says of itself.
    """

    folder: Path
    manifest: Manifest

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.manifest.shards)

    def __repr__(self) -> str:
        plan = self.manifest.plan
        return in_a_line(
            self,
            str(self.folder),
            plan.world.id,
            f"{plan.policy.name} ({plan.policy.draws})",
            f"{self.num_sessions:,} of {plan.sessions:,} sessions",
            f"{len(self):,} turns",
        )

    @property
    def plan(self) -> LogPlan:
        """What it was to hold."""
        return self.manifest.plan

    @property
    def fingerprint(self) -> str:
        """A hash of all that it holds, hex."""
        return hashlib.sha256("".join(shard.sha256 for shard in self.manifest.shards).encode()).hexdigest()[:16]

    @property
    def num_sessions(self) -> int:
        """How many sessions it holds."""
        return sum(shard.sessions for shard in self.manifest.shards)

    @property
    def is_whole(self) -> bool:
        """Whether it holds all that was planned."""
        return len(self.manifest.shards) == self.plan.num_shards

    def shards(self) -> Iterator[Turns]:
        """Yields the turns of one shard after the other: whole sessions, in memory one shard at a time.

        Raises:
            RunError: If a shard is missing or damaged, or a row breaks what a log promises.
        """
        for shard in self.manifest.shards:
            yield self._turns(shard)

    def read(self) -> Turns:
        """Returns all turns at once; raises as `shards` does, or a RunError if there is none yet."""
        self.check_some()
        return joined_turns(list(self.shards()))

    def truth_shards(self) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yields what was hidden, shard by shard, row by row as in `shards`; columns that nobody has are left out.

        Raises:
            RunError: If it was not kept, or as in `shards`.
        """
        if not self.plan.truth:
            raise RunError(
                f"{self.folder} keeps nothing hidden; record a log with truth=True (`instructrec log --truth`)"
            )
        for shard in self.manifest.shards:
            name = list(shard.files)[1]
            source = str(self.folder / name)
            columns = decode_truth(self._content(shard, name), source, slate_size=self.plan.world.slate_size)
            if len(columns["turn"]) != shard.rows:
                raise RunError(f"{source} has {len(columns['turn'])} rows, and its turns {shard.rows}; {AGAIN}")
            yield columns

    def read_truth(self) -> dict[str, npt.NDArray[Any]]:
        """Returns all that was hidden at once; raises as `truth_shards` does."""
        self.check_some()
        parts = list(self.truth_shards())
        names = [name for name in parts[0] if all(name in part for part in parts)]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def session_ids(self) -> list[str]:
        """Returns what its sessions are called, in their order: as in the table it was imported from, else by lane.

        Raises:
            RunError: As in `shards`.
        """
        found: list[str] = []
        for shard in self.manifest.shards:
            name = next(iter(shard.files))
            named = decode_session_ids(self._content(shard, name), str(self.folder / name))
            lanes = self.plan.lanes(shard.number).tolist()
            found += map(str, lanes) if named is None else dict.fromkeys(named)
        return found

    def items(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the ids and the titles of the items, by number.

        Raises:
            RunError: If ``items.parquet`` is missing or damaged.
        """
        path = self.folder / ITEMS
        ids, titles = decode_items(runs.read_bytes(path), str(path))
        if len(ids) != self.plan.world.num_items:
            raise RunError(
                f"{path} names {len(ids):,} items, and the log has {self.plan.world.num_items:,}; write it again"
            )
        return ids, titles

    def check_recorded(self) -> None:
        """Checks that it was recorded in a world that can be made.

        Raises:
            RunError: If it was imported: nobody can step into the world that it comes from.
        """
        logged = self.plan.world
        if logged.imported:
            raise RunError(
                f"{self.folder} was imported from {logged.id} ({logged.imported}): its world cannot be made, so that "
                "neither observations nor new sessions come of it; policies are evaluated on it by their probabilities"
            )

    def check_world(self, world: World) -> None:
        """Checks that a world is the one that the log was recorded in.

        Raises:
            RunError: If its fingerprint is another, or the log was imported.
        """
        self.check_recorded()
        logged = self.plan.world
        if logged.fingerprint != world.fingerprint:
            settings = f" with {dict(logged.settings)}" if logged.settings else ""
            raise RunError(
                f"{self.folder} is a log of {logged.id}{settings}, split {logged.split or 'none'} "
                f"({logged.fingerprint}), and not of this {world.name} ({world.fingerprint}); make that world"
            )

    def logs(self, world: World) -> Iterator[Log]:
        """Yields the shards as those who learn from logs take them, observations rebuilt, sessions numbered from 0.

        Args:
            world: The world that it was recorded in.

        Raises:
            RunError: If it is another world, or as in `shards`.
        """
        self.check_world(world)
        for turns in self.shards():
            yield as_log(turns, world)

    def log(self, world: World) -> Log:
        """Returns the whole log as those who learn from logs take it; see `logs`. A turn takes about a kilobyte."""
        self.check_world(world)
        return as_log(self.read(), world)

    def check_some(self) -> None:
        """Raises a RunError if it holds no turn yet."""
        if not self.manifest.shards:
            raise RunError(f"{self.folder} holds no turns yet: its recording was stopped before the first shard's end")

    def _turns(self, shard: Shard) -> Turns:
        name, world = next(iter(shard.files)), self.plan.world
        source = str(self.folder / name)
        turns = decode_turns(
            self._content(shard, name), source, slate_size=world.slate_size, num_candidates=world.num_candidates
        )
        if len(turns) != shard.rows:
            raise RunError(f"{source} has {len(turns)} rows, and the manifest says {shard.rows}; {AGAIN}")
        fault = _fault(turns, self.plan, shard.number)
        if fault is not None:
            raise RunError(f"{source}, row {fault[0]}: {fault[1]}")
        return turns

    def _content(self, shard: Shard, name: str) -> bytes:
        path = self.folder / name
        if not path.exists():
            raise RunError(f"{path} is missing, and the manifest lists it; {AGAIN}")
        content = runs.read_bytes(path)
        if hashlib.sha256(content).hexdigest() != shard.files[name]:
            raise RunError(f"{path} is damaged: its {len(content):,} bytes are not those that were written; {AGAIN}")
        return content


def open_log(folder: str | os.PathLike[str]) -> DiskLog:
    """Opens a log's folder for reading.

    Raises:
        ImportError: If pyarrow is not installed.
        RunError: If it holds no log, or its manifest is damaged or of a newer version.
    """
    arrow()
    return DiskLog(Path(folder), Manifest.read(folder))
