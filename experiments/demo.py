"""The demo: one command that trains an agent, compares it with everybody else, and explains what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instructrec import runs
from instructrec.agents.learners import Ground
from instructrec.experiments.compare import measure
from instructrec.experiments.competitors import (
    UNTRAINED,
    references,
    split_name,
    untrained,
    warm_reader,
    world_of,
)
from instructrec.experiments.conversations import sample
from instructrec.experiments.evaluation import Competitor
from instructrec.experiments.headline import REFERENCES
from instructrec.experiments.learners import learn
from instructrec.experiments.outputs import write_outputs
from instructrec.experiments.progress import Narrator, clock
from instructrec.experiments.results import FLAGSHIP
from instructrec.experiments.train import TrainPlan, describe, train
from instructrec.experiments.trainers import TimedRanker, before_learning, load_run
from instructrec.experiments.watch import Past
from instructrec.policies import Blank
from instructrec.runs import RunConfig
from instructrec.sessions import World

HEADLINE_METRICS = (
    "return",
    "informed_normalised_return",
    "oracle_normalised_return",
    "csr",
    "control_gain",
    "violation",
    "latency_p99_ms",
)
SESSION_SEED = 101
"""People are met under another seed than training's."""


@dataclass(frozen=True, kw_only=True)
class DemoSize:
    """How much the demo does. Training is measured in steps, so that its result does not depend on the machine.

    Attributes:
        steps: User-steps of SlatePPO.
        stock_steps: User-steps of stock PPO, at most; it also ends after ``stock_seconds``.
        stock_seconds: Seconds of stock PPO at most.
        supervised_steps: Turns of the log that the supervised ranker learns from.
        sessions: Sessions that everybody is compared on.
        checkups: Checkups on the way.
        agent_settings: Settings of SlatePPO.
    """

    steps: int = 100_000
    stock_steps: int = 60_000
    stock_seconds: float = 40.0
    supervised_steps: int = 100_000
    sessions: int = 600
    checkups: int = 8
    agent_settings: Mapping[str, Any] = field(default_factory=dict)


FULL = DemoSize()
QUICK = DemoSize(
    steps=12_288,
    stock_steps=4_000,
    stock_seconds=10.0,
    supervised_steps=6_000,
    sessions=60,
    checkups=2,
    agent_settings={"prompts": 3000},
)


def demo(
    world_id: str,
    *,
    out: str | os.PathLike[str],
    seed: int = 0,
    final: bool = False,
    quick: bool = False,
    size: DemoSize | None = None,
    narrator: Narrator,
) -> dict[str, Any]:
    """Trains, compares and reports into a folder.

    Args:
        world_id: The world.
        out: The folder; a demo that was stopped goes on in it.
        seed: The seed of training.
        final: Whether to read the test split.
        quick: Whether to run the small size.
        size: How much to do, instead of either.
        narrator: Is told what is happening.

    Returns:
        The results document.

    Raises:
        RunError: If the folder holds another run.
    """
    out, chosen, begun = Path(out), size or (QUICK if quick else FULL), time.monotonic()
    narrator.say(
        f"InstructRec demo in {world_id}: one training seed ({seed}), so what it shows is this run only. "
        f"People are simulated; those of the {split_name(final)} split are never trained on."
    )
    plan = TrainPlan(
        world=world_id, seed=seed, steps=chosen.steps, checkups=chosen.checkups, agent_settings=chosen.agent_settings
    )
    narrator.say("1 of 4: the agent that listens learns from what simulated people say and click.")
    summary = train(plan, out, resume=True, narrator=narrator, describing=False)
    config = RunConfig.read(out)
    training_world, world = world_of(world_id, {}, "train"), world_of(world_id, {}, split_name(final))
    ranker = load_run(out, config, world.catalogue).ranker
    assert isinstance(ranker, TimedRanker)
    warm_reader(ranker.reader, world, narrator, "Reading held-out phrasings")
    agents: dict[str, Competitor] = dict(untrained(UNTRAINED, world, lambda: ranker.reader.encoder))
    narrator.say("2 of 4: baselines that learn, on the same people.")
    budgets = {"supervised": chosen.supervised_steps, "ppo": chosen.stock_steps}
    limits = {"ppo": {"seconds": chosen.stock_seconds}}
    learned = {
        name: learn(
            name, Ground(training_world, ranker.reader, steps), settings=limits.get(name), seed=seed, narrator=narrator
        )
        for name, steps in budgets.items()
    }
    agents |= {name: one.competitor for name, one in learned.items()}
    agents |= {FLAGSHIP: ranker, f"{FLAGSHIP}_blank": Blank(ranker), f"{FLAGSHIP}_start": before_learning(ranker)}
    agents |= references(REFERENCES, world, lambda: training_world, narrator)
    narrator.say("3 of 4: everybody meets the same people with the same luck.")
    results = measure(
        world,
        agents,
        sessions=chosen.sessions,
        seed=SESSION_SEED,
        final=final,
        training_seeds=[seed],
        narrator=narrator,
    )
    timing = {name: one.timing for name, one in learned.items()}
    timing[FLAGSHIP] = {"training_steps": summary["steps"], "training_seconds": summary["seconds"]}
    for name, seconds in timing.items():
        results["timing"].setdefault(name, {}).update(seconds)
    results["notes"] = {FLAGSHIP: f"{summary['steps']:,} user-steps in {clock(summary['seconds'])}"}
    results["notes"] |= {name: one.note for name, one in learned.items()}
    narrator.say("4 of 4: writing results, report and events.")
    _write(out, plan, config, world, ranker, results)
    narrator.say(
        f"Done in {clock(time.monotonic() - begun)}. Open {out / runs.REPORT} in a browser, or ask the agent:\n"
        f'  instructrec recommend {out} "a tense thriller from the 90s, no horror" -k 10\n'
    )
    return results


def _write(
    out: Path, plan: TrainPlan, config: RunConfig, world: World, ranker: TimedRanker, results: dict[str, Any]
) -> None:
    talks = sample(world, FLAGSHIP, ranker, seed=SESSION_SEED)
    write_outputs(out, results, conversations=talks, curves={FLAGSHIP: Past.of(runs.latest_checkpoint(out)).curve})
    metrics = {name: entry["value"] for name, entry in results["agents"][FLAGSHIP].items() if name in HEADLINE_METRICS}
    describe(out, plan, config, world, ranker, metrics, talks)
