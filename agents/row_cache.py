"""Vectors by the token row they come from: known rows in memory, and all of them on disk.

A row is hashed to a 64-bit key, whole batches at a time, so that looking up known rows costs far less than a policy's
first layer. On disk a cache is a folder of shards, each named by the hash of its content: a shard cut short, altered
or written twice is recognised by its name, so writers need no locks.

References:
    Dietzfelbinger (1996), Universal hashing and k-wise independent random variables via integer arithmetic without
    primes (a sum of products with odd words, modulo a power of two).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
import warnings
import weakref
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints
from instructrec.noise import mix

Keys = npt.NDArray[np.uint64]
Vectors = npt.NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)

_CHUNK = 4096  # Rows hashed at a time: their 64-bit copies then stay in the processor's cache.
_SHARD_ROWS = 512
_SHARD_SECONDS = 10.0
_MANY_SHARDS = 32
_STALE_SECONDS = 3600.0


def row_keys(rows: Ints) -> Keys:
    """Returns a 64-bit hash per row of non-negative integers, uint64 [num_rows]; zeros at a row's end do not count.

    Args:
        rows: Integers below 2^32, [num_rows, length].
    """
    words = mix(np.arange(1, rows.shape[1] + 1, dtype=np.uint64)) | np.uint64(1)
    keys = np.empty(len(rows), np.uint64)
    for first in range(0, len(rows), _CHUNK):
        keys[first : first + _CHUNK] = rows[first : first + _CHUNK].astype(np.uint64) @ words
    return mix(keys)


class RowTable:
    """Vectors in memory, found by key.

    Args:
        width: Length of a vector.
    """

    def __init__(self, width: int) -> None:
        self._vectors: Vectors = np.empty((64, width), np.float32)
        self._keys: Keys = np.empty(64, np.uint64)  # In order of arrival, as the vectors.
        self._size = 0
        self._unsorted = True

    def __len__(self) -> int:
        return self._size

    @property
    def vectors(self) -> Vectors:
        """All vectors in order of arrival, [num_known, width]; a view, to be read before the next `add`."""
        return self._vectors[: self._size]

    def _sort(self) -> None:
        self._order = np.argsort(self._keys[: self._size])
        self._sorted = self._keys[: self._size][self._order]
        self._unsorted = False

    def find(self, keys: Keys) -> npt.NDArray[np.int64]:
        """Returns each key's place in `vectors`, -1 where it is not known, int64 [num_keys]."""
        if not self._size:
            return np.full(len(keys), -1, np.int64)
        if self._unsorted:
            self._sort()
        places = np.minimum(np.searchsorted(self._sorted, keys), self._size - 1)
        return np.where(self._sorted[places] == keys, self._order[places], -1)

    def add(self, keys: Keys, vectors: Vectors) -> None:
        """Adds vectors under distinct new keys."""
        needed = self._size + len(keys)
        if needed > len(self._keys):
            self._keys = _grown(self._keys, self._size, needed)
            self._vectors = _grown(self._vectors, self._size, needed)
        self._keys[self._size : needed] = keys
        self._vectors[self._size : needed] = vectors
        self._size = needed
        self._unsorted = True

    def forget(self, keep: npt.NDArray[np.int64]) -> None:
        """Lets the older half go, except the places in ``keep``; the others move."""
        kept = np.union1d(keep, np.arange(self._size // 2, self._size))
        self._keys, self._vectors = self._keys[kept], self._vectors[kept]
        self._size = len(kept)
        self._unsorted = True


def _grown(array: npt.NDArray[Scalar], size: int, needed: int) -> npt.NDArray[Scalar]:
    larger = np.empty((max(needed, 2 * len(array)), *array.shape[1:]), array.dtype)
    larger[:size] = array[:size]
    return larger


class ShardFolder:
    """Vectors on disk: a folder of shards that any number of processes read and write, killed or not.

    New vectors are gathered and written a few hundred at a time, after some seconds, and when the process ends: a
    killed process loses the last few, which are then computed again. Without a usable folder it does nothing, and says
    so once.

    Args:
        folder: Where the shards lie; made when missing. None keeps nothing.
        width: Length of a vector.
    """

    def __init__(self, folder: Path | None, width: int) -> None:
        self._folder = folder
        self._dtype = np.dtype([("key", "<u8"), ("vector", "<f4", (width,))])
        self._pending: list[npt.NDArray[np.void]] = []
        self._written = time.monotonic()
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                self._give_up(error)
        weakref.finalize(self, _write_at_exit, folder, self._pending)

    def _give_up(self, error: OSError) -> None:
        warnings.warn(
            f"cannot keep encoded texts in {self._folder} ({error}); going on without a disk cache, so every process "
            "encodes its texts anew. Set INSTRUCTREC_CACHE to a folder with room to write in",
            RuntimeWarning,
            stacklevel=3,
        )
        self._folder = None
        self._pending.clear()

    def load(self, limit: int) -> tuple[Keys, Vectors]:
        """Returns the kept keys and vectors, newest shards first, ``limit`` at most.

        A damaged shard is removed with a warning; its texts are encoded again when they are next needed.
        """
        found: list[npt.NDArray[np.void]] = []
        if self._folder is not None:
            room = limit
            for path in self._shards():
                shard = self._read(path) if room > 0 else None
                if shard is not None:
                    found.append(shard[:room])
                    room -= len(found[-1])
            if len(found) > _MANY_SHARDS:
                self._merge(found)
        rows = np.concatenate(found) if found else np.empty(0, self._dtype)
        keys, first = np.unique(rows["key"], return_index=True)
        return keys, rows["vector"][first]

    def _shards(self) -> list[Path]:
        assert self._folder is not None
        dated = []
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                age = time.time() - path.stat().st_mtime
                if path.suffix == ".part" and age > _STALE_SECONDS:
                    path.unlink()  # Left by a process killed while writing.
            except OSError:
                continue  # Another process was quicker.
            if path.suffix == ".npy":
                dated.append((age, path))
        return [path for _, path in sorted(dated)]

    def _read(self, path: Path) -> npt.NDArray[np.void] | None:
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if _digest(content) == path.stem:
            shard = np.load(io.BytesIO(content), allow_pickle=False)
            if shard.dtype == self._dtype:
                return np.asarray(shard)
        warnings.warn(
            f"the cache shard {path} is damaged; it is removed and its texts are encoded again",
            RuntimeWarning,
            stacklevel=4,
        )
        _remove(path)
        return None

    def _merge(self, shards: list[npt.NDArray[np.void]]) -> None:
        """Replaces many small shards by one; a reader that misses one of them encodes its texts again."""
        assert self._folder is not None
        old = self._shards()
        try:
            merged = _write(self._folder, np.concatenate(shards))
        except OSError as error:
            self._give_up(error)
            return
        for path in old:
            if path != merged:
                _remove(path)

    def keep(self, keys: Keys, vectors: Vectors) -> None:
        """Takes vectors to be written soon."""
        if self._folder is None:
            return
        rows = np.empty(len(keys), self._dtype)
        rows["key"], rows["vector"] = keys, vectors
        self._pending.append(rows)
        many = sum(map(len, self._pending)) >= _SHARD_ROWS
        if many or time.monotonic() - self._written > _SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what was taken and not yet written."""
        if self._folder is None or not self._pending:
            return
        try:
            _write(self._folder, np.concatenate(self._pending))
        except OSError as error:
            self._give_up(error)
        self._pending.clear()
        self._written = time.monotonic()


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _write(folder: Path, rows: npt.NDArray[np.void]) -> Path:
    stream = io.BytesIO()
    np.save(stream, rows, allow_pickle=False)
    content = stream.getvalue()
    path = folder / f"{_digest(content)}.npy"
    part = folder / f"{path.stem}.{os.getpid()}.part"
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        _remove(part)
        raise
    return path


def _write_at_exit(folder: Path | None, pending: list[npt.NDArray[np.void]]) -> None:
    if folder is None or not pending:
        return
    with contextlib.suppress(OSError):
        _write(folder, np.concatenate(pending))


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
