"""Chocolate and kale: engaging now, wearing later; the optimum is what its policy earns, and nothing earns more."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from instructrec import runs
from instructrec.arrays import Ints
from instructrec.envs import make_world
from instructrec.envs.movielens import shipped
from instructrec.envs.population_clickbait import ClickbaitPopulation, Optimum
from instructrec.experiments import cli
from instructrec.noise import Noise
from instructrec.sessions import Sessions, World
from instructrec.testing import check_population, check_world

PEOPLE = 20_000


def played(world: World, policy: object, people: int = PEOPLE) -> tuple[np.ndarray, np.ndarray]:
    """Returns what each session earned and how satisfied each was at the end, under a policy of turn and exposure."""
    population, sessions = world.population, Sessions.first(5, people)
    state, _ = population.arrive(sessions, Noise(sessions.keys, np.zeros(people, np.int32)))
    earned = np.zeros(people)
    for turn in range(world.turn_limit):
        slates = np.zeros((people, world.slate_size), np.int32)
        slates[:, 0] = policy(turn, state.exposure)
        state, reactions = population.react(state, slates, Noise(sessions.keys, np.full(people, turn, np.int32)))
        earned += world.reward(reactions).sum(axis=1)
    return earned, reactions.satisfaction


def world_of(*, turn_limit: int, **constants: float) -> World:
    """Returns chocolate and kale with other constants."""
    return make_world(
        "instructrec/ChocKale-v0", turn_limit=turn_limit, population="clickbait", population_settings=constants
    )


def always(item: int) -> object:
    return lambda turn, exposure: np.full(len(exposure), item)


def best(world: World, optimum: Optimum) -> object:
    def policy(turn: int, exposure: np.ndarray) -> Ints:
        place = np.clip(np.searchsorted(optimum.grid, exposure), 0, len(optimum.grid) - 1)
        return np.abs(world.population.scores[None] - optimum.scores[turn][place][:, None]).argmin(axis=1)

    return policy


@pytest.mark.parametrize("sensitivity", [0.01, 0.3])
def test_the_optimum_is_what_its_policy_earns_and_no_constant_slate_earns_more(sensitivity):
    world = world_of(turn_limit=12, sensitivity=sensitivity, choc_spread=0.4, kale_spread=0.4)
    optimum = world.population.optimum()
    earned, _ = played(world, best(world, optimum))
    error = earned.std() / np.sqrt(PEOPLE)
    assert earned.mean() == pytest.approx(optimum.value, abs=4 * error + 2e-3 * optimum.value)
    for item in (0, 10, 19):
        alone, _ = played(world, always(item))
        assert alone.mean() < optimum.value + 4 * alone.std() / np.sqrt(PEOPLE)


def test_where_exposure_hardly_matters_the_optimum_is_all_chocolate_and_known_in_closed_form():
    world = world_of(turn_limit=7, sensitivity=0.0)
    optimum = world.population.optimum()
    assert (optimum.scores == 1).all()
    assert optimum.value == pytest.approx(7 * np.exp(0.5 * 5 + 0.5), rel=1e-9)


def test_the_best_shows_kale_first_and_chocolate_last():
    optimum = world_of(sensitivity=0.3, turn_limit=20).population.optimum()
    middle = len(optimum.grid) // 2
    assert optimum.scores[-1, middle] == 1
    assert optimum.scores[0, middle] == 0


def test_clickbait_engages_now_and_lowers_satisfaction():
    world = world_of(turn_limit=15, sensitivity=0.3)
    one_turn = world_of(turn_limit=1, sensitivity=0.3)
    kale, chocolate = 0, 19
    assert played(one_turn, always(chocolate))[0].mean() > 1.5 * played(one_turn, always(kale))[0].mean()
    happy, sad = played(world, always(kale))[1], played(world, always(chocolate))[1]
    assert happy.mean() > 0.7
    assert sad.mean() < 0.3


def test_it_keeps_the_promises_of_a_world_and_a_population():
    check_world(make_world("instructrec/ChocKale-v0", turn_limit=6))
    world = make_world("instructrec/ChocKale-v0")
    check_population(lambda: ClickbaitPopulation(world.catalogue), world.catalogue, batch=16, seed=3)


def test_users_leave_after_their_last_slate():
    population = make_world("instructrec/ChocKale-v0", turn_limit=2).population
    sessions = Sessions.first(0, 3)
    state, said = population.arrive(sessions, Noise(sessions.keys, np.zeros(3, np.int32)))
    assert population.texts.strings(said.texts) == ["recommend something"] * 3
    slates = np.zeros((3, 3), np.int32)
    left = [
        population.react(state, slates, Noise(sessions.keys, np.full(3, turn, np.int32)))[1].left for turn in (0, 1)
    ]
    assert not left[0].any()
    assert left[1].all()


def test_any_numbers_can_be_clickbait_scores():
    films = shipped()[0]
    population = ClickbaitPopulation(films, turn_limit=10, column="popularity")
    assert population.scores.min() == 0
    assert population.scores.max() == 1
    order = np.argsort(films.column("popularity").numbers, kind="stable")
    assert (np.diff(population.scores[order]) >= 0).all()
    unrated = np.isnan(films.column("rating").numbers)
    assert (ClickbaitPopulation(films, column="rating").scores[unrated] == 0.5).all()
    world = make_world("instructrec/Movies-v0", population="clickbait", population_settings={"column": "popularity"})
    assert world.population.fingerprint == population.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"turn_limit": 0}, "turn_limit must be at least 1"),
        ({"memory": 1.0}, "memory must be from 0 to below 1"),
        ({"sensitivity": -1.0}, "sensitivity must be from 0 to 100"),
        ({"noise": float("nan")}, "noise must be from 0 to 100"),
        ({"turn_limit": 2.5}, "a whole number; got 2.5"),
        ({"choc": float("inf")}, "choc must be from -20 to 20"),
        ({"kale": "x"}, "kale must be from -20 to 20, got 'x'"),
        ({"column": "clickbat"}, "did you mean 'clickbait'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    catalogue = make_world("instructrec/ChocKale-v0").catalogue
    with pytest.raises(ValueError, match=message):
        ClickbaitPopulation(catalogue, **settings)


def test_constants_are_settings_of_the_population():
    assert world_of(turn_limit=5, memory=0.5).population.turn_limit == 5
    assert world_of(turn_limit=5, choc=5).fingerprint == make_world("instructrec/ChocKale-v0", turn_limit=5).fingerprint
    assert (
        world_of(turn_limit=5, choc=4.5).fingerprint != make_world("instructrec/ChocKale-v0", turn_limit=5).fingerprint
    )
    with pytest.raises(ValueError, match="at least 1 slate, got -3"):
        make_world("instructrec/ChocKale-v0").population.optimum(-3)


def test_words_are_no_clickbait_scores():
    with pytest.raises(ValueError, match="holds words"):
        ClickbaitPopulation(shipped()[0], column="genre")
    with pytest.raises(ValueError, match=r"from 1 to the number of items \(2\), got 3"):
        make_world("instructrec/ChocKale-v0", num_items=2)


def test_training_bears_sessions_longer_than_an_iteration(tmp_path, capsys):
    # Checkups come before the first session ends: the curve has no return yet.
    settings = ["num_envs=16", "num_steps=4", "minibatch_size=32"]
    command = ["train", "chockale", "--out", str(tmp_path / "run"), "--steps", "512"]
    assert cli.run([*command, "--set", "encoder=hashing", "prompts=0", *settings]) == 0
    curve = runs.read_json(runs.latest_checkpoint(tmp_path / "run").folder / "curve.json")["curve"]
    assert any("return" not in row for row in curve)
    steps = [row["step"] for row in curve]
    assert steps == sorted(set(steps))


def test_slate_ppo_learns_to_look_ahead_where_greed_costs() -> None:
    path = Path(__file__).parent.parent / "examples" / "long_term.py"
    spec = importlib.util.spec_from_file_location("long_term", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    way = example.main(discounts=(0.0, 0.95), steps=60_000, seeds=1)
    assert way[0.95][0] > 0.35 > 0.2 > way[0.0][0]
