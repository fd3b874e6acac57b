"""Other people in a world: by name, by place, by class, by object; and what is said of those that are none."""

from __future__ import annotations

import importlib
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from instructrec.envs import RecVectorEnv, make_world
from instructrec.envs.populations import (
    GROUP,
    POPULATIONS,
    PopulationSpec,
    known_populations,
    register_population,
)
from instructrec.envs.tiny import TinyPopulation
from instructrec.experiments import cli
from instructrec.protocols import Instruction, Reaction
from instructrec.sessions import Instructions, PlugInError, Sessions, start, step
from instructrec.testing import BrokenPromiseError, check_population, check_user

EXAMPLE = Path(__file__).parent.parent / "examples" / "own_users.py"
TINY = "instructrec/Tiny-v0"


class Picky:
    """Clicks the first thing that is of its colour."""

    def __init__(self, colour: str = "Red") -> None:
        self.colour = colour

    def arrive(self, rng: np.random.Generator) -> Instruction:
        return Instruction(f"something {self.colour}")

    def react(self, slate, rng: np.random.Generator) -> Reaction:
        wanted = [place for place, title in enumerate(slate.titles) if self.colour in title]
        return Reaction(clicked=tuple(wanted[:1]), left=not wanted)


def crowd(catalogue, turn_limit, split, num_colours: int = 4):
    """Makes a population; it is handed what it asks for."""
    assert catalogue.num_items == 20
    assert turn_limit == 6
    return TinyPopulation(num_colours=num_colours, leave=0.5 if split == "train" else 0.25)


BROKEN = object()


def nothing() -> int:
    return 3


def needs_more(catalogue, seasons):
    return TinyPopulation()


PLACE = f"{__name__}:Picky"


@pytest.fixture
def example():
    sys.path.insert(0, str(EXAMPLE.parent))
    yield "own_users"
    sys.path.remove(str(EXAMPLE.parent))
    sys.modules.pop("own_users", None)


def said(world) -> set[str]:
    env = RecVectorEnv(world, 4)
    observation, _ = env.reset(seed=0)
    return set(env.world.population.texts.strings(observation["instruction"]))


@pytest.mark.parametrize("who", [Picky, PLACE], ids=["class", "place"])
def test_people_come_by_class_and_by_place(who):
    world = make_world(TINY, population=who)
    assert said(world) == {"something Red"}
    assert world.slate_size == make_world(TINY).slate_size
    blue = make_world(TINY, population=who, population_settings={"colour": "Blue"})
    assert said(blue) == {"something Blue"}
    assert len({world.fingerprint, blue.fingerprint, make_world(TINY).fingerprint}) == 3
    assert world.fingerprint == make_world(TINY, population=who).fingerprint


def test_a_maker_is_handed_what_it_asks_for():
    assert make_world(TINY, population=crowd).population.leave == 0.5
    world = make_world(TINY, population=f"{__name__}:crowd", population_settings={"num_colours": 3})
    assert world.population.num_colours == 3


def test_a_population_that_is_made_comes_as_it_is():
    made = TinyPopulation(leave=0.75)
    assert make_world(TINY, population=made).population is made
    with pytest.raises(TypeError, match="made already and takes no settings, got leave"):
        make_world(TINY, population=made, population_settings={"leave": 0.5})


def test_gymnasium_takes_them_too():
    env = gymnasium.make(TINY, population=Picky)
    assert env.reset(seed=0)[0]["instruction"] == "something Red"
    many = gymnasium.make_vec(TINY, 3, vectorization_mode="vector_entry_point", population=PLACE)
    assert many.unwrapped.num_envs == 3


def test_a_registered_population_has_a_name():
    spec = PopulationSpec(name="picky", summary="Clicks its colour.", maker=PLACE)
    register_population(spec)
    try:
        register_population(spec)
        assert said(make_world(TINY, population="picky")) == {"something Red"}
        assert spec.parameters() == {"colour": "Red"}
        with pytest.raises(ValueError, match="there is already a population called 'picky'"):
            register_population(PopulationSpec(name="picky", summary="Another.", maker=nothing))
        with pytest.raises(ValueError, match="did you mean 'picky'"):
            make_world(TINY, population="piky")
    finally:
        del POPULATIONS["picky"]
    with pytest.raises(ValueError, match="has no colon"):
        register_population(PopulationSpec(name="a:b", summary="No.", maker=nothing))


def test_an_installed_package_brings_populations(tmp_path, monkeypatch):
    meta = tmp_path / "brought-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[{GROUP}]\nstubborn = {PLACE}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert known_populations()["stubborn"].summary == "Brought by brought."
    assert said(make_world(TINY, population="stubborn")) == {"something Red"}


@pytest.mark.parametrize(
    ("who", "settings", "error", "message"),
    [
        ("nobody", {}, ValueError, r"unknown population 'nobody'.*package\.module:Name"),
        ("no_such_module:Name", {}, ValueError, "there is no module 'no_such_module' here"),
        (":Name", {}, ValueError, r"a place is package\.module:Name, got ':Name'"),
        (f"{__name__}:Pikcy", {}, ValueError, "did you mean 'Picky'"),
        (f"{__name__}:BROKEN", {}, TypeError, "is of type object, expected a Population"),
        (nothing, {}, TypeError, r"made an object of type int, which is neither a User \(arrive, react\)"),
        (Picky, {"color": "Red"}, TypeError, "unknown setting of Picky 'color'; did you mean 'colour'"),
        (Picky(), {}, TypeError, "give its class: every session has a user of its own"),
        (needs_more, {}, TypeError, "needs_more needs seasons"),
        (7, {}, TypeError, "is of type int, expected a Population"),
    ],
)
def test_what_is_no_population_is_said_to_be_none(who, settings, error, message):
    with pytest.raises(error, match=message):
        make_world(TINY, population=who, population_settings=settings)


class Collector(Picky):
    """Leaves after four things in a list that it was handed."""

    def __init__(self, seen: list) -> None:
        super().__init__()
        self.seen = seen

    def react(self, slate, rng):
        self.seen.append(slate.turn)
        return Reaction(left=len(self.seen) > 3)


def test_users_share_nothing_that_they_are_made_with():
    env = RecVectorEnv(make_world(TINY, population=Collector, population_settings={"seen": []}), 3)
    env.reset(seed=0)
    gone = [env.step(env.action_space.sample())[2] for _ in range(4)]
    assert not np.any(gone[:3])
    assert gone[3].all()


def test_the_fingerprint_tells_people_apart_and_nothing_else():
    def of(who, split="train", **settings):
        return make_world(TINY, population=who, population_settings=settings, split=split).fingerprint

    def fans_of(colour):
        return lambda: Picky(colour)

    class Heard(Picky):
        def __init__(self, split: str) -> None:
            super().__init__(split)

    class Base(Picky):
        pass

    class Other(Picky):
        def react(self, slate, rng):
            return Reaction()

    one = type("Same", (Base,), {"__module__": __name__, "__qualname__": "Same"})
    two = type("Same", (Other,), {"__module__": __name__, "__qualname__": "Same"})
    assert of(Picky) == of(Picky, colour="Red") != of(Picky, colour="Blue")
    assert of(fans_of("Red")) != of(fans_of("Blue"))
    assert of(Heard) != of(Heard, split="test")
    assert of(one) != of(two)


class Torn(TinyPopulation):
    fingerprint = property()


class Sour:
    def __init__(self):
        self.mood = {}["mood"]


@pytest.mark.parametrize(
    ("who", "settings", "error", "message"),
    [
        (f"{__name__}.Picky", {}, ValueError, f"given as {__name__}:Picky"),
        (Torn, {}, TypeError, "a Population that lacks fingerprint"),
        (Sour, {}, PlugInError, "making Sour raised KeyError: 'mood'"),
        (Picky, [1], TypeError, r"names and values, such as \{'patience': 3\}, got \[1\]"),
    ],
)
def test_likely_slips_are_told(who, settings, error, message):
    with pytest.raises(error, match=message):
        make_world(TINY, population=who, population_settings=settings)


class Broken(TinyPopulation):
    """Does what ``wrong`` says instead of reacting."""

    wrong = staticmethod(lambda state, reactions: None)

    def react(self, state, slates, noise):
        return self.wrong(*super().react(state, slates, noise))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda state, did: None, TypeError, "Broken.react must return a state and Reactions, got NoneType"),
        (lambda state, did: (did, state), TypeError, "got Reactions, TinyState"),
        (lambda state, did: {}["mood"], PlugInError, "Broken.react raised KeyError: 'mood'"),
        (
            lambda state, did: (state, replace(did, clicked=did.clicked[:, :1])),
            TypeError,
            r"must give clicked as booleans of shape \(4, 3\), got bool of shape \(4, 1\)",
        ),
        (
            lambda state, did: (state, replace(did, left=did.left.astype(np.int64))),
            TypeError,
            r"must give left as booleans of shape \(4,\), got int64",
        ),
    ],
)
def test_a_population_that_reacts_wrongly_is_named(wrong, error, message, monkeypatch):
    monkeypatch.setattr(Broken, "wrong", staticmethod(wrong))
    env = RecVectorEnv(make_world(TINY, population=Broken()), 4)
    env.reset(seed=0)
    with pytest.raises(error, match=message):
        env.step(env.action_space.sample())


@pytest.mark.parametrize(
    ("method", "wrong", "error", "message"),
    [
        ("past", lambda found: found[0][:1], TypeError, "Changed.past must return two arrays"),
        ("past", lambda found: (found[0][:1], found[1]), TypeError, r"with 4 rows, .*got int32 of shape \(1, 2\)"),
        ("past", lambda found: (found[0] + 99, found[1]), ValueError, "Changed.past names item 99; items are"),
        ("past", lambda found: (found[0] - 9, found[1]), ValueError, "Changed.past names item -9"),
        ("past", lambda found: (found[0], found[1] * np.nan), ValueError, "past holds a rating that is not finite"),
        ("past", lambda found: {}["mood"], PlugInError, "Changed.past raised KeyError: 'mood'"),
        ("past", lambda found: sys.exit(0), PlugInError, "Changed.past raised SystemExit: 0"),
        ("arrive", lambda found: replace(found, texts=found.texts[:-1]), TypeError,
         r"Changed.arrive must give texts as ids, int64 of shape \(4,\), got int64 of shape \(3,\)"),
        ("arrive", lambda found: replace(found, texts=list(found.texts)), TypeError, "got list"),
        ("arrive", lambda found: replace(found, texts=found.texts * 0 - 5), ValueError, "arrive gives the text id -5"),
        ("react", lambda found: replace(found, instructions=Instructions(np.full(4, -5))), ValueError,
         "Changed.react gives the text id -5; ids are 0"),
        ("react", lambda found: sys.exit(0), PlugInError, "Changed.react raised SystemExit: 0"),
    ],
)  # fmt: skip
def test_a_population_that_arrives_or_remembers_wrongly_is_named(method, wrong, error, message):
    class Changed(TinyPopulation):
        def arrive(self, sessions, noise):
            state, said = super().arrive(sessions, noise)
            return state, wrong(said) if method == "arrive" else said

        def react(self, state, slates, noise):
            state, did = super().react(state, slates, noise)
            return state, wrong(did) if method == "react" else did

        def past(self, state):
            found = np.zeros((len(state.colour), 2), np.int32), np.ones((len(state.colour), 2), np.float32)
            return wrong(found) if method == "past" else found

    world = make_world(TINY, population=Changed())

    def play():
        step(world, start(world, Sessions.first(0, 4)), np.tile(np.arange(world.slate_size), (4, 1)))

    with pytest.raises(error, match=message):
        play()


def test_a_user_that_ends_python_ends_no_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "quitter.py").write_text(
        "import sys\nfrom instructrec.protocols import Instruction\n"
        "class Quitter:\n    def arrive(self, rng):\n        return Instruction('hello')\n"
        "    def react(self, slate, rng):\n        sys.exit(0)\n"
    )
    (tmp_path / "leaves_at_once.py").write_text("raise SystemExit(0)\n")
    arguments = ["compare", TINY, "--agents", "random", "--out", "x", "--population"]
    assert cli.run([*arguments, "quitter:Quitter"]) == 2
    assert "Quitter.react raised SystemExit: 0" in " ".join(capsys.readouterr().err.split())
    assert cli.run([*arguments, "leaves_at_once:Name"]) == 2
    assert "importing leaves_at_once raised SystemExit" in " ".join(capsys.readouterr().err.split())


def test_a_text_that_nobody_gave_out_is_the_populations_mistake(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mumbling.py").write_text(
        "from dataclasses import replace\nfrom instructrec.envs.tiny import TinyPopulation\n"
        "class Mumbling(TinyPopulation):\n    def arrive(self, sessions, noise):\n"
        "        state, said = super().arrive(sessions, noise)\n"
        "        return state, replace(said, texts=said.texts + 10**9)\n"
    )
    arguments = ["compare", TINY, "--agents", "random,parser", "--out", "x", "--population", "mumbling:Mumbling"]
    assert cli.run(arguments) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "no text has the id 10000000" in told
    assert "this is a bug" not in told


def test_settings_of_nobody_are_refused():
    with pytest.raises(TypeError, match="population_settings are of a population"):
        make_world(TINY, population_settings={"colour": "Red"})
    with pytest.raises(TypeError, match="did you mean 'population'"):
        make_world(TINY, populaton=Picky)


def test_a_module_that_fails_is_told_from_one_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lacks_something.py").write_text("import no_such_library\n")
    (tmp_path / "breaks_at_once.py").write_text("1 / 0\n")
    with pytest.raises(ValueError, match="needs a module that is not installed: no_such_library"):
        make_world(TINY, population="lacks_something:Name")
    with pytest.raises(ValueError, match="importing breaks_at_once raised ZeroDivisionError"):
        make_world(TINY, population="breaks_at_once:Name")


def test_the_example_keeps_its_promises_and_runs(example):
    assert 0 < runpy.run_path(str(EXAMPLE))["main"](turns=2) < 10
    world = make_world("instructrec/Movies-v0", population="own_users:Crowd", population_settings={"year": 2010})
    check_population(world.population, world.catalogue, slate_size=10, turns=4, batch=16, seed=3)


def test_a_run_remembers_its_people_and_imports_them_only_when_told(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_people.py").write_text(
        "from instructrec.protocols import Instruction, Reaction\n"
        "class Fan:\n"
        "    def __init__(self, colour='Red'):\n"
        "        self.colour = colour\n"
        "    def arrive(self, rng):\n"
        "        return Instruction('something ' + self.colour)\n"
        "    def react(self, slate, rng):\n"
        "        return Reaction(clicked=tuple(i for i, t in enumerate(slate.titles) if self.colour in t)[:1])\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    people = ["--population", "my_people:Fan", "--population-set", "colour=Blue"]
    train = ["train", TINY, "--out", "run", "--steps", "512", "--set", "encoder=hashing", "prompts=0", *people]
    assert cli.run(train) == 0
    assert cli.run(["evaluate", "run", "--people", "5"]) == 2
    assert "add --population my_people:Fan" in " ".join(capsys.readouterr().err.split())
    assert cli.run(["evaluate", "run", "--people", "5", "--population", "my_people:Other"]) == 2
    # So little training does not pass the gates, but the people came.
    assert cli.run(["evaluate", "run", "--people", "5", "--population", "my_people:Fan"]) == 1
    assert "Gate failed" in capsys.readouterr().err
    assert cli.run(["train", TINY, "--out", "y", "--world-set", "population=my_people:Fan"]) == 2
    assert "set by --population" in " ".join(capsys.readouterr().err.split())
    assert cli.run([*train, "--resume"]) == 0
    assert cli.run([*train[:-1], "colour=Red", "--resume"]) == 2
    assert cli.run(["compare", TINY, "--agents", "random", "--out", "x", "--population-set", "colour=Red"]) == 2
    assert "none is named" in " ".join(capsys.readouterr().err.split())


def test_the_command_lists_them(capsys):
    spec = PopulationSpec(name="picky", summary="Clicks its colour.", reference="These tests.", maker=PLACE)
    register_population(spec)
    try:
        assert cli.run(["populations", "--json"]) == 0
    finally:
        del POPULATIONS["picky"]
    out = capsys.readouterr().out
    assert '"populations"' in out
    assert '"reference": "These tests."' in out


def test_a_check_names_the_method_that_raised_and_wants_a_class():
    class Moody(Picky):
        def react(self, slate, rng):
            return {}["mood"]

    things = make_world(TINY).catalogue
    with pytest.raises(
        BrokenPromiseError, match=r"Moody.react, called as react\(slate, rng\), raised KeyError: 'mood'"
    ):
        check_user(Moody, things)
    with pytest.raises(BrokenPromiseError, match="takes a class, or a function that makes a new User, got a Picky"):
        check_user(Picky(), things)


def test_the_command_does_not_take_the_blame_for_code_that_was_plugged_in(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "moody.py").write_text(
        "class Moody:\n    def arrive(self, rng):\n        return {}['mood']\n"
        "    def react(self, slate, rng):\n        return None\n"
    )
    assert cli.run(["compare", TINY, "--agents", "random", "--out", "x", "--population", "moody:Moody"]) == 2
    told = capsys.readouterr().err
    assert "Moody.arrive raised KeyError: 'mood'" in told
    assert "this is a bug" not in told
