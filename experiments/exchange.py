"""Logs that come in from elsewhere and go out to other programs, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from instructrec.envs.import_log import import_log
from instructrec.experiments.log_sessions import described_log, telling
from instructrec.experiments.outputs import check_place, command_line, versions
from instructrec.experiments.progress import Narrator
from instructrec.log_export import export_log
from instructrec.log_files import LogWriter, open_log
from instructrec.log_manifest import LogPlan

_READ = {
    "minari": 'import minari; minari.MinariDataset("{0}/data")',
    "obp": 'import numpy; numpy.load("{0}")',
    "recbole": "dataset: {1}, data_path: {2}",
    "table": "instructrec import-log {0} --out LOG",
}


def import_files(
    files: Sequence[Path],
    out: Path,
    *,
    data_format: str,
    columns: Mapping[str, str],
    items: Path | None,
    policy: str,
    narrator: Narrator,
) -> dict[str, Any]:
    """Imports a log, or completes an import; see `instructrec.envs.import_log.import_log`.

    Returns:
        The log's document, as `instructrec.experiments.log_sessions.log_sessions` returns it.
    """
    check_place(out)
    if out.is_file():
        raise ValueError(f"{out} is a file, and a log is a folder of files; choose another name")
    named = ", ".join(path.name for path in files)
    narrator.say(f"Reading {named} ...")
    with ExitStack() as tasks:
        told: list[Any] = []

        def begun(writer: LogWriter, plan: LogPlan) -> None:
            first, progress = tasks.enter_context(telling(narrator, f"Writing {plan.sessions:,} sessions", out, plan))
            first(writer)
            told.append(progress)

        log = import_log(
            files,
            out,
            data_format=data_format,
            columns=columns,
            items=items,
            policy=policy,
            notes={"command": command_line(), "versions": versions()},
            begun=begun,
            progress=lambda done, total: told[0](done, total),
        )
    return described_log(log)


def imported_text(document: Mapping[str, Any]) -> str:
    """Returns what was imported as a few lines, at most 80 columns but for names."""
    world, policy, folder = document["world"], document["policy"], document["log"]
    turns, sessions, slate = document["turns"], document["sessions"], world["slate_size"]
    lines = [
        f"{world['id']} ({world['imported']}): {sessions:,} sessions, {turns:,} turns,",
        f"slates of {slate} from {world['num_items']:,} items, shown by {policy['name']}.",
    ]
    if policy["deterministic"]:
        lines.append("Every probability is 1: nothing can be learned of another policy.")
    lines += [
        f"In Python:  from instructrec.log_files import open_log; open_log({str(folder)!r})",
        f"In DuckDB:  SELECT avg(reward) FROM '{folder}/turns-*.parquet'",
    ]
    return "\n".join(lines)


def export_files(log: Path, data_format: str, out: Path, *, overwrite: bool, narrator: Narrator) -> dict[str, Any]:
    """Exports a log; see `instructrec.log_export.export_log`.

    Returns:
        ``log``, ``format``, ``out``, ``turns``, and ``files`` with the path and the bytes of each.
    """
    check_place(out)
    opened = open_log(log)
    with narrator.task(f"Writing {len(opened):,} turns for {data_format}"):
        files = export_log(opened, data_format, out, overwrite=overwrite)
    return {
        "log": log,
        "format": data_format,
        "out": out,
        "turns": len(opened),
        "files": [{"file": path, "bytes": path.stat().st_size} for path in files],
    }


def exported_text(document: Mapping[str, Any]) -> str:
    """Returns what was exported as a few lines, at most 80 columns but for names."""
    out = Path(document["out"])
    lines = [f"{document['turns']:,} turns in"]
    lines += [f"  {each['file']} ({each['bytes']:,} bytes)" for each in document["files"]]
    return "\n".join([*lines, "Read it by:  " + _READ[document["format"]].format(out, out.name, out.parent)])
