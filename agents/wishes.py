"""What a text asks for, attribute by attribute: a small network over a language model's token vectors.

"comedy, no horror" and "horror, no comedy" have nearly one sentence vector; a frozen bi-encoder does not hear the
"no". The vectors of single tokens do tell: the language model has mixed into each what stands around it. So a few
convolutions over them say of every token what it names and whether that is wanted, and the sum over tokens is the wish.
It is fitted to the agent's own prompts (`instructrec.agents.prompts`): no instruction that people say, no goal and no
reaction has a part in it. What it makes of words that no prompt has rests on the language model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from instructrec.agents.encoder import Progress, TextEncoder
from instructrec.agents.prompt_maker import Prompt
from instructrec.arrays import Bools, Floats, Ints

_KEPT = 384
"""Directions kept of the token vectors at most: single years differ along narrow ones."""
_WIDTH, _HEADS, _REACH = 96, 4, 5
_DROPOUT = 0.1
_TIMES = 24
_TOGETHER = 8
"""Steps whose prompts are drawn together and shared out by length, so that few are padded."""
_TEXTS = 4096
"""Prompts whose token vectors are in memory at a time; of the first so many, directions are found."""
_ITEMS = 1024
"""Items looked at in a gradient step."""
_FAINT = 0.03
_MOST_SURE = 0.02
"""Attributes that fewer items have than this weigh no more than if so many had them."""


class WishReader(nn.Module):
    """Reads wishes from token vectors.

    Args:
        state_width: Length of a token's vector.
        num_wishes: How many attributes there are.
        kept: Directions kept of the token vectors.
    """

    mean: Tensor
    basis: Tensor

    def __init__(self, state_width: int, num_wishes: int, kept: int = _KEPT) -> None:
        super().__init__()
        self.num_wishes = num_wishes
        self.register_buffer("mean", torch.zeros(state_width))
        self.register_buffer("basis", torch.zeros(state_width, kept))
        self.enter = nn.Linear(kept, _WIDTH)
        self.around = nn.ModuleList(nn.Conv1d(_WIDTH, _WIDTH, _REACH, padding=_REACH // 2) for _ in range(2))
        self.names = nn.Linear(kept, _HEADS * num_wishes)
        nn.init.normal_(self.names.weight, std=0.02)
        self.wanted = nn.Linear(_WIDTH, _HEADS)
        self.rest = nn.Linear(_WIDTH, num_wishes + 1)
        nn.init.zeros_(self.rest.weight)
        nn.init.zeros_(self.rest.bias)
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(self, states: Tensor, used: Tensor) -> Tensor:
        """Returns wishes, and last the log-odds that the text goes on from what was said, [batch, num_wishes + 1].

        Args:
            states: Token vectors, [batch, length, state_width].
            used: Which are of tokens rather than padding, [batch, length].
        """
        return self.read(self.directions(states, used), used)

    def directions(self, states: Tensor, used: Tensor) -> Tensor:
        """Returns the main directions of token vectors, 0 at padding, [batch, length, kept]."""
        return (states - self.mean) @ self.basis * used[:, :, None]

    def read(self, tokens: Tensor, used: Tensor) -> Tensor:
        """Returns what `forward` does, from what `directions` gives."""
        there, tokens = used[:, :, None].to(tokens.dtype), self.dropout(tokens)
        hidden = functional.gelu(self.enter(tokens)) * there
        for layer in self.around:
            hidden = hidden + functional.gelu(layer(hidden.transpose(1, 2)).transpose(1, 2)) * there
        # What tokens name by how much each is wanted, summed over tokens; first the sum, as names are linear.
        wanted = self.wanted(hidden) * there
        names = self.names.weight.view(_HEADS, self.num_wishes, -1)
        wishes = torch.einsum("bhk,hnk->bn", wanted.transpose(1, 2) @ tokens, names)
        wishes = wishes + wanted.sum(dim=1) @ self.names.bias.view(_HEADS, self.num_wishes)
        rest = (self.rest(hidden) * there).sum(dim=1)
        length = there.sum(dim=1).clamp_min(1)
        return torch.cat([wishes + rest[:, :-1] / 4, rest[:, -1:] / length], dim=1)


@dataclass(frozen=True)
class Wishes:
    """A fitted `WishReader`.

    Attributes:
        weights: Its parameters and buffers by name.
    """

    weights: Mapping[str, npt.NDArray[np.float32]] = field(repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights and of how they are used, hex."""
        digest = hashlib.sha256(b"wishes-2")
        for name, array in sorted(self.weights.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def num_wishes(self) -> int:
        """How many attributes are read."""
        return len(self.weights["rest.bias"]) - 1

    def reader(self) -> WishReader:
        """Returns the network."""
        basis = self.weights["basis"]
        reader = WishReader(basis.shape[0], self.num_wishes, basis.shape[1])
        reader.load_state_dict({name: torch.from_numpy(array) for name, array in self.weights.items()})
        return reader.eval().requires_grad_(False)


def fit_wishes(
    encoder: TextEncoder,
    table: Floats,
    prompts: Sequence[Prompt],
    *,
    steps: int | None = None,
    batch: int = 128,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> Wishes | None:
    """Fits a reader to prompts, so that ``wishes @ table.T`` is 1 more for items that a part of a prompt is about.

    Every part is a wish of its own: "comedy, no horror" lifts comedies by 1 and lowers horror films by 1. Items that a
    part is about, and items that it is not about, weigh the same.

    Args:
        encoder: The language model.
        table: The items' attributes, [num_items, num_wishes].
        prompts: What to learn from.
        steps: Gradient steps; if omitted, so many that each prompt is looked at `_TIMES` times.
        batch: Prompts per step.
        learning_rate: Of AdamW; falls in a straight line.
        seed: Of the start and the order.
        progress: Called with (done, total).

    Returns:
        What was fitted; None where there are no prompts.
    """
    if not prompts:
        return None
    if steps is None:
        steps = max(1, _TIMES * len(prompts) // batch)
    tokens, starts, lengths, mean, basis = _tokens(encoder, [prompt.text for prompt in prompts])
    luck = torch.Generator().manual_seed(seed)
    # In an order of their own, so that any items that lie together are a fair sample.
    order = torch.randperm(len(table), generator=luck).numpy()
    sets, parts, terms = _targets(prompts, order)
    follows = torch.tensor([float(prompt.follows) for prompt in prompts])
    # Steps of a number go together; along directions that do not, learning is many times faster.
    turn = _apart(table)
    attributes = torch.from_numpy(np.ascontiguousarray(table[order] @ turn.T, np.float32))
    blocks = -(-len(table) // _ITEMS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = WishReader(len(mean), table.shape[1], basis.shape[1])
        reader.mean, reader.basis = mean, basis
        optimiser = torch.optim.AdamW(reader.parameters(), lr=learning_rate, weight_decay=0.01)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = learning_rate * min(1, (step + 1) / 50) * (1 - step / steps)
            if step % _TOGETHER == 0:
                drawn = torch.randint(len(prompts), (_TOGETHER * batch,), generator=luck)
                turns = drawn[lengths[drawn].argsort(stable=True)].view(_TOGETHER, batch)
                turns = turns[torch.randperm(_TOGETHER, generator=luck)]
            rows = turns[step % _TOGETHER]
            block = int(torch.randint(blocks, (1,), generator=luck))
            items = slice(block * len(table) // blocks, (block + 1) * len(table) // blocks)
            used = torch.arange(int(lengths[rows].max())) < lengths[rows][:, None]
            places = (starts[rows][:, None] + torch.arange(used.shape[1])) * used
            found = reader.read(tokens[places].float() * used[:, :, None], used)
            scores = found[:, :-1] @ attributes[items].T
            loss = _loss(scores, sets[:, items][parts[rows]], terms[rows])
            loss = loss + 0.1 * functional.binary_cross_entropy_with_logits(found[:, -1], 0.05 + 0.9 * follows[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(reader.parameters(), 0.2)
            optimiser.step()
            if progress is not None and (step + 1) % 20 == 0:
                progress(step + 1, steps)
    weights = {name: value.detach().numpy().copy() for name, value in reader.state_dict().items()}
    for name in ("names.weight", "names.bias"):
        heads = weights[name].reshape(_HEADS, len(turn), -1)
        weights[name] = np.einsum("wv,hwk->hvk", turn, heads).reshape(weights[name].shape).astype(np.float32)
    for name in ("rest.weight", "rest.bias"):
        weights[name][:-1] = (turn.T @ weights[name][:-1]).astype(np.float32)
    return Wishes(weights)


def _apart(table: Floats) -> Floats:
    """Returns how to turn attributes so that they are uncorrelated and, but for faint ones, of one spread."""
    centred = table - table.mean(axis=0, dtype=np.float64)
    spread, directions = np.linalg.eigh(centred.T @ centred / len(table))
    spread = np.sqrt(np.maximum(spread, 0))
    turn: Floats = (directions / np.maximum(spread, max(_FAINT * spread.max(), 1e-9))).T
    return turn


def _tokens(encoder: TextEncoder, texts: Sequence[str]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Returns the main directions of all tokens of texts, one after another.

    Returns:
        Them, float16 [num_tokens, kept]; where each text begins, and how many tokens it has, [num_texts]; and the mean
        [state_width] and basis [state_width, kept] that they came by.
    """
    rows = encoder.tokenize(texts)
    used = rows != encoder.pad_id
    used[:, 0] |= ~used.any(axis=1)
    lengths = rows.shape[1] - used[:, ::-1].argmax(axis=1)
    found: list[Tensor] = []
    mean = basis = torch.empty(0)
    for at in range(0, len(rows), _TEXTS):
        there = np.arange(rows.shape[1]) < lengths[at : at + _TEXTS, None]
        states = torch.from_numpy(encoder.states(rows[at : at + _TEXTS])[there])
        if not found:
            mean, basis = _main_directions(states, min(_KEPT, states.shape[1]))
        found.extend(((block.float() - mean) @ basis).half() for block in torch.split(states, 8192))
    starts = np.cumsum(lengths) - lengths
    return torch.cat(found), torch.from_numpy(starts), torch.from_numpy(lengths), mean, basis


def _targets(prompts: Sequence[Prompt], order: Ints) -> tuple[Tensor, Tensor, Tensor]:
    """Returns which items parts are about, and how targets and weights are made of that.

    Args:
        prompts: What is asked.
        order: Of the items, [num_items].

    Returns:
        Distinct sets of items, [num_sets, num_items]; which of them the parts are about, [num_prompts, most parts]; and
        [num_prompts, 2, 1 + most parts]: a constant and what each part that is about an item adds, for targets and for
        weights. Items meant and not meant weigh the same.
    """
    most = max(1, *(len(prompt.parts) for prompt in prompts))
    places: dict[bytes, int] = {}
    sets: list[Bools] = [np.zeros(len(order), np.bool_)]
    parts = np.zeros((len(prompts), most), np.int64)
    terms = np.zeros((len(prompts), 2, 1 + most), np.float32)
    for row, prompt in enumerate(prompts):
        terms[row, 1, 0] = not prompt.parts
        for place, items in enumerate(prompt.parts):
            parts[row, place] = places.setdefault(np.packbits(items).tobytes(), len(sets))
            if parts[row, place] == len(sets):
                sets.append(items[order])
            share = float(items.mean())
            some = float(np.clip(share, _MOST_SURE, 1 - _MOST_SURE))
            yes, no = 0.5 / some / len(prompt.parts), 0.5 / (1 - some) / len(prompt.parts)
            terms[row, :, 0] += (-share, no)
            terms[row, :, 1 + place] = (1, yes - no)
    return torch.from_numpy(np.stack(sets)), torch.from_numpy(parts), torch.from_numpy(terms)


def _main_directions(tokens: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """Returns the mean of token vectors and their widest directions, the widest shortened to the spread of others."""
    tokens = tokens.double()
    mean = tokens.mean(dim=0)
    spread, directions = torch.linalg.eigh((tokens - mean).T @ (tokens - mean) / len(tokens))
    spread, directions = spread.flip(0)[:kept].clamp_min(1e-12).sqrt(), directions.flip(1)[:, :kept]
    # The same directions on every platform's eigensolver, up to rounding.
    directions = directions * torch.where(directions.gather(0, directions.abs().argmax(0)[None]) < 0, -1.0, 1.0)
    basis = directions / torch.maximum(spread, spread[kept // 4].clamp_min(1e-3 * float(spread[0])))
    return mean.float(), basis.float()


def _loss(scores: Tensor, about: Tensor, terms: Tensor) -> Tensor:
    """Returns the weighted squared distance of centred scores from the sum over parts; see `_targets`."""
    target, weight = torch.baddbmm(terms[:, :, :1], terms[:, :, 1:], about.to(terms.dtype)).unbind(1)
    centred = scores - scores.mean(dim=1, keepdim=True)
    return (weight * (centred - target) ** 2).mean()


class _Reading:
    """A reader as a `Head`."""

    def __init__(self, reader: WishReader) -> None:
        self._reader = reader
        self.width = reader.num_wishes + 1

    def __call__(self, states: Tensor, used: Tensor) -> Tensor:
        return cast("Tensor", self._reader(states, used))


_ENCODERS: WeakKeyDictionary[TextEncoder, dict[str, TextEncoder]] = WeakKeyDictionary()


def wish_encoder(encoder: TextEncoder, wishes: Wishes | None) -> TextEncoder:
    """Returns an encoder of sentences and, after them, wishes over the same tokens; ``encoder`` itself without any.

    Args:
        encoder: The language model and its cache.
        wishes: How to read token vectors; the same ones give the same encoder, so that its memory is shared.

    Raises:
        ValueError: If they were fitted with a language model of another width.
    """
    if wishes is None:
        return encoder
    known = _ENCODERS.setdefault(encoder, {})
    if wishes.fingerprint not in known:
        width = len(wishes.weights["mean"])
        if width != encoder.state_width:
            raise ValueError(
                f"these features were fitted with another language model: its tokens have vectors of {width} numbers, "
                f"those of {encoder.fingerprint} have {encoder.state_width}; use the same model, or train again"
            )
        known[wishes.fingerprint] = encoder.with_head(_Reading(wishes.reader()), wishes.fingerprint)
    return known[wishes.fingerprint]
