"""What a text names: a linear reading of text vectors, fitted on the item texts, which name their items' attributes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats


@dataclass(frozen=True)
class Naming:
    """How strongly a text names each attribute: ``vector @ weights + offset``.

    It needs no text with a label. It says what is named, not whether it is wanted: "no horror" names horror.

    Attributes:
        weights: float32 [encoder width, num_named]; readings have unit spread over what people say.
        offset: float32 [num_named].
        trust: How well item texts tell each attribute: the share of its variance explained, float32 [num_named].
        num_sets: The first so many attributes are values of sets; the others are of numbers.
        phrases: How many phrases of a text are kept, those of the most clearly named set values; see `phrases`.
    """

    weights: npt.NDArray[np.float32]
    offset: npt.NDArray[np.float32]
    trust: npt.NDArray[np.float32]
    num_sets: int
    phrases: int = 0


def fit_naming(
    item_vectors: Floats, named: Floats, said_vectors: Floats, *, num_sets: int, phrases: int = 0, ridge: float = 3.0
) -> Naming:
    """Fits attributes to item texts by ridge regression.

    Args:
        item_vectors: Vectors of the item texts, [num_items, encoder width].
        named: The items' attributes, [num_items, num_named].
        said_vectors: Vectors of texts that people say: they tell what is a lot in an instruction, [num_texts, encoder
            width].
        num_sets: As in `Naming`.
        phrases: As in `Naming`.
        ridge: Strength of the ridge.
    """
    centred = item_vectors - item_vectors.mean(axis=0, dtype=np.float64)
    wanted = named - named.mean(axis=0, dtype=np.float64)
    gram = centred.T @ centred + ridge * np.eye(centred.shape[1])
    weights = np.linalg.solve(gram, centred.T @ wanted)
    trust = 1 - (wanted - centred @ weights).var(axis=0) / np.maximum(wanted.var(axis=0), 1e-9)
    weights = weights / np.maximum((said_vectors @ weights).std(axis=0), 1e-6)
    offset = -(said_vectors @ weights).mean(axis=0)
    return Naming(
        weights.astype(np.float32),
        offset.astype(np.float32),
        np.clip(trust, 0, 1).astype(np.float32),
        num_sets,
        min(phrases, num_sets),
    )
