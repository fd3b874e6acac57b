"""Run folders: what a training or a comparison leaves behind, safe to read and safe to kill.

A run folder holds text that people can read and arrays that no program executes:

    run.yaml            what was run: world, agent, settings, seed, fingerprints
    checkpoint.json     which checkpoints are whole, newest first
    checkpoints/STEP/   weights, optimiser state and session state at the end of an iteration
    events/AGENT/       TensorBoard events
    results.json        what a comparison measured
    report.html         the same for people

Every file appears by rename, so a reader or a process killed at any moment finds the old one or the new one, never half
of one. Reading executes nothing: YAML by its safe loader, arrays by safetensors, the rest JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import yaml

from instructrec.names import unknown_name

FORMAT = 1
CONFIG, POINTER, LOCK = "run.yaml", "checkpoint.json", "run.lock"
CHECKPOINTS, EVENTS, RESULTS, REPORT = "checkpoints", "events", "results.json", "report.html"
_PART = ".part"


class RunError(ValueError):
    """A run folder or a file in it cannot be used; the message says why and what to do."""


# --- Writing -----------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Returns ``value`` as what JSON and YAML know: dictionaries, lists, texts, numbers, booleans, None.

    Dataclasses and mappings become dictionaries, tuples and arrays lists, enums their values, paths texts.

    Raises:
        TypeError: If something in it is none of these.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, bool | int | float | str) or value is None:
        # Subclasses (NumPy's float64 is a float) would be foreign to YAML.
        return value if type(value) in (bool, int, float, str, type(None)) else _base(value)
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        entries = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [plain(entry) for entry in entries]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"cannot write a {type(value).__name__} as JSON or YAML: {value!r}")


def _base(value: Any) -> Any:
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _finite(value: Any) -> Any:
    """Replaces numbers that JSON does not know by None: a value that does not exist is absent, never zero."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    return [_finite(entry) for entry in value] if isinstance(value, list) else value


def to_json(document: Any, *, ascii_only: bool = False) -> str:
    """Returns ``document`` as indented JSON with a final line break; NaN and infinities become null.

    Args:
        document: What `plain` takes.
        ascii_only: Whether letters outside ASCII are written as escapes, which read as the same.
    """
    return json.dumps(_finite(plain(document)), indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"


@contextlib.contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turns what the system says about a file into a sentence that says how to mend it.

    Args:
        doing: What is done to it: "written" or "read".
        path: The file.

    Raises:
        RunError: If the body raises an `OSError`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunError(f"the disk is full: {path} could not be written; make room and run again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunError(f"{path} cannot be {doing}: permission denied; choose a folder that is yours") from error
        raise RunError(f"{path} cannot be {doing}: {error.strerror or error}") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a neighbour of ``path`` to fill; afterwards it is brought to the disk and renamed over ``path``.

    Raises:
        RunError: If the disk is full or the folder cannot be written; nothing is left then.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}{_PART}")
    with explained("written", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file whole or not at all; see `whole_file`."""
    with whole_file(path) as part:
        part.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file (UTF-8) whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: str | os.PathLike[str], document: Any) -> None:
    """Writes JSON whole or not at all; see `to_json`."""
    write_text(path, to_json(document))


def write_yaml(path: str | os.PathLike[str], document: Any) -> None:
    """Writes YAML whole or not at all, keys in the order given."""
    write_text(path, yaml.safe_dump(plain(document), sort_keys=False, allow_unicode=True, width=100))


def write_arrays(
    path: str | os.PathLike[str], arrays: Mapping[str, npt.NDArray[Any]], notes: Mapping[str, str] | None = None
) -> None:
    """Writes named arrays as safetensors, whole or not at all.

    Args:
        path: Where.
        arrays: The arrays, by name.
        notes: Short texts kept in the file's header.
    """
    content = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_bytes(path, safetensors.numpy.save(content, dict(notes) if notes else None))


# --- Reading -----------------------------------------------------------------------------------------------------


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Returns a file's content.

    Raises:
        RunError: If it is not there or cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise RunError(f"there is no file {path}")
    with explained("read", path):
        return path.read_bytes()


def read_text(path: str | os.PathLike[str]) -> str:
    """Returns a text file's content; raises `RunError` as `read_bytes` does, or if it is not UTF-8."""
    try:
        return read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise _damaged(Path(path), "text", error) from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """Returns a JSON file's content; raises `RunError` as `read_bytes` does, or if it is damaged."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _damaged(Path(path), "JSON", error) from error


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """Returns a YAML file's content by the safe loader; raises `RunError` as `read_json` does."""
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise _damaged(Path(path), "YAML", error) from error


def read_arrays(path: str | os.PathLike[str]) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of a safetensors file; raises `RunError` as `read_json` does."""
    content = read_bytes(path)
    try:
        return {name: np.array(array) for name, array in safetensors.numpy.load(content).items()}
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise _damaged(Path(path), "safetensors", error) from error


def _damaged(path: Path, kind: str, error: Exception) -> RunError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return RunError(f"{path} is damaged: it does not read as {kind} ({first})")


# --- What was run ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What was run: everything that decides the outcome, and the fingerprints that prove it is still the same.

    Attributes:
        world: The world's id.
        world_settings: Settings that differ from the world's defaults, by name.
        agent: The agent's name.
        agent_settings: The agent's whole configuration, by name.
        seed: The seed.
        steps: User-steps of training.
        fingerprint: The world's fingerprint.
        catalogue: The catalogue's fingerprint.
    """

    world: str
    world_settings: Mapping[str, Any] = field(default_factory=dict)
    agent: str
    agent_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int
    steps: int
    fingerprint: str = ""
    catalogue: str = ""

    @classmethod
    def read(cls, run: str | os.PathLike[str]) -> Self:
        """Reads ``run.yaml`` of a run folder.

        Raises:
            RunError: If there is no such folder, it is not a run, or the file is damaged or of a later version.
        """
        document = read_yaml(find_run(run) / CONFIG)
        path = Path(run) / CONFIG
        if not isinstance(document, dict):
            raise RunError(f"{path} is damaged: it should hold names and values")
        version = document.get("format")
        if version != FORMAT:
            raise RunError(
                f"{path} has format {version!r}; this version of InstructRec reads format {FORMAT}: "
                "use the version that wrote it"
            )
        known = {part.name for part in dataclasses.fields(cls)}
        entries = {name: value for name, value in document.items() if name not in ("format", "notes")}
        for name in entries:
            if name not in known:
                raise RunError(f"{path}: {unknown_name('entry', str(name), known)}")
        if missing := {"world", "agent", "seed", "steps"} - set(entries):
            raise RunError(f"{path} lacks {', '.join(sorted(missing))}")
        return cls(**entries)

    def write(self, run: str | os.PathLike[str], notes: Mapping[str, Any] | None = None) -> None:
        """Writes ``run.yaml``; ``notes`` (command, versions) are kept beside it and never compared."""
        document: dict[str, Any] = {"format": FORMAT, **plain(self)}
        if notes:
            document["notes"] = notes
        write_yaml(Path(run) / CONFIG, document)

    def differences(self, other: RunConfig) -> list[str]:
        """Returns one phrase per entry in which ``other`` differs, such as ``'seed: 1, now 2'``."""
        return differences(plain(self), plain(other))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns one phrase per entry in which two plain documents differ, such as ``'world.seed: 1, now 2'``."""
    old, new = _flat(before), _flat(now)
    return [
        f"{name}: {old.get(name, 'not set')}, now {new.get(name, 'not set')}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name, _flat) != new.get(name, _flat)
    ]


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def find_run(run: str | os.PathLike[str]) -> Path:
    """Returns the path of a run folder after checking that it is one.

    Raises:
        RunError: If it does not exist (the nearest name is suggested) or is not a run.
    """
    path = Path(run)
    if not path.exists():
        beside = [other.name for other in path.parent.glob("*") if (other / CONFIG).exists()]
        near = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.5)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise RunError(f"there is no run folder {path}{hint or '; `instructrec train` and `demo` make one'}")
    if not path.is_dir() or not (path / CONFIG).exists():
        raise RunError(f"{path} is not a run folder: it has no {CONFIG}; `instructrec train` and `demo` make one")
    return path


def _lives(process: str) -> bool:
    """Whether a process of that number runs."""
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def locked(run: str | os.PathLike[str], *, wait: bool = False) -> Iterator[None]:
    """Holds a run folder for this process; the lock of a process that died is free at once.

    Args:
        run: The folder, made when missing.
        wait: Whether to wait while another living process holds it.

    Raises:
        RunError: If another living process holds it, and there is no waiting.
    """
    path = Path(run) / LOCK
    with explained("written", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(f"{path.parent} is in use by {holder}; wait for it, or choose another folder") from error
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()}")
        file.flush()
        for part in path.parent.rglob(f".*{_PART}"):
            # What killed writers left behind; folders below may be others', who write just now.
            if not _lives(part.name.removesuffix(_PART).rpartition(".")[2]):
                part.unlink(missing_ok=True)
        yield
        file.seek(0)
        file.truncate()


# --- Checkpoints -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        folder: Where its files are.
        step: How many user-steps of training it holds.
    """

    folder: Path
    step: int


def save_checkpoint(
    run: str | os.PathLike[str], step: int, write: Callable[[Path], None], *, keep: int = 2
) -> Checkpoint:
    """Writes a checkpoint beside the earlier ones, then switches to it in one rename.

    Args:
        run: The run folder.
        step: User-steps of training so far.
        write: Fills the empty folder that it is given.
        keep: How many checkpoints stay, at least 1.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    run = Path(run)
    home = run / CHECKPOINTS
    folder, part = home / f"{step:012d}", home / f".{step:012d}{_PART}.d"
    with explained("written", folder):
        for old in (part, folder):  # A process killed before the switch may have left them.
            shutil.rmtree(old, ignore_errors=True)
        part.mkdir(parents=True)
        write(part)
        files = {file.relative_to(part).as_posix(): _seal(file) for file in sorted(part.rglob("*")) if file.is_file()}
        _sync_folder(part)
        part.rename(folder)
        _sync_folder(home)
    entries = [entry for entry in _entries(run) if entry["step"] < step]
    entries = [{"step": step, "folder": f"{CHECKPOINTS}/{folder.name}", "files": files}, *entries][:keep]
    write_json(run / POINTER, {"checkpoints": entries})
    kept = {Path(entry["folder"]).name for entry in entries}
    for other in home.iterdir():
        if other.name not in kept:
            shutil.rmtree(other, ignore_errors=True)
    return Checkpoint(folder, step)


def _seal(path: Path) -> dict[str, Any]:
    """Brings a file to the disk and returns its size and hash."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _entries(run: Path) -> list[dict[str, Any]]:
    if not (run / POINTER).exists():
        return []
    document = read_json(run / POINTER)
    entries = document.get("checkpoints") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise RunError(f"{run / POINTER} is damaged: it should list checkpoints with step, folder and files")
    return sorted(entries, key=lambda entry: -int(entry["step"]))


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("files"), dict):
        return False
    place = Path(str(entry.get("folder", "")))
    # A run may come from a stranger: nothing in it may point outside it.
    names = [Path(name) for name in entry["files"]]
    inside = place.parts[:1] == (CHECKPOINTS,) and len(place.parts) == 2 and place.name != ".."
    return isinstance(entry.get("step"), int) and inside and not any(n.is_absolute() or ".." in n.parts for n in names)


def _damage(folder: Path, files: Mapping[str, Any]) -> str:
    for name, sealed in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != sealed["bytes"] or _seal(path)["sha256"] != sealed["sha256"]:
            return f"{path} is damaged: its content is not what was written"
    return ""


def latest_checkpoint(run: str | os.PathLike[str]) -> Checkpoint | None:
    """Returns the newest whole checkpoint, or None if the run has none yet.

    A damaged one is passed over for the one before: resuming is exact, so only time is lost.

    Raises:
        RunError: If there are checkpoints but every one is damaged.
    """
    run = Path(run)
    damages = []
    for entry in _entries(run):
        folder = run / entry["folder"]
        damage = _damage(folder, entry["files"])
        if not damage:
            return Checkpoint(folder, int(entry["step"]))
        damages.append(damage)
    if damages:
        raise RunError(f"no checkpoint in {run} is whole: {damages[0]}; train again into another folder")
    return None
