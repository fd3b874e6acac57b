"""Users who say again what people said in recorded dialogues, and take up the items that those took up.

A session is one recorded dialogue. The user says its utterances in order, one per slate, whatever is shown, and clicks
and consumes every shown item that the recorded person accepted later in the dialogue, once. So an agent is measured on
real requests, real changes of mind and real targets; what nobody recorded, such as a reaction to an item the person
never saw, is no click. A replayed user cannot answer what an agent does differently: use it to measure, and distrust it
where it is trained on.

A dialogue none of whose accepted items is in the catalogue still plays, with nothing to accept;
`ReplayPopulation.report` says how many items were found. Instructions come without goals: nobody annotated their
meaning as predicates.

References:
    Replaying recorded users: Li et al. (2011), Unbiased offline evaluation of contextual-bandit-based news article
    recommendation algorithms, WSDM. Formats: see `instructrec.envs.dialogues`.
"""

from __future__ import annotations

import hashlib
import os
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from instructrec.arrays import Ints
from instructrec.catalogue import Catalogue
from instructrec.envs.dialogues import Dialogue, TitleIndex, read_dialogues, summary_of
from instructrec.envs.populations import PopulationSpec
from instructrec.names import in_a_line, unknown_name
from instructrec.noise import Noise, Purpose
from instructrec.sessions import Instructions, Reactions, Sessions
from instructrec.splits import Split, split_of
from instructrec.texts import Texts

_ACCEPTS = ("until", "turn", "session")
_ENDS = ("dialogue", "first", "all")
_PEOPLE = ("split", "all")


@dataclass(frozen=True)
class ReplayState:
    """Which dialogues are replayed, and how far they have come.

    Attributes:
        dialogue: The dialogue, int32 [batch].
        turn: How many slates were shown, int32 [batch].
        taken: Which of its targets were taken up, [batch, most_targets].
    """

    dialogue: npt.NDArray[np.int32]
    turn: npt.NDArray[np.int32]
    taken: npt.NDArray[np.bool_]


class ReplayPopulation:
    """Users who replay recorded dialogues; the module says how.

    Args:
        catalogue: The items. Any catalogue does; titles must be those people use.
        split: Whose dialogues: a dialogue belongs to a split by the hash of its name.
        dialogues: A file that `read_dialogues` reads (IARD, CrossWOZ, or JSON Lines), or dialogues.
        accept: When an item that the recorded person accepted is taken up: ``until`` then, that is, shown before the
            utterance that accepts it; ``turn``, only as answer to the same utterance as in the record; ``session``,
            also after it was accepted, where people who name what they accept reward an agent that echoes them.
        end: When the user leaves: after the last utterance of the ``dialogue``; sooner, with the ``first`` item taken
            up; or sooner, with ``all`` that the catalogue has.
        people: ``split`` for the dialogues of the world's split alone, ``all`` for all of them in every split.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is broken, a setting is none of those named, or no dialogue belongs to the split.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        dialogues: str | os.PathLike[str] | Sequence[Dialogue],
        split: str = "train",
        accept: str = "until",
        end: str = "dialogue",
        people: str = "split",
    ) -> None:
        for name, value, known in (("accept", accept, _ACCEPTS), ("end", end, _ENDS), ("people", people, _PEOPLE)):
            if value not in known:
                raise ValueError(unknown_name(f"value of {name}", str(value), known))
        if split not in list(Split):
            raise ValueError(unknown_name("split", str(split), map(str, Split)))
        recorded = (
            read_dialogues(os.fspath(dialogues)) if isinstance(dialogues, str | os.PathLike) else tuple(dialogues)
        )
        chosen = [d for d in recorded if people == "all" or split_of("users", d.name) == split]
        if not chosen:
            raise ValueError(
                f"none of the {len(recorded)} dialogues belongs to the {split} split; record more, or give people='all'"
            )
        self.dialogues = tuple(chosen)
        """Those that are replayed."""
        self.accept, self.end = accept, end
        # All of the file, whichever split, so that ids are the same in every split.
        bank = dict.fromkeys(one.text for dialogue in recorded for one in dialogue.utterances)
        self.texts = Texts([text for text in bank if text])
        """Everything that is said in any of the recorded dialogues."""
        self.summary: Mapping[str, Any] = summary_of(chosen, catalogue)
        """Counts; see `instructrec.envs.dialogues.summary_of`."""
        self._num_items = catalogue.num_items
        self._length = np.array([len(dialogue.utterances) for dialogue in chosen], np.int32)
        self._said = np.zeros((len(chosen), int(self._length.max())), np.int64)
        for row, dialogue in enumerate(chosen):
            self._said[row, : self._length[row]] = self.texts.ids(one.text for one in dialogue.utterances)
        self._targets, self._when = _targets(chosen, TitleIndex(catalogue))
        self._reachable = int((self._when > 0).any(axis=1).sum())
        parts = repr(("replay 1", accept, end, self.texts.bank, catalogue.num_items)).encode()
        arrays = (self._length, self._said, self._targets, self._when)
        self.fingerprint = hashlib.sha256(parts + b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]
        """A hash of what is said, what is taken up, and the settings."""

    def __repr__(self) -> str:
        return in_a_line(self, f"fingerprint {self.fingerprint}")

    def arrive(self, sessions: Sessions, noise: Noise) -> tuple[ReplayState, Instructions]:
        """Returns users who each begin a dialogue, drawn evenly."""
        dialogue = (noise.uniform(Purpose.PERSON)[:, 0] * len(self._length)).astype(np.int32)
        batch = len(dialogue)
        state = ReplayState(dialogue, np.zeros(batch, np.int32), np.zeros((batch, self._targets.shape[1]), np.bool_))
        return state, Instructions(self._said[dialogue, 0])

    def react(self, state: ReplayState, slates: Ints, noise: Noise) -> tuple[ReplayState, Reactions]:
        """Returns what was taken up of the slates, and what they say next."""
        dialogue, turn = state.dialogue, state.turn + np.int32(1)
        length = self._length[dialogue]
        open_to = self._open(state)
        # [batch, slate_size, most_targets]; targets of one dialogue are distinct, padding is -1 and no item.
        met = (slates[:, :, None] == self._targets[dialogue][:, None, :]) & open_to[:, None, :]
        clicked, taken = met.any(axis=2), state.taken | met.any(axis=1)
        left = turn >= length
        if self.end == "first":
            left = left | taken.any(axis=1)
        elif self.end == "all":
            missing = (self._targets[dialogue] >= 0) & ~taken
            left = left | (taken.any(axis=1) & ~missing.any(axis=1))
        said = self._said[dialogue, np.minimum(turn, length - 1)]
        return ReplayState(dialogue, turn, taken), Reactions(clicked, clicked.copy(), Instructions(said), left)

    def past(self, state: ReplayState) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Returns nothing: no past was recorded, shape [batch, 0]."""
        shape = (len(state.turn), 0)
        return np.zeros(shape, np.int32), np.zeros(shape, np.float32)

    def persons(self, state: ReplayState) -> npt.NDArray[np.int32]:
        """Returns which dialogue each replays, [batch]: its replays belong together when people are resampled."""
        return state.dialogue

    def expected_utility(self, state: ReplayState) -> npt.NDArray[np.float32]:
        """Returns 1 for what would be taken up now and 0 for everything else, [batch, num_items]."""
        worth = np.zeros((len(state.turn), self._num_items), np.float32)
        rows, places = np.nonzero(self._open(state))
        worth[rows, self._targets[state.dialogue[rows], places]] = 1
        return worth

    def report(self) -> str:
        """Returns what is replayed and how much of it the catalogue knows, at most 80 columns wide."""
        found, critiques = self.summary, {"CRI-F", "CRI-A", "CRI-C"}
        marked = sum(count for mark, count in found["marks"].items() if mark in critiques)
        lines = [
            f"{found['dialogues']:,} dialogues, {found['utterances']:,} utterances, {marked:,} critiques marked.",
            f"Items named: {found['items']:,}; {found['items_found']:,} are in the catalogue.",
            f"Items taken up: {found['accepted']:,}; {found['accepted_found']:,} are in the catalogue.",
            f"Dialogues with something to take up: {found['with_target']:,}; an agent can be in time in "
            f"{self._reachable:,} of them.",
        ]
        if found["not_found"]:
            lines += textwrap.wrap("Not in the catalogue, among others: " + "; ".join(found["not_found"]) + ".", 80)
        return "\n".join(lines)

    def _open(self, state: ReplayState) -> npt.NDArray[np.bool_]:
        """Returns which targets would be taken up if shown now, [batch, most_targets]."""
        open_to = (self._targets[state.dialogue] >= 0) & ~state.taken
        # What is shown after utterance t is answered by utterance t + 1.
        wait = self._when[state.dialogue] - (state.turn[:, None] + 1)
        if self.accept != "session":
            open_to &= wait == 0 if self.accept == "turn" else wait >= 0
        return np.asarray(open_to)


def _targets(dialogues: Sequence[Dialogue], index: TitleIndex) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Returns the items taken up in each dialogue, padded with -1, and in which utterance, [num_dialogues, most]."""
    found: list[dict[int, int]] = []
    for dialogue in dialogues:
        first: dict[int, int] = {}
        for place, one in enumerate(dialogue.utterances):
            for name in one.accepted:
                item = index.find(name)
                if item is not None:
                    first.setdefault(item, place)
        found.append(first)
    most = max(1, *(len(first) for first in found))
    targets, when = np.full((2, len(found), most), -1, np.int32)
    for row, first in enumerate(found):
        targets[row, : len(first)], when[row, : len(first)] = list(first), list(first.values())
    return targets, when


POPULATION = PopulationSpec(
    name="replay",
    summary="People of recorded dialogues say again what they said, and take up what they took up.",
    reference="IARD: Cai and Chen (2020), UMAP; CrossWOZ: Zhu et al. (2020), TACL 8.",
    maker=ReplayPopulation,
)
