"""Click models: the likelihood is that of the story told, the gradient is its own, fitting finds what was put in."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import expit, logit

from instructrec.envs.click_models import (
    calibration,
    examination_size,
    fit_clicks,
    log_likelihood,
    logistic,
    recalibrated,
    seen,
)

LOOKS = np.array([1.0, 0.7, 0.5, 0.3])
SKIP, CLICK = 0.85, 0.4


def examination(kind: str) -> np.ndarray:
    return logit(LOOKS[1:]) if kind == "position" else logit(np.array([SKIP, CLICK]))


def simulated(kind: str, logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    attracts = rng.random(logits.shape) < expit(logits)
    luck = rng.random(logits.shape)
    if kind == "position":
        return attracts & (luck < LOOKS)
    looks = np.ones_like(attracts)
    for place in range(1, logits.shape[1]):
        goes_on = np.where(attracts[:, place - 1], CLICK, SKIP)
        looks[:, place] = looks[:, place - 1] & (luck[:, place] < goes_on)
    return attracts & looks


@pytest.mark.parametrize("kind", ["position", "cascade"])
def test_the_probabilities_of_all_that_may_be_clicked_sum_to_one_and_are_those_of_the_story(kind):
    rng = np.random.default_rng(0)
    one = rng.normal(size=4)
    every = np.array(list(itertools.product([False, True], repeat=4)))
    logits = np.tile(one, (16, 1))
    found = seen(kind, examination(kind), logits, every, np.ones_like(every))
    likely = np.exp(log_likelihood(found.likely, every).sum(axis=1))
    assert likely.sum() == pytest.approx(1, abs=1e-12)
    drawn = simulated(kind, np.tile(one, (200_000, 1)), rng)
    shares = np.bincount(drawn @ (1 << np.arange(4)[::-1]), minlength=16) / len(drawn)
    np.testing.assert_allclose(shares, likely, atol=0.005)


@pytest.mark.parametrize("kind", ["position", "cascade"])
def test_the_gradient_is_that_of_the_likelihood_and_padding_has_none(kind):
    rng = np.random.default_rng(1)
    logits, clicked = rng.normal(size=(30, 4)), rng.random((30, 4)) < 0.4
    shown = np.arange(4) < rng.integers(1, 5, 30)[:, None]
    clicked &= shown
    where = examination(kind)

    def worth(by: np.ndarray, how: np.ndarray) -> float:
        found = seen(kind, how, by, clicked, shown)
        return float(log_likelihood(found.likely, clicked)[shown].sum())

    found = seen(kind, where, logits, clicked, shown)
    assert not found.attraction_gradient[~shown].any()
    step = 1e-5
    for row, place in ((0, 0), (3, 1), (7, 0), (11, 0), (20, 2)):
        up, down = logits.copy(), logits.copy()
        up[row, place] += step
        down[row, place] -= step
        slope = (worth(up, where) - worth(down, where)) / (2 * step)
        assert found.attraction_gradient[row, place] == pytest.approx(slope, abs=1e-7)
    for place in range(examination_size(kind, 4)):
        change = np.eye(len(where))[place] * step
        slope = (worth(logits, where + change) - worth(logits, where - change)) / (2 * step)
        assert found.examination_gradient[place] == pytest.approx(slope, abs=1e-6)


@pytest.mark.parametrize("kind", ["position", "cascade"])
def test_fitting_finds_the_parameters_that_made_the_clicks(kind):
    rng = np.random.default_rng(2)
    features, weights = rng.normal(size=(50, 2)), np.array([0.9, -0.6])
    items = np.argsort(rng.random((25_000, 50)), axis=1)[:, :4].astype(np.int32)
    extra = rng.normal(size=(25_000, 4, 1))
    logits = -0.8 + (features @ weights)[items] + 0.5 * extra[:, :, 0]
    clicked = simulated(kind, logits, rng)
    fit = fit_clicks(kind, items, clicked, features, extra, np.zeros(items.shape), 1.0)
    assert fit.converged
    np.testing.assert_allclose(fit.item_weights, [-0.8, 0.9, -0.6], atol=0.08)
    np.testing.assert_allclose(fit.row_weights, [0.5], atol=0.05)
    np.testing.assert_allclose(expit(fit.examination), expit(examination(kind)), atol=0.04)


def test_an_offset_is_taken_as_given():
    rng = np.random.default_rng(3)
    items = np.tile(np.arange(4, dtype=np.int32), (20_000, 1))
    offset = np.where(rng.random(items.shape) < 0.5, -2.0, 0.0)
    clicked = simulated("position", 0.3 + offset, rng)
    fit = fit_clicks("position", items, clicked, np.zeros((4, 0)), np.zeros((*items.shape, 0)), offset, 1.0)
    assert fit.item_weights[0] == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("kind", ["position", "cascade"])
def test_recalibrating_undoes_what_was_stretched_and_shifted(kind):
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(30_000, 4)) * 1.5 - 0.5
    clicked, shown = simulated(kind, logits, rng), np.ones(logits.shape, np.bool_)
    intercept, slope = recalibrated(kind, examination(kind), 2 * logits + 1, clicked, shown)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-0.5, abs=0.05)


def test_calibration_is_nought_and_one_for_the_truth_and_below_one_for_the_overconfident():
    rng = np.random.default_rng(5)
    truth = rng.normal(size=100_000)
    happened = rng.random(truth.shape) < expit(truth)
    assert calibration(expit(truth), happened) == (pytest.approx(0, abs=0.03), pytest.approx(1, abs=0.03))
    assert calibration(expit(2 * truth), happened)[1] == pytest.approx(0.5, abs=0.02)


def test_what_always_or_never_happens_has_finite_weights():
    for happened in (np.zeros(50, np.bool_), np.ones(50, np.bool_)):
        weights = logistic(np.ones((50, 1)), happened, 1.0)
        assert np.isfinite(weights).all()
        assert (expit(weights.sum()) > 0.99) == happened[0]
