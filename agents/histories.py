"""Who consumed what, as sparse matrices: all that models see which hear nothing.

Rows are people, columns items, entries 1. A person is told by the visible past, however many sessions it comes in;
who has none is somebody else in every session. Of the past counts what was rated at least as high as ratings are on
average, and of the session what was clicked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from instructrec.agents.baselines import SkipConsumed, at_candidates, popularity_tie
from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue
from instructrec.logs import Log
from instructrec.sessions import Observation

Foretell = Callable[[Any], Floats]
"""Turns histories, sparse [batch, num_items], into scores of all items, [batch, num_items]."""


def average_rating(log: Log) -> float:
    """Returns the mean rating of the visible pasts, each session's counted at each of its turns; 0 if there is none."""
    known = log.observations.past >= 0
    return float(log.observations.past_ratings[known].mean()) if known.any() else 0.0


def history_matrix(log: Log, num_items: int, *, liked_from: float) -> Any:
    """Returns what people consumed, float32 CSR [num_people, num_items].

    Args:
        log: What was shown and clicked.
        num_items: Items in the catalogue.
        liked_from: The rating from which a past item counts.
    """
    seen = log.observations
    # A person without a past is told by the session; with one, by the past.
    nobody = np.where((seen.past >= 0).any(axis=1), -1, log.session)
    _, person = np.unique(np.column_stack([nobody, seen.past]), axis=0, return_inverse=True)
    person = person.reshape(-1)
    rows, places = np.nonzero((seen.past >= 0) & (seen.past_ratings >= liked_from))
    turns, positions = np.nonzero(log.clicked)
    return _ones(
        np.concatenate([person[rows], person[turns]]),
        np.concatenate([seen.past[rows, places], log.slates[turns, positions]]),
        (int(person.max(initial=-1)) + 1, num_items),
    )


def histories(observation: Observation, num_items: int, *, liked_from: float) -> Any:
    """Returns what each session's person consumed as far as is known, float32 CSR [batch, num_items].

    Args:
        observation: What agents see.
        num_items: Items in the catalogue.
        liked_from: The rating from which a past item counts.
    """
    rows, places = np.nonzero((observation.past >= 0) & (observation.past_ratings >= liked_from))
    sessions, turns, positions = np.nonzero(observation.clicked)
    return _ones(
        np.concatenate([rows, sessions]),
        np.concatenate([observation.past[rows, places], observation.slates[sessions, turns, positions]]),
        (observation.batch, num_items),
    )


def _ones(rows: Any, columns: Any, shape: tuple[int, int]) -> Any:
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1.0
    return matrix


@dataclass(frozen=True)
class HistoryRanker:
    """Ranks by what people consumed, and hears nothing; ties, and people without a history, go to the more popular.

    Attributes:
        foretell: Scores items from histories.
        tie: What popularity adds, float32 [num_items].
        liked_from: The rating from which a past item counts.
    """

    foretell: Foretell
    tie: npt.NDArray[np.float32]
    liked_from: float

    def scores(self, observation: Observation) -> Floats:
        """Returns scores [batch, num_candidates]."""
        rows = histories(observation, len(self.tie), liked_from=self.liked_from)
        return at_candidates(observation, self.foretell(rows) + self.tie)


def history_ranker(log: Log, catalogue: Catalogue, fit: Callable[[Any], Foretell]) -> SkipConsumed:
    """Returns a ranker fitted to what people in a log consumed; where nobody consumed anything, popularity.

    Args:
        log: What was shown and clicked.
        catalogue: The items.
        fit: Fits a model to people's histories, sparse [num_people, num_items] with at least one entry.
    """
    liked_from, size = average_rating(log), catalogue.num_items
    matrix = history_matrix(log, size, liked_from=liked_from)
    foretell = fit(matrix) if matrix.nnz else _nothing
    return SkipConsumed(HistoryRanker(foretell, popularity_tie(catalogue), liked_from), size)


def _nothing(rows: Any) -> Floats:
    return np.zeros(rows.shape, np.float32)
