"""Evaluating and picking policies offline: from a log's folder and names to estimates, a decision and words.

A policy is typed as NAME or NAME=RUN, with @T behind it for its own temperature: ``popularity@0.5``,
``slate_ppo=runs/demo@0.3``. On a log that was imported there is no world to ask agents in; policies are then what
`instructrec.envs.target_policies` reads: ``random``, ``NAME=FILE``, ``NAME=LOG``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from instructrec import runs
from instructrec.arrays import Floats, take
from instructrec.envs.target_policies import target_log_probs
from instructrec.estimates import Assumes, Choice, OffPolicyEstimate, Term, reach_of, summarise
from instructrec.experiments.competitors import check_names, references, untrained
from instructrec.experiments.evaluation import returns_of
from instructrec.experiments.log_sessions import DRAWN, UNIFORM, Agent, agent_of, world_of_log
from instructrec.experiments.progress import Narrator
from instructrec.log_files import DiskLog, open_log
from instructrec.off_policy import LOGGED, Evaluations, check_evaluable, evaluate_chances, evaluate_policies
from instructrec.policies import plackett_luce
from instructrec.protocols import Policy
from instructrec.runs import RunConfig
from instructrec.sessions import Observation, Sessions, World

TRUTH_SESSIONS = 2_000
"""How many fresh sessions the truth is measured on, unless asked otherwise."""

ORACLE_SESSIONS = 20_000
"""How many of them the oracle plays at most: it weighs every item, and only measures the errors of the others."""

LEARNED_HERE = "it was learned from this very log, whose luck is in both: evaluate it on another log"

TOGETHER = 256
"""How many of them are played at a time."""


@dataclass(frozen=True)
class Target:
    """A policy as it was typed.

    Attributes:
        typed: As it was typed.
        agent: NAME or NAME=RUN.
        temperature: Its own; None where none was typed.
    """

    typed: str
    agent: str
    temperature: float | None

    @classmethod
    def read(cls, typed: str) -> Target:
        """Reads NAME, NAME=RUN, NAME@T or NAME=RUN@T.

        Raises:
            ValueError: If the agent is unknown, or the temperature is not a number above 0.
        """
        agent, mark, number = typed.rpartition("@")
        try:
            temperature = float(number) if mark else None
        except ValueError:
            # A folder may be called so.
            agent, temperature = typed, None
            if "=" not in typed:
                raise ValueError(f"{typed!r}: behind @ stands a temperature, such as popularity@0.5") from None
        if temperature is not None and not 0 < temperature < math.inf:
            raise ValueError(f"{typed!r}: a temperature is above 0 and finite; 0.5 shows the best items more often")
        agent = agent if temperature is not None else typed
        check_names([agent.partition("=")[0]])
        return cls(typed, agent, temperature)

    def learned_from(self, log: DiskLog) -> bool:
        """Returns whether it is a run that was learned from this log, or begun with such a one."""
        run = self.agent.partition("=")[2]
        return bool(run) and RunConfig.read(run).agent_settings.get("log") == log.fingerprint


@dataclass(frozen=True)
class Even:
    """Finds every item as good: what shows any slate with the same probability, as a ranker."""

    num_items: int

    def scores(self, observation: Observation) -> Floats:
        """Returns zeros, [batch, num_candidates]."""
        size = self.num_items if observation.candidates is None else observation.candidates.shape[1]
        return np.zeros((observation.batch, size), np.float32)


class Cast:
    """The policies of a world, each agent made once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._agents: dict[str, Agent] = {}
        self._even = Even(world.catalogue.num_items)

    def policy(self, agent: str, temperature: float) -> tuple[Policy, str]:
        """Returns a policy and its fingerprint."""
        if agent not in self._agents:
            self._agents[agent] = agent_of(agent, self.world)
        made, described = self._agents[agent].policy(self.world, temperature=temperature)
        # Chance as a ranker gets every estimator, and has the same probabilities.
        even = described.draws == UNIFORM
        return (plackett_luce(self._even, self.world.slate_size) if even else made), described.fingerprint

    def of(self, target: Target, temperature: float) -> Policy:
        """Returns a target, at its own temperature or else this."""
        even = target.agent == "random"
        return self.policy(target.agent, target.temperature or (1.0 if even else temperature))[0]

    def that_logged(self, log: DiskLog, targets: Sequence[Target]) -> Policy | None:
        """Returns the policy that logged, where its name or a run that was typed leads to it."""
        logged = log.plan.policy
        if logged.draws not in (DRAWN, UNIFORM):
            return None
        named = [target.agent for target in targets if target.agent.partition("=")[0] == logged.name]
        for agent in dict.fromkeys([*named, logged.name]):
            try:
                policy, fingerprint = self.policy(agent, logged.temperature or 1.0)
            except ValueError:  # It was trained, and its run is not among those typed.
                continue
            if fingerprint == logged.fingerprint:
                return policy
        return None


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a log.

    Attributes:
        policies: As they were typed.
        temperature: Of those that have none of their own.
        slates: Whether turns are read one by one; None for what the world suggests.
        same_people: Whether intervals are of these people again, and not of others like them.
        truth: Whether the truth is measured, too.
        truth_sessions: On how many fresh sessions.
        population: The place of the log's people where they are code of yours.
    """

    policies: tuple[str, ...]
    temperature: float = 1.0
    slates: bool | None = None
    same_people: bool = False
    truth: bool = False
    truth_sessions: int = TRUTH_SESSIONS
    population: str = ""


def ope(folder: Path, question: Question, narrator: Narrator) -> dict[str, Any]:
    """Evaluates policies on a log.

    Args:
        folder: The log's.
        question: What is asked of it.
        narrator: Is told what is happening.

    Returns:
        ``estimates``: one entry for each policy and estimator; ``policies``: the chosen estimate of each, in words,
        with its gain over the policy that logged; and what the log is.

    Raises:
        ImportError: If pyarrow is not installed.
        RunError: If the log is damaged, empty, deterministic, or of another world than can be made; a run is none.
        ValueError: If a policy is unknown or has to be trained, or the truth of slates is asked for where a session has
            several, or that of a log that was imported.
    """
    log = open_log(folder)
    check_evaluable(log)
    if log.plan.world.imported:
        return _of_imported(log, question, narrator)
    targets = [Target.read(typed) for typed in dict.fromkeys(question.policies)]
    logged = log.plan.world
    if question.truth and question.slates and logged.turn_limit > 1:
        raise ValueError(
            "the truth of single slates would need the very states that the logging policy led to: leave out --slates "
            "to compare sessions, or --truth"
        )
    world = world_of_log(log, population=question.population)
    who = Cast(world)
    policies = {target.typed: who.of(target, question.temperature) for target in targets}
    logged_by = who.that_logged(log, targets)
    learned_here = [target.typed for target in targets if target.learned_from(log)]
    with narrator.task(f"Evaluating {len(policies)} polic{'y' if len(policies) == 1 else 'ies'} on the log") as advance:
        found = evaluate_policies(
            log,
            world,
            policies,
            slates=question.slates,
            same_people=question.same_people,
            logged_by=logged_by,
            progress=lambda done: advance(done, ""),
        )
    distrusted = {name: found.policies[name].distrusted(LEARNED_HERE) for name in learned_here}
    found = replace(found, policies={**found.policies, **distrusted})
    truth: dict[str, Any] = {}
    if question.truth:
        everyone = policies | ({} if logged_by is None else {LOGGED: logged_by})
        seed = log.plan.seed + 1
        real = truth_of(world, everyone, Sessions.first(seed, question.truth_sessions), narrator)
        truth = {
            "sessions": question.truth_sessions,
            "seed": seed,
            "oracle": real.oracle,
            "random": real.random,
            "span": real.span,
            "policies": {name: _ends(one) for name, one in real.policies.items()},
        }
    return _document(log, found, question, truth)


def _of_imported(log: DiskLog, question: Question, narrator: Narrator) -> dict[str, Any]:
    """Evaluates policies on a log without a world, by their probabilities alone."""
    if question.truth:
        raise ValueError(
            f"{log.folder} was imported, and there is no world to play policies in: leave out --truth; what a policy "
            "truly earns is the mean of a log of its own"
        )
    with narrator.task("Reading what the policies would have shown"):
        turns = log.read()
        chances = {typed: target_log_probs(typed, log, turns) for typed in dict.fromkeys(question.policies)}
    found = evaluate_chances(log, chances, slates=question.slates, same_people=question.same_people)
    return _document(log, found, question, {})


def truth_of(world: World, policies: Mapping[str, Policy], sessions: Sessions, narrator: Narrator) -> Truth:
    """Plays policies, the oracle and chance in the world itself, all in the same sessions (the oracle in fewer).

    The people are those of the log, so that sessions, not people, are what chance draws.
    """
    chance, best = untrained(["random"], world)["random"], references(["oracle"], world, lambda: world, narrator)
    names, count = [*policies, ""], len(sessions.lane)
    earned = np.zeros((len(names), count))
    bound = np.zeros(min(count, ORACLE_SESSIONS))
    with narrator.task(f"Playing {len(policies)} policies in {count:,} fresh sessions") as advance:
        for begin in range(0, count, TOGETHER):  # All meet the same few people in turn: words are understood once.
            part = np.arange(begin, min(begin + TOGETHER, count))
            earned[:, part] = returns_of(world, [*policies.values(), chance], take(sessions, part))
            part = part[part < len(bound)]
            if best and len(part):
                bound[part] = returns_of(world, [best["oracle"]], take(sessions, part))[0]
            advance(min(begin + TOGETHER, count) / count, "")
    found = {
        name: summarise(name, iter([Term(row)]), assumes=Assumes.NOTHING)
        for name, row in zip(names, earned, strict=True)
    }
    random = found.pop("").value
    return Truth(found, float(bound.mean()) if best else None, random)


@dataclass(frozen=True)
class Truth:
    """What policies earn on fresh sessions, with what bounds them.

    Attributes:
        policies: By name.
        oracle: What the oracle earns; None where the world has none.
        random: What chance earns.
    """

    policies: Mapping[str, OffPolicyEstimate]
    oracle: float | None
    random: float

    @property
    def span(self) -> float | None:
        """V_oracle - V_random, in which errors are counted; None where it is not above 0."""
        return None if self.oracle is None or not self.oracle > self.random else self.oracle - self.random


def _ends(one: OffPolicyEstimate) -> dict[str, float]:
    return {"value": one.value, "low": one.low, "high": one.high}


def _document(log: DiskLog, found: Evaluations, question: Question, truth: Mapping[str, Any]) -> dict[str, Any]:
    rows, policies = [], []
    for name, choice in found.policies.items():
        real = truth.get("policies", {}).get(name)
        for place, one in enumerate(choice.estimates):
            row: dict[str, Any] = {
                "policy": name,
                "estimator": one.estimator,
                **_ends(one),
                "ess": one.ess,
                "max_weight": one.max_weight,
                "unsupported": one.unsupported,
                "trusted": one.trusted,
                "chosen": place == choice.place,
            }
            rows.append(row | (_against(one, real, truth["span"]) if truth else {}))
        gain, error = found.gain(name)
        reach = reach_of(error, found.logged.units)
        chosen = next(row for row in rows if row["policy"] == name and row["chosen"])
        policies.append(
            {
                **{key: value for key, value in chosen.items() if key != "chosen"},
                "why": _why(choice),
                "choice": choice.why,
                "gain": {"value": gain, "low": gain - reach, "high": gain + reach, "error": error},
            }
            | ({} if real is None else {"truth_low": real["low"], "truth_high": real["high"]})
        )
        if real is not None:
            policies[-1]["covered"] = bool(chosen["low"] <= real["value"] <= chosen["high"])
    plan = log.plan
    return {
        "log": log.folder,
        "world": {"id": plan.world.id, "settings": plan.world.settings, "split": plan.world.split,
                  "fingerprint": plan.world.fingerprint},
        "behaviour": {**runs.plain(plan.policy), **_ends(found.logged)},
        "reading": found.reading,
        "turns": found.turns,
        "sessions": found.sessions,
        "people": found.people,
        "same_people": found.same_people,
        "units": found.logged.units,
        "whole": log.is_whole,
        "temperature": question.temperature,
        "truth": {key: value for key, value in truth.items() if key != "policies"} or None,
        "notes": list(found.notes),
        "policies": policies,
        "estimates": rows,
    }  # fmt: skip


def _why(choice: Choice) -> str:
    """Returns why the chosen estimate is trusted or not; of a model, also what keeps the log from checking it."""
    chosen = choice.chosen
    weighted = [one for one in choice.estimates if one.assumes == Assumes.NOTHING and not math.isnan(one.ess)]
    if chosen.trusted or not math.isnan(chosen.ess) or not weighted:
        return chosen.why
    best = max(weighted, key=lambda one: one.ess)
    return f"it is a model's word alone, since of weighting ({best.estimator}): {best.why}"


def _against(one: OffPolicyEstimate, real: Mapping[str, float] | None, span: float | None) -> dict[str, Any]:
    if real is None:
        return {"truth": None, "relative_error": None}
    return {"truth": real["value"], "relative_error": None if span is None else (one.value - real["value"]) / span}


def select(folder: Path, question: Question, narrator: Narrator) -> dict[str, Any]:
    """Ranks policies on a log and says which to deploy.

    The rule: of the policies whose chosen estimate is trusted, the one with the highest lower end of its gain over the
    policy that logged, if that is above 0; else the one that logged stays. Gains are paired, person by person (session
    by session where the same people are meant); their intervals hold for all policies at once (Bonferroni), since the
    best of many estimates is likely a lucky one.

    Args:
        folder: As for `ope`.
        question: As for `ope`.
        narrator: As for `ope`.

    Returns:
        What `ope` does, with ``ranking``, ``selected`` (a policy, or `LOGGED`), ``why``, ``rule``, and with the truth
        ``regret``: what the best of them earns beyond the selected one.
    """
    document = ope(folder, question, narrator)
    about = {one["policy"]: one for one in document["policies"] if one["policy"] != LOGGED}
    gains = {name: (one["gain"]["value"], one["gain"]["error"], one["trusted"]) for name, one in about.items()}
    level, order = ranked(gains, document["units"])
    keys = ("policy", "estimator", "value", "low", "high", "trusted", "why", "truth")
    ranking = [
        {key: about[name][key] for key in keys if key in about[name]}
        | {"gain": {"value": gains[name][0], "low": low, "high": high}}
        for name, low, high in order
    ]
    selected = picked(gains, document["units"])
    best = ranking[0] if ranking else None
    if best is None or not best["trusted"]:
        why = "no other policy has an estimate that can be trusted"
    elif not best["gain"]["low"] > 0:
        why = f"{best['policy']} is the best of those that can be trusted, and may still earn less"
    else:
        why = f"it gains between {best['gain']['low']:.3g} and {best['gain']['high']:.3g} over the policy that logged"
    found: dict[str, Any] = {
        "selected": selected,
        "why": why,
        "rule": "the highest lower end of the gain over the policy that logged, among trusted estimates, if above 0",
        "level": level,
        "ranking": ranking,
    }
    if question.truth:
        found |= _regret(document, selected)
    return found | document


def ranked(gains: Mapping[str, tuple[float, float, bool]], units: int) -> tuple[float, list[tuple[str, float, float]]]:
    """Returns the level of each interval that makes them hold together, and policies with the ends of theirs.

    Trusted ones come first, and the higher the lower end, the earlier.

    Args:
        gains: Of each policy the estimated gain over the one that logged, its standard error, whether it is trusted.
        units: How many people, or sessions, intervals are made of.
    """
    level = 1 - 0.05 / max(len(gains), 1)
    reaches = {name: reach_of(error, units, level) for name, (_, error, _) in gains.items()}
    found = [(name, gain - reaches[name], gain + reaches[name]) for name, (gain, *_) in gains.items()]
    return level, sorted(found, key=lambda one: (not gains[one[0]][2], -_number(one[1])))


def picked(gains: Mapping[str, tuple[float, float, bool]], units: int) -> str:
    """Returns the policy that the rule of `select` picks, or `LOGGED`; arguments are those of `ranked`."""
    _, order = ranked(gains, units)
    return order[0][0] if order and gains[order[0][0]][2] and order[0][1] > 0 else LOGGED


def _number(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _regret(document: Mapping[str, Any], selected: str) -> dict[str, Any]:
    real = {one["policy"]: one["truth"] for one in document["policies"] if one["truth"] is not None}
    if selected not in real:
        return {"regret": None, "relative_regret": None, "best": None}
    best = max(real, key=lambda name: real[name])
    regret, span = real[best] - real[selected], document["truth"]["span"]
    return {"regret": regret, "relative_regret": None if span is None else regret / span, "best": best}
