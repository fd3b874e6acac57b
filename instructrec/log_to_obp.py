"""A log as Open Bandit Pipeline's ``bandit_feedback`` for slates, in one .npz file that is read without pickle.

With n slates of K positions, a row of [n K] arrays being one shown item, slate by slate from top to bottom:

    n_rounds, n_unique_action   n; the number of items
    slate_id, position          [n K]; position from 0
    action, reward              [n K]: the item's number, and what its position earned
    context                     [n, 2]: the turn, and the number of what was said (``texts`` at ``text_ids``)
    pscore                      [n K]: P(whole slate), the same in each of its rows
    pscore_cascade              [n K]: P(items at positions 0 to j), the product of this project's conditional ones
    pscore_item_position        [n K]: P(item at its position), whatever stands above; only where the log tells:
                                for slates of one, and for slates drawn uniformly
    session, turn, clicked      [n], [n], [n K]
    item_ids, text_ids, texts   what the numbers mean

References:
    Saito, Aihara, Matsutani and Narita (2021), Open Bandit Dataset and Pipeline; ``SyntheticSlateBanditDataset`` of
    obp 0.5.7 has the same names and meanings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec import runs
from instructrec.log_files import DiskLog


def obp_feedback(log: DiskLog) -> dict[str, npt.NDArray[Any]]:
    """Returns a whole log as the arrays that the module lists, in memory.

    Raises:
        RunError: If the log is damaged or holds nothing.
    """
    turns, plan = log.read(), log.plan
    count, width = turns.slates.shape
    above = np.exp(np.cumsum(turns.log_probs, axis=1))
    found: dict[str, Any] = {
        "n_rounds": np.array(count),
        "n_unique_action": np.array(plan.world.num_items),
        "slate_id": np.repeat(np.arange(count), width),
        "position": np.tile(np.arange(width), count),
        "action": turns.slates.reshape(-1).astype(np.int64),
        "reward": turns.item_rewards.reshape(-1).astype(np.float64),
        "context": np.stack([turns.turn, turns.instruction], axis=1).astype(np.float64),
        "pscore": np.repeat(above[:, -1], width),
        "pscore_cascade": above.reshape(-1),
        "session": turns.session,
        "turn": turns.turn,
        "clicked": turns.clicked.reshape(-1),
        "item_ids": np.array(log.items()[0]),
        "text_ids": np.array(sorted(turns.texts), np.int64),
        "texts": np.array([turns.texts[number] for number in sorted(turns.texts)]),
    }
    if width == 1:
        found["pscore_item_position"] = above.reshape(-1)
    elif plan.policy.draws == "uniform":
        offered = plan.world.num_candidates or plan.world.num_items
        found["pscore_item_position"] = np.full(count * width, 1 / offered)
    return found


def write_obp(log: DiskLog, files: tuple[Path, ...]) -> None:
    """Writes `obp_feedback` to one file."""
    feedback = obp_feedback(log)
    with runs.whole_file(files[0]) as part, part.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **feedback)
