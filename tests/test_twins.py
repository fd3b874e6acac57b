"""Twins are the same people with the same luck, and differ by the one change that was asked for."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from instructrec.agents.baselines import baselines
from instructrec.arrays import Ints
from instructrec.envs.parser import parse
from instructrec.envs.requests import Matcher
from instructrec.envs.tiny import tiny_world
from instructrec.envs.worlds import make_world
from instructrec.experiments.cli import run
from instructrec.experiments.edits import (
    EDITS,
    Hearing,
    check_edit,
    opposites,
    predicates_of,
    words_in,
    words_of_edit,
)
from instructrec.experiments.evaluation import Episodes, evaluate
from instructrec.experiments.progress import Narrator
from instructrec.experiments.twins import compare_twins, to_text, twins
from instructrec.goals import Operator, Predicate, compile_goals
from instructrec.noise import Noise
from instructrec.policies import Blank, greedy
from instructrec.protocols import Policy
from instructrec.sessions import Observation, Sessions, World
from instructrec.splits import Splits

TINY = tiny_world(split="validation")
SESSIONS = Sessions.first(3, 60)


@functools.cache
def _movies() -> World:
    return make_world("instructrec/Movies-v0", split="validation", turn_limit=4)


@functools.cache
def _parser() -> Any:
    return baselines(_movies())["parser"]


@functools.cache
def _original() -> Episodes:
    return evaluate(_movies(), _parser(), SESSIONS)


def _hearing(name: str, world: World, original: Episodes) -> Hearing:
    return Hearing(words_of_edit(name, world, original, Splits.of("validation")), original.sessions, world.turn_limit)


def _twin(name: str) -> Episodes:
    return evaluate(_movies(), _parser(), SESSIONS, hears=_hearing(name, _movies(), _original()))


@dataclass
class Listener:
    """Shows what a policy shows and keeps what it heard, by session key and turn."""

    policy: Policy
    heard: dict[tuple[int, int], int] = field(default_factory=dict)
    before: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def act(self, observation: Observation, noise: Noise) -> Ints:
        for row, key in enumerate(noise.keys.tolist()):
            turn = int(observation.turn[row])
            self.heard[key, turn] = int(observation.instruction[row])
            self.before[key, turn] = observation.said[row][observation.said[row] >= 0].tolist()
        return self.policy.act(observation, noise)

    def log_prob(self, observation: Observation, slates: Ints) -> Any:
        return self.policy.log_prob(observation, slates)


def test_an_agent_against_itself_differs_by_nothing() -> None:
    found = compare_twins(_original(), evaluate(_movies(), _parser(), SESSIONS))
    assert found["difference"]["return"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["variance_saved"]["return"] == 1.0


def test_hearing_nothing_is_what_the_blank_control_hears() -> None:
    blank = evaluate(_movies(), Blank(_parser()), SESSIONS)
    assert np.array_equal(_twin("removed").shown, blank.shown)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_changes_what_the_agent_hears_and_not_who_comes_or_what_they_want(name: str) -> None:
    twin = _twin(name)
    assert np.array_equal(twin.person, _original().person)
    assert np.array_equal(twin.instruction[:, 0], _original().instruction[:, 0])
    assert not np.array_equal(twin.shown, _original().shown)


def test_what_was_said_before_is_heard_as_it_was_edited_then_whatever_the_batch() -> None:
    told = []
    for batch_size in (256, 7):
        ear = Listener(greedy(_parser(), 10))
        evaluate(_movies(), ear, SESSIONS, batch_size=batch_size, hears=_hearing("swapped", _movies(), _original()))
        for (key, turn), before in ear.before.items():
            assert before == [ear.heard[key, earlier] for earlier in range(turn)]
        told.append(ear.heard)
    assert told[0] == told[1]


def test_swapped_words_are_another_persons_of_the_same_turn() -> None:
    ear, original = Listener(greedy(_parser(), 10)), _original()
    evaluate(_movies(), ear, SESSIONS, hears=_hearing("swapped", _movies(), original))
    for row, key in enumerate(SESSIONS.keys.tolist()):
        others = original.person != original.person[row]
        assert ear.heard[key, 0] in original.instruction[others, 0]


def _edited_bank(name: str, every: int = 1) -> list[tuple[str, str]]:
    """Every text of the bank, or every third and so on, and what is heard instead."""
    world = _movies()
    words, texts = words_of_edit(name, world, _original(), Splits.of("validation")), world.population.texts
    ids = np.arange(1, len(texts.bank), every)

    class Moment:
        class instructions:  # noqa: N801
            texts = ids

    heard = texts.strings(words(Moment))  # type: ignore[arg-type]
    return list(zip(texts.strings(ids), heard, strict=True))


def _meant(text: str) -> set[str]:
    return {str(predicate) for predicate in parse(text, words_in(_movies())).predicates}


def test_a_paraphrase_says_the_same_in_other_words() -> None:
    pairs = _edited_bank("paraphrased", every=3)
    # The parser itself misses a misspelt word now and then.
    assert np.mean([_meant(said) == _meant(heard) for said, heard in pairs]) > 0.99
    assert np.mean([said.lower().rstrip(".?") != heard.lower().rstrip(".?") for said, heard in pairs]) > 0.97


def test_no_item_meets_both_a_request_and_its_contradiction() -> None:
    matcher, vocabulary = Matcher(_movies().catalogue), words_in(_movies())
    changed = 0
    for said, heard in _edited_bank("contradicted"):
        asked, turned = parse(said, vocabulary).predicates, parse(heard, vocabulary).predicates
        if heard == said or any(p.operator in (Operator.MORE_THAN, Operator.LESS_THAN) for p in asked):
            continue
        changed += 1
        # A wish ("good") may have no opposite in words; what was turned round must clash with what was asked.
        clash = [
            matcher.met(new) & matcher.met(old)
            for new in turned
            for old in asked
            if new.field == old.field and str(new) != str(old)
        ]
        assert any(not both.any() for both in clash), (said, heard)
    assert changed > 250


def test_a_critique_is_contradicted_by_the_other_direction() -> None:
    heard = dict(_edited_bank("contradicted"))
    bank = _movies().population.bank
    newer, older = (next(n for n, c in enumerate(bank.critiques) if c.name == name) for name in ("newer", "older"))
    for position in (0, 4):
        (said,) = bank.texts_of(bank.critique.group(newer * 10 + position))
        (opposite,) = bank.texts_of(bank.critique.group(older * 10 + position))
        assert _meant(heard[said]) == _meant(opposite) != _meant(said)


def test_every_kind_of_predicate_has_an_opposite_that_it_excludes() -> None:
    catalogue, words = _movies().catalogue, words_in(_movies())
    matcher = Matcher(catalogue)
    asked = [
        Predicate(field="genre", operator=Operator.INCLUDE, values=("Horror", "War")),
        Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror",)),
        Predicate(field="genre", operator=Operator.SHARE, values=("Horror",), share=0.5),
        Predicate(field="year", operator=Operator.AT_LEAST, low=1990),
        Predicate(field="year", operator=Operator.AT_MOST, high=1990),
        Predicate(field="year", operator=Operator.BETWEEN, low=1990, high=1999),
        Predicate(field="year", operator=Operator.HIGHEST, share=0.05),
        Predicate(field="popularity", operator=Operator.HIGHEST, share=0.15),
    ]
    for predicate in asked:
        found = list(opposites(predicate, words))
        assert found, predicate
        assert not (matcher.met(found[0]) & matcher.met(predicate)).any(), predicate


def test_without_a_bank_meanings_come_from_goals() -> None:
    for name, meets in (("paraphrased", True), ("contradicted", False)):
        original = evaluate(TINY, baselines(TINY)["popularity"], SESSIONS)
        hearing = _hearing(name, TINY, original)
        evaluate(TINY, baselines(TINY)["popularity"], SESSIONS, hears=hearing)
        words = words_in(TINY)
        for pair in hearing.examples.items():
            said, heard = TINY.population.texts.strings(np.array(pair))
            colour = next(colour for colour in TINY.catalogue.column("colour").values if colour in said)
            operator = Operator.INCLUDE if meets else Operator.EXCLUDE
            assert said != heard
            assert str(Predicate(field="colour", operator=operator, values=(colour,))) in {
                str(predicate) for predicate in parse(heard, words).predicates
            }


def test_goals_are_read_back_as_they_were_compiled() -> None:
    catalogue = _movies().catalogue
    goal = (
        Predicate(field="genre", operator=Operator.EXCLUDE, values=("Horror", "War")),
        Predicate(field="genre", operator=Operator.SHARE, values=("Drama",), share=0.5, hard=False),
        Predicate(field="year", operator=Operator.BETWEEN, low=1990, high=1999),
        Predicate(field="year", operator=Operator.AT_MOST, high=1980, weight=0.5),
    )
    assert predicates_of(compile_goals([goal], catalogue, 6), catalogue) == goal


def test_the_formula_gives_the_variance_of_really_unpaired_people() -> None:
    agents = baselines(TINY)
    returns = np.array(
        [
            [evaluate(TINY, agents[name], Sessions.first(seed, 40)).returns.mean() for name in ("popularity", "random")]
            for seed in range(200)
        ]
    )
    paired = (returns[:, 0] - returns[:, 1]).var()
    unpaired = (returns[:, 0] - np.roll(returns[:, 1], 1)).var()
    long = [evaluate(TINY, agents[name], Sessions.first(999, 4000)) for name in ("popularity", "random")]
    assert compare_twins(*long)["variance_saved"]["return"] == pytest.approx(1 - paired / unpaired, abs=0.15)


def test_twins_of_different_people_are_refused() -> None:
    agent = baselines(TINY)["popularity"]
    with pytest.raises(ValueError, match="the same sessions of the same world"):
        compare_twins(evaluate(TINY, agent, SESSIONS), evaluate(TINY, agent, Sessions.first(4, 60)))


def test_a_contradiction_costs_more_than_silence_and_is_told_with_examples() -> None:
    asked = {"agent": "parser", "people": 40, "world_settings": {"turn_limit": 4}, "narrator": Narrator(quiet=True)}
    found = {name: twins("instructrec/Movies-v0", edit=name, **asked) for name in ("removed", "contradicted")}
    csr = {name: document["difference"]["csr"]["value"] for name, document in found.items()}
    assert csr["contradicted"] < csr["removed"] < -0.3
    assert found["removed"]["edited_turns"] == 1.0
    text = to_text(found["contradicted"])
    assert max(len(line) for line in text.splitlines()) <= 80
    assert found["contradicted"]["examples"][0]["heard"][:20] in text


def test_the_command_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["twins", "tiny", "--agent", "random", "--against", "oracle", "--people", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["edit"] is None
    assert found["difference"]["csr"]["low"] > 0
    assert set(found["difference"]) == {"return", "csr", "session_length", "leave_rate"}
    assert set(found["variance_saved"]) == set(found["difference"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny", "--edit", "remved"], "did you mean 'removed'"),
        (["tiny", "--agent", "prser"], "did you mean 'parser'"),
        (["tiny", "--agent", "runs/none"], "there is no run folder"),
        (["tiny", "--agent", "slate_ppo"], "has to be trained"),
        (["tiny", "--agent", "oracle", "--edit", "removed"], "does not listen"),
        (["tiny", "--edit", "removed", "--against", "random"], "one thing is changed at a time"),
        (["chockale", "--edit", "contradicted"], "only where its goal is known"),
        (["chockale", "--edit", "paraphrased"], "only where its goal is known"),
        (["chockale", "--against", "oracle"], "has no oracle"),
        (["tiny", "--edit", "swapped", "--people", "1"], "only one comes"),
    ],
)
def test_what_cannot_be_changed_is_refused_in_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["twins", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_mute_people_have_nothing_to_edit() -> None:
    class Mute:
        texts = TINY.population.texts

        def arrive(self, sessions: Sessions, noise: Noise) -> Any:
            state, said = TINY.population.arrive(sessions, noise)
            return state, type(said)(np.zeros_like(said.texts), said.goals)

        past, fingerprint = TINY.population.past, "mute"

    world = World(name="Mute", catalogue=TINY.catalogue, population=Mute(), reward=TINY.reward, slate_size=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="says anything"):
        check_edit("removed", world, SESSIONS)
