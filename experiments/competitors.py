"""Competitors by name: who can be compared in a world, and what each needs first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from instructrec.agents.encoder import TextEncoder, load_encoder
from instructrec.agents.features import ItemFeatures, world_features
from instructrec.agents.reading import SessionReader
from instructrec.arrays import Floats, Ints
from instructrec.envs.worlds import make_world, world_spec
from instructrec.experiments.evaluation import Competitor
from instructrec.experiments.headline import ABOUT, REFERENCES
from instructrec.experiments.progress import Narrator
from instructrec.names import unknown_name
from instructrec.noise import Noise
from instructrec.protocols import Policy
from instructrec.sessions import Observation, Sessions, World, start

UNTRAINED = ("random", "popularity", "bm25", "cosine", "parser")
"""Competitors that learn nothing."""
TRAINED = tuple(
    name for name in ABOUT if name not in {*UNTRAINED, *REFERENCES} and not name.endswith(("_blank", "_start"))
)
"""Competitors that are trained; the command line names them by their run folder."""


def split_name(final: bool) -> str:
    """Returns the split that a command reads: test only where it was asked for."""
    return "test" if final else "validation"


def world_of(name: str, settings: dict[str, Any], split: str) -> World:
    """Makes a world of one split's people and phrasings; a world without splits is the same in all of them.

    Raises:
        ValueError: If the settings name a split themselves, the world is unknown, or its people would type at a
            keyboard and there is none.
        TypeError: If the world has no such setting.
    """
    if taken := {"split", "splits"} & set(settings):
        raise ValueError(
            f"{taken.pop()} is no setting of a run: training reads train, evaluation validation, and --final test"
        )
    known = world_spec(name).settings()
    asked = next((key for key in ("split", "splits") if key in known), None)
    world = make_world(name, **(settings if asked is None else {**settings, asked: split}))
    typed = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    if getattr(world.population, "at_keyboard", False) and not typed:
        raise ValueError(
            "the population 'human' is a person at the keyboard, and standard input is none; talk with an agent "
            f"yourself by `instructrec play {name} --agent NAME`, or give the lines to type: "
            "--population-set 'script=[a comedy, 1 3, q]'"
        )
    return world


def encode_all(encoder: TextEncoder, texts: Sequence[str], narrator: Narrator, what: str, *, said: bool) -> None:
    """Embeds texts so that nothing later waits for the language model, and tells how far it has come.

    Args:
        encoder: The language model.
        texts: What to embed.
        narrator: Is told how far it has come.
        what: What it is told.
        said: Whether they are what people say.
    """
    before, encode = encoder.encoded, encoder.hear if said else encoder.encode
    with narrator.task(what) as advance:
        encode(list(texts), lambda done, total: advance(done / max(total, 1), f"{done:,} of {total:,} texts"))
    if encoder.encoded > before:
        encoder.flush()


def features_for(world: World, encoder: TextEncoder, narrator: Narrator, *, prompts: int = 48_000) -> ItemFeatures:
    """Builds what agents know of a training world's items, and lets them learn to read, from ``prompts`` prompts."""
    encode_all(encoder, world.catalogue.texts, narrator, "Reading the items with the language model", said=False)
    with narrator.task("Learning to read from prompts of its own") as advance:
        features = world_features(
            world,
            encoder,
            prompts=prompts,
            progress=lambda done, total: advance(done / total, f"step {done:,} of {total:,}"),
        )
    encoder.flush()
    return features


def warm_reader(reader: SessionReader, world: World, narrator: Narrator, what: str) -> None:
    """Lets a reader meet everything that people may say in a world, so that nothing later waits for it."""
    encode_all(reader.texts, world.population.texts.bank, narrator, what, said=True)


def untrained(
    names: Sequence[str], world: World, make_encoder: Callable[[], TextEncoder] = load_encoder
) -> dict[str, Competitor]:
    """Returns those of the named competitors that learn nothing; the language model is made only if one needs it."""
    from instructrec.agents.baselines import baselines

    wanted = [name for name in names if name in UNTRAINED]
    if not wanted:
        return {}
    model = make_encoder() if "cosine" in wanted else None
    built = baselines(world, model)
    return {name: built[name] for name in wanted}


def references(
    names: Sequence[str],
    world: World,
    make_training_world: Callable[[], World],
    narrator: Narrator,
) -> dict[str, Competitor]:
    """Returns those of the named references that this world has; the others are said to be absent, never zero.

    Args:
        names: Any names.
        world: Where they will be compared.
        make_training_world: Makes the training world of the same catalogue, for fitting ``informed``.
        narrator: Is told what is absent and why.
    """
    built: dict[str, Competitor] = {}
    for name in names:
        if name in REFERENCES:
            try:
                built[name] = _reference(name, world, make_training_world, narrator)
            except (TypeError, ValueError) as error:
                narrator.say(f"{name} is left out: {error}")
    return built


def _reference(name: str, world: World, make_training_world: Callable[[], World], narrator: Narrator) -> Competitor:
    from instructrec.agents.references import GoalOracle, Oracle, goals_of

    if name == "oracle":
        return Oracle(world.population)
    if name == "goal_oracle":
        goals_of(start(world, Sessions.first(0, 1)))  # Raises where these people have none.
        return GoalOracle(world.catalogue)
    from instructrec.agents.informed import fit_informed

    with narrator.task("Fitting the informed reference on training people") as advance:
        return fit_informed(make_training_world(), progress=lambda done, total: advance(done / total, ""))


@dataclass(frozen=True)
class WithControls:
    """A policy whose words can be taken away or swapped, as a ranker's can.

    Attributes:
        policy: The policy.
        words: Whose words it hears: its ``own`` person's, ``none``, or ``others``' (the next person's).
    """

    policy: Policy
    words: str = "own"

    def act(self, observation: Observation, noise: Noise) -> Ints:
        """Returns the policy's slates for what it is given to hear."""
        return self.policy.act(self._heard(observation), noise)

    def log_prob(self, observation: Observation, slates: Ints) -> Floats:
        """Returns the policy's log-probabilities for what it is given to hear."""
        return self.policy.log_prob(self._heard(observation), slates)

    def _heard(self, observation: Observation) -> Observation:
        if self.words == "none":
            nothing = np.where(observation.said >= 0, 0, -1)
            return observation.saying(np.zeros_like(observation.instruction), nothing)
        if self.words == "others":
            return observation.saying(np.roll(observation.instruction, 1), np.roll(observation.said, 1, axis=0))
        return observation

    def blank(self) -> WithControls:
        """Returns the same policy hearing nothing."""
        return WithControls(self.policy, "none")

    def swapped(self) -> WithControls:
        """Returns the same policy hearing the next person."""
        return WithControls(self.policy, "others")


def check_names(names: Sequence[str]) -> None:
    """Raises a ValueError for a name that is no competitor; the message suggests the nearest."""
    for name in names:
        if name not in ABOUT:
            raise ValueError(unknown_name("agent", name, ABOUT))
