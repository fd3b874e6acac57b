"""SlatePPO's own log says exactly what was shown, and recording it changes nothing."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from instructrec import runs
from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.own_log import LogRecorder, read_log, write_log
from instructrec.agents.reading import SessionReader
from instructrec.agents.recording import behaviour_policy, collect_log
from instructrec.agents.sb3_worlds import sb3_vec_env
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_ppo import SlatePPO, SlatePPOConfig
from instructrec.arrays import is_shared
from instructrec.candidates import RandomCandidates, TheseItems
from instructrec.envs import world_of
from instructrec.envs.tiny import tiny_world
from instructrec.logs import joined
from instructrec.policies import log_prob_of_places
from instructrec.protocols import Instruction, Reaction
from instructrec.runs import RunError

SMALL = SlatePPOConfig(
    num_envs=8,
    num_steps=4,
    minibatch_size=16,
    prompts=0,
    candidates=None,
    scorer=ScorerConfig(hidden=8, critic_hidden=8),
)


def learner(world, config=SMALL):
    torch.set_num_threads(1)
    encoder = load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(list(world.catalogue.texts)))
    reader = SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)
    env = sb3_vec_env(world, config.num_envs, encoder=encoder, seed=0, memory=config.memory)
    return SlatePPO(env, reader, config, seed=0)


def same(one, other):
    for name in ("slates", "log_probs", "clicked", "item_rewards", "session", "ended"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("said", "past", "past_ratings", "slates", "clicked", "turn"):
        np.testing.assert_array_equal(getattr(one.observations, name), getattr(other.observations, name), err_msg=name)
    words = [log.observations.texts.strings(log.observations.instruction) for log in (one, other)]
    assert words[0] == words[1]


def test_recording_changes_no_bit_of_training():
    weights = []
    for recorder in (None, LogRecorder()):
        model = learner(tiny_world())
        model.learn(96, callback=recorder)
        weights.append({name: value.clone() for name, value in model.policy.scorer.state_dict().items()})
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_propensities_are_those_of_the_policy_that_drew():
    model = learner(tiny_world())
    ranker = model.ranker()
    before = {}

    class AtFirst(LogRecorder):
        def _on_rollout_end(self):
            # The weights are still those that drew this iteration.
            super()._on_rollout_end()
            log = self._iterations[-1]
            scores = np.asarray(ranker.scores(log.observations), np.float64)
            before["log_probs"] = log_prob_of_places(scores, log.slates)

    recorder = AtFirst()
    model.learn(32, callback=recorder)
    assert len(recorder.log) == 32
    np.testing.assert_allclose(recorder.log.log_probs, before["log_probs"], atol=1e-4)


def test_turns_of_a_session_follow_each_other_across_iterations():
    # Few leave, so that sessions go on from one iteration into the next.
    model, recorder = learner(tiny_world(lure=0.05, leave=0.01)), LogRecorder()
    model.learn(160, callback=recorder)
    log = recorder.log
    lengths = []
    for session in np.unique(log.session):
        rows = np.flatnonzero(log.session == session)
        lengths.append(len(rows))
        np.testing.assert_array_equal(log.observations.turn[rows], np.arange(len(rows)))
        np.testing.assert_array_equal(log.observations.slates[rows[-1], : len(rows) - 1], log.slates[rows[:-1]])
        assert not log.ended[rows[:-1]].any()
    assert max(lengths) > 4, "no session went on into the next iteration"


def test_it_is_read_back_as_it_was_whatever_was_written_twice(tmp_path):
    world = tiny_world()
    memory, folder = LogRecorder(), LogRecorder(tmp_path)
    learner(world).learn(96, callback=memory)
    learner(world).learn(32, callback=folder)
    # A run that was killed begins an iteration again: the same files.
    learner(world).learn(96, callback=LogRecorder(tmp_path))
    same(read_log(tmp_path, tiny_world()), memory.log)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


class Talker:
    """Says what is in no bank."""

    def arrive(self, rng):
        return Instruction(f"number {int(rng.integers(1_000))}, please")

    def react(self, slate, rng):
        return Reaction(clicked=(1,), left=bool(rng.random() < 0.3))


def talking():
    return world_of(Talker, tiny_world().catalogue, slate_size=3, turn_limit=4)


def recorded(world, turns=60):
    encoder = load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(list(world.catalogue.texts)))
    return collect_log(world, behaviour_policy(features, encoder, 3), turns, num_envs=16)


def test_free_words_are_kept_as_words(tmp_path):
    log = recorded(talking())
    write_log(tmp_path, log, talking())
    same(read_log(tmp_path, talking()), log)


def test_candidates_that_are_the_same_for_all_take_the_room_of_one_row(tmp_path):
    some = np.arange(0, 20, 2, dtype=np.int32)
    for name, source, rows in (("same", TheseItems(some), 1), ("own", RandomCandidates(tiny_world().catalogue, 8), 60)):
        world = dataclasses.replace(tiny_world(), candidates=source)
        log = recorded(world)
        write_log(tmp_path / name, log, world)
        (path,) = (tmp_path / name).glob("*.safetensors")
        assert len(runs.read_arrays(path)["observations.candidates"]) == rows
        found = read_log(tmp_path / name, world)
        same(found, log)
        np.testing.assert_array_equal(found.observations.candidates, log.observations.candidates)
        for seen in (log.observations, found.rows(np.arange(0, 60, 3)).observations, found.observations):
            assert is_shared(seen.candidates) == (name == "same")


def test_a_log_of_another_world_is_refused(tmp_path):
    write_log(tmp_path, recorded(tiny_world()), tiny_world())
    with pytest.raises(RunError, match="other people or rules"):
        read_log(tmp_path, tiny_world(leave=0.2))
    with pytest.raises(RunError, match="other people or rules"):
        write_log(tmp_path, recorded(tiny_world(leave=0.2)), tiny_world(leave=0.2))


def test_what_is_no_log_or_a_damaged_one_is_told(tmp_path):
    world = tiny_world()
    with pytest.raises(RunError, match="no log"):
        read_log(tmp_path, world)
    log = recorded(world)
    write_log(tmp_path, log, world)
    (path,) = tmp_path.glob("*.safetensors")
    arrays = runs.read_arrays(path)
    runs.write_arrays(path, {name: array for name, array in arrays.items() if name != "observations.past"})
    with pytest.raises(RunError, match=r"observations\.past|no past"):
        read_log(tmp_path, world)
    runs.write_arrays(path, {**arrays, "clicked": arrays["clicked"][:-1]})
    with pytest.raises(RunError, match="rows"):
        read_log(tmp_path, world)
    (tmp_path / "log.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RunError, match="format 99"):
        read_log(tmp_path, world)


def test_logs_written_one_after_the_other_are_read_in_order(tmp_path):
    world = tiny_world()
    log = recorded(world)
    write_log(tmp_path, log.rows(slice(40, 60)), world, after=40)
    write_log(tmp_path, log.rows(slice(40)), world)
    same(read_log(tmp_path, world), joined([log]))
