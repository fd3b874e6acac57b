"""Watching training: progress for people, events for TensorBoard, checkups, and checkpoints that survive a kill."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from instructrec import runs
from instructrec.experiments.checkups import Examiner
from instructrec.experiments.evaluation import Competitor
from instructrec.experiments.progress import Advance, silent
from instructrec.experiments.tensorboard import Events, GroupedWriter
from instructrec.protocols import TellsNumbers

CURVE = "curve.json"
_BATCH_TIMES = {"read": "encode", "score": "score", "draw": "draw", "env": "environment", "update": "update"}


@dataclass(frozen=True)
class Past:
    """What a checkpoint tells of how it came about.

    Attributes:
        curve: Rows of the learning curve.
        seconds: How long training took.
    """

    curve: Sequence[Mapping[str, float]]
    seconds: float

    @classmethod
    def of(cls, checkpoint: runs.Checkpoint | None) -> Past:
        """Returns the past of a checkpoint; an empty one where there is none."""
        if checkpoint is None:
            return cls((), 0.0)
        document = runs.read_json(checkpoint.folder / CURVE)
        return cls(list(document["curve"]), float(document["seconds"]))


class Watch(BaseCallback):
    """Watches an SB3 algorithm train.

    Args:
        events: Where numbers go.
        steps: User-steps of training in all.
        ranker_of: Returns the algorithm's present ranker, for checkups.
        examiner: Examines it; None for no checkups.
        checkups: How many checkups to make, evenly spread; the last stands at the end.
        advance: Is told how far training has come.
        save: Writes the algorithm into an empty folder; None for no checkpoints.
        run: The run folder that checkpoints go to.
        checkpoint_seconds: Least time between checkpoints; 0 makes one after every iteration.
        past: The learning curve and the seconds so far, for a run that is resumed.
    """

    def __init__(
        self,
        events: Events,
        steps: int,
        *,
        ranker_of: Callable[[Any], Competitor] | None = None,
        examiner: Examiner | None = None,
        checkups: int = 8,
        advance: Advance = silent,
        save: Callable[[Path], None] | None = None,
        run: Path | None = None,
        checkpoint_seconds: float = 30.0,
        past: Past | None = None,
    ) -> None:
        super().__init__()
        self.curve: list[dict[str, float]] = [dict(row) for row in past.curve] if past is not None else []
        self._spent = past.seconds if past is not None else 0.0
        self._events, self._steps, self._advance = events, steps, advance
        self._ranker_of, self._examiner, self._checkups = ranker_of, examiner, checkups
        self._save, self._run, self._every = save, run, checkpoint_seconds
        self._begun = self._saved_at = self._iteration_at = time.monotonic()
        self._iterations = 0
        self._rewards: list[np.ndarray[Any, Any]] = []
        self._components: dict[str, list[float]] = {}
        self._ended = 0

    def _on_training_start(self) -> None:
        self.model.set_logger(Logger(folder=None, output_formats=[GroupedWriter(self._events)]))
        self._begun = self._saved_at = self._iteration_at = time.monotonic()
        statistics = getattr(self.training_env, "episode_statistics", None)
        self._ended = 0 if statistics is None else statistics.count

    def _on_step(self) -> bool:
        outcome = getattr(self.training_env, "last_outcome", None)
        if outcome is not None:
            reactions = outcome.reactions
            parts = {
                "reward/slate": outcome.reward,
                "reward/clicks": reactions.clicked.sum(axis=1),
                "reward/consumed": reactions.consumed.sum(axis=1),
                "reward/first_position": outcome.item_rewards[:, 0],
                "reward/left": reactions.left,
            }
            for name, values in parts.items():
                self._components.setdefault(name, []).append(float(np.mean(values)))
        words = [f"return {value:.1f}" for value in self._latest_return().values()]
        self._advance(min(self.num_timesteps / self._steps, 1.0), "".join(words))
        return True

    def _on_rollout_start(self) -> None:
        # The end of an iteration: what was collected before has been learned from.
        if self._iterations:
            self._end_iteration(last=False)
        self._iterations += 1

    def _on_training_end(self) -> None:
        if self._iterations:
            self._end_iteration(last=True)

    @property
    def seconds(self) -> float:
        """How long training has taken, of a run that was stopped the time before included."""
        return self._spent + time.monotonic() - self._begun

    def _end_iteration(self, *, last: bool) -> None:
        step, now = self.num_timesteps, time.monotonic()
        values: dict[str, float] = {name: float(np.mean(rows)) for name, rows in self._components.items()}
        self._components = {}
        values |= self._sessions() | self._users()
        turns = self.model.n_steps * self.training_env.num_envs  # type: ignore[attr-defined]
        if now > self._iteration_at:
            values["speed/steps_per_second"] = turns / (now - self._iteration_at)
        self._iteration_at = now
        self._events.scalars(step, values)
        self.model.logger.dump(step)
        self._batch_times(step)
        if "reward/session_return" in values:
            self.curve.append({"step": float(step), "return": values["reward/session_return"]})
        # When to check up depends on the step alone, so that a run that was killed does it at the same places.
        due = step * self._checkups // self._steps > (step - turns) * self._checkups // self._steps
        if self._examiner is not None and (last or due):
            self._check_up(step)
        self._events.flush()
        if self._save is not None and self._run is not None and (last or now - self._saved_at >= self._every):
            runs.save_checkpoint(self._run, step, self._write)
            self._saved_at = time.monotonic()

    def _latest_return(self) -> dict[str, float]:
        """Returns the latest mean return of training sessions by its name; nothing while no session has ended yet."""
        known = [row["return"] for row in self.curve if "return" in row]
        return {"return": known[-1]} if known else {}

    def _sessions(self) -> dict[str, float]:
        """Returns means over the sessions that ended in this iteration."""
        statistics = getattr(self.training_env, "episode_statistics", None)
        if statistics is None or statistics.count == self._ended:
            return {}
        latest = statistics.since(self._ended)
        self._ended = statistics.count
        return {
            "reward/session_return": float(np.mean(latest.returns)),
            "reward/session_length": float(np.mean(latest.lengths)),
            "reward/leave_rate": float(np.mean(latest.left)),
        }

    def _users(self) -> dict[str, float]:
        """Returns what the users themselves count, where they do."""
        users = getattr(getattr(self.training_env, "world", None), "population", None)
        return (
            {f"users/{name}": value for name, value in users.scalars().items()}
            if isinstance(users, TellsNumbers)
            else {}
        )

    def _batch_times(self, step: int) -> None:
        """Writes where the iteration's time went, per user-step."""
        seconds = getattr(self.model, "seconds", None) or {}
        turns = self.model.n_steps * self.training_env.num_envs  # type: ignore[attr-defined]
        self._events.scalars(
            step,
            {f"speed/us_per_step_{told}": 1e6 * seconds[n] / turns for n, told in _BATCH_TIMES.items() if n in seconds},
        )

    def _check_up(self, step: int) -> None:
        assert self._examiner is not None
        if self._ranker_of is None:
            return
        found = self._examiner.examine(self._ranker_of(self.model))
        self._events.scalars(step, found.values)
        self._events.latencies(step, found.milliseconds)
        row = {"step": float(step), **self._latest_return()}
        row |= {name.rpartition("/")[2]: value for name, value in found.values.items()}
        if self.curve and self.curve[-1]["step"] == step:
            self.curve.pop()
        self.curve.append(row)

    def _write(self, folder: Path) -> None:
        assert self._save is not None
        self._save(folder)
        runs.write_json(folder / CURVE, Past(self.curve, self.seconds))
