"""Taste and quality from ratings: biased matrix factorisation, and folding in people who were not there.

The expected rating of item i by person u is
``mean + person_bias[u] + item_bias[i] + person_factors[u] @ item_factors[i]``. Plain least squares overfits where an
item has one rating; here every row keeps its uncertainty (variational Bayes with Gaussian priors, solved by alternating
exact updates), so little data gives little taste.

References:
    Lim and Teh (2007), Variational Bayesian approach to movie rating prediction, KDD Cup and Workshop; Koren, Bell and
    Volinsky (2009), Matrix factorization techniques for recommender systems, IEEE Computer 42(8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse

from instructrec.arrays import Floats, Ints

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Factors:
    """What was fitted, and the priors that `fold_in` goes on with.

    Attributes:
        mean: The expected rating of an average item by an average person.
        person_bias: How generous each person is, [num_persons]; 0 for people without ratings.
        item_bias: Each item's quality for the average person, [num_items].
        person_factors: Taste, [num_persons, rank]; its mean over people with ratings is 0.
        item_factors: What the taste is for, [num_items, rank].
        noise_variance: Variance of a rating around its expectation.
        person_bias_variance: Prior variance of a person's bias.
        factor_variance: Prior variance of each factor.
    """

    mean: float
    person_bias: Doubles
    item_bias: Doubles
    person_factors: Doubles
    item_factors: Doubles
    noise_variance: float
    person_bias_variance: float
    factor_variance: float

    @property
    def rank(self) -> int:
        """How many factors there are."""
        return int(self.item_factors.shape[1])

    def expected(self, person: Ints, item: Ints) -> Doubles:
        """Returns the expected rating of each (person, item) pair; arguments and result have shape [num_pairs]."""
        taste = (self.person_factors[person] * self.item_factors[item]).sum(axis=1)
        expected: Doubles = self.mean + self.person_bias[person] + self.item_bias[item] + taste
        return expected


@dataclass(frozen=True)
class _Side:
    """People or items: their vectors [size, 1 + rank], bias first, and covariances [size, 1 + rank, 1 + rank]."""

    vectors: Doubles
    covariances: Doubles


def fit_factors(
    person: Ints,
    item: Ints,
    rating: Floats,
    *,
    num_persons: int,
    num_items: int,
    rank: int = 16,
    taste_variance: float = 0.2,
    noise_variance: float = 0.6,
    person_bias_variance: float = 0.2,
    item_bias_variance: float = 0.2,
    sweeps: int = 20,
    seed: int = 0,
) -> Factors:
    """Fits biases and factors to ratings. The defaults suit ratings of 0.5 to 5 stars.

    The result depends on nothing but the arguments. Memory grows with ``num_items × rank²``.

    Args:
        person: Person numbers, [num_ratings].
        item: Item numbers, [num_ratings]; a pair occurs at most once.
        rating: Ratings, finite, [num_ratings].
        num_persons: How many people there are; those without ratings get zeros.
        num_items: How many items there are.
        rank: How many factors; 0 fits biases alone.
        taste_variance: Prior variance of a person's taste for an item (of the product, in stars²).
        noise_variance: Variance of a rating around its expectation.
        person_bias_variance: Prior variance of how generous people are.
        item_bias_variance: Prior variance of how good items are.
        sweeps: How often both sides are solved.
        seed: Where the item factors start.

    Raises:
        ValueError: If the arrays differ in length, are empty, or hold numbers out of range or NaN.
    """
    _check(person, item, rating, num_persons, num_items, rank)
    if min(taste_variance, noise_variance, person_bias_variance, item_bias_variance) <= 0 or sweeps < 1:
        raise ValueError("variances must be above 0 and sweeps at least 1")
    rating = np.asarray(rating, np.float64)
    factor_variance = float(np.sqrt(taste_variance / max(rank, 1)))
    person_precision = 1 / np.r_[person_bias_variance, np.full(rank, factor_variance)]
    item_precision = 1 / np.r_[item_bias_variance, np.full(rank, factor_variance)]
    ratings = sparse.csr_array((rating, (person, item)), shape=(num_persons, num_items))
    if ratings.nnz != len(rating):
        raise ValueError(f"{len(rating) - ratings.nnz} ratings repeat a person and item; keep one of each")
    by_item = ratings.T.tocsr()
    rated = np.diff(ratings.indptr) > 0
    mean = float(ratings.data.mean())  # Of the sorted ratings, so that their order cannot matter.
    start = np.zeros((num_items, 1 + rank))
    start[:, 1:] = 0.1 * np.random.default_rng(seed).standard_normal((num_items, rank))
    people = _Side(np.zeros((num_persons, 1 + rank)), np.zeros((num_persons, 1 + rank, 1 + rank)))
    items = _Side(start, np.zeros((num_items, 1 + rank, 1 + rank)))
    for _ in range(sweeps):
        people = _solve(ratings, mean, items, person_precision, noise_variance)
        items = _solve(by_item, mean, people, item_precision, noise_variance)
        mean, people, items = _centred(mean, people, items, rated)
    return Factors(
        mean=mean,
        person_bias=people.vectors[:, 0],
        item_bias=items.vectors[:, 0],
        person_factors=people.vectors[:, 1:],
        item_factors=items.vectors[:, 1:],
        noise_variance=noise_variance,
        person_bias_variance=person_bias_variance,
        factor_variance=factor_variance,
    )


def fold_in(factors: Factors, items: Ints, ratings: Floats) -> tuple[Doubles, Doubles]:
    """Finds the bias and taste of people from what they rated, the items being as fitted.

    A row's result is the same alone and in any batch.

    Args:
        factors: The fitted items and priors.
        items: Item numbers padded with -1, [batch, num_rated].
        ratings: Their ratings, anything where padded, [batch, num_rated].

    Returns:
        Biases [batch] and tastes [batch, rank]; zeros for people who rated nothing.
    """
    if items.shape != ratings.shape or items.ndim != 2:
        raise ValueError(
            f"items and ratings must share one shape [batch, num_rated], got {items.shape} and {ratings.shape}"
        )
    if items.size and items.max() >= len(factors.item_bias):
        raise ValueError(f"item {items.max()} does not exist; the factors know items 0 to {len(factors.item_bias) - 1}")
    known = items >= 0
    rows = np.where(known, items, 0)
    design = np.zeros((*items.shape, 1 + factors.rank))  # [batch, num_rated, 1 + rank]
    design[:, :, 0] = known
    design[:, :, 1:] = np.where(known[:, :, None], factors.item_factors[rows], 0)
    surprise = np.where(known, ratings - factors.mean - factors.item_bias[rows], 0)
    variances = np.r_[factors.person_bias_variance, np.full(factors.rank, factors.factor_variance)]
    # A stacked product multiplies each row's matrices by themselves: no sum runs across the batch.
    gram = design.transpose(0, 2, 1) @ design + np.diag(factors.noise_variance / variances)
    solved = np.linalg.solve(gram, design.transpose(0, 2, 1) @ surprise[:, :, None])[:, :, 0]
    return solved[:, 0], solved[:, 1:]


def _check(person: Ints, item: Ints, rating: Floats, num_persons: int, num_items: int, rank: int) -> None:
    if not len(person) == len(item) == len(rating):
        raise ValueError(
            f"person, item and rating need one entry per rating, got {len(person)}, {len(item)} and {len(rating)}"
        )
    if not len(rating):
        raise ValueError("there are no ratings to fit; give at least one")
    if rank < 0:
        raise ValueError(f"rank must be 0 or more, got {rank}")
    for name, numbers, size in (("person", person, num_persons), ("item", item, num_items)):
        if numbers.min() < 0 or numbers.max() >= size:
            raise ValueError(f"{name} numbers must be from 0 to {size - 1}, got {numbers.min()} to {numbers.max()}")
    if not np.isfinite(rating).all():
        raise ValueError(f"rating {int(np.flatnonzero(~np.isfinite(rating))[0])} is not a finite number; remove it")


def _solve(ratings: Any, mean: float, other: _Side, precision: Doubles, noise_variance: float) -> _Side:
    """Returns the posterior of one side, given the other's. ``ratings`` is sparse, one row per member of this side.

    Where nothing is rated that is the prior, and not worked out: of a large catalogue most items may be so.
    """
    vectors = np.zeros((ratings.shape[0], len(precision)))
    covariances = np.tile(np.diag(1 / precision), (ratings.shape[0], 1, 1))
    rated = np.flatnonzero(np.diff(ratings.indptr))
    vectors[rated], covariances[rated] = _posterior(ratings[rated], mean, other, precision, noise_variance)
    return _Side(vectors, covariances)


def _posterior(
    ratings: Any, mean: float, other: _Side, precision: Doubles, noise_variance: float
) -> tuple[Doubles, Doubles]:
    """Returns means and covariances of members who have ratings, as `_solve` does."""
    design = other.vectors.copy()  # [other_size, 1 + rank]
    design[:, 0] = 1.0
    size, width = ratings.shape[0], design.shape[1]
    present = ratings.copy()
    present.data = np.ones_like(ratings.data)
    information = np.empty((size, width, width))
    for column in range(width):  # One column at a time keeps memory at other_size × width.
        second_moment = design * design[:, column : column + 1]
        if column:
            second_moment[:, 1:] += other.covariances[:, column, 1:]
        information[:, column] = present @ second_moment
    information /= noise_variance
    information[:, np.arange(width), np.arange(width)] += precision
    # What is left to explain: the rating less the mean and the other's bias, which covaries with its factors.
    explained = (mean + other.vectors[:, :1]) * design
    explained[:, 1:] += other.covariances[:, 0, 1:]
    evidence = (ratings @ design - present @ explained) / noise_variance
    covariances = np.linalg.inv(information)
    return (covariances @ evidence[:, :, None])[:, :, 0], covariances


def _centred(mean: float, people: _Side, items: _Side, rated: npt.NDArray[np.bool_]) -> tuple[float, _Side, _Side]:
    """Moves the average person's bias and taste into the mean and the items' biases: the same ratings are expected.

    Only then is an item's bias its quality for the average person, and zero the best guess for a person unknown.
    """
    average = people.vectors[rated].mean(axis=0)
    centred = people.vectors.copy()
    centred[rated] -= average
    shift = np.eye(len(average))
    shift[0, 1:] = average[1:]
    moved = items.vectors @ shift.T
    return (
        mean + float(average[0]),
        _Side(centred, people.covariances),
        _Side(moved, shift @ items.covariances @ shift.T),
    )
