"""SlatePPO's files in a run folder: item features once, and at every checkpoint all that the next iteration needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from instructrec import runs
from instructrec.agents.features import ItemFeatures
from instructrec.runs import RunError

FEATURES, WEIGHTS = "features.safetensors", "weights.safetensors"


def write_features(run: str | os.PathLike[str], features: ItemFeatures) -> None:
    """Writes an agent's item features into a run folder: they were fitted, and weights mean nothing over others."""
    if features.factors is not None:
        # Of the people that factors were fitted to, nothing is needed and nothing is kept.
        nobody = replace(features.factors, person_bias=np.zeros(0), person_factors=np.zeros((0, features.factors.rank)))
        features = replace(features, factors=nobody)
    runs.write_arrays(Path(run) / FEATURES, dict(_flat(features)), {"fingerprint": features.fingerprint})


def _flat(record: Any, prefix: str = "") -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Yields every array and number of nested dataclasses and mappings under its dotted name."""
    parts = (
        record.items()
        if isinstance(record, Mapping)
        else ((part.name, getattr(record, part.name)) for part in fields(record))
    )
    for name, value in parts:
        if isinstance(value, slice):
            yield prefix + name, np.array([value.start, value.stop])
        elif isinstance(value, np.ndarray | float | int):
            yield prefix + name, np.asarray(value)
        elif value is not None:
            yield from _flat(value, f"{prefix}{name}.")


def _built(kind: Any, arrays: Mapping[str, npt.NDArray[Any]], prefix: str = "") -> Any:
    """Returns a dataclass of the arrays that `_flat` yielded; parts of which there is nothing are None or empty."""
    chosen: dict[str, Any] = {}
    optional = {part.name for part in fields(kind) if part.default_factory is not MISSING}
    for name, hint in get_type_hints(kind).items():
        inner: list[Any] = [each for each in get_args(hint) if is_dataclass(each)] or [hint]
        below = {key: value for key, value in arrays.items() if key.startswith(f"{prefix}{name}.")}
        if is_dataclass(inner[0]):
            chosen[name] = _built(inner[0], arrays, f"{prefix}{name}.") if below else None
        elif below:
            named = {key.removeprefix(f"{prefix}{name}."): value for key, value in below.items()}
            chosen[name] = _blocks(named) if slice in get_args(hint) else named
        elif prefix + name in arrays or name not in optional:
            value = arrays[prefix + name]
            chosen[name] = value.item() if hint in (float, int) else value
    return kind(**chosen)


def _blocks(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, slice]:
    found = {name: slice(int(ends[0]), int(ends[1])) for name, ends in arrays.items()}
    return dict(sorted(found.items(), key=lambda block: (block[1].start, block[1].stop)))


def read_features(run: str | os.PathLike[str]) -> ItemFeatures:
    """Reads what `write_features` wrote.

    Raises:
        RunError: If the file is missing or damaged.
    """
    path = Path(run) / FEATURES
    arrays = runs.read_arrays(path)
    try:
        features: ItemFeatures = _built(ItemFeatures, arrays)
        unknown = sorted(arrays.keys() - dict(_flat(features)).keys())
        if features.wishes is not None:
            features.wishes.reader()
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise RunError(f"{path} is damaged, or of another version ({why}); train again") from error
    if unknown:
        raise RunError(
            f"{path} is of another version: it has {', '.join(unknown[:3])}, which mean nothing here; train again"
        )
    return features


def read_module(path: str | os.PathLike[str], module: nn.Module) -> None:
    """Reads parameters and saved buffers into a module.

    Raises:
        RunError: If the file is missing or damaged, or of a module of other sizes.
    """
    arrays = runs.read_arrays(path)
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    found = {name: array.shape for name, array in arrays.items()}
    if expected != found:
        wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise RunError(f"{path} does not fit the agent's configuration: {', '.join(wrong[:3])} differ in size or name")
    module.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
