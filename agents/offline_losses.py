"""What a policy learned from a log aims at, as functions of probabilities: weighting, foreseen values, divergence.

With π what is learned, μ who showed the log, a_j the item logged at position j and A_j what came of it,

    r_j = π(a_j | above) / μ(a_j | above),      w_j = min(r_j, cap)  or, of prefixes,  min(r_1 ⋯ r_j, cap).

The gradient of the weighting estimate is E_μ[Σ_j w_j A_j ∇ log π(a_j | above)], for prefixes with the gradient of
everything down to j. Without a cap the one of prefixes is exactly that of what slates drawn from π earn, where a reward
depends on nothing below it. The one of single positions is exactly that of what π earns when it fills one position and
μ those above: rows weigh little less than 1 each, and ranking is learned position by position. A cap keeps single rows
from deciding everything, and forgets what only they tell.

References:
    Swaminathan and Joachims (2015), Counterfactual risk minimization, ICML (clipped weights, a penalty for leaving the
    log); Chen et al. (2019), Top-K off-policy correction for a REINFORCE recommender system, WSDM (capped weights in
    the gradient, one position at a time); McInerney et al. (2020), Counterfactual evaluation of slate recommendations
    with sequential reward interactions, KDD (prefixes); Dudík et al. (2011), Doubly robust policy evaluation and
    learning, ICML; Oosterhuis (2021), Computationally efficient optimization of Plackett–Luce ranking models, SIGIR.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from instructrec.agents.slate_distribution import expectations


class Weighted(NamedTuple):
    """Logged positions as the policy would weigh them.

    Attributes:
        log_probs: What the weights are multiplied with: its gradient is theirs over themselves, [batch, slate_size].
        weights: w, without gradient, [batch, slate_size].
    """

    log_probs: Tensor
    weights: Tensor


def weighted(log_probs: Tensor, logged: Tensor, *, cap: float, ratio: str = "position") -> Weighted:
    """Returns the weights of logged positions.

    Args:
        log_probs: log π(a_j | above), [batch, slate_size].
        logged: log μ(a_j | above), of the same shape.
        cap: The largest weight; infinity for no cap.
        ratio: "position" or "prefix"; the module says what they mean.
    """
    if ratio == "prefix":
        log_probs, logged = log_probs.cumsum(dim=1), logged.cumsum(dim=1)
    # Far beyond any cap, so that exp stays finite.
    return Weighted(log_probs, torch.exp((log_probs - logged).detach().clamp_max(60.0)).clamp_max(cap))


def weighted_gain(found: Weighted, advantages: Tensor, *, self_normalised: bool = False) -> Tensor:
    """Returns a number whose gradient is that of the weighting estimate, the mean over turns and positions.

    Args:
        found: The weights.
        advantages: A, [batch, slate_size].
        self_normalised: Whether weights are divided by their mean, so that gains keep their size as weights shrink.
    """
    weights = found.weights / found.weights.mean().clamp_min(1e-6) if self_normalised else found.weights
    return (weights * advantages * found.log_probs).mean()


def behaviour_divergence(found: Weighted, logged: Tensor) -> Tensor:
    """Returns a number whose gradient is that of KL(π ‖ μ) per position, estimated by the logged items.

    KL(π ‖ μ) = E_μ[w log w], and the gradient of w is w ∇ log π. A capped weight counts with its cap.

    Args:
        found: The weights of single positions.
        logged: log μ(a_j | above), [batch, slate_size].
    """
    apart = (found.log_probs.detach() - logged).clamp(-60.0, 60.0)
    return (found.weights * (apart + 1) * found.log_probs).mean()


def foreseen_gain(scores: Tensor, by_position: tuple[Tensor, Tensor], places: Tensor, looked_at: Tensor) -> Tensor:
    """Returns what the policy's slates are foreseen to bring, the mean over turns and positions.

    Each position's expectation given the items above it is exact, over all candidates; the items above are drawn, and
    a position does not answer for what it takes from those below it.

    Args:
        scores: The policy's, over its temperature, [batch, num_candidates].
        by_position: What a candidate brings where it is looked at, and what it brings at any place, both of that shape.
        places: Slates drawn from the policy, as places among the candidates, [batch, slate_size].
        looked_at: How likely each position is looked at, [slate_size].
    """
    seen, anywhere = by_position
    gain = looked_at * expectations(scores, seen, places)
    if bool((anywhere != 0).any()):
        gain = gain + expectations(scores, anywhere, places)
    return gain.mean()
