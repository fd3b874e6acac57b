"""What a text asks for, attribute by attribute: a small network over a language model's token vectors.

"comedy, no horror" and "horror, no comedy" have nearly one sentence vector; a frozen bi-encoder does not hear the
"no". The vectors of single tokens do tell: the language model has mixed into each what stands around it. So a few
convolutions over them say of every token what it names and whether that is wanted, and what all tokens say is the wish.
It is fitted to the agent's own prompts (`instructrec.agents.prompts`): no instruction that people say, no goal and no
reaction has a part in it. What it makes of words that no prompt has rests on the language model: where nothing of a
column was named, what the text resembles is taken for meant (`instructrec.agents.resemblance`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from instructrec.agents.attributes import Attributes
from instructrec.agents.comparisons import PLACES, Comparisons, chosen, comparison_width
from instructrec.agents.encoder import Progress, TextEncoder
from instructrec.agents.prompt_maker import Prompt
from instructrec.agents.resemblance import Resemblance, meant
from instructrec.arrays import Floats

READING = 6
"""Raised whenever texts are read in another way, so that what was learned before is not taken for the same."""
_KEPT = 384
"""Directions kept of the token vectors at most: single years differ along narrow ones."""
_WIDTH, _HEADS, _REACH = 96, 2, 5
_DROPPED = 51
"""Of 256 numbers about a token, how many are left out while learning."""
_HESITATION = 2.0
"""How much has to speak for something before it counts in full."""
_RAREST = 1e-3
_LONGEST = 5.0
_TIMES, _FEWEST_STEPS = 8, 200
_TOGETHER = 8
"""Steps whose prompts are drawn together and shared out by length, so that few are padded."""
_NAMED = "a {}"
"""How a value is called when texts are held against it."""
_GUESSED = 0.05
"""What is less likely to be meant than this is not read again."""
_CALIBRATED = 1500
"""Prompts that the measure of resemblance is taken from."""
_TEXTS = 4096
"""Prompts whose token vectors are in memory at a time; of the first so many, directions are found."""


class WishReader(nn.Module):
    """Reads wishes from token vectors.

    It tells of every value whether items are to have it, whether they are to lack it, and whether it is one of several
    that will do; of every number at which step what is wanted begins and at which it ends, if at any; and whether a
    number is to be larger or smaller than that of an item shown, and where that stood. What speaks for each adds up
    over tokens and nothing speaks against it, so that a long text is read as well as a short one. Chances saturate:
    what is not spoken of counts next to nothing, what is spoken of next to 1.

    Args:
        state_width: Length of a token's vector.
        kept: Directions kept of the token vectors.
        num_wishes: How many attributes there are.
        num_values: How many of them, the first, are values that items have or lack.
        num_columns: How many columns of the catalogue the values are of.
        num_numbers: How many numbers there are steps of.
        num_answers: How many things the network tells apart; see `_answers`.
    """

    mean: Tensor
    basis: Tensor
    spread: Tensor
    columns: Tensor
    steps: Tensor

    def __init__(
        self,
        state_width: int,
        kept: int,
        *,
        num_wishes: int,
        num_values: int,
        num_columns: int,
        num_numbers: int,
        num_answers: int,
    ) -> None:
        super().__init__()
        self.num_values = num_values
        self.register_buffer("mean", torch.zeros(state_width))
        self.register_buffer("basis", torch.zeros(state_width, kept))
        self.register_buffer("spread", torch.ones(num_wishes))
        self.register_buffer("columns", torch.zeros(num_columns, 2, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros(num_numbers, 2, dtype=torch.int64))
        self.enter = nn.Linear(kept, _WIDTH)
        self.around = nn.ModuleList(nn.Linear(_REACH * _WIDTH, _WIDTH) for _ in range(2))
        self.names = nn.Linear(kept, _HEADS * num_answers)
        nn.init.normal_(self.names.weight, std=0.02)
        self.wanted = nn.Linear(_WIDTH, _HEADS)
        self.rest = nn.Linear(_WIDTH, num_answers)
        nn.init.zeros_(self.rest.weight)
        nn.init.zeros_(self.rest.bias)
        self.silence = nn.Parameter(torch.zeros(num_answers))
        self.resemblance = Resemblance(kept, num_values)

    def forward(self, states: Tensor, used: Tensor) -> Tensor:
        """Returns what `wish_encoder` appends to a text's vector, [batch, width].

        Args:
            states: Token vectors, [batch, length, state_width].
            used: Which are of tokens rather than padding, [batch, length].
        """
        tokens = self.directions(states, used)
        answers = self.read(tokens, used)
        ends = answers[:, 3 * self.num_values : -1]
        ends, ways, places = torch.split(ends, [self._num_ends, 1 + 2 * len(self.steps), 2 + PLACES], dim=1)
        wanted, unwanted, either = self._told(answers).unbind(1)
        wishes = torch.zeros(len(answers), len(self.spread))
        wishes[:, : self.num_values] = wanted - unwanted + self._guessed(tokens, used, answers)
        for start, stop in self.steps.tolist():
            size = stop - start + 1
            wishes[:, start:stop] = ends[:, :size].softmax(1)[:, 1:] - ends[:, size : 2 * size].softmax(1)[:, 1:]
            ends = ends[:, 2 * size :]
        compared = [ways.softmax(1)[:, 1:], places.softmax(1)[:, 1:]]
        return torch.cat([*compared, either, wishes * self.spread, answers[:, -1:]], dim=1)

    @property
    def width(self) -> int:
        """How many numbers it makes of a text."""
        return comparison_width(len(self.steps)) + self.num_values + len(self.spread) + 1

    @property
    def _num_ends(self) -> int:
        """How many things it tells apart to tell where numbers begin and end."""
        return 2 * int((self.steps[:, 1] - self.steps[:, 0] + 1).sum())

    def _told(self, answers: Tensor) -> Tensor:
        """Returns the chances that each value is wanted, unwanted, or will do, [batch, 3, num_values]."""
        return answers[:, : 3 * self.num_values].sigmoid().view(-1, 3, self.num_values)

    def _guessed(self, tokens: Tensor, used: Tensor, answers: Tensor) -> Tensor:
        """Returns wishes for values that texts resemble, [batch, num_values]: 0 in columns of which values are named.

        The same tokens do not speak of two columns: a desk is no word for the office.

        Args:
            tokens: As `directions` gives them.
            used: Which are of tokens rather than padding, [batch, length].
            answers: As `read` gives them.
        """
        named = self._told(answers).amax(dim=1)
        resemblance, places = self.resemblance(tokens, used)
        guesses, columns = torch.zeros_like(resemblance), self.columns.tolist()
        # Of every column what it is about, how surely, and where.
        about, sure = [], []
        for start, stop in columns:
            (chance, value), (alike, nearest) = named[:, start:stop].max(dim=1), resemblance[:, start:stop].max(dim=1)
            about.append(start + torch.where(chance > 0.5, value, nearest))
            sure.append(torch.where(chance > 0.5, torch.inf, alike))
        batch = torch.arange(len(tokens))
        where = [places[batch, values] for values in about]
        for number, (start, stop) in enumerate(columns):
            chances = meant(resemblance[:, start:stop]) * (1 - named[:, start:stop].amax(dim=1, keepdim=True))
            for other in range(len(columns)):
                taken = (sure[other] > sure[number]) & (where[other] & where[number]).any(dim=1)
                chances = chances * ~taken[:, None]
            rows = torch.nonzero(chances.sum(dim=1) > _GUESSED)[:, 0]
            # Read once more, with the name in the place of what resembles it.
            name = self.resemblance.spoken[about[number][rows], None]
            instead = torch.where(where[number][rows, :, None], name, tokens[rows])
            told = self._told(self.read(instead, used[rows]))[torch.arange(len(rows)), :, about[number][rows]]
            guesses[rows, start:stop] = chances[rows] * (told[:, :1] - told[:, 1:2])
        return guesses

    def directions(self, states: Tensor, used: Tensor) -> Tensor:
        """Returns the main directions of token vectors, 0 at padding, [batch, length, kept]."""
        return (states - self.mean) @ self.basis * used[:, :, None]

    def read(self, tokens: Tensor, used: Tensor) -> Tensor:
        """Returns the log-odds of answers, [batch, num_answers], from what `directions` gives; see `_answers`."""
        there, tokens = used[:, :, None].to(tokens.dtype), _thinned(tokens) if self.training else tokens
        hidden = functional.gelu(self.enter(tokens)) * there
        for layer in self.around:
            hidden = hidden + functional.gelu(layer(_neighbours(hidden))) * there
        # What tokens name, by how much each is wanted.
        speaks = self.rest(hidden)
        for names, wanted in zip(self.names(tokens).chunk(_HEADS, dim=2), self.wanted(hidden).unbind(2), strict=True):
            speaks = speaks + names * wanted[:, :, None]
        return self.silence + (functional.softplus(speaks - _HESITATION) * there).sum(dim=1)


def _neighbours(hidden: Tensor) -> Tensor:
    """Returns each token beside those around it, zeros beyond the ends, [batch, length, _REACH * width].

    A matrix product of these is a convolution whose last bits do not depend on how many texts are read together.
    """
    around = functional.pad(hidden, (0, 0, _REACH // 2, _REACH // 2))
    return around.unfold(1, _REACH, 1).flatten(2)


def _thinned(tokens: Tensor) -> Tensor:
    """Returns tokens with some numbers left out, as dropout does; a byte decides about each, which is much faster."""
    words = torch.randint(torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max, (-(-tokens.numel() // 8),))
    kept = words.view(torch.uint8)[: tokens.numel()].view(tokens.shape) >= _DROPPED
    return tokens * kept * (256 / (256 - _DROPPED))


@dataclass(frozen=True)
class Wishes:
    """A fitted `WishReader`.

    Attributes:
        weights: Its parameters and buffers by name.
    """

    weights: Mapping[str, npt.NDArray[Any]] = field(repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights and of how they are used, hex."""
        digest = hashlib.sha256(f"wishes-{READING}".encode())
        for name, array in sorted(self.weights.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def num_wishes(self) -> int:
        """How many attributes are read."""
        return len(self.weights["spread"])

    @property
    def num_values(self) -> int:
        """How many of them, the first, are values that items have or lack."""
        return len(self.weights["resemblance.floor"])

    def comparisons(self, table: Floats) -> Comparisons:
        """Returns what turns comparisons that are read into wishes.

        Args:
            table: The items' features, [num_items, width]; the attributes' columns are the first.
        """
        return Comparisons.of(table, self.weights["steps"], self.weights["spread"])

    def reader(self) -> WishReader:
        """Returns the network."""
        reader = WishReader(
            *self.weights["basis"].shape,
            num_wishes=self.num_wishes,
            num_values=self.num_values,
            num_columns=len(self.weights["columns"]),
            num_numbers=len(self.weights["steps"]),
            num_answers=len(self.weights["silence"]),
        )
        reader.load_state_dict({name: torch.from_numpy(array) for name, array in self.weights.items()})
        return reader.eval().requires_grad_(False)


def fit_wishes(
    encoder: TextEncoder,
    attributes: Attributes,
    prompts: Sequence[Prompt],
    *,
    steps: int | None = None,
    batch: int = 128,
    learning_rate: float = 3e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> Wishes | None:
    """Fits a reader to prompts, so that ``wishes @ attributes.scaled.T`` is 1 more for what a part of one is about.

    Every part is a wish of its own: "comedy, no horror" lifts comedies by 1 and lowers horror films by 1. "A comedy or
    a western" is apart: as one of several values that will do.

    Args:
        encoder: The language model.
        attributes: What the items have.
        prompts: What to learn from.
        steps: Gradient steps; if omitted, so many that each prompt is looked at `_TIMES` times, `_FEWEST_STEPS` at
            least.
        batch: Prompts per step, no more than there are.
        learning_rate: Of AdamW; falls in a straight line.
        seed: Of the start and the order.
        progress: Called with (done, total).

    Returns:
        What was fitted; None where there are no prompts.
    """
    if not prompts:
        return None
    batch = min(batch, len(prompts))
    if steps is None:
        steps = max(_FEWEST_STEPS, _TIMES * len(prompts) // batch)
    tokens, starts, lengths, mean, basis = _tokens(encoder, [prompt.text for prompt in prompts])
    luck = torch.Generator().manual_seed(seed)
    answers = _answers(attributes, prompts)
    ends = [3 * attributes.num_values]
    for column in attributes.steps:
        ends += [ends[-1] + column.stop - column.start + 1, ends[-1] + 2 * (column.stop - column.start + 1)]
    ends += [ends[-1] + 1 + 2 * len(attributes.steps), ends[-1] + 3 + 2 * len(attributes.steps) + PLACES]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = WishReader(
            *basis.shape,
            num_wishes=attributes.table.shape[1],
            num_values=attributes.num_values,
            num_columns=len(attributes.values),
            num_numbers=len(attributes.steps),
            num_answers=answers.shape[1],
        )
        reader.mean, reader.basis = mean, basis
        reader.spread = torch.from_numpy(attributes.spread.astype(np.float32))
        reader.columns, reader.steps = _bounds(attributes.values), _bounds(attributes.steps)
        some = torch.split(tokens[: int(lengths[:_CALIBRATED].sum())], lengths[:_CALIBRATED].tolist())
        _calibrate(reader, encoder, attributes, prompts[:_CALIBRATED], some)
        often = answers.mean(dim=0).clamp(_RAREST, 1 - _RAREST)
        with torch.no_grad():
            reader.silence.copy_(often.logit() - 1)
        optimiser = torch.optim.AdamW(reader.parameters(), lr=learning_rate, weight_decay=0.01)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = learning_rate * min(1, (step + 1) / 50) * (1 - step / steps)
            if step % _TOGETHER == 0:
                drawn = torch.randint(len(prompts), (_TOGETHER * batch,), generator=luck)
                turns = drawn[lengths[drawn].argsort(stable=True)].view(_TOGETHER, batch)
                turns = turns[torch.randperm(_TOGETHER, generator=luck)]
            rows = turns[step % _TOGETHER]
            used = torch.arange(int(lengths[rows].max())) < lengths[rows][:, None]
            places = (starts[rows][:, None] + torch.arange(used.shape[1])) * used
            found = reader.read(tokens[places].float() * used[:, :, None], used)
            loss = _loss(found, answers[rows], ends)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(reader.parameters(), _LONGEST)
            optimiser.step()
            if progress is not None and (step + 1) % 20 == 0:
                progress(step + 1, steps)
    return Wishes({name: value.detach().numpy().copy() for name, value in reader.state_dict().items()})


def _answers(attributes: Attributes, prompts: Sequence[Prompt]) -> Tensor:
    """Returns what is to be read from prompts, 0 to 1, [num_prompts, num_answers].

    They are: of every value, whether items are to have it; whether they are to lack it; whether it is one of
    several that will do; of every number, whether what is wanted begins nowhere or at one of its steps, and whether it
    ends nowhere or at one of them; what it compares, if anything, and with the item at which place; whether the prompt
    goes on from what was said before.
    """
    known: dict[bytes, tuple[Floats, Floats]] = {}
    steps = sum(2 * (1 + column.stop - column.start) for column in attributes.steps)
    compared = comparison_width(len(attributes.steps)) + 2
    answers = np.zeros((len(prompts), 3 * attributes.num_values + steps + compared + 1), np.float32)
    for row, prompt in enumerate(prompts):
        asked, either = np.zeros((2, attributes.table.shape[1])), np.zeros(attributes.num_values)
        for items in prompt.parts:
            key = np.packbits(items).tobytes()
            if key not in known:
                known[key] = attributes.described(items)
            weights, several = known[key]
            asked, either = asked + np.clip([weights, -weights], 0, 1), np.maximum(either, several)
        parts = [asked[:, : attributes.num_values].clip(0, 1).ravel(), either]
        for column in attributes.steps:
            ends = asked[:, column] / np.maximum(asked[:, column].sum(axis=1, keepdims=True), 1)
            parts.append(np.concatenate([1 - ends.sum(axis=1, keepdims=True), ends], axis=1).ravel())
        parts.append(chosen(prompt.comparison, attributes.numbers))
        # Never quite sure, so that what a text says of the texts before it stays a matter of degree.
        answers[row] = np.concatenate([*parts, [0.95 if prompt.follows else 0.05]])
    return torch.from_numpy(answers)


def _loss(found: Tensor, answers: Tensor, ends: Sequence[int]) -> Tensor:
    """Returns the cross-entropy of log-odds with answers, added up over all that there is to tell.

    Args:
        found: Log-odds, [batch, num_answers].
        answers: What is so, [batch, num_answers].
        ends: Where the answers of which one or none is true begin, and where each choice of one ends.
    """
    apart = torch.cat([torch.arange(ends[0]), torch.tensor([found.shape[1] - 1])])
    told = functional.binary_cross_entropy_with_logits(found[:, apart], answers[:, apart], reduction="sum")
    for start, stop in pairwise(ends):
        told = told - (found[:, start:stop].log_softmax(dim=1) * answers[:, start:stop]).sum()
    return told / len(found)


def _calibrate(
    reader: WishReader,
    encoder: TextEncoder,
    attributes: Attributes,
    prompts: Sequence[Prompt],
    texts: Sequence[Tensor],
) -> None:
    """Holds prompts against the names of values.

    Args:
        reader: What is to tell resemblance; its directions are known.
        encoder: The language model.
        attributes: What the items have.
        prompts: Some prompts.
        texts: Their tokens, as `WishReader.directions` gives them, [length, kept] each.
    """
    if not attributes.names:
        return
    rows = encoder.tokenize([_NAMED.format(name.lower()) for name in attributes.names])
    used = torch.from_numpy(rows != encoder.pad_id)
    # Whatever stands in a name that is none, the model's own marks among it, is no part of a name.
    own = used & ~torch.from_numpy(np.isin(rows, encoder.tokenize([_NAMED.format("").strip()])))
    own |= used & ~own.any(dim=1, keepdim=True)
    names = reader.directions(torch.from_numpy(encoder.states(rows)).float(), used)
    about = [sum((attributes.named(items) for items in prompt.parts), np.zeros(len(names))) for prompt in prompts]
    reader.resemblance.calibrate(
        names, used, own, [text.float() for text in texts], torch.from_numpy(np.array(about) != 0)
    )


def _bounds(columns: Sequence[slice]) -> Tensor:
    """Returns where columns begin and end, int64 [num_columns, 2]."""
    return torch.tensor([(part.start, part.stop) for part in columns], dtype=torch.int64).reshape(-1, 2)


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


class _Reading:
    """A reader as a `Head`."""

    def __init__(self, reader: WishReader) -> None:
        self._reader, self.width = reader, reader.width

    def __call__(self, states: Tensor, used: Tensor) -> Tensor:
        return cast("Tensor", self._reader(states, used))


_ENCODERS: WeakKeyDictionary[TextEncoder, dict[str, TextEncoder]] = WeakKeyDictionary()


def wish_encoder(encoder: TextEncoder, wishes: Wishes | None) -> TextEncoder:
    """Returns an encoder that appends to sentences what is asked for; ``encoder`` itself without ``wishes``.

    A text's vector goes on with what it compares (`Comparisons.wishes` takes it), [comparison_width]; with how sure it
    is of each value that it is one of several that will do, [num_values]; with weights of attributes, [num_wishes]; and
    with the log-odds that it goes on from what was said before.

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
