"""Libraries that only some agents need, imported when such an agent is first fitted."""

from __future__ import annotations

import importlib
from typing import Any


def extra_module(name: str, extra: str) -> Any:
    """Returns a module of an optional dependency.

    Args:
        name: The module.
        extra: The extra of this project that installs it.

    Raises:
        ImportError: If it is not installed; the message names the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"this needs {error.name}, which is not installed; install it with: pip install 'instructrec[{extra}]'"
        ) from error
