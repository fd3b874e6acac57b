"""People whom a language model plays whole: it says what they want, what they click, and whether they leave.

The model continues a script in which other people have just been offered things. It is asked one thing at a time, each
answered with one short line, as small models can and large ones do too: what the person wants; which titles of the
slate they choose, or none; what they say next, or that they leave. It is told who the person is, what they liked
before, the last turns and the titles of the slate. Another try shows the other people in another order.

Nobody knows what such people have in mind: their instructions have no goals, and the metrics that need them are absent.
Published warnings hold: played people click more and are more agreeable than real ones.

What a model can do differs. SmolLM2-135M exercises the code and is no model of a person. On 104 slates of ten films,
three of them meeting a wish such as "a horror film" (greedy, three tries, bfloat16), it gave an answer that can be used
for 83 %; 40 % of those were "none". Of 52 titles it chose, 38 % met the wish, which is not told apart from the 30 % of
chance; 31 % stood first; another wish for the same slate changed what it chose in 8 % of slates. What it says next is
mostly copied from the script. Use a larger model for research, and measure the same of it first.

References:
    Corecco et al. (2024), SUBER, arXiv 2406.01631 (persona, history and items in a prompt; an answer that is parsed).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Bools, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.generators import Generator
from instructrec.envs.speech import BETWEEN, NOTHING, Ask, Speaker, Tally, read_choice, read_sentence
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise
from instructrec.protocols import Population
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.texts import Texts

ON_FAILURE = ("repeat", "leave")
# A purpose of its own, so that who speaks does not hang together with what the base draws.
_PERSONA = 96
_LIKED, _KNOWN = 5, 3
_VERSION = "imagined 2"


@dataclass(frozen=True)
class Visit:
    """Somebody of the script: what the model is shown before it is asked for a person of the world.

    Attributes:
        person: Who they are.
        wants: What they say.
        offers: The titles they are shown.
        chosen: Which of those they choose, places counted from 0.
        then: What they say next; empty where they leave.
    """

    person: str
    wants: str
    offers: tuple[str, ...]
    chosen: tuple[int, ...]
    then: str


VISITS = (
    Visit(
        "a nurse on night shifts; likes Jasmine Tea",
        "something without caffeine",
        ("Espresso Beans", "Camomile Tea", "Black Tea", "Rooibos Tea", "Cola"),
        (1, 3),
        "more like the second one, but sweeter",
    ),
    Visit(
        "a bus driver; likes Stars Above Us",
        "I'd like a love story",
        ("War of the Robots", "Dinner for Ghosts", "A Short History of Rome", "A Summer Romance"),
        (3,),
        "another one like it, only sadder",
    ),
    Visit(
        "a hiker; likes Trail Running Shoes",
        "a warm jacket, not too dear",
        ("Silk Scarf", "Beach Towel", "Sun Hat"),
        (),
        "",
    ),
    Visit(
        "a tired neighbour; likes Quiet Hours",
        "calm music for the evening",
        ("Heavy Metal Storm", "Drums of War", "Calm Evening Piano", "Party Hits", "Marching Band"),
        (2,),
        "more like that one, please",
    ),
)
"""Visits of other people to other recommenders."""


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
        failed: Whether something asked at the last turn had no try that could be used, [batch].
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
        tries: How often an answer is asked for until it can be used, 1 to 24.
        on_failure: "repeat" or "leave": what a person does when no try could be used. Whose choice cannot be read
            clicks nothing, and is not asked for words.
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
        self._size, self._turn_limit = slate_size, turn_limit
        orders = list(itertools.islice(itertools.permutations(VISITS), tries))
        self._scripts = {label: [_script(label, order) for order in orders] for label in (_WANTS, _CHOOSES, _THEN)}
        self._max_words, self._personas, self._memory = max_words, tuple(personas), memory
        popular = np.argsort(-catalogue.popularity, kind="stable")[:_KNOWN]
        self._known = [catalogue.titles[item] for item in popular]
        self.tally = tally if tally is not None else Tally()
        """What was asked, what it cost and what could not be used."""
        self._words: Speaker[str] = Speaker(generator, self.tally)
        self._choices: Speaker[tuple[int, ...]] = Speaker(generator, self.tally)
        self.unspoken = base
        """Those whose pasts they have: who wants only the pasts asks them, and no model writes for it."""
        self.deterministic = generator.deterministic
        """Whether the same people always do the same: not with a language model that runs live."""
        self.texts = Texts()
        """Everything they have said; grows as they speak."""
        parts = (_VERSION, base.fingerprint, generator.fingerprint, "" if self.deterministic else "live")
        shape = (slate_size, turn_limit, tries, on_failure, max_words, memory, self._personas)
        self.fingerprint = hashlib.sha256(
            repr((parts, shape, self._scripts)).encode(errors="surrogatepass")
        ).hexdigest()[:16]
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
        batch, wants = len(persona), [visit.wants for visit in VISITS]
        people = [_described(self._personas[who], liked) for who, liked in zip(persona, self._liked(base), strict=True)]
        asks = [self._ask_for_words(_WANTS, _opening(person, self._known), wants) for person in people]
        answers = self._words.answers(asks)
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
        scenes = [self._scene(state, row, slates[row], liked[row]) for row in range(batch)]
        choices = self._choices.answers([self._ask_for_choice(scene) for scene in scenes])
        speaking = [row for row in range(batch) if choices[row] is not None]
        asks = [self._ask_for_words(_THEN, replace(scenes[row], chosen=choices[row]).lines) for row in speaking]
        words = dict(zip(speaking, self._words.answers(asks), strict=True))
        clicked, failed = np.zeros(slates.shape, np.bool_), np.zeros(batch, np.bool_)
        left, texts = np.zeros(batch, np.bool_), state.instruction.copy()
        for row, choice in enumerate(choices):
            clicked[row, list(choice or ())] = True
            spoken = words.get(row)
            if spoken is None:
                failed[row], left[row] = True, self._on_failure == "leave"
            elif spoken:
                texts[row] = self.texts.ids([spoken])[0]
            else:
                left[row] = True
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

    def _scene(self, state: ImaginedState, row: int, slate: Ints, liked: Sequence[str]) -> _Scene:
        turn, titles = int(state.turn[row]), self._catalogue.titles
        said = self.texts.strings(state.said[row])
        history = [
            (said[past], [titles[item] for item in state.slates[row, past][state.clicked[row, past]]])
            for past in range(max(0, turn - self._memory), turn)
        ]
        now = self.texts.strings(state.instruction[row : row + 1])[0]
        person = _described(self._personas[state.persona[row]], liked)
        return _Scene(person, history, now, [titles[item] for item in slate])

    def _ask_for_choice(self, scene: _Scene) -> Ask[tuple[int, ...]]:
        def read(text: str) -> tuple[int, ...]:
            return read_choice(_without(_CHOOSES, text), scene.offers)

        return Ask(self._prompts(_CHOOSES, scene.lines), read, among=tuple(scene.offers))

    def _ask_for_words(self, label: str, lines: str, echoes: Sequence[str] = ()) -> Ask[str]:
        def read(text: str) -> str:
            said = _without(label, text)
            if label == _THEN and said.lower() in (_LEAVES, f"{_LEAVES}."):
                return ""
            return read_sentence(said, max_words=self._max_words, echoes=echoes)

        return Ask(self._prompts(label, lines), read)

    def _prompts(self, label: str, lines: str) -> tuple[str, ...]:
        """Returns the prompt of each try: what stands before ``lines`` is the same for everybody."""
        return tuple(f"{script}{lines}{label}" for script in self._scripts[label])


def drawn_persona(noise: Noise, num_personas: int) -> npt.NDArray[np.int16]:
    """Returns who each person is, int16 [batch]."""
    return (noise.uniform(_PERSONA)[:, 0] * num_personas).astype(np.int16)


_TASK = (
    "People say what they want, choose what fits from the offers (titles as they are written, or none), and then say "
    "what they want next, or that they leave. Write only the line that comes next.\n\n"
)
_WANTS, _CHOOSES, _THEN = "Wants:", "Chooses:", "Then:"
_LEAVES = "leaves"


@dataclass(frozen=True)
class _Scene:
    """What a person sees; ``chosen`` is None before they chose."""

    person: str
    history: Sequence[tuple[str, Sequence[str]]]
    wants: str
    offers: Sequence[str]
    chosen: tuple[int, ...] | None = None

    @property
    def lines(self) -> str:
        before = "".join(f"Wanted: {wanted or NOTHING}\nChose: {_listed(chosen)}\n" for wanted, chosen in self.history)
        lines = f"Person: {self.person}\n{before}{_WANTS} {self.wants or NOTHING}\nOffers: {_listed(self.offers)}\n"
        if self.chosen is None:
            return lines
        return f"{lines}{_CHOOSES} {_listed([self.offers[place] for place in self.chosen])}\n"


def _listed(titles: Sequence[str]) -> str:
    return BETWEEN.join(titles) or NOTHING


def _opening(person: str, known: Sequence[str]) -> str:
    return f"Person: {person}\nThere are: {_listed(known)}\n"


def _script(label: str, visits: Sequence[Visit]) -> str:
    """Returns other people's visits up to and with the line that is asked for."""
    blocks = [_TASK]
    for visit in visits:
        scene = _Scene(visit.person, (), visit.wants, visit.offers, None if label == _CHOOSES else visit.chosen)
        shown = _opening(visit.person, visit.offers[:_KNOWN]) if label == _WANTS else scene.lines
        chosen = _listed([visit.offers[place] for place in visit.chosen])
        said = {_WANTS: visit.wants, _CHOOSES: chosen, _THEN: visit.then or _LEAVES}[label]
        blocks.append(f"{shown}{label} {said}\n\n")
    return "".join(blocks)


def _described(persona: str, liked: Sequence[str]) -> str:
    return "; ".join(filter(None, (persona or "somebody", f"likes {', '.join(liked)}" if liked else "")))


def _without(label: str, text: str) -> str:
    """Returns an answer without the label it was to continue: models that chat begin with it again."""
    return text.strip().removeprefix(label).strip()
