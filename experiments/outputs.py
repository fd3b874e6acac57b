"""What a comparison leaves in its folder: results.json, tables.md, tables.tex, report.html, and their sources."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from instructrec import __version__, runs
from instructrec.experiments.conversations import Conversation
from instructrec.experiments.report import Report, render
from instructrec.experiments.table_formats import latex_page, page

CONVERSATIONS, TABLES, LATEX = "conversations.json", "tables.md", "tables.tex"
_VERSIONS = ("torch", "stable-baselines3", "gymnasium", "transformers", "numpy", "numba")


def versions() -> dict[str, str]:
    """Returns the versions of what results depend on."""
    found = {"instructrec": __version__, "python": platform.python_version()}
    for name in _VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def command_line() -> str:
    """Returns the command as it was typed, without the place where the program lies."""
    program = Path(sys.argv[0]).name
    name = "instructrec" if program in ("cli.py", "__main__.py") or program.startswith("instructrec") else program
    return shlex.join([name, *sys.argv[1:]])


def check_place(path: Path) -> None:
    """Checks that a file or folder can be written there, before anything is worked out for it; nothing is made.

    Raises:
        ValueError: If a file stands where a folder would have to be, or the folder does not allow it.
    """
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise ValueError(f"{path} cannot be written: {above} is a file and no folder; choose another place")
    if not os.access(above, os.W_OK):
        raise ValueError(f"{path} cannot be written: the folder {above} allows no new files; choose another place")


def write_outputs(
    out: str | os.PathLike[str],
    results: Mapping[str, Any],
    *,
    conversations: Sequence[Conversation] = (),
    curves: Mapping[str, Sequence[Mapping[str, float]]] | None = None,
    command: str = "",
) -> None:
    """Writes results, tables and report into a folder.

    Args:
        out: The folder.
        results: The results document.
        conversations: Samples for the report.
        curves: Learning curves by agent.
        command: The command that made it; the one that was typed when omitted.
    """
    out = Path(out)
    runs.write_json(out / runs.RESULTS, results)
    if conversations:
        runs.write_json(out / CONVERSATIONS, conversations)
    told = command or command_line()
    report = Report(
        results=results,
        conversations=conversations,
        curves=curves or {},
        command=told,
        versions=versions(),
        failures=[str(gate["sentence"]) for gate in results.get("gates", ())],
    )
    runs.write_text(out / runs.REPORT, render(report))
    runs.write_text(out / TABLES, page(results, told))
    runs.write_text(out / LATEX, latex_page(results, told))
