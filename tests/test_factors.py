"""Factors: they find the taste that made the ratings, shrink where there is little, and fold in strangers exactly."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from instructrec.factors import _Side, _solve, fit_factors, fold_in

NUM_PERSONS, NUM_ITEMS, RANK = 150, 80, 2


@pytest.fixture(scope="module")
def world():
    """Ratings drawn from known factors: 40 of 80 items each, noise of half a star."""
    rng = np.random.default_rng(0)
    taste, appeal = rng.normal(0, 0.8, (NUM_PERSONS, RANK)), rng.normal(0, 0.8, (NUM_ITEMS, RANK))
    truth = 3.5 + rng.normal(0, 0.4, (NUM_PERSONS, 1)) + rng.normal(0, 0.5, NUM_ITEMS) + taste @ appeal.T
    person = np.repeat(np.arange(NUM_PERSONS), 40)
    item = np.concatenate([rng.permutation(NUM_ITEMS)[:40] for _ in range(NUM_PERSONS)])
    rating = truth[person, item] + rng.normal(0, 0.5, len(person))
    return truth, person, item, rating


def fitted(person, item, rating, **settings):
    defaults = {"num_persons": NUM_PERSONS, "num_items": NUM_ITEMS, "rank": RANK, "noise_variance": 0.25}
    return fit_factors(person, item, rating, **(defaults | settings))


def unseen_error(factors, world):
    truth, person, item, _ = world
    unseen = np.ones_like(truth, np.bool_)
    unseen[person, item] = False
    rows, columns = np.nonzero(unseen)
    return np.sqrt(((factors.expected(rows, columns) - truth[unseen]) ** 2).mean())


def test_taste_that_made_the_ratings_is_found_for_unseen_pairs(world):
    biases, taste = fitted(*world[1:], rank=0), fitted(*world[1:])
    assert unseen_error(taste, world) < 0.25
    assert unseen_error(biases, world) > 0.6


def test_spare_factors_do_little_harm(world):
    assert unseen_error(fitted(*world[1:], rank=8), world) < 1.3 * unseen_error(fitted(*world[1:]), world)


def test_pure_noise_gives_little_taste(world):
    _, person, item, _ = world
    rating = 3.5 + np.random.default_rng(1).normal(0, 0.5, len(person))
    factors = fitted(person, item, rating, rank=8)
    # Least squares with 8 × (150 + 80) numbers would follow 6,000 ratings' noise of 0.5 by about 0.28.
    assert (factors.person_factors @ factors.item_factors.T).std() < 0.15


def test_one_rating_moves_an_item_less_than_many(world):
    _, person, item, rating = world
    rating = rating + (item == 0)
    once = np.flatnonzero(item == 0)[:1]
    rare = np.union1d(np.flatnonzero(item != 0), once)
    assert 0 < fitted(person[rare], item[rare], rating[rare]).item_bias[0] < fitted(person, item, rating).item_bias[0]


def test_the_average_person_has_no_taste_and_no_bias(world):
    factors = fitted(*world[1:])
    np.testing.assert_allclose(factors.person_factors.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(factors.person_bias.mean(), 0, atol=1e-9)


def test_people_without_ratings_are_average_and_change_nobody(world):
    factors, more = fitted(*world[1:]), fitted(*world[1:], num_persons=NUM_PERSONS + 5)
    np.testing.assert_array_equal(more.person_factors[NUM_PERSONS:], 0)
    np.testing.assert_array_equal(more.person_bias[NUM_PERSONS:], 0)
    np.testing.assert_allclose(more.item_factors, factors.item_factors, atol=1e-9)


def test_fitting_is_deterministic_and_blind_to_the_order_of_ratings(world):
    _, person, item, rating = world
    first, again = fitted(person, item, rating), fitted(person, item, rating)
    np.testing.assert_array_equal(first.item_factors, again.item_factors)
    order = np.random.default_rng(2).permutation(len(person))
    shuffled = fitted(person[order], item[order], rating[order])
    np.testing.assert_array_equal(first.person_factors, shuffled.person_factors)


def test_each_update_is_the_exact_posterior_given_uncertain_items():
    """One person, two items whose bias and factor are uncertain and covary, against moments of a million draws."""
    rng = np.random.default_rng(0)
    vectors, noise, prior = np.array([[0.3, 0.5], [-0.2, 0.8]]), 0.5, np.array([2.0, 1.0])
    covariances = np.array([[[0.2, 0.1], [0.1, 0.3]], [[0.1, -0.08], [-0.08, 0.2]]])
    ratings = sparse.csr_array(np.array([[4.0, 2.0]]))
    information, evidence = np.diag(prior), np.zeros(2)
    for item, rating in enumerate((4.0, 2.0)):
        bias, factor = rng.multivariate_normal(vectors[item], covariances[item], 1_000_000).T
        design = np.stack([np.ones_like(factor), factor])
        information = information + design @ design.T / len(bias) / noise
        evidence = evidence + design @ (rating - 3.0 - bias) / len(bias) / noise
    side = _solve(ratings, 3.0, _Side(vectors, covariances), prior, noise)
    np.testing.assert_allclose(side.vectors[0], np.linalg.solve(information, evidence), atol=5e-3)
    np.testing.assert_allclose(side.covariances[0], np.linalg.inv(information), atol=5e-3)


def padded(world, people, length=48):
    _, person, item, rating = world
    items, ratings = np.full((len(people), length), -1, np.int32), np.zeros((len(people), length), np.float32)
    for row, who in enumerate(people):
        rows = np.flatnonzero(person == who)[: 40 - row % 40]
        items[row, : len(rows)], ratings[row, : len(rows)] = item[rows], rating[rows]
    return items, ratings


def test_folding_in_gives_the_same_row_alone_and_in_any_batch(world):
    factors = fitted(*world[1:], rank=8)
    items, ratings = padded(world, np.arange(NUM_PERSONS))
    bias, vectors = fold_in(factors, items, ratings)
    for row in range(NUM_PERSONS):
        alone = fold_in(factors, items[row : row + 1], ratings[row : row + 1])
        np.testing.assert_array_equal(alone[0], bias[row : row + 1])
        np.testing.assert_array_equal(alone[1], vectors[row : row + 1])
    shuffled = np.random.default_rng(0).permutation(NUM_PERSONS)[:77]
    np.testing.assert_array_equal(fold_in(factors, items[shuffled], ratings[shuffled])[1], vectors[shuffled])


def test_padding_and_its_contents_change_nothing(world):
    factors = fitted(*world[1:])
    items, ratings = padded(world, np.arange(10))
    expected = fold_in(factors, items, ratings)
    wider = np.pad(items, ((0, 0), (3, 9)), constant_values=-1)
    garbage = np.pad(ratings, ((0, 0), (3, 9)), constant_values=np.nan)
    for mine, theirs in zip(fold_in(factors, wider, garbage), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


def test_folding_in_solves_the_ridge_regression_it_names(world):
    factors = fitted(*world[1:])
    items, ratings = padded(world, np.arange(1), length=40)
    design = np.c_[np.ones(40), factors.item_factors[items[0]]]
    penalty = factors.noise_variance / np.r_[factors.person_bias_variance, [factors.factor_variance] * RANK]
    surprise = ratings[0] - factors.mean - factors.item_bias[items[0]]
    expected = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ surprise)
    bias, vectors = fold_in(factors, items, ratings)
    np.testing.assert_allclose(np.r_[bias[0], vectors[0]], expected, atol=1e-10)


def test_strangers_folded_in_are_nearly_as_well_known_as_those_fitted(world):
    truth, person, item, rating = world
    known = person < 100
    factors = fitted(person[known], item[known], rating[known])
    items, ratings = padded(world, np.arange(100, 150))
    bias, vectors = fold_in(factors, items, ratings)
    everyone = replace(
        factors,
        person_bias=np.r_[factors.person_bias[:100], bias],
        person_factors=np.r_[factors.person_factors[:100], vectors],
    )
    strangers = (truth[100:], person[~known] - 100, item[~known], rating[~known])
    of_strangers = replace(
        everyone, person_bias=everyone.person_bias[100:], person_factors=everyone.person_factors[100:]
    )
    assert unseen_error(of_strangers, strangers) < 0.4


def test_people_who_rated_nothing_are_average(world):
    bias, vectors = fold_in(fitted(*world[1:]), np.full((3, 6), -1), np.zeros((3, 6)))
    np.testing.assert_array_equal(bias, 0)
    np.testing.assert_array_equal(vectors, 0)
    assert fold_in(fitted(*world[1:]), np.zeros((0, 6), int), np.zeros((0, 6)))[1].shape == (0, RANK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"person": [0, 1]}, "one entry per rating, got 2, 1 and 1"),
        ({"person": [], "item": [], "rating": []}, "no ratings to fit"),
        ({"person": [3]}, "person numbers must be from 0 to 2, got 3 to 3"),
        ({"item": [-1]}, "item numbers must be from 0 to 3, got -1"),
        ({"rating": [np.nan]}, "rating 0 is not a finite number"),
        ({"person": [0, 0], "item": [1, 1], "rating": [3.0, 4.0]}, "1 ratings repeat a person and item"),
        ({"rank": -1}, "rank must be 0 or more"),
        ({"noise_variance": 0.0}, "variances must be above 0"),
    ],
)
def test_ratings_that_cannot_be_fitted_are_explained(arguments, message):
    given = {"person": [0], "item": [1], "rating": [3.0], "num_persons": 3, "num_items": 4} | arguments
    arrays = {
        name: np.array(given.pop(name), dtype) for name, dtype in (("person", int), ("item", int), ("rating", float))
    }
    with pytest.raises(ValueError, match=message):
        fit_factors(**arrays, **given)


def test_folding_in_unknown_items_or_unequal_shapes_is_explained(world):
    factors = fitted(*world[1:])
    with pytest.raises(ValueError, match="item 80 does not exist"):
        fold_in(factors, np.array([[80]]), np.array([[3.0]]))
    with pytest.raises(ValueError, match=r"share one shape.*\(1, 2\) and \(1, 1\)"):
        fold_in(factors, np.array([[1, 2]]), np.array([[3.0]]))
