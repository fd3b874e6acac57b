"""What every frozen model has in common: how rows of tokens go through it so that a text always has the same vector."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints

if TYPE_CHECKING:
    import torch


_SHORTEST = 16
"""Tokens; of fewer, products of matrices are done in another way for one row than for many."""


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


def verified_folder(package: str, inside: str, sha256: Mapping[str, str], *, what: str, install: str) -> Path:
    """Returns a folder of an installed package, its files verified; the package is not imported.

    Args:
        package: The package's name.
        inside: The folder in it.
        sha256: The SHA-256 of every file, hex.
        what: What it holds, for messages.
        install: The command that installs it.

    Raises:
        ModelMissingError: If the package or a file is missing, or a file's hash is wrong.
    """
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise ModelMissingError(f"{what} is not installed; install it with: {install}") from None
    folder = Path(str(found.locate_file(inside)))
    for name, expected in sha256.items():
        path = folder / name
        if not path.is_file():
            raise ModelMissingError(f"{path} is missing; install the language model again with: {install}")
        hashed = file_sha256(path)
        if hashed != expected:
            raise ModelMissingError(
                f"{path} is not the verified file: its SHA-256 is {hashed[:16]}…, expected {expected[:16]}…; "
                f"install the language model again with: {install}"
            )
    return folder


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


class FrozenModel:
    """Passes rows of tokens through a model in shapes that make its answers repeatable.

    A text has the same vector, bit for bit, whatever is encoded beside it and however many threads there are. Every row
    goes through the model cut to a multiple of 8 tokens, 16 at least, in one thread, and on a processor alone: in a
    shape that depends on that row only. Many rows go together, which is faster, only after a trial in this process has
    shown that it changes no bit here. On other devices every call has the same number of rows.

    A model says in `_read` what it makes of rows of tokens.

    Attributes:
        width: Length of a text's vector.
        state_width: Length of a token's vector.
        token_length: Tokens per text.
        pad_id: The token that fills rows up.
        languages: What it reads, by ISO 639-1 code; None where it is not known.
        rows_per_call: How many rows to give at once, so that progress can be shown.
    """

    width: int
    state_width: int
    token_length: int
    pad_id: int
    languages: tuple[str, ...] | None
    rows_per_call = 512

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._alike: dict[tuple[int, Head | None], bool] = {}

    @property
    def numerics(self) -> str:
        """What else decides a vector's last bits, as a folder name: PyTorch's version, device and instruction set."""
        import torch

        where = torch.backends.cpu.get_cpu_capability() if self._device == "cpu" else torch.device(self._device).type
        version = "".join(sign if sign.isalnum() else "_" for sign in torch.__version__)
        return f"torch{version}-{where.lower()}-{_SHORTEST}"

    def _load(self) -> None:
        """Loads the weights, before several threads ask for them."""
        raise NotImplementedError

    def _read(self, block: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns what the model makes of rows of tokens.

        Returns:
            Token vectors, [rows, length, state_width]; which are of tokens, [rows, length]; and one unit vector per
            row, [rows, width].
        """
        raise NotImplementedError

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
                states, used, _ = self._read(block)
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
        lengths = np.minimum(np.maximum((lengths + 7) // 8 * 8, _SHORTEST), self.token_length)
        self._load()
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

    def _pooled(self, block: npt.NDArray[np.int64], head: Head | None = None) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            states, used, vectors = self._read(block)
            if head is not None:
                # Heads are small and live on the processor, wherever the model runs.
                vectors = torch.cat([vectors.cpu(), head(states.cpu(), used.cpu())], dim=1)
        return np.asarray(vectors.cpu().numpy(), np.float32)
