"""Item-to-item models in closed form: nearest neighbours by cosine, and EASE. They read histories and no word.

References:
    Sarwar et al. (2001), Item-based collaborative filtering recommendation algorithms, WWW; Bell and Koren (2007),
    Improved neighborhood-based collaborative filtering, KDD Cup and Workshop (shrinkage); Steck (2019), Embarrassingly
    shallow autoencoders for sparse data, WWW, arXiv 1905.03375.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg
from scipy import sparse

from instructrec.agents.baselines import SkipConsumed
from instructrec.agents.histories import Foretell, history_ranker
from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue
from instructrec.logs import Log

Progress = Callable[[int, int], None]
_ROWS = 512


@dataclass(frozen=True, kw_only=True)
class ItemKNNConfig:
    """How `ItemKNN` compares items (Sarwar et al. 2001; Bell and Koren 2007).

    Attributes:
        neighbours: Most similar items that each item keeps, 1 or more.
        shrinkage: Added to the denominator of the cosine, 0 or more: similarities that few people vouch for count less.

    Raises:
        ValueError: If a setting is out of range.
    """

    neighbours: int = 100
    shrinkage: float = 10.0

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.shrinkage < 0:
            raise ValueError(
                f"neighbours must be 1 or more and shrinkage 0 or more, got {self.neighbours} and {self.shrinkage}"
            )


@dataclass(frozen=True)
class ItemKNN:
    """Scores an item by the summed similarity of the items consumed to it.

    Attributes:
        catalogue: The items.
        config: How to compare them.
    """

    catalogue: Catalogue
    config: ItemKNNConfig = field(default_factory=ItemKNNConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker; ``seed`` decides nothing.

        Args:
            log: What was shown and clicked.
            seed: Not used.
            progress: Not called: it takes seconds.
        """
        return history_ranker(log, self.catalogue, self._similar)

    def _similar(self, consumed: Any) -> Foretell:
        people = np.asarray(consumed.sum(axis=0)).ravel()
        by_item, parts = consumed.T.tocsr(), []
        for first in range(0, consumed.shape[1], _ROWS):
            together = (by_item[first : first + _ROWS] @ consumed).toarray()
            own = people[first : first + _ROWS, None]
            similar = together / np.maximum(np.sqrt(own * people) + self.config.shrinkage, 1e-9)
            places = np.arange(len(similar))
            similar[places, first + places] = 0
            parts.append(sparse.csr_matrix(_largest(similar, self.config.neighbours)))
        # Row i holds the neighbours of item i; an item is scored by the rows of its own neighbours.
        scored_by = sparse.vstack(parts).T.tocsr().astype(np.float32)
        return lambda rows: np.asarray((rows @ scored_by).toarray())


def _largest(values: Floats, number: int) -> Floats:
    """Returns the values with all but the ``number`` largest of each row set to 0."""
    if number >= values.shape[1]:
        return values
    places = np.argpartition(-values, number - 1, axis=1)[:, :number]
    kept = np.zeros_like(values)
    np.put_along_axis(kept, places, np.take_along_axis(values, places, axis=1), axis=1)
    return kept


@dataclass(frozen=True, kw_only=True)
class EASEConfig:
    """How `EASE` is fitted (Steck 2019).

    Attributes:
        regularisation: Added to the diagonal of the items' co-occurrences, above 0; the paper takes 200 to 500.
        items: How many items are modelled at most, those that most people consumed. Memory grows with their square (20
            bytes times it while fitting, 4 afterwards) and time with their cube.

    Raises:
        ValueError: If a setting is out of range.
    """

    regularisation: float = 200.0
    items: int = 5_000

    def __post_init__(self) -> None:
        if not self.regularisation > 0 or self.items < 1:
            raise ValueError(
                f"regularisation must be above 0 and items 1 or more, got {self.regularisation} and {self.items}"
            )


@dataclass(frozen=True)
class EASE:
    """Scores an item by a weighted sum of what was consumed, the weights being those of least squares.

    Only items that somebody consumed are modelled; the others score 0.

    Attributes:
        catalogue: The items.
        config: How to fit.
    """

    catalogue: Catalogue
    config: EASEConfig = field(default_factory=EASEConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker; ``seed`` decides nothing.

        Args:
            log: What was shown and clicked.
            seed: Not used.
            progress: Not called: it takes seconds.
        """
        return history_ranker(log, self.catalogue, self._weights)

    def _weights(self, consumed: Any) -> Foretell:
        people = np.asarray(consumed.sum(axis=0)).ravel()
        most = np.argsort(-people, kind="stable")[: self.config.items]
        known = np.sort(most[people[most] > 0])
        own = consumed[:, known].astype(np.float64)
        together = (own.T @ own).toarray()
        together[np.diag_indices_from(together)] += self.config.regularisation
        factor = scipy.linalg.cho_factor(together, overwrite_a=True)
        inverse = scipy.linalg.cho_solve(factor, np.eye(len(known)), overwrite_b=True)
        weights = (-inverse / np.diag(inverse)).astype(np.float32)
        np.fill_diagonal(weights, 0)
        size = consumed.shape[1]

        def foretell(rows: Any) -> Floats:
            scores = np.zeros((rows.shape[0], size), np.float32)
            scores[:, known] = rows[:, known] @ weights
            return scores

        return foretell
