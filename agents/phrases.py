"""Which words name an attribute, and how they stand in the sentence: what a sentence's mean vector cannot tell.

"comedy, no horror" and "horror, no comedy" have nearly one mean vector; a frozen bi-encoder does not hear the "no". The
vector of the *token* "horror" does: the language model has mixed into it what stands around it. So for the attributes
that a text names most clearly, this module keeps the vectors of the tokens that name them, and the scorer learns from
those whether the attribute is wanted. What it learns for one attribute holds for all of them.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from instructrec.agents.encoder import TextEncoder, cache_folder
from instructrec.agents.language_model import LanguageModel
from instructrec.agents.named import Naming

# How sharply a phrase gathers around the token that names the attribute.
_SHARPNESS = 2.0


def can_find_phrases(encoder: TextEncoder) -> bool:
    """Whether an encoder's model has a vector for every token."""
    return isinstance(_model_of(encoder), LanguageModel)


def _model_of(encoder: TextEncoder) -> Any:
    return encoder._model


def phrase_width(encoder_width: int) -> int:
    """Returns how many numbers a phrase has: the attribute's number, how clearly it is named, and a token vector."""
    return encoder_width + 2


class PhraseModel(LanguageModel):
    """A language model whose vectors hold the sentence's own, and then its clearest phrases, clearest first.

    Args:
        base: The language model.
        naming: What names an attribute.
    """

    def __init__(self, base: LanguageModel, naming: Naming) -> None:
        # It is ``base`` in all but what it makes of the token vectors, and shares its weights.
        self.__dict__.update({name: value for name, value in vars(base).items() if name not in ("_model", "_alike")})
        self._base, self._naming = base, naming
        self._alike = {}
        self._sentence = base.width
        self.width = base.width + naming.phrases * phrase_width(base.width)
        content = naming.weights.tobytes() + naming.offset.tobytes()
        parts = ("phrases-1", base.fingerprint, naming.phrases, naming.num_sets, _SHARPNESS)
        self.fingerprint = hashlib.sha256(repr(parts).encode() + content).hexdigest()[:16]

    @cached_property
    def _model(self) -> Any:
        return self._base._model

    def _pooled(self, block: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        import torch
        from torch.nn.functional import normalize

        from instructrec.agents.language_model import _pool

        tokens = torch.from_numpy(block).to(self._device)
        used = tokens != self.pad_id
        used[:, 0] |= ~used.any(dim=1)
        naming, sets = self._naming, self._naming.num_sets
        weights = torch.from_numpy(naming.weights[:, :sets]).to(self._device)
        offset = torch.from_numpy(naming.offset[:sets]).to(self._device)
        with torch.inference_mode():
            hidden = self._model(input_ids=tokens, attention_mask=used.long()).last_hidden_state
            sentence = normalize(_pool(hidden, used, self.pooling), dim=1)
            states = normalize(hidden, dim=2)
            readings = (states @ weights + offset).masked_fill(~used[:, :, None], -1e9)  # [rows, length, num_sets]
            clarity, named = readings.amax(dim=1).topk(naming.phrases, dim=1)
            chosen = readings.gather(2, named[:, None].expand(-1, readings.shape[1], -1))
            attention = torch.softmax(_SHARPNESS * chosen, dim=1)
            phrases = torch.einsum("nlp,nlw->npw", attention, states)
            parts = torch.cat([named[:, :, None].to(phrases.dtype), clarity[:, :, None], phrases], dim=2)
            vectors = torch.cat([sentence, parts.flatten(1)], dim=1)
        return np.asarray(vectors.cpu().numpy(), np.float32)


_PHRASES: WeakKeyDictionary[TextEncoder, dict[str, TextEncoder]] = WeakKeyDictionary()


def phrase_encoder(encoder: TextEncoder, naming: Naming | None) -> TextEncoder:
    """Returns an encoder of sentences and phrases over the same tokens, or ``encoder`` itself where there are none.

    Args:
        encoder: The language model and its cache.
        naming: What names an attribute.
    """
    base = _model_of(encoder)
    if naming is None or not naming.phrases or not isinstance(base, LanguageModel):
        return encoder
    model = PhraseModel(base, naming)
    known = _PHRASES.setdefault(encoder, {})
    if model.fingerprint not in known:
        cache = cache_folder()
        kept = None if cache is None else cache / "encoders" / f"{model.fingerprint}-{model.numerics}"
        known[model.fingerprint] = TextEncoder(model, kept)
    return known[model.fingerprint]
