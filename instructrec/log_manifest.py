"""What a log says of itself: the plan that decides every byte of it, and which of its shards are whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from instructrec import runs
from instructrec.runs import RunError
from instructrec.sessions import Sessions, World, observe, start

FORMAT = 1
MANIFEST = "manifest.json"
AGAIN = "record the log again with the same plan, or import it again: that writes what is missing or damaged"


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
        imported: The format that the log was imported from; empty where it was recorded in a world that can be made.
            ``id`` then names the files, ``fingerprint`` hashes them and how they were read, ``catalogue`` the items,
            and ``settings`` say how the files were read.
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
    imported: str = ""

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
    sessions_per_shard: int = 2048
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

    Raises:
        ValueError: If a number is none.
    """

    number: int
    rows: int
    sessions: int
    bytes: int
    sha256: str
    truth_sha256: str = ""

    def __post_init__(self) -> None:
        for name in ("number", "rows", "sessions", "bytes"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 0:
                raise ValueError(f"{name} of a shard is a whole number, 0 or more, got {getattr(self, name)!r}")

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
            raise RunError(f"{folder} holds no log: it has no {MANIFEST}; `instructrec log` and `import-log` make one")
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
            plan = LogPlan(world=world, policy=policy, **given)
            shards = tuple(Shard(**each) for each in document["shards"])
            numbers = [shard.number for shard in shards]
            if numbers != sorted(set(numbers) & set(range(plan.num_shards))):
                raise ValueError("it lists shards that the plan does not have, or one twice")
            if any(bool(shard.truth_sha256) != plan.truth for shard in shards):
                raise ValueError("what is hidden is kept for all shards or none")
            return cls(plan=plan, shards=shards, notes=document["notes"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} is damaged: {error}; record the log anew in another folder") from error

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Writes ``manifest.json``, whole or not at all."""
        runs.write_json(Path(folder) / MANIFEST, {"format": FORMAT, **runs.plain(self)})
