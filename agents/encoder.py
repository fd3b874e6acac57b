"""Texts to vectors, each text encoded once: tokens, a frozen model, and a cache in memory and on disk.

``load_encoder()`` gives the default language model, which reads English, ``load_encoder("multilingual")`` one that
reads Chinese too, ``load_encoder("hashing")`` one without a language model, and ``load_encoder("owner/name")`` or a
local folder any other. With "stemmed:" before its name, people are heard in stems and without stop words, see
`instructrec.agents.stemming`. Nothing heavy is imported before a text that no cache knows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from instructrec.agents.frozen_model import Head
from instructrec.agents.hashed_words import HashedWords
from instructrec.agents.language_model import LanguageModel, hub_folder, minilm_folder
from instructrec.agents.multilingual import INSTALL, Multilingual, multilingual_folder
from instructrec.agents.row_cache import RowTable, ShardFolder, row_keys
from instructrec.agents.stemming import stemmed
from instructrec.arrays import Floats, Ints
from instructrec.names import unknown_name

Progress = Callable[[int, int], None]
STEMMED = "stemmed:"
"""Stands before the name of an encoder that hears stems."""
_HAN = re.compile("[\u3400-\u9fff]")


class TokenModel(Protocol):
    """What an encoder is made of: a tokenizer and a function from token rows to vectors.

    Attributes:
        width: Length of a vector.
        state_width: Length of a token's vector.
        token_length: Tokens per row.
        pad_id: The token that fills rows up.
        vocabulary_size: Tokens are below it.
        fingerprint: A hash of all that decides tokens and vectors.
        languages: What it reads, by ISO 639-1 code; None where any language is as good, or where it is not known.
        rows_per_call: How many rows to give at once, so that progress can be shown.
    """

    width: int
    state_width: int
    token_length: int
    pad_id: int
    vocabulary_size: int
    fingerprint: str
    languages: tuple[str, ...] | None
    rows_per_call: int

    def tokenize(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns token ids, int32 [num_texts, token_length]."""
        ...

    def vectors(self, tokens: Ints, head: Head | None = None) -> npt.NDArray[np.float32]:
        """Returns one vector per row and what ``head`` makes of its tokens, float32 [num_rows, width (+ head.width)].

        What a row has depends on that row alone.
        """
        ...

    def states(self, tokens: Ints) -> npt.NDArray[np.float16]:
        """Returns one vector per token, zero at padding, float16 [num_rows, token_length, state_width]."""
        ...


class TextEncoder:
    """A frozen encoder with a cache: an `instructrec.protocols.InstructionEncoder` that also takes token rows.

    A row of padding alone means that nothing was said, and has the zero vector. Texts come to it in two ways: `encode`
    takes any as it stands, `tokenize` and `hear` what people say, which may be prepared first.

    Args:
        model: The tokenizer and the function it keeps the results of.
        folder: Where results are kept between processes; None keeps them in memory alone.
        capacity: How many vectors to keep.
        head: What to make of the token vectors besides; see `with_head`.
        stems: Whether what people say is stemmed and rid of stop words, as English has them.
    """

    def __init__(
        self,
        model: TokenModel,
        folder: Path | None = None,
        capacity: int = 200_000,
        *,
        head: Head | None = None,
        stems: bool = False,
    ) -> None:
        self._model, self._folder, self._capacity, self._head = model, folder, capacity, head
        self.stems = stems
        self._width = model.width + (head.width if head is not None else 0)
        self._table = RowTable(self._width)
        self._shards = ShardFolder(folder, self._width)
        self._shards_read = folder is None
        silence = row_keys(np.zeros((1, model.token_length), np.int32))
        self._table.add(silence, np.zeros((1, self._width), np.float32))
        self.encoded = 0
        """How many rows went through the model rather than out of a cache."""

    @property
    def fingerprint(self) -> str:
        """A hash of the model, its tokenizer and how they are used."""
        return ("stemmed-" if self.stems else "") + self._model.fingerprint

    def reads(self, language: str) -> bool:
        """Returns whether it reads a language, given by ISO 639-1 code, as far as is known."""
        known = self._model.languages is None or language in self._model.languages
        return known and (language == "en" or not self.stems)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self._width

    @property
    def state_width(self) -> int:
        """Length of a token's vector."""
        return self._model.state_width

    @property
    def token_length(self) -> int:
        """Tokens per text."""
        return self._model.token_length

    @property
    def pad_id(self) -> int:
        """The token that fills rows up."""
        return self._model.pad_id

    @property
    def vocabulary_size(self) -> int:
        """Token ids are from 0 to this, exclusive."""
        return self._model.vocabulary_size

    def tokenize(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        """Returns token ids of what people say, int32 [num_texts, token_length]; longer texts are cut off.

        Padded with `pad_id`.
        """
        return self._tokens([stemmed(text) for text in texts] if self.stems else texts)

    def hear(self, texts: Sequence[str], progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Returns one vector for each thing people say, as `encode` does: that of its `tokenize`d row."""
        return self.encode_tokens(self.tokenize(texts), progress)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Returns one vector per text, float32 [num_texts, width]; ``progress(done, total)`` is told of new texts."""
        return self.encode_tokens(self._tokens(texts), progress)

    def _tokens(self, texts: Sequence[str]) -> npt.NDArray[np.int32]:
        return self._model.tokenize(texts) if len(texts) else np.empty((0, self.token_length), np.int32)

    def encode_tokens(self, tokens: Ints | Floats, progress: Progress | None = None) -> npt.NDArray[np.float32]:
        """Returns one vector per row, float32 [num_rows, width].

        Args:
            tokens: Rows as `tokenize` gives them, [num_rows, token_length]; floats that hold integers are taken too,
                since Stable-Baselines3 turns observations into floats.
            progress: Called with (done, total) while new rows are encoded.
        """
        places = self.places(tokens, progress)
        return self._table.vectors[places]

    @property
    def table(self) -> npt.NDArray[np.float32]:
        """All vectors in memory, [num_known, width]: what `places` points into. A view; encoding may replace it."""
        return self._table.vectors

    def places(self, tokens: Ints | Floats, progress: Progress | None = None) -> npt.NDArray[np.int64]:
        """Returns where in `table` each row's vector stands, int64 [num_rows], encoding the rows not yet there.

        Equal rows have equal places, so a layer on top needs to see each distinct vector only once. Places hold until
        the next call.

        Raises:
            ValueError: If the rows are not ``token_length`` wide.
        """
        rows: npt.NDArray[Any] = np.asarray(tokens)
        if rows.ndim != 2 or rows.shape[1] != self.token_length:
            raise ValueError(
                f"expected token rows of shape [num_rows, {self.token_length}], got {rows.shape}; make them with "
                "tokenize() of the same encoder"
            )
        keys = row_keys(rows if self.pad_id == 0 else (rows.astype(np.int64) - self.pad_id) % (1 << 32))
        places = self._table.find(keys)
        if (places < 0).any():
            self._learn(rows, keys, places, progress)
            places = self._table.find(keys)
        return places

    def _learn(
        self,
        rows: npt.NDArray[Any],
        keys: npt.NDArray[np.uint64],
        places: npt.NDArray[np.int64],
        progress: Progress | None,
    ) -> None:
        if not self._shards_read:
            self._shards_read = True
            self._table.add(*self._shards.load(self._capacity))
            places = self._table.find(keys)
        new, first = np.unique(keys[places < 0], return_index=True)
        new_rows = np.asarray(rows[places < 0][first], np.int32)
        if len(self._table) + len(new) > self._capacity:
            self._table.forget(np.append(places[places >= 0], 0))
        size = self._model.rows_per_call
        for start in range(0, len(new), size):
            vectors = self._model.vectors(new_rows[start : start + size], self._head)
            self._table.add(new[start : start + size], vectors)
            self._shards.keep(new[start : start + size], vectors)
            self.encoded += len(vectors)
            if progress is not None:
                progress(min(start + size, len(new)), len(new))

    def states(self, tokens: Ints) -> npt.NDArray[np.float16]:
        """Returns one vector per token, zero at padding, float16 [num_rows, token_length, state_width]; not kept."""
        return self._model.states(np.asarray(tokens, np.int32))

    def with_head(self, head: Head, name: str) -> TextEncoder:
        """Returns an encoder over the same tokens whose vectors go on with what ``head`` makes of the token vectors.

        Args:
            head: Reads token vectors.
            name: Differs where heads differ, by which their results are kept apart on disk.
        """
        folder = None if self._folder is None else self._folder.with_name(f"{self._folder.name}-{name}")
        return TextEncoder(self._model, folder, self._capacity, head=head, stems=self.stems)

    def stemming(self) -> TextEncoder:
        """Returns an encoder of the same model that hears what people say in stems, without stop words."""
        return TextEncoder(self._model, self._folder, self._capacity, head=self._head, stems=True)

    def flush(self) -> None:
        """Writes new vectors to disk now rather than soon; the end of the process does it too."""
        self._shards.flush()


def cache_folder() -> Path | None:
    """Returns where encoded texts are kept: $INSTRUCTREC_CACHE, or instructrec in the user's cache folder, or None."""
    named = os.environ.get("INSTRUCTREC_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(home) if home else Path.home() / ".cache") / "instructrec"
    except RuntimeError:
        return None  # Nobody's home: an account without a folder.


def load_encoder(
    name: str = "minilm", *, cache_dir: str | Path | None = None, device: str = "cpu", token_length: int = 32
) -> TextEncoder:
    """Returns the encoder of that name; the same arguments give the same object, so that its memory is shared.

    Args:
        name: "minilm" (all-MiniLM-L6-v2, the default: English), "multilingual" (an extra: Chinese too), "hashing" (no
            language model), a local folder in Hugging Face's layout, or a Hugging Face name as owner/name, which is
            downloaded once; each may have "stemmed:" before it, where people speak English.
        cache_dir: Where encoded texts are kept between processes; see `cache_folder`.
        device: Where the language model runs, as PyTorch names it.
        token_length: Tokens per text; the rest is cut off.

    Raises:
        ValueError: If the name is none of these.
        ModelMissingError: If the model's files are missing or altered.
    """
    folder = Path(cache_dir) if cache_dir is not None else cache_folder()
    return _loaded(name, folder, device, token_length)


@lru_cache(maxsize=8)
def _loaded(name: str, cache: Path | None, device: str, token_length: int) -> TextEncoder:
    if name.startswith(STEMMED):
        return _loaded(name.removeprefix(STEMMED), cache, device, token_length).stemming()
    if name == "hashing":
        return TextEncoder(HashedWords(token_length))
    model: LanguageModel | Multilingual
    languages = None
    if name == "multilingual":
        model = Multilingual(multilingual_folder(), token_length=token_length, device=device)
        return TextEncoder(model, _kept(model, cache))
    if name == "minilm":
        folder, languages = minilm_folder(), ("en",)
    elif Path(name).is_dir():
        folder = Path(name)
    elif name.count("/") == 1 and ":" not in name and not name.startswith((".", "/", "~")):
        folder = hub_folder(name)
    else:
        raise ValueError(
            unknown_name("encoder", name, ("hashing", "minilm", "multilingual", f"{STEMMED}minilm"))
            + "; or give a local folder that exists, or a Hugging Face name as owner/name"
        )
    model = LanguageModel(folder, token_length=token_length, device=device, languages=languages)
    return TextEncoder(model, _kept(model, cache))


def _kept(model: LanguageModel | Multilingual, cache: Path | None) -> Path | None:
    # What another processor or another version of PyTorch computes may differ in the last bit: it is kept apart.
    return None if cache is None else cache / "encoders" / f"{model.fingerprint}-{model.numerics}"


class UnreadWarning(UserWarning):
    """A text is in a language that the encoder does not read."""


def unread(encoder: TextEncoder, texts: Iterable[str]) -> str:
    """Returns a sentence for texts in a script that the encoder does not read, and nothing where there are none."""
    if encoder.reads("zh") or not any(_HAN.search(text) for text in texts):
        return ""
    return (
        "the language model of this agent reads no Chinese, so it does not know what was asked; train one that does: "
        f"{INSTALL} and then choose encoder=multilingual"
    )


def check_reads(encoder: TextEncoder, name: str, language: str) -> None:
    """Checks that an encoder reads what people speak.

    Raises:
        ValueError: If it is known not to; the message says which one does, and how to install it.
    """
    if encoder.stems and language != "en":
        raise ValueError(
            f"the stop words and endings that {name!r} takes away are English, and people speak {language} here; "
            f"choose encoder={name.removeprefix(STEMMED)}"
        )
    if not encoder.reads(language):
        raise ValueError(
            f"the language model {name!r} does not read what people speak here ({language}): everything they say would "
            f"look alike to it. Install one that does with: {INSTALL} and choose it with encoder=multilingual; or go "
            "on all the same with --any-language"
        )
