"""Tuning tries the defaults first, counts what it spends, and goes on where it was stopped."""

import json

import pytest

from instructrec.agents.features import item_features
from instructrec.agents.learners import LEARNERS
from instructrec.agents.reading import SessionReader
from instructrec.agents.slate_config import SlatePPOConfig
from instructrec.experiments import tuning
from instructrec.experiments.progress import Narrator
from instructrec.experiments.tuning import set_line, to_text, tune, tuned_learner
from instructrec.runs import RunError

WORLD = "instructrec/Tiny-v0"


def quick_reader(world, encoder, narrator):
    """Returns a reader that learned nothing from prompts, which takes long."""
    features = item_features(world.catalogue, encoder.encode(list(world.catalogue.texts)))
    return SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)


@pytest.fixture
def tuned(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr(tuning, "reader_for", quick_reader)

    def study(agent="item_knn", trials=3, **changes):
        settings = {"steps": 64, "sessions": 16, "encoder": "hashing", "narrator": Narrator(quiet=True)}
        return tune(WORLD, agent, trials=trials, out=tmp_path / "study", **(settings | changes))

    return study


def test_the_defaults_come_first_and_the_best_is_named(tuned, tmp_path):
    document = tuned()
    assert document["trials"][0]["settings"] == {"neighbours": 100, "shrinkage": 10.0}
    returns = [trial["return"] for trial in document["trials"]]
    assert document["best"]["return"] == max(returns)
    assert document["set"] == set_line(document["best"]["settings"])
    assert document["set"] in to_text(document)
    assert document["budget"]["user_steps"] == 3 * 64
    assert document["split"] == "validation"
    assert json.loads((tmp_path / "study" / "tuning.json").read_text()) == document


def test_the_same_seed_tries_the_same(tuned, tmp_path):
    first = tuned()["trials"]
    (tmp_path / "study").rename(tmp_path / "before")
    for one, same in zip(first, tuned()["trials"], strict=True):
        assert one["settings"] == same["settings"]
        assert one["return"] == same["return"]


def test_a_study_that_was_stopped_goes_on_and_repeats_nothing(tuned, monkeypatch):
    def stopped(*arguments, **settings):
        raise KeyboardInterrupt

    before = tuned(trials=2)["trials"]
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            tuned(trials=4)
    trials = tuned(trials=4)["trials"]
    assert trials[:2] == before
    tried = [json.dumps(trial["settings"]) for trial in trials]
    assert len(set(tried)) == len(tried) == 4
    assert tuned(trials=4)["trials"] == trials


def test_another_study_in_the_folder_is_refused(tuned):
    tuned(trials=1)
    with pytest.raises(RunError, match="steps 64, this one has 65"):
        tuned(trials=1, steps=65)


def test_a_trial_that_fails_is_counted_and_the_others_go_on(tuned, monkeypatch):
    kind = LEARNERS["item_knn"]

    def learn(ground, settings, seed, advance):
        if settings.neighbours != 100:
            raise ValueError("too few")
        return kind.learn(ground, settings, seed, advance)

    broken = type(kind)(kind.about, kind.config, learn, kind.space, kind.fits)
    monkeypatch.setitem(LEARNERS, "item_knn", broken)
    document = tuned(trials=2)
    assert [trial["error"] for trial in document["trials"]] == [None, "too few"]
    assert document["best"] == document["trials"][0]


def test_slate_ppo_is_tuned_like_the_others(tuned):
    document = tuned("slate_ppo", trials=1, sessions=4)
    assert document["regime"] == "acting"
    assert document["best"]["settings"]["learning_rate"] == SlatePPOConfig().learning_rate


@pytest.mark.parametrize("name", ["slate_ppo", *(name for name in LEARNERS if LEARNERS[name].fits)])
def test_everything_that_is_fitted_can_be_tuned(name):
    assert tuned_learner(name).space


def test_names_and_regimes_that_do_not_fit_are_told(tuned):
    with pytest.raises(ValueError, match="did you mean 'ease'"):
        tuned("eas")
    with pytest.raises(ValueError, match="run folder"):
        tuned(regime="own")
    with pytest.raises(ValueError, match="run folder"):
        tuned(own_log="runs/x")


def test_without_the_library_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install 'instructrec\[tune\]'"):
        tune(WORLD, "ease", trials=1, steps=10, out=tmp_path, narrator=Narrator(quiet=True))
