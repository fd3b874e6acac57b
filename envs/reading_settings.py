"""Saying how data are to be read, in messages: as it is written in Python, and as it is typed at the command line."""

from __future__ import annotations

import shlex


def by_setting(name: str, value: object) -> str:
    """Returns how a setting of `instructrec.envs.read_data.read_data` is given.

    Args:
        name: The setting.
        value: A number, a word, or for a scale two numbers.
    """
    said = f"{value[0]:g}..{value[1]:g}" if isinstance(value, tuple) else str(value)
    return f"{name}={value!r} (on the command line `--set {name}={shlex.quote(said)}`)"


def by_columns(**columns: str) -> str:
    """Returns how it is said which column plays which role."""
    said = " ".join(f"{role}={shlex.quote(column)}" for role, column in columns.items())
    return f"columns={columns!r} (on the command line `--columns {said}`)"
