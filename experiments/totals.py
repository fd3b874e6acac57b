"""What was played, kept small: sums and counts per session, which is all that tables and intervals need."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec import runs
from instructrec.experiments.evaluation import Episodes, Latency
from instructrec.runs import RunError
from instructrec.sessions import Sessions

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Totals:
    """Metrics of a batch of sessions: like `Episodes`, without their turns.

    Attributes:
        world: The world's name.
        fingerprint: The world's fingerprint.
        num_items: Items in its catalogue.
        sessions: Which sessions they are.
        person: Whose session it is, int64 [num_sessions].
        values: Sums and counts by metric, each float64 [num_sessions].
        shown: Slates, int32 [num_sessions, turn_limit, slate_size], -1 after the end; None where they are not kept.
        latency: How long decisions take, where measured.
        seconds: How long the evaluation took.
    """

    world: str
    fingerprint: str
    num_items: int
    sessions: Sessions
    person: npt.NDArray[np.int64]
    values: Mapping[str, tuple[Numbers, Numbers]]
    shown: npt.NDArray[np.int32] | None = None
    latency: Latency | None = None
    seconds: float = field(default=0.0, compare=False)

    @classmethod
    def of(cls, played: Episodes, *, shown: bool = True) -> Totals:
        """Returns the totals of what was played.

        Args:
            played: What was played.
            shown: Whether to keep the slates, which exposure and coverage need.
        """
        return cls(
            world=played.world,
            fingerprint=played.fingerprint,
            num_items=played.num_items,
            sessions=played.sessions,
            person=played.person,
            values={name: played.totals(name) for name in played.metrics},
            shown=played.shown if shown else None,
            latency=played.latency,
            seconds=played.seconds,
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that `totals` knows."""
        return tuple(self.values)

    def totals(self, metric: str) -> tuple[Numbers, Numbers]:
        """Returns a metric's sum and count per session; see `Episodes.totals`."""
        return self.values[metric]

    def mean(self, metric: str) -> float:
        """Returns a metric's mean; NaN where the question never arises."""
        sums, counts = self.values[metric]
        return float(sums.sum() / counts.sum()) if counts.sum() else float("nan")

    @property
    def first_slates(self) -> npt.NDArray[np.int32] | None:
        """What each user was shown first, int32 [num_sessions, slate_size]; None where slates are not kept."""
        return None if self.shown is None else self.shown[:, 0]


Parts = Mapping[str, Totals]
"""The totals of several plays, by name."""


def write_parts(path: str | os.PathLike[str], parts: Parts) -> None:
    """Writes totals into one file, whole or not at all; reading them gives the same bits."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    notes: dict[str, dict[str, object]] = {}
    for name, part in parts.items():
        timed = dict(part.latency.milliseconds) if part.latency is not None else {}
        notes[name] = {
            "world": part.world,
            "fingerprint": part.fingerprint,
            "num_items": part.num_items,
            "seconds": part.seconds,
            "metrics": list(part.values),
            "timed": list(timed),
        }
        kept: dict[str, npt.NDArray[Any]] = {
            "seed": part.sessions.seed,
            "lane": part.sessions.lane,
            "ordinal": part.sessions.ordinal,
        }
        kept |= {"person": part.person}
        for metric, (sums, counts) in part.values.items():
            kept |= {f"sums.{metric}": sums, f"counts.{metric}": counts.astype(np.uint16)}
        if part.shown is not None:
            kept["shown"] = part.shown.astype(np.int16 if part.num_items <= np.iinfo(np.int16).max else np.int32)
        kept |= {f"timed.{stage}": times for stage, times in timed.items()}
        arrays |= {f"{name}/{label}": array for label, array in kept.items()}
    arrays["notes"] = np.frombuffer(json.dumps(notes).encode(), np.uint8)
    runs.write_arrays(path, arrays)


def read_parts(path: str | os.PathLike[str]) -> dict[str, Totals]:
    """Reads what `write_parts` wrote.

    Raises:
        RunError: If the file is missing or damaged.
    """
    arrays = runs.read_arrays(path)
    try:
        notes = json.loads(arrays["notes"].tobytes())
        return {name: _read(note, _below(arrays, name)) for name, note in notes.items()}
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); remove it, and it is measured again") from None


def _below(arrays: Mapping[str, npt.NDArray[np.generic]], name: str) -> dict[str, npt.NDArray[np.generic]]:
    return {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}


def _read(note: Mapping[str, object], arrays: Mapping[str, npt.NDArray[np.generic]]) -> Totals:
    metrics, timed = (list(map(str, note[key])) for key in ("metrics", "timed"))  # type: ignore[call-overload]
    return Totals(
        world=str(note["world"]),
        fingerprint=str(note["fingerprint"]),
        num_items=int(str(note["num_items"])),
        sessions=Sessions(*(arrays[part].astype(np.int64) for part in ("seed", "lane", "ordinal"))),
        person=arrays["person"].astype(np.int64),
        values={
            name: (arrays[f"sums.{name}"].astype(np.float64), arrays[f"counts.{name}"].astype(np.float64))
            for name in metrics
        },
        shown=arrays["shown"].astype(np.int32) if "shown" in arrays else None,
        latency=Latency({name: arrays[f"timed.{name}"].astype(np.float64) for name in timed}) if timed else None,
        seconds=float(str(note["seconds"])),
    )
