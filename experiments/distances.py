"""Distances between samples, and the noise floor below which they say nothing.

A sample is an array with one row per unit, that is what is drawn independently: people, sessions, queries, dialogues.

References:
    Lin (1991), Divergence measures based on the Shannon entropy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Floats

Units: TypeAlias = npt.NDArray[Any]
"""A sample: one row per unit."""
Distance: TypeAlias = Callable[[Units, Units], float]

HALVINGS = 40
TOP_SHARES = np.logspace(-4, 0, 81)
"""The top shares of items at which `concentration` is taken: a ten-thousandth to all."""


def divergence(one: Floats, other: Floats) -> float:
    """Returns the Jensen–Shannon divergence of two lists of counts, in bits: 0 to 1, which is also that to nothing."""
    if not one.sum() or not other.sum():
        return float(bool(one.sum()) != bool(other.sum()))
    p, q = one / one.sum(), other / other.sum()
    middle = (p + q) / 2

    def relative(part: Floats) -> float:
        at = part > 0
        return float((part[at] * np.log2(part[at] / middle[at])).sum())

    return max((relative(p) + relative(q)) / 2, 0.0)


def largest_gap(one: Units, other: Units) -> float:
    """Returns the Kolmogorov–Smirnov distance of two samples of numbers, 0 to 1."""
    at = np.unique(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(sample), at, side="right") / len(sample) for sample in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def earth_mover(one: Units, other: Units) -> float:
    """Returns the Wasserstein distance of two samples of numbers, in their unit: 0 or more."""
    at = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(sample), at[:-1], side="right") / len(sample) for sample in (one, other)]
    return float((np.abs(shares[0] - shares[1]) * np.diff(at)).sum())


def share_gap(one: Units, other: Units) -> float:
    """Returns the difference of two shares; units are (counted, all), [.., 2]."""
    return float(abs(share(one) - share(other)))


def share(units: Units) -> float:
    """Returns what share was counted, of units (counted, all), [.., 2]."""
    counted, everything = units.sum(axis=0)
    return float(counted / max(everything, 1))


def concentration(items: Units, num_items: int, count: int) -> npt.NDArray[np.float64]:
    """Returns how much of attention the top items get: at `TOP_SHARES` of all items, the share of interactions.

    Args:
        items: Per unit the items it chose, whole numbers.
        num_items: Items that could be chosen.
        count: How many interactions are drawn and counted, since concentration depends on it.
    """
    chosen = np.concatenate(list(items))
    drawn = np.random.default_rng(0).choice(chosen, count, replace=False) if count < len(chosen) else chosen
    counts = np.sort(np.bincount(drawn.astype(np.int64)))[::-1]
    gained = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    shares: npt.NDArray[np.float64] = np.interp(TOP_SHARES * num_items, np.arange(len(gained)), gained)
    return shares


def concentration_gap(one: Units, other: Units, num_one: int, num_other: int) -> float:
    """Returns the largest gap between two curves of `concentration` of equally many interactions."""
    count = min(sum(map(len, one)), sum(map(len, other)))
    return float(np.abs(concentration(one, num_one, count) - concentration(other, num_other, count)).max())


def category_divergence(one: Units, other: Units) -> float:
    """Returns `divergence` of two samples of names."""
    names, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    counts = [np.bincount(part, minlength=len(names)).astype(float) for part in np.split(place, [len(one)])]
    return divergence(*counts)


def rate_gap(one: Units, other: Units) -> float:
    """Returns the mean difference of click rates over positions; units are clicks and shown, [.., 2, positions]."""
    first, second = rates(one), rates(other)
    size = min(len(first), len(second))
    return float(np.nanmean(np.abs(first[:size] - second[:size])))


def place_divergence(one: Units, other: Units) -> float:
    """Returns `divergence` of where clicks fall; units as in `rate_gap`."""
    size = min(one.shape[2], other.shape[2])
    return divergence(*(part[:, 0, :size].sum(axis=0).astype(float) for part in (one, other)))


def rates(units: Units) -> Floats:
    """Returns clicks per shown item by position, [positions]; NaN where nothing was shown."""
    clicks, shown = units.sum(axis=0)
    found: Floats = np.divide(clicks, shown, out=np.full(len(shown), np.nan), where=shown > 0)
    return found


def noise_floor(samples: Sequence[Units], distance: Distance, *, halvings: int = HALVINGS, seed: int = 0) -> float:
    """Returns what two random halves of one sample differ by, at the 95th percentile; of the sample with the most."""
    rng, floors = np.random.default_rng(seed), []
    for sample in samples:
        found = []
        for _ in range(halvings):
            order = rng.permutation(len(sample))
            half = len(sample) // 2
            found.append(distance(sample[order[:half]], sample[order[half:]]))
        floors.append(float(np.quantile(found, 0.95)))
    return max(floors)


def ragged(rows: Sequence[npt.NDArray[np.int64]]) -> Units:
    """Returns arrays of different lengths as an array of arrays, one per unit."""
    units = np.empty(len(rows), object)
    for place, row in enumerate(rows):  # Arrays of one length would be taken for a matrix.
        units[place] = row
    return units
