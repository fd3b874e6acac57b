"""Replayed users say what was recorded, take up what was taken up, and leave when the record ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st

from instructrec.agents.references import Oracle
from instructrec.catalogue import Catalogue
from instructrec.envs import make_world
from instructrec.envs.crosswoz import crosswoz_catalogue
from instructrec.envs.dialogues import Dialogue, Utterance, write_dialogues
from instructrec.envs.movielens import shipped
from instructrec.envs.population_replay import POPULATION, ReplayPopulation
from instructrec.envs.populations import with_population
from instructrec.noise import Noise
from instructrec.sessions import Sessions, observe, start, step
from instructrec.splits import split_of
from instructrec.testing import check_population, check_world

DATA = next(
    (up / "shared" / "data" for up in Path(__file__).resolve().parents if (up / "shared" / "data").is_dir()), None
)
TITLES = tuple(f"Film {letter} (19{90 + place})" for place, letter in enumerate("ABCDEFGH"))


def films() -> Catalogue:
    return Catalogue(
        columns={}, titles=TITLES, texts=TITLES, item_ids=TITLES, popularity=np.ones(len(TITLES), np.float32)
    )


def recorded(name: str, *utterances: tuple[str, tuple[str, ...]]) -> Dialogue:
    return Dialogue(name=name, utterances=tuple(Utterance(text=text, accepted=items) for text, items in utterances))


STORY = recorded("story", ("one", ()), ("two", ("Film A",)), ("three", ()), ("four", ("Film C (1992)", "Film Z")))
CROWD = tuple(recorded(f"d{place}", *((f"{place}.{turn}", ()) for turn in range(1 + place % 3))) for place in range(40))


def replayed(*slates: tuple[int, ...], **settings: str) -> list[tuple[str, tuple[bool, ...], bool]]:
    """Returns what was said before each slate, what was clicked, and whether the user left."""
    population = ReplayPopulation(films(), dialogues=[STORY], people="all", **settings)
    sessions = Sessions.first(0, 1)
    state, said = population.arrive(sessions, Noise(sessions.keys, np.zeros(1, np.int32)))
    happened = []
    for turn, slate in enumerate(slates):
        before = population.texts.strings(said.texts)[0]
        luck = Noise(sessions.keys, np.full(1, turn, np.int32))
        state, reactions = population.react(state, np.array([slate], np.int32), luck)
        said = reactions.instructions
        happened.append((before, tuple(reactions.clicked[0].tolist()), bool(reactions.left[0])))
    return happened


def test_the_recorded_words_are_said_in_order_and_the_session_ends_with_the_dialogue():
    nothing = (False, False)
    assert replayed((5, 6), (5, 6), (5, 6), (5, 6)) == [
        ("one", nothing, False),
        ("two", nothing, False),
        ("three", nothing, False),
        ("four", nothing, True),
    ]


def test_what_the_recorded_person_took_up_is_taken_up_when_shown_before_and_once():
    happened = replayed((2, 0), (0, 3), (2, 7))
    assert [clicked for _, clicked, _ in happened] == [(True, True), (False, False), (False, False)]


def test_an_echo_of_what_was_accepted_is_worth_nothing_unless_asked_for():
    # Film A is accepted in "two": shown after that, it is an echo.
    late = ((5, 6), (0, 6), (5, 0), (2, 0))
    assert [clicked for _, clicked, _ in replayed(*late)] == [(False, False)] * 4
    assert [clicked for _, clicked, _ in replayed(*late, accept="session")] == [
        (False, False), (True, False), (False, False), (True, False)
    ]  # fmt: skip


def test_replays_of_one_dialogue_belong_to_one_person():
    population, sessions = ReplayPopulation(films(), dialogues=CROWD, people="all"), Sessions.first(0, 300)
    state, said = population.arrive(sessions, Noise(sessions.keys, np.zeros(300, np.int32)))
    first = population.texts.strings(said.texts)
    assert [f"{person}.0" for person in population.persons(state)] == first


def test_with_accept_at_the_turn_an_item_is_taken_up_only_where_it_was_recorded():
    # "two" takes up film A as answer to what is shown after "one"; film C is taken up after "three".
    happened = replayed((0, 2), (0, 2), (2, 5), accept="turn")
    assert [clicked for _, clicked, _ in happened] == [(True, False), (False, False), (True, False)]


def test_a_user_may_leave_with_the_first_item_or_with_all():
    assert [left for *_, left in replayed((0, 5), end="first")] == [True]
    assert [left for *_, left in replayed((0, 5), (5, 6), (2, 6), end="all")] == [False, False, True]


def test_dialogues_whose_items_are_unknown_play_and_are_counted():
    population = ReplayPopulation(films(), dialogues=[STORY, *CROWD], people="all")
    assert population.summary["with_target"] == 1
    assert "Items taken up: 3; 2 are in the catalogue." in population.report()
    assert "Not in the catalogue, among others: Film Z." in population.report()
    assert max(len(line) for line in population.report().splitlines()) <= 80


def test_every_split_replays_its_own_dialogues_with_the_same_ids():
    made = {split: ReplayPopulation(films(), dialogues=CROWD, split=split) for split in ("train", "validation", "test")}
    names = {split: {dialogue.name for dialogue in population.dialogues} for split, population in made.items()}
    assert set.union(*names.values()) == {dialogue.name for dialogue in CROWD}
    assert sum(map(len, names.values())) == len(CROWD)
    assert all(split_of("users", name) == split for split, mine in names.items() for name in mine)
    assert len({population.texts.bank for population in made.values()}) == 1
    assert len({population.fingerprint for population in made.values()}) == 3


@checked(max_examples=10)
@given(seed=st.integers(0, 1000), batch=st.integers(2, 20), slate_size=st.integers(1, 5))
def test_it_keeps_the_promises_of_a_population(seed, batch, slate_size):
    check_population(
        lambda: ReplayPopulation(films(), dialogues=[STORY, *CROWD], people="all"), films(), slate_size=slate_size,
        batch=batch, seed=seed,
    )  # fmt: skip


def test_the_oracle_shows_what_will_be_taken_up():
    world = with_population(make_world("instructrec/Movies-v0"), ReplayPopulation, {
        "dialogues": [recorded("a", ("hi", ()), ("yes", ("Heat",))), recorded("b", ("hi", ()), ("no", ("Toy Story",)))],
        "people": "all",
    })  # fmt: skip
    state = start(world, Sessions.first(0, 50))
    scores = Oracle(world.population).scores(observe(world, state), state)
    best = np.argsort(-scores, axis=1, kind="stable")[:, : world.slate_size]
    state, outcome = step(world, state, best)
    assert outcome.reactions.clicked[:, 0].all()
    assert (outcome.reactions.clicked.sum(axis=1) == 1).all()
    assert world.population.expected_utility(state.population).max() == 0


def test_it_comes_to_a_world_by_settings_that_a_run_folder_can_hold(tmp_path):
    write_dialogues(tmp_path / "mine.jsonl", [STORY, *CROWD])
    settings = {"dialogues": str(tmp_path / "mine.jsonl"), "end": "all"}
    world = make_world("instructrec/Tiny-v0", population=POPULATION.maker, population_settings=settings)
    check_world(world)
    assert POPULATION.name == "replay"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accept": "sesion"}, "unknown value of accept 'sesion'; did you mean 'session'"),
        ({"end": "never"}, "unknown value of end"),
        ({"people": "everybody"}, "unknown value of people"),
        ({"split": "tests"}, "did you mean 'test'"),
        ({"split": "train", "dialogues": [d for d in CROWD if split_of("users", d.name) == "test"][:2]},
         "none of the 2 dialogues belongs to the train split; .* people='all'"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ReplayPopulation(films(), **{"dialogues": CROWD, **settings})


@pytest.mark.skipif(DATA is None, reason="needs the data sets beside the project")
def test_the_real_dialogues_can_be_replayed():
    films_of = ReplayPopulation(shipped()[0], dialogues=DATA / "iard" / "formatted_IARD_annotated_gold.json")
    check_population(films_of, shipped()[0])
    assert films_of.summary["with_target"] > 0.7 * len(films_of.dialogues)
    places = crosswoz_catalogue(DATA / "crosswoz" / "database")
    check_population(ReplayPopulation(places, dialogues=DATA / "crosswoz" / "val.json.zip"), places)
