"""Recording what a generator writes, and playing it back: tests and papers that repeat exactly, without the model.

A cassette is a file of JSON lines, one per completion: ``key`` (a hash of the generator's fingerprint and the prompt),
``model`` (the fingerprint), ``prompt``, ``text``, ``tokens_in``, ``tokens_out``, ``seconds``, ``finished``. It is only
ever appended to, under a lock; a later line for the same key replaces an earlier one. A line that a killed writer left
half is ignored by readers and removed by the next writer.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from instructrec.envs.generators import Completion, Generator
from instructrec.runs import explained

MODES = ("auto", "record", "replay")


class CassetteError(ValueError):
    """A cassette lacks a recording, or cannot be used; the message says how to mend it."""


class Cassette:
    """A generator that keeps completions in a file, and plays back those it has.

    Args:
        path: The file.
        generator: Who writes what is not there yet. In replay it is not asked, and may be omitted where all
            recordings are of one generator.
        mode: "replay": only play back; a prompt that is not there is an error. "auto": play back what is there, and
            record the rest. "record": ask for everything anew, once, and record it over what was there.

    Raises:
        ValueError: If there is no such mode.
        CassetteError: If the file is missing (replay), damaged, of several generators and none is named, or if there
            is nobody to record.
    """

    def __init__(self, path: str | os.PathLike[str], generator: Generator | None = None, *, mode: str = "auto") -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.path, self.mode, self._generator = Path(path), mode, generator
        self._found: dict[str, Completion] = {}
        self._models: set[str] = set()
        self._fresh: set[str] = set()
        self._place = self._line = 0
        if mode == "replay" and not self.path.is_file():
            raise CassetteError(f"there is no cassette {self.path}; record one first: mode='auto', with the model here")
        if mode != "replay" and generator is None:
            raise CassetteError(f"mode {mode!r} records what a generator writes; give one, or replay")
        self._catch_up()
        if generator is None and len(self._models) != 1:
            raise CassetteError(
                f"{self.path} holds recordings of {len(self._models)} generators "
                f"({', '.join(sorted(self._models)) or 'none'}); name the one to play back"
            )
        self._model = generator.fingerprint if generator is not None else next(iter(self._models))

    def __deepcopy__(self, memo: dict[int, Any]) -> Cassette:
        """Returns itself: one file, one reader."""
        return self

    def __len__(self) -> int:
        """How many recordings there are, of every generator."""
        return len(self._found)

    @property
    def deterministic(self) -> bool:
        """Whether all it gives is from the file, or from a generator that is deterministic itself."""
        return self.mode == "replay" or (self._generator is not None and self._generator.deterministic)

    @property
    def fingerprint(self) -> str:
        """The generator's; in replay with a hash of all that is recorded of it, in whatever order."""
        if self.mode != "replay":
            return self._model
        held = sorted((key, found.text, found.finished) for key, found in self._found.items())
        return f"{self._model}-replayed-{hashlib.sha256(repr(held).encode(errors='surrogatepass')).hexdigest()[:16]}"

    def generate(self, prompts: list[str]) -> list[Completion]:
        """Returns one completion per prompt: what is recorded, and else what the generator writes now.

        Raises:
            CassetteError: In replay, if a prompt is not recorded.
            GeneratorError: If the generator fails; what was recorded before stays.
            RunError: If the file cannot be written.
        """
        keys = [recording_key(self._model, prompt) for prompt in prompts]
        if self.mode != "replay" and any(self._wanted(key) for key in keys):
            self._catch_up()
        wanted = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if self._wanted(key)}
        if wanted and self.mode == "replay":
            raise CassetteError(self._missing(next(iter(wanted.values())), len(wanted)))
        live = self._record(wanted) if wanted else {}
        return [live.pop(key, self._found[key]) for key in keys]

    def _wanted(self, key: str) -> bool:
        return key not in (self._fresh if self.mode == "record" else self._found)

    def _record(self, wanted: dict[str, str]) -> dict[str, Completion]:
        """Asks the generator, writes down what it says, and returns it by key."""
        assert self._generator is not None
        completions = dict(zip(wanted, self._generator.generate(list(wanted.values())), strict=True))
        with explained("written", self.path):
            mine = self._append(wanted, completions)
        self._fresh |= set(wanted)
        return mine

    def _append(self, wanted: dict[str, str], completions: dict[str, Completion]) -> dict[str, Completion]:
        """Writes down, under the lock, what nobody else has meanwhile, and returns that."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _mend(file.fileno())
            # Another writer may have been first: then theirs stands, for everybody.
            self._catch_up()
            mine = {key: made for key, made in completions.items() if self._wanted(key)}
            lines = [_line(key, self._model, wanted[key], completion) for key, completion in mine.items()]
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        self._catch_up()
        return mine

    def _catch_up(self) -> None:
        """Reads what was appended since, whole lines only."""
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self._place)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.splitlines():
            self._line += 1
            self._read(line)
        self._place += len(whole)

    def _read(self, line: bytes) -> None:
        try:
            found = json.loads(line)
            completion = Completion(
                str(found["text"]),
                int(found["tokens_in"]),
                int(found["tokens_out"]),
                float(found["seconds"]),
                bool(found["finished"]),
                live=False,
            )
            model, key = str(found["model"]), str(found["key"])
            if key != recording_key(model, str(found["prompt"])):
                raise ValueError("its key is not that of its prompt")
        except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
            raise CassetteError(
                f"line {self._line} of {self.path} is no recording ({type(error).__name__}: {error}); remove the line, "
                "or take the file from where it was whole"
            ) from error
        self._models.add(model)
        self._found[key] = completion

    def _missing(self, prompt: str, count: int) -> str:
        others = self._models - {self._model}
        hint = ""
        if self._model not in self._models and others:
            hint = (
                f" It holds recordings of {', '.join(sorted(others))}: another model, or the same with other settings."
            )
        return (
            f"{self.path} ({len(self._found)} recordings) has none of {self._model} for {count} of the prompts asked "
            f"for, such as {prompt[-160:]!r}.{hint} Record it with mode='auto', with the model here, or replay the "
            "same world, people and settings as were recorded"
        )


def recording_key(model: str, prompt: str) -> str:
    """Returns the key of a recording: a hash of the generator's fingerprint and the prompt."""
    return hashlib.sha256(json.dumps([model, prompt]).encode()).hexdigest()[:32]


def _line(key: str, model: str, prompt: str, made: Completion) -> bytes:
    document: dict[str, object] = {
        "key": key,
        "model": model,
        "prompt": prompt,
        "text": made.text,
        "tokens_in": made.tokens_in,
        "tokens_out": made.tokens_out,
        "seconds": round(made.seconds, 4),
        "finished": made.finished,
    }
    # ASCII, so that no text can break a line or be no UTF-8.
    return json.dumps(document).encode() + b"\n"


def _mend(handle: int) -> None:
    """Cuts off what a killed writer left half: the lock is held, so nobody is writing it now."""
    size = os.fstat(handle).st_size
    place = size
    while place > 0:
        start = max(0, place - 65_536)
        found = os.pread(handle, place - start, start).rfind(b"\n")
        if found >= 0:
            place = start + found + 1
            break
        place = start
    if place < size:
        os.ftruncate(handle, place)


__all__: Sequence[str] = ["MODES", "Cassette", "CassetteError", "recording_key"]
