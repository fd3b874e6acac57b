"""A buffer of the latest turns, for those who learn from them again and again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.sessions import Observation
from instructrec.texts import Texts

_SEEN = [part.name for part in fields(Observation) if part.name != "texts"]


class Turns:
    """The latest turns, by name; what is added is copied. Holds nothing at first.

    Args:
        capacity: How many turns.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity, self._at, self._size = capacity, 0, 0
        self._columns: dict[str, npt.NDArray[Any]] = {}

    def __len__(self) -> int:
        return self._size

    def add(self, **columns: npt.NDArray[Any]) -> None:
        """Adds turns, the oldest of too many forgotten; each column is [num_turns, …]."""
        count = len(next(iter(columns.values())))
        places = (self._at + np.arange(count)) % self._capacity
        for name, values in columns.items():
            if name not in self._columns:
                self._columns[name] = np.zeros((self._capacity, *values.shape[1:]), values.dtype)
            self._columns[name][places] = values
        self._at, self._size = (self._at + count) % self._capacity, min(self._size + count, self._capacity)

    def sample(self, size: int, rng: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
        """Returns turns at random, some maybe twice."""
        rows = rng.integers(0, self._size, size)
        return {name: values[rows] for name, values in self._columns.items()}


def columns_of(observation: Observation, prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Returns an observation as columns to add, each name with ``prefix`` before it."""
    found = {prefix + name: getattr(observation, name) for name in _SEEN}
    return {name: values for name, values in found.items() if values is not None}


def observation_of(turns: Mapping[str, npt.NDArray[Any]], prefix: str, texts: Texts) -> Observation:
    """Returns the observation that `columns_of` made columns of, in turns that were drawn."""
    columns: dict[str, Any] = {name: turns.get(prefix + name) for name in _SEEN}
    return Observation(**columns, texts=texts)
