"""Plackett–Luce in torch: drawing ordered slates, and the exact probability, entropy and divergence of each position.

A slate is drawn item by item without replacement. Given the items above it, position j is a plain categorical over all
candidates not shown yet; its normaliser is the sum over what the slate leaves out plus the sum over what stands at j
and below. So everything here takes one pass over the candidates for the first sum and a suffix sum over the slate for
the second: O(candidates + slate), never their product, and never a subtraction that cancels.

References:
    Plackett (1975), The analysis of permutations; Kool et al. (2019), Stochastic beams and where to find them.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch
from stable_baselines3.common.distributions import MultiCategoricalDistribution
from torch import Tensor, nn

# A score that no draw reaches. Finite, so that 0 × score stays 0 where infinity would give NaN.
UNREACHABLE = -1e4


# Below it, a difference of scores counts as no chance at all: far beyond what float32 sums can see, and exp of less is
# ten times slower on common processors, whose fast paths do not cover results near the smallest number.
_FAINTEST = -80.0


def _weights(differences: Tensor) -> Tensor:
    """Returns exp of differences from the highest score, which are used up; exactly 0 where there is no chance."""
    return torch.threshold_(differences.clamp_min_(_FAINTEST).exp_(), 2e-35, 0.0)


class SlateTerms(NamedTuple):
    """What a slate says about the distribution it came from.

    Attributes:
        log_probs: log P(item at j | items above j), [batch, slate_size].
        entropies: Entropy of position j's categorical given the items above, [batch, slate_size].
    """

    log_probs: Tensor
    entropies: Tensor


def _by_position(shown: Tensor, log_rest: Tensor, mean_rest: Tensor) -> tuple[Tensor, Tensor]:
    """Joins what the slate leaves out with what it shows.

    Args:
        shown: Scores of the shown items, [batch, slate_size].
        log_rest: log Σ exp(score) over the items not shown, [batch].
        mean_rest: Their mean score under the softmax over them, [batch].

    Returns:
        Log-probabilities and entropies, both [batch, slate_size].
    """
    parts, values = _joined(log_rest, shown), _joined(mean_rest, shown)
    log_total = torch.logcumsumexp(parts, dim=1)[:, 1:].flip(1)
    top = parts.detach().amax(dim=1, keepdim=True)
    weights = torch.exp(parts - top)
    # Σ weight × score is bounded by (candidates × largest score); the shift by `top` keeps the weights within [0, 1].
    sums = torch.cumsum(weights, dim=1)[:, 1:].flip(1)
    mean = torch.cumsum(weights * values, dim=1)[:, 1:].flip(1) / sums.clamp_min(1e-30)
    # Entropy = log Z - E[score]; far below the top both underflow together, so measure from each position's own total.
    return shown - log_total, (log_total - mean).clamp_min(0.0)


class _SlateTerms(torch.autograd.Function):
    """Per-position terms with a hand-written backward pass: one dense gradient, one pass over the candidates."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        shown = scores.gather(1, places)
        rest = scores.scatter(1, places, UNREACHABLE)
        top = rest.amax(dim=1, keepdim=True)
        weights = _weights(rest - top)
        total = weights.sum(dim=1)
        mean_rest = torch.einsum("bc,bc->b", weights, rest) / total
        log_rest = torch.log(total) + top.squeeze(1)
        ctx.save_for_backward(rest, weights, total, places, shown, log_rest, mean_rest)
        return _by_position(shown, log_rest, mean_rest)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        rest, weights, total, places, shown, log_rest, mean_rest = ctx.saved_tensors
        leaves = [part.detach().requires_grad_() for part in (shown, log_rest, mean_rest)]
        with torch.enable_grad():
            outputs = _by_position(*leaves)
        on_shown, on_log, on_mean = torch.autograd.grad(outputs, leaves, grads)
        # d log_rest / d score = p and d mean_rest / d score = p (1 + score - mean_rest), p the softmax over the rest.
        slope = (on_mean / total)[:, None]
        level = (on_log / total)[:, None] + slope * (1.0 - mean_rest[:, None])
        # `slope` is exactly 0 where no entropy is asked for, which saves one pass.
        dense = torch.addcmul(level, slope, rest) if bool((on_mean != 0).any()) else level
        gradient = weights * dense
        return gradient.scatter_(1, places, on_shown), None


class _LeftOut(torch.autograd.Function):
    """What a slate leaves out: log Σ exp(score) over it, and the mean of values under its softmax.

    By hand, because torch.logsumexp spends most of its time, forth and back, on results near the smallest number.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, values: Tensor | None, places: Tensor) -> tuple[Tensor, Tensor]:
        rest = scores.scatter(1, places, UNREACHABLE)
        top = rest.amax(dim=1, keepdim=True)
        chances = _weights(rest - top)
        total = chances.sum(dim=1, keepdim=True)
        chances /= total
        mean = total.new_zeros(len(total)) if values is None else torch.einsum("bc,bc->b", chances, values)
        ctx.save_for_backward(chances, values, mean)
        return (torch.log(total) + top).squeeze(1), mean

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        chances, values, mean = ctx.saved_tensors
        on_log, on_mean = (grad[:, None] for grad in grads)
        on_scores = on_values = None
        if ctx.needs_input_grad[0]:
            on_scores = chances * (on_log if values is None else on_log + on_mean * (values - mean[:, None]))
        if ctx.needs_input_grad[1]:
            on_values = chances * on_mean
        return on_scores, on_values, None


def _left_out(scores: Tensor, values: Tensor | None, places: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the two results of `_LeftOut`, each [batch]; the second is 0 without values."""
    return cast("tuple[Tensor, Tensor]", _LeftOut.apply(scores, values, places))  # type: ignore[no-untyped-call]


def slate_terms(scores: Tensor, places: Tensor) -> SlateTerms:
    """Returns the exact terms of slates, differentiable in ``scores``.

    Args:
        scores: Scores over the temperature, float [batch, num_candidates]; candidates that must not be drawn have
            `UNREACHABLE`.
        places: Places of the shown items among the candidates, int64 [batch, slate_size], distinct in each row.
    """
    if scores.shape[1] == places.shape[1]:
        # Nothing is left out: one more candidate that is never drawn keeps the sums well defined.
        scores = nn.functional.pad(scores, (0, 1), value=UNREACHABLE)
    log_probs, entropies = cast("tuple[Tensor, Tensor]", _SlateTerms.apply(scores, places))  # type: ignore[no-untyped-call]
    return SlateTerms(log_probs, entropies)


def divergences(scores: Tensor, anchor: Tensor, places: Tensor) -> Tensor:
    """Returns KL(scores' ‖ anchor's) of each position's categorical given the items above, [batch, slate_size].

    Differentiable in ``scores``; ``anchor`` is a constant.

    Args:
        scores: As in `slate_terms`.
        anchor: Scores of the policy to stay near, of the same shape.
        places: As in `slate_terms`.
    """
    if scores.shape[1] == places.shape[1]:
        scores = nn.functional.pad(scores, (0, 1), value=UNREACHABLE)
        anchor = nn.functional.pad(anchor, (0, 1), value=UNREACHABLE)
    anchor = anchor.detach()
    gap = expectations(scores, scores - anchor, places)
    return (gap - _log_totals(scores, places) + _log_totals(anchor, places)).clamp_min(0.0)


def cross_entropies(target: Tensor, scores: Tensor, places: Tensor) -> Tensor:
    """Returns -E[log P(item)] of each position's categorical given the items above, [batch, slate_size].

    The items are those of a target policy, whose scores are constants, and the probabilities those of ``scores``:
    differentiable, and least where both are the same.

    Args:
        target: Scores of the policy to become like, [batch, num_candidates].
        scores: As in `slate_terms`.
        places: As in `slate_terms`.
    """
    return _log_totals(scores, places) - expectations(target.detach(), scores, places)


def expectations(scores: Tensor, values: Tensor, places: Tensor) -> Tensor:
    """Returns the mean of ``values`` under each position's categorical given the items above, [batch, slate_size].

    Differentiable in ``scores`` and ``values``.

    Args:
        scores: As in `slate_terms`.
        values: Of each candidate, of the same shape.
        places: As in `slate_terms`.
    """
    if scores.shape[1] == places.shape[1]:
        scores = nn.functional.pad(scores, (0, 1), value=UNREACHABLE)
        values = nn.functional.pad(values, (0, 1))
    log_rest, mean_rest = _left_out(scores, values, places)
    parts = _joined(log_rest, scores.gather(1, places))
    weights = torch.exp(parts - parts.detach().amax(dim=1, keepdim=True))
    means = torch.cumsum(weights * _joined(mean_rest, values.gather(1, places)), dim=1)
    return (means / torch.cumsum(weights, dim=1).clamp_min(1e-30))[:, 1:].flip(1)


def _log_totals(scores: Tensor, places: Tensor) -> Tensor:
    """Returns log Σ exp(score) over what may stand at each position given the items above, [batch, slate_size]."""
    if scores.shape[1] == places.shape[1]:
        scores = nn.functional.pad(scores, (0, 1), value=UNREACHABLE)
    log_rest, _ = _left_out(scores, None, places)
    return torch.logcumsumexp(_joined(log_rest, scores.gather(1, places)), dim=1)[:, 1:].flip(1)


def _joined(rest: Tensor, shown: Tensor) -> Tensor:
    """Returns what the slate leaves out, [batch], and then its positions from the last to the first."""
    return torch.cat([rest[:, None], shown.flip(1)], dim=1)


def draw_slates(scores: Tensor, slate_size: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws slates, int64 [batch, slate_size]: places among the candidates, distinct in each row.

    Draws with replacement and drops repeats, which is the same distribution and needs no noise per candidate. Where too
    few distinct items came, what was drawn is taken out and the rest of the slate is drawn from what remains.

    Args:
        scores: Scores over the temperature, [batch, num_candidates].
        slate_size: How many items to draw.
        generator: Where randomness comes from; torch's global one when omitted.

    Raises:
        ValueError: If there are too few candidates, or scores are not finite.
    """
    num_candidates = scores.shape[1]
    if num_candidates < slate_size:
        raise ValueError(f"a slate of {slate_size} needs as many candidates, got {num_candidates}")
    scores = scores.detach()
    if not bool(torch.isfinite(scores.amax(dim=1)).all()):
        raise ValueError("scores are not finite; where they are learned, a smaller learning rate may keep them so")
    slates, distinct = _distinct_draws(scores, slate_size, generator)
    short = torch.nonzero(distinct < slate_size).squeeze(1)
    if len(short):
        slates[short] = _completed(scores[short], slates[short], distinct[short], generator)
    return slates


def _distinct_draws(scores: Tensor, slate_size: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Draws with replacement; returns what was drawn, first occurrences in front, and how many of those there are."""
    tries = 3 * slate_size
    sums = torch.cumsum(_weights(scores - scores.amax(dim=1, keepdim=True)), dim=1)
    uniform = torch.rand(len(scores), tries, generator=generator, dtype=scores.dtype, device=scores.device)
    # Kept a few ulps below 1: rounding must not push a draw past the last candidate that has any weight.
    drawn = torch.searchsorted(sums, uniform.clamp_max(1 - 2**-21) * sums[:, -1:], right=True)
    earlier = torch.ones(tries, tries, dtype=torch.bool, device=scores.device).tril(-1)
    repeated = ((drawn[:, :, None] == drawn[:, None, :]) & earlier).any(dim=2)
    order = torch.sort(repeated.to(torch.uint8), dim=1, stable=True).indices[:, :slate_size]
    return drawn.gather(1, order), tries - repeated.sum(dim=1)


def _completed(scores: Tensor, slates: Tensor, distinct: Tensor, generator: torch.Generator | None) -> Tensor:
    """Fills slates of which only the first ``distinct`` places are drawn; ``scores`` is used up."""
    position = torch.arange(slates.shape[1], device=scores.device)[None, :]
    rows = torch.arange(len(slates), device=scores.device)
    while len(rows):
        # Where nothing is drawn yet at a place, the first item, which is drawn, stands in.
        drawn = position < distinct[rows, None]
        scores.scatter_(1, torch.where(drawn, slates[rows], slates[rows, :1]), -torch.inf)
        found, new = _distinct_draws(scores, slates.shape[1], generator)
        taken = (position - distinct[rows, None]).clamp_min(0)
        slates[rows] = torch.where(drawn, slates[rows], found.gather(1, taken))
        distinct[rows] += new
        left = distinct[rows] < slates.shape[1]
        rows, scores = rows[left], scores[left]
    return slates


def best_slates(scores: Tensor, slate_size: int) -> Tensor:
    """Returns the places of the highest scores, best first, int64 [batch, slate_size]."""
    return torch.topk(scores.detach(), slate_size, dim=1).indices


class PlackettLuceDistribution(MultiCategoricalDistribution):
    """Stable-Baselines3's face of the above: actions are slates of distinct items.

    Args:
        num_items: How many items there are.
        slate_size: Items per slate.
    """

    def __init__(self, num_items: int, slate_size: int) -> None:
        super().__init__([num_items] * slate_size)
        self.num_items, self.slate_size = num_items, slate_size
        self._scores: Tensor | None = None
        self._places: Tensor | None = None

    def proba_distribution_net(self, latent_dim: int) -> nn.Module:
        """Returns the layer that turns a latent vector into scores, for policies without a scorer of their own."""
        return nn.Linear(latent_dim, self.num_items)

    def proba_distribution(self, action_logits: Tensor) -> PlackettLuceDistribution:
        """Sets the scores, [batch, num_candidates]."""
        self._scores, self._places = action_logits, None
        return self

    @property
    def scores(self) -> Tensor:
        """The scores over the temperature, [batch, num_candidates]."""
        if self._scores is None:
            raise RuntimeError("the distribution has no scores yet; call proba_distribution(scores) first")
        return self._scores

    def terms(self, actions: Tensor) -> SlateTerms:
        """Returns log-probabilities and entropies by position; ``actions`` are places [batch, slate_size]."""
        return slate_terms(self.scores, actions.long())

    def log_prob(self, actions: Tensor) -> Tensor:
        """Returns the log-probability of whole slates, [batch]."""
        self._places = actions.long()
        return self.terms(actions).log_probs.sum(dim=1)

    def entropy(self) -> Tensor:
        """Returns the sum over positions of the entropy given the items above, [batch].

        The items above are those of the slate last drawn or last given to `log_prob`; one is drawn where there is none.
        On average over slates this is the entropy of the whole distribution (the chain rule), and unlike
        Stable-Baselines3's fallback for a missing entropy its gradient is not zero on the policy's own draws.
        """
        places = self.sample() if self._places is None else self._places
        return self.terms(places).entropies.sum(dim=1)

    def sample(self) -> Tensor:
        """Draws slates, [batch, slate_size]."""
        self._places = draw_slates(self.scores, self.slate_size)
        return self._places

    def mode(self) -> Tensor:
        """Returns the most likely slates, [batch, slate_size]."""
        self._places = best_slates(self.scores, self.slate_size)
        return self._places
