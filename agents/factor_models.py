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


@dataclass(frozen=True, kw_only=True)
class FactorConfig:
    """How a `FactorModel` is fitted, whichever it is.

    Attributes:
        factors: How many factors, 1 or more; the papers take 10 to 200.
        regularisation: Of both sides' factors, 0 or more.
        sweeps: How often it goes through all that was consumed, 1 or more.

    Raises:
        ValueError: If a setting is out of range.
    """

    factors: int = 32
    regularisation: float = 1.0
    sweeps: int = 15

    def __post_init__(self) -> None:
        if self.factors < 1 or self.sweeps < 1 or self.regularisation < 0:
            raise ValueError(
                "factors and sweeps must be 1 or more and regularisation 0 or more, "
                f"got {self.factors}, {self.sweeps} and {self.regularisation}"
            )


@dataclass(frozen=True, kw_only=True)
class ALSConfig(FactorConfig):
    """How ALS is fitted (Hu, Koren and Volinsky 2008): weighted least squares of consumed or not.

    Attributes:
        confidence: How much surer a consumed item is than one not consumed, 1 or more; the paper takes 40.

    Raises:
        ValueError: If a setting is out of range.
    """

    confidence: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.confidence >= 1:
            raise ValueError(f"confidence must be 1 or more, got {self.confidence}")


@dataclass(frozen=True, kw_only=True)
class BPRConfig(FactorConfig):
    """How BPR is fitted (Rendle et al. 2009): what was consumed above what was not, pair by pair.

    Attributes:
        regularisation: As in `FactorConfig`.
        sweeps: As in `FactorConfig`.
        learning_rate: Of its stochastic gradient, above 0.

    Raises:
        ValueError: If a setting is out of range.
    """

    regularisation: float = 0.01
    sweeps: int = 100
    learning_rate: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")


@dataclass(frozen=True)
class FactorModel:
    """Ranks by the product of an item's factors with those of a person, foretold from what the person consumed.

    ALS folds people in by its own least squares. BPR has no way to fold in strangers: their factors are foretold from
    the mean factors of what they consumed, by a ridge regression fitted to the people of the log.

    Attributes:
        catalogue: The items.
        config: Which of the two, and how to fit it.
    """

    catalogue: Catalogue
    config: ALSConfig | BPRConfig = field(default_factory=ALSConfig)

    def fit(self, log: Log, *, seed: int = 0, progress: Progress | None = None) -> SkipConsumed:
        """Returns the fitted ranker.

        Args:
            log: What was shown and clicked.
            seed: Where the factors start, and what BPR compares with what.
            progress: Not called: it takes seconds.

        Raises:
            ImportError: If the library *implicit* is not installed.
        """
        return history_ranker(log, self.catalogue, lambda consumed: self._foretell(consumed, seed))

    def _foretell(self, consumed: Any, seed: int) -> Foretell:
        settings = self.config
        if isinstance(settings, ALSConfig):
            model = self._fitted("als", "AlternatingLeastSquares", consumed, seed, alpha=settings.confidence)
            items = np.asarray(model.item_factors, np.float64)
            return lambda rows: folded_in(rows, items, settings.regularisation, settings.confidence) @ items.T
        rate = settings.learning_rate
        model = self._fitted("bpr", "BayesianPersonalizedRanking", consumed, seed, learning_rate=rate)
        # The last of the items' factors is their bias; people have a 1 there.
        items, bias = (np.asarray(part, np.float64) for part in np.split(model.item_factors, [-1], axis=1))
        people = np.asarray(model.user_factors, np.float64)[:, :-1]
        told = _means(consumed, items)
        ridge = max(float((told[:, :-1] ** 2).mean()), 1e-12)
        gram = told.T @ told + ridge * np.eye(told.shape[1])
        bridge = np.linalg.solve(gram, told.T @ people)
        return lambda rows: np.asarray(_means(rows, items) @ bridge @ items.T + bias[:, 0])

    def _fitted(self, module: str, kind: str, consumed: Any, seed: int, **own: float) -> Any:
        """Returns a model of the library's, fitted; ``own`` is what it alone can be given."""
        model = getattr(extra_module(f"implicit.{module}", "baselines"), kind)(
            factors=self.config.factors,
            regularization=self.config.regularisation,
            iterations=self.config.sweeps,
            use_gpu=False,
            num_threads=1,
            random_state=seed,
            **own,
        )
        # Its own threads are the library's; those of the linear algebra below them would only be in their way.
        with extra_module("threadpoolctl", "baselines").threadpool_limits(1, "blas"):
            model.fit(consumed, show_progress=False)
        return model


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


def _means(rows: Any, items: Floats) -> npt.NDArray[np.float64]:
    """Returns the mean factors of what each person consumed, and a 1, [batch, rank + 1]."""
    means = (rows @ items) / np.maximum(np.asarray(rows.sum(axis=1)), 1)
    return np.concatenate([means, np.ones((len(means), 1))], axis=1)
