"""How likely a policy shows an item at a position: the race against enumeration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from instructrec.policies import best_first, log_prob_of_places
from instructrec.position_marginals import (
    MAX_SLATES,
    log_marginals,
    ordered_slates,
    position_marginals,
    slate_gram,
)


def enumerated(scores, slate_size):
    """P(item at position) by adding up every ordered slate."""
    found = np.zeros((len(scores), slate_size, scores.shape[1]))
    for row, score in enumerate(scores):
        slates = ordered_slates(len(score), slate_size)
        slates = slates[np.isfinite(score[slates]).all(axis=1)]
        chance = np.exp(log_prob_of_places(np.tile(score, (len(slates), 1)), slates).sum(axis=1))
        for j in range(slate_size):
            np.add.at(found[row, j], slates[:, j], chance)
    return found


@given(
    arrays.arrays(float, st.tuples(st.integers(1, 3), st.integers(3, 7)), elements=st.floats(-30, 30)),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_the_race_equals_enumeration_for_whatever_scores(scores, slate_size):
    assert np.allclose(position_marginals(scores, slate_size), enumerated(scores, slate_size), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("candidates", "slate_size"), [(7, 7), (9, 5), (34, 3), (190, 2), (20, 1)])
def test_so_it_does_where_all_are_heavy_and_where_most_are_light(candidates, slate_size):
    scores = 2 * np.random.default_rng(0).normal(size=(2, candidates))
    exact = enumerated(scores, slate_size)
    assert np.allclose(position_marginals(scores, slate_size), exact, rtol=0, atol=1e-13)
    assert np.allclose(position_marginals(scores, slate_size, nodes=128), exact, rtol=0, atol=1e-13)
    assert np.allclose(position_marginals(scores, slate_size, nodes=32), exact, rtol=0, atol=1e-9)


def recursed(score, slate_size):
    """P(item at position) through the chance that a set of items is what stands above."""
    weights, found = np.exp(score), np.zeros((slate_size, len(score)))
    above = {frozenset(): 1.0}
    for j in range(slate_size):
        further = {}
        for items, chance in above.items():
            rest = weights.copy()
            rest[list(items)] = 0
            step = chance * rest / rest.sum()
            found[j] += step
            for item in np.flatnonzero(rest):
                further[items | {item}] = further.get(items | {item}, 0.0) + step[item]
        above = further
    return found


def test_slates_too_long_to_enumerate_equal_the_recursion_over_sets():
    scores = np.random.default_rng(4).normal(size=(2, 12)) * [[1.0], [4.0]]
    exact = np.stack([recursed(score, 10) for score in scores])
    assert np.allclose(position_marginals(scores, 10), exact, rtol=0, atol=1e-13)


def test_long_slates_are_as_exact():
    found = position_marginals(2 * np.random.default_rng(0).normal(size=(2, 120)), 50)
    assert np.allclose(found.sum(axis=2), 1, rtol=0, atol=1e-12)
    assert (found.sum(axis=1) <= 1 + 1e-12).all()


def test_those_of_what_was_shown_are_the_same_numbers():
    rng = np.random.default_rng(1)
    scores = 2 * rng.normal(size=(400, 60))  # Several blocks of rows.
    places = best_first(scores + rng.gumbel(size=scores.shape), 8)
    every = position_marginals(scores, 8)
    shown = np.take_along_axis(every, places[:, :, None], axis=2)[:, :, 0]
    assert np.allclose(log_marginals(scores, places), np.log(shown), rtol=0, atol=1e-9)
    assert np.allclose(every.sum(axis=2), 1)


def test_a_rare_item_has_its_share_of_a_rare_place():
    # One candidate e^-25 as likely as the nine others: its chance at the first position is exact in relative terms.
    scores = np.append(np.zeros(9), -25.0)[None]
    found = log_marginals(scores, np.array([[9, 0]]))
    assert found[0, 0] == pytest.approx(-np.log(9 + np.exp(-25)) - 25, abs=1e-9)


def test_equal_scores_show_every_item_everywhere_alike():
    assert np.allclose(position_marginals(np.full((2, 25), 7.0), 6), 1 / 25, rtol=0, atol=1e-14)


def test_a_large_catalogue_takes_its_place_in_bounded_memory():
    scores = 1.5 * np.random.default_rng(2).normal(size=(3, 10_000))
    found = position_marginals(scores, 10)
    assert np.allclose(found.sum(axis=2), 1, rtol=0, atol=1e-12)
    assert (found.sum(axis=1) <= 1 + 1e-12).all()
    first = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.allclose(found[:, 0], first, rtol=0, atol=1e-14)


def test_what_is_never_shown_stands_nowhere():
    scores = np.array([[0.0, -np.inf, 1.0, 0.5]])
    found = position_marginals(scores, 2)
    assert np.allclose(found, enumerated(scores, 2))
    assert (found[:, :, 1] == 0).all()
    assert np.isneginf(log_marginals(scores, np.array([[1, 0]]))[0, 0])


def test_the_gram_holds_marginals_and_pairs_and_is_that_of_drawn_slates():
    scores = np.array([[0.5, -0.4, 0.9, 0.0, -1.0], [0.0, -np.inf, 0.0, 1.0, 2.0]])
    gram = slate_gram(scores, 3)
    assert np.allclose(np.diagonal(gram, axis1=1, axis2=2).reshape(2, 3, 5), position_marginals(scores, 3))
    pairs = gram[0].reshape(3, 5, 3, 5)
    assert (np.diagonal(pairs[0, :, 1]) == 0).all()  # No item stands at two positions.
    # P(2 first, 0 second) by the definition.
    weights = np.exp(scores[0])
    assert pairs[0, 2, 1, 0] == pytest.approx(weights[2] / weights.sum() * weights[0] / (weights.sum() - weights[2]))
    assert np.allclose(pairs.sum(axis=(1, 3)), 1)
    rng = np.random.default_rng(0)
    drawn = best_first(scores[[0]] + rng.gumbel(size=(40_000, 5)), 3)
    share = ((drawn[:, 0] == 2) & (drawn[:, 2] == 3)).mean()
    assert share == pytest.approx(pairs[0, 2, 2, 3], abs=0.005)


def test_too_many_slates_to_enumerate_are_refused_with_the_limit():
    with pytest.raises(ValueError, match=rf"9,034,502,400 ordered slates; between 1 and {MAX_SLATES:,}"):
        slate_gram(np.zeros((1, 100)), 5)
    assert len(ordered_slates(9, 5)) == 15_120
    assert len(ordered_slates(35, 3)) == 39_270


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros(3), r"expected scores \[batch, num_candidates\]"),
        (np.zeros((1, 1)), "a slate of 1 to num_candidates"),
        (np.array([[0.0, np.nan, 1.0]]), "candidate 1 in row 0 is nan"),
        (np.array([[0.0, np.inf, 1.0]]), "candidate 1 in row 0 is inf"),
        (np.array([[0.0, -np.inf, -np.inf]]), "row 0 has fewer candidates above -inf than a slate of 2"),
        (np.array([[0.0, -700.0, -800.0]]), "row 0 lie more than 600 apart.*higher temperature"),
    ],
)
def test_scores_that_make_no_policy_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        position_marginals(scores, 2)


def test_places_that_are_none_are_refused():
    with pytest.raises(ValueError, match="numbers of 3 candidates, got 0 to 3"):
        log_marginals(np.zeros((1, 3)), np.array([[0, 3]]))
    with pytest.raises(ValueError, match=r"places must be \[1, slate_size\]"):
        log_marginals(np.zeros((1, 3)), np.array([0, 1]))
    with pytest.raises(ValueError, match="at least two points, got 1"):
        position_marginals(np.zeros((1, 3)), 2, nodes=1)
