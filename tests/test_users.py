"""People written one at a time, as a crowd."""

import gymnasium
import numpy as np
import pytest

from instructrec.arrays import arrays_of, put, take
from instructrec.catalogue import Catalogue, Column
from instructrec.envs import RecVectorEnv, population_of, world_of
from instructrec.envs.users import ScriptedUser
from instructrec.goals import Operator, Predicate, satisfied
from instructrec.noise import Noise, Purpose
from instructrec.protocols import Instruction, Reaction
from instructrec.sessions import Sessions, restart, start, step

GENRES = ["comedy", "drama", "horror"]
SETTINGS = {"slate_size": 3, "turn_limit": 4}


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue(
        columns={
            "genre": Column.categorical("genre", [GENRES[i % 3] for i in range(12)], GENRES),
            "year": Column.numeric("year", [*range(1990, 2001), np.nan]),
        },
        titles=tuple(f"Film {i}" for i in range(12)),
        texts=tuple(f"film {i}" for i in range(12)),
        item_ids=tuple(map(str, range(12))),
        popularity=np.arange(12, dtype=np.float32),
    )


class Person:
    """Wants a genre, remembers what it was shown, draws in both methods."""

    made = 0

    def __init__(self):
        Person.made += 1
        self.shown = 0

    def arrive(self, rng):
        self.genre = int(rng.integers(3))
        return Instruction(f"a {GENRES[self.genre]}", (wish("include", GENRES[self.genre]),))

    def react(self, slate, rng):
        assert slate.turn == self.shown
        self.shown += 1
        likes = (slate.items % 3 == self.genre) & (rng.random(len(slate.items)) < 0.7)
        newer = Instruction(f"newer than number {1 + slate.turn % 2}", (newer_than(1 + slate.turn % 2),))
        return Reaction(
            clicked=tuple(np.flatnonzero(likes)), next=newer if rng.random() < 0.3 else None, left=rng.random() < 0.2
        )


def wish(operator, genre):
    return Predicate(field="genre", operator=Operator(operator), values=(genre,))


def newer_than(position):
    return Predicate(field="year", operator=Operator.MORE_THAN, position=position)


def slates(seed, batch):
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(11)[:3] for _ in range(batch)])


def play(world, state, seed, turns):
    outcomes = []
    for turn in range(turns):
        state, outcome = step(world, state, slates(seed + turn, len(state.turn)))
        outcomes.append(outcome)
    return state, outcomes


def same(one, other):
    mine, theirs = dict(arrays_of(one)), dict(arrays_of(other))
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[k], theirs[k], equal_nan=mine[k].dtype.kind == "f")
                                                for k in mine)  # fmt: skip


def test_one_user_alone_equals_the_same_user_in_a_crowd(catalogue):
    crowd_world, alone_world = (world_of(Person, catalogue, **SETTINGS) for _ in range(2))
    crowd, crowd_outcomes = play(crowd_world, start(crowd_world, Sessions.first(5, 9)), 1, 4)
    for lane in (0, 4, 8):
        state = start(alone_world, Sessions.first(5, np.array([lane])))
        for turn in range(4):
            state, outcome = step(alone_world, state, slates(1 + turn, 9)[lane : lane + 1])
            assert outcome.reward[0] == crowd_outcomes[turn].reward[lane]
            assert outcome.terminated[0] == crowd_outcomes[turn].terminated[lane]
        assert same(state.population, take(crowd.population, np.array([lane])))


def test_a_saved_user_is_rebuilt_by_living_through_the_session_again(catalogue):
    world = world_of(Person, catalogue, **SETTINGS)
    halfway, _ = play(world, start(world, Sessions.first(0, 6)), 1, 2)
    expected, outcomes = play(world, halfway, 7, 2)
    elsewhere = world_of(Person, catalogue, **SETTINGS)
    # The other population never met these people: it has only the arrays.
    again, others = play(elsewhere, halfway, 7, 2)
    assert same(expected, again)
    assert all(np.array_equal(a.reward, b.reward) for a, b in zip(outcomes, others, strict=True))
    said = again.said[again.said >= 0]
    assert elsewhere.population.texts.strings(said) == world.population.texts.strings(said)


def test_the_same_state_can_be_stepped_again_with_another_slate(catalogue):
    world = world_of(Person, catalogue, **SETTINGS)
    state, _ = play(world, start(world, Sessions.first(0, 6)), 1, 2)
    first, _ = step(world, state, slates(30, 6))
    step(world, state, slates(31, 6))
    again, _ = step(world, state, slates(30, 6))
    assert same(first, again)


def test_a_user_is_made_once_while_its_living_copy_matches(catalogue):
    world = world_of(Person, catalogue, **SETTINGS)
    before = Person.made
    state = start(world, Sessions.first(0, 6))
    play(world, state, 1, 4)
    assert Person.made - before == 6
    step(world, state, slates(1, 6))
    assert Person.made - before == 12, "the living copies were four turns on"


def test_few_living_copies_change_nothing_but_the_time_it_takes(catalogue):
    roomy, tight = world_of(Person, catalogue, **SETTINGS), world_of(Person, catalogue, **SETTINGS, keep=2)
    assert same(
        play(roomy, start(roomy, Sessions.first(3, 6)), 1, 4)[0],
        play(tight, start(tight, Sessions.first(3, 6)), 1, 4)[0],
    )
    assert len(tight.population._living) == 2


def test_users_draw_from_their_own_sessions_luck(catalogue):
    drawn = []

    class Drawer:
        def arrive(self, rng):
            drawn.append(rng.random(5))
            return Instruction("hello")

        def react(self, slate, rng):
            drawn.append(rng.random(5))
            return Reaction()

    world = world_of(Drawer, catalogue, **SETTINGS)
    drawn.clear()
    state = start(world, Sessions.first(1, 2))
    state, _ = step(world, state, slates(0, 2))
    noise = [Noise(state.sessions.keys, np.full(2, turn)) for turn in (0, 1)]
    assert np.array_equal(drawn[0], noise[0].generator(0, Purpose.PERSON).random(5))
    assert np.array_equal(drawn[3], noise[0].generator(1, Purpose.USER).random(5))
    step(world, state, slates(1, 2))
    assert np.array_equal(drawn[5], noise[1].generator(1, Purpose.USER).random(5))
    assert len({tuple(row) for row in drawn}) == 6, "no two calls share their luck"


def test_goals_are_compiled_and_stay_until_something_else_is_said(catalogue):
    first = Instruction("no horror", (wish("exclude", "horror"),))
    newer = Instruction("newer than the second", (wish("exclude", "horror"), newer_than(2)))
    script = (Reaction(), Reaction(next=newer), Reaction())
    world = world_of(lambda: ScriptedUser(first, script), catalogue, **SETTINGS)
    state = start(world, Sessions.first(0, 1))
    items = np.arange(12)

    def meets(state):
        return satisfied(state.instructions.goals, catalogue, items)[0].all(axis=0).tolist()

    no_horror = [i % 3 != 2 for i in range(12)]
    assert meets(state) == no_horror
    state, _ = step(world, state, [[0, 1, 2]])
    assert meets(state) == no_horror
    state, _ = step(world, state, [[3, 6, 9]])
    # Item 6 is of 1996: strictly newer; item 11 has no year.
    assert meets(state) == [i % 3 != 2 and 6 < i < 11 for i in range(12)]
    state, _ = step(world, state, [[0, 1, 2]])
    assert meets(state) == [i % 3 != 2 and 6 < i < 11 for i in range(12)]


def test_where_no_goal_is_known_there_is_none(catalogue):
    world = world_of(lambda: ScriptedUser("surprise me"), catalogue, **SETTINGS)
    assert start(world, Sessions.first(0, 3)).instructions.goals is None
    late = ScriptedUser("surprise me", (Reaction(next=Instruction("no horror", (wish("exclude", "horror"),))),))
    world = world_of(lambda: ScriptedUser(late.first, late.reactions), catalogue, **SETTINGS)
    with pytest.raises(ValueError, match="num_predicates=8"):
        step(world, start(world, Sessions.first(0, 1)), [[0, 1, 2]])
    world = world_of(lambda: ScriptedUser(late.first, late.reactions), catalogue, **SETTINGS, num_predicates=2)
    state, _ = step(world, start(world, Sessions.first(0, 1)), [[0, 1, 2]])
    assert state.instructions.goals.weight.tolist() == [[1.0, 0.0]]


def test_a_scripted_user_follows_its_script_and_then_leaves(catalogue):
    users = []

    def make():
        users.append(ScriptedUser("hello", (Reaction(clicked=(2, 0), consumed=(2,), next=Instruction("more 更多")),)))
        return users[-1]

    env = RecVectorEnv(world_of(make, catalogue, **SETTINGS), 1)
    seen, _ = env.reset(seed=0)
    assert env.texts(seen["instruction"]) == ["hello"]
    seen, rewards, terminated, _, infos = env.step([[7, 8, 9]])
    assert env.texts(seen["instruction"]) == ["more 更多"]
    assert rewards.tolist() == [2.0]
    assert infos["consumed"].tolist() == [[False, False, True]]
    assert seen["clicked"][0, 0].tolist() == [1, 0, 1]
    *_, terminated, truncated, _ = env.step([[0, 1, 2]])
    assert terminated.all()
    assert not truncated.any()
    seen_by_it = next(user for user in users if user.slates).slates
    assert [slate.items.tolist() for slate in seen_by_it] == [[7, 8, 9], [0, 1, 2]]
    assert seen_by_it[0].titles == ("Film 7", "Film 8", "Film 9")
    assert [slate.turn for slate in seen_by_it] == [0, 1]


def test_ended_sessions_are_followed_by_new_people(catalogue):
    world = world_of(Person, catalogue, **SETTINGS)
    state = start(world, Sessions.first(0, 3))
    state, _ = step(world, state, slates(0, 3))
    mixed = restart(world, state, np.array([1]))
    assert mixed.turn.tolist() == [1, 0, 1]
    fresh = start(world, Sessions(*(np.array([n]) for n in (0, 1, 1))))
    assert same(take(mixed.population, np.array([1])), fresh.population)
    step(world, put(mixed, np.array([1]), fresh), slates(1, 3))


class Broken(ScriptedUser):
    def __init__(self, reaction):
        super().__init__("hello")
        self.does = reaction

    def react(self, slate, rng):
        return self.does() if callable(self.does) else self.does


@pytest.mark.parametrize(
    ("does", "error", "says"),
    [
        ((0, 1), TypeError, r"Broken\.react must return a Reaction, got tuple \(session seed 0, lane 1, ord"),
        (None, TypeError, "must return a Reaction, got NoneType"),
        (Reaction(clicked=(3,)), ValueError, "clicked position 3; positions of a slate of 3 are 0 to 2"),
        (lambda: Reaction(clicked=(-1,)), RuntimeError, "counted from 0"),
        (lambda: Reaction(clicked=(1, 1)), RuntimeError, "names a position twice"),
        (lambda: Reaction(clicked=(0.5,)), RuntimeError, "whole numbers counted from 0; got 0.5"),
        (lambda: Reaction(clicked=(float("nan"),)), RuntimeError, "whole numbers counted from 0; got nan"),
        (lambda: Reaction(clicked=np.array([True, False])), RuntimeError, "whole numbers counted from 0"),
        (lambda: Reaction(clicked=3), RuntimeError, "tuple of positions"),
        (lambda: Reaction(clicked=(0,), consumed=(1,)), RuntimeError, "position 1 is consumed but not clicked"),
        (lambda: Reaction(next="more"), RuntimeError, "next is an Instruction or None, got str"),
        (lambda: Reaction(left=float("nan")), RuntimeError, "left is True or False, got nan"),
        (lambda: Reaction(next=Instruction(7)), RuntimeError, "the text of an Instruction is a string, got int"),
        (lambda: Reaction(next=Instruction("x", ("horror",))), RuntimeError, "holds predicates, got str"),
        (lambda: 1 / 0, RuntimeError, r"Broken\.react raised ZeroDivisionError: division by zero \(session seed 0"),
    ],
)  # fmt: skip
def test_a_user_who_misbehaves_is_told_where_and_how(catalogue, does, error, says):
    calls = []

    def make():
        calls.append(1)
        # The first is the probe, the second lane 0.
        return Broken(does) if len(calls) == 3 else ScriptedUser("hello")

    world = world_of(make, catalogue, **SETTINGS)
    state = start(world, Sessions.first(0, 2))
    with pytest.raises(error, match=says) as caught:
        step(world, state, slates(0, 2))
    assert (caught.value.__cause__ is not None) == (error is RuntimeError)


class Mute:
    def react(self, slate, rng):
        return Reaction()


class Misspelt:
    def arrive(self, rng):
        return Instruction("hello")

    def raect(self, slate, rng):
        return Reaction()


class Luckless:
    def arrive(self):
        return Instruction("hello")

    def react(self, slate, rng):
        return Reaction()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Mute, r"Mute has no method arrive\(self, rng\), which returns an Instruction"),
        (Misspelt, r"Misspelt has no method react\(self, slate, rng\), which returns a Reaction.* is 'raect' meant"),
        (Luckless, r"Luckless\.arrive takes \(\); it must be arrive\(self, rng\)"),
    ],
)
def test_a_class_that_is_no_user_is_named_with_the_method_it_lacks(catalogue, kind, says):
    with pytest.raises(TypeError, match=says):
        world_of(kind, catalogue, **SETTINGS)
    with pytest.raises(TypeError, match=says):
        gymnasium.make("instructrec/Tiny-v0", population=kind)
    # Where nobody is asked beforehand it is found at the first arrival.
    world = world_of(kind, catalogue, num_predicates=0, fingerprint="mine", **SETTINGS)
    with pytest.raises(TypeError, match=says):
        start(world, Sessions.first(0, 1))


def test_a_user_who_does_not_arrive_is_told(catalogue):
    class Silent:
        def arrive(self, rng):
            return "hello"

        def react(self, slate, rng):
            return Reaction()

    with pytest.raises(TypeError, match=r"Silent\.arrive must return an Instruction, got str"):
        population_of(Silent, catalogue)

    def make():
        raise OSError("no model file")

    with pytest.raises(RuntimeError, match="the user factory raised OSError: no model file"):
        population_of(make, catalogue)


@pytest.mark.parametrize(
    ("predicate", "says"),
    [
        (newer_than(4), "a critique of position 4, but the slate holds 3 items"),
        (newer_than(3), "has no 'year' to compare with"),
    ],
)
def test_a_critique_that_cannot_be_resolved_is_refused(catalogue, predicate, says):
    script = (Reaction(next=Instruction("newer", (predicate,))),)
    world = world_of(lambda: ScriptedUser("hello", script), catalogue, **SETTINGS, num_predicates=1)
    with pytest.raises(ValueError, match=says):
        step(world, start(world, Sessions.first(0, 1)), [[0, 1, 11]])
    with pytest.raises(ValueError, match="no slate was shown yet"):
        start(world_of(lambda: ScriptedUser(Instruction("newer", (newer_than(1),))), catalogue), Sessions.first(0, 1))


def test_a_user_with_luck_of_its_own_is_found_out(catalogue):
    outside = np.random.default_rng(0)

    class Gambler(ScriptedUser):
        def react(self, slate, rng):
            return Reaction(clicked=(int(outside.integers(3)),))

    world = world_of(lambda: Gambler("hello"), catalogue, **SETTINGS)
    state, _ = play(world, start(world, Sessions.first(0, 8)), 0, 2)
    step(world, state, slates(9, 8))
    with pytest.raises(RuntimeError, match="clicked something else when it lived through the same session again"):
        step(world, state, slates(9, 8))


def test_what_the_population_was_not_made_for_is_refused(catalogue):
    population = population_of(Person, catalogue, slate_size=3, turn_limit=1)
    sessions = Sessions.first(0, 1)
    noise = Noise(sessions.keys, np.zeros(1, np.int32))
    state, _ = population.arrive(sessions, noise)
    with pytest.raises(ValueError, match=r"population_of\(..., slate_size=2\)"):
        population.react(state, np.array([[0, 1]]), noise)
    state, _ = population.react(state, np.array([[0, 1, 2]]), noise)
    with pytest.raises(ValueError, match="made for 1 turns"):
        population.react(state, np.array([[0, 1, 2]]), noise)
    with pytest.raises(ValueError, match="at least 1"):
        population_of(Person, catalogue, keep=0)


def test_other_code_is_another_fingerprint(catalogue):
    class Other(Person):
        pass

    def fingerprint(make, **settings):
        return population_of(make, catalogue, **settings).fingerprint

    assert fingerprint(Person) == fingerprint(Person)
    assert (
        len({fingerprint(Person), fingerprint(Other), fingerprint(lambda: Person()), fingerprint(Person, slate_size=2)})
        == 4
    )
    assert fingerprint(Person, fingerprint="a") != fingerprint(Person, fingerprint="b")
