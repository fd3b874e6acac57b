"""Large catalogues are looked at through a sample of their items, wherever a share will do for a count."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from instructrec.arrays import Ints
from instructrec.catalogue import Catalogue

LARGEST_WHOLE = 100_000
"""Catalogues of more items than this are sampled."""
SAMPLE = 50_000
"""How many items a sample holds."""


@dataclass(frozen=True)
class Sample:
    """Items that stand for a catalogue.

    Attributes:
        catalogue: The sampled items with their attributes: what their ranks and shares are is the whole's to say.
        items: Which of the whole's items they are, ascending, [num_sampled].
        scale: How many items each stands for; 1 where all of them are in it.
    """

    catalogue: Catalogue
    items: Ints
    scale: float


def sample_of(catalogue: Catalogue) -> Sample:
    """Returns all items of a catalogue, or the same `SAMPLE` of a large one every time."""
    size = catalogue.num_items
    if size <= LARGEST_WHOLE:
        return Sample(catalogue, np.arange(size), 1.0)
    items = np.sort(np.random.default_rng(size).choice(size, SAMPLE, replace=False))
    columns = {
        name: replace(column, masks=column.masks[items], numbers=column.numbers[items])
        for name, column in catalogue.columns.items()
    }
    chosen = items.tolist()
    sampled = replace(
        catalogue,
        columns=columns,
        titles=tuple(catalogue.titles[item] for item in chosen),
        texts=tuple(catalogue.texts[item] for item in chosen),
        item_ids=tuple(catalogue.item_ids[item] for item in chosen),
        popularity=catalogue.popularity[items],
    )
    return Sample(sampled, items, size / SAMPLE)
