"""What showing an item is worth in a session, fitted to a log: a model of rewards and of what items do to later turns.

An item's reward at position j is foreseen as

    r(x, a, j) = low + (high - low) · v_j · σ(scale · s(x, a) + offset),

with s the score of SlatePPO's network, v_j how likely people look at position j, and low and high the least and the
most that a position earned in the log. It is fitted by cross-entropy of rewards scaled to [0, 1] (fractional logistic
regression): its minimum is the mean, whatever the distribution. What comes later is F(x) + Σ_j u(x, a_j), with the
critic of the same network; u depends on what an item brings. So a slate is worth

    Q(x, slate) = Σ_j r(x, a_j, j) + u(x, a_j) + F(x),

the best slate shows the items worth most, and Q is learned by rounds of regression: later turns are foreseen by the
model of the round before, under the best slates of their own (fitted Q iteration), or are what the log's own turns
brought. A penalty for worth where nothing was logged (conservatism) holds down what the model makes up.

References:
    Papke and Wooldridge (1996), Econometric methods for fractional response variables; Richardson et al. (2007),
    Predicting clicks, WWW (positions); Ernst et al. (2005), Tree-based batch mode reinforcement learning, JMLR (fitted
    Q); Ie et al. (2019), SlateQ, IJCAI (a slate's worth as a sum over its items); Kumar et al. (2020), Conservative
    Q-learning for offline reinforcement learning, NeurIPS.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from instructrec.agents.candidates import Candidates, candidate_scores, marks_of, scores_among
from instructrec.agents.scorer import ScorerInputs, SlateScorer


class ItemValues(nn.Module):
    """The model; see above.

    Args:
        scorer: Its network, at the start.
        low: The least that a position earned.
        high: The most.
    """

    low: Tensor
    high: Tensor

    def __init__(self, scorer: SlateScorer, *, low: float, high: float) -> None:
        super().__init__()
        self.scorer = scorer
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("high", torch.tensor(max(high, low + 1e-6)))
        # Scores at the start are those of a policy, several times too sure of a click.
        self.log_scale = nn.Parameter(torch.tensor(-1.5))
        self.offset = nn.Parameter(torch.tensor(-1.5))
        # People may look from the first position to the last, or not: learned, from nearly everybody.
        self.positions = nn.Parameter(torch.full((scorer.slate_size,), 2.0))

    @property
    def looked_at(self) -> Tensor:
        """How likely each position is looked at, [slate_size]."""
        return torch.sigmoid(self.positions)

    def odds_parameters(self) -> list[nn.Parameter]:
        """Returns those that make rewards of scores."""
        return [self.log_scale, self.offset, self.positions]

    def share(self, rewards: Tensor) -> Tensor:
        """Returns rewards scaled to [0, 1]."""
        return ((rewards - self.low) / (self.high - self.low)).clamp(0, 1)

    def shown_odds(self, inputs: ScorerInputs, state: tuple[Tensor, Tensor], slates: Tensor) -> Tensor:
        """Returns the log-odds of what shown items bring where they are looked at, [batch, slate_size]."""
        among = Candidates(slates, marks_of(inputs, slates, len(self.scorer.table)))
        query = self.scorer.query(state, inputs)
        scores = candidate_scores(self.scorer, query, inputs, among, among_all=True)
        return torch.exp(self.log_scale) * scores + self.offset

    def reward_loss(self, odds: Tensor, share: Tensor) -> Tensor:
        """Returns the mean cross-entropy of scaled rewards, both [batch, slate_size]."""
        log_likely = nn.functional.logsigmoid(odds) + nn.functional.logsigmoid(self.positions)
        log_unlikely = torch.log(-torch.expm1(log_likely.clamp_max(-1e-6)))
        return -(share * log_likely + (1 - share) * log_unlikely).mean()

    def shown(self, inputs: ScorerInputs, slates: Tensor) -> Tensor:
        """Returns foreseen rewards of shown items, what comes later aside, [batch, slate_size]."""
        odds = self.shown_odds(inputs, self.scorer.state(inputs), slates)
        return self.low + (self.high - self.low) * self.looked_at * torch.sigmoid(odds)

    def worth(self, inputs: ScorerInputs, among: Candidates | None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns what candidates are worth.

        Args:
            inputs: What is seen.
            among: What may be shown; None stands for the whole catalogue.

        Returns:
            What a candidate brings where it is looked at and what it brings anywhere, [batch, num_candidates] both; and
            what comes later whatever is shown, [batch].
        """
        scorer = self.scorer
        state = scorer.state(inputs)
        query = scorer.query(state, inputs)
        likely = torch.sigmoid(torch.exp(self.log_scale) * scores_among(scorer, query, inputs, among) + self.offset)
        features = scorer.table if among is None else scorer.table[among.items]
        foreseen = scorer.critic.by_item(state[0].detach(), features)
        return likely * (self.high - self.low + foreseen.clicking), foreseen.showing, foreseen.future

    @torch.no_grad()
    def best(self, inputs: ScorerInputs, among: Candidates | None) -> Tensor:
        """Returns what the best slates are worth, later turns included, [batch]."""
        seen, anywhere, future = self.worth(inputs, among)
        looked_at, size = self.looked_at, self.scorer.slate_size
        top = torch.topk(seen * looked_at.mean() + anywhere, size, dim=1).indices
        slates = seen.gather(1, top) * looked_at + anywhere.gather(1, top)
        return slates.sum(dim=1) + size * self.low + future


def values_loss(
    model: ItemValues, inputs: ScorerInputs, slates: Tensor, rewards: Tensor, later: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the losses of a model on logged turns: of rewards, and of what comes later.

    Args:
        model: The model.
        inputs: What was seen.
        slates: What was shown, int64 [batch, slate_size].
        rewards: What each position earned, [batch, slate_size].
        later: What came later, discounted, [batch].
    """
    scorer, share = model.scorer, model.share(rewards)
    state = scorer.state(inputs)
    foreseen = scorer.values(state, slates, share)
    unit = scorer.critic.unit
    missed = foreseen.future + foreseen.effects.sum(dim=1) - later
    return model.reward_loss(model.shown_odds(inputs, state, slates), share), ((missed / unit) ** 2).mean()


def excess(model: ItemValues, inputs: ScorerInputs, among: Candidates | None, places: Tensor, unit: float) -> Tensor:
    """Returns the conservative penalty: by how much the worth of all candidates exceeds that of those shown.

    Args:
        model: The model.
        inputs: What was seen.
        among: What might have been shown.
        places: What was shown, as places among that, [batch, slate_size].
        unit: In how many points a candidate stands out, above 0.
    """
    seen, anywhere, _ = model.worth(inputs, among)
    worth = (seen * model.looked_at.mean().detach() + anywhere) / unit
    over: Tensor = torch.logsumexp(worth, dim=1) - np.log(worth.shape[1]) - worth.gather(1, places).mean(dim=1)
    return unit * over.mean()
