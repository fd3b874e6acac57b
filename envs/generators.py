"""What writes texts: the seam behind which language models stand, the back ends by name, and one that follows a script.

A back end turns prompts into completions and nothing else. What is asked, how answers are read and what happens to
those that cannot be read is the business of `instructrec.envs.speech`; keeping them, of `instructrec.envs.cassettes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from instructrec.sessions import PlugInError

ENDPOINT = "endpoint:"
"""How the name of a model behind an endpoint begins."""


class GeneratorError(PlugInError):
    """A language model cannot be had or does not answer; the message says how to mend it. Never a malformed text."""


@dataclass(frozen=True)
class Completion:
    """What a generator wrote.

    Attributes:
        text: The text, without the prompt.
        tokens_in: Tokens of the prompt, 0 where not told.
        tokens_out: Tokens written, 0 where not told.
        seconds: How long it took; prompts that went together share their time evenly.
        finished: Whether the model ended of itself, rather than being cut off at its limit of tokens.
        live: Whether it was written now, rather than kept from before.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    finished: bool = True
    live: bool = True


class Generator(Protocol):
    """Writes a completion for every prompt: a language model, an endpoint, a cassette.

    A prompt's completion must not depend on the other prompts of the call; sampling is keyed by the prompt.
    """

    @property
    def fingerprint(self) -> str:
        """A readable name and a hash of the model and all settings that decide what it writes."""
        ...

    @property
    def deterministic(self) -> bool:
        """Whether a prompt has the same completion always and everywhere; live language models do not promise it."""
        ...

    def generate(self, prompts: list[str]) -> list[Completion]:
        """Returns one completion per prompt, in their order.

        Raises:
            GeneratorError: If there is no model or no answer.
        """
        ...


@dataclass
class ScriptedGenerator:
    """A generator that is a function of the prompt: for tests, and for trying things without a model.

    Attributes:
        write: Returns the text for a prompt.
        name: What stands for the function in the fingerprint.
        prompts: Every prompt it was given.
    """

    write: Callable[[str], str]
    name: str = "scripted"
    prompts: list[str] = field(default_factory=list)
    deterministic: bool = True

    @property
    def fingerprint(self) -> str:
        """The name."""
        return self.name

    def generate(self, prompts: list[str]) -> list[Completion]:
        """Returns what the function writes; words stand for tokens."""
        self.prompts.extend(prompts)
        texts = [self.write(prompt) for prompt in prompts]
        return [Completion(text, len(p.split()), len(text.split())) for p, text in zip(prompts, texts, strict=True)]

    def __deepcopy__(self, memo: dict[int, Any]) -> ScriptedGenerator:
        """Returns itself, so that what it was given can be read where it was made."""
        return self


def generator_of(name: Any, settings: Mapping[str, Any] | None = None) -> Generator:
    """Returns a back end.

    Args:
        name: ``"smollm2"`` (the small model of the extra ``llm``), ``"endpoint:MODEL"`` (an OpenAI-compatible
            endpoint; see `instructrec.envs.endpoints`), a model folder, a GGUF file, the name of a model on Hugging
            Face, or a `Generator`.
        settings: What the back end takes besides.

    Raises:
        TypeError: If it is nothing of the kind, takes no such setting, or settings come with a finished one.
    """
    given = dict(settings or {})
    if not isinstance(name, str):
        if not callable(getattr(name, "generate", None)) or not hasattr(name, "fingerprint"):
            raise TypeError(
                f"a generator is a name, a folder or has generate(prompts) and a fingerprint, got {type(name).__name__}"
            )
        if given:
            raise TypeError(
                f"the generator {name.fingerprint} is made already and takes no settings: {', '.join(given)}"
            )
        found: Generator = name
        return found
    if name.startswith(ENDPOINT):
        from instructrec.envs.endpoints import ChatEndpoint

        return ChatEndpoint(name.removeprefix(ENDPOINT), **given)
    from instructrec.envs.local_models import LocalModel, smollm2

    return smollm2(**given) if name == "smollm2" else LocalModel(name, **given)


def fingerprint_parts(name: str, *parts: object) -> str:
    """Returns a fingerprint that begins with a readable name: its end is a hash of all the parts."""
    return f"{name}-{hashlib.sha256(repr((name, parts)).encode(errors='surrogatepass')).hexdigest()[:16]}"


def checked_settings(max_tokens: int, temperature: float, top_p: float, seed: int) -> None:
    """Checks what every back end takes.

    Raises:
        ValueError: If a setting is out of range.
    """
    for name, value in (("max_tokens", max_tokens), ("seed", seed)):
        lowest = 1 if name == "max_tokens" else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(f"{name} must be a whole number of {lowest} or more, got {value!r}")
    for name, number, low, high in (("temperature", temperature, 0.0, 10.0), ("top_p", top_p, 1e-6, 1.0)):
        if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
            raise ValueError(f"{name} must be from {low:g} to {high:g}, got {number!r}")


def seed_of(prompt: str, seed: int) -> int:
    """Returns the seed with which a prompt is sampled, 0 to 2^63 - 1: of the prompt and ``seed``, of nothing else."""
    word = hashlib.blake2b(f"{seed} {prompt}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(word, "big") >> 1


__all__: Sequence[str] = [
    "Completion",
    "Generator",
    "GeneratorError",
    "ScriptedGenerator",
    "checked_settings",
    "fingerprint_parts",
    "generator_of",
    "seed_of",
]
