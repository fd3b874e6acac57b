"""How well factors say what people rate: on ratings that were held out when they were fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import rankdata

from instructrec.arrays import Bools, Floats
from instructrec.envs.movielens import Ratings
from instructrec.factors import Factors, fit_factors

HELD_OUT = 0.2


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is chosen by held-out likelihood; the arguments of `fit_factors`."""

    rank: int
    taste_variance: float = 0.2
    noise_variance: float = 0.6
    person_bias_variance: float = 0.2
    item_bias_variance: float = 0.2


@dataclass(frozen=True)
class HeldOut:
    """Held-out ratings and what a model says of them, each array [num_held_out]."""

    rating: Floats
    mean: float
    person_bias: Floats
    quality: Floats
    taste: Floats

    @property
    def expected(self) -> Floats:
        """The ratings that the model expects."""
        return np.asarray(self.mean + self.person_bias + self.quality + self.taste)

    @property
    def rmse(self) -> float:
        """Root mean squared error."""
        return float(np.sqrt(((self.rating - self.expected) ** 2).mean()))

    def auc(self, above: float) -> float:
        """Returns how often a rating above ``above`` is expected to be higher than one that is not; ties count half.

        NaN where there are none of either.
        """
        high = self.rating > above
        wins = rankdata(self.expected)[high].sum() - high.sum() * (high.sum() + 1) / 2
        pairs = int(high.sum()) * int((~high).sum())
        return float(wins / pairs) if pairs else math.nan

    def slopes(self) -> tuple[float, float, float]:
        """Regresses rating less person bias on quality and taste.

        Returns:
            The intercept and both slopes; 0 for the slope of no taste.
        """
        design = np.stack([np.ones_like(self.rating), self.quality, self.taste], axis=1)
        solution = np.linalg.lstsq(design, self.rating - self.person_bias, rcond=None)[0]
        return float(solution[0]), float(solution[1]), float(solution[2])

    def rescaled(self, shift: float, quality: float, taste: float) -> HeldOut:
        """Returns the same with the mean moved and quality and taste multiplied."""
        return HeldOut(self.rating, self.mean + shift, self.person_bias, quality * self.quality, taste * self.taste)


def split(ratings: Ratings, seed: int) -> Bools:
    """Returns which ratings are held out, [num_ratings]."""
    return np.random.default_rng([20180926, seed]).random(len(ratings.item)) < HELD_OUT


def fit(ratings: Ratings, num_items: int, setting: Setting, rows: Bools) -> Factors:
    """Fits the factors to some of the ratings."""
    return fit_factors(
        ratings.person[rows],
        ratings.item[rows],
        ratings.rating[rows],
        num_persons=ratings.num_persons,
        num_items=num_items,
        **{field.name: getattr(setting, field.name) for field in fields(setting)},
    )


def held_out(ratings: Ratings, num_items: int, setting: Setting, seed: int) -> HeldOut:
    """Fits without the held-out ratings of split ``seed`` and returns what the fit says of them."""
    hidden = split(ratings, seed)
    factors = fit(ratings, num_items, setting, ~hidden)
    person, item = ratings.person[hidden], ratings.item[hidden]
    return HeldOut(
        ratings.rating[hidden].astype(np.float64),
        factors.mean,
        factors.person_bias[person],
        factors.item_bias[item],
        (factors.person_factors[person] * factors.item_factors[item]).sum(axis=1),
    )


def log_likelihood(results: Sequence[HeldOut]) -> float:
    """Returns the mean held-out log-likelihood in nats per rating, normal errors of their own best variance."""
    variance = float(np.mean([result.rmse**2 for result in results]))
    return -0.5 * (math.log(2 * math.pi * variance) + 1)
