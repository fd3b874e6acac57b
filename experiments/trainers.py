"""Building, saving, restoring and loading the agents that are trained."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.callbacks import BaseCallback

from instructrec import runs
from instructrec.agents.encoder import TextEncoder, load_encoder
from instructrec.agents.features import ItemFeatures
from instructrec.agents.inputs import tokens_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.sb3_worlds import WorldVecEnv, sb3_vec_env
from instructrec.agents.scorer import SlateScorer
from instructrec.agents.slate_policy import SlateRanker
from instructrec.agents.slate_ppo import SlatePPO, SlatePPOConfig
from instructrec.catalogue import Catalogue
from instructrec.experiments.agent_files import WEIGHTS, read_features, read_module
from instructrec.experiments.headline import DEAF
from instructrec.experiments.watch import Watch
from instructrec.names import unknown_name
from instructrec.policies import Blank
from instructrec.protocols import Ranker
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import Observation, World

Config = TypeVar("Config")


def configured(
    kind: type[Config], settings: Mapping[str, Any], prefix: str = "", *, others: Sequence[str] = ()
) -> Config:
    """Returns a configuration with some settings changed; nested ones are named with dots or given as mappings.

    Args:
        kind: The configuration's class.
        settings: What is changed.
        prefix: What stands before names in messages.
        others: Further settings that there are, and that somebody else reads; for messages.

    Raises:
        ValueError: If a setting is unknown (the nearest is suggested) or of the wrong type.
    """
    nested: dict[str, Any] = {}
    for name, value in settings.items():
        first, mark, rest = name.partition(".")
        if mark:
            nested.setdefault(first, {})[rest] = value
        else:
            nested[first] = value
    hints, known = get_type_hints(kind), {part.name: part for part in dataclasses.fields(kind)}  # type: ignore[arg-type]
    chosen: dict[str, Any] = {}
    for name, value in nested.items():
        if name not in known:
            raise ValueError(unknown_name("setting", prefix + name, [*others, *(prefix + each for each in known)]))
        chosen[name] = _converted(hints[name], value, prefix + name)
    return kind(**chosen)


def _converted(hint: Any, value: Any, name: str) -> Any:
    if type(None) in get_args(hint):
        if value is None:
            return None
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    if dataclasses.is_dataclass(hint):
        if isinstance(value, Mapping):
            return configured(hint, value, f"{name}.")  # type: ignore[arg-type]
        raise ValueError(f"setting {name!r} has parts of its own; set them as {name}.PART=VALUE")
    if isinstance(value, list):
        return tuple(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    simple = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if hint in simple and type(value) is not hint:
        raise ValueError(f"setting {name!r} is {simple[hint]}, got {value!r}")
    return value


@dataclass(frozen=True)
class TimedRanker(SlateRanker):
    """A trained network as a ranker whose reading of words can be timed apart."""

    def encode(self, observation: Observation) -> npt.NDArray[np.float32]:
        """Returns the instructions' vectors, wishes included, [batch, text width]: a part of what scoring does."""
        tokens = tokens_of(observation.texts, observation.instruction, self.reader.encoder)
        return self.reader.texts.encode_tokens(tokens)


class SlatePPOTrainer:
    """Trains SlatePPO, and keeps all that an exact resumption needs.

    Args:
        world: The training world.
        encoder: The language model.
        features: The items.
        config: How to learn.
        seed: The seed.
    """

    def __init__(
        self, world: World, encoder: TextEncoder, features: ItemFeatures, config: SlatePPOConfig, seed: int
    ) -> None:
        self.features = features
        self.reader = SessionReader(
            features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit, memory=config.memory
        )
        self.env: WorldVecEnv = sb3_vec_env(world, config.num_envs, encoder=encoder, seed=seed, memory=config.memory)
        self.model = SlatePPO(self.env, self.reader, config, seed=seed)

    @property
    def step(self) -> int:
        """User-steps so far."""
        return int(self.model.num_timesteps)

    def ranker(self, model: Any = None) -> TimedRanker:
        """Returns the present ranker."""
        return TimedRanker(self.model.policy.scorer, self.reader)

    def begin_with(self, weights: Path) -> None:
        """Begins with the weights of another run, whose features these are.

        Raises:
            RunError: If the file is missing, damaged, or of a network of other sizes.
        """
        other = copy.deepcopy(self.model.policy.scorer)
        read_module(weights, other)
        self.model.begin_with(other)

    def learn(self, steps: int, watch: Watch, *others: BaseCallback) -> None:
        """Trains up to ``steps`` user-steps in all; ``others`` look on beside the watch."""
        begun = self.step > 0
        if self.step < steps:
            # The watch writes the logs, at the end of each iteration rather than in the middle of the next.
            self.model.learn(
                steps - self.step, callback=[watch, *others], log_interval=steps, reset_num_timesteps=not begun
            )

    def save(self, folder: Path) -> None:
        """Writes all that the next iteration needs."""
        self.model.save(folder)

    def restore(self, folder: Path) -> None:
        """Goes on where `save` was called.

        Raises:
            RunError: If a file is missing or damaged.
            ValueError: If it was saved by another configuration.
        """
        self.model.restore(folder)


@dataclass(frozen=True)
class Loaded:
    """A trained agent, ready to rank.

    Attributes:
        ranker: Scores items.
        slate_size: Items per slate where it was trained.
        turn_limit: Slates per session where it was trained.
        past_length: Items of a visible past where it was trained.
    """

    ranker: Ranker
    slate_size: int
    turn_limit: int
    past_length: int


SHAPE = "shape.json"


def load_run(run: str | os.PathLike[str], config: RunConfig, catalogue: Catalogue) -> Loaded:
    """Loads the trained agent of a run folder.

    Args:
        run: The run folder.
        config: What was run.
        catalogue: The items, as trained on.

    Raises:
        RunError: If it was never saved, or a file is missing or damaged.
    """
    found = runs.latest_checkpoint(run)
    if found is None:
        raise RunError(f"{run} holds no checkpoint yet: its training was stopped before the first; resume it")
    features = read_features(run)
    if features.num_items != catalogue.num_items:
        raise RunError(f"{run} has features of {features.num_items} items, its catalogue {catalogue.num_items}")
    shape = runs.read_json(Path(run) / SHAPE)
    settings = dict(config.agent_settings)
    encoder = load_encoder(str(settings.pop("encoder", "minilm")))
    # Of how it learned, only what shapes the network matters now.
    learned = configured(SlatePPOConfig, {name: settings[name] for name in ("memory", "scorer") if name in settings})
    reader = SessionReader(
        features, encoder, slate_size=shape["slate_size"], turn_limit=shape["turn_limit"], memory=learned.memory
    )
    scorer = SlateScorer(
        features,
        encoder_width=encoder.width,
        memory=learned.memory,
        slate_size=shape["slate_size"],
        config=learned.scorer,
    )
    read_module(found.folder / WEIGHTS, scorer)
    ranker: Ranker = TimedRanker(scorer.eval(), reader)
    if config.agent == DEAF:
        ranker = Blank(ranker)
    return Loaded(ranker, shape["slate_size"], shape["turn_limit"], shape["past_length"])


def trained_ranker(folder: str, world: World, items: Catalogue | None = None) -> tuple[Ranker, RunConfig]:
    """Returns what a run learned, and how it was recorded.

    Args:
        folder: The run.
        world: Where it is to play.
        items: The items it was trained on, where their texts are in another language.

    Raises:
        RunError: If it is not a run, or it was trained on another catalogue than the world's or for other slates.
    """
    config = RunConfig.read(folder)
    if config.catalogue and config.catalogue != (items or world.catalogue).fingerprint:
        raise RunError(
            f"{folder} was trained on another catalogue ({config.world}, {config.catalogue}) than {world.name} has "
            f"({world.catalogue.fingerprint}); compare it where it was trained"
        )
    loaded = load_run(folder, config, world.catalogue)
    if loaded.slate_size != world.slate_size:
        raise RunError(
            f"{folder} was trained to fill slates of {loaded.slate_size}, and those of {world.name} have "
            f"{world.slate_size} places here; train it there, or leave slate_size as it was"
        )
    return loaded.ranker, config


def before_learning(ranker: SlateRanker) -> SlateRanker:
    """Returns a ranker as it was before it met anybody: what it read from prompts of its own, and nothing else."""
    reader, trained = ranker.reader, ranker.scorer
    scorer = SlateScorer(
        reader.features,
        encoder_width=reader.encoder.width,
        memory=reader.memory,
        slate_size=trained.slate_size,
        config=trained.config,
    )
    return SlateRanker(scorer.eval(), reader)
