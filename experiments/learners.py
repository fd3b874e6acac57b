"""The baselines that learn, trained on the spot: what each got to learn from is stated beside its result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from instructrec.agents.encoder import TextEncoder
from instructrec.agents.reading import SessionReader
from instructrec.agents.stock_ppo import StockPPOConfig, train_stock_ppo
from instructrec.agents.supervised import SupervisedConfig, train_supervised
from instructrec.experiments.competitors import WithControls, features_for, warm_reader
from instructrec.experiments.evaluation import Competitor
from instructrec.experiments.progress import Narrator, clock
from instructrec.experiments.trainers import TimedRanker
from instructrec.sessions import World


@dataclass(frozen=True)
class Learned:
    """A baseline that was trained.

    Attributes:
        competitor: What was learned.
        note: What it learned from, in a few words.
        timing: ``training_steps`` and ``training_seconds``.
    """

    competitor: Competitor
    note: str
    timing: dict[str, Any] = field(default_factory=dict)


def reader_for(world: World, encoder: TextEncoder, narrator: Narrator) -> SessionReader:
    """Returns what turns a training world's observations into a network's inputs."""
    features = features_for(world, encoder, narrator)
    reader = SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)
    warm_reader(reader, world, narrator, "Reading what the instructions ask for")
    return reader


def learn_stock(
    world: World, reader: SessionReader, *, steps: int, seconds: float, seed: int, narrator: Narrator
) -> Learned:
    """Trains stock PPO for ``steps`` user-steps, or until ``seconds`` have passed."""
    with narrator.task("Training stock PPO") as advance:
        found = train_stock_ppo(
            world, reader, StockPPOConfig(seconds=seconds, steps=steps), seed=seed, progress=advance
        )
    note = f"{found.steps:,} user-steps in {clock(found.seconds)}; repeated items replaced by popular ones"
    return Learned(WithControls(found.policy), note, {"training_steps": found.steps, "training_seconds": found.seconds})


def learn_supervised(world: World, reader: SessionReader, *, steps: int, seed: int, narrator: Narrator) -> Learned:
    """Fits the supervised ranker to a log of ``steps`` turns, shown by similarity and popularity."""
    begun = time.monotonic()
    with narrator.task("Training the supervised ranker on a log of clicks") as advance:
        parts = [0.0, 0.0]

        def progress(done: int, total: int) -> None:
            # First the log is recorded, then it is learned from; each begins anew at 0.
            place = 0 if total == steps and parts[0] < 1 else 1
            parts[place] = done / max(total, 1)
            advance((parts[0] + parts[1]) / 2, "")

        found = train_supervised(
            world, reader.features, reader.encoder, SupervisedConfig(turns=steps), seed=seed, progress=progress
        )
    seconds = time.monotonic() - begun
    note = f"a log of {steps:,} turns, shown by similarity and popularity, in {clock(seconds)}"
    return Learned(
        TimedRanker(found.scorer, found.reader), note, {"training_steps": steps, "training_seconds": seconds}
    )


def learn_named(
    names: Sequence[str],
    make_world: Callable[[], World],
    encoder: TextEncoder,
    *,
    steps: int,
    seed: int,
    narrator: Narrator,
) -> dict[str, Learned]:
    """Trains those of the named baselines that learn, each on the same number of user-steps.

    Args:
        names: Any names.
        make_world: Makes the training world.
        encoder: The language model.
        steps: User-steps, the same for each.
        seed: The seed.
        narrator: Is told how far it has come.
    """
    wanted = [name for name in names if name in ("ppo", "supervised")]
    if not wanted:
        return {}
    world = make_world()
    reader = reader_for(world, encoder, narrator)
    found = {}
    for name in wanted:
        if name == "ppo":
            found[name] = learn_stock(world, reader, steps=steps, seconds=math.inf, seed=seed, narrator=narrator)
        else:
            found[name] = learn_supervised(world, reader, steps=steps, seed=seed, narrator=narrator)
    return found
