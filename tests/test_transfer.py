import json

import pytest

from instructrec.experiments import cli
from instructrec.experiments.progress import Narrator
from instructrec.experiments.transfer import to_text, transfer

QUIET = Narrator(quiet=True)
AGENT = {"encoder": "hashing", "prompts": 0, "num_envs": 8, "num_steps": 16}
SMALL = {"bank_size": 300, "turn_limit": 4}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    out = tmp_path_factory.mktemp("transfer")
    variants = {"plain": SMALL, "bored": {**SMALL, "behaviour": {"boredom": 3.0}}}
    document = transfer(
        "instructrec/Movies-v0", variants, out=out, agent_settings=AGENT, steps=256, sessions=12, narrator=QUIET
    )
    return out, variants, document


def test_everybody_is_tested_everywhere_between_random_and_oracle(matrix):
    out, variants, document = matrix
    assert json.loads((out / "transfer.json").read_text())["cells"].keys() == variants.keys()
    for trained in variants:
        for tested in variants:
            cell = document["cells"][trained][tested]
            assert cell["return"]["low"] <= cell["return"]["value"] <= cell["return"]["high"]
            assert 0 <= cell["csr"]["value"] <= 1
            assert cell["oracle_normalised_return"]["value"] < 1.2
    assert document["fingerprints"]["plain"] != document["fingerprints"]["bored"]
    assert max(len(line) for line in to_text(document).splitlines()) <= 80


def test_what_a_visitor_loses_is_beside_those_at_home(matrix):
    _, _, document = matrix
    cells = document["cells"]
    lost = cells["bored"]["plain"]["loss"]["value"]
    earned = {trained: cells[trained]["plain"]["return"]["value"] for trained in cells}
    assert lost == pytest.approx(earned["plain"] - earned["bored"])
    assert "loss" not in cells["plain"]["plain"]


def test_the_page_says_what_differs_and_how_it_was_made(matrix):
    out, _, document = matrix
    page = (out / "transfer.md").read_text()
    assert "`behaviour={'boredom': 3.0}`" in page
    assert document["fingerprints"]["bored"] in page
    assert document["command"] in page
    assert "This run only" in page


def test_several_seeds_train_an_agent_each_and_widen_the_claim(tmp_path):
    variants = {"plain": SMALL, "talk": {**SMALL, "world": "instructrec/MoviesTalk-v0"}}
    document = transfer(
        "instructrec/Movies-v0",
        variants,
        out=tmp_path,
        agent_settings=AGENT,
        steps=128,
        sessions=8,
        seeds=2,
        narrator=QUIET,
    )
    assert sorted(path.name for path in (tmp_path / "talk").iterdir()) == ["seed-0", "seed-1"]
    assert "2 seeds" in to_text(document)
    assert document["cells"]["plain"]["talk"]["return"]["low"] < document["cells"]["plain"]["talk"]["return"]["high"]


def test_agents_meet_people_of_longer_and_shorter_sessions_and_of_another_language(tmp_path):
    variants = {"plain": SMALL, "hasty": {**SMALL, "turn_limit": 2}, "zh": {**SMALL, "language": "zh"}}
    document = transfer(
        "instructrec/Movies-v0", variants, out=tmp_path, agent_settings=AGENT, steps=128, sessions=6, narrator=QUIET
    )
    assert all(document["cells"][one][other]["return"]["value"] >= 0 for one in variants for other in variants)


def test_a_matrix_done_before_trains_nothing_again(matrix):
    out, variants, document = matrix
    again = transfer(
        "instructrec/Movies-v0", variants, out=out, agent_settings=AGENT, steps=256, sessions=12, narrator=QUIET
    )
    assert again == document


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ({"one": {}}, "needs two variants or more, got one"),
        ({"small": {"num_items": 50}, "large": {"num_items": 60}}, "large has other items than small"),
        ({"one": {"num_items": 50}, "other": {"num_items": 50, "items_seed": 1}}, "other has other items than one"),
        ({"short": {"num_items": 50, "slate_size": 3}, "long": {"num_items": 50}}, "long has slates of another size"),
    ],
)
def test_what_is_no_matrix_is_said(variants, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        transfer("instructrec/Shop-v0", variants, out=tmp_path, narrator=QUIET)


def test_a_misspelt_variant_is_told_how_to_write_it(tmp_path, capsys):
    arguments = ["transfer", "movies", "--out", str(tmp_path / "t"), "--variant", "pla in:", "b:turn_limit=3"]
    assert cli.run(arguments) == 2
    assert "a variant is NAME:SETTING=VALUE" in " ".join(capsys.readouterr().err.split())


def test_two_variants_of_one_name_are_refused(tmp_path, capsys):
    assert cli.run(["transfer", "movies", "--out", str(tmp_path), "--variant", "a:", "a:turn_limit=3"]) == 2
    assert "two variants are called a" in capsys.readouterr().err


def test_a_variant_may_be_another_world_by_its_short_name(tmp_path, capsys):
    arguments = ["transfer", "movies", "--out", str(tmp_path / "t"), "--variant", "plain:", "shop:world=shop"]
    assert cli.run(arguments) == 2
    assert "shop has other items than plain" in " ".join(capsys.readouterr().err.split())
