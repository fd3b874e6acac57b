import json
import shutil

import numpy as np
import pytest

from instructrec.envs.behaviour import ASSUMED, Behaviour
from instructrec.envs.worlds import make_world
from instructrec.experiments import cli
from instructrec.experiments.progress import Narrator
from instructrec.experiments.robustness import DRAWS, draw_constants, robustness, summary, to_text
from instructrec.experiments.train import TrainPlan, train
from instructrec.runs import RunError

QUIET = Narrator(quiet=True)
AGENTS = ["random", "popularity", "goal_oracle"]
SMALL = {"bank_size": 300}


def check(out, **changed):
    given = {"draws": 3, "sessions": 30, "world_settings": SMALL, "narrator": QUIET, **changed}
    return robustness("instructrec/Movies-v0", given.pop("agents", AGENTS), out=out, **given)


def test_every_constant_that_is_assumed_has_a_range_around_its_default():
    default = Behaviour()
    for name, (low, high) in ASSUMED.items():
        assert low < getattr(default, name) < high, name
    for constants in draw_constants(40, 0):
        Behaviour(**constants)


def test_more_draws_leave_the_earlier_ones_as_they_are():
    assert draw_constants(5, 3)[:2] == draw_constants(2, 3)
    assert draw_constants(2, 3) != draw_constants(2, 4)


def test_a_check_that_was_killed_goes_on_and_ends_the_same(tmp_path):
    whole = check(tmp_path / "whole")
    check(tmp_path / "parts", draws=2)
    before = (tmp_path / "parts" / DRAWS).read_text().splitlines()
    parts = check(tmp_path / "parts")
    assert parts == whole
    assert (tmp_path / "parts" / DRAWS).read_text().splitlines()[:4] == before
    assert json.loads((tmp_path / "parts" / "robustness.json").read_text()) == json.loads(
        (tmp_path / "whole" / "robustness.json").read_text()
    )
    # Another comparison does not go on from these draws.
    assert check(tmp_path / "parts", sessions=20) != whole


def test_the_draws_change_the_users_and_the_goal_oracle_still_beats_random(tmp_path):
    document = check(tmp_path)
    assert document["order"][0] == "goal_oracle"
    assert document["agents"]["popularity"]["leads"] == 1.0
    assert document["agents"]["goal_oracle"]["leads"] is None, "who sees what is hidden does not compete"
    assert document["agents"]["goal_oracle"]["low"] < document["agents"]["goal_oracle"]["high"]
    assert max(len(line) for line in to_text(document).splitlines()) <= 80
    page = (tmp_path / "robustness.md").read_text()
    assert "goal_oracle beats" in page
    assert f"| `boredom` | {Behaviour().boredom:g} | {ASSUMED['boredom'][0]:g} |" in page
    assert document["command"] in page


def test_draws_of_an_agent_that_was_trained_again_are_made_again(tmp_path):
    def drawn(seed):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        few = {"encoder": "hashing", "prompts": 0, "num_envs": 8, "num_steps": 8}
        plan = TrainPlan(world="instructrec/Movies-v0", world_settings=SMALL, agent_settings=few, steps=64, seed=seed)
        train(plan, tmp_path / "run", resume=False, narrator=QUIET, describing=False)
        check(tmp_path / "out", agents=["random", f"slate_ppo={tmp_path / 'run'}"], draws=2, sessions=10)
        return (tmp_path / "out" / DRAWS).read_text().splitlines()[0]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


def test_draws_that_are_damaged_are_told(tmp_path):
    check(tmp_path, draws=2, sessions=10)
    (tmp_path / DRAWS).write_text("[1, 2")
    with pytest.raises(RunError, match=r"draws.jsonl is damaged .*; remove it"):
        check(tmp_path, draws=2, sessions=10)


def test_orders_that_turn_round_are_seen():
    default = {"a": 3.0, "b": 2.0, "c": 1.0}
    drawn = [default, {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 2.0, "b": 3.0, "c": 1.0}, default, default]
    constants = [{"x": float(lead)} for lead in (0.9, 0.0, 0.1, 0.8, 0.7)]
    found = summary(default, drawn, constants)
    assert found["tau"]["values"] == pytest.approx([1, -1, 1 / 3, 1, 1])
    assert found["agents"]["a"]["leads"] == pytest.approx(0.6)
    assert found["agents"]["a"]["worst_rank"] == 3
    assert found["neighbours"][0] == {"better": "a", "worse": "b", "holds": pytest.approx(0.6)}
    assert found["swayed_by"]["x"] > 0.5
    assert np.mean(found["tau"]["values"]) == pytest.approx(found["tau"]["mean"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"agents": ["random", "informed"]}, "informed would have to be fitted anew"),
        ({"agents": ["random", "slate_ppo"]}, "slate_ppo has to be trained first; give it as slate_ppo=RUN"),
        ({"draws": 1}, "at least 2 draws, got 1"),
        ({"agents": ["random"]}, "an order needs two agents or more, got random"),
        ({"agents": ["slate_ppo=a", "slate_ppo=b"]}, "slate_ppo is given twice"),
        ({"world_settings": {"behaviour": {"boredom": 0}}}, "behaviour is what is drawn here"),
        (
            {"world_settings": {**SMALL, "population": "clickbait", "population_settings": {"column": "year"}}},
            "no constants",
        ),
    ],
)
def test_what_cannot_be_checked_is_said(given, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        check(tmp_path, **given)


def test_some_constants_may_be_given_by_name():
    plain, bored = (make_world("instructrec/Movies-v0", **SMALL, behaviour=b) for b in ({}, {"boredom": 2.0}))
    assert bored.population.behaviour.boredom == 2.0
    assert bored.population.behaviour.perceived_miss == plain.population.behaviour.perceived_miss
    assert plain.fingerprint == make_world("instructrec/Movies-v0", **SMALL).fingerprint
    with pytest.raises(ValueError, match="did you mean 'boredom'"):
        make_world("instructrec/Movies-v0", behaviour={"bordom": 1})


def test_from_the_command_line(tmp_path, capsys):
    arguments = ["robustness", "movies", "--draws", "2", "--people", "10", "--out", str(tmp_path / "r")]
    assert cli.run([*arguments, "--agents", "random,popularity", "--world-set", "bank_size=300", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["draws"] == 2
