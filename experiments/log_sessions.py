"""Recording sessions onto the disk: who shows the slates by name, what is kept, and what is told of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from instructrec import __version__, runs
from instructrec.experiments.agent_files import FEATURES, WEIGHTS
from instructrec.experiments.competitors import TRAINED, UNTRAINED, untrained, world_of
from instructrec.experiments.headline import ABOUT, REFERENCES
from instructrec.experiments.outputs import check_place, command_line, versions
from instructrec.experiments.progress import Advance, Narrator, silent
from instructrec.experiments.trainers import SHAPE, trained_ranker
from instructrec.log_files import DiskLog, LogWriter
from instructrec.log_manifest import LoggedPolicy, LoggedWorld, LogPlan
from instructrec.log_recording import record_log
from instructrec.names import unknown_name
from instructrec.policies import Remembering, greedy, plackett_luce
from instructrec.protocols import Policy, Ranker
from instructrec.runs import RunError
from instructrec.sessions import World

GREEDY, DRAWN, UNIFORM = "greedy", "plackett_luce", "uniform"


def log_sessions(
    world_id: str,
    policy: str,
    *,
    out: str | os.PathLike[str],
    sessions: int,
    temperature: float = 1.0,
    deterministic: bool = False,
    truth: bool = False,
    world_settings: Mapping[str, Any] | None = None,
    split: str = "train",
    seed: int = 0,
    sessions_per_shard: int = 2048,
    narrator: Narrator,
) -> dict[str, Any]:
    """Records sessions into a folder, or completes the log that is there.

    Args:
        world_id: The world.
        policy: Who shows the slates: an agent that learns nothing by name, or NAME=RUN with a run folder.
        out: The folder.
        sessions: How many.
        temperature: What the agent's scores are divided by before slates are drawn from them.
        deterministic: Whether the agent's best items are shown instead, so that nothing else can be evaluated by it.
        truth: Whether to keep what is hidden from agents, in files apart.
        world_settings: The world's settings.
        split: Whose people and phrasings.
        seed: The sessions' seed.
        sessions_per_shard: How many sessions a file holds.
        narrator: Is told what is happening.

    Returns:
        ``log`` (the folder), ``world``, ``policy`` as the manifest has them, ``sessions``, ``turns``, ``shards``,
        ``bytes``, ``bytes_per_turn``, ``seed``, ``truth``.

    Raises:
        ImportError: If pyarrow is not installed.
        ValueError: If the agent is unknown, has to be trained first, or is a reference that sees what is hidden.
        RunError: If a run is none, or the folder holds another log or cannot be written.
    """
    folder, settings = Path(out), dict(world_settings or {})
    check_place(folder)
    if folder.is_file():
        raise ValueError(f"{folder} is a file, and a log is a folder of files; choose another name")
    world = world_of(world_id, settings, split)
    chosen, described = behaviour(policy, world, temperature=temperature, deterministic=deterministic)
    plan = LogPlan(
        world=LoggedWorld.of(world, name=world_id, settings=settings, split=split),
        policy=described,
        sessions=sessions,
        sessions_per_shard=sessions_per_shard,
        seed=seed,
        truth=truth,
    )
    notes = {"command": command_line(), "versions": versions()}
    with telling(narrator, f"Recording {sessions:,} sessions with {described.name}", folder, plan) as (begun, progress):
        log = record_log(world, chosen, plan, folder, notes=notes, begun=begun, progress=progress)
    return described_log(log)


def described_log(log: DiskLog) -> dict[str, Any]:
    """Returns a log's document: ``log``, ``world`` and so on, as `log_sessions` lists them."""
    size = sum(shard.bytes for shard in log.manifest.shards)
    return {
        "log": log.folder,
        **{name: part for name, part in runs.plain(log.plan).items() if name in ("world", "policy", "seed", "truth")},
        "sessions": log.num_sessions,
        "turns": len(log),
        "shards": len(log.manifest.shards),
        "bytes": size,
        "bytes_per_turn": size / len(log),
    }


@contextmanager
def telling(
    narrator: Narrator, doing: str, folder: Path, plan: LogPlan
) -> Iterator[tuple[Callable[[LogWriter], None], Callable[[int, int], None]]]:
    """Tells of a log that is being written: what is there already, what has to be made anew, then how far it is.

    Yields:
        What to call once the folder is held, and what to call with (sessions done, sessions in all).
    """
    with ExitStack() as tasks:
        advance: Advance = silent

        def begun(writer: LogWriter) -> None:
            nonlocal advance
            if writer.lost:
                which = ", ".join(map(str, writer.lost))
                narrator.say(f"Damaged or gone in {folder}, and made anew: shard {which}.")
            if writer.num_sessions:
                narrator.say(f"{folder} holds {writer.num_sessions:,} of {plan.sessions:,} sessions already.")
            advance = tasks.enter_context(narrator.task(doing))

        yield begun, lambda done, total: advance(done / total, "")


def world_of_log(log: DiskLog, *, population: str = "") -> World:
    """Makes the world that a log was recorded in, as its manifest describes it.

    Args:
        log: The log.
        population: The place of the log's people where they are code of yours: no log may choose what is run.

    Raises:
        RunError: If its people are code at a place that ``population`` does not name, the world has changed since, or
            the log was imported.
    """
    log.check_recorded()
    logged = log.plan.world
    who = str(logged.settings.get("population", ""))
    if ":" in who and population != who:
        raise RunError(
            f"the people of {log.folder} are code at {who!r}, which a log may not have imported by itself: if it is "
            f"yours, name it (--population {who})"
        )
    world = world_of(logged.id, dict(logged.settings), logged.split)
    log.check_world(world)
    return world


def behaviour(
    policy: str, world: World, *, temperature: float = 1.0, deterministic: bool = False
) -> tuple[Policy, LoggedPolicy]:
    """Returns a policy to log with, and what a log says of it.

    Args:
        policy: As in `log_sessions`.
        world: Where it plays.
        temperature: As in `log_sessions`.
        deterministic: As in `log_sessions`.

    Raises:
        ValueError: As `log_sessions` does.
        RunError: If a run is none, or was trained on other items.
    """
    if deterministic and temperature != 1:
        raise ValueError("a deterministic policy shows its best items whatever the temperature; give one or the other")
    return agent_of(policy, world).policy(world, temperature=temperature, deterministic=deterministic)


@dataclass(frozen=True)
class Agent:
    """An agent that can log, or be evaluated on a log, at any temperature.

    Attributes:
        name: Its name, without its run.
        ranker: Its ranker; None for the one that shows any slate with the same probability.
        chance: That one; None for all others.
        weights: A hash of what it learned.
    """

    name: str
    ranker: Ranker | None
    chance: Policy | None
    weights: str = ""

    def policy(
        self, world: World, *, temperature: float = 1.0, deterministic: bool = False
    ) -> tuple[Policy, LoggedPolicy]:
        """Returns a policy that draws from its scores, and what a log says of it; raises as `behaviour` does."""
        if self.ranker is not None:
            return _drawing(self.name, self.ranker, world, temperature, deterministic, self.weights)
        if deterministic or temperature != 1:
            raise ValueError(
                f"{self.name} shows any slate with the same probability; leave out --temperature, --deterministic"
            )
        assert self.chance is not None, "an agent has one or the other"
        described = LoggedPolicy(name=self.name, draws=UNIFORM, fingerprint=_fingerprint(self.name, UNIFORM))
        return self.chance, described


def agent_of(policy: str, world: World) -> Agent:
    """Returns the agent called NAME or NAME=RUN; raises as `behaviour` does."""
    name, mark, run = policy.partition("=")
    if name not in ABOUT:
        trained = "; a trained one by its run folder, such as slate_ppo=RUN"
        raise ValueError(unknown_name("agent", name, UNTRAINED) + trained)
    if mark:
        ranker, config = trained_ranker(run, world)
        if config.agent != name:
            raise ValueError(f"{run} holds {config.agent}, not {name}; say {config.agent}={run}")
        return Agent(name, Remembering(ranker), None, _hash_of_run(run))
    if name in REFERENCES:
        raise ValueError(f"{name} sees what is hidden, so no log holds its slates; log with an agent: {_known()}")
    if name in TRAINED or name not in UNTRAINED:
        raise ValueError(f"{name} has to be trained: give its run folder as {name}=RUN, or log with {_known()}")
    found = untrained([name], world)[name]
    if callable(getattr(found, "act", None)):
        return Agent(name, None, cast("Policy", found))
    return Agent(name, Remembering(cast("Ranker", found)), None)


def _known() -> str:
    return ", ".join(UNTRAINED)


def _drawing(
    name: str, ranker: Ranker, world: World, temperature: float, deterministic: bool, weights: str
) -> tuple[Policy, LoggedPolicy]:
    draws = GREEDY if deterministic else DRAWN
    described = LoggedPolicy(
        name=name,
        draws=draws,
        temperature=None if deterministic else temperature,
        deterministic=deterministic,
        fingerprint=_fingerprint(name, draws, temperature, weights),
    )
    if deterministic:
        return greedy(ranker, world.slate_size), described
    return plackett_luce(ranker, world.slate_size, temperature), described


def _fingerprint(*parts: object) -> str:
    """Returns a hash of what decides what a policy shows; agents may change with the version."""
    return hashlib.sha256(repr((__version__, *parts)).encode()).hexdigest()[:16]


def _hash_of_run(run: str) -> str:
    found, hashed = runs.latest_checkpoint(run), hashlib.sha256()
    assert found is not None, "a run without a checkpoint is refused before"
    for path in (Path(run) / SHAPE, Path(run) / FEATURES, found.folder / WEIGHTS):
        hashed.update(runs.read_bytes(path))
    return hashed.hexdigest()[:16]


def to_text(document: Mapping[str, Any]) -> str:
    """Returns what was recorded as a few lines, at most 80 columns but for names."""
    policy, folder = document["policy"], document["log"]
    how = {
        DRAWN: f"Plackett–Luce over its scores, temperature {policy['temperature']:g}" if policy["temperature"] else "",
        GREEDY: "its best items, always: no other policy can be evaluated by them",
        UNIFORM: "any slate with the same probability",
    }[policy["draws"]]
    lines = [
        f"{document['world']['id']}, {document['world']['split']} people, seed {document['seed']}.",
        f"{policy['name']}: {how}.",
        f"{document['sessions']:,} sessions, {document['turns']:,} turns in {document['shards']:,} "
        f"file{'' if document['shards'] == 1 else 's'}, {document['bytes_per_turn']:.0f} bytes a turn.",
        f"In Python:  from instructrec.log_files import open_log; open_log({str(folder)!r})",
        f"In DuckDB:  SELECT avg(reward) FROM '{folder}/turns-*.parquet'",
    ]
    return "\n".join(lines)
