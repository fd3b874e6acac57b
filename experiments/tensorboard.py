"""TensorBoard: what is written, under which names, and how a run that is resumed takes back what came later.

Names are grouped by what people ask: ``reward/`` (does it earn), ``language/`` (does it listen), ``learning/`` (is the
optimiser well), ``latency_ms/`` and ``speed/`` (is it fast), ``users/`` (what a population counts: `TellsNumbers`),
``results/`` (what was measured at the end).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.logger import KVWriter
from tensorboard.compat.proto.event_pb2 import Event
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from instructrec import runs
from instructrec.arrays import Floats

PERCENTILES = (50, 95, 99)
_PROJECTOR = "projector"
_RECORD = struct.Struct("<QI")


class Events:
    """Writes one agent's events into one folder; every kind lands in the same TensorBoard run.

    Args:
        folder: Where; made when it is not there.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._writer = SummaryWriter(log_dir=str(self.folder))

    def __enter__(self) -> Events:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Writes numbers under their names; a number that does not exist (None, NaN) is left out, never zero."""
        for name, value in values.items():
            if value is not None and math.isfinite(value):
                self._writer.add_scalar(name, value, step)

    def histogram(self, step: int, name: str, values: Floats | Sequence[float]) -> None:
        """Writes the distribution of ``values``, any number of them; none is no histogram."""
        found = np.asarray(values, np.float64).ravel()
        found = found[np.isfinite(found)]
        if len(found):
            self._writer.add_histogram(name, found, step)

    def latencies(self, step: int, stages: Mapping[str, Floats | Sequence[float]]) -> None:
        """Writes p50, p95, p99 and the distribution of each stage's times.

        Args:
            step: User-steps so far.
            stages: Milliseconds by stage: encode, score, draw, user, environment, decision.
        """
        for stage, times in stages.items():
            if len(times):
                values = {f"latency_ms/{stage}_p{rank}": float(np.percentile(times, rank)) for rank in PERCENTILES}
                self.scalars(step, values)
                self.histogram(step, f"latency_ms/{stage}", times)

    def text(self, step: int, name: str, markdown: str) -> None:
        """Writes a page of the text tab."""
        self._writer.add_text(name, markdown, step)

    def settings(self, settings: Mapping[str, Any], metrics: Mapping[str, float | None]) -> None:
        """Writes the hyperparameters tab: this run's settings beside its final metrics, in this same run.

        Args:
            settings: By name; nested ones get dotted names.
            metrics: By name, as they stand among the scalars.
        """
        known = {name: value for name, value in metrics.items() if value is not None and math.isfinite(value)}
        for summary in hparams(dict(_shown(runs.plain(settings))), known):  # type: ignore[no-untyped-call]
            self._writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]

    def embeddings(self, name: str, vectors: npt.NDArray[np.float32], labels: Mapping[str, Sequence[str]]) -> None:
        """Writes vectors for the projector, replacing those written under the same name.

        Args:
            name: The name of the cloud of points; letters, digits and underscores.
            vectors: One row per point, [num_points, width].
            labels: Columns of labels, each with one text per point.
        """
        columns = {title: [_cell(text) for text in texts] for title, texts in labels.items()}
        if wrong := [title for title, texts in columns.items() if len(texts) != len(vectors)]:
            raise ValueError(f"the projector needs one label per vector ({len(vectors)}); check {', '.join(wrong)}")
        place = self.folder / _PROJECTOR
        rows = zip(*columns.values(), strict=True)
        # TensorBoard takes a first line as titles only where there is more than one column.
        head = ["\t".join(columns)] if len(columns) > 1 else []
        runs.write_text(place / f"{name}_labels.tsv", "\n".join([*head, *("\t".join(row) for row in rows)]) + "\n")
        lines = ("\t".join(f"{value:.5g}" for value in vector) for vector in vectors)
        runs.write_text(place / f"{name}.tsv", "\n".join(lines) + "\n")
        clouds = sorted(path.stem for path in place.glob("*.tsv") if not path.stem.endswith("_labels"))
        config = "".join(
            f'embeddings {{\n  tensor_name: "{cloud}"\n  tensor_path: "{_PROJECTOR}/{cloud}.tsv"\n'
            f'  metadata_path: "{_PROJECTOR}/{cloud}_labels.tsv"\n}}\n'
            for cloud in clouds
        )
        runs.write_text(self.folder / "projector_config.pbtxt", config)

    def flush(self) -> None:
        """Brings everything written so far to the disk."""
        self._writer.flush()

    def close(self) -> None:
        """Writes what is left and lets the file go."""
        self._writer.close()


def _shown(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, bool | int | float | str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _shown(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, bool | int | float | str) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()) or "(empty)"


# SB3's names on the left; what people look for on the right. Names that are not here keep theirs, unless dropped.
NAMES = {
    "rollout/ep_rew_mean": "reward/session_return",
    "rollout/ep_len_mean": "reward/session_length",
    "train/explained_variance": "learning/explained_variance",
    "train/approx_kl": "learning/kl",
    "train/clip_fraction": "learning/clip_share",
    "train/clip_range": "learning/clip_range",
    "train/learning_rate": "learning/learning_rate",
    "train/loss": "learning/loss",
    "train/policy_gradient_loss": "learning/policy_loss",
    "train/value_loss": "learning/value_loss",
    "train/entropy": "learning/entropy",
    "train/n_updates": "learning/updates",
    "time/fps": "speed/steps_per_second",
}
# What `instructrec.experiments.watch` writes itself, per user-step.
_DROPPED = ("time/iterations", "time/time_elapsed", "time/total_timesteps")


class GroupedWriter(KVWriter):
    """An output of SB3's logger that writes scalars under this project's names."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Writes what the logger has gathered."""
        values: dict[str, float | None] = {}
        for key, value in key_values.items():
            if key in _DROPPED or key.endswith("_seconds") or "tensorboard" in (key_excluded.get(key) or ()):
                continue
            if isinstance(value, int | float | np.number):
                if key == "train/entropy_loss":  # SB3 logs minus the entropy.
                    values["learning/entropy"] = -float(value)
                else:
                    values[NAMES.get(key, key.replace("train/", "learning/"))] = float(value)
        self._events.scalars(step, values)
        self._events.flush()

    def close(self) -> None:
        """Leaves the events open: who opened them closes them."""


def purge_later(folder: str | os.PathLike[str], step: int) -> int:
    """Takes events later than ``step`` out of a folder, and records cut short by a kill; returns how many.

    Args:
        folder: Where events lie; it need not exist.
        step: User-steps that the checkpoint holds.
    """
    taken = 0
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        kept, dropped = _up_to(path.read_bytes(), step)
        if dropped:
            runs.write_bytes(path, kept)
        taken += dropped
    return taken


def _up_to(content: bytes, step: int) -> tuple[bytes, int]:
    """Returns the records of a file whose step is at most ``step``, and how many others there were."""
    kept, dropped, place = [], 0, 0
    while place + _RECORD.size <= len(content):
        # A record: length, checksum of the length, the event, checksum of the event.
        length = _RECORD.unpack_from(content, place)[0]
        end = place + _RECORD.size + length + 4
        if end > len(content):
            break
        event = Event.FromString(content[place + _RECORD.size : end - 4])
        if event.step <= step:
            kept.append(content[place:end])
        else:
            dropped += 1
        place = end
    return b"".join(kept), dropped + (place < len(content))
