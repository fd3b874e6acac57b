"""The baselines that learn, trained on the spot: what each got to learn from is stated beside its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from instructrec.agents.encoder import TextEncoder
from instructrec.agents.learners import LEARNERS, Ground, learner
from instructrec.agents.reading import SessionReader
from instructrec.agents.slate_policy import SlateRanker
from instructrec.experiments.competitors import WithControls, features_for, warm_reader
from instructrec.experiments.evaluation import Competitor, without_words
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.progress import Narrator, clock
from instructrec.experiments.trainers import TimedRanker, configured
from instructrec.protocols import Policy
from instructrec.sessions import World


@dataclass(frozen=True)
class Trained:
    """An agent that was trained.

    Attributes:
        competitor: What was learned.
        note: What it learned from, in a few words.
        steps: User-steps that it took.
        seconds: How long that took.
        curve: Mean return of training sessions by step, where it learned by acting.
        sessions: As in `instructrec.agents.learners.Learned`.
    """

    competitor: Competitor
    note: str
    steps: int
    seconds: float
    curve: tuple[Mapping[str, float], ...] = ()
    sessions: int | None = None

    @property
    def timing(self) -> dict[str, Any]:
        """What a results document says of its training."""
        return {"training_steps": self.steps, "training_seconds": self.seconds}


def reader_for(world: World, encoder: TextEncoder, narrator: Narrator) -> SessionReader:
    """Returns what turns a training world's observations into a network's inputs."""
    features = features_for(world, encoder, narrator)
    reader = SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)
    warm_reader(reader, world, narrator, "Reading what the instructions ask for")
    return reader


def learn_named(
    names: Sequence[str],
    ground: Callable[[], Ground],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seed: int,
    narrator: Narrator,
) -> dict[str, Trained]:
    """Trains those of the named agents that learn, other than SlatePPO.

    Args:
        names: Any names.
        ground: Makes what they learn on; called only if one of them learns.
        settings: Settings by agent.
        seed: The seed.
        narrator: Is told how far it has come.
    """
    wanted = [name for name in names if name in LEARNERS and name != FLAGSHIP]
    if not wanted:
        return {}
    shared = ground()
    return {
        name: learn(name, shared, settings=(settings or {}).get(name), seed=seed, narrator=narrator) for name in wanted
    }


def learn(
    name: str, ground: Ground, *, settings: Mapping[str, Any] | None = None, seed: int, narrator: Narrator
) -> Trained:
    """Trains an agent by name.

    Raises:
        ValueError: If there is no such agent or setting.
    """
    kind = learner(name)
    config = configured(kind.config, dict(settings or {}))
    begun = time.monotonic()
    with narrator.task(f"Training {name}") as advance:
        found = kind.learn(ground, config, seed, advance)
    seconds = time.monotonic() - begun
    agent: Competitor = found.agent
    if isinstance(agent, SlateRanker):
        agent = TimedRanker(agent.scorer, agent.reader)
    elif without_words(agent) is None:
        agent = WithControls(cast("Policy", agent))
    return Trained(agent, f"{found.note}, in {clock(seconds)}", found.steps, seconds, found.curve, found.sessions)
