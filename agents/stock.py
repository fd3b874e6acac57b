"""Stable-Baselines3's PPO and A2C as they come, for comparison: one choice per position, repeats filled by popularity.

They see what SlatePPO sees, through the same frozen language model. Their head is stock: a `MultiDiscrete` of as many
choices per position as there are candidates, every position apart from the others. So it has a row of weights per
position and item, learns each of them from that item's own appearances, and may choose an item twice: every later
repeat becomes the most popular item not yet shown (the repair of the wrapper ``FillRepeats``), in training and after.

Stable-Baselines3 asks the critic about sessions that the turn limit cut off one at a time; that is left as it is.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from instructrec import runs
from instructrec.agents.global_luck import own_luck
from instructrec.agents.inputs import inputs_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.sb3_worlds import WorldVecEnv, filled_slates, sb3_vec_env
from instructrec.arrays import Floats, Ints
from instructrec.noise import Noise
from instructrec.sessions import Observation, World

Progress = Callable[[float, str], None]


@dataclass(frozen=True, kw_only=True)
class StockPPOConfig:
    """How stock PPO learns. What is not named here is as Stable-Baselines3 has it.

    Attributes:
        seconds: Training ends before this much time has passed; at least one iteration is done.
        num_envs: Sessions run side by side.
        num_steps: Turns of each of them per iteration.
        epochs: Passes over an iteration's turns.
        minibatch_size: Turns per gradient step.
        learning_rate: Of Adam.
        gamma: Discount per turn.
        gae_lambda: 0 trusts the critic, 1 trusts what happened.
        entropy: Weight of the entropy.
    """

    seconds: float = math.inf
    num_envs: int = 64
    num_steps: int = 8
    epochs: int = 4
    minibatch_size: int = 256
    learning_rate: float = 3e-4
    gamma: float = 0.9
    gae_lambda: float = 0.9
    entropy: float = 0.0

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)

    def model(self, env: WorldVecEnv, **arguments: Any) -> OnPolicyAlgorithm:
        """Returns the algorithm; ``arguments`` are those that all of Stable-Baselines3's take."""
        size = min(self.minibatch_size, self.num_envs * self.num_steps)
        return PPO(env=env, batch_size=size, n_epochs=self.epochs, **arguments)


@dataclass(frozen=True, kw_only=True)
class StockA2CConfig:
    """How stock A2C learns. What is not named here is as Stable-Baselines3 has it.

    Attributes:
        seconds: Training ends before this much time has passed; at least one iteration is done.
        num_envs: Sessions run side by side.
        num_steps: Turns of each of them per gradient step.
        learning_rate: Of RMSprop.
        gamma: Discount per turn.
        gae_lambda: 0 trusts the critic, 1 trusts what happened.
        entropy: Weight of the entropy.
    """

    seconds: float = math.inf
    num_envs: int = 64
    num_steps: int = 5
    learning_rate: float = 7e-4
    gamma: float = 0.9
    gae_lambda: float = 0.9
    entropy: float = 0.0

    def __post_init__(self) -> None:
        _check_seconds(self.seconds)

    def model(self, env: WorldVecEnv, **arguments: Any) -> OnPolicyAlgorithm:
        """Returns the algorithm; ``arguments`` are those that all of Stable-Baselines3's take."""
        return A2C(env=env, **arguments)


StockConfig = StockPPOConfig | StockA2CConfig


def _check_seconds(seconds: float) -> None:
    if not seconds > 0:
        raise ValueError(f"seconds must be > 0, got {seconds}")


class SessionFeatures(BaseFeaturesExtractor):
    """What SlatePPO's network sees of a session, in one vector per row.

    Args:
        observation_space: What the environment shows.
        reader: Embeds the words and sums up the session.
        width: How many numbers that makes.
    """

    def __init__(self, observation_space: spaces.Dict, reader: SessionReader, width: int) -> None:
        super().__init__(observation_space, features_dim=width)
        self.reader = reader

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Returns features, [batch, width]."""
        seen = {name: np.asarray(value.cpu()) for name, value in observations.items()}
        return session_features(self.reader, seen)


def session_features(reader: SessionReader, arrays: dict[str, np.ndarray]) -> Tensor:
    """Returns one vector per session, [batch, width]: words, earlier words, person, clicks, what was shown, facts."""
    read = reader.read(arrays)
    # Vectors of words have length 1; so each of their numbers is about as large as the others.
    scale = reader.encoder.width**0.5
    parts = [read.text * scale, read.earlier.mean(dim=1) * scale, read.profile, read.clicked, read.shown, read.facts]
    return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class StockPolicy:
    """A `Policy` that shows the most probable item of every position, repeats filled by popularity.

    Attributes:
        reader: Turns observations into what the network sees.
        actor: From features to the logits of all positions, one after the other, [batch, slate_size × choices].
        slate_size: Items per slate.
        popularity: Of every item, [num_items].
    """

    reader: SessionReader
    actor: nn.Sequential
    slate_size: int
    popularity: Floats

    def act(self, observation: Observation, noise: Noise) -> Ints:
        """Returns the most probable items, [batch, slate_size]; ``noise`` is not used."""
        arrays = inputs_of(observation, self.reader.encoder, memory=self.reader.memory)
        with torch.no_grad():
            logits = self.actor(session_features(self.reader, arrays))
            places = logits.reshape(observation.batch, self.slate_size, -1).argmax(dim=2).numpy()
        return filled_slates(observation, places, self.popularity)

    def log_prob(self, observation: Observation, slates: Ints) -> Floats:
        """Returns 0 where the slate shows what this policy shows, and minus infinity elsewhere."""
        shown = self.act(observation, Noise(np.zeros(observation.batch, np.uint64), observation.turn))
        return np.where(shown == slates, 0.0, -np.inf)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the network as safetensors."""
        runs.write_arrays(path, {name: value.numpy() for name, value in self.actor.state_dict().items()})

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], reader: SessionReader, slate_size: int, popularity: Floats
    ) -> StockPolicy:
        """Returns the policy whose network `save` wrote.

        Raises:
            RunError: If the file is missing or damaged.
        """
        arrays = runs.read_arrays(path)
        layers: list[nn.Module] = []
        for name in sorted((name for name in arrays if name.endswith(".weight")), key=lambda name: int(name[:-7])):
            layers += [nn.Linear(arrays[name].shape[1], arrays[name].shape[0]), nn.Tanh()]
        actor = nn.Sequential(*layers[:-1])
        actor.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        return cls(reader, actor.requires_grad_(False), slate_size, popularity)


@dataclass(frozen=True)
class StockTraining:
    """What training came to.

    Attributes:
        policy: What was learned.
        steps: Turns it was trained on.
        seconds: How long that took.
        curve: Steps so far and the mean return of the sessions that ended in each iteration; NaN where none did.
    """

    policy: StockPolicy
    steps: int
    seconds: float
    curve: tuple[tuple[int, float], ...]


class _Budget(BaseCallback):
    """Stops before an iteration that would end too late, judging by the longest so far."""

    def __init__(self, seconds: float, steps: int, progress: Progress | None, began: float) -> None:
        super().__init__()
        self._seconds, self._steps, self._progress = seconds, steps, progress
        self._began = self._last = began
        self._longest, self._stop, self._counted = 0.0, False, 0
        self.after_iteration: Callable[[], None] | None = None
        self.curve: list[tuple[int, float]] = []

    def _on_rollout_start(self) -> None:
        if self.after_iteration is not None and self.num_timesteps:
            self.after_iteration()
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now
        used = now - self._began
        self._stop = self.num_timesteps > 0 and used + self._longest > self._seconds
        share = max(used / self._seconds, self.num_timesteps / self._steps)
        if self._progress is not None:
            self._progress(1.0 if self._stop else min(share, 1.0), f"{self.num_timesteps:,} turns")

    def _on_step(self) -> bool:
        return not self._stop

    def _on_rollout_end(self) -> None:
        ended = self.training_env.unwrapped.episode_statistics  # type: ignore[attr-defined]
        returns = ended.since(self._counted).returns
        self._counted = ended.count
        self.curve.append((self.num_timesteps, float(returns.mean()) if len(returns) else float("nan")))


def train_stock(
    world: World,
    reader: SessionReader,
    config: StockConfig,
    *,
    steps: int,
    seed: int = 0,
    progress: Progress | None = None,
    watch: Callable[[int, StockPolicy], None] | None = None,
) -> StockTraining:
    """Trains an algorithm of Stable-Baselines3 in a world.

    Where time ends the training, how many turns it got depends on the machine; the result states them.

    Args:
        world: Where to train.
        reader: What the policy sees of a session.
        config: Which algorithm, and how it learns.
        steps: How many turns to learn from, 1 or more; time may end it before.
        seed: Where people, weights and draws come from.
        progress: Told how much of the budget is used, from 0 to 1, and how many turns that made.
        watch: Given the turns so far and what would be shown now, after every iteration.

    Raises:
        ValueError: If there is less than one step.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    began = time.monotonic()

    def policy_of(model: OnPolicyAlgorithm) -> StockPolicy:
        return StockPolicy(reader, _actor(model.policy), world.slate_size, world.catalogue.popularity)

    with own_luck():
        env = sb3_vec_env(
            world, config.num_envs, encoder=reader.encoder, seed=seed, memory=reader.memory, fill_repeats=True
        )
        arrays = inputs_of(env.observation, reader.encoder, memory=reader.memory)
        width = session_features(reader, arrays).shape[1]
        model = config.model(
            env,
            policy="MultiInputPolicy",
            learning_rate=config.learning_rate,
            n_steps=config.num_steps,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            ent_coef=config.entropy,
            policy_kwargs={
                "features_extractor_class": SessionFeatures,
                "features_extractor_kwargs": {"reader": reader, "width": width},
            },
            seed=seed,
            device="cpu",
        )
        budget = _Budget(config.seconds, steps, progress, began)
        if watch is not None:
            budget.after_iteration = lambda: watch(model.num_timesteps, policy_of(model))
        model.learn(steps, callback=budget)
    # A rollout that was stopped at its first step is not learned from and not counted.
    used = len(budget.curve) * config.num_envs * config.num_steps
    return StockTraining(policy_of(model), used, time.monotonic() - began, tuple(budget.curve))


def _actor(policy: ActorCriticPolicy) -> nn.Sequential:
    """Returns a copy of the part of a stock policy that chooses, as a plain stack of layers."""
    actor = nn.Sequential(*policy.mlp_extractor.policy_net, policy.action_net)
    return copy.deepcopy(actor).eval().requires_grad_(False)
