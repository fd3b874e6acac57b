"""Sessions turn by turn, told from both sides: what was said and shown, and what was hidden from the agent.

Every agent meets the same people with the same luck. What a world's people do not have (a goal, satisfaction, trust) is
absent, never zero.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instructrec import runs
from instructrec.agents.explanations import Explanation, explain
from instructrec.agents.slate_policy import SlateRanker
from instructrec.arrays import Floats, take
from instructrec.experiments.competitors import split_name, world_of
from instructrec.experiments.conversations import ending_of, judge
from instructrec.experiments.evaluation import Competitor, decider
from instructrec.experiments.headline import FLAGSHIP
from instructrec.experiments.outputs import check_place, command_line, versions
from instructrec.experiments.progress import Advance, Narrator, silent
from instructrec.experiments.trainers import before_learning, trained_ranker
from instructrec.experiments.twins import competitor_named
from instructrec.noise import Noise
from instructrec.policies import Blank
from instructrec.sessions import Outcome, Sessions, SessionState, World, observe, start, step

MOST_AGENTS = 3
"""How many agents stand side by side at most."""
_TEXTS = 128
"""How many texts to read for an explanation: a page holds dozens of slates."""


@dataclass(frozen=True)
class Wish:
    """One condition of what somebody has in mind.

    Attributes:
        words: The condition, in the catalogue's words.
        said: Whether the person has said it by this turn.
        whole: Whether the slate as a whole meets it; True for conditions on single items.
    """

    words: str
    said: bool
    whole: bool


@dataclass(frozen=True)
class Shown:
    """One item of a slate.

    Attributes:
        title: Its title.
        met: Whether it has what each of the turn's wishes asks for.
        clicked: Whether the person clicked it.
        consumed: Whether the person consumed it.
        examined: Whether the person looked at it; None where that is not known.
        unsuitable: Whether it must never be shown to this person.
        why: What its score is made of; None where the agent does not say.
    """

    title: str
    met: tuple[bool, ...]
    clicked: bool
    consumed: bool
    examined: bool | None
    unsuitable: bool
    why: Explanation | None


@dataclass(frozen=True)
class ReplayTurn:
    """One exchange.

    Attributes:
        instruction: What the person said; empty for silence.
        wishes: What the person has in mind; None where that is not known.
        items: The slate, best first.
        reward: What the slate earned.
        satisfaction: After the slate, 0 to 1; None where these people have none.
        trust: The same.
        ending: What happened then: ``stayed``, ``left`` or ``reached the turn limit``.
    """

    instruction: str
    wishes: tuple[Wish, ...] | None
    items: tuple[Shown, ...]
    reward: float
    satisfaction: float | None
    trust: float | None
    ending: str


@dataclass(frozen=True)
class Replay:
    """One person's session with one agent.

    Attributes:
        agent: The agent's name.
        lane: Which person: the lane of the session.
        turns: What happened.
    """

    agent: str
    lane: int
    turns: tuple[ReplayTurn, ...]

    @property
    def points(self) -> float:
        """The session's return."""
        return sum(turn.reward for turn in self.turns)


def replay_sessions(
    world: World,
    agent: str,
    competitor: Competitor,
    sessions: Sessions,
    *,
    explained: bool = True,
    advance: Advance = silent,
) -> list[Replay]:
    """Plays sessions to their end and returns what happened, one replay per session.

    Args:
        world: Where.
        agent: The agent's name.
        competitor: Who chooses the slates.
        sessions: Who is met.
        explained: Whether to have SlatePPO say why it shows each item.
        advance: Is told how far it has come.
    """
    decide, state = decider(world, competitor), start(world, sessions)
    rows, kept = np.arange(len(sessions.lane)), [list[ReplayTurn]() for _ in sessions.lane]
    while len(rows):
        observation = observe(world, state)
        slates = np.asarray(decide(observation, state, Noise(state.sessions.keys, state.turn)))
        why: list[list[Explanation]] = []
        if explained and isinstance(competitor, SlateRanker):
            for row in range(len(rows)):
                one = slice(row, row + 1)
                why += explain(competitor, observation.rows(one), slates[one], texts=_TEXTS)
                advance((int(state.turn[0]) + (row + 1) / len(rows)) / world.turn_limit, "")
        after, outcome = step(world, state, slates)
        for place, row in enumerate(rows.tolist()):
            kept[row].append(_turn(world, state, slates[place], outcome, place, why[place] if why else None))
        rows, state = rows[~outcome.done], take(after, ~outcome.done)
        advance(1 - len(rows) / len(kept) * (1 - int(after.turn[0]) / world.turn_limit), "")
    return [Replay(agent, int(lane), tuple(turns)) for lane, turns in zip(sessions.lane, kept, strict=True)]


def _turn(
    world: World,
    before: SessionState,
    shown: Any,
    outcome: Outcome,
    row: int,
    why: Sequence[Explanation] | None,
) -> ReplayTurn:
    goals, reactions = before.instructions.goals, outcome.reactions
    wishes, met = None, np.zeros((0, len(shown)), np.bool_)
    if goals is not None:
        judged = judge(goals, row, shown, world.catalogue)
        met = judged.met
        wishes = tuple(
            Wish(words, bool(said), bool(whole))
            for words, said, whole in zip(judged.wishes, judged.said, judged.whole, strict=True)
        )
    items = tuple(
        Shown(
            title=world.catalogue.titles[item],
            met=tuple(met[:, place].tolist()),
            clicked=bool(reactions.clicked[row, place]),
            consumed=bool(reactions.consumed[row, place]),
            examined=None if reactions.examined is None else bool(reactions.examined[row, place]),
            unsuitable=reactions.unsuitable is not None and bool(reactions.unsuitable[row, place]),
            why=None if why is None else why[place],
        )
        for place, item in enumerate(shown.tolist())
    )
    return ReplayTurn(
        instruction=world.population.texts.strings(before.instructions.texts[row : row + 1])[0],
        wishes=wishes,
        items=items,
        reward=float(outcome.reward[row]),
        satisfaction=_known(reactions.satisfaction, row),
        trust=_known(reactions.trust, row),
        ending=ending_of(outcome, row),
    )


def _known(values: Floats | None, row: int) -> float | None:
    return None if values is None else float(values[row])


def replay(
    world_id: str,
    names: Sequence[str],
    *,
    out: str | os.PathLike[str],
    people: int = 4,
    lanes: Sequence[int] = (),
    world_settings: Mapping[str, Any] | None = None,
    seed: int = 1,
    final: bool = False,
    narrator: Narrator,
) -> dict[str, Any]:
    """Plays some people with one agent or several, and writes a page that shows them turn by turn.

    Args:
        world_id: The world.
        names: Agents by name, or as NAME=RUN with a run folder. Beside ``slate_ppo=RUN``, ``slate_ppo_blank`` is the
            same agent hearing nothing, and ``slate_ppo_start`` the same before it met anybody.
        out: The page.
        people: How many people, from lane 0 on.
        lanes: Which people instead, by lane.
        world_settings: The world's settings.
        seed: The sessions' seed.
        final: Whether to read the test split.
        narrator: Is told what is happening.

    Returns:
        ``world``, ``fingerprint``, ``split``, ``seed``, ``agents``, ``page``, and ``sessions``: all that the page
        shows, one entry per person and agent.

    Raises:
        ValueError: If an agent is unknown, named twice or has to be trained first, there are none or too many, or the
            page cannot be written there.
        RunError: If a run is none, or was trained on other items.
    """
    from instructrec.experiments.replay_page import ReplayPage, render_replay

    page, settings = Path(out), dict(world_settings or {})
    check_place(page)
    if page.is_dir():
        raise ValueError(f"{page} is a folder; give the name of a file, such as {page / 'replay.html'}")
    met = Sessions.first(seed, np.array(list(dict.fromkeys(lanes)) or range(people)))
    world = world_of(world_id, settings, split_name(final))
    agents = _competitors(names, world, world_id, settings, narrator)
    told: list[Replay] = []
    for name, competitor in agents.items():
        with narrator.task(f"Playing {len(met.lane)} people with {name}") as advance:
            told += replay_sessions(world, name, competitor, met, advance=advance)
    document = {
        "world": world_id,
        "fingerprint": world.fingerprint,
        "split": split_name(final),
        "seed": seed,
        "agents": list(agents),
        "page": page,
        "sessions": told,
    }
    made = ReplayPage(results=document, replays=told, command=command_line(), versions=versions())
    runs.write_text(page, render_replay(made))
    narrator.say(f"The page is {page}.")
    return document


def _competitors(
    names: Sequence[str], world: World, world_id: str, settings: dict[str, Any], narrator: Narrator
) -> dict[str, Competitor]:
    if not 1 <= len(names) <= MOST_AGENTS:
        raise ValueError(
            f"a page shows 1 to {MOST_AGENTS} agents side by side, got {len(names)}; name them as in "
            "--agents parser,slate_ppo=runs/demo"
        )
    called = [name.partition("=")[0] for name in names]
    if len(set(called)) < len(called):
        raise ValueError(f"two agents have one name in {','.join(called)}; give each run a name of its own")
    folders = {name: folder for name, mark, folder in (entry.partition("=") for entry in names) if mark}
    trained = {name: trained_ranker(folder, world)[0] for name, folder in folders.items()}
    found: dict[str, Competitor] = {}
    for name in called:
        base, _, way = name.rpartition("_")
        if name in trained:
            found[name] = trained[name]
        elif base == FLAGSHIP and base in trained and way == "blank":
            found[name] = Blank(trained[base])
        elif base == FLAGSHIP and isinstance(ranker := trained.get(base), SlateRanker) and way == "start":
            found[name] = before_learning(ranker)
        else:
            found[name] = competitor_named(name, world, world_id, settings, narrator)
    return found


def to_text(document: Mapping[str, Any]) -> str:
    """Returns what was played as a few lines, at most 80 columns."""
    told: Sequence[Replay] = document["sessions"]
    lines = []
    for lane in dict.fromkeys(each.lane for each in told):
        lines.append(f"Person {lane}")
        for each in (each for each in told if each.lane == lane):
            slates = f"{len(each.turns)} slate{'' if len(each.turns) == 1 else 's'}"
            lines.append(f"  {each.agent[:24]:<24} {each.points:7.2f} in {slates}, then {each.turns[-1].ending}")
    return "\n".join([*lines, "", f"Open it in a browser: {document['page']}"])
