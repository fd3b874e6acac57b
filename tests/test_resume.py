"""A run killed at any moment and resumed ends with the same weights as one never killed."""

from __future__ import annotations

import importlib
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec import runs
from instructrec.experiments.progress import Narrator
from instructrec.experiments.train import TrainPlan, train
from instructrec.runs import RunError

PLAN = TrainPlan(
    world="instructrec/Tiny-v0",
    agent_settings={
        "encoder": "hashing",
        "prompts": 16,
        "num_envs": 16,
        "num_steps": 8,
        "minibatch_size": 64,
        "gamma": 0.9,
        "anchor": 0.01,  # So that the policy at the start has to survive too.
        "scorer": {"hidden": 16, "critic_hidden": 16},
    },
    steps=640,
    checkups=2,
    checkpoint_seconds=0.0,
)
QUIET = Narrator(quiet=True)


def _train(out: Path, plan: TrainPlan = PLAN) -> dict[str, Any]:
    return train(plan, out, resume=True, narrator=QUIET)


def _weights(out: Path) -> dict[str, np.ndarray]:
    found = runs.latest_checkpoint(out)
    assert found is not None
    arrays = {}
    for path in sorted(found.folder.glob("*.safetensors")):
        arrays |= {f"{path.name}:{name}": array for name, array in runs.read_arrays(path).items()}
    return arrays


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].tobytes() == other[name].tobytes(), f"{name} differs"


Dies = Callable[[Path, int], int]


@pytest.fixture(scope="module")
def dies(killed_at: Callable[..., tuple[int, int]]) -> Dies:
    """Trains in a process that is killed before its so-manieth call that makes something last; gives its exit code."""
    return lambda out, deadly: killed_at(lambda: _train(out), deadly)[0]


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory, killed_at: Callable[..., tuple[int, int]]) -> tuple[Path, int]:
    """A run that was never killed, and how many system calls made it last."""
    # What torch imports at the first optimiser takes seconds; forks of this process then have it already.
    importlib.import_module("torch._dynamo")
    out = tmp_path_factory.mktemp("whole")
    code, calls = killed_at(lambda: _train(out), 0)
    assert code == 0
    return out, calls


@pytest.fixture(scope="module")
def whole(unharmed: tuple[Path, int]) -> Path:
    """A run that was never killed."""
    return unharmed[0]


def _scalars(out: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(out / "events" / "slate_ppo"))
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars(name)]


# From before the first checkpoint, through the middle of writing several, to after the last.
@pytest.mark.parametrize("share", [0.02, 0.3, 0.56, 0.85, 0.99])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_killed_and_resumed_ends_with_the_same_weights(
    unharmed: tuple[Path, int], dies: Dies, tmp_path: Path, share: float
) -> None:
    whole, calls = unharmed
    assert dies(tmp_path, max(int(calls * share), 1)) == -signal.SIGKILL
    assert dies(tmp_path, 0) == 0
    _same(_weights(whole), _weights(tmp_path))
    for name in ("reward/session_return", "language/csr", "learning/kl"):
        assert _scalars(whole, name) == _scalars(tmp_path, name)


def test_killed_twice_in_the_same_checkpoint_ends_the_same(
    unharmed: tuple[Path, int], dies: Dies, tmp_path: Path
) -> None:
    whole, calls = unharmed
    assert dies(tmp_path, calls // 2) == -signal.SIGKILL
    assert dies(tmp_path, calls // 4) == -signal.SIGKILL
    assert dies(tmp_path, 0) == 0
    _same(_weights(whole), _weights(tmp_path))


def test_another_seed_ends_elsewhere(whole: Path, tmp_path: Path) -> None:
    _train(tmp_path, replace(PLAN, seed=1))
    ours, theirs = _weights(whole), _weights(tmp_path)
    assert any(ours[name].tobytes() != theirs[name].tobytes() for name in ours if name.startswith("weights"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_run_tells_tensorboard_what_people_ask(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(whole / "events" / "slate_ppo"))
    found.Reload()
    tags = found.Tags()
    stages = ("encode", "score", "draw", "decision", "user", "environment")
    assert {
        "reward/session_return", "reward/clicks", "reward/consumed", "reward/left", "reward/oracle_normalised_return",
        "language/csr", "language/control_gain", "learning/entropy", "learning/kl", "learning/clip_share",
        "learning/explained_variance", "speed/steps_per_second", "results/csr",
        *(f"latency_ms/{stage}_p{rank}" for stage in stages for rank in (50, 95, 99)),
    } <= set(tags["scalars"])  # fmt: skip
    assert {f"latency_ms/{stage}" for stage in stages} <= set(tags["histograms"])
    assert "✓" in found.Tensors("conversations/person_0_slate_ppo/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "_hparams_/session_start_info" in found.summary_metadata
    assert (whole / "events" / "slate_ppo" / "projector_config.pbtxt").exists()
    groups = {name.partition("/")[0] for name in tags["scalars"]}
    assert groups == {"reward", "language", "learning", "latency_ms", "speed", "results"}


def test_resuming_what_is_finished_changes_nothing(whole: Path) -> None:
    before = _weights(whole)
    assert _train(whole)["steps"] == PLAN.steps
    _same(before, _weights(whole))


def test_resuming_with_other_settings_names_the_difference(whole: Path) -> None:
    with pytest.raises(RunError, match=r"agent_settings\.gamma: 0\.9, now 0\.5"):
        _train(whole, replace(PLAN, agent_settings={**PLAN.agent_settings, "gamma": 0.5}))
    with pytest.raises(RunError, match="seed: 0, now 3"):
        _train(whole, replace(PLAN, seed=3))
    with pytest.raises(RunError, match=r"world_settings\.slate_size: not set, now 2"):
        _train(whole, replace(PLAN, world_settings={"slate_size": 2}))


def test_a_folder_that_holds_a_run_is_not_overwritten(whole: Path) -> None:
    with pytest.raises(RunError, match="holds a run already"):
        train(PLAN, whole, resume=False, narrator=QUIET)
