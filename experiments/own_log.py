"""SlatePPO's own training log: every turn that it lived through while it learned, for those that learn from logs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from instructrec.agents.encoder import TextEncoder
from instructrec.agents.features import ItemFeatures
from instructrec.agents.sb3_worlds import WorldVecEnv
from instructrec.agents.slate_ppo import SlatePPOConfig
from instructrec.experiments.competitors import warm_reader
from instructrec.experiments.progress import Advance, Narrator
from instructrec.experiments.train import TrainPlan
from instructrec.experiments.trainers import SlatePPOTrainer, configured
from instructrec.logs import Log, joined
from instructrec.sessions import observe


class Recorder(BaseCallback):
    """Records what SlatePPO shows and what comes of it, with the probability of what it showed.

    Args:
        turns: How many turns to keep, the first ones.
        advance: Is told how far it has come.
    """

    def __init__(self, turns: int, advance: Advance) -> None:
        super().__init__()
        self._turns, self._advance = turns, advance
        self._parts: list[Log] = []
        self._seen: Any = None

    def _on_training_start(self) -> None:
        self.model.set_logger(Logger(folder=None, output_formats=[]))
        self._look()

    def _look(self) -> None:
        env = cast("WorldVecEnv", self.training_env)
        every = np.arange(env.num_envs)  # An index array, since it copies.
        sessions = env.state.sessions
        self._seen = observe(env.world, env.state).rows(every), sessions.ordinal * env.num_envs + sessions.lane

    def _on_step(self) -> bool:
        observation, session = self._seen
        outcome = self.locals["outcome"]
        shown, log_probs = (self.locals[name].numpy() for name in ("slates", "log_probs"))
        clicked = outcome.reactions.clicked.copy()
        part = Log(
            observation, shown.astype(np.int32), log_probs, clicked, outcome.item_rewards, session, outcome.done.copy()
        )
        self._parts.append(part)
        self._look()
        self._advance(min(self.num_timesteps / self._turns, 1.0), "")
        return True

    @property
    def log(self) -> Log:
        """What was recorded."""
        return joined(self._parts, apart=False).rows(slice(self._turns))


def own_log(plan: TrainPlan, features: ItemFeatures, encoder: TextEncoder, narrator: Narrator) -> Log:
    """Trains SlatePPO once more, exactly as it is trained for the comparison, and returns what it lived through.

    Args:
        plan: How it is trained.
        features: The items, as it knows them.
        encoder: Its language model.
        narrator: Is told how far it has come.
    """
    world, settings = plan.place("train"), dict(plan.agent_settings)
    settings.pop("encoder", None)
    trainer = SlatePPOTrainer(world, encoder, features, configured(SlatePPOConfig, settings), plan.seed)
    warm_reader(trainer.reader, world, narrator, "Reading what the instructions ask for")
    with narrator.task("Recording SlatePPO while it learns") as advance:
        recorder = Recorder(plan.steps, advance)
        trainer.model.learn(plan.steps, callback=recorder, log_interval=plan.steps)
    return recorder.log
