"""Everybody meets the same people with the same luck, and what is written down is what happened."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from instructrec.arrays import Floats, Ints, rows_of
from instructrec.envs.tiny import TinyPopulation, TinyState, optimal_policy, optimal_value, tiny_world
from instructrec.experiments.evaluation import decider, evaluate, returns_of, time_decisions, without_words
from instructrec.experiments.results import Played, check_comparable, compare_agents, play, results_of
from instructrec.noise import Noise, Purpose
from instructrec.policies import greedy, plackett_luce
from instructrec.sessions import Instructions, Observation, Reactions, Sessions, SessionState, World

WORLD = tiny_world()
SESSIONS = Sessions.first(7, 120)


@dataclass(frozen=True)
class Listener:
    """Scores plain items of the colour that it hears; nothing heard, nothing known."""

    right: float = 1.0

    def scores(self, observation: Observation) -> Floats:
        heard = observation.texts.strings(observation.instruction)
        match = np.array([[item.split()[2] in text for item in WORLD.catalogue.texts] for text in heard])
        plain = np.array(["plain" in text for text in WORLD.catalogue.texts])
        return self.right * match + 0.5 * plain


@dataclass(frozen=True)
class Constant:
    """The same for everybody."""

    def scores(self, observation: Observation) -> Floats:
        return np.broadcast_to(-np.arange(20.0), (observation.batch, 20))


@dataclass(frozen=True)
class Chance:
    """Any slate is as likely as any other."""

    def act(self, observation: Observation, noise: Noise) -> Ints:
        return np.argsort(noise.uniform(Purpose.POLICY, 20), axis=1)[:, :3]


@dataclass(frozen=True)
class Knowing:
    """Sees the hidden state."""

    world: World = WORLD

    def scores(self, observation: Observation, state: SessionState) -> Floats:
        return self.world.population.expected_utility(state.population)


class Silent(TinyPopulation):
    """Tiny's users, whose goals nobody knows and who are two persons in all."""

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[TinyState, Instructions]:
        state, said = super().arrive(sessions, noise)
        return state, replace(said, goals=None)

    def react(self, state: TinyState, slates: Ints, noise: Noise) -> tuple[TinyState, Reactions]:
        after, reactions = super().react(state, slates, noise)
        return after, replace(reactions, instructions=replace(reactions.instructions, goals=None))

    def persons(self, state: TinyState) -> Ints:
        return np.arange(len(state.colour)) % 2


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    agents = {
        "random": Chance(),
        "popularity": Constant(),
        "slate_ppo": [Listener(), Listener(2.0)],
        "oracle": Knowing(),
    }
    return compare_agents(WORLD, agents, SESSIONS, seeds=(1, 2), draws=300, timed_decisions=12)


def test_the_best_policy_of_the_tiny_world_reaches_its_known_value() -> None:
    played = evaluate(WORLD, optimal_policy(WORLD), Sessions.first(0, 4000))
    error = played.returns.std() / np.sqrt(len(played.returns))
    assert abs(played.mean("return") - optimal_value(WORLD)) < 4 * error
    assert played.mean("csr") == played.mean("strict_slate") == 1.0


def test_the_size_of_a_batch_changes_nothing() -> None:
    whole = evaluate(WORLD, Chance(), SESSIONS, batch_size=1000)
    parts = evaluate(WORLD, Chance(), SESSIONS, batch_size=17)
    np.testing.assert_array_equal(whole.shown, parts.shown)
    np.testing.assert_array_equal(whole.rewards, parts.rewards)
    np.testing.assert_array_equal(whole.turns["csr"], parts.turns["csr"])


def test_returns_alone_are_those_of_sessions_that_are_judged() -> None:
    competitors = [Chance(), Listener(), Knowing()]
    earned = returns_of(WORLD, competitors, SESSIONS, batch_size=50)
    for row, competitor in zip(earned, competitors, strict=True):
        played = evaluate(WORLD, competitor, SESSIONS, batch_size=50)
        np.testing.assert_allclose(row, played.returns, rtol=1e-12)
    assert len({*played.length}) > 1


def test_what_is_written_down_is_what_happened() -> None:
    played = evaluate(WORLD, Listener(), SESSIONS, keep_goals=True)
    ran = np.arange(WORLD.turn_limit) < played.length[:, None]
    np.testing.assert_array_equal(played.rewards, played.clicked.sum(axis=2))
    np.testing.assert_array_equal(played.shown >= 0, np.broadcast_to(ran[:, :, None], played.shown.shape))
    np.testing.assert_array_equal(played.instruction >= 0, ran)
    np.testing.assert_array_equal(np.isfinite(played.turns["diversity"]), ran)
    assert (played.left | (played.length == WORLD.turn_limit)).all()
    assert played.mean("return") == pytest.approx(played.returns.mean())
    assert played.goals is not None
    assert [rows_of(goals) for goals in played.goals] == [len(SESSIONS.lane)] * int(played.length.max())
    np.testing.assert_array_equal(played.goals[1].check[:, 0] > 0, played.length > 1)


def test_only_running_sessions_are_stepped() -> None:
    seen: list[int] = []

    @dataclass(frozen=True)
    class Counting:
        def scores(self, observation: Observation) -> Floats:
            seen.append(observation.batch)
            return Constant().scores(observation)

    played = evaluate(WORLD, Counting(), SESSIONS)
    assert seen == [int((played.length > turn).sum()) for turn in range(int(played.length.max()))]


def test_people_are_told_apart_where_the_population_says_who_they_are() -> None:
    assert evaluate(WORLD, Chance(), SESSIONS).person.tolist() == list(range(120))
    silent = replace(WORLD, population=Silent())
    assert set(evaluate(silent, Chance(), SESSIONS).person) == {0, 1}


def test_where_goals_are_unknown_their_metrics_are_absent() -> None:
    silent = replace(WORLD, population=Silent())
    result = compare_agents(silent, {"random": Chance(), "slate_ppo": Constant()}, SESSIONS, timed_decisions=0)
    assert result["people"] == 2
    for line in result["agents"].values():
        assert "return" in line
        assert not {"csr", "strict", "violation", "control_gain", "oracle_normalised_return"} & set(line)
        assert "latency_p50_ms" not in line


def test_a_ranker_a_policy_and_a_reference_can_all_be_evaluated() -> None:
    ranker, policy = evaluate(WORLD, Listener(), SESSIONS), evaluate(WORLD, greedy(Listener(), 3), SESSIONS)
    np.testing.assert_array_equal(ranker.shown, policy.shown)
    assert evaluate(WORLD, Knowing(), SESSIONS).turns["csr"][:, 0].mean() == 1.0
    with pytest.raises(TypeError, match=r"scores\(observation, state\)"):
        decider(WORLD, object())  # type: ignore[arg-type]


def test_taking_the_words_away_makes_a_listener_deaf() -> None:
    for competitor in (Listener(), greedy(Listener(), 3), plackett_luce(Listener(), 3, 0.01)):
        controls = without_words(competitor)
        assert controls is not None
        blank, swapped = (evaluate(WORLD, control, SESSIONS) for control in controls)
        assert evaluate(WORLD, competitor, SESSIONS).mean("csr") > 0.9
        assert 0 < blank.mean("csr") < 0.5
        assert 0 < swapped.mean("csr") < 0.5
    assert without_words(Chance()) is None


def test_times_are_taken_by_stage_on_known_text() -> None:
    played = evaluate(WORLD, Listener(), SESSIONS, timed_decisions=15)
    assert played.latency is not None
    assert {name: len(times) for name, times in played.latency.milliseconds.items()} == {
        "decision": 15,
        "score": 15,
        "draw": 15,
    }
    summary = played.latency.summary()["decision"]
    assert 0 < summary["p50_ms"] <= summary["p95_ms"] <= summary["p99_ms"]
    with pytest.raises(ValueError, match="at least one moment"):
        time_decisions(WORLD, Listener(), [])


def test_progress_is_told_of_every_session() -> None:
    ended: list[int] = []
    evaluate(WORLD, Chance(), SESSIONS, batch_size=50, progress=ended.append)
    assert sum(ended) == 120


def test_the_document_holds_what_it_promises_and_json_can_hold_it(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["world"] == "instructrec/Tiny-v0"
    assert document["fingerprint"] == WORLD.fingerprint
    assert (document["people"], document["sessions"], document["seeds"], document["label"]) == (
        120,
        120,
        [1, 2],
        "2 seeds",
    )
    wanted = {"return", "oracle_normalised_return", "csr", "strict", "control_gain", "control_gain_swapped"}
    wanted |= {"session_length", "leave_rate", "diversity", "coverage", "latency_p50_ms", "latency_p99_ms"}
    assert wanted <= set(document["agents"]["slate_ppo"])
    for line in document["agents"].values():
        for name, interval in line.items():
            assert set(interval) == {"value", "low", "high"}, name
            if interval["low"] is not None:
                assert interval["low"] <= interval["value"] + 1e-9, name
                assert interval["value"] <= interval["high"] + 1e-9, name


def test_normalised_returns_are_zero_at_random_and_one_at_the_reference(document: dict[str, Any]) -> None:
    agents = document["agents"]
    assert agents["random"]["oracle_normalised_return"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert agents["oracle"]["oracle_normalised_return"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    own, floor, top = (agents[name]["return"]["value"] for name in ("slate_ppo", "random", "oracle"))
    assert agents["slate_ppo"]["oracle_normalised_return"]["value"] == pytest.approx((own - floor) / (top - floor))


def test_differences_are_the_flagships_and_paired(document: dict[str, Any]) -> None:
    returns = {name: line["return"]["value"] for name, line in document["agents"].items()}
    assert set(document["differences"]) == set(returns) - {"slate_ppo"}
    for name, difference in document["differences"].items():
        assert difference["value"] == pytest.approx(returns["slate_ppo"] - returns[name])
        assert difference["low"] < difference["value"] < difference["high"]
        assert difference["variance_saved"] < 1


def test_a_good_agent_passes_every_gate_and_a_constant_one_is_flagged(document: dict[str, Any]) -> None:
    assert document["gates"] == []
    assert len(document["flags"]["popularity"]) == 2
    assert "deaf" in document["flags"]["popularity"][0]
    assert "100%" in document["flags"]["popularity"][1]


def test_a_flagship_that_is_deaf_and_shows_everybody_the_same_fails() -> None:
    result = compare_agents(WORLD, {"slate_ppo": Constant(), "random": Chance()}, SESSIONS, timed_decisions=0)
    assert [gate["name"] for gate in result["gates"]] == ["deaf", "same_for_all"]
    result = compare_agents(WORLD, {"slate_ppo": Chance(), "random": Chance()}, SESSIONS, timed_decisions=0)
    assert [gate["name"] for gate in result["gates"]] == ["above_random"]
    assert result["label"] == "this run only"


def test_a_blank_agent_in_the_table_is_the_control_of_its_namesake() -> None:
    blank = without_words(Listener())
    assert blank is not None
    played = play(
        WORLD, {"slate_ppo": Listener(), "slate_ppo_blank": blank[0]}, SESSIONS, controls=(), timed_decisions=0
    )
    assert played["slate_ppo"].blank is played["slate_ppo_blank"].episodes
    assert played["slate_ppo"].swapped is None
    line = results_of(played)["agents"]["slate_ppo"]
    assert line["control_gain"]["low"] > 0
    assert "control_gain_swapped" not in line


def test_worlds_and_sessions_that_differ_cannot_be_compared() -> None:
    here = Played((evaluate(WORLD, Chance(), SESSIONS),))
    elsewhere = Played((evaluate(tiny_world(match=0.7), Chance(), SESSIONS),))
    with pytest.raises(ValueError, match="only results of one world"):
        results_of({"random": here, "other": elsewhere})
    others = Played((evaluate(WORLD, Chance(), Sessions.first(8, 120)),))
    with pytest.raises(ValueError, match="different sessions"):
        results_of({"random": here, "other": others})
    one, two = (results_of({"random": each}) for each in (here, elsewhere))
    check_comparable(one, one)
    with pytest.raises(ValueError, match="different worlds"):
        check_comparable(one, two)


def test_nothing_to_play_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one session"):
        evaluate(WORLD, Chance(), Sessions.first(0, np.array([], np.int64)))
    with pytest.raises(ValueError, match="at least one agent"):
        results_of({})
