"""What items are about, as users without words see it: shares of topics, and traits that an item's number decides."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.names import unknown_name
from instructrec.noise import Noise, Purpose, session_keys


def topic_shares(catalogue: Catalogue, column: str) -> npt.NDArray[np.float64]:
    """Returns how much of each item is about each topic, float64 [num_items, num_topics].

    An item's topics have equal shares that sum to 1; an item without any has zeros.

    Args:
        catalogue: The items.
        column: The attribute whose values are topics, categorical or multi-valued.

    Raises:
        ValueError: If there is no such attribute (the message suggests the nearest), or it holds numbers.
    """
    if column not in catalogue.columns:
        words = [name for name, each in catalogue.columns.items() if each.is_set]
        raise ValueError(unknown_name("column of topics", column, words) + "; the setting column chooses among them")
    if not catalogue.column(column).is_set:
        raise ValueError(f"the column {column!r} holds numbers; topics are words, categorical or multi-valued")
    has = catalogue.column(column).indicators().astype(np.float64)
    return np.asarray(has / np.maximum(has.sum(axis=1, keepdims=True), 1))


def luck_of_items(num_items: int, trait: int, size: int = 1) -> npt.NDArray[np.float64]:
    """Returns numbers in the open interval (0, 1) that hang on an item's number and the trait alone.

    Args:
        num_items: How many items.
        trait: What they are for: every trait of every population has a number of its own.
        size: How many per item.

    Returns:
        float64 [num_items, size].
    """
    item = np.arange(num_items, dtype=np.int64)
    keys = session_keys(np.full(num_items, trait, np.int64), item, np.zeros(num_items, np.int64))
    return Noise(keys, np.zeros(num_items, np.int32)).uniform(Purpose.PERCEPTION, size)


def of_slates(weights: Floats, items: Floats, slates: Ints) -> npt.NDArray[np.float64]:
    """Returns each user's weights times the vectors of the items shown, float64 [batch, slate_size].

    Args:
        weights: One vector per user, [batch, num_topics].
        items: One vector per item, [num_items, num_topics].
        slates: Item numbers, [batch, slate_size].
    """
    # Products and sums row by row: a matrix product would differ between a user alone and one in a crowd.
    return np.asarray((items[slates] * weights[:, None, :]).sum(axis=2))


def of_catalogue(weights: Floats, items: Floats) -> npt.NDArray[np.float64]:
    """Returns each user's weights times every item's vector, float64 [batch, num_items]; see `of_slates`."""
    total = np.zeros((len(weights), len(items)))
    for topic in range(items.shape[1]):
        total += weights[:, topic, None] * items[:, topic]
    return total
