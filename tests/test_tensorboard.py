"""TensorBoard reads back what was written, in one run, under the promised names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.experiments.tensorboard import Events, GroupedWriter, purge_later

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard.*")


def _read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    found.Reload()
    return found


def _scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in _read(folder).Scalars(name)]


def test_scalars_come_back_and_what_does_not_exist_is_absent(tmp_path: Path) -> None:
    with Events(tmp_path) as events:
        events.scalars(10, {"reward/session_return": 1.5, "language/csr": None, "learning/kl": float("nan")})
    assert _scalars(tmp_path, "reward/session_return") == [(10, 1.5)]
    assert _read(tmp_path).Tags()["scalars"] == ["reward/session_return"]


def test_latency_has_percentiles_and_a_histogram_per_stage(tmp_path: Path) -> None:
    times = np.arange(1, 101) / 10
    with Events(tmp_path) as events:
        events.latencies(5, {"encode": times, "score": times * 2, "draw": []})
    tags = _read(tmp_path).Tags()
    assert set(tags["scalars"]) == {f"latency_ms/{s}_p{r}" for s in ("encode", "score") for r in (50, 95, 99)}
    assert set(tags["histograms"]) == {"latency_ms/encode", "latency_ms/score"}
    assert _scalars(tmp_path, "latency_ms/score_p50")[0][1] == pytest.approx(np.percentile(times, 50) * 2)


def test_sb3_names_are_grouped_by_what_people_ask(tmp_path: Path) -> None:
    with Events(tmp_path) as events:
        values = {"train/approx_kl": 0.01, "train/entropy_loss": -3.0, "time/fps": 1200, "rollout/ep_rew_mean": 4.0,
                  "time/iterations": 3, "language/csr": 0.5, "train/new_thing": 1.0}  # fmt: skip
        GroupedWriter(events).write(values, {}, step=64)
    assert set(_read(tmp_path).Tags()["scalars"]) == {
        "learning/kl", "learning/entropy", "speed/steps_per_second", "reward/session_return", "language/csr",
        "learning/new_thing",
    }  # fmt: skip
    assert _scalars(tmp_path, "learning/entropy") == [(64, 3.0)]


def test_settings_and_final_metrics_stand_in_the_same_run(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2

    with Events(tmp_path) as events:
        events.scalars(100, {"results/return": 13.0})
        events.settings({"learning_rate": 3e-4, "net": {"width": 64}, "layers": (64, 64)}, {"results/return": 13.0})
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    found = _read(tmp_path)
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert start.hparams["learning_rate"].number_value == pytest.approx(3e-4)
    assert start.hparams["net.width"].number_value == 64
    assert start.hparams["layers"].string_value == "[64, 64]"
    experiment = plugin_data_pb2.HParamsPluginData.FromString(
        found.SummaryMetadata("_hparams_/experiment").plugin_data.content
    ).experiment
    assert [info.name.tag for info in experiment.metric_infos] == ["results/return"]


def test_text_comes_back(tmp_path: Path) -> None:
    with Events(tmp_path) as events:
        events.text(7, "conversations/person_0", "**said** ✓ ✗")
    found = _read(tmp_path).Tensors("conversations/person_0/text_summary")
    assert found[0].step == 7
    assert found[0].tensor_proto.string_val[0].decode() == "**said** ✓ ✗"


def test_the_projector_finds_vectors_with_their_labels(tmp_path: Path) -> None:
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    vectors = np.eye(3, dtype=np.float32)
    labels = {"text": ["a\tthriller", "", "no\nhorror"], "asks_for": ["x", "y", "z"]}
    with Events(tmp_path) as events:
        events.embeddings("instructions", vectors, labels)
        with pytest.raises(ValueError, match="one label per vector"):
            events.embeddings("instructions", vectors[:2], labels)
    cloud = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig()).embeddings[0]
    assert np.loadtxt(tmp_path / cloud.tensor_path) == pytest.approx(vectors)
    lines = (tmp_path / cloud.metadata_path).read_text().splitlines()
    assert lines == ["text\tasks_for", "a thriller\tx", "(empty)\ty", "no horror\tz"]


def test_resuming_takes_back_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with Events(tmp_path) as events:
        for step in range(10, 60, 10):
            events.scalars(step, {"reward/session_return": float(step)})
            events.histogram(step, "latency_ms/score", [1.0, 2.0])
    assert purge_later(tmp_path, 30) == 4
    assert [step for step, _ in _scalars(tmp_path, "reward/session_return")] == [10, 20, 30]
    with Events(tmp_path) as events:
        events.scalars(40, {"reward/session_return": -1.0})
    assert _scalars(tmp_path, "reward/session_return")[-1] == (40, -1.0)
    assert len(_read(tmp_path).Histograms("latency_ms/score")) == 3


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_record_cut_short_by_a_kill_is_dropped_and_the_rest_stays(tmp_path: Path, cut: int) -> None:
    with Events(tmp_path) as events:
        for step in (1, 2, 3):
            events.scalars(step, {"reward/session_return": float(step)})
    path = next(tmp_path.glob("events.*"))
    path.write_bytes(path.read_bytes()[:-cut])
    assert purge_later(tmp_path, 100) == 1
    assert [step for step, _ in _scalars(tmp_path, "reward/session_return")] == [1, 2]


def test_nothing_to_purge_is_no_error(tmp_path: Path) -> None:
    assert purge_later(tmp_path / "none", 0) == 0
