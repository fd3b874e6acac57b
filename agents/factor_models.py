"""Factor models of what people consumed, fitted by the library *implicit*: ALS and BPR. They read no word.

The library fits; ranking is done here, from the item factors alone, so that strangers need no fitting anew.

References:
    Hu, Koren and Volinsky (2008), Collaborative filtering for implicit feedback datasets, ICDM (ALS and folding in);
    Rendle et al. (2009), BPR: Bayesian personalized ranking from implicit feedback, UAI, arXiv 1205.2618.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.agents.baselines import SkipConsumed
from instructrec.agents.extras import extra_module
from instructrec.agents.histories import Foretell, history_ranker
from instructrec.arrays import Floats
from instructrec.catalogue import Catalogue
from instructrec.logs import Log

Progress = Callable[[int, int], None]


def _fitted(model: Any, consumed: Any) -> Any:
    # Its own threads are the library's; those of the linear algebra below them would only be in their way.
    with extra_module("threadpoolctl", "baselines").threadpool_limits(1, "blas"):
        model.fit(consumed, show_progress=False)
    return model


@dataclass(frozen=True, kw_only=True)
class ALSConfig:
    """How `ALS` is fitted (Hu, Koren and Volinsky 2008).

    Attributes:
        factors: How many factors, 1 or more; the paper takes 10 to 200.
        regularisation: Of both sides' factors, 0 or more.
        confidence: How much surer a consumed item is than one not consumed, 1 or more; the paper takes 40.
        sweeps: How often both sides are solved.

    Raises:
        ValueError: If a setting is out of range.
    """

    factors: int = 32
    regularisation: float = 1.0
    confidence: float = 10.0
    sweeps: int = 15

    def __post_init__(self) -> None:
        _check(self.factors, self.sweeps, self.regularisation)
        if not self.confidence >= 1:
            raise ValueError(f"confidence must be 1 or more, got {self.confidence}")


def _check(factors: int, sweeps: int, regularisation: float) -> None:
    if factors < 1 or sweeps < 1 or regularisation < 0:
        raise ValueError(
            "factors and sweeps must be 1 or more and regularisation 0 or more, "
            f"got {factors}, {sweeps} and {regularisation}"
        )


@dataclass(frozen=True)
class ALS:
    """Weighted least squares of consumed or not; people are folded in by the same least squares.

    Attributes:
        catalogue: The items.
        config: How to fit.
    """

    catalogue: Catalogue
    config: ALSConfig = field(default_factory=ALSConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker.

        Args:
            log: What was shown and clicked.
            seed: Where the factors start.
            progress: Not called: it takes seconds.

        Raises:
            ImportError: If the library *implicit* is not installed.
        """
        return history_ranker(log, self.catalogue, lambda consumed: self._foretell(consumed, seed))

    def _foretell(self, consumed: Any, seed: int) -> Foretell:
        settings = self.config
        model = extra_module("implicit.als", "baselines").AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularisation,
            alpha=settings.confidence,
            iterations=settings.sweeps,
            use_gpu=False,
            num_threads=1,
            random_state=seed,
        )
        items = np.asarray(_fitted(model, consumed).item_factors, np.float64)
        return lambda rows: folded_in(rows, items, settings.regularisation, settings.confidence) @ items.T


def folded_in(rows: Any, items: Floats, regularisation: float, confidence: float) -> npt.NDArray[np.float64]:
    """Returns the factors of people given what they consumed, [batch, rank]; zeros for nothing.

    Args:
        rows: What they consumed, CSR [batch, num_items].
        items: The items' factors, [num_items, rank].
        regularisation: As in `ALSConfig`.
        confidence: As in `ALSConfig`.
    """
    rank = items.shape[1]
    shared = items.T @ items + regularisation * np.eye(rank)
    systems, wanted = np.empty((rows.shape[0], rank, rank)), np.zeros((rows.shape[0], rank, 1))
    for row in range(rows.shape[0]):
        own = items[rows.indices[rows.indptr[row] : rows.indptr[row + 1]]]
        systems[row] = shared + (confidence - 1) * own.T @ own
        wanted[row, :, 0] = confidence * own.sum(axis=0)
    return np.asarray(np.linalg.solve(systems, wanted)[:, :, 0])


@dataclass(frozen=True, kw_only=True)
class BPRConfig:
    """How `BPR` is fitted (Rendle et al. 2009).

    Attributes:
        factors: How many factors, 1 or more.
        regularisation: Of both sides' factors, 0 or more.
        learning_rate: Of its stochastic gradient, above 0.
        sweeps: How often it goes through all that was consumed.

    Raises:
        ValueError: If a setting is out of range.
    """

    factors: int = 32
    regularisation: float = 0.01
    learning_rate: float = 0.03
    sweeps: int = 100

    def __post_init__(self) -> None:
        _check(self.factors, self.sweeps, self.regularisation)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")


@dataclass(frozen=True)
class BPR:
    """Pairwise ranking: what was consumed above what was not.

    The method has no way to fold in strangers. Here their factors are foretold from the mean factors of what they
    consumed, by a ridge regression fitted to the people of the log.

    Attributes:
        catalogue: The items.
        config: How to fit.
    """

    catalogue: Catalogue
    config: BPRConfig = field(default_factory=BPRConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker.

        Args:
            log: What was shown and clicked.
            seed: Where the factors start, and what is compared with what.
            progress: Not called: it takes seconds.

        Raises:
            ImportError: If the library *implicit* is not installed.
        """
        return history_ranker(log, self.catalogue, lambda consumed: self._foretell(consumed, seed))

    def _foretell(self, consumed: Any, seed: int) -> Foretell:
        settings = self.config
        model = extra_module("implicit.bpr", "baselines").BayesianPersonalizedRanking(
            factors=settings.factors,
            regularization=settings.regularisation,
            learning_rate=settings.learning_rate,
            iterations=settings.sweeps,
            use_gpu=False,
            num_threads=1,
            random_state=seed,
        )
        _fitted(model, consumed)
        # The last of the items' factors is their bias; people have a 1 there.
        items, bias = (np.asarray(part, np.float64) for part in np.split(model.item_factors, [-1], axis=1))
        people = np.asarray(model.user_factors, np.float64)[:, :-1]
        told = _means(consumed, items)
        ridge = max(float((told[:, :-1] ** 2).mean()), 1e-12)
        gram = told.T @ told + ridge * np.eye(told.shape[1])
        bridge = np.linalg.solve(gram, told.T @ people)
        return lambda rows: np.asarray(_means(rows, items) @ bridge @ items.T + bias[:, 0])


def _means(rows: Any, items: Floats) -> npt.NDArray[np.float64]:
    """Returns the mean factors of what each person consumed, and a 1, [batch, rank + 1]."""
    means = (rows @ items) / np.maximum(np.asarray(rows.sum(axis=1)), 1)
    return np.concatenate([means, np.ones((len(means), 1))], axis=1)
