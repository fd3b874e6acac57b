"""Sample conversations: what people said, what they were shown, which parts of the request each item met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from instructrec.arrays import Bools, Ints, take
from instructrec.catalogue import Catalogue
from instructrec.goals import Check, Goals, satisfied, share_met
from instructrec.noise import Noise
from instructrec.policies import Blank, greedy
from instructrec.protocols import Policy, Ranker
from instructrec.sessions import Outcome, Sessions, SessionState, World, observe, start, step

SAMPLES = 4
"""How many people's conversations stand in a report."""


@dataclass(frozen=True)
class ShownItem:
    """One item of a slate.

    Attributes:
        title: Its title.
        met: Whether it has what each of the turn's wishes asks for.
        clicked: Whether the person clicked it.
    """

    title: str
    met: tuple[bool, ...]
    clicked: bool


@dataclass(frozen=True)
class Turn:
    """One exchange.

    Attributes:
        instruction: What the person said.
        wishes: What it means, in the catalogue's words; empty where that is not known or nothing was asked for.
        slate_met: Whether the slate as a whole meets each wish; only wishes about the whole slate are ever False here.
        items: The slate, best first.
        reward: What the slate earned.
        ending: What happened then: ``stayed``, ``left`` or ``reached the turn limit``.
    """

    instruction: str
    wishes: tuple[str, ...]
    slate_met: tuple[bool, ...]
    items: tuple[ShownItem, ...]
    reward: float
    ending: str


@dataclass(frozen=True)
class Conversation:
    """One person's session with one agent.

    Attributes:
        agent: The agent's name.
        lane: Which person: the lane of the session.
        turns: What happened.
    """

    agent: str
    lane: int
    turns: tuple[Turn, ...]

    @classmethod
    def from_plain(cls, document: Mapping[str, Any]) -> Conversation:
        """Returns a conversation from what `instructrec.runs.plain` made of it."""
        turns = tuple(
            Turn(
                str(turn["instruction"]),
                tuple(turn["wishes"]),
                tuple(turn["slate_met"]),
                tuple(ShownItem(i["title"], tuple(i["met"]), i["clicked"]) for i in turn["items"]),
                float(turn["reward"]),
                str(turn["ending"]),
            )
            for turn in document["turns"]
        )
        return cls(str(document["agent"]), int(document["lane"]), turns)


def _bound(number: float, sign: str, toward: float) -> str:
    """Writes one end of a range; a bound one step past a round number was compiled from a strict comparison."""
    exact, before = np.float32(number), np.nextafter(np.float32(number), np.float32(toward))
    for value, mark in ((exact, sign), (before, sign.replace("≥", ">").replace("≤", "<"))):
        if np.float32(f"{value:.6g}") == value:
            return f"{mark} {value:.6g}"
    return f"{sign} {f'{number:.2f}'.rstrip('0').rstrip('.')}"


def describe(goals: Goals, row: int, place: int, catalogue: Catalogue) -> str:
    """Returns one compiled predicate in words, such as ``genre: Comedy or Drama`` or ``year 1990–1999``."""
    at, check = (row, place), Check(int(goals.check[row, place]))
    test = _test(catalogue, goals.column[at], goals.mask[at], goals.low[at], goals.high[at], bool(goals.negate[at]))
    if check is Check.SHARE:
        return f"at least {goals.share[at]:.0%} {test.partition(': ')[2]}"
    if check is Check.COUNT:
        least, most = goals.least[at], goals.most[at]
        return f"{f'at least {least}' if not most else least if least == most else f'{least}–{most}'} of {test}"
    if check is Check.GIVEN:
        given = (goals.given_column[at], goals.given_mask[at], goals.given_low[at], goals.given_high[at])
        return f"if {_test(catalogue, *given)}: {test}"
    return test


def _test(catalogue: Catalogue, column: int, mask: int, low: float, high: float, negate: bool = False) -> str:
    """Returns the test of one item in words."""
    name, tested = list(catalogue.columns.items())[int(column)]
    if mask:
        values = " or ".join(value for bit, value in enumerate(tested.values) if int(mask) >> bit & 1)
        return f"{name}: {'not ' if negate else ''}{values}"
    low, high = float(low), float(high)
    if np.isfinite(low) and np.isfinite(high):
        return f"{name} {low:.6g}–{high:.6g}"
    return f"{name} {_bound(low, '≥', -np.inf) if np.isfinite(low) else _bound(high, '≤', np.inf)}"


class Judged(NamedTuple):
    """What somebody asks for, and what of it a slate has.

    Attributes:
        wishes: The conditions in words.
        said: Whether each was said, [num_wishes].
        met: Whether each shown item has what each asks for, [num_wishes, num_shown].
        whole: Whether the slate as a whole meets each; True for conditions on single items, [num_wishes].
    """

    wishes: tuple[str, ...]
    said: Bools
    met: Bools
    whole: Bools


def judge(goals: Goals, row: int, shown: Ints, catalogue: Catalogue) -> Judged:
    """Returns what the person of a row asks for, said or not, and what of it the items ``shown`` [num_shown] have."""
    mine = take(goals, np.array([row]))
    places = np.flatnonzero((mine.check[0] != Check.NOTHING) & (mine.weight[0] > 0))
    met = satisfied(mine, catalogue, shown[None, :])
    whole = (share_met(mine, met) | ~mine.slate_level)[0, places]
    return Judged(
        tuple(describe(mine, 0, int(place), catalogue) for place in places), mine.said[0, places], met[0, places], whole
    )


def ending_of(outcome: Outcome, row: int) -> str:
    """Returns what happened after a slate: ``stayed``, ``left`` or ``reached the turn limit``."""
    return "left" if outcome.terminated[row] else "reached the turn limit" if outcome.truncated[row] else "stayed"


def _turn(world: World, before: SessionState, slates: np.ndarray[Any, Any], outcome: Outcome, row: int) -> Turn:
    goals, shown = before.instructions.goals, slates[row]
    titles = [world.catalogue.titles[item] for item in shown]
    wishes: tuple[str, ...] = ()
    met, whole = np.zeros((0, len(shown)), np.bool_), np.zeros(0, np.bool_)
    if goals is not None:
        judged = judge(goals, row, shown, world.catalogue)
        wishes = tuple(wish for wish, said in zip(judged.wishes, judged.said, strict=True) if said)
        met, whole = judged.met[judged.said], judged.whole[judged.said]
    return Turn(
        instruction=world.population.texts.strings(before.instructions.texts[row : row + 1])[0],
        wishes=wishes,
        slate_met=tuple(bool(value) for value in whole),
        items=tuple(
            ShownItem(title, tuple(bool(value) for value in met[:, place]), bool(outcome.reactions.clicked[row, place]))
            for place, title in enumerate(titles)
        ),
        reward=float(outcome.reward[row]),
        ending=ending_of(outcome, row),
    )


def converse(
    world: World, agent: str, policy: Policy, *, seed: int, lanes: Sequence[int], turns: int = 3
) -> list[Conversation]:
    """Lets some people talk with a policy and returns what was said and shown.

    Args:
        world: Where.
        agent: The name to put on it.
        policy: What chooses the slates.
        seed: The sessions' seed; the same seed and lanes give the same people with the same luck.
        lanes: Which people.
        turns: How many exchanges to keep at most.
    """
    state = start(world, Sessions.first(seed, np.asarray(lanes)))
    kept: list[list[Turn]] = [[] for _ in lanes]
    running = np.ones(len(lanes), np.bool_)
    for _ in range(min(turns, world.turn_limit)):
        slates = np.asarray(policy.act(observe(world, state), Noise(state.sessions.keys, state.turn)))
        after, outcome = step(world, state, slates)
        for row in np.flatnonzero(running):
            kept[row].append(_turn(world, state, slates, outcome, int(row)))
        state, running = after, running & ~outcome.done
    return [Conversation(agent, int(lane), tuple(rows)) for lane, rows in zip(lanes, kept, strict=True)]


def to_markdown(conversation: Conversation) -> str:
    """Returns a conversation as markdown: a table per turn, ✓ and ✗ per item and wish."""
    lines = [f"**{conversation.agent}** with person {conversation.lane}", ""]
    for number, turn in enumerate(conversation.turns, 1):
        lines += [f"**Turn {number}:** “{_escaped(turn.instruction) or '(nothing)'}”", ""]
        names = [_escaped(wish) for wish in turn.wishes]
        lines += ["| | title | " + " | ".join([*names, "clicked"]) + " |", "|---" * (len(names) + 3) + "|"]
        for place, item in enumerate(turn.items, 1):
            marks = ["✓" if met else "✗" for met in item.met]
            lines.append(
                f"| {place} | {_escaped(item.title)} | " + " | ".join([*marks, "●" if item.clicked else ""]) + " |"
            )
        clicks = sum(item.clicked for item in turn.items)
        lines += ["", f"{clicks} clicked, then the person {turn.ending}.", ""]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    for mark in "\\`*_{}[]<>#|":
        text = text.replace(mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark])
    return " ".join(text.split())


def sample(world: World, name: str, ranker: Ranker, *, seed: int, count: int = SAMPLES) -> list[Conversation]:
    """Returns conversations of a ranker and of the same one hearing nothing, with the same people."""
    lanes = list(range(count))
    heard = converse(world, name, greedy(ranker, world.slate_size), seed=seed, lanes=lanes)
    deaf = converse(world, f"{name}_blank", greedy(Blank(ranker), world.slate_size), seed=seed, lanes=lanes)
    return [talk for pair in zip(heard, deaf, strict=True) for talk in pair]
