"""Logs for other programs: which formats there are, and that nobody's files are overwritten.

=============  ==========================  ==================================================
``minari``     a folder NAME-vN            `instructrec.log_to_minari`
``obp``        a file NAME.npz             `instructrec.log_to_obp`
``recbole``    a folder                    `instructrec.log_to_tables`
``table``      a file NAME.csv             `instructrec.log_to_tables`
=============  ==========================  ==================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from instructrec.log_files import DiskLog
from instructrec.log_to_minari import minari_files, write_minari
from instructrec.log_to_obp import write_obp
from instructrec.log_to_tables import recbole_files, write_recbole, write_table
from instructrec.names import unknown_name
from instructrec.runs import RunError

_Files = tuple[Path, ...]


@dataclass(frozen=True)
class _Format:
    files: Callable[[Path], _Files]
    write: Callable[[DiskLog, _Files], None]


def _one_file(suffix: str) -> Callable[[Path], _Files]:
    def files(out: Path) -> _Files:
        if out.suffix != suffix:
            raise ValueError(f"it becomes one file, NAME{suffix}; got {out}")
        return (out,)

    return files


FORMATS: Mapping[str, _Format] = {
    "minari": _Format(minari_files, write_minari),
    "obp": _Format(_one_file(".npz"), write_obp),
    "recbole": _Format(recbole_files, write_recbole),
    "table": _Format(_one_file(".csv"), write_table),
}


def export_log(log: DiskLog, data_format: str, out: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
    """Writes a log in another program's format and returns the files; each appears whole or not at all.

    Args:
        log: The log.
        data_format: One of `FORMATS`.
        out: The file or folder.
        overwrite: Whether files of these names may be replaced; others in a folder always stay.

    Raises:
        ImportError: If what the format needs is not installed; the message names the command.
        ValueError: If there is no such format, or the file cannot be called so.
        RunError: If a file is there already, the log is damaged, holds nothing, or the place cannot be written.
    """
    if data_format not in FORMATS:
        raise ValueError(unknown_name("format to export to", data_format, FORMATS))
    chosen = FORMATS[data_format]
    files = chosen.files(Path(out))
    for path in files:
        if path.is_dir():
            raise RunError(f"{path} is a folder, where a file should be written; choose another name")
        if path.exists() and not overwrite:
            raise RunError(f"{path} is there already; choose another place, or say that it may be overwritten")
    log.check_some()
    chosen.write(log, files)
    return list(files)
