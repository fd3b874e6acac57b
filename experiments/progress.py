"""Telling people what is happening: a bar with the time left in a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Advance = Callable[[float, str], None]
"""Reports how much is done, from 0 to 1, and a few words about it."""

_LINE_EVERY = 15.0


def silent(done: float, words: str = "") -> None:
    """An `Advance` that says nothing."""


def clock(seconds: float) -> str:
    """Returns a time span for people: ``8 s``, ``2 min 05 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


@dataclass
class Narrator:
    """Says what is happening, on the error stream so that standard output stays for results.

    Attributes:
        stream: Where to write.
        quiet: Say nothing at all.
        bars: Whether a bar may be drawn: not where several processes write on one screen.
    """

    stream: TextIO = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    bars: bool = True

    @property
    def is_terminal(self) -> bool:
        """Whether a person watches a screen that can redraw a line."""
        return self.bars and self.stream.isatty()

    def say(self, words: str) -> None:
        """Writes a line."""
        if not self.quiet:
            print(words, file=self.stream, flush=True)

    @contextmanager
    def task(self, name: str) -> Iterator[Advance]:
        """Follows one piece of work; the body reports to the `Advance` that it is given."""
        begun = time.monotonic()
        if self.quiet:
            yield silent
            return
        if self.is_terminal:
            with self._bar() as bar:
                place = bar.add_task(name, total=1.0, words="")

                def redraw(done: float, words: str = "") -> None:
                    bar.update(place, completed=done, words=words)

                yield redraw
                bar.update(place, completed=1.0, words="")
        else:
            self.say(f"{name} ...")
            yield self._lines(name)
            self.say(f"{name}: done in {clock(time.monotonic() - begun)}")

    def _bar(self) -> Progress:
        console = Console(file=self.stream, width=None)
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[words]}", style="dim"),
            console=console,
        )

    def _lines(self, name: str) -> Advance:
        last = time.monotonic()
        first: tuple[float, float] | None = None

        def advance(done: float, words: str = "") -> None:
            nonlocal last, first
            now = time.monotonic()
            # What comes before the first report (compiling, reading caches) tells nothing about the pace.
            first = first or (now, done)
            if now - last < _LINE_EVERY or not first[1] < done < 1:
                return
            last = now
            left = f"about {clock((now - first[0]) * (1 - done) / (done - first[1]))} left"
            self.say(f"{name}: {done:.0%}, {left}{', ' + words if words else ''}")

        return advance
