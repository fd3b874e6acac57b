"""Reads what a text asks for word by word: what each word names, and whether it is wanted there.

A sentence's one vector hardly tells "no horror" from "horror". Its words' vectors, taken half-way up a language model,
do: each word *names* attributes, and its neighbours decide, by one number for all attributes alike, whether what it
names is wanted. So what is learned of "no" with one genre holds for every other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class TokenReader(nn.Module):
    """From the vectors of a text's tokens to signed wishes and a summary.

    Args:
        width: Length of a token's vector.
        num_names: How many set values (genres, brands) can be named.
        num_numbers: Width of the features of numbers (years, ratings) that can be asked for.
        summary: Width of the summary.
        context: Width of what is kept of a token to judge it by its neighbours.
        reach: How many tokens, centred, the judgement sees; odd.
    """

    def __init__(
        self, width: int, num_names: int, num_numbers: int, *, summary: int = 64, context: int = 64, reach: int = 5
    ) -> None:
        super().__init__()
        self.num_names = num_names
        self.names = nn.Linear(width, num_names)
        self.kept = nn.Linear(width, context)
        self.around = nn.Conv1d(context, context, reach, padding=reach // 2)
        self.wanted = nn.Linear(2 * context, 1)
        self.numbers = nn.Linear(2 * context, num_numbers)
        self.summary = nn.Linear(2 * context, summary)
        # At first hardly anything is named, and what is named is wanted.
        nn.init.normal_(self.names.weight, std=0.02)
        nn.init.constant_(self.names.bias, -2.0)
        nn.init.zeros_(self.wanted.weight)
        nn.init.constant_(self.wanted.bias, 2.0)
        nn.init.zeros_(self.numbers.weight)
        nn.init.zeros_(self.numbers.bias)

    @torch.no_grad()
    def know(self, prototypes: Tensor) -> None:
        """Starts from the names themselves: a word like a value's own name names that value.

        Args:
            prototypes: Mean token vectors of the values' names, [num_names, width].
        """
        centred = prototypes - prototypes.mean(dim=0)
        length = centred.norm(dim=1, keepdim=True).clamp_min(1e-6)
        # A token equal to its prototype reaches 3 above a token half-way between prototypes.
        self.names.weight.copy_(6.0 * centred / length**2)
        middle = (prototypes.mean(dim=0) + centred / 2) * self.names.weight
        self.names.bias.copy_(-middle.sum(dim=1))

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reads texts.

        Args:
            states: Token vectors, 0 at padding, [num_texts, num_tokens, width].

        Returns:
            Wishes for set values, positive where wanted and negative where not, [num_texts, num_names]; wishes for
            features of numbers, [num_texts, num_numbers]; and a summary, [num_texts, summary]. All are 0 for a text
            without tokens.
        """
        present = (states != 0).any(dim=2)
        length = max(int(present.any(dim=0).sum()), 1)
        states, present = states[:, :length], present[:, :length, None].to(states.dtype)
        kept = functional.gelu(self.kept(states)) * present
        around = functional.gelu(self.around(kept.transpose(1, 2)).transpose(1, 2))
        judged = torch.cat([kept, around], dim=2)
        wanted = torch.tanh(self.wanted(judged))
        named = functional.softplus(self.names(states)) * present
        wishes = (named * wanted).sum(dim=1)
        numbers = (self.numbers(judged) * present).sum(dim=1)
        spoken = present.sum(dim=1).clamp_min(1)
        summary = (functional.gelu(self.summary(judged)) * present).sum(dim=1) / spoken**0.5
        return wishes, numbers, summary
