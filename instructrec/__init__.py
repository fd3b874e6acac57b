"""Simulated users who say what they want, and a place to train, test and compare recommenders that listen.

`instructrec` is the core: catalogues, goals, sessions, the seams that plug-ins implement. It loads neither Gymnasium
nor a learning library. The rest is imported by name: `instructrec.envs`, `instructrec.agents`,
`instructrec.experiments`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["__version__", "load"]

# The one import against the layers: people who want a trained agent should not need to know where loading lives.
if TYPE_CHECKING:
    from instructrec.experiments.recommend import load
else:

    def __getattr__(name: str) -> Any:
        if name == "load":
            return importlib.import_module("instructrec.experiments.recommend").load
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "load"])
