"""Which values a text resembles that nothing in it names: "something to fry eggs in" means pans.

What was learned from prompts knows the words of prompts. Other words are held against the names of the values
themselves: every few neighbouring tokens of a text against each name, as directions of the language model. How alike
they must be is told by prompts that are about something else: a name that much resembles must be resembled more. What
resembles a name is then read as if the name stood there, so that "nothing to fry eggs in" refuses pans.

References:
    Reimers and Gurevych (2019), Sentence-BERT, arXiv 1908.10084 (means of token vectors as meanings); Yin, Hay and Roth
    (2019), Benchmarking zero-shot text classification, arXiv 1909.00161 (labels told by their names).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_REACHES = (1, 3, 5)
"""Neighbouring tokens that are looked at together."""
_OFTEN, _SELDOM = 0.9, 0.98
"""Shares of the prompts about something else whose resemblances are 0 and 1."""
_LEAST = 0.02
_HALF_SURE, _STEEP = 3.0, 2.0
"""The resemblance that means a value as often as not, and how soon more of it is sure."""
_TOLD_APART = 2.0
_ROWS = 256


class Resemblance(nn.Module):
    """Tells which values texts resemble.

    Args:
        kept: Length of a token's vector.
        num_values: How many values have names.
    """

    names: Tensor
    spoken: Tensor
    floor: Tensor
    unit: Tensor

    def __init__(self, kept: int, num_values: int) -> None:
        super().__init__()
        self.register_buffer("names", torch.zeros(kept, num_values))
        self.register_buffer("spoken", torch.zeros(num_values, kept))
        self.register_buffer("floor", torch.zeros(num_values))
        self.register_buffer("unit", torch.ones(num_values))

    def calibrate(self, names: Tensor, used: Tensor, own: Tensor, texts: list[Tensor], about: Tensor) -> None:
        """Takes names, and the measure of resemblance from texts.

        Args:
            names: Token vectors of each name, 0 at padding, [num_values, length, kept].
            used: Which are of tokens rather than padding, [num_values, length].
            own: Which of them are of the name itself, one at least, [num_values, length].
            texts: Token vectors of each text, [length, kept] each.
            about: Which values each text is about, bool [num_texts, num_values].
        """
        means = names.sum(dim=1) / used.sum(dim=1, keepdim=True).clamp_min(1)
        self.names.copy_(functional.normalize(means - means.mean(dim=0), dim=1).T)
        self.spoken.copy_((names * own[:, :, None]).sum(dim=1) / own.sum(dim=1, keepdim=True))
        found = []
        for at in range(0, len(texts), _ROWS):
            some = nn.utils.rnn.pad_sequence(texts[at : at + _ROWS], batch_first=True)
            used = torch.arange(some.shape[1]) < torch.tensor([len(text) for text in texts[at : at + _ROWS]])[:, None]
            found.append(self(some, used)[0])
        alike = torch.cat(found)
        for value in range(alike.shape[1]):
            others = alike[~about[:, value], value]
            if len(others):
                low, high = torch.quantile(others, torch.tensor([_OFTEN, _SELDOM]))
                self.floor[value], self.unit[value] = low, (high - low).clamp_min(_LEAST)

    def forward(self, tokens: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """Returns how much texts resemble values at most, and where.

        Args:
            tokens: Token vectors, 0 at padding, [batch, length, kept].
            used: Which are of tokens rather than padding, [batch, length].

        Returns:
            Resemblance, [batch, num_values]: 0 and less means nothing, 1 seldom means nothing. And whether a token is
            of what resembles, bool [batch, num_values, length].
        """
        first = torch.arange(used.shape[1])
        total = used.sum(dim=1, keepdim=True)
        before = functional.pad(tokens.cumsum(dim=1), (0, 0, 1, 0))
        rows = torch.arange(len(used))[:, None]
        alike, lasts = [], []
        for reach in _REACHES:
            # Of a text with fewer tokens all are looked at.
            last = first + total.clamp_max(reach)
            around = before[rows, last.clamp_max(used.shape[1])] - before[:, :-1]
            found = functional.normalize(around, dim=2) @ self.names
            alike.append(found.masked_fill((last > total)[:, :, None], -1.0))
            lasts.append(last)
        best, at = torch.cat(alike, dim=1).max(dim=1)
        start, stop = at % used.shape[1], torch.cat(lasts, dim=1).gather(1, at)
        inside = (first >= start[:, :, None]) & (first < stop[:, :, None])
        return (best - self.floor) / self.unit, inside


def meant(resemblance: Tensor) -> Tensor:
    """Returns the chances that values of one column are meant, [batch, num_values]; they sum to 1 at most.

    Args:
        resemblance: As `Resemblance` gives it, of all values of the column.
    """
    sure = torch.sigmoid(_STEEP * (resemblance.amax(dim=1, keepdim=True) - _HALF_SURE))
    return sure * torch.softmax(_TOLD_APART * resemblance, dim=1)
