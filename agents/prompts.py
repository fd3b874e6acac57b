"""A start for the scorer: what the language model makes of the catalogue's own names and numbers.

Before anybody has spoken, the agent words short prompts about the catalogue's attributes ("no horror", "after 1994"),
knows which items each is about, and fits how it reads texts to tell those items from the others. The prompts are the
agent's own and few; the instructions that people say, and what they mean by them, have no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import SlateScorer
from instructrec.arrays import Bools
from instructrec.catalogue import Catalogue, Column

WANTED = ("{}", "a {} movie", "I want {}", "something {}", "{} please", "show me {} films")
UNWANTED = (
    "no {}",
    "not {}",
    "without {}",
    "I don't want {}",
    "except {}",
    "anything but {}",
    "I hate {}",
    "nothing {}",
    "avoid {}",
    "no {} movies",
)
FROM = ("from {} on", "since {}", "{} or later", "not before {}")
AFTER = ("after {}", "made after {}")
UNTIL = ("until {}", "up to {}", "{} or earlier", "not after {}")
BEFORE = ("before {}", "made before {}")
BETWEEN = ("between {} and {}", "from {} to {}", "{} to {}", "{}-{}")
DECADE = ("{}s", "the {}s", "a {}s movie", "from the {}s", "{}s films")
HIGH, LOW = ("high {}", "a high {}", "very high {}"), ("low {}", "a low {}", "very low {}")
JOINED = ("{}, {}", "{} but {}", "{} and {}", "{}. {}", "{} {}")
NEUTRAL = (
    "more",
    "more please",
    "go on",
    "next",
    "another one",
    "anything",
    "surprise me",
    "a film",
    "a movie",
    "something good",
    "what do you suggest",
    "more like these",
    "what else",
    "keep going",
    "show me more",
)

_STRENGTH = 12.0
_FEWEST = 20


class Prompt(NamedTuple):
    """A text and the items it is about, [num_items]; None where it asks for nothing."""

    text: str
    items: Bools | None


def prompts_of(catalogue: Catalogue, *, joined: int = 1500, seed: int = 0) -> list[Prompt]:
    """Returns prompts about every attribute, pairs of them, and some that ask for nothing.

    Args:
        catalogue: The items.
        joined: How many pairs to try; those that leave fewer than 20 items are dropped.
        seed: Of the pairs.
    """
    rng = np.random.default_rng(seed)
    single: list[Prompt] = []
    for column in catalogue.columns.values():
        single.extend(_about_values(column) if column.is_set else _about_numbers(column, rng))
    prompts = list(single)
    for _ in range(joined if len(single) > 1 else 0):
        one, other = (single[place] for place in rng.choice(len(single), 2, replace=False))
        assert one.items is not None
        assert other.items is not None
        both = one.items & other.items
        if both.sum() >= _FEWEST:
            prompts.append(Prompt(JOINED[rng.integers(len(JOINED))].format(one.text, other.text), both))
    return prompts + [Prompt(text, None) for text in NEUTRAL for _ in range(6)]


def _about_values(column: Column) -> Iterator[Prompt]:
    has = column.indicators() > 0
    for place, value in enumerate(column.values):
        for form in WANTED:
            yield Prompt(form.format(value.lower()), has[:, place])
        for form in UNWANTED:
            yield Prompt(form.format(value.lower()), ~has[:, place])


def _about_numbers(column: Column, rng: np.random.Generator) -> Iterator[Prompt]:
    numbers = column.numbers.astype(np.float64)
    present = np.sort(numbers[~np.isnan(numbers)])
    if not len(present):
        return
    for form in HIGH:
        yield Prompt(form.format(column.name), numbers >= np.quantile(present, 0.85))
    for form in LOW:
        yield Prompt(form.format(column.name), numbers <= np.quantile(present, 0.3))
    years = np.array_equal(present, present.round()) and np.quantile(present, 0.01) > 1000 and present[-1] < 2200
    if not years:
        return
    said = np.unique(np.quantile(present, np.linspace(0.01, 0.99, 60)).round()).astype(int).tolist()
    for year in said:
        bounds: list[tuple[tuple[str, ...], Bools]] = [
            (FROM, numbers >= year),
            (AFTER, numbers > year),
            (UNTIL, numbers <= year),
            (BEFORE, numbers < year),
        ]
        for forms, items in bounds:
            for form in forms:
                yield Prompt(form.format(year), items)
    for decade in range(said[0] // 10 * 10, said[-1] + 1, 10):
        items = (numbers >= decade) & (numbers < decade + 10)
        for form in DECADE:
            yield Prompt(form.format(decade), items)
            if 1920 <= decade < 2000:
                yield Prompt(form.format(decade % 100), items)
    for _ in range(200 if len(said) > 1 else 0):
        low, high = sorted(rng.choice(said, 2, replace=False).tolist())
        form = BETWEEN[rng.integers(len(BETWEEN))]
        yield Prompt(form.format(low, high), (numbers >= low) & (numbers <= high))


def learn_prompts(
    scorer: SlateScorer, reader: SessionReader, catalogue: Catalogue, *, steps: int = 1200, seed: int = 0
) -> None:
    """Fits how the scorer reads texts to its own prompts; does nothing where the encoder has no token vectors.

    The wishes read from a prompt, as weights of item features, are regressed on which items the prompt is about, both
    sides weighing the same. Also sets how loud a request is against a text that asks for nothing.

    Args:
        scorer: Changed in place.
        reader: Turns texts into vectors.
        catalogue: The items.
        steps: Gradient steps.
        seed: Of pairs and minibatches.
    """
    if not scorer.reads_phrases:
        return
    prompts = prompts_of(catalogue, seed=seed)
    vectors = torch.from_numpy(reader.text_vectors([prompt.text for prompt in prompts]))
    nothing = np.zeros(catalogue.num_items, np.bool_)
    about = torch.from_numpy(np.stack([nothing if prompt.items is None else prompt.items for prompt in prompts]))
    optimiser = torch.optim.AdamW(scorer.reading_parameters(), lr=2e-3, weight_decay=0.01)
    luck = torch.Generator().manual_seed(seed)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 2e-3 * (1 - step / steps) + 1e-5
        rows = torch.randint(len(prompts), (128,), generator=luck)
        items = torch.randint(catalogue.num_items, (512,), generator=luck)
        loss = _loss(scorer.wishes(vectors[rows], items), about[rows][:, items], about[rows].float().mean(dim=1))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        loudness, asks = scorer.loudness(vectors), about.any(dim=1)
        scorer.quiet.copy_((loudness[asks].quantile(0.1) + loudness[~asks].mean()) / 2)


def _loss(scores: Tensor, about: Tensor, share: Tensor) -> Tensor:
    """Squared distance of centred scores from ± strength, items meant and not meant weighing the same."""
    centred = scores - scores.mean(dim=1, keepdim=True)
    share = share[:, None]
    some = share.clamp(0.02, 0.98)
    target = torch.where(about, 1 - some, -some) * 2 * _STRENGTH
    weight = torch.where(about, 0.5 / some, 0.5 / (1 - some))
    target, weight = torch.where(share > 0, target, 0.0), torch.where(share > 0, weight, 1.0)
    return (weight * (centred - target) ** 2).mean() / _STRENGTH**2
