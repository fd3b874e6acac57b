"""People whose words a language model writes; what they want and do may stay another population's.

Two modes. By default (`RewordedPopulation`) other people, the world's own unless others are named, arrive, want, click
and leave as ever, and only their sentences are said in other words: same goals, same luck, another language. With
``reacts=True`` (`instructrec.envs.imagined_users`) the model plays the whole person, who then has no known goal.

What was said in other words must still mean the same (``same_meaning``): the grammar's parser must read the same
predicates in a request and in its new wording; where it knows none of the catalogue's words, both must name the same
values, the same numbers, and negate or not. An answer that drops a "no horror", or invents a decade, is a failure like
an empty one. The tally counts them all.

References:
    Corecco et al. (2024), SUBER: an RL environment with simulated human behavior for recommender systems, arXiv
    2406.01631 (language models as users of a Gymnasium environment); RecoWorld (users who speak back; a blueprint).
    Neither counts what its model gets wrong, nor repeats a session without it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.cassettes import MODES, Cassette
from instructrec.envs.english import English
from instructrec.envs.generators import Generator, generator_of
from instructrec.envs.imagined_users import ImaginedPopulation, drawn_persona
from instructrec.envs.lexicon import words_of
from instructrec.envs.parser import parse
from instructrec.envs.populations import PopulationSpec, with_population
from instructrec.envs.speech import Ask, Failure, Speaker, Tally, UnusableError, read_sentence
from instructrec.envs.vocabulary import Vocabulary
from instructrec.envs.worlds import speech_of
from instructrec.goals import Predicate
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise
from instructrec.protocols import Population
from instructrec.rewards import EngagementReward
from instructrec.sessions import Instructions, Reactions, Sessions, World
from instructrec.texts import Texts

PERSONAS = (
    "a student with little time",
    "a retired teacher who likes full sentences",
    "a parent with a child on the lap",
    "a collector who knows every shelf",
)
"""Who they are by default: a person is one of them for a whole session."""

EXAMPLES = (
    ("I want a comedy from the 90s", "could you find me a 90s movie that is a comedy?"),
    ("no horror please, something recent", "show me recent films, but not horror"),
    ("are there any thrillers I could watch", "I'd like to see some thrillers"),
    ("I'd take the second one if it were newer", "like number 2, but newer"),
)
"""Requests and the same in other words: what a model continues. Another try has them in another order."""

ON_FAILURE = ("own_words", "repeat", "leave")
# What the base offers beyond the protocol, as functions of its state.
_OF_STATE = ("expected_utility", "expected_enjoyment", "persons")
_VERSION = "speaking 1"


@dataclass(frozen=True)
class RewordedState:
    """The saved state of people who speak in other words.

    Attributes:
        base: The state of those who want and act.
        persona: Who speaks, a place in the personas, int16 [batch].
        said: The text id of what was said last, int64 [batch].
        failed: Whether no try at saying it could be used, [batch].
    """

    base: Any
    persona: npt.NDArray[np.int16]
    said: npt.NDArray[np.int64]
    failed: Bools


class RewordedPopulation:
    """Another population's people in other words; made by `speaking`, which documents the arguments.

    A sentence and a persona have one wording: it is asked for once, however many people say it, and does not depend on
    who else speaks. ``failed_turns`` in the tally counts people, all other numbers completions.
    """

    def __init__(
        self,
        base: Population,
        catalogue: Catalogue,
        generator: Generator,
        *,
        tries: int = 3,
        on_failure: str = "own_words",
        max_words: int = 30,
        same_meaning: bool = True,
        personas: Sequence[str] = PERSONAS,
        examples: Sequence[Sequence[str]] = EXAMPLES,
        tally: Tally | None = None,
    ) -> None:
        if on_failure not in ON_FAILURE:
            raise ValueError(unknown_name("way to fail (on_failure)", str(on_failure), ON_FAILURE))
        if not _is_list(examples) or not all(_are_texts(pair) and len(pair) == 2 for pair in examples):
            raise ValueError(
                f"examples are pairs of a request and the same in other words, one or more of them, got {examples!r}"
            )
        pairs = [tuple(pair) for pair in examples]
        orders = list(itertools.islice(itertools.permutations(pairs), tries))
        if len(orders) < tries:
            raise ValueError(
                f"{len(pairs)} examples have {len(orders)} orders, one a try; give more, or tries={len(orders)}"
            )
        self._base, self._on_failure, self._personas = base, on_failure, tuple(personas)
        self._orders, self._max_words = orders, max_words
        self._meaning = meaning_in(catalogue, getattr(base, "vocabulary", None)) if same_meaning else None
        self.tally = tally if tally is not None else Tally()
        """What was asked, what it cost and what could not be used."""
        self._speaker: Speaker[str] = Speaker(generator, self.tally)
        self._asks: dict[tuple[str, int], Ask[str]] = {}
        self.unspoken = base
        """The same people before a model words what they say: who wants only their pasts asks them."""
        self.deterministic = generator.deterministic
        """Whether the same people always say the same: not with a language model that runs live."""
        parts = (_VERSION, base.fingerprint, generator.fingerprint, "" if self.deterministic else "live")
        settings = (tries, on_failure, max_words, same_meaning, self._personas, pairs, _prompt("", "", ()))
        self.fingerprint = hashlib.sha256(repr((parts, settings)).encode(errors="surrogatepass")).hexdigest()[:16]
        """A hash of the base, the generator and every setting; another where words are written live."""
        for name in _OF_STATE:
            if callable(getattr(base, name, None)):
                setattr(self, name, partial(_of_base, base, name))

    @property
    def texts(self) -> Texts:
        """The base's own table, and the new wordings as free texts in it."""
        return self._base.texts

    def scalars(self) -> dict[str, float]:
        """Returns what the tally counts, for TensorBoard."""
        return self.tally.scalars()

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[RewordedState, Instructions]:
        """Returns the base's new users, and what they say first in other words.

        Where that fails they say it in their own words (``own_words``), or nothing.
        """
        base, said = self._base.arrive(sessions, noise)
        persona = drawn_persona(noise, len(self._personas))
        nothing = self.texts.ids([""] * len(persona))
        texts, failed = self._reworded(said.texts, persona, nothing, np.ones(len(persona), np.bool_))
        return RewordedState(base, persona, texts, failed), replace(said, texts=texts)

    def react(self, state: RewordedState, slates: Ints, noise: Noise) -> tuple[RewordedState, Reactions]:
        """Returns what the base's users did, and what they say next in other words."""
        base, did = self._base.react(state.base, slates, noise)
        texts, failed = self._reworded(did.instructions.texts, state.persona, state.said, ~did.left)
        if self._on_failure == "leave":
            did = replace(did, left=did.left | failed | state.failed)
        after = RewordedState(base, state.persona, texts, failed)
        return after, replace(did, instructions=replace(did.instructions, texts=texts))

    def past(self, state: RewordedState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns the base's past, both [batch, past_length]."""
        return self._base.past(state.base)

    def _reworded(self, own: Ints, persona: Ints, before: Ints, speaks: Bools) -> tuple[npt.NDArray[np.int64], Bools]:
        """Returns text ids of the new wordings [batch], and where there are none.

        Args:
            own: What the base's users say.
            persona: How they speak.
            before: What they said before.
            speaks: Who says anything; the others' own texts stay.
        """
        rows = np.flatnonzero(speaks)
        texts, failed = own.astype(np.int64), np.zeros(len(own), np.bool_)
        if not len(rows):
            return texts, failed
        ids, which = np.unique(texts[rows], return_inverse=True)
        pairs, place = np.unique(which * len(self._personas) + persona[rows], return_inverse=True)
        said = self.texts.strings(ids)
        wanted = [(said[pair // len(self._personas)], pair % len(self._personas)) for pair in pairs.tolist()]
        # Who says nothing needs no other words for it.
        places = [number for number, (text, _) in enumerate(wanted) if text.strip()]
        answers = self._speaker.answers([self._ask(*wanted[number]) for number in places])
        found, lacking = ids[pairs // len(self._personas)], np.zeros(len(pairs), np.bool_)
        lacking[places] = [answer is None for answer in answers]
        heard = [number for number, answer in zip(places, answers, strict=True) if answer is not None]
        found[heard] = self.texts.ids(answer for answer in answers if answer is not None)
        texts[rows], failed[rows] = found[place], lacking[place]
        self.tally.failed_turns += int(failed.sum())
        if self._on_failure != "own_words":
            texts[failed] = before[failed]
        return texts, failed

    def _ask(self, request: str, persona: int) -> Ask[str]:
        known = self._asks.get((request, persona))
        if known is None:
            prompts = tuple(_prompt(request, self._personas[persona], order) for order in self._orders)
            known = Ask(prompts, partial(self._read, request))
            if len(self._asks) >= 100_000:
                self._asks.clear()
            self._asks[request, persona] = known
        return known

    def _read(self, request: str, text: str) -> str:
        said = read_sentence(text, max_words=self._max_words, echoes=[request])
        if any(mark in said for mark in (_SAID, _AGAIN)):
            raise UnusableError(Failure.ECHO)
        if self._meaning is not None and self._meaning(request) != self._meaning(said):
            raise UnusableError(Failure.OTHER_MEANING)
        return said


def meaning_in(catalogue: Catalogue, spoken: Vocabulary | None = None) -> Callable[[str], frozenset[Predicate | str]]:
    """Returns a function that reads what a text asks for, in any order.

    These are the parser's predicates, and comparisons with nothing ("newer"); in a catalogue whose words the parser
    does not know, the names of values, numbers, and "not" where anything negates.

    Args:
        catalogue: The items.
        spoken: The words that people use; those of films when omitted.
    """
    vocabulary = (speech_of("instructrec/Movies-v0") if spoken is None else spoken).within(catalogue)
    compared = {term for comparative in vocabulary.comparatives for term in comparative.terms}
    values = {word for column in catalogue.columns.values() for value in column.values for word in words_of(value)}

    def read(text: str) -> frozenset[Predicate | str]:
        found = parse(text, vocabulary)
        return frozenset(found.predicates) | {word for word in found.unknown if word.lower() in compared}

    def named(text: str) -> frozenset[Predicate | str]:
        words = {word.lower().replace("'", "") for word in words_of(text)}
        told = {word for word in words if word in values or any(sign.isdigit() for sign in word)}
        return frozenset(told | ({"not"} if words & English.negations else set()))

    return read if vocabulary.senses else named


_SAID, _AGAIN = "Said:", "In other words:"


def _prompt(request: str, persona: str, examples: Sequence[Sequence[str]]) -> str:
    how = f", as {persona} would say it" if persona else ""
    shown = "".join(f"{_SAID} {said}\n{_AGAIN} {again}\n\n" for said, again in examples)
    return (
        f"Each request is said twice, the second time in other words that ask for the same{how}. One line each.\n\n"
        f"{shown}{_SAID} {request}\n{_AGAIN}"
    )


def _of_base(base: Any, name: str, state: RewordedState) -> Any:
    return getattr(base, name)(state.base)


def speaking(
    catalogue: Catalogue,
    base: Population,
    *,
    slate_size: int = 10,
    turn_limit: int = 10,
    split: str = "train",
    reacts: bool = False,
    generator: Any = "",
    generator_settings: Mapping[str, Any] | None = None,
    cassette: str | os.PathLike[str] = "",
    mode: str = "auto",
    tries: int = 3,
    on_failure: str = "",
    max_words: int = 30,
    same_meaning: bool = True,
    personas: Sequence[str] = PERSONAS,
    examples: Sequence[Sequence[str]] = EXAMPLES,
    memory: int = 3,
    price_in: float = 0.0,
    price_out: float = 0.0,
    people: Any = None,
    people_settings: Mapping[str, Any] | None = None,
) -> RewordedPopulation | ImaginedPopulation:
    """Makes people whose words a language model writes; the module says how.

    Args:
        catalogue: The items.
        base: The world's own people.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
        split: Whose people, where ``people`` asks.
        reacts: Whether the model also says what they click and when they leave; they then have no goals.
        generator: Who writes, see `instructrec.envs.generators.generator_of`; "smollm2" if omitted, or in replay the
            one that was recorded.
        generator_settings: What it takes besides, such as ``{"temperature": 0.7}``.
        cassette: A file that keeps what is written (`instructrec.envs.cassettes`); none if omitted.
        mode: "auto", "record" or "replay": what the cassette is for.
        tries: How often a sentence is asked for until it can be used, 1 to 20, each time with another prompt: the
            examples in another order.
        on_failure: What a person does when no try could be used. "own_words": say it in the base's words. "repeat":
            say what they said before, at first nothing. "leave". Omitted: "own_words", or with ``reacts`` "repeat".
            The turn is marked failed and counted whichever it is.
        max_words: Words of a sentence at most, 1 to 300.
        same_meaning: Whether the new wording must ask for the same as the old one, as far as can be read. Not used with
            ``reacts``.
        personas: How they speak, one of them per session.
        examples: Pairs of a request and the same in other words. Not used with ``reacts``.
        memory: How many earlier turns the model is told of, with ``reacts``, 0 or more.
        price_in: What a million tokens of prompts cost, 0 or more.
        price_out: What a million written tokens cost, 0 or more.
        people: Who wants and acts instead of the world's own people: as ``population`` of `make_world`.
        people_settings: What their maker takes.

    Raises:
        ValueError: If a setting is out of range.
        CassetteError: If the cassette cannot be used.
    """
    for name, value, low, high in (
        ("tries", tries, 1, 20),
        ("max_words", max_words, 1, 300),
        ("memory", memory, 0, 100),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
    for name, price in (("price_in", price_in), ("price_out", price_out)):
        if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < np.inf:
            raise ValueError(f"{name} must be 0 or more per million tokens, got {price!r}")
    for name, switch in (("reacts", reacts), ("same_meaning", same_meaning)):
        if not isinstance(switch, bool):
            raise ValueError(f"{name} is true or false, got {switch!r}")
    if not isinstance(cassette, str | os.PathLike):
        raise ValueError(f"cassette is the path of a file, such as said.jsonl, got {cassette!r}")
    if generator_settings is not None and not isinstance(generator_settings, Mapping):
        raise ValueError(
            f"generator_settings are names and values, such as {{temperature: 0.7}}, got {generator_settings!r}"
        )
    if not _are_texts(personas):
        raise ValueError('personas are texts, one or more; [""] is somebody of whom nothing is told')
    if mode not in MODES:
        raise ValueError(unknown_name("mode", str(mode), MODES))
    if mode != "auto" and not cassette:
        raise ValueError(f"mode {mode!r} is of a cassette; name its file: cassette=...")
    if people is not None:
        base = _others(people, people_settings, base, catalogue, slate_size, turn_limit, split)
    elif people_settings:
        raise ValueError("people_settings are of people; none are named")
    writer = _writer(generator, generator_settings, cassette, mode)
    tally = Tally(price_in=float(price_in), price_out=float(price_out))
    if reacts:
        return ImaginedPopulation(
            base,
            catalogue,
            writer,
            slate_size=slate_size,
            turn_limit=turn_limit,
            tries=tries,
            on_failure=on_failure or "repeat",
            max_words=max_words,
            personas=personas,
            memory=memory,
            tally=tally,
        )
    return RewordedPopulation(
        base,
        catalogue,
        writer,
        tries=tries,
        on_failure=on_failure or "own_words",
        max_words=max_words,
        same_meaning=same_meaning,
        personas=personas,
        examples=examples,
        tally=tally,
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


def _are_texts(value: Any) -> bool:
    return _is_list(value) and all(isinstance(text, str) for text in value)


def _writer(
    generator: Any, settings: Mapping[str, Any] | None, cassette: str | os.PathLike[str], mode: str
) -> Generator:
    if mode == "replay" and generator == "" and not settings:
        return Cassette(cassette, mode=mode)
    made = generator_of("smollm2" if generator == "" else generator, settings)
    return Cassette(cassette, made, mode=mode) if cassette else made


def _others(
    people: Any,
    settings: Mapping[str, Any] | None,
    base: Population,
    catalogue: Catalogue,
    slate_size: int,
    turn_limit: int,
    split: str,
) -> Population:
    world = World(
        name="speaking",
        catalogue=catalogue,
        population=base,
        reward=EngagementReward(),
        slate_size=slate_size,
        turn_limit=turn_limit,
    )
    return with_population(world, people, settings, split=split).population


POPULATION = PopulationSpec(
    name="speaking",
    summary="A language model writes what they say, and if asked to what they do; the rest stays the world's own.",
    reference="Corecco et al. (2024), SUBER, arXiv 2406.01631; RecoWorld.",
    maker=speaking,
)
