"""Policies evaluated on a log: right where the truth is known, the same however the log lies, refused in words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from instructrec.agents.baselines import baselines
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.worlds import make_world
from instructrec.log_blocks import blocks, folds_of_people
from instructrec.log_files import DiskLog, open_log
from instructrec.log_manifest import LoggedPolicy, LoggedWorld, LogPlan
from instructrec.log_recording import play, record_log
from instructrec.noise import Noise
from instructrec.off_policy import LOGGED, SessionFeatures, earned_so_far, evaluate_policies, session_estimates
from instructrec.policies import greedy, plackett_luce
from instructrec.reward_model import attribute_matrix, fit_rewards
from instructrec.runs import RunError
from instructrec.session_estimators import LoggedSessions
from instructrec.sessions import Observation, Sessions, World
from instructrec.slate_estimators import LoggedSlates
from instructrec.turns import Turns

WEIGHTING = ("standard_ips", "reward_interaction_ips", "independent_ips", "slate_dr", "cascade_dr")
OVER_TURNS = ("trajectory_is", "per_decision_is", "weighted_doubly_robust")


@dataclass(frozen=True)
class Hears:
    """Finds items of the colour that was named better than others, plain and shiny ones alike."""

    world: World
    strength: float = 1.0

    def scores(self, observation: Observation) -> np.ndarray:
        column = self.world.catalogue.column("colour")
        said = observation.texts.strings(observation.instruction)
        named = np.array([[colour in text for colour in column.values] for text in said])
        return self.strength * (named @ column.indicators().T)


def tiny(**settings) -> World:
    return make_world("instructrec/Tiny-v0", **settings)


def policy(world: World, strength: float):
    return plackett_luce(Hears(world, strength), world.slate_size)


def recorded(world: World, folder: Path, shown, sessions: int, *, shard: int = 512, deterministic=False) -> DiskLog:
    described = LoggedPolicy(name="hears", fingerprint="x", deterministic=deterministic)
    plan = LogPlan(
        world=LoggedWorld.of(world, name=world.name), policy=described, sessions=sessions, sessions_per_shard=shard
    )
    return record_log(world, shown, plan, folder)


def truth(world: World, shown, sessions: int = 4000) -> float:
    turns, _ = play(world, shown, Sessions.first(77, sessions))
    return float(turns.rewards.sum() / sessions)


@pytest.fixture(scope="module")
def one_turn(tmp_path_factory) -> tuple[World, DiskLog]:
    world = tiny(turn_limit=1)
    return world, recorded(world, tmp_path_factory.mktemp("slates"), policy(world, 1.5), 2500)


@pytest.fixture(scope="module")
def six_turns(tmp_path_factory) -> tuple[World, DiskLog]:
    world = tiny()
    return world, recorded(world, tmp_path_factory.mktemp("sessions"), policy(world, 1.5), 1500)


def by_name(choice) -> dict[str, float]:
    return {one.estimator: one.value for one in choice.estimates}


def test_one_turn_is_read_as_slates_and_every_weighting_estimator_is_there(one_turn) -> None:
    world, log = one_turn
    found = evaluate_policies(log, world, {"other": policy(world, 2)}, logged_by=policy(world, 1.5))
    assert found.reading == "slates"
    assert set(by_name(found.policies["other"])) == {
        *(prefix + name for name in WEIGHTING for prefix in ("", "sn_")), "direct_method"
    }  # fmt: skip


def test_the_policy_that_logged_is_worth_what_the_log_earned(one_turn, six_turns) -> None:
    for (world, log), names in ((one_turn, WEIGHTING), (six_turns, OVER_TURNS)):
        mean = log.read().rewards.sum(dtype=float) / log.num_sessions
        found = evaluate_policies(log, world, {"again": policy(world, 1.5)}, logged_by=policy(world, 1.5))
        assert found.logged.value == pytest.approx(mean, abs=1e-6)
        for name, estimates in ((LOGGED, by_name(found.policies[LOGGED])), ("again", by_name(found.policies["again"]))):
            for estimator, value in estimates.items():
                if estimator.removeprefix("sn_") in names:
                    model = "dr" in estimator or "robust" in estimator
                    # Doubly robust ones put the model's mean over slates in the place of its value of the one shown.
                    near = 1e-5 if name == LOGGED or not model else 3 * found.logged.error
                    assert value == pytest.approx(mean, abs=near), (name, estimator)
        assert found.gain("again")[0] == pytest.approx(0, abs=0.05 * mean)


def test_estimates_meet_the_truth_where_nothing_is_assumed(one_turn) -> None:
    world, log = one_turn
    targets = {"weaker": policy(world, 0.8), "stronger": policy(world, 2.2)}
    found = evaluate_policies(log, world, targets, logged_by=policy(world, 1.5))
    for name, target in targets.items():
        real, chosen = truth(world, target), found.policies[name].chosen
        assert chosen.trusted, chosen.why
        low, high = chosen.interval(0.999)
        assert low - 0.02 <= real <= high + 0.02
        for one in found.policies[name].estimates:
            assert one.value == pytest.approx(real, abs=2 * one.error + 0.02), one.estimator
    assert abs(truth(world, targets["stronger"]) - truth(world, targets["weaker"])) > 0.3


def test_the_model_knows_words_and_makes_estimates_sharper(one_turn) -> None:
    world, log = one_turn
    found = evaluate_policies(log, world, {"stronger": policy(world, 2.2)})
    errors = {one.estimator: one.error for one in found.policies["stronger"].estimates}
    assert errors["slate_dr"] < 0.75 * errors["standard_ips"]
    assert errors["cascade_dr"] < 0.75 * errors["reward_interaction_ips"]


def test_sessions_are_met_by_the_truth_too(six_turns) -> None:
    world, log = six_turns
    target = policy(world, 1.8)
    found = evaluate_policies(log, world, {"target": target})
    real = truth(world, target)
    assert found.reading == "sessions"
    for one in found.policies["target"].estimates:
        assert one.value == pytest.approx(real, abs=1.5 * one.error + 0.02), one.estimator
    assert abs(found.policies["target"].chosen.value - real) < abs(found.logged.value - real)


def test_it_makes_no_difference_how_a_log_lies(tmp_path, monkeypatch) -> None:
    for limit in (1, 6):
        world = tiny(turn_limit=limit)
        logs = [
            recorded(world, tmp_path / f"{limit}-{shard}", policy(world, 1), 300, shard=shard) for shard in (300, 70)
        ]
        targets = {"one": policy(world, 1.3), "other": policy(world, 0.5), "third": policy(world, 0.9)}
        whole = evaluate_policies(logs[0], world, targets)
        with monkeypatch.context() as patch:
            patch.setattr("instructrec.off_policy._CELLS", 1)
            apart = evaluate_policies(logs[1], world, targets, memory=1)
        for name in (LOGGED, *targets):
            mine, theirs = whole.policies[name], apart.policies[name]
            assert by_name(mine) == pytest.approx(by_name(theirs), rel=1e-4, abs=1e-5), name
            assert mine.chosen.low == pytest.approx(theirs.chosen.low, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("turn_limit", [1, 2])
def test_the_same_people_again_are_sessions_and_others_like_them_are_people(turn_limit, tmp_path) -> None:
    world = make_world("instructrec/Movies-v0", turn_limit=turn_limit, slate_size=3, candidates=10)
    popular = baselines(world)["popularity"]
    log = recorded(world, tmp_path, plackett_luce(popular, 3, 2.0), 1200)
    targets = {"bolder": plackett_luce(popular, 3, 1.5)}
    others = evaluate_policies(log, world, targets)
    same = evaluate_policies(log, world, targets, same_people=True)
    assert (others.same_people, same.same_people) == (False, True)
    assert (others.logged.units, same.logged.units) == (others.people, 1200)
    assert others.people < 400
    turns = log.read()
    returns = np.add.reduceat(turns.rewards.astype(float), np.flatnonzero(turns.begins))
    assert same.logged.error == pytest.approx(returns.std(ddof=1) / np.sqrt(1200), rel=1e-6)
    assert same.logged.value == others.logged.value
    weighted = "standard_ips" if turn_limit == 1 else "trajectory_is"
    ours, theirs = (by_name(found.policies["bolder"])[weighted] for found in (others, same))
    assert ours == theirs
    assert same.logged.error != others.logged.error


def test_turns_of_sessions_can_be_read_as_slates(six_turns) -> None:
    world, log = six_turns
    found = evaluate_policies(log, world, {"stronger": policy(world, 2)}, slates=True)
    assert found.reading == "slates"
    assert found.logged.value == pytest.approx(log.read().rewards.mean(), abs=1e-6)
    assert found.policies["stronger"].chosen.value > found.logged.value
    assert any("in the states that the logging policy led to" in note for note in found.notes)


def test_what_the_log_hardly_shows_is_not_trusted_and_it_says_why(tmp_path) -> None:
    world = tiny(turn_limit=1)
    log = recorded(world, tmp_path, policy(world, 8), 1500)
    found = evaluate_policies(log, world, {"contrary": policy(world, -8)})
    choice = found.policies["contrary"]
    assert not any(one.trusted for one in choice.estimates)
    weighted = next(one for one in choice.estimates if one.estimator == "standard_ips")
    assert weighted.unsupported > 0.5
    assert "hardly or never in the log" in weighted.why


def test_items_that_were_never_shown_are_counted_as_unsupported(tmp_path) -> None:
    @dataclass(frozen=True)
    class Never:
        """Never shows the first half."""

        world: World

        def scores(self, observation: Observation) -> np.ndarray:
            scores = np.zeros((observation.batch, self.world.catalogue.num_items))
            scores[:, :10] = -np.inf
            return scores

    world = tiny(turn_limit=1)
    behaviour = plackett_luce(Never(world), world.slate_size)
    log = recorded(world, tmp_path, behaviour, 1200)
    found = evaluate_policies(log, world, {"even": policy(world, 0)}, logged_by=behaviour)
    assert found.policies["even"].chosen.unsupported >= 0.45 or not found.policies["even"].chosen.trusted
    assert max(one.unsupported for one in found.policies["even"].estimates) >= 0.45


def test_a_policy_that_only_draws_is_evaluated_too(one_turn) -> None:
    world, log = one_turn

    @dataclass(frozen=True)
    class Plain:
        """A policy by its two methods alone."""

        inner: object

        def act(self, observation: Observation, noise: Noise):
            return self.inner.act(observation, noise)

        def log_prob(self, observation: Observation, slates):
            return self.inner.log_prob(observation, slates)

    known, plain = policy(world, 2), Plain(policy(world, 2))
    found = evaluate_policies(log, world, {"known": known, "plain": plain})
    one, other = by_name(found.policies["known"]), by_name(found.policies["plain"])
    assert other["standard_ips"] == pytest.approx(one["standard_ips"], abs=1e-6)
    assert "cascade_dr" in one
    assert "cascade_dr" not in other
    error = found.policies["known"].chosen.error
    assert other["slate_dr"] == pytest.approx(one["slate_dr"], abs=2 * error)


def test_rows_from_elsewhere_need_no_world(six_turns) -> None:
    """The seam for logs of other programs: arrays in, estimates out."""
    _, log = six_turns
    turns = log.read()
    slates = LoggedSlates(
        rewards=turns.item_rewards, behaviour=turns.log_probs, evaluation=turns.log_probs.astype(np.float32)
    )
    sessions = LoggedSessions(slates=slates, session=turns.session, turn=turns.turn, person=turns.person)
    mean = turns.rewards.sum(dtype=float) / log.num_sessions
    for one in session_estimates(sessions):
        assert one.value == pytest.approx(mean, abs=1e-4)


def test_refusals_are_sentences(one_turn, tmp_path) -> None:
    world, log = one_turn
    with pytest.raises(RunError, match="is a log of"):
        evaluate_policies(log, tiny(turn_limit=1, leave=0.5), {})
    with pytest.raises(ValueError, match="logged is the name of the policy that logged"):
        evaluate_policies(log, world, {LOGGED: policy(world, 1)})
    with pytest.raises(RunError, match="with other probabilities"):
        evaluate_policies(log, world, {}, logged_by=policy(world, 3))
    fixed = recorded(world, tmp_path / "fixed", greedy(Hears(world), 3), 50, deterministic=True)
    with pytest.raises(RunError, match="says nothing of other policies: record a log with a policy that draws"):
        evaluate_policies(fixed, world, {})
    empty = replace(log, manifest=replace(log.manifest, shards=()))
    with pytest.raises(RunError, match="holds no turns yet"):
        evaluate_policies(empty, world, {})
    damaged = recorded(world, tmp_path / "damaged", policy(world, 1), 60, shard=30)
    path = tmp_path / "damaged" / "turns-00001.parquet"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(RunError, match="is damaged"):
        evaluate_policies(open_log(damaged.folder), world, {"other": policy(world, 2)})


def test_part_of_a_log_is_evaluated_and_said_to_be_one(one_turn) -> None:
    world, log = one_turn
    part = replace(log, manifest=replace(log.manifest, shards=log.manifest.shards[:2]))
    found = evaluate_policies(part, world, {})
    assert found.sessions == 1024
    assert any("1,024 of 2,500 sessions are there" in note for note in found.notes)


@dataclass(frozen=True)
class Held:
    """A log in memory."""

    turns: Turns
    plan: LogPlan

    def __len__(self) -> int:
        return len(self.turns)

    def check_world(self, world: World) -> None:
        """Takes any."""

    def shards(self):
        yield self.turns


def test_what_a_fold_earned_is_in_no_rate_that_predicts_it(one_turn) -> None:
    """Doubly robust estimates believe in what a model learned by heart."""
    world, log = one_turn
    turns = log.read()
    fold = folds_of_people(turns.person)
    changed = replace(turns, item_rewards=np.where((fold == 2)[:, None], 5, turns.item_rewards).astype(np.float32))
    one, other = (fit_rewards(Held(each, log.plan), world) for each in (turns, changed))
    for name in ("positions", "rates"):
        np.testing.assert_array_equal(getattr(one, name)[2], getattr(other, name)[2], err_msg=name)
        assert not np.array_equal(getattr(one, name)[0], getattr(other, name)[0])


def test_blocks_are_whole_sessions_numbered_through(six_turns) -> None:
    world, log = six_turns
    parts = list(blocks(log, world, rows=100))
    assert len(parts) > 10
    assert all(part.turns.turn[0] == 0 for part in parts)
    session = np.concatenate([part.session for part in parts])
    np.testing.assert_array_equal(session, log.read().session)


def test_features_of_sessions_differ_from_what_is_expected_by_the_surplus_alone() -> None:
    turn, rewards = np.array([0, 1, 2, 0, 1]), np.array([1.0, 2, 3, 4, 5])
    possible = np.ones(5)
    lazily = SessionFeatures(turn, rewards, earned_so_far(turn, rewards), 4, possible)
    shown, expected = replace(lazily, shown=possible + 0.5)[:], lazily[:]
    assert shown.shape == lazily.shape
    for rows in (slice(1, 4), np.array([3, 0]), turn == 0):
        np.testing.assert_array_equal(lazily[rows], expected[rows])
    np.testing.assert_array_equal(shown[:, :8], expected[:, :8])
    np.testing.assert_allclose(shown[:, 5], [0, 0.5, 1, 0, 2])  # So far, over the turns with the present one.
    np.testing.assert_array_equal(shown[:, 7], [0, 1, 2, 0, 4])
    assert (expected[:, 8:] == 0).all()


def test_only_the_chosen_estimate_keeps_its_scores_and_all_keep_their_intervals(six_turns) -> None:
    world, log = six_turns
    for choice in evaluate_policies(log, world, {"weaker": policy(world, 0.8)}).policies.values():
        assert len(choice.chosen.scores) == choice.chosen.units > 1
        for one in choice.estimates:
            assert (one is choice.chosen) == (len(one.scores) > 0)
            assert one.interval() == pytest.approx((one.low, one.high), nan_ok=True)
        other = choice.estimates[choice.place - 1]
        with pytest.raises(ValueError, match="only the chosen one keeps its scores"):
            other.error_of_difference(choice.chosen)


def test_numbers_are_cut_into_quarters_and_values_are_unit_rows() -> None:
    years = [1990.0, np.nan, 1970, 1980, 1960, 1991, 1971, 1981, 1961]
    colours = [["red"], ["red"], ["blue", "red"], *[["blue"]] * 6]
    columns = (Column.multi_valued("colour", colours), Column.numeric("year", years))
    names = tuple(map(str, range(9)))
    catalogue = Catalogue(
        columns={column.name: column for column in columns},
        titles=names,
        texts=names,
        item_ids=names,
        popularity=np.ones(9, np.float32),
    )
    matrix = attribute_matrix(catalogue)
    np.testing.assert_allclose((matrix**2).sum(axis=1), 1, rtol=1e-6)
    quarters = matrix[:, -4:] > 0
    assert [np.flatnonzero(inside).tolist() for inside in quarters.T] == [[4, 8], [2, 6], [3, 7], [0, 5]]
    assert (matrix[0] > 0).sum() == 2
    assert (matrix[1] > 0).sum() == 1, "a number that is not known is in no quarter"
    assert (matrix[2] > 0).sum() == 3
