"""What a slate is worth beside its reward: does it do what was asked, is it varied, does everybody get the same.

Per-turn functions take a batch of goals and what `instructrec.goals.satisfied` says of the shown items, ``met``
[batch, num_predicates, slate_size], and return one number per turn, [batch]. NaN means that the question does not arise
in that turn (nobody asked for anything); such turns are left out of means and counted, never taken as 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.goals import Check, Goals, satisfied, share_met


def csr(goals: Goals, met: Bools, *, feasible: Bools | None = None) -> Floats:
    """Returns in-world adherence, CSR@K: the met share of the weight that was said, by the catalogue's attributes.

    The mean over positions of met / total weight of the said predicates; a share or a count holds or not for the slate
    as a whole and counts once. Goals that nothing meets by design are left out.

    Args:
        goals: What users have in mind, [batch, num_predicates].
        met: What their slates' items satisfy, [batch, num_predicates, slate_size].
        feasible: Which predicates any item can meet (see `matching`); all of them when omitted.

    Returns:
        [batch], 0 to 1; NaN where nothing feasible was said.
    """
    return _met_weight(goals, met, _asked(goals, feasible) & goals.said)


def csr_include(goals: Goals, met: Bools, *, feasible: Bools | None = None) -> Floats:
    """Returns `csr` of the said inclusions alone ("a comedy"), [batch], 0 to 1; NaN where there are none."""
    return _met_weight(goals, met, _asked(goals, feasible) & goals.said & (goals.check == Check.SET) & ~goals.negate)


def csr_exclude(goals: Goals, met: Bools, *, feasible: Bools | None = None) -> Floats:
    """Returns `csr` of the said exclusions alone ("no horror"), [batch], 0 to 1; NaN where there are none."""
    return _met_weight(goals, met, _asked(goals, feasible) & goals.said & (goals.check == Check.SET) & goals.negate)


def csr_range(goals: Goals, met: Bools, *, feasible: Bools | None = None) -> Floats:
    """Returns `csr` of the said ranges alone (years, ratings, critiques), [batch], 0 to 1; NaN where there are none."""
    return _met_weight(goals, met, _asked(goals, feasible) & goals.said & (goals.check == Check.RANGE))


def csr_hidden(goals: Goals, met: Bools, *, feasible: Bools | None = None) -> Floats:
    """Returns `csr` of what users have in mind but have not said, [batch], 0 to 1; NaN where that is nothing."""
    return _met_weight(goals, met, _asked(goals, feasible) & ~goals.said)


def _asked(goals: Goals, feasible: Bools | None) -> Bools:
    asked = (goals.check != Check.NOTHING) & (goals.weight > 0) & goals.feasible
    return np.asarray(asked if feasible is None else asked & feasible)


def _met_weight(goals: Goals, met: Bools, counted: Bools) -> Floats:
    weight = np.where(counted, goals.weight, 0.0).astype(np.float64)
    part = np.where(goals.slate_level, share_met(goals, met), met.mean(axis=2))
    total = weight.sum(axis=1)
    shares = np.full(len(total), np.nan)
    np.divide((weight * part).sum(axis=1), total, out=shares, where=total > 0)
    return shares


def strict(goals: Goals, met: Bools) -> Floats:
    """Returns Strict@K by position: the share of positions that meet every hard said item-level predicate.

    Returns:
        [batch], 0 to 1; NaN where no such predicate was said.
    """
    counted = goals.item_level & goals.hard & goals.said & goals.feasible
    kept = np.all(met | ~counted[:, :, None], axis=1)
    return np.where(counted.any(axis=1), kept.mean(axis=1), np.nan)


def strict_slate(goals: Goals, met: Bools) -> Floats:
    """Returns Strict@K by slate: 1 where every position, and the slate as a whole, meets every hard said predicate.

    Returns:
        [batch], 0 or 1; NaN where no hard predicate was said.
    """
    counted = (goals.check != Check.NOTHING) & goals.hard & goals.said & goals.feasible
    holds = np.where(goals.slate_level, share_met(goals, met), met.all(axis=2))
    return np.where(counted.any(axis=1), np.all(holds | ~counted, axis=1), np.nan)


def violation(goals: Goals, met: Bools) -> Floats:
    """Returns Viol@K: the share of positions that break a hard said exclusion ("no horror").

    Returns:
        [batch], 0 to 1, lower is better; NaN where nothing was excluded.
    """
    counted = (goals.check == Check.SET) & goals.negate & goals.hard & goals.said & goals.feasible
    broken = np.any(~met & counted[:, :, None], axis=1)
    return np.where(counted.any(axis=1), broken.mean(axis=1), np.nan)


def diversity(catalogue: Catalogue, slates: Ints) -> Floats:
    """Returns how different a slate's items are: the mean Jaccard distance over its pairs.

    Items are compared by their values in all set attributes together; two items without any value are alike.

    Returns:
        [batch], 0 (all alike) to 1 (no pair shares a value); NaN for slates of one, or where no attribute is a set.
    """
    sets = [place for place, column in enumerate(catalogue.columns.values()) if column.is_set]
    size = slates.shape[1]
    if not sets or size < 2:
        return np.full(len(slates), np.nan)
    masks = catalogue.masks[:, sets][slates]  # [batch, slate_size, num_sets]
    first, second = np.triu_indices(size, 1)
    both = np.bitwise_count(masks[:, first] & masks[:, second]).sum(axis=2, dtype=np.int64)
    either = np.bitwise_count(masks[:, first] | masks[:, second]).sum(axis=2, dtype=np.int64)
    distance = 1.0 - np.divide(both, either, out=np.ones(both.shape), where=either > 0)
    return np.asarray(distance.mean(axis=1))


def novelty(catalogue: Catalogue, slates: Ints) -> Floats:
    """Returns how little known a slate's items are: the mean over positions of -log2 of their share of popularity.

    Every item's popularity counts one more than it is, so that never consumed items have a finite novelty.

    Returns:
        [batch], bits, above 0; log2(num_items) when everything is equally popular.
    """
    counts = catalogue.popularity.astype(np.float64) + 1.0
    return np.asarray((-np.log2(counts / counts.sum()))[slates].mean(axis=1))


def exposure(shown: Ints, num_items: int) -> npt.NDArray[np.int64]:
    """Returns how often each item was shown, int64 [num_items]; ``shown`` is of any shape, padded with -1."""
    items = shown.ravel()
    return np.bincount(items[items >= 0], minlength=num_items).astype(np.int64)


def coverage(counts: Ints) -> float:
    """Returns the share of items shown at least once, 0 to 1; grows with the number of slates. See `exposure`."""
    return float((np.asarray(counts) > 0).mean())


def exposure_gini(counts: Ints) -> float:
    """Returns how unequally exposure falls on items: 0 (all equally often) to 1 - 1 / num_items (one gets it all).

    NaN when nothing was shown.
    """
    ordered = np.sort(np.asarray(counts, np.float64))
    total, size = ordered.sum(), len(ordered)
    if total == 0:
        return float("nan")
    return float((2 * np.arange(1, size + 1) - size - 1) @ ordered / (size * total))


def slate_overlap(slates: Ints, num_items: int) -> float:
    """Returns how alike the slates of different users are: the mean share of items that two of them have in common.

    Args:
        slates: One slate per user, [batch, slate_size].
        num_items: How many items there are.

    Returns:
        0 (nobody shares an item) to 1 (everybody sees the same items); NaN for fewer than two users.
    """
    users, size = slates.shape
    if users < 2:
        return float("nan")
    counts = exposure(slates, num_items).astype(np.float64)
    # An item on c slates is common to c (c - 1) ordered pairs of users.
    return float((counts * (counts - 1)).sum() / (users * (users - 1) * size))


def distinct_predicates(goals: Goals) -> tuple[Goals, npt.NDArray[np.int64]]:
    """Returns the different predicates of a batch, each tested only once: many users ask for comedies.

    Hardness, weight, share, count and whether it was said do not tell predicates apart: they do not change which items
    match.

    Returns:
        Goals of one predicate each, [num_distinct, 1], and for each place of each goal the row of its predicate,
        int64 [batch, num_predicates].
    """
    keys = np.stack(
        [
            goals.check.astype(np.uint64),
            goals.column.astype(np.uint64),
            goals.mask,
            goals.low.view(np.uint32).astype(np.uint64),
            goals.high.view(np.uint32).astype(np.uint64),
            goals.negate.astype(np.uint64),
            goals.given_column.astype(np.uint64),
            goals.given_mask,
            goals.given_low.view(np.uint32).astype(np.uint64),
            goals.given_high.view(np.uint32).astype(np.uint64),
        ],
        axis=-1,
    ).reshape(-1, 10)
    _, first, rows = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    at = np.unravel_index(first, goals.check.shape)
    parts = {name: getattr(goals, name)[at][:, None] for name in goals.__dataclass_fields__}
    return replace(goals, **parts), rows.reshape(goals.check.shape).astype(np.int64)


def matching(goals: Goals, catalogue: Catalogue) -> tuple[Bools, npt.NDArray[np.int64]]:
    """Returns which items of the whole catalogue match the different predicates of a batch.

    Returns:
        Matches [num_distinct, num_items] (True everywhere for an unused place), and the row of each goal's predicates
        among them, int64 [batch, num_predicates].
    """
    distinct, rows = distinct_predicates(goals)
    return satisfied(distinct, catalogue, np.arange(catalogue.num_items))[:, 0], rows


# --- Rankings of the whole catalogue ---------------------------------------------------------------------------------


def ranks_of(scores: Floats) -> npt.NDArray[np.int64]:
    """Returns the rank of every item, 1 for the best, int64 [batch, num_items]; ties go to the lower item number."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranks = np.empty(scores.shape, np.int64)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, scores.shape[1] + 1), scores.shape), axis=1)
    return ranks


def pmrr(before: Ints, after: Ints, dropped: Bools) -> Floats:
    """Returns how far items sink that an edit of the instruction made irrelevant: p-MRR, case by case.

    An item that went from rank o to rank n counts 1 - o / n if it sank (n > o) and n / o - 1 if it rose: 0 where it
    stayed, towards 1 the further it sank, towards -1 the further it rose.

    Args:
        before: Ranks from 1 under the instruction as it was, [batch, num_items].
        after: Ranks under the edited one.
        dropped: Which items were relevant and are so no more, [batch, num_items].

    Returns:
        100 × the mean over such items, [batch], -100 to 100; NaN where the edit drops none.

    References:
        Weller et al. (2024), FollowIR, arXiv 2403.15246.
    """
    old, new = before.astype(np.float64), after.astype(np.float64)
    moved = np.where(new > old, 1 - old / new, new / old - 1)
    count = dropped.sum(axis=1)
    total = np.where(dropped, moved, 0.0).sum(axis=1)
    return _quotient(100.0 * total, count)


def ndcg(ranked: Floats, gains: Floats, k: int) -> Floats:
    """Returns the discounted cumulative gain of the first ``k`` places, as a share of the best order's.

    Args:
        ranked: What the places bring, best first, 0 or more, [batch, depth].
        gains: What every item would bring, [batch, num_items].
        k: How many places, at least 1.

    Returns:
        [batch], 0 to 1; NaN where nothing brings anything.

    References:
        Järvelin and Kekäläinen (2002), Cumulated gain-based evaluation of IR techniques.
    """
    best = -np.sort(-np.partition(gains, max(gains.shape[1] - k, 0), axis=1)[:, -k:], axis=1)
    whole = _discounted(best)
    return _quotient(_discounted(ranked[:, :k]), whole)


def _quotient(above: npt.ArrayLike, below: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns above / below; NaN where ``below`` is 0."""
    divisor = np.asarray(below, np.float64)
    return np.asarray(np.divide(above, divisor, out=np.full(divisor.shape, np.nan), where=divisor > 0))


def _discounted(gains: Floats) -> npt.NDArray[np.float64]:
    return np.asarray(gains.astype(np.float64) @ (1 / np.log2(np.arange(2, gains.shape[1] + 2))))


def precision_at(ranked: Bools, total: Ints, k: int) -> Floats:
    """Returns the relevant share of the first ``k`` places, [batch], 0 to 1; NaN where nothing is relevant.

    Args:
        ranked: Whether the item of each place is relevant, best first, [batch, depth].
        total: How many items are relevant, [batch].
        k: How many places, at least 1.
    """
    return np.where(total > 0, ranked[:, :k].sum(axis=1) / k, np.nan)


def recall_at(ranked: Bools, total: Ints, k: int) -> Floats:
    """Returns the share of all relevant items among the first ``k`` places, [batch]; arguments as `precision_at`."""
    return _quotient(ranked[:, :k].sum(axis=1), total)


def hit_rate_at(ranked: Bools, total: Ints, k: int) -> Floats:
    """Returns 1 where a relevant item stands in the first ``k`` places, else 0, [batch]; as `precision_at`."""
    return np.where(total > 0, ranked[:, :k].any(axis=1), np.nan)


def mrr_at(ranked: Bools, total: Ints, k: int) -> Floats:
    """Returns 1 / the place of the first relevant item, 0 if it is beyond ``k``, [batch]; as `precision_at`."""
    first = 1.0 / (ranked[:, :k].argmax(axis=1) + 1)
    return np.where(total > 0, np.where(ranked[:, :k].any(axis=1), first, 0.0), np.nan)


# --- What changes when words do --------------------------------------------------------------------------------------


def phrasing_robustness(quality: Floats) -> tuple[Floats, Floats]:
    """Returns what the worst of several phrasings of one goal brings.

    Args:
        quality: Of each phrasing, such as NDCG@K, 0 or more, [batch, num_phrasings].

    Returns:
        The least, and the least as a share of the mean, both [batch]; the share is NaN where every phrasing brings 0.
    """
    least, mean = quality.min(axis=1), quality.mean(axis=1)
    return least, _quotient(least, mean)


def rises_within(before: Floats, after: Floats) -> Bools:
    """Returns whether something rose above where it stood within 1, 2, … turns, [batch, num_turns].

    Args:
        before: Where it stood, [batch].
        after: Where it stands turn by turn, [batch, num_turns].
    """
    # A hair of tolerance: sums in another order are no improvement.
    return np.asarray(np.logical_or.accumulate(after > before[:, None] + 1e-9, axis=1))


def goal_shares(goals: Goals, catalogue: Catalogue, *, said_only: bool = False) -> npt.NDArray[np.float32]:
    """Returns the share, by weight, of each goal's feasible item-level predicates that every item meets.

    Args:
        goals: The goals, [batch, num_predicates].
        catalogue: The items.
        said_only: Whether only what was said counts.

    Returns:
        float32 [batch, num_items], 0 to 1; NaN throughout where nothing counts.
    """
    matches, rows = matching(goals, catalogue)
    counted = goals.item_level & goals.feasible & (goals.weight > 0)
    weight = np.where(counted & goals.said if said_only else counted, goals.weight, 0).astype(np.float32)
    met = np.zeros((len(weight), catalogue.num_items), np.float32)
    for place in range(goals.num_predicates):
        met += weight[:, place, None] * matches[rows[:, place]]
    total = weight.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, met / np.where(total > 0, total, 1), np.float32(np.nan)), np.float32)


SELECTIVITIES = ("below_1", "1_to_10", "10_to_50", "above_50")
"""Classes of goals by the percentage of items that meet every hard item-level predicate."""


def selectivity(goals: Goals, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """Returns which of `SELECTIVITIES` each goal is of, [batch]; -1 where it has no hard item-level predicate."""
    matches, rows = matching(goals, catalogue)
    counted = goals.item_level & goals.hard & goals.feasible
    _, first, places = np.unique(np.where(counted, rows, -1), axis=0, return_index=True, return_inverse=True)
    shares = np.array(
        [matches[rows[row][counted[row]]].all(axis=0).mean() if counted[row].any() else np.nan for row in first]
    )
    classes = np.where(np.isnan(shares), -1, np.digitize(shares, [0.01, 0.1, 0.5]))
    return classes[places.ravel()].astype(np.int64)
