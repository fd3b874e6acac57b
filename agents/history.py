"""A session's history by attention: the present turn looks among the earlier ones for what matters now.

Sums that fade forget in which turn something was clicked, and what had been asked for there. Here each earlier turn is
a vector of its own, of what was wished, what was shown, what was clicked and how long ago that was; the present turn's
state attends over them, or over nothing. What it finds is added to that state, and starts at zero.

References:
    Vaswani et al. (2017), Attention is all you need, NeurIPS, arXiv 1706.03762; Li et al. (2017), Neural attentive
    session-based recommendation, CIKM, arXiv 1711.04725 (attention over a session's clicks).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTH, _HEADS = 64, 4


class EarlierTurns(NamedTuple):
    """What happened at the earlier turns of sessions, oldest first; turns that were not yet are empty.

    Attributes:
        items: What was shown, int64 [batch, turns, slate_size]; any item where nothing was.
        shown: Where something was, [batch, turns, slate_size].
        clicked: What of it was clicked, [batch, turns, slate_size].
    """

    items: Tensor
    shown: Tensor
    clicked: Tensor


class HistoryAttention(nn.Module):
    """Attends over earlier turns.

    Args:
        state_width: Width of the present turn's state.
        num_wishes: How many wishes a text has.
        item_width: Width of an item's features.
        memory: How many earlier texts are read; turns longer ago than that count as equally long ago.
    """

    def __init__(self, *, state_width: int, num_wishes: int, item_width: int, memory: int) -> None:
        super().__init__()
        self.memory = memory
        self.enter = nn.Linear(num_wishes + 2 * item_width, _WIDTH)
        self.ages = nn.Parameter(torch.randn(memory, _WIDTH) / 2)
        self.sought = nn.Linear(state_width, _WIDTH)
        self.keys, self.values = nn.Linear(_WIDTH, _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.found = nn.Linear(_WIDTH, state_width, bias=False)
        nn.init.zeros_(self.found.weight)

    def forward(self, state: Tensor, wishes: Tensor, turns: EarlierTurns, table: Tensor) -> Tensor:
        """Returns what is added to the state, [batch, state_width]: nothing where there were no earlier turns.

        Args:
            state: Of the present turn, [batch, state_width].
            wishes: Of earlier texts, newest first, [batch, memory, num_wishes].
            turns: What was shown and clicked.
            table: The items' features, [num_items, item_width].
        """
        batch, number = turns.items.shape[:2]
        there = turns.shown.any(dim=2)
        # Sessions are mostly young: only what happened is worked out, one row per turn.
        row, turn = torch.nonzero(there, as_tuple=True)
        newest = number - 1 - there.to(torch.int8).flip(1).argmax(dim=1)
        ago = newest[row] - turn
        shown, clicked = turns.shown[row, turn].to(table.dtype), turns.clicked[row, turn].to(table.dtype)
        items = turns.items[row, turn]
        seen = functional.embedding_bag(
            items, table, mode="sum", per_sample_weights=shown / shown.sum(dim=1, keepdim=True)
        )
        taken = functional.embedding_bag(items, table, mode="sum", per_sample_weights=clicked / 3)
        age = ago.clamp_max(self.memory - 1)
        # Not by plain indexing: its gradient depends on which thread comes first.
        asked = wishes.flatten(0, 1).index_select(0, row * self.memory + age) * (ago < self.memory)[:, None]
        turned = functional.gelu(
            self.enter(torch.cat([4 * asked, seen, taken], dim=1)) + self.ages.index_select(0, age)
        )

        def by_turn(rows: Tensor) -> Tensor:  # [num_rows, _WIDTH] to [batch, turns, _HEADS, _WIDTH / _HEADS]
            whole = torch.zeros(batch * number, _WIDTH).index_copy(0, row * number + turn, rows)
            return whole.view(batch, number, _HEADS, -1)

        sought = self.sought(state).view(batch, _HEADS, -1)
        fit = torch.einsum("bhd,bthd->bht", sought, by_turn(self.keys(turned))) / math.sqrt(_WIDTH / _HEADS)
        fit = fit.masked_fill(~there[:, None], -math.inf)
        # One may look at nothing, which fits by 0 and is worth 0.
        weights = torch.softmax(functional.pad(fit, (1, 0)), dim=2)[:, :, 1:]
        found = torch.einsum("bht,bthd->bhd", weights, by_turn(self.values(turned)))
        out: Tensor = self.found(found.flatten(1))
        return out
