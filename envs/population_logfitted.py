"""Users who click, skip and leave as the people of a log did.

A session is drawn from the visits of the log: its person, with what that person clicked before, and the words of that
visit, turn by turn (the last ones again where the simulated visit is longer; ``recommend something`` in a log without
words). What is looked at, clicked and when the user leaves is the fitted model's: see `instructrec.envs.fitted_users`,
and `instructrec.envs.log_fitting` on how it is fitted and held to account. Instructions come without goals.

The model knows people by what they clicked before. What they would have done with slates the log never showed is the
model's word for it: trust it near the log.

References:
    Chuklin, Markov and de Rijke (2015), Click models for web search; Huang et al. (2020), Keeping dataset biases out of
    the simulation, RecSys (on simulators fitted to logs).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from instructrec.arrays import Floats, Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.fitted_users import FittedUsers
from instructrec.envs.item_likeness import Overlap
from instructrec.envs.log_fitting import fit_log
from instructrec.envs.populations import PopulationSpec
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise, Purpose
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.splits import Split, split_of
from instructrec.texts import Texts

SAID = "recommend something"
"""What everybody says where the log holds no words."""
MEMORY = 20
"""How many of the latest clicks of a visit are remembered."""
_PEOPLE = ("split", "all")


@dataclass(frozen=True)
class LogFittedState:
    """Who these users are, and what they did.

    Attributes:
        visit: The visit of the log they come from, int32 [batch].
        turn: How many slates they saw, int32 [batch].
        clicks: How many items they clicked, int32 [batch].
        recent: The latest of these, in a ring, -1 where there is none, int32 [batch, MEMORY].
    """

    visit: npt.NDArray[np.int32]
    turn: npt.NDArray[np.int32]
    clicks: npt.NDArray[np.int32]
    recent: npt.NDArray[np.int32]


class LogFittedPopulation:
    """Users fitted to a log; the module says how they behave.

    Args:
        catalogue: The items: those of the log, or others with the same attributes.
        slate_size: Items per slate.
        split: Whose visits: a person belongs to a split by the hash of its name.
        log: A table of shown and clicked items (`instructrec.envs.click_logs`), which is fitted now; a ``.npz`` file
            that `FittedUsers.save` wrote; or fitted users.
        people: ``split`` for the visits of the world's split alone, ``all`` for all of them in every split.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken, ``people`` is neither, nobody belongs to the split, or the catalogue lacks an
            attribute that the users were fitted with.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        log: str | os.PathLike[str] | FittedUsers,
        slate_size: int = 10,
        split: str = "train",
        people: str = "split",
    ) -> None:
        if people not in _PEOPLE:
            raise ValueError(unknown_name("value of people", str(people), _PEOPLE))
        if split not in list(Split):
            raise ValueError(unknown_name("split", str(split), map(str, Split)))
        if isinstance(log, FittedUsers):
            fitted = log
        elif isinstance(log, str | os.PathLike):
            fitted = FittedUsers.load(log) if Path(log).suffix == ".npz" else fit_log(log, catalogue)
        else:
            raise ValueError(f"log is the path of a log or of fitted users, or fitted users; got {type(log).__name__}")
        self.fitted = fitted
        """What was fitted; `FittedUsers.report` says how well."""
        visits = fitted.visits
        of_split = np.array([people == "all" or split_of("users", name) == split for name in visits.persons])
        self._visits = np.flatnonzero(of_split[visits.person]).astype(np.int32)
        if not len(self._visits):
            raise ValueError(
                f"none of the {len(visits.persons):,} people of the log belongs to the {split} split; "
                "log more people, or let all of them come: people='all'"
            )
        self._num_items = catalogue.num_items
        features = fitted.attributes.matrix(catalogue)
        self._base = np.asarray(fitted.bias + (features * fitted.weights).sum(axis=1))
        self._past = visits.past_in(catalogue)
        self._directions = fitted.attributes.directions(catalogue)
        self._profiles = fitted.attributes.profiles(self._directions, self._past)
        self._profiles *= fitted.affinity[fitted.attributes.taste].astype(np.float32)
        self._overlap = Overlap.of(catalogue, visits.texts)
        self._looks = fitted.looks_at(slate_size) if fitted.examination == "position" else fitted.looks
        self.texts = Texts(visits.texts[1:] if len(visits.texts) > 1 else [SAID])
        """Everything that was said in the log, of every split."""
        parts = [repr(("logfitted 1", fitted.examination, fitted.match, fitted.again)).encode()]
        parts += [repr((self.texts.bank, len(visits.texts))).encode()]
        parts += [array.tobytes() for array in (self._visits, self._base, self._past, self._looks, fitted.leaving)]
        parts += [array.tobytes() for array in (self._profiles, visits.starts, visits.said, self._overlap.has)]
        self.fingerprint = hashlib.sha256(b"".join(parts)).hexdigest()[:16]
        """A hash of everything fitted, and of who may come."""

    def __repr__(self) -> str:
        return in_a_line(self, f"{len(self._visits):,} visits", f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[LogFittedState, Instructions]:
        """Returns users drawn evenly from the visits of the log."""
        visit = self._visits[(noise.uniform(Purpose.PERSON)[:, 0] * len(self._visits)).astype(np.int64)]
        batch = len(visit)
        none = np.zeros(batch, np.int32)
        state = LogFittedState(visit, none, none.copy(), np.full((batch, MEMORY), -1, np.int32))
        return state, self._say(state)

    def react(self, state: LogFittedState, slates: Ints, noise: Noise) -> tuple[LogFittedState, Reactions]:
        """Returns what was looked at and clicked, who left, and what the others say next."""
        size = slates.shape[1]
        attracts = noise.uniform(Purpose.CLICK, size) < expit(self._log_odds(state, slates))
        luck = noise.uniform(Purpose.EXAMINATION, size)
        if self.fitted.examination == "position":
            examined = luck < self._places(size)
        else:
            examined = np.ones_like(attracts)
            for place in range(1, size):
                goes_on = np.where(attracts[:, place - 1], self._looks[1], self._looks[0])
                examined[:, place] = examined[:, place - 1] & (luck[:, place] < goes_on)
        clicked = examined & attracts
        bias, per_turn, per_click = self.fitted.leaving
        hazard = expit(bias + per_turn * state.turn + per_click * clicked.any(axis=1))
        left = noise.uniform(Purpose.LEAVING)[:, 0] < hazard
        rows, places = np.nonzero(clicked)
        recent = state.recent.copy()
        before = np.cumsum(clicked, axis=1, dtype=np.int32)[rows, places] - 1
        recent[rows, (state.clicks[rows] + before) % MEMORY] = slates[rows, places]
        clicks = (state.clicks + clicked.sum(axis=1)).astype(np.int32)
        after = LogFittedState(state.visit, state.turn + np.int32(1), clicks, recent)
        return after, Reactions(clicked, clicked.copy(), self._say(after), left, examined=examined)

    def past(self, state: LogFittedState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns what the person clicked in earlier visits of the log, rated 1, [batch, PAST_LENGTH]."""
        past = self._past[state.visit]
        return past, (past >= 0).astype(np.float32)

    def persons(self, state: LogFittedState) -> npt.NDArray[np.int32]:
        """Returns whose visit each is, [batch]: visits of one person belong together when people are resampled."""
        return self.fitted.visits.person[state.visit]

    def expected_utility(self, state: LogFittedState) -> Floats:
        """Returns the probability that an item attracts, [batch, num_items]."""
        every = np.arange(self._num_items, dtype=np.int32)[None, :]
        worth = np.empty((len(state.turn), self._num_items), np.float32)
        for row in range(len(worth)):
            one = slice(row, row + 1)
            here = LogFittedState(state.visit[one], state.turn[one], state.clicks[one], state.recent[one])
            worth[row] = expit(self._log_odds(here, every))[0]
        return worth

    def _log_odds(self, state: LogFittedState, items: Ints) -> npt.NDArray[np.float64]:
        """Returns the log-odds that each item attracts, [batch, num_shown]; every row by itself."""
        fitted, odds = self.fitted, self._base[items]
        if fitted.affinity.any():
            odds += (self._directions[items] * self._profiles[state.visit][:, None, :]).sum(axis=-1)
        if fitted.match:
            odds += fitted.match * self._overlap.share(items, self._words(state))
        if fitted.again:
            odds += fitted.again * (items[:, :, None] == state.recent[:, None, :]).any(axis=-1)
        return odds

    def _places(self, size: int) -> npt.NDArray[np.float64]:
        return self._looks if len(self._looks) == size else self.fitted.looks_at(size)

    def _words(self, state: LogFittedState) -> npt.NDArray[np.int32]:
        """Returns what is being said, a place among the log's texts, [batch]."""
        starts = self.fitted.visits.starts
        turn = np.minimum(starts[state.visit] + state.turn, starts[state.visit + 1] - 1)
        return np.asarray(self.fitted.visits.said[turn])

    def _say(self, state: LogFittedState) -> Instructions:
        # The log's texts and the bank both begin with the empty text.
        texts = self._words(state).astype(np.int64) if len(self.fitted.visits.texts) > 1 else None
        return Instructions(np.ones(len(state.turn), np.int64) if texts is None else texts)


POPULATION = PopulationSpec(
    name="logfitted",
    summary="They click, skip and leave as a model fitted to a log of yours says.",
    reference="Chuklin, Markov and de Rijke (2015), Click models for web search.",
    maker=LogFittedPopulation,
)
