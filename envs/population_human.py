"""You: a person at the keyboard who says what it wants, and clicks and leaves as it likes.

Every session asks for a first wish, then shows each slate as a numbered list, asks what to click, and what to say next.
``q`` leaves, and so does the end of the input or Ctrl-C. What makes no sense is asked again.

A person never does the same twice, so nothing that is measured with one can be repeated: `HumanPopulation` says so by
``deterministic``, and its fingerprint tells persons and scripts apart, but not one person from another. With a
``script``, the lines that would be typed, it keeps every promise of a population. ``instructrec play`` is the way in.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import TextIO

import numpy as np
from rich.cells import cell_len, set_cell_size

from instructrec.catalogue import Catalogue
from instructrec.envs.populations import PopulationSpec
from instructrec.envs.users import UserPopulation
from instructrec.protocols import Instruction, Reaction, Slate

_LEAVE = ("q", "quit", "exit")
_WIDTH = 80


class HumanUser:
    """One person at the keyboard, or the lines of a script: a `User`.

    Args:
        script: The lines to type, one after the other; then the person leaves. Without it, somebody types them.
        read: Where the lines come from without a script; standard input if omitted.
        write: Where slates and questions go; standard output if omitted, or nowhere with a script.

    Raises:
        ValueError: If the script is not a list of texts, or a stream to read comes beside it.
    """

    def __init__(
        self, *, script: Sequence[str] | None = None, read: TextIO | None = None, write: TextIO | None = None
    ) -> None:
        if script is not None and (isinstance(script, str) or not all(isinstance(line, str) for line in script)):
            raise ValueError(f"script is a list of the lines to type, such as ['a comedy', '1 3', 'q']; got {script!r}")
        if script is not None and read is not None:
            raise ValueError("lines come from a script or are read from a stream; give one of the two")
        self._script = None if script is None else iter(tuple(script))
        self._read, self._write = read, write
        self._gone = False

    def arrive(self, rng: np.random.Generator) -> Instruction:
        """Asks what the person wants; a person who leaves at once says nothing."""
        while (said := self._ask("What would you like? (q leaves) ")) is not None:
            if said:
                return Instruction(said)
            self._say("Say it in a few words of your own, such as: a comedy from the 90s")
        self._leave()
        return Instruction("")

    def react(self, slate: Slate, rng: np.random.Generator) -> Reaction:
        """Shows a slate and asks what to click and what to say next."""
        if self._gone:
            return Reaction(left=True)
        self._say("")
        number = len(str(len(slate.titles)))
        for place, title in enumerate(slate.titles, 1):
            shown = "".join(sign if sign.isprintable() else " " for sign in title)
            room = _WIDTH - number - 3
            cut = shown if cell_len(shown) <= room else set_cell_size(shown, room - 1).rstrip() + "…"
            self._say(f"{place:>{number + 1}}  {cut}")
        self._say("")
        clicked = self._clicks(len(slate.titles))
        if clicked is None:
            self._leave()
            return Reaction(left=True)
        said = self._ask("And now? (say it; Enter: the same again; q leaves) ")
        if said is None:
            self._leave()
            return Reaction(clicked=clicked, left=True)
        return Reaction(clicked=clicked, next=Instruction(said) if said else None)

    def _clicks(self, size: int) -> tuple[int, ...] | None:
        """Returns the positions clicked, or None if the person leaves."""
        example = "1 3" if size >= 3 else "1"
        while (line := self._ask(f"Click which? (numbers, such as {example}; Enter: none; q leaves) ")) is not None:
            words = [word for word in re.split(r"[\s,;]+", line) if word]
            wrong = [word for word in words if not (re.fullmatch("[0-9]{1,9}", word) and 1 <= int(word) <= size)]
            if not wrong:
                return tuple(sorted({int(word) - 1 for word in words}))
            self._say(f"{wrong[0]!r} is no number of the list: expected numbers from 1 to {size}, such as {example}")
        return None

    def _ask(self, question: str) -> str | None:
        """Returns the line that is typed, or None where the person leaves or nobody is there."""
        out = self._out()
        if out is not None:
            out.write(question)
            out.flush()
        line = self._line()
        if line is None:
            self._say("")
        if line is None or line.strip().lower() in _LEAVE:
            return None
        return " ".join(line.split())

    def _line(self) -> str | None:
        if self._script is not None:
            return next(self._script, None)
        read = sys.stdin if self._read is None else self._read
        try:
            # None where there is no keyboard at all; an OSError where it was taken away.
            return (read.readline() if read is not None else "") or None
        except (KeyboardInterrupt, OSError):
            return None

    def _out(self) -> TextIO | None:
        if self._write is not None:
            return self._write
        return sys.stdout if self._script is None else None

    def _say(self, words: str) -> None:
        out = self._out()
        if out is not None:
            out.write(words + "\n")

    def _leave(self) -> None:
        self._gone = True
        self._say("Goodbye.")


class HumanPopulation(UserPopulation):
    """A person at the keyboard, in every session; the module says how it is asked.

    Args:
        catalogue: The items.
        slate_size: Items per slate.
        turn_limit: Slates per session at most.
        script: As in `HumanUser`; every session goes through it from the beginning.
        read: As in `HumanUser`.
        write: As in `HumanUser`.

    Raises:
        ValueError: If the script is not a list of texts, or a stream to read comes beside it.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        slate_size: int = 10,
        turn_limit: int = 10,
        script: Sequence[str] | None = None,
        read: TextIO | None = None,
        write: TextIO | None = None,
    ) -> None:
        HumanUser(script=script, read=read, write=write)  # Raises where they make no sense.
        self.deterministic = script is not None
        """Whether the same sessions go the same way again: only with a script."""
        self.at_keyboard = script is None and read is None
        """Whether somebody types the lines at standard input."""
        parts = repr(("human 1", None if script is None else tuple(script)))
        super().__init__(
            partial(HumanUser, script=script, read=read, write=write),
            catalogue,
            slate_size=slate_size,
            turn_limit=turn_limit,
            num_predicates=0,
            bank=(),
            keep=20_000,
            fingerprint=hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()[:16],
        )


POPULATION = PopulationSpec(
    name="human",
    summary="You, at the keyboard; nothing measured with a person can be repeated. A script types for you.",
    reference="this project: a person in the loop, or a script of what one typed.",
    maker=HumanPopulation,
)
