"""Logs whose feedback is worse than what people gave: taken for another's, or lost on its way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from instructrec.logs import Log


def mistaken(log: Log, share: float, *, seed: int = 0) -> Log:
    """Returns a log in which some positions carry the feedback of another one, drawn from the whole log.

    How much is clicked and earned at each position stays as it was on average; what it says of the item is gone. What
    a turn says of earlier turns stays as it was: people saw what they saw.

    Args:
        log: Turns.
        share: Of the shown items, from 0 to 1; whether an item is among them is drawn for each by itself.
        seed: Of the draws.

    Raises:
        ValueError: If the share is no share.
    """
    hit, rng = _drawn(log, share, seed)
    # From the same position of another turn, so that where people look is not mixed up with what they like.
    others = rng.integers(0, max(len(log), 1), log.slates.shape)
    columns = np.arange(log.slates.shape[1])
    return replace(
        log,
        clicked=np.where(hit, log.clicked[others, columns], log.clicked),
        item_rewards=np.where(hit, log.item_rewards[others, columns], log.item_rewards),
    )


def lost(log: Log, share: float, *, seed: int = 0) -> Log:
    """Returns a log in which some feedback never arrived: nothing clicked, nothing earned.

    Args:
        log: Turns.
        share: Of the shown items, from 0 to 1; whether an item is among them is drawn for each by itself.
        seed: Of the draws.

    Raises:
        ValueError: If the share is no share.
    """
    hit, _ = _drawn(log, share, seed)
    return replace(
        log, clicked=log.clicked & ~hit, item_rewards=np.where(hit, 0, log.item_rewards).astype(log.item_rewards.dtype)
    )


def _drawn(log: Log, share: float, seed: int) -> tuple[np.ndarray, np.random.Generator]:
    if not 0 <= share <= 1:
        raise ValueError(f"the share of spoiled feedback is from 0 to 1, got {share}")
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64)))
    return rng.random(log.slates.shape) < share, rng
