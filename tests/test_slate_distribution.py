import itertools
import math

import numpy as np
import pytest
import torch

from instructrec.agents.slate_distribution import (
    UNREACHABLE,
    PlackettLuceDistribution,
    best_slates,
    divergences,
    draw_slates,
    slate_terms,
)
from instructrec.policies import log_prob_of_places

ITEMS, SLATE = 5, 3
SLATES = torch.tensor(list(itertools.permutations(range(ITEMS), SLATE)))


@pytest.fixture
def scores():
    return torch.tensor([0.3, -1.2, 2.0, 0.0, 0.9], dtype=torch.float64)


def naive(scores, slate):
    """Per position: the categorical over what is not shown yet."""
    left, rows = list(range(len(scores))), []
    for item in slate.tolist():
        probabilities = torch.softmax(scores[left], dim=0)
        rows.append((torch.log(probabilities[left.index(item)]), probabilities, list(left)))
        left.remove(item)
    return rows


def test_probabilities_of_all_slates_sum_to_one(scores):
    terms = slate_terms(scores.expand(len(SLATES), -1), SLATES)
    assert terms.log_probs.sum(dim=1).exp().sum().item() == pytest.approx(1.0, abs=1e-12)


def test_log_probs_and_entropies_equal_the_naive_ones(scores):
    terms = slate_terms(scores.expand(len(SLATES), -1), SLATES)
    for row, slate in enumerate(SLATES):
        for position, (log_prob, probabilities, _) in enumerate(naive(scores, slate)):
            assert terms.log_probs[row, position].item() == pytest.approx(log_prob.item(), abs=1e-12)
            entropy = -(probabilities * probabilities.log()).sum().item()
            assert terms.entropies[row, position].item() == pytest.approx(entropy, abs=1e-12)


def test_expected_sum_of_entropies_is_the_entropy_of_the_slate(scores):
    terms = slate_terms(scores.expand(len(SLATES), -1), SLATES)
    log_prob = terms.log_probs.sum(dim=1)
    whole = -(log_prob.exp() * log_prob).sum().item()
    assert (log_prob.exp() * terms.entropies.sum(dim=1)).sum().item() == pytest.approx(whole, abs=1e-12)


def test_divergence_equals_the_naive_one(scores):
    anchor = torch.tensor([1.0, 0.2, -0.5, 0.4, 0.0], dtype=torch.float64)
    found = divergences(scores.expand(len(SLATES), -1), anchor.expand(len(SLATES), -1), SLATES)
    for row, slate in enumerate(SLATES):
        for position, (_, p, left) in enumerate(naive(scores, slate)):
            q = torch.softmax(anchor[left], dim=0)
            assert found[row, position].item() == pytest.approx((p * (p / q).log()).sum().item(), abs=1e-12)


def test_divergence_from_itself_is_zero(scores):
    rows = scores.expand(len(SLATES), -1)
    assert divergences(rows, rows, SLATES).abs().max().item() < 1e-12


def test_log_probs_equal_the_core_ones_on_a_large_catalogue():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 4, (32, 9742))
    places = np.argsort(-(scores + rng.gumbel(size=scores.shape)), axis=1)[:, :10]
    found = slate_terms(torch.tensor(scores, dtype=torch.float32), torch.tensor(places)).log_probs.numpy()
    np.testing.assert_allclose(found, log_prob_of_places(scores, places), atol=1e-5)


def test_gradients_are_those_of_finite_differences(scores):
    places = SLATES[[3, 17, 40]]
    rows = (scores + torch.linspace(-1, 1, 3, dtype=torch.float64)[:, None] * torch.arange(5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: tuple(slate_terms(given, places)), rows)
    anchor = torch.randn(3, ITEMS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda given: divergences(given, anchor, places), rows)


def test_a_slate_of_the_whole_catalogue_has_the_naive_terms(scores):
    slate = torch.tensor([[4, 1, 0, 3, 2]])
    terms = slate_terms(scores[None], slate)
    for position, (log_prob, *_) in enumerate(naive(scores, slate[0])):
        assert terms.log_probs[0, position].item() == pytest.approx(log_prob.item(), abs=1e-12)
    assert terms.entropies[0, -1].item() == pytest.approx(0.0, abs=1e-12)
    assert torch.isfinite(divergences(scores[None], -scores[None], slate)).all()


@pytest.mark.parametrize("scale", [0.3, 1.0, 6.0], ids=["flat", "usual", "peaked: most slates are completed by noise"])
def test_slates_are_drawn_as_often_as_their_probability_says(scores, scale):
    draws = 40_000
    rows = (scores * scale).float().expand(draws, -1)
    drawn = draw_slates(rows, SLATE, torch.Generator().manual_seed(1))
    expected = slate_terms((scores * scale).expand(len(SLATES), -1), SLATES).log_probs.sum(dim=1).exp()
    codes = torch.tensor([100, 10, 1])
    counts = torch.tensor([((drawn * codes).sum(1) == (slate * codes).sum()).sum().item() for slate in SLATES])
    assert counts.sum() == draws, "a drawn slate repeats an item"
    errors = (counts / draws - expected) / torch.sqrt(expected * (1 - expected) / draws).clamp_min(1 / draws)
    assert errors.abs().max() < 4.5


def test_a_certain_slate_is_completed_without_repeats():
    scores = torch.full((64, 200), -30.0)
    scores[:, 7] = 60.0
    drawn = draw_slates(scores, 10, torch.Generator().manual_seed(0))
    assert (drawn[:, 0] == 7).all()
    assert all(len(set(row)) == 10 for row in drawn.tolist())


def test_unreachable_candidates_are_not_drawn():
    scores = torch.zeros(500, 20)
    scores[:, 10:] = UNREACHABLE
    assert draw_slates(scores, 8, torch.Generator().manual_seed(0)).max() < 10
    assert draw_slates(scores, 10, torch.Generator().manual_seed(0)).max() < 10


def test_best_slates_are_sorted():
    assert best_slates(torch.tensor([[0.0, 3.0, 1.0, 2.0]]), 3).tolist() == [[1, 3, 2]]


def test_too_few_candidates_are_refused():
    with pytest.raises(ValueError, match="needs as many candidates"):
        draw_slates(torch.zeros(1, 3), 4)


def test_the_sb3_distribution_sums_over_positions(scores):
    distribution = PlackettLuceDistribution(ITEMS, SLATE).proba_distribution(scores[None].float().expand(60, -1))
    terms = slate_terms(scores.expand(60, -1), SLATES)
    torch.testing.assert_close(distribution.log_prob(SLATES).double(), terms.log_probs.sum(1), atol=1e-5, rtol=0)
    torch.testing.assert_close(distribution.entropy().double(), terms.entropies.sum(1), atol=1e-5, rtol=0)
    assert distribution.mode()[0].tolist() == [2, 4, 0]
    assert distribution.sample().shape == (60, SLATE)


def test_entropy_has_a_gradient_on_the_policys_own_draws():
    torch.manual_seed(0)
    scores = torch.randn(4096, 12, requires_grad=True)
    distribution = PlackettLuceDistribution(12, 4).proba_distribution(scores)
    distribution.sample()
    distribution.entropy().mean().backward()
    assert scores.grad.abs().max() > 1e-6
    assert math.isfinite(scores.grad.sum().item())
