"""What learners keep between processes: parameters and an optimiser's moments, as arrays that execute nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from instructrec import runs


def save_module(path: Path, module: nn.Module, notes: Mapping[str, str] | None = None) -> None:
    """Writes a module's parameters and saved buffers, and a few words beside them."""
    runs.write_arrays(path, {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}, notes)


def restore_module(path: Path, module: nn.Module) -> None:
    """Reads what `save_module` wrote into a module of the same sizes.

    Raises:
        RunError: If the file is missing or damaged.
    """
    module.load_state_dict({name: torch.from_numpy(array) for name, array in runs.read_arrays(path).items()})


def save_moments(path: Path, optimiser: torch.optim.Optimizer) -> None:
    """Writes what an optimiser remembers of gradients."""
    state = optimiser.state_dict()["state"]
    moments = {f"{at}.{name}": np.asarray(value) for at, part in state.items() for name, value in part.items()}
    runs.write_arrays(path, moments)


def restore_moments(path: Path, optimiser: torch.optim.Optimizer) -> None:
    """Reads what `save_moments` wrote into an optimiser of the same parameters.

    Raises:
        RunError: If the file is missing or damaged.
    """
    state: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for name, array in runs.read_arrays(path).items():
        at, _, part = name.partition(".")
        state[int(at)][part] = torch.from_numpy(array)
    optimiser.load_state_dict({"state": dict(state), "param_groups": optimiser.state_dict()["param_groups"]})
