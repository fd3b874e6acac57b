"""What changes in what an agent shows when the words change and nothing else: the person and the state stay the same.

``pmrr``: one predicate of the first request is edited; do items sink that became irrelevant? ``phrasing``: one request
in five sentences; how good is the worst? ``recovery``: somebody says what was wrong with a slate; does that get better,
and better than had they only asked for more? References that know goals are told of the edited goal instead.

References:
    Weller et al. (2024), FollowIR, arXiv 2403.15246 (p-MRR); Oh et al. (2024), InstructIR, arXiv 2402.14334 (robustness
    over *different* instructions; here over phrasings of one).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from instructrec import metrics
from instructrec.arrays import Bools, Floats, take
from instructrec.experiments.edits import Writer, predicates_of
from instructrec.experiments.evaluation import Competitor, Decide, arguments_of_scores, decider
from instructrec.experiments.totals import Totals
from instructrec.experiments.workshop import AbsentError
from instructrec.goals import Check, Goals, Operator, Predicate, compile_goals, satisfied
from instructrec.noise import Noise
from instructrec.policies import Greedy, PlackettLuce
from instructrec.sessions import Observation, Sessions, SessionState, World, observe, persons_of, start, step
from instructrec.splits import Splits
from instructrec.texts import free_text_id

PHRASINGS = 5
KINDS = ("include_turned", "exclude_turned", "bound_turned", "exclusion_added")
"""What an edit does: asks for the opposite of what was asked for, excluded or bounded; or excludes one thing more."""
_TRIES, _BATCH = 24, 128
Scores = Callable[[Observation, SessionState], Floats]


class Cases:
    """Sums and counts of cases per session, by metric.

    Args:
        size: How many sessions.
    """

    def __init__(self, size: int) -> None:
        self._sums: dict[str, npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(size))
        self._counts: dict[str, npt.NDArray[np.float64]] = defaultdict(lambda: np.zeros(size))

    def add(self, metric: str, rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        """Adds values of cases to their sessions; NaN is no case."""
        known = np.isfinite(values)
        np.add.at(self._sums[metric], rows[known], values[known])
        np.add.at(self._counts[metric], rows[known], 1)

    def totals(self, world: World, sessions: Sessions, person: npt.NDArray[np.int64]) -> Totals:
        """Returns the totals of all that was added."""
        values = {name: (self._sums[name], self._counts[name]) for name in self._sums if self._counts[name].any()}
        return Totals(world.name, world.fingerprint, world.catalogue.num_items, sessions, person, values)


def scorer_of(competitor: Competitor) -> Scores | None:
    """Returns how a competitor scores the whole catalogue; None for policies, which show slates and no more."""
    ranker: Any = competitor.ranker if isinstance(competitor, Greedy | PlackettLuce) else competitor
    given = arguments_of_scores(ranker)
    if given == 1:
        return lambda observation, state: ranker.scores(observation)
    return cast("Scores", ranker.scores) if given == 2 else None


def measure_edits(
    world: World, competitor_in: Callable[[World], Competitor], sessions: Sessions, splits: Splits
) -> dict[str, Totals]:
    """Measures what an agent makes of edited words.

    Args:
        world: Where; its goals are known.
        competitor_in: Returns who is measured there.
        sessions: Whom it meets.
        splits: Whose sentences are written.

    Raises:
        AbsentError: If goals are not known there, or it is a reference that cannot be told of another goal.
    """
    state = start(world, sessions)
    if state.instructions.goals is None:
        raise AbsentError(f"the goals of {world.name} are not known, so that nothing can be edited")
    if world.candidates is not None:
        raise AbsentError(f"{world.name} chooses candidates, so that there is no ranking of the whole catalogue")
    competitor = competitor_in(world)
    if hasattr(competitor, "population") and not _tells_goals(state):
        raise AbsentError(f"the oracle of {world.name} cannot be told of another goal")
    writer = Writer(world, splits)
    person = persons_of(world, state)
    parts = {
        "pmrr": _pmrr(world, competitor, state, writer),
        "phrasing": _phrasing(world, competitor, state, writer),
        "recovery": _recovery(world, competitor, sessions, writer),
    }
    return {name: cases.totals(world, sessions, person) for name, cases in parts.items()}


def _tells_goals(state: SessionState) -> bool:
    return isinstance(getattr(state.population, "goals", None), Goals)


def with_goals(state: SessionState, goals: Goals) -> SessionState:
    """Returns the state of people who want something else: for references, which look at goals and not at words."""
    after = replace(state, instructions=replace(state.instructions, goals=goals))
    if is_dataclass(state.population) and _tells_goals(state):
        after = replace(after, population=replace(cast("Any", state.population), goals=goals))
    return after


def _goals(state: SessionState) -> Goals:
    goals = state.instructions.goals
    assert goals is not None, "goals are known here"
    return goals


# --- One predicate edited --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """One predicate of one request changed, in sentences that are otherwise alike.

    Attributes:
        kind: One of `KINDS`.
        before: The request in a sentence.
        after: The edited one.
        place: Which place of the goal changes.
        predicate: What stands there then.
        dropped: Which items met the request and do not meet the edited one, [num_items].
    """

    kind: str
    before: str
    after: str
    place: int
    predicate: Predicate
    dropped: Bools


def edits_of(world: World, goals: Goals, said: str, writer: Writer) -> Iterator[Edit]:
    """Yields the edits of one request that words can say and that make some item irrelevant.

    Args:
        world: Where.
        goals: What is wanted, [1, num_predicates].
        said: How it was said; sentences are drawn from it, so that they do not hang on the order of calls.
        writer: Writes sentences.
    """
    asked = _asked(goals, world)
    if not asked:
        return
    seed = free_text_id(said)
    places, own = list(asked), list(asked.values())
    met = _meets(own, world)
    free = np.flatnonzero(goals.check[0] == Check.NOTHING)
    changes: list[tuple[str, int, Predicate, list[Predicate]]] = []
    for at, predicate in enumerate(own):
        other = writer.turned(predicate, np.random.default_rng([seed, 1]))
        if other is not None:
            turned = {Operator.INCLUDE: "include_turned", Operator.EXCLUDE: "exclude_turned"}
            changes.append(
                (turned.get(predicate.operator, "bound_turned"), places[at], other, [*own[:at], other, *own[at + 1 :]])
            )
    extra = _exclusion(own, met, world) if len(free) else None
    if extra is not None:
        changes.append(("exclusion_added", int(free[0]), extra, [*own, extra]))
    before = writer.realise(own, "opening", np.random.default_rng([seed, 2]))
    for kind, place, predicate, wanted in changes:
        after = writer.realise(wanted, "opening", np.random.default_rng([seed, 2]))
        dropped = met & ~_meets(wanted, world)
        if before and after and before != after and dropped.any():
            yield Edit(kind, before, after, place, predicate, dropped)


def _asked(goals: Goals, world: World) -> dict[int, Predicate]:
    """Returns what was said of items, by place; nothing where other things were said too."""
    said = goals.said[0] & (goals.check[0] != Check.NOTHING)
    plain = (goals.check[0] == Check.SET) | (goals.check[0] == Check.RANGE)
    if not said.any() or (said & ~plain).any() or not goals.feasible[0].all():
        return {}
    return dict(zip(np.flatnonzero(said).tolist(), predicates_of(goals, world.catalogue), strict=True))


def _meets(predicates: Sequence[Predicate], world: World) -> Bools:
    compiled = compile_goals([predicates], world.catalogue)
    return np.asarray(satisfied(compiled, world.catalogue, np.arange(world.catalogue.num_items))[0].all(axis=0))


def _exclusion(own: Sequence[Predicate], met: Bools, world: World) -> Predicate | None:
    """Returns the exclusion of the value that divides the items in question best, of the first attribute with any."""
    taken = {value for predicate in own for value in predicate.values}
    for column in world.catalogue.columns.values():
        if not column.is_set or not met.any():
            continue
        shares = column.indicators()[met].mean(axis=0)
        free = [place for place, value in enumerate(column.values) if value not in taken and 0 < shares[place] < 1]
        if free:
            value = column.values[min(free, key=lambda place: abs(shares[place] - 0.5))]
            return Predicate(field=column.name, operator=Operator.EXCLUDE, values=(value,))
    return None


def _pmrr(world: World, competitor: Competitor, state: SessionState, writer: Writer) -> Cases:
    cases, scores = Cases(len(state.turn)), scorer_of(competitor)
    if scores is None:
        return cases
    said = world.population.texts.strings(state.instructions.texts)
    by_kind: dict[str, list[tuple[int, Edit]]] = defaultdict(list)
    for row, text in enumerate(said):
        for edit in edits_of(world, take(_goals(state), np.array([row])), text, writer):
            by_kind[edit.kind].append((row, edit))
    for kind, found in by_kind.items():
        for begin in range(0, len(found), _BATCH):
            rows = np.array([row for row, _ in found[begin : begin + _BATCH]])
            edits = [edit for _, edit in found[begin : begin + _BATCH]]
            here = take(state, rows)
            ranks = []
            for texts, goals in (
                ([edit.before for edit in edits], _goals(here)),
                ([edit.after for edit in edits], _edited(_goals(here), edits, world)),
            ):
                observation = observe(world, here).saying(world.population.texts.ids(texts))
                ranks.append(metrics.ranks_of(scores(observation, with_goals(here, goals))))
            values = metrics.pmrr(ranks[0], ranks[1], np.stack([edit.dropped for edit in edits]))
            for name in ("pmrr", f"pmrr_{kind}"):
                cases.add(name, rows, values)
    return cases


def _edited(goals: Goals, edits: Sequence[Edit], world: World) -> Goals:
    """Returns the goals with one place of each replaced."""
    new = compile_goals([[edit.predicate] for edit in edits], world.catalogue, 1)
    places = np.array([edit.place for edit in edits])
    return _put(goals, np.arange(len(edits)), places, new)


def _put(goals: Goals, rows: npt.NDArray[Any], places: npt.NDArray[Any], new: Goals) -> Goals:
    changed = {}
    for part in fields(goals):
        array = getattr(goals, part.name).copy()
        array[rows, places] = getattr(new, part.name)[:, 0]
        changed[part.name] = array
    return replace(goals, **changed)


# --- One request in several sentences --------------------------------------------------------------------------------


def phrasings_of(world: World, goals: Goals, said: str, writer: Writer) -> list[str]:
    """Returns sentences that say the same as one that was said, itself first; `PHRASINGS`, or fewer where words end."""
    asked = list(_asked(goals, world).values())
    found = {said: None}
    for luck in range(_TRIES if asked else 0):
        if len(found) == PHRASINGS:
            break
        text = writer.realise(asked, "opening", np.random.default_rng([free_text_id(said), 3, luck]))
        found |= {text: None} if text else {}
    return list(found)


def _phrasing(world: World, competitor: Competitor, state: SessionState, writer: Writer) -> Cases:
    cases, decide = Cases(len(state.turn)), decider(world, competitor)
    said = world.population.texts.strings(state.instructions.texts)
    sentences = [
        phrasings_of(world, take(_goals(state), np.array([row])), text, writer) for row, text in enumerate(said)
    ]
    every = np.array([row for row, texts in enumerate(sentences) if len(texts) == PHRASINGS], np.int64)
    for begin in range(0, len(every), _BATCH):
        rows = every[begin : begin + _BATCH]
        here = take(state, rows)
        gains = metrics.goal_shares(_goals(here), world.catalogue, said_only=True)
        quality = []
        for place in range(PHRASINGS):
            texts = world.population.texts.ids([sentences[row][place] for row in rows])
            slates = decide(observe(world, here).saying(texts), here, Noise(here.sessions.keys, here.turn))
            quality.append(metrics.ndcg(np.take_along_axis(gains, slates, axis=1), gains, world.slate_size))
        least, share = metrics.phrasing_robustness(np.stack(quality, axis=1))
        cases.add("phrasing_min", rows, least)
        cases.add("phrasing_mean", rows, np.mean(quality, axis=0))
        cases.add("phrasing_share", rows, share)
    return cases


# --- What was wrong with a slate -------------------------------------------------------------------------------------


def _recovery(world: World, competitor: Competitor, sessions: Sessions, writer: Writer) -> Cases:
    """Plays sessions; wherever somebody criticises, tries what would be shown had they only asked for more."""
    cases, decide = Cases(len(sessions.lane)), decider(world, competitor)
    neutral = int(world.population.texts.ids([writer.realise((), "more", np.random.default_rng(0))])[0])
    for begin in range(0, len(sessions.lane), _BATCH):
        rows = np.arange(begin, min(begin + _BATCH, len(sessions.lane)))
        state = start(world, take(sessions, rows))
        before: Goals | None = None
        while len(rows):
            slates = np.asarray(decide(observe(world, state), state, Noise(state.sessions.keys, state.turn)), np.int32)
            if before is not None and int(state.turn[0]) < world.turn_limit - 1:
                _criticised(world, decide, state, before, slates, neutral, rows, cases)
            before = _goals(state)
            state, outcome = step(world, state, slates)
            running = ~outcome.done
            rows, state, before = rows[running], take(state, running), take(before, running)
    return cases


def critiques(before: Goals, now: Goals) -> tuple[Bools, Bools]:
    """Returns what was newly said, and what was said before and stands, both [batch, num_predicates].

    Nothing is newly said where something that was said is gone: then it is another request.
    """
    said, was = now.said & (now.check != Check.NOTHING), before.said & (before.check != Check.NOTHING)
    same = np.ones(said.shape, np.bool_)
    for part in fields(now):
        if part.name not in ("said", "feasible", "weight", "hard"):
            same &= getattr(now, part.name) == getattr(before, part.name)
    new, kept = said & ~(was & same), said & was & same
    one_more = (was & ~said).any(axis=1) | ~((said & ~was).any(axis=1) | kept.any(axis=1))
    return new & ~one_more[:, None], kept


def _only(goals: Goals, places: Bools) -> Goals:
    """Returns goals of which some places are left, as said."""
    return replace(
        goals,
        check=np.where(places, goals.check, 0).astype(np.int8),
        weight=np.where(places, goals.weight, 0).astype(np.float32),
        said=places,
    )


def _csr(world: World, goals: Goals, places: Bools, slates: npt.NDArray[np.int32]) -> Floats:
    left = _only(goals, places)
    return metrics.csr(left, satisfied(left, world.catalogue, slates))


def _criticised(
    world: World,
    decide: Decide,
    state: SessionState,
    before: Goals,
    slates: npt.NDArray[np.int32],
    neutral: int,
    rows: npt.NDArray[np.int64],
    cases: Cases,
) -> None:
    """Adds the cases among sessions that stand at one turn, of which the slates to be shown are known."""
    new, kept = critiques(before, _goals(state))
    at = np.flatnonzero(new.any(axis=1))
    if not len(at):
        return
    here, rows, new, kept = take(state, at), rows[at], new[at], kept[at]
    goals, turn = _goals(here), int(here.turn[0])
    last = here.slates[:, turn - 1]
    stood = _csr(world, goals, new, last)
    unsaid = with_goals(here, _reverted(goals, take(before, at), new))
    observation = observe(world, here)
    silent = np.full(len(at), neutral, np.int64)
    luck = Noise(here.sessions.keys, here.turn)
    first = {"heard": slates[at], "unheard": np.asarray(decide(observation.saying(silent), unsaid, luck), np.int32)}
    rose: dict[str, Bools] = {}
    for name, shown in first.items():
        after, _ = step(world, here, shown)
        heard = here.instructions.texts if name == "heard" else silent
        said = after.said.copy()
        said[:, turn] = heard
        # Whoever is told goals is told the same ones still; whoever listens hears nothing new.
        told = with_goals(after, goals if name == "heard" else _goals(unsaid))
        luck = Noise(after.sessions.keys, after.turn)
        second = np.asarray(decide(observe(world, after).saying(silent, said), told, luck), np.int32)
        found = np.stack([_csr(world, goals, new, each) for each in (shown, second)], axis=1)
        rose[name] = metrics.rises_within(stood, found)
    known = np.isfinite(stood)
    for within in (1, 2):
        heard, unheard = (np.where(known, rose[name][:, within - 1].astype(float), np.nan) for name in first)
        cases.add(f"rises_{within}", rows, heard)
        cases.add(f"rises_anyway_{within}", rows, unheard)
        cases.add(f"recovery_gap_{within}", rows, heard - unheard)
    cases.add("earlier_before", rows, _csr(world, goals, kept, last))
    cases.add("earlier_after", rows, _csr(world, goals, kept, first["heard"]))


def _reverted(goals: Goals, before: Goals, new: Bools) -> Goals:
    """Returns goals as they were before something was newly said."""
    return replace(
        goals,
        **{
            part.name: np.where(new, getattr(before, part.name), getattr(goals, part.name)).astype(
                getattr(goals, part.name).dtype
            )
            for part in fields(goals)
        },
    )
