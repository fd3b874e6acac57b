"""A log as a Minari data set: HDF5, an episode for every session. It is read and written slowly; a log is not.

The folder NAME-vN holds ``data/main_data.hdf5`` and ``data/metadata.json``, as ``minari.load_dataset`` finds them below
``MINARI_DATASETS_PATH``, and as ``minari.MinariDataset("NAME-vN/data")`` reads them anywhere. With T turns in an
episode, K positions and a memory of H slates (the turn limit, at most `MEMORY`):

    observations   a dictionary of [T + 1, …], the last one after the session:
        instruction  int64: the number of what was said last; -1 after the user left
        turn         int64: how many slates were shown
        said         int64 [H]: what was said before, oldest first, -1 where nothing was
        slates       int64 [H, K]: what was shown before, the latest H slates, -1 where nothing was
        clicked      int8 [H, K]: what was clicked of them
        candidates   int64 [C]: what might be ranked, where a log has it; -1 in the last observation
    actions        int64 [T, K]: the slates, item numbers
    rewards, terminations, truncations   [T]
    infos          log_propensity, item_reward, clicked [T, K]; person [T]: a row for each action

``metadata.json`` has the texts and the items' ids by number, and the log's world and policy, under ``instructrec``.

References:
    Younis et al. (2024), Minari; the layout is that of minari 0.5.4.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec import runs
from instructrec.log_files import DiskLog
from instructrec.turns import Turns

MEMORY = 32
"""How many slates an observation remembers at most."""
_VERSION = "0.5.4"
_LARGEST = 2**62


def minari_files(out: Path) -> tuple[Path, ...]:
    """Returns which files are written into a folder, the one that makes it a data set last.

    Raises:
        ValueError: If Minari could not name it so.
    """
    if not re.fullmatch(r"[\w-]+-v\d+", out.name):
        raise ValueError(f"Minari's data sets are called NAME-vN, such as {out.parent / 'mine-v0'}; got {out}")
    return out / "data" / "main_data.hdf5", out / "data" / "metadata.json"


def write_minari(log: DiskLog, files: tuple[Path, ...]) -> None:
    """Writes a log as a Minari data set, shard by shard.

    Raises:
        ImportError: If h5py is not installed; the message names the command.
        RunError: If the log is damaged or the folder cannot be written.
    """
    try:
        h5py = importlib.import_module("h5py")
    except ImportError:
        raise ImportError(
            "Minari's data sets are HDF5, written by h5py; install it with: pip install 'instructrec[minari]'"
        ) from None
    texts: dict[int, str] = {}
    data, metadata = files
    memory = min(log.plan.world.turn_limit, MEMORY)
    episodes = steps = 0
    with runs.whole_file(data) as part, h5py.File(part, "w", track_order=True) as file:
        for turns in log.shards():
            texts |= turns.texts
            for episode in _episodes(turns):
                _write_episode(file.create_group(f"episode_{episodes}"), episodes, episode, memory)
                episodes, steps = episodes + 1, steps + len(episode)
    described = {
        "dataset_id": data.parent.parent.name,
        "minari_version": _VERSION,
        "data_format": "hdf5",
        "jpeg_encoding": False,
        "total_episodes": episodes,
        "total_steps": steps,
        "dataset_size": round(data.stat().st_size / 1e6, 1),
        "algorithm_name": log.plan.policy.name,
        "description": f"Sessions of {log.plan.world.id}; actions are slates of item numbers.",
        "observation_space": json.dumps(_observation_space(log, memory)),
        "action_space": json.dumps(_box((log.plan.world.slate_size,), 0, log.plan.world.num_items - 1)),
        "instructrec": {
            "world": log.plan.world,
            "policy": log.plan.policy,
            "texts": {str(number): texts[number] for number in sorted(texts)},
            "item_ids": log.items()[0],
        },
    }
    runs.write_json(metadata, described)


def _episodes(turns: Turns) -> Iterator[Turns]:
    starts = np.append(np.flatnonzero(turns.begins), len(turns))
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        yield turns.rows(slice(start, end))


def _write_episode(group: Any, number: int, turns: Turns, memory: int) -> None:
    group.attrs.update(id=number, total_steps=len(turns), seed=int(turns.seed[0]), lane=int(turns.lane[0]))
    observations = group.create_group("observations")
    for name, array in _observations(turns, memory).items():
        observations.create_dataset(name, data=array)
    group.create_dataset("actions", data=turns.slates.astype(np.int64))
    group.create_dataset("rewards", data=turns.rewards)
    group.create_dataset("terminations", data=turns.terminated)
    group.create_dataset("truncations", data=turns.truncated)
    infos = group.create_group("infos")
    for name, array in (
        ("log_propensity", turns.log_probs),
        ("item_reward", turns.item_rewards),
        ("clicked", turns.clicked),
        ("person", turns.person),
    ):
        infos.create_dataset(name, data=array)


def _observations(turns: Turns, memory: int) -> dict[str, npt.NDArray[Any]]:
    """Returns what was seen before each turn of one session, and after the last."""
    turn = np.arange(len(turns) + 1)
    before = np.arange(memory) + np.maximum(turn - memory, 0)[:, None]
    there, place = before < turn[:, None], np.minimum(before, len(turns) - 1)
    found = {
        "instruction": np.append(turns.instruction, turns.next_instruction[-1]),
        "turn": turn,
        "said": np.where(there, turns.instruction[place], -1),
        "slates": np.where(there[:, :, None], turns.slates[place].astype(np.int64), -1),
        "clicked": (there[:, :, None] & turns.clicked[place]).astype(np.int8),
    }
    if turns.candidates is not None:
        none = np.full((1, turns.candidates.shape[1]), -1, np.int64)
        found["candidates"] = np.concatenate([turns.candidates.astype(np.int64), none])
    return found


def _observation_space(log: DiskLog, memory: int) -> dict[str, Any]:
    world = log.plan.world
    slates = (memory, world.slate_size)
    spaces = {
        "instruction": _box((), -1, _LARGEST),
        "turn": _box((), 0, world.turn_limit),
        "said": _box((memory,), -1, _LARGEST),
        "slates": _box(slates, -1, world.num_items - 1),
        "clicked": _box(slates, 0, 1, "int8"),
    }
    if world.num_candidates is not None:
        spaces["candidates"] = _box((world.num_candidates,), -1, world.num_items - 1)
    return {"type": "Dict", "subspaces": spaces}


def _box(shape: tuple[int, ...], low: int, high: int, kind: str = "int64") -> dict[str, Any]:
    return {
        "type": "Box",
        "dtype": kind,
        "shape": list(shape),
        "low": np.full(shape, low).tolist(),
        "high": np.full(shape, high).tolist(),
    }
