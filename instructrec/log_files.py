"""Logs on disk: a folder of shards that other programs read too, safe to read and safe to kill.

    manifest.json           what the log is of: world, policy, sessions, seed; and which shards are whole
    turns-00000.parquet     one row per turn (`instructrec.log_shards` lists the columns), whole sessions
    truth-00000.parquet     what was hidden from the policy, row by row the same turns; only where asked for

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from instructrec import runs
from instructrec.log_shards import Truth, arrow, decode_truth, decode_turns, encode_truth, encode_turns
from instructrec.logs import Log
from instructrec.names import in_a_line
from instructrec.runs import RunError
from instructrec.sessions import Sessions, World, observe, start
from instructrec.turns import Turns, as_log, find_fault, joined_turns

FORMAT = 1
MANIFEST = "manifest.json"
AGAIN = "record the log again with the same plan: it writes what is missing or damaged"


@dataclass(frozen=True, kw_only=True)
class LoggedWorld:
    """Where a log was recorded.

    Attributes:
        id: What the world was made by: its name, or the path of its file.
        settings: Settings that differ from the world's defaults.
        split: Whose people and phrasings.
        fingerprint: The world's fingerprint.
        catalogue: The catalogue's fingerprint.
        num_items: Items in it.
        num_candidates: How many of them might be ranked each turn; None means all of them.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
    """

    id: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    split: str = ""
    fingerprint: str
    catalogue: str
    num_items: int
    num_candidates: int | None = None
    slate_size: int
    turn_limit: int

    @classmethod
    def of(cls, world: World, *, settings: Mapping[str, Any] | None = None, split: str = "", name: str = "") -> Self:
        """Describes a world, made by ``name`` (its own if empty) with some settings and a split."""
        candidates = None
        if world.candidates is not None:
            seen = observe(world, start(world, Sessions.first(0, 1)))
            candidates = None if seen.candidates is None else seen.candidates.shape[1]
        return cls(
            id=name or world.name,
            settings=runs.plain(settings or {}),
            split=split,
            fingerprint=world.fingerprint,
            catalogue=world.catalogue.fingerprint,
            num_items=world.catalogue.num_items,
            num_candidates=candidates,
            slate_size=world.slate_size,
            turn_limit=world.turn_limit,
        )


@dataclass(frozen=True, kw_only=True)
class LoggedPolicy:
    """Who showed the slates.

    Attributes:
        name: The agent's name.
        draws: How it draws slates: ``plackett_luce``, ``uniform``, ``greedy``, or a word of your own.
        temperature: What scores were divided by; None where that means nothing.
        deterministic: Whether it always shows the same slate: such a log has no support for any other policy.
        fingerprint: A hash of all that decides what it shows.
    """

    name: str
    draws: str = "plackett_luce"
    temperature: float | None = None
    deterministic: bool = False
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class LogPlan:
    """What a log is to hold: all that decides every one of its bytes.

    Attributes:
        world: Where.
        policy: Who shows the slates.
        sessions: How many sessions, those of lanes 0, 1, ...
        sessions_per_shard: How many of them a shard holds; the last may hold fewer.
        seed: The sessions' seed.
        truth: Whether what is hidden from the policy is kept too, in files apart.

    Raises:
        ValueError: If a number is too small.
    """

    world: LoggedWorld
    policy: LoggedPolicy
    sessions: int
    sessions_per_shard: int = 4096
    seed: int = 0
    truth: bool = False

    def __post_init__(self) -> None:
        for name, lowest in (("sessions", 1), ("sessions_per_shard", 1), ("seed", 0)):
            if getattr(self, name) < lowest:
                raise ValueError(f"{name} must be {lowest} or more, got {getattr(self, name)}")

    @property
    def num_shards(self) -> int:
        """How many shards it has when it is whole."""
        return -(-self.sessions // self.sessions_per_shard)

    def lanes(self, shard: int) -> npt.NDArray[np.int64]:
        """Returns the lanes whose sessions a shard holds."""
        begin = shard * self.sessions_per_shard
        return np.arange(begin, min(begin + self.sessions_per_shard, self.sessions))


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A whole shard.

    Attributes:
        number: Its number, from 0.
        rows: Its turns.
        sessions: Its sessions.
        bytes: The size of its turns' file.
        sha256: The hash of its turns' file, hex.
        truth_sha256: That of the truth's, "" where there is none.
    """

    number: int
    rows: int
    sessions: int
    bytes: int
    sha256: str
    truth_sha256: str = ""

    @property
    def files(self) -> dict[str, str]:
        """Its files, and the hash of each."""
        truth = {f"truth-{self.number:05d}.parquet": self.truth_sha256} if self.truth_sha256 else {}
        return {f"turns-{self.number:05d}.parquet": self.sha256} | truth


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What ``manifest.json`` says.

    Attributes:
        plan: What the log is to hold.
        shards: What it holds, by number.
        notes: The command and versions that made it; never compared.
    """

    plan: LogPlan
    shards: tuple[Shard, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> Self:
        """Reads a log's manifest.

        Raises:
            RunError: If there is none, or it is damaged or of a newer version.
        """
        path = Path(folder) / MANIFEST
        if not path.exists():
            raise RunError(f"{folder} holds no log: it has no {MANIFEST}; `instructrec log` makes one")
        document = runs.read_json(path)
        version = document.get("format") if isinstance(document, dict) else None
        if version != FORMAT:
            raise RunError(
                f"{path} has format {version!r}; this version of InstructRec reads format {FORMAT}: "
                "use the version that wrote it"
            )
        try:
            given = dict(document["plan"])
            world, policy = LoggedWorld(**given.pop("world")), LoggedPolicy(**given.pop("policy"))
            shards = tuple(Shard(**each) for each in document["shards"])
            if [shard.number for shard in shards] != sorted({shard.number for shard in shards}):
                raise ValueError("a shard is listed twice or out of order")
            return cls(plan=LogPlan(world=world, policy=policy, **given), shards=shards, notes=document["notes"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged: {error}; {AGAIN}, in another folder") from error

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Writes ``manifest.json``, whole or not at all."""
        runs.write_json(Path(folder) / MANIFEST, {"format": FORMAT, **runs.plain(self)})


# --- Writing -----------------------------------------------------------------------------------------------------


class LogWriter:
    """Adds shards to a log, each whole or not at all; made by `writing`."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder, self.manifest = folder, manifest

    @property
    def missing(self) -> list[int]:
        """The numbers of the shards that are not there yet."""
        there = {shard.number for shard in self.manifest.shards}
        return [number for number in range(self.manifest.plan.num_shards) if number not in there]

    def add(self, number: int, turns: Turns, truth: Truth | None = None) -> None:
        """Writes a shard, then lists it.

        Args:
            number: Which.
            turns: All turns of the first sessions of its lanes, lane by lane.
            truth: What was hidden, where the plan says so.

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
        contents = [encode_turns(turns)] + ([] if truth is None else [encode_truth(turns, truth)])
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

    Shards that are listed but gone or damaged count as missing.

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
            manifest = dataclasses.replace(manifest, shards=whole)
        else:
            manifest = Manifest(plan=plan, notes=notes or {})
            manifest.write(folder)
        yield LogWriter(folder, manifest)


def _is_whole(folder: Path, shard: Shard) -> bool:
    return all(
        (folder / name).exists() and hashlib.sha256(runs.read_bytes(folder / name)).hexdigest() == expected
        for name, expected in shard.files.items()
    )


def _fault(turns: Turns, plan: LogPlan, number: int) -> tuple[int, str] | None:
    """Returns the first row that breaks what a log promises or is not what the plan has there."""
    if turns.slates.shape[1:] != (plan.world.slate_size,):
        return 0, f"slates have the shape {turns.slates.shape}, and the plan's hold {plan.world.slate_size} items"
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
        row = int(first[place]) if place < len(first) else len(turns) - 1
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
        self._check_some()
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
        self._check_some()
        parts = list(self.truth_shards())
        names = [name for name in parts[0] if all(name in part for part in parts)]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def check_world(self, world: World) -> None:
        """Checks that a world is the one that the log was recorded in.

        Raises:
            RunError: If its fingerprint is another.
        """
        logged = self.plan.world
        if logged.fingerprint != world.fingerprint:
            settings = f" with {dict(logged.settings)}" if logged.settings else ""
            raise RunError(
                f"{self.folder} is a log of {logged.id}{settings}, split {logged.split or 'none'} "
                f"({logged.fingerprint}), and not of this {world.name} ({world.fingerprint}); make that world"
            )

    def logs(self, world: World) -> Iterator[Log]:
        """Yields the shards as those who learn from logs take them, observations rebuilt.

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

    def _check_some(self) -> None:
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
            cut = f": it has {len(content):,} of {shard.bytes:,} bytes" if name.startswith("turns") else ""
            cut = cut if len(content) != shard.bytes else ""
            raise RunError(f"{path} is damaged{cut or ': its bytes are not those that were written'}; {AGAIN}")
        return content


def open_log(folder: str | os.PathLike[str]) -> DiskLog:
    """Opens a log's folder for reading.

    Raises:
        ImportError: If pyarrow is not installed.
        RunError: If it holds no log, or its manifest is damaged or of a newer version.
    """
    arrow()
    return DiskLog(Path(folder), Manifest.read(folder))
