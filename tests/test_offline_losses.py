"""Gradients of weighting, by exact sums over all slates of a small world."""

import itertools

import pytest
import torch

from instructrec.agents.offline_losses import behaviour_divergence, foreseen_gain, weighted, weighted_gain
from instructrec.agents.slate_distribution import cross_entropies, divergences, expectations, slate_terms

ITEMS, SLATE = 5, 3
SLATES = torch.tensor(list(itertools.permutations(range(ITEMS), SLATE)))
POLICY = torch.tensor([0.3, -1.2, 1.0, 0.0, 0.9], dtype=torch.float64)
LOGGER = torch.tensor([-0.5, 0.4, 0.2, 0.8, -0.1], dtype=torch.float64)


def reward(above: tuple[int, ...], item: int) -> float:
    """What an item brings given those above it."""
    return 1.0 + 0.7 * item - 0.4 * sum(above) + (0.5 if above and above[-1] > item else 0.0)


REWARDS = torch.tensor(
    [[reward(tuple(slate[:j]), slate[j]) for j in range(SLATE)] for slate in SLATES.tolist()], dtype=torch.float64
)


def rows(scores):
    return scores.expand(len(SLATES), -1)


def conditional(scores, above, item):
    """P(item | above), worked out plainly."""
    left = [other for other in range(ITEMS) if other not in above]
    return torch.softmax(scores[left], dim=0)[left.index(item)]


def probability(scores, slate):
    product = torch.ones((), dtype=torch.float64)
    for place, item in enumerate(slate):
        product = product * conditional(scores, slate[:place], item)
    return product


def gradient(of, scores):
    leaf = scores.clone().requires_grad_()
    return torch.autograd.grad(of(leaf), leaf)[0]


def estimated(ratio, cap=float("inf")):
    """The mean over slates that the logger shows of what the weighting estimate's gradient is."""
    logged = slate_terms(rows(LOGGER), SLATES).log_probs
    likely = logged.sum(dim=1).exp()

    def gain(scores):
        log_probs = slate_terms(rows(scores), SLATES).log_probs
        each = [
            weighted_gain(weighted(log_probs[i : i + 1], logged[i : i + 1], cap=cap, ratio=ratio), REWARDS[i : i + 1])
            for i in range(len(SLATES))
        ]
        return (likely * torch.stack(each)).sum() * SLATE

    return gradient(gain, POLICY)


def test_weights_of_prefixes_give_the_gradient_of_what_the_policys_own_slates_earn():
    def earned(scores):
        each = [probability(scores, slate) for slate in SLATES.tolist()]
        return (torch.stack(each) * REWARDS.sum(dim=1)).sum()

    torch.testing.assert_close(estimated("prefix"), gradient(earned, POLICY), atol=1e-6, rtol=0)


def test_weights_of_single_positions_give_that_of_filling_one_position_below_what_the_logger_shows():
    def earned(scores):
        total = torch.zeros((), dtype=torch.float64)
        for place in range(SLATE):
            for above in itertools.permutations(range(ITEMS), place):
                for item in set(range(ITEMS)) - set(above):
                    shown = probability(LOGGER, above) * conditional(scores, above, item)
                    total = total + shown * reward(above, item)
        return total

    torch.testing.assert_close(estimated("position"), gradient(earned, POLICY), atol=1e-6, rtol=0)


def test_a_cap_that_binds_changes_the_gradient_and_one_that_does_not_changes_nothing():
    torch.testing.assert_close(estimated("prefix", cap=1e6), estimated("prefix"))
    assert not torch.allclose(estimated("prefix", cap=0.5), estimated("prefix"), atol=1e-3)


@pytest.mark.parametrize("ratio", ["position", "prefix"])
def test_no_weight_is_above_the_cap_and_those_below_are_ratios(ratio):
    log_probs, logged = (slate_terms(rows(scores), SLATES).log_probs for scores in (3 * POLICY, LOGGER))
    exact, capped = (weighted(log_probs, logged, cap=cap, ratio=ratio).weights for cap in (float("inf"), 2.0))
    assert exact.max() > 2.0
    torch.testing.assert_close(capped, exact.clamp_max(2.0))
    product = torch.exp(log_probs - logged)
    torch.testing.assert_close(exact, product.cumprod(dim=1) if ratio == "prefix" else product)


def test_normalised_weights_count_once_each_on_average():
    log_probs, logged = (slate_terms(rows(scores), SLATES).log_probs for scores in (POLICY - 3.0 * POLICY, LOGGER))
    found = weighted(log_probs, logged, cap=5.0)
    plain, normalised = (weighted_gain(found, REWARDS, self_normalised=how) for how in (False, True))
    torch.testing.assert_close(normalised, plain / found.weights.mean())


def test_the_divergence_from_the_logger_has_the_gradient_of_the_exact_one():
    # One position: below it, rows that the logger shows are not those that the policy would.
    slates = SLATES[:, :1]
    logged = slate_terms(rows(LOGGER), slates).log_probs
    likely = slate_terms(rows(LOGGER), SLATES).log_probs.sum(dim=1).exp()

    def by_log(scores):
        log_probs = slate_terms(rows(scores), slates).log_probs
        each = [
            behaviour_divergence(weighted(log_probs[i : i + 1], logged[i : i + 1], cap=1e9), logged[i : i + 1])
            for i in range(len(slates))
        ]
        return (likely * torch.stack(each)).sum()

    exact = gradient(lambda scores: divergences(scores[None], LOGGER[None], SLATES[:1, :1])[0, 0], POLICY)
    torch.testing.assert_close(gradient(by_log, POLICY), exact, atol=1e-6, rtol=0)


def test_expectations_and_cross_entropies_equal_the_plain_ones():
    values = torch.tensor([1.0, -2.0, 0.5, 3.0, 0.1], dtype=torch.float64)
    means = expectations(rows(POLICY), rows(values), SLATES)
    crossed = cross_entropies(rows(LOGGER), rows(POLICY), SLATES)
    for row, slate in enumerate(SLATES.tolist()):
        for place in range(SLATE):
            above = slate[:place]
            left = [item for item in range(ITEMS) if item not in above]
            likely = [conditional(POLICY, above, item) for item in left]
            assert means[row, place] == pytest.approx(sum(p * values[i] for p, i in zip(likely, left, strict=True)))
            terms = [conditional(LOGGER, above, item) * conditional(POLICY, above, item).log() for item in left]
            assert crossed[row, place] == pytest.approx(-sum(terms))


def test_expectations_take_the_last_item_for_granted_where_all_are_shown():
    slates = torch.tensor([[2, 0, 1]])
    found = expectations(torch.zeros(1, 3), torch.tensor([[1.0, 2.0, 6.0]]), slates)
    torch.testing.assert_close(found, torch.tensor([[3.0, 1.5, 2.0]]))


def test_a_foreseen_gain_counts_positions_by_how_likely_they_are_looked_at():
    seen, anywhere = torch.zeros(1, ITEMS), torch.zeros(1, ITEMS)
    seen[0, 1], anywhere[0, 1] = 2.0, 1.0
    scores, looked_at = torch.full((1, ITEMS), -50.0), torch.tensor([0.5, 0.2, 0.1])
    scores[0, 1] = 50.0
    gain = foreseen_gain(scores, (seen, anywhere), torch.tensor([[1, 0, 2]]), looked_at)
    assert gain.item() == pytest.approx((0.5 * 2.0 + 1.0) / 3)
