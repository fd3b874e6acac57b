"""Learning a policy from a log on the disk into a run folder, which everything that takes a run takes too.

A checkpoint stands at the end of each pass over the log and holds all that the next one needs, so a run that was killed
and resumed ends with the same weights.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructrec import runs
from instructrec.agents.encoder import TextEncoder, check_reads, load_encoder
from instructrec.agents.features import ItemFeatures
from instructrec.agents.learners import LEARNERS
from instructrec.agents.offline import OFFLINE, OfflineLearner
from instructrec.agents.reading import SessionReader
from instructrec.experiments.agent_files import FEATURES, read_features, write_features
from instructrec.experiments.beginnings import Beginning
from instructrec.experiments.competitors import features_for, warm_reader
from instructrec.experiments.log_sessions import world_of_log
from instructrec.experiments.progress import Narrator
from instructrec.experiments.tensorboard import Events, purge_later
from instructrec.experiments.train import SUMMARY, begin
from instructrec.experiments.trainers import configured
from instructrec.log_files import DiskLog, open_log
from instructrec.names import unknown_name
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import World

SPENT = "spent.json"


@dataclass(frozen=True, kw_only=True)
class LearnPlan:
    """What to learn from a log.

    Attributes:
        log: The log's folder.
        agent: How to learn: clone, ips, dr or fitted_q.
        agent_settings: Settings that differ from the method's defaults; ``encoder`` names the language model.
        seed: The seed.
        reading: The folder of a run of the same items whose reading of words is used, instead of learning to read anew;
            empty for none.
        population: The place of the log's people, where they are code of yours.
        any_language: Whether to learn with a language model that does not read what people speak.
    """

    log: str
    agent: str = "dr"
    agent_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    reading: str = ""
    population: str = ""
    any_language: bool = False


def learn_offline(plan: LearnPlan, out: str | os.PathLike[str], *, resume: bool, narrator: Narrator) -> dict[str, Any]:
    """Learns a policy from a log into a run folder.

    Args:
        plan: What to learn.
        out: The run folder.
        resume: Whether to go on with the run in it; with none there, it begins.
        narrator: Is told what is happening.

    Returns:
        ``run``, ``agent``, ``world``, ``log``, ``turns``, ``sessions``, ``passes``, ``seconds`` and ``last``, the means
        of the last pass.

    Raises:
        RunError: If the log is none, damaged, of a changed world or of people that nobody may learn from; or the folder
            holds a run and ``resume`` is off, or that run is another one.
        ValueError: If a name or a setting is unknown, or nothing can be learned from the log.
    """
    if plan.agent not in OFFLINE:
        raise ValueError(unknown_name("way to learn from a log", plan.agent, OFFLINE))
    out, log = Path(out), open_log(plan.log)
    world = world_of_log(log, population=plan.population)
    _check_people(log)
    settings = dict(plan.agent_settings)
    encoder_name = str(settings.pop("encoder", "minilm"))
    learning = configured(LEARNERS[plan.agent].config, settings, others=("encoder",))
    config = RunConfig(
        world=log.plan.world.id,
        world_settings=runs.plain(dict(log.plan.world.settings)),
        agent=plan.agent,
        agent_settings={"encoder": encoder_name, "log": log.fingerprint, **runs.plain(learning)},
        seed=plan.seed,
        steps=len(log),
        fingerprint=world.fingerprint,
        catalogue=world.catalogue.fingerprint,
    )
    encoder = load_encoder(encoder_name)
    if not plan.any_language:
        check_reads(encoder, encoder_name, world.language)
    read = Beginning.of(plan.reading, world).features if plan.reading else None
    with runs.locked(out):
        begin(out, config, world, resume=resume)
        if (out / SUMMARY).exists():
            narrator.say(f"{plan.agent} has learned from this log already.")
            return dict(runs.read_json(out / SUMMARY))
        reader = _reader(out, world, encoder, learning, read, narrator)
        warm_reader(reader, world, narrator, "Reading what the instructions ask for")
        if log.num_sessions < log.plan.sessions:
            narrator.say(f"{plan.log} holds {log.num_sessions:,} of {log.plan.sessions:,} sessions.")
        with narrator.task(f"Reading {len(log):,} turns"):
            learner = OfflineLearner(reader, learning, log.log(world), seed=plan.seed)
        last, seconds = _passes(learner, plan.agent, out, narrator)
        summary = {
            "run": str(out),
            "agent": plan.agent,
            "world": log.plan.world.id,
            "log": plan.log,
            "turns": len(log),
            "sessions": log.num_sessions,
            "passes": learner.passes,
            "seconds": seconds,
            "last": last,
        }
        # Last, since it says that nothing is left to do.
        runs.write_json(out / SUMMARY, summary)
    return summary


def _check_people(log: DiskLog) -> None:
    split = log.plan.world.split
    if split not in ("", "train"):
        raise RunError(
            f"{log.folder} is a log of {split} people, on whom policies are measured: nobody may learn from "
            "them; record one of training people"
        )


def _reader(
    out: Path, world: World, encoder: TextEncoder, config: Any, read: ItemFeatures | None, narrator: Narrator
) -> SessionReader:
    if (out / FEATURES).exists():
        features = read_features(out)
    else:
        features = features_for(world, encoder, narrator, prompts=config.prompts) if read is None else read
        write_features(out, features)
    return SessionReader(
        features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit, memory=config.memory
    )


def _passes(learner: OfflineLearner, agent: str, out: Path, narrator: Narrator) -> tuple[dict[str, float], float]:
    """Makes the passes that are left; returns the means of the last one and the seconds of all."""
    found = runs.latest_checkpoint(out)
    last: dict[str, float] = {}
    spent = 0.0
    if found is not None:
        learner.restore(found.folder)
        told = runs.read_json(found.folder / SPENT)
        last, spent = dict(told["last"]), float(told["seconds"])
        narrator.say(f"Going on after pass {learner.done} of {learner.passes}.")
    folder = out / runs.EVENTS / agent
    purge_later(folder, learner.done)
    begun = time.monotonic()

    def write(part: Path) -> None:
        learner.save(part)
        runs.write_json(part / SPENT, {"last": last, "seconds": spent + time.monotonic() - begun})

    with Events(folder) as events, narrator.task(f"Learning {agent} in {learner.passes} passes") as advance:
        while learner.done < learner.passes:
            done = learner.done
            last = learner.advance(
                lambda now, all_, done=done: advance(  # type: ignore[misc]
                    (done + now / all_) / learner.passes, f"pass {done + 1} of {learner.passes}"
                )
            )
            events.scalars(learner.done, {f"learning/{name.replace('/', '_')}": value for name, value in last.items()})
            events.flush()
            runs.save_checkpoint(out, learner.done, write)
    return last, spent + time.monotonic() - begun
