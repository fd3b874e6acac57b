"""People whom a language model plays whole: it says what they want, what they click, and whether they leave.

The model is told who the person is, what they liked before, the last turns and the titles of the slate, and answers
with one JSON object. Nobody knows what such people have in mind: their instructions have no goals, and the metrics that
need them are absent. Published warnings hold: played people click more and are more agreeable than real ones.

References:
    Corecco et al. (2024), SUBER, arXiv 2406.01631 (persona, history and items in a prompt; an answer that is parsed).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.generators import Generator
from instructrec.envs.speech import Ask, Deed, Speaker, Tally, read_deed, read_sentence
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise
from instructrec.protocols import Population
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.texts import Texts

ON_FAILURE = ("repeat", "leave")
# A purpose of its own, so that who speaks does not hang together with what the base draws.
_PERSONA = 96
_LIKED, _EXAMPLES = 5, 3
_VERSION = "imagined 1"
FORM = '{"clicked": [1, 3], "leave": false, "say": "one short sentence"}'
"""What the model answers: positions counted from 1."""


@dataclass(frozen=True)
class ImaginedState:
    """The saved state of people whom a language model plays.

    Attributes:
        base: The state of those whose past they have.
        persona: Who they are, a place in the personas, int16 [batch].
        turn: How many slates each saw, int32 [batch].
        instruction: The text id of what each said last, int64 [batch].
        said: What was said at each turn, padded with -1, int64 [batch, turn_limit].
        slates: What each was shown, padded with -1, int32 [batch, turn_limit, slate_size].
        clicked: What each clicked, [batch, turn_limit, slate_size].
        failed: Whether no try at the last turn could be used, [batch].
    """

    base: Any
    persona: npt.NDArray[np.int16]
    turn: npt.NDArray[np.int32]
    instruction: npt.NDArray[np.int64]
    said: npt.NDArray[np.int64]
    slates: npt.NDArray[np.int32]
    clicked: Bools
    failed: Bools


class ImaginedPopulation:
    """People whom a language model plays whole; made by `instructrec.envs.population_speaking.speaking`.

    Args:
        base: Whose pasts they have; nothing else of it matters.
        catalogue: The items.
        generator: Who writes.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
        tries: How often an answer is asked for until it can be used, 1 or more.
        on_failure: "repeat" or "leave": what a person does when no try could be used. They click nothing.
        max_words: Words of a sentence at most.
        personas: Who they are, one of them per session.
        memory: How many earlier turns the model is told of.
        tally: What counts.

    Raises:
        ValueError: If ``on_failure`` is neither.
    """

    def __init__(
        self,
        base: Population,
        catalogue: Catalogue,
        generator: Generator,
        *,
        slate_size: int,
        turn_limit: int,
        tries: int = 3,
        on_failure: str = "repeat",
        max_words: int = 30,
        personas: Sequence[str],
        memory: int = 3,
        tally: Tally | None = None,
    ) -> None:
        if on_failure not in ON_FAILURE:
            own = " (they have no words of their own)" if on_failure == "own_words" else ""
            raise ValueError(unknown_name("way to fail (on_failure)", str(on_failure), ON_FAILURE) + own)
        self._base, self._catalogue, self._on_failure = base, catalogue, on_failure
        self._size, self._turn_limit, self._tries = slate_size, turn_limit, tries
        self._max_words, self._personas, self._memory = max_words, tuple(personas), memory
        self.tally = tally if tally is not None else Tally()
        """What was asked, what it cost and what could not be used."""
        self._openings: Speaker[str] = Speaker(generator, self.tally)
        self._deeds: Speaker[Deed] = Speaker(generator, self.tally)
        self.deterministic = generator.deterministic
        """Whether the same people always do the same: not with a language model that runs live."""
        self.texts = Texts()
        """Everything they have said; grows as they speak."""
        parts = (_VERSION, base.fingerprint, generator.fingerprint, "" if self.deterministic else "live")
        shape = (slate_size, turn_limit, tries, on_failure, max_words, memory, self._personas)
        prompts = (_opening("", [], []), _question("", [], [], "", []), FORM)
        self.fingerprint = hashlib.sha256(repr((parts, shape, prompts)).encode(errors="surrogatepass")).hexdigest()[:16]
        """A hash of the base, the generator and every setting; another where words are written live."""
        if callable(getattr(base, "persons", None)):
            self.persons = self._persons

    def scalars(self) -> dict[str, float]:
        """Returns what the tally counts, for TensorBoard."""
        return self.tally.scalars()

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[ImaginedState, Instructions]:
        """Returns new people and what they say first; nothing where every try failed."""
        base, _ = self._base.arrive(sessions, noise)
        persona = drawn_persona(noise, len(self._personas))
        batch, liked = len(persona), self._liked(base)
        some = [self._catalogue.titles[item] for item in np.argsort(-self._catalogue.popularity, kind="stable")]
        asks = []
        for row in range(batch):
            prompt = _opening(self._personas[persona[row]], liked[row], some[:_EXAMPLES])
            asks.append(Ask(self._prompts(prompt), partial(read_sentence, max_words=self._max_words, echoes=[prompt])))
        answers = self._openings.answers(asks)
        failed = np.array([answer is None for answer in answers], np.bool_)
        self.tally.failed_turns += int(failed.sum())
        texts = self.texts.ids(answer or "" for answer in answers)
        shape = (batch, self._turn_limit, self._size)
        state = ImaginedState(
            base=base,
            persona=persona,
            turn=np.zeros(batch, np.int32),
            instruction=texts,
            said=np.full(shape[:2], -1, np.int64),
            slates=np.full(shape, -1, np.int32),
            clicked=np.zeros(shape, np.bool_),
            failed=failed,
        )
        return state, Instructions(texts)

    def react(self, state: ImaginedState, slates: Ints, noise: Noise) -> tuple[ImaginedState, Reactions]:
        """Returns what the model says they do with their slates.

        Raises:
            ValueError: If slates or turns exceed what the population was made for.
        """
        batch = len(state.turn)
        if slates.shape != (batch, self._size):
            raise ValueError(f"these people were made for slates of {self._size}, got shape {slates.shape}")
        if batch and int(state.turn.max()) >= self._turn_limit:
            raise ValueError(f"these people were made for {self._turn_limit} turns; make them with a higher turn_limit")
        liked = self._liked(state.base)
        answers = self._deeds.answers([self._ask(state, row, slates[row], liked[row]) for row in range(batch)])
        clicked, failed = np.zeros(slates.shape, np.bool_), np.zeros(batch, np.bool_)
        left, texts = np.zeros(batch, np.bool_), state.instruction.copy()
        for row, deed in enumerate(answers):
            if deed is None:
                failed[row], left[row] = True, self._on_failure == "leave"
                continue
            clicked[row, list(deed.clicked)] = True
            left[row] = deed.left
            if deed.said:
                texts[row] = self.texts.ids([deed.said])[0]
        if self._on_failure == "leave":
            left |= state.failed
        self.tally.failed_turns += int(failed.sum())
        said, shown, did = state.said.copy(), state.slates.copy(), state.clicked.copy()
        rows = np.arange(batch)
        said[rows, state.turn], shown[rows, state.turn], did[rows, state.turn] = state.instruction, slates, clicked
        after = ImaginedState(state.base, state.persona, state.turn + np.int32(1), texts, said, shown, did, failed)
        return after, Reactions(clicked, clicked.copy(), Instructions(texts), left)

    def past(self, state: ImaginedState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns the base's past, both [batch, past_length]."""
        return self._base.past(state.base)

    def _persons(self, state: ImaginedState) -> npt.NDArray[np.int32]:
        persons: Any = self._base
        return np.asarray(persons.persons(state.base))

    def _liked(self, base: Any) -> list[list[str]]:
        """Returns the titles of each person's past that they rated highest, newest first among equals."""
        past, ratings = self._base.past(base)
        liked = []
        for items, rated in zip(past[:, ::-1], ratings[:, ::-1], strict=True):
            best = np.argsort(-rated, kind="stable")
            liked.append([self._catalogue.titles[item] for item in items[best] if item >= 0][:_LIKED])
        return liked

    def _ask(self, state: ImaginedState, row: int, slate: Ints, liked: Sequence[str]) -> Ask[Deed]:
        turn, titles = int(state.turn[row]), self._catalogue.titles
        said = self.texts.strings(state.said[row])
        history = [
            (said[past], [titles[item] for item in state.slates[row, past][state.clicked[row, past]]])
            for past in range(max(0, turn - self._memory), turn)
        ]
        now = self.texts.strings(state.instruction[row : row + 1])[0]
        who = self._personas[state.persona[row]]
        prompt = _question(who, liked, history, now, [titles[item] for item in slate])
        read = partial(read_deed, slate_size=self._size, max_words=self._max_words, echoes=[prompt, FORM])
        return Ask(self._prompts(prompt), read)

    def _prompts(self, prompt: str) -> tuple[str, ...]:
        """Returns the prompt of each try: later ones say which they are, so that even a greedy model answers anew."""
        again = (f"{prompt}\n(Try {attempt + 1}: answer in exactly that form.)" for attempt in range(1, self._tries))
        return (prompt, *again)


def drawn_persona(noise: Noise, num_personas: int) -> npt.NDArray[np.int16]:
    """Returns who each person is, int16 [batch]."""
    return (noise.uniform(_PERSONA)[:, 0] * num_personas).astype(np.int16)


def _who(persona: str, liked: Sequence[str]) -> str:
    return f"You are {persona or 'a person'}." + (f" You liked {', '.join(liked)}." if liked else "")


def _opening(persona: str, liked: Sequence[str], some: Sequence[str]) -> str:
    return (
        f"{_who(persona, liked)} A recommender helps you to choose; it has things such as {', '.join(some)}. "
        "Tell it what you feel like today, without naming a title. Answer with one short sentence and nothing else."
    )


def _question(
    persona: str,
    liked: Sequence[str],
    history: Sequence[tuple[str, Sequence[str]]],
    said: str,
    titles: Sequence[str],
) -> str:
    lines = [_who(persona, liked)]
    for before, clicked in history:
        lines.append(f"Before, you said: {before or '(nothing)'} You chose {', '.join(clicked) or 'nothing'}.")
    lines.append(f"Now you said: {said or '(nothing)'}")
    lines.append("The recommender shows you:")
    lines += [f"{place}. {title}" for place, title in enumerate(titles, 1)]
    lines.append(
        "Which of them do you choose (the numbers; an empty list for none), do you leave, and what do you say next? "
        f"Answer with JSON alone, in this form: {FORM}"
    )
    return "\n".join(lines)
