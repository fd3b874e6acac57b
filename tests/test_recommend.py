"""A trained run answers people outside any environment, and says what is wrong when it cannot."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import instructrec
from instructrec import runs
from instructrec.agents.explanations import Contribution, Explanation
from instructrec.catalogue import Catalogue
from instructrec.envs import worlds
from instructrec.envs.movielens import shipped
from instructrec.experiments import recommend
from instructrec.experiments.catalogue_files import read_catalogue, write_catalogue
from instructrec.experiments.progress import Narrator
from instructrec.experiments.recommend import Recommender, answer, signed, summed_up
from instructrec.experiments.train import TrainPlan, train
from instructrec.runs import RunConfig, RunError
from instructrec.sessions import Observation

CONFIG = RunConfig(world="w", agent="a", seed=0, steps=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    plan = TrainPlan(
        world="instructrec/Tiny-v0",
        agent_settings={"encoder": "hashing", "prompts": 100, "num_envs": 32, "scorer.hidden": 16},
        steps=256,
        checkups=0,
    )
    train(plan, out, resume=False, narrator=Narrator(quiet=True))
    return out


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_items_come_best_first_with_title_score_and_id(trained: Path) -> None:
    found = instructrec.load(trained).recommend(["red please", "something blue"], k=5)
    catalogue = worlds.make_world("instructrec/Tiny-v0").catalogue
    assert [len(items) for items in found] == [5, 5]
    for items in found:
        assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
        assert len({item.item_id for item in items}) == 5
        assert all(catalogue.titles[catalogue.item_ids.index(item.item_id)] == item.title for item in items)


def test_many_texts_are_answered_as_one_by_one(trained: Path) -> None:
    recommender = instructrec.load(str(trained))
    texts = ["red please", "a text nobody ever said", "only blue will do"]
    together = recommender.recommend(texts, k=4)
    for text, items in zip(texts, together, strict=True):
        alone = recommender.recommend(text, k=4)
        assert [item.item_id for item in alone] == [item.item_id for item in items]
        assert [item.score for item in alone] == pytest.approx([item.score for item in items], abs=1e-5)
    assert recommender.recommend([]) == []


def test_it_ranks_as_it_did_in_training(trained: Path) -> None:
    from instructrec.agents.encoder import load_encoder
    from instructrec.agents.slate_ppo import SlatePPO, SlatePPOConfig
    from instructrec.experiments.agent_files import read_module
    from instructrec.experiments.trainers import configured
    from instructrec.sessions import Sessions, observe, start

    world = worlds.make_world("instructrec/Tiny-v0")
    settings = dict(RunConfig.read(trained).agent_settings)
    settings.pop("encoder")
    model = SlatePPO.of(world, configured(SlatePPOConfig, settings), encoder=load_encoder("hashing"))
    found = runs.latest_checkpoint(trained)
    assert found is not None
    read_module(found.folder / "weights.safetensors", model.policy.scorer)
    observation = observe(world, start(world, Sessions.first(5, 8)))
    theirs = model.ranker().scores(observation)
    ours = instructrec.load(trained).ranker.scores(observation)
    np.testing.assert_array_equal(ours, theirs)


def test_explained_items_are_the_recommended_ones_and_their_parts_sum_to_the_score(trained: Path) -> None:
    recommender = replace(instructrec.load(trained), past_length=3)
    history = [(recommender.catalogue.item_ids[3], 4.0)]
    pairs = recommender.explain("some red, nothing blue", k=3, history=history)
    assert [item for item, _ in pairs] == recommender.recommend("some red, nothing blue", k=3, history=history)
    for item, why in pairs:
        assert why.total == pytest.approx(item.score, abs=1e-4)
        assert why.average < item.score
        assert len(why.words) > 1
        assert " ".join(word.name for word in why.words).replace(",", "") == "some red nothing blue"
        assert "past" in [part.name for part in why.rest]


def test_an_explained_answer_fits_eighty_columns_and_says_what_its_numbers_are(trained: Path) -> None:
    text = "red please, " + "nothing blue and nothing green and nothing shiny " * 3
    document, table = answer(trained, text, 3, explained=True)
    for item in document["items"]:
        assert item["why"].total == pytest.approx(item["score"], abs=1e-4)
    assert {"why"} == set(document["items"][0]) - set(answer(trained, text, 3)[0]["items"][0])
    assert max(len(line) for line in table.splitlines()) <= 80
    assert "popularity: how popular it is" in " ".join(table.split())
    average = f"an average item's ({document['items'][0]['why'].average:.2f}) plus".replace("-", "−")
    assert average in " ".join(table.split())
    assert "popularity: how popular" not in answer(trained, text, 3)[1]


def test_an_explanation_in_words_sums_up_and_names_the_words_that_matter() -> None:
    words = [("no", 0.4), ("horror", -6.0), ("a", 0.1), ("from", -0.06), ("90s", 4.0)]
    why = Explanation(
        4.2, 3.0, tuple(Contribution(*word) for word in words), (Contribution("past", 2.0), Contribution("item", 0.76))
    )
    said, rest = (line.replace("\u00a0", " ") for line in summed_up(why))
    assert said == "horror −6.0  90s +4.0  other words +0.4"
    assert rest == "| past +2.0 | item +0.8"
    assert summed_up(why, most=1)[0].split("  ")[0].startswith("horror")
    assert signed(-0.04) == "+0.0"


def test_only_slate_ppo_explains_itself() -> None:
    catalogue = worlds.make_world("instructrec/Tiny-v0").catalogue
    with pytest.raises(TypeError, match="only SlatePPO's scores can be explained; this is a _Remembers"):
        _recommender(catalogue).explain("red")


def test_no_world_is_made(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worlds, "WORLDS", {})
    assert len(instructrec.load(trained).recommend("red please", k=1)) == 1


@pytest.mark.parametrize("k", [0, -1, 10_000])
def test_a_k_out_of_range_is_explained(trained: Path, k: int) -> None:
    with pytest.raises(ValueError, match=r"k must be from 1 to the number of items"):
        instructrec.load(trained).recommend("red", k=k)


@pytest.mark.parametrize("texts", [[""], ["red", "  "], ["red", None]])
def test_an_empty_text_is_explained(trained: Path, texts: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"text \d is empty"):
        instructrec.load(trained).recommend(texts)


class _Remembers:
    """A ranker that keeps what it saw."""

    def __init__(self, num_items: int) -> None:
        self.num_items, self.seen = num_items, []

    def scores(self, observation: Observation) -> np.ndarray:
        self.seen.append(observation)
        return np.tile(-np.arange(self.num_items, dtype=np.float64), (observation.batch, 1))


def _recommender(catalogue: Catalogue, ranker: Any = None) -> Recommender:
    return Recommender(ranker or _Remembers(catalogue.num_items), catalogue, 10, 10, 3, CONFIG)


def test_history_reaches_the_ranker_latest_last_and_cut_to_its_length() -> None:
    catalogue = worlds.make_world("instructrec/Tiny-v0").catalogue
    ranker = _Remembers(catalogue.num_items)
    ids = catalogue.item_ids
    history = [[(ids[4], 5), (ids[1], 1.5)], None, [(name, 3.0) for name in ids[:5]]]
    _recommender(catalogue, ranker).recommend(["a", "b", "c"], k=1, history=history)
    seen = ranker.seen[0]
    np.testing.assert_array_equal(seen.past, [[4, 1, -1], [-1, -1, -1], [2, 3, 4]])
    np.testing.assert_array_equal(seen.past_ratings, [[5, 1.5, 0], [0, 0, 0], [3, 3, 3]])
    assert seen.texts.strings(seen.instruction) == ["a", "b", "c"]
    assert (seen.turn == 0).all()
    assert (seen.said == -1).all()
    assert (seen.slates == -1).all()


@pytest.mark.parametrize(
    ("history", "words"),
    [
        ([[("nothing like it", 3.0)]], "not in the catalogue"),
        ([[("x",)]], "pairs of an item id and a rating"),
        ([[5]], "pairs of an item id and a rating"),
        ([None, None], "one entry per text"),
    ],
)
def test_a_history_that_does_not_fit_is_explained(history: Any, words: str) -> None:
    catalogue = worlds.make_world("instructrec/Tiny-v0").catalogue
    with pytest.raises(ValueError, match=words):
        _recommender(catalogue).recommend(["a"], history=history)


def test_a_rating_that_is_no_number_is_explained() -> None:
    catalogue = worlds.make_world("instructrec/Tiny-v0").catalogue
    with pytest.raises(ValueError, match="finite number"):
        _recommender(catalogue).recommend(["a"], history=[[(catalogue.item_ids[0], float("nan"))]])


def test_the_catalogue_comes_back_as_it_was(tmp_path: Path) -> None:
    catalogue = shipped()[0]
    write_catalogue(tmp_path, catalogue)
    assert read_catalogue(tmp_path, catalogue.fingerprint).fingerprint == catalogue.fingerprint


def test_a_changed_catalogue_is_refused(copied: Path) -> None:
    words = runs.read_json(copied / "catalogue.json")
    words["titles"][0] = "something else"
    runs.write_json(copied / "catalogue.json", words)
    with pytest.raises(RunError, match="not the one it was trained on"):
        instructrec.load(copied)


@pytest.mark.parametrize("name", ["catalogue.json", "catalogue.safetensors", "features.safetensors", "shape.json"])
def test_a_missing_or_damaged_file_is_named(copied: Path, name: str) -> None:
    whole = (copied / name).read_bytes()
    (copied / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=name.partition(".")[0]):
        instructrec.load(copied)
    (copied / name).unlink()
    with pytest.raises(RunError, match=f"there is no file .*{name}"):
        instructrec.load(copied)


def test_features_of_another_version_say_so(copied: Path) -> None:
    # Such as an earlier release wrote: something else is read from texts, by other weights.
    path = copied / "features.safetensors"
    arrays = {**runs.read_arrays(path), "wishes.weights.names.weight": np.zeros((4, 2), np.float32)}
    runs.write_arrays(path, arrays, {})
    with pytest.raises(RunError, match=r"features\.safetensors is damaged, or of another\s+version.*train\s+again"):
        instructrec.load(copied)


def test_a_run_without_a_checkpoint_says_so(copied: Path) -> None:
    (copied / "checkpoint.json").unlink()
    with pytest.raises(RunError, match="no checkpoint yet"):
        instructrec.load(copied)


class _Boom:
    def __reduce__(self) -> Any:
        return os.system, ("touch boom",)


def test_loading_executes_nothing(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied)
    for path in [*copied.glob("*.*"), *copied.glob("checkpoints/*/*")]:
        if path.is_file() and path.name not in ("run.yaml", "checkpoint.json"):
            path.write_bytes(pickle.dumps(_Boom()))
    with pytest.raises(RunError):
        instructrec.load(copied)
    assert not (copied / "boom").exists()


def test_weights_of_another_configuration_are_refused(copied: Path) -> None:
    config = RunConfig.read(copied)
    scorer = {**config.agent_settings["scorer"], "hidden": 8}
    replace(config, agent_settings={**config.agent_settings, "scorer": scorer}).write(copied)
    with pytest.raises(RunError, match="does not fit the agent's configuration"):
        instructrec.load(copied)


@pytest.fixture
def films(monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    catalogue = shipped()[0]
    monkeypatch.setattr(recommend, "load", lambda run, warm: _recommender(catalogue))
    return catalogue


def test_an_answer_marks_per_item_what_the_parser_understood(films: Catalogue) -> None:
    document, text = answer("run", "a zorgly thriller from the 90s, no horror", 10)
    assert document["understood"] == ["genre: Thriller", "year 1990–1999", "genre: not Horror"]
    assert document["not_understood"] == ["zorgly"]
    genre, year = films.column("genre"), films.column("year").numbers
    for place, item in enumerate(document["items"]):
        has = bool(int(genre.masks[place]) & genre.mask_of(["Thriller"]))
        scary = bool(int(genre.masks[place]) & genre.mask_of(["Horror"]))
        assert list(item["meets"].values()) == [has, 1990 <= year[place] <= 1999, not scary]
    assert "zorgly" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_an_answer_to_what_nobody_understands_is_an_answer(films: Catalogue) -> None:
    document, text = answer("run", "blorp", 3)
    assert [item["meets"] for item in document["items"]] == [{}, {}, {}]
    assert "found no condition" in text
    assert len(document["items"]) == 3


def test_an_answer_fits_eighty_columns_whatever_is_asked(films: Catalogue) -> None:
    _, text = answer(
        "run", "funny scary romantic animated war western musical crime films of the 90s, no drama " * 3, 40
    )
    assert max(len(line) for line in text.splitlines()) <= 80
