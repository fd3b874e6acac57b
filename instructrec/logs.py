"""Logs: turns as they were lived, with the probability of all that was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints, stacked
from instructrec.sessions import Observation


@dataclass(frozen=True)
class Log:
    """Turns of many sessions, in any order; every array has one row per turn.

    Attributes:
        observations: What was seen before each slate.
        slates: What was shown, int32 [num_turns, slate_size].
        log_probs: The log-probability of each position given the ones above it, [num_turns, slate_size].
        clicked: What was clicked, [num_turns, slate_size].
        item_rewards: What each position earned, float32 [num_turns, slate_size].
        session: Which session a turn is of, int64 [num_turns].
        ended: Whether the session ended with the turn, [num_turns].
    """

    observations: Observation
    slates: npt.NDArray[np.int32]
    log_probs: Floats
    clicked: Bools
    item_rewards: Floats
    session: npt.NDArray[np.int64]
    ended: Bools

    def __len__(self) -> int:
        return len(self.slates)

    @property
    def num_sessions(self) -> int:
        """How many sessions its turns are of."""
        return len(np.unique(self.session))

    def rows(self, rows: Ints | Bools | slice) -> Log:
        """Returns some of the turns."""
        return Log(
            self.observations.rows(rows),
            self.slates[rows],
            self.log_probs[rows],
            self.clicked[rows],
            self.item_rewards[rows],
            self.session[rows],
            self.ended[rows],
        )


def joined(logs: Sequence[Log], *, apart: bool = True) -> Log:
    """Returns the turns of several logs of one world, one log after the other.

    Args:
        logs: The logs.
        apart: Whether sessions of different logs are different ones; if not, equal numbers mean the same session.

    Raises:
        ValueError: If there is no log.
    """
    if not logs:
        raise ValueError("expected at least one log")
    sizes = [int(log.session.max(initial=-1)) + 1 if apart else 0 for log in logs]
    offsets = np.cumsum([0, *sizes[:-1]])
    return Log(
        _seen([log.observations for log in logs]),
        np.concatenate([log.slates for log in logs]),
        np.concatenate([log.log_probs for log in logs]),
        np.concatenate([log.clicked for log in logs]),
        np.concatenate([log.item_rewards for log in logs]),
        np.concatenate([log.session + offset for log, offset in zip(logs, offsets, strict=True)]),
        np.concatenate([log.ended for log in logs]),
    )


def _seen(parts: Sequence[Observation]) -> Observation:
    first = parts[0]
    return Observation(
        np.concatenate([part.instruction for part in parts]),
        np.concatenate([part.said for part in parts]),
        np.concatenate([part.past for part in parts]),
        np.concatenate([part.past_ratings for part in parts]),
        np.concatenate([part.slates for part in parts]),
        np.concatenate([part.clicked for part in parts]),
        np.concatenate([part.turn for part in parts]),
        None
        if first.candidates is None
        else stacked([part.candidates for part in parts if part.candidates is not None]),
        first.texts,
    )
