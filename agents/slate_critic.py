"""What SlatePPO's critic expects of a session: of each position, of later turns, and of what a slate does to them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Values(NamedTuple):
    """What the critic expects.

    The discounted reward of later turns is put down to the items of this turn's slate as far as it depends on them:
    it is ``future`` and the sum of the items' ``effects``, which depend on what was shown and clicked.

    Attributes:
        items: What each position brings before the slate is known, its effect included, [batch, slate_size].
        future: Discounted reward of later turns, effects aside, [batch].
        effects: What each shown item does to it, [batch, slate_size].
    """

    items: Tensor
    future: Tensor
    effects: Tensor

    @property
    def total(self) -> Tensor:
        """Expected return from here, [batch]."""
        return self.items.sum(dim=1) + self.future


class ByItem(NamedTuple):
    """What the critic expects of later turns, for items that were not shown yet.

    Attributes:
        future: Whatever is shown, [batch].
        showing: What showing an item does to it, [batch, num_items].
        clicking: What a click on it does besides, [batch, num_items].
    """

    future: Tensor
    showing: Tensor
    clicking: Tensor


class SlateCritic(nn.Module):
    """Expects what positions and later turns bring; see `Values`. Expects nothing at the start.

    It works in units of its own, so that points of any size are learned as fast: see `measure`.

    Attributes:
        unit: How many points a unit is.

    Args:
        state_width: Width of the session's features.
        hidden: Width of the hidden layer.
        slate_size: Items per slate.
        item_width: Width of an item's features.
    """

    unit: Tensor

    def __init__(self, state_width: int, hidden: int, slate_size: int, item_width: int) -> None:
        super().__init__()
        self.register_buffer("unit", torch.ones(()))
        self.slate_size, self.item_width = slate_size, item_width
        self.trunk = nn.Sequential(nn.Linear(state_width, hidden), nn.GELU())
        self.expectation = nn.Linear(hidden, slate_size + 1)
        self.effect = nn.Linear(hidden, 2 * item_width + 2)
        for layer in (self.expectation, self.effect):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def measure(self, items: Tensor, later: Tensor) -> None:
        """Widens the unit to the size of what is to be expected; what was expected before stays as it was.

        References:
            van Hasselt et al. (2016), Learning values across many orders of magnitude, arXiv 1602.07714 (outputs kept
            while their unit changes); here units only grow, from one point on.

        Args:
            items: What positions brought, [..., slate_size].
            later: What came later, [...].
        """
        size = torch.sqrt(torch.maximum((items**2).mean(), (later**2).mean()))
        wider = torch.maximum(self.unit, size)
        for layer in (self.expectation, self.effect):
            layer.weight.mul_(self.unit / wider)
            layer.bias.mul_(self.unit / wider)
        self.unit.copy_(wider)

    def forward(self, state: Tensor, features: Tensor | None, clicked: Tensor | None) -> Values:
        """Returns the values of sessions.

        Args:
            state: Features of the sessions, [batch, state_width].
            features: Of the shown items, [batch, slate_size, item_width]; effects are 0 without them.
            clicked: Which were clicked, [batch, slate_size].
        """
        hidden = self.trunk(state)
        out = self.unit * self.expectation(hidden)
        items, future = out[:, : self.slate_size], out[:, self.slate_size]
        if features is None or clicked is None:
            return Values(items, future, torch.zeros_like(items))
        weights, width = self.unit * self.effect(hidden), self.item_width
        showing = torch.einsum("bkd,bd->bk", features, weights[:, :width]) / width**0.5 + weights[:, -2:-1]
        clicking = torch.einsum("bkd,bd->bk", features, weights[:, width:-2]) / width**0.5 + weights[:, -1:]
        return Values(items, future, showing + clicked.to(showing.dtype) * clicking)

    def by_item(self, state: Tensor, features: Tensor) -> ByItem:
        """Returns what is expected of later turns, item by item.

        Args:
            state: Features of the sessions, [batch, state_width].
            features: Of the items: [num_items, item_width], or of each row's own, [batch, num_items, item_width].
        """
        hidden, width = self.trunk(state), self.item_width
        future = self.unit * self.expectation(hidden)[:, self.slate_size]
        weights = self.unit * self.effect(hidden)
        one = "bd,md->bm" if features.dim() == 2 else "bd,bmd->bm"
        showing, clicking = (
            torch.einsum(one, part, features) / width**0.5 + weights[:, last : last + 1]
            for part, last in ((weights[:, :width], 2 * width), (weights[:, width:-2], 2 * width + 1))
        )
        return ByItem(future, showing, clicking)
