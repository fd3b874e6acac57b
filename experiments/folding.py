"""Folding what is said to people into lines, without tearing what they would copy: paths, commands, quoted words."""

from __future__ import annotations

import os
import re
import textwrap
from typing import TextIO

WIDTH = 80
"""How wide lines are where nobody knows the screen."""
_NARROWEST, _WIDEST = 40, 120
_QUOTED = re.compile(r"`[^`\n]+`|(?<!\w)'[^'\n]+'(?!\w)|\"[^\"\n]+\"")
_HELD = "\0"


def fold(text: str, width: int = WIDTH, indent: str = "  ") -> str:
    """Returns a text in lines of at most ``width`` columns.

    Only blanks are broken at, and not those in quotes or backticks, unless what is quoted is longer than a line. A
    word that is longer than a line has a line for itself.

    Args:
        text: One line or more, each folded by itself.
        width: How wide.
        indent: What stands before the lines that go on.
    """
    return "\n".join(part for line in text.split("\n") for part in (_folded(line, width, indent) or [""]))


def width_of(stream: TextIO) -> int:
    """Returns how wide the lines on a stream are: its terminal's width, from 40 to 120, or `WIDTH` without one."""
    try:
        return min(max(os.get_terminal_size(stream.fileno()).columns, _NARROWEST), _WIDEST)
    except (OSError, ValueError, AttributeError):
        return WIDTH


def _folded(line: str, width: int, indent: str) -> list[str]:
    def held(quoted: re.Match[str]) -> str:
        return quoted[0].replace(" ", _HELD) if len(quoted[0]) <= width - len(indent) else quoted[0]

    lines = textwrap.wrap(
        _QUOTED.sub(held, line), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [each.replace(_HELD, " ") for each in lines]
