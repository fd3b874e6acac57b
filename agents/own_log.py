"""SlatePPO's own training log: recorded while it learns, kept in a folder, read back without executing anything.

A folder holds ``log.json`` (the world and its fingerprint) and one file of arrays for each iteration, named by the
user-steps before it. An iteration depends on the seed and its number alone, so a run that was killed and resumed writes
the same files again: nothing is missing and nothing stands twice. A turn takes about a kilobyte.

Candidates that are the same for all are kept once. Texts are kept as ids; those outside the bank of the world's texts
are kept as words beside them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.callbacks import BaseCallback

from instructrec import runs
from instructrec.agents.sb3_worlds import WorldVecEnv
from instructrec.arrays import is_shared
from instructrec.logs import Log, joined
from instructrec.runs import RunError
from instructrec.sessions import Observation, Sessions, World

ABOUT_LOG, FORMAT = "log.json", 1
"""What a log's folder says of it, written last."""
_SEEN = ("instruction", "said", "past", "past_ratings", "slates", "clicked", "turn", "candidates")
_CANDIDATES = "observations.candidates"
_DONE = ("slates", "log_probs", "clicked", "item_rewards", "session", "ended")


class LogRecorder(BaseCallback):
    """Records what SlatePPO shows while it learns. It draws nothing and changes nothing.

    The log-probabilities are exact for what was ranked: while it learns, that may be a few candidates drawn for the
    iteration (`SlatePPOConfig.candidates`), of which observations do not tell.

    Args:
        folder: Where each iteration is written; None keeps all in memory, for `log`.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self._folder = None if folder is None else Path(folder)
        self._parts: list[Log] = []
        self._iterations: list[Log] = []
        self._began = 0

    @property
    def log(self) -> Log:
        """Everything recorded since it began, where no folder was given.

        Raises:
            ValueError: If there is nothing.
        """
        if not self._iterations:
            raise ValueError("no iteration has been recorded" + (" in memory" if self._folder is not None else ""))
        return joined(self._iterations, apart=False)

    def _on_rollout_start(self) -> None:
        self._parts, self._began = [], self.num_timesteps
        self._look()

    def _look(self) -> None:
        env = cast("WorldVecEnv", self.training_env)
        self._seen: Observation = env.observation
        self._who: Sessions = env.state.sessions

    def _on_step(self) -> bool:
        env = cast("WorldVecEnv", self.training_env)
        outcome = env.last_outcome
        assert outcome is not None, "a step has an outcome"
        shown: npt.NDArray[Any] = self.locals["slates"].numpy()
        part = Log(
            self._seen,
            shown.astype(np.int32),
            self.locals["log_probs"].numpy().astype(np.float32),
            outcome.reactions.clicked,
            outcome.item_rewards,
            self._who.ordinal * env.num_envs + self._who.lane,
            outcome.done,
        )
        self._parts.append(part)
        self._look()
        return True

    def _on_rollout_end(self) -> None:
        iteration = joined(self._parts, apart=False)
        if self._folder is None:
            self._iterations.append(iteration)
        else:
            world = cast("WorldVecEnv", self.training_env).world
            write_log(self._folder, iteration, world, after=self._began)


def write_log(folder: str | os.PathLike[str], log: Log, world: World, *, after: int = 0) -> None:
    """Writes turns into a log's folder, beside those that are there.

    Args:
        folder: The folder, made when missing.
        log: The turns.
        world: Where they happened.
        after: How many turns came before them: what was written after as many is replaced.

    Raises:
        RunError: If the folder holds the log of another world, or cannot be written.
    """
    folder = Path(folder)
    about = {"format": FORMAT, "world": world.name, "fingerprint": world.fingerprint}
    if (folder / ABOUT_LOG).exists():
        _check(folder, world)
    arrays = {f"observations.{name}": getattr(log.observations, name) for name in _SEEN}
    arrays |= {name: getattr(log, name) for name in _DONE}
    said = np.unique(np.append(log.observations.said, log.observations.instruction))
    texts = log.observations.texts
    free = texts.strings(said[said >= len(texts.bank)])
    arrays["texts"] = np.frombuffer(json.dumps(free).encode(), np.uint8)
    candidates = log.observations.candidates
    if candidates is not None and is_shared(candidates):
        arrays[_CANDIDATES] = candidates[:1]
    given = {name: array for name, array in arrays.items() if array is not None}
    runs.write_arrays(folder / f"{after:012d}.safetensors", given)
    runs.write_json(folder / ABOUT_LOG, about)


def read_log(folder: str | os.PathLike[str], world: World) -> Log:
    """Returns the turns of a log's folder.

    Args:
        folder: The folder.
        world: The world they happened in.

    Raises:
        RunError: If it holds no log, one of another world or version, or a file is damaged.
    """
    folder = Path(folder)
    _check(folder, world)
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise RunError(f"{folder} holds no turns yet: its training was stopped before the first iteration's end")
    return joined([_read(path, world) for path in paths], apart=False)


def _check(folder: Path, world: World) -> None:
    if not (folder / ABOUT_LOG).exists():
        raise RunError(f"{folder} holds no log: it has no {ABOUT_LOG}; `instructrec train ... --keep-log` makes one")
    about = runs.read_json(folder / ABOUT_LOG)
    version = about.get("format") if isinstance(about, dict) else None
    if version != FORMAT:
        raise RunError(
            f"{folder / ABOUT_LOG} has format {version!r}; this version of InstructRec reads format {FORMAT}"
        )
    if about.get("fingerprint") != world.fingerprint:
        raise RunError(
            f"{folder} is a log of {about.get('world')} with other people or rules ({about.get('fingerprint')}); "
            f"this is {world.name} ({world.fingerprint}): use the world that it was recorded in"
        )


def _read(path: Path, world: World) -> Log:
    arrays = runs.read_arrays(path)
    try:
        size = len(arrays["slates"])
        if _CANDIDATES in arrays and len(arrays[_CANDIDATES]) == 1:
            arrays[_CANDIDATES] = np.broadcast_to(arrays[_CANDIDATES][0], (size, arrays[_CANDIDATES].shape[1]))
        world.population.texts.ids(json.loads(bytes(arrays["texts"]).decode()))
        seen = {name: arrays.get(f"observations.{name}") for name in _SEEN}
        log = Log(Observation(**seen, texts=world.population.texts), **{name: arrays[name] for name in _DONE})  # type: ignore[arg-type]
        sizes = {len(array) for name, array in arrays.items() if name != "texts"}
    except (KeyError, ValueError) as error:
        raise RunError(f"{path} is damaged: it lacks what a log has ({error}); record it again") from error
    missing = [name for name, array in seen.items() if array is None and name != "candidates"]
    if missing or len(sizes) != 1:
        what = f"it has no {', '.join(missing)}" if missing else f"its arrays have {sorted(sizes)} rows"
        raise RunError(f"{path} is damaged: {what}; record it again")
    return log
