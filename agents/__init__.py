"""Rankers that learn, and the ones to compare them with."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructrec.agents.encoder import load_encoder
    from instructrec.agents.sb3_worlds import sb3_env, sb3_vec_env
    from instructrec.agents.slate_config import SlatePPOConfig
    from instructrec.agents.slate_ppo import SlatePPO

__all__ = ["SlatePPO", "SlatePPOConfig", "load_encoder", "sb3_env", "sb3_vec_env"]

# Found when first asked for: learning libraries take seconds to import, and many commands need none.
_HOMES = {
    "SlatePPO": "slate_ppo",
    "SlatePPOConfig": "slate_config",
    "load_encoder": "encoder",
    "sb3_env": "sb3_worlds",
    "sb3_vec_env": "sb3_worlds",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"instructrec.agents.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
