"""Leaving the global random generators alone, which Stable-Baselines3 seeds and draws from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def own_luck() -> Iterator[None]:
    """Gives the global generators of Python, NumPy and torch back as they were."""
    state, words = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(state)
            np.random.set_state(words)  # noqa: NPY002
