"""An ablation trains one variant after the other, forgets nothing, and says what failed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from instructrec.agents.learners import LEARNERS
from instructrec.experiments import cli
from instructrec.experiments.ablation_tables import ordered, to_text
from instructrec.experiments.ablations import VARIANTS, _measured, ablate
from instructrec.experiments.progress import Narrator
from instructrec.runs import RunError

QUIET = Narrator(quiet=True)
TINY = "instructrec/Tiny-v0"
AGENT = {
    "encoder": "hashing",
    "prompts": 32,
    "num_envs": 32,
    "scorer.hidden": 16,
    "scorer.critic_hidden": 16,
    "a2c.num_envs": 16,
}
RETURNS = {"random": [1, 1, 0, 2], "oracle": [5, 5, 4, 6], "full": [3, 3, 2, 4]}
BUDGET = {"steps": 768, "sessions": 60, "seeds": 2}


def made(out, variants=("myopic", "no_prompts", "a2c"), **changes):
    return ablate(TINY, out=out, variants=variants, **{"agent_settings": AGENT, "narrator": QUIET, **BUDGET, **changes})


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablation")
    return out, made(out)


def test_every_variant_has_its_numbers_beside_the_full_agent(table):
    out, document = table
    assert list(document["variants"]) == ["full", "myopic", "no_prompts", "a2c"]
    for name, row in document["variants"].items():
        assert row["return"]["low"] < row["return"]["value"] < row["return"]["high"]
        assert 0 <= row["csr"]["value"] <= 1
        assert row["steps"] >= BUDGET["steps"]
        assert row["trained"] == 2
        assert ("difference" in row) == (name != "full")
    rows = document["variants"]
    difference = rows["a2c"]["return"]["value"] - rows["full"]["return"]["value"]
    assert rows["a2c"]["difference"]["value"] == pytest.approx(difference)
    assert json.loads((out / "ablation.json").read_text()) == json.loads(json.dumps(document))


def test_shares_of_a_reference_are_those_of_its_lead_over_random_and_absent_where_it_has_none(table):
    _, document = table
    assert not any("oracle_normalised_return" in row for row in document["variants"].values()), "greed does not pay"
    cells = {name: {"person": [0, 1, 2, 3], "return": returns} for name, returns in RETURNS.items()}
    cells["random"]["checkups"] = [[0, 1.0]]
    learned = {"steps": 9, "seconds": 1.0, "checkups": [[3, 2.0], [6, 2.9], [9, 3.0]], **cells.pop("full")}
    row = _measured(cells, {"full": [learned]})["variants"]["full"]
    assert row["oracle_normalised_return"]["value"] == pytest.approx(0.5)
    assert row["steps_to_arrive"] == 6  # 80 % of the way from 1 to 3 is 2.6.


def test_checkups_on_the_way_tell_when_an_agent_arrived(table):
    _, document = table
    for row in document["variants"].values():
        for curve in row["checkups"]:
            steps = [step for step, _ in curve]
            assert steps == sorted(steps)
            assert steps[-1] == row["steps"]
            assert 2 <= len(steps) <= 13
        arrived = row["steps_to_arrive"]
        assert arrived is None or 0 < arrived <= row["steps"]


def test_the_page_has_a_row_each_the_command_and_a_picture(table):
    out, document = table
    page = (out / "ablation.md").read_text()
    assert all(f"| {name} | {row['about']} |" in page for name, row in document["variants"].items())
    assert document["command"] in page
    assert "2 seeds" in page
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert max(len(line) for line in to_text(document).splitlines()) <= 80
    assert ordered(document)[0] == "full"


def test_what_was_trained_before_is_not_trained_again(table, monkeypatch):
    out, document = table

    def refuse(*given):
        raise AssertionError("trained again")

    for name in ("slate_ppo", "a2c"):
        monkeypatch.setitem(LEARNERS, name, replace(LEARNERS[name], learn=refuse))
    assert made(out)["variants"] == document["variants"]


def test_a_killed_ablation_goes_on_and_comes_to_the_same(table, tmp_path, monkeypatch):
    _, document = table
    real, left = LEARNERS["slate_ppo"].learn, iter(range(3))

    def killed(*given):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setitem(LEARNERS, "slate_ppo", replace(LEARNERS["slate_ppo"], learn=killed))
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path)
    kept = sorted(path.name for path in (tmp_path / "agents").iterdir())
    assert kept == ["full-0.json", "full-1.json", "myopic-0.json"]
    monkeypatch.setitem(LEARNERS, "slate_ppo", replace(LEARNERS["slate_ppo"], learn=real))
    again = made(tmp_path)
    for name, row in document["variants"].items():
        assert again["variants"][name]["return"] == row["return"]
        assert again["variants"][name]["checkups"] == row["checkups"]


def test_a_variant_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    def broken(*given):
        raise FloatingPointError("scores are not finite")

    monkeypatch.setitem(LEARNERS, "a2c", replace(LEARNERS["a2c"], learn=broken))
    document = made(tmp_path, variants=("a2c",), seeds=1)
    assert document["variants"]["a2c"]["error"] == "FloatingPointError: scores are not finite"
    assert "value" in document["variants"]["full"]["return"]
    assert "a2c failed with 1 seed(s): FloatingPointError" in to_text(document)
    assert "| a2c | stock A2C: a choice per position | failed |" in (tmp_path / "ablation.md").read_text()
    monkeypatch.undo()
    assert "error" not in made(tmp_path, variants=("a2c",), seeds=1)["variants"]["a2c"]


def test_another_ablation_does_not_mix_with_the_one_in_the_folder(table):
    out, _ = table
    with pytest.raises(RunError, match="holds an ablation with other steps"):
        made(out, steps=1_024)


def test_each_variant_of_slate_ppo_is_another_configuration_that_exists():
    from instructrec.experiments.ablations import _config

    # A part that is left out of the language model, or of what it reads, is no setting of the agent.
    read = {name: (variant.prompts, variant.stemmed) for name, variant in VARIANTS.items()}
    configs = {(repr(_config(variant, {})), read[name]) for name, variant in VARIANTS.items()}
    assert len(configs) == len(VARIANTS)


def test_kinds_of_what_is_read_are_variants_beside_the_fused_agent(tmp_path):
    names = ("stemmed", "attention", "text_only", "attributes_only", "history_only")
    document = made(tmp_path, variants=names, seeds=1, steps=256)
    assert list(document["variants"]) == ["full", *names]
    assert not any("error" in row for row in document["variants"].values())
    kept = sorted(path.parent.name for path in tmp_path.rglob("features.safetensors"))
    assert kept == ["features", "features_stemmed"]


def test_a_misspelt_variant_or_setting_is_told_the_nearest(tmp_path, capsys):
    with pytest.raises(ValueError, match="did you mean 'myopic'"):
        made(tmp_path, variants=("miopic",))
    with pytest.raises(ValueError, match="did you mean 'num_envs'"):
        made(tmp_path, agent_settings={"encoder": "hashing", "a2c.num_env": 3}, variants=("a2c",))
    assert cli.run(["ablate", "tiny", "--out", str(tmp_path / "a"), "--variants", "myopik"]) == 2
    assert "did you mean 'myopic'" in capsys.readouterr().err


def test_the_command_takes_settings_of_world_and_agents(tmp_path, capsys):
    arguments = ["ablate", "tiny", "--variants", "myopic,slateq", "--steps", "64", "--people", "8", "--json"]
    arguments += ["--set", "encoder=hashing", "prompts=0", "num_envs=8", "slateq.num_envs=8", "slateq.updates=1"]
    assert cli.run([*arguments, "--world-set", "turn_limit=3", "--out", str(tmp_path)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["world_settings"] == {"turn_limit": 3}
    assert np.isfinite(document["variants"]["slateq"]["difference"]["value"])
