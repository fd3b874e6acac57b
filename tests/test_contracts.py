"""The promises that everything leans on, kept by every world there is."""

from dataclasses import replace

import numpy as np
import pytest

from instructrec._testing import loaded
from instructrec.arrays import arrays_of, take
from instructrec.candidates import PopularAndRandom, RandomCandidates
from instructrec.envs import ScriptedUser, make_world, tiny_world, world_of
from instructrec.envs.tiny import COLOURS
from instructrec.goals import Operator, Predicate
from instructrec.noise import Noise
from instructrec.protocols import Instruction, Reaction
from instructrec.sessions import Sessions, observe, restart, start, step
from instructrec.testing import check_world


def wish(colour):
    return Predicate(field="colour", operator=Operator.INCLUDE, values=(COLOURS[colour],))


class Fan:
    """A user written alone, who draws and remembers."""

    def arrive(self, rng):
        self.colour, self.shown = int(rng.integers(4)), 0
        return Instruction(f"colour {self.colour}", (wish(self.colour),))

    def react(self, slate, rng):
        self.shown += 1
        hits = np.flatnonzero((slate.items // 5 == self.colour) & (rng.random(3) < 0.7))
        more = Instruction("now another", (wish(rng.integers(4)),)) if rng.random() < 0.4 else None
        return Reaction(clicked=tuple(hits), next=more, left=bool(rng.random() < 0.1 * self.shown))


def tiny():
    return tiny_world()


def tiny_with_candidates():
    world = tiny_world()
    return replace(world, candidates=RandomCandidates(world.catalogue, 8))


def tiny_with_popular_candidates():
    world = tiny_world()
    return replace(world, candidates=PopularAndRandom(world.catalogue, 3, 5))


def fans():
    return world_of(Fan, tiny_world().catalogue, slate_size=3, turn_limit=6)


def scripted():
    script = (Reaction(clicked=(1,)), Reaction(next=Instruction("something else")), Reaction())
    return world_of(lambda: ScriptedUser("hello", script), tiny_world().catalogue, slate_size=3, turn_limit=6)


@pytest.fixture(scope="module")
def movies():
    return make_world("instructrec/Movies-v0", bank_size=500)


WORLDS = [tiny, tiny_with_candidates, tiny_with_popular_candidates, fans, scripted, "movies"]


@pytest.fixture(params=WORLDS, ids=lambda world: world if isinstance(world, str) else world.__name__)
def world(request):
    return request.getfixturevalue("movies") if request.param == "movies" else request.param()


def slates(world, state):
    """Slates that depend on who and when alone, so that they are the same in every batch."""
    items = world.catalogue.num_items
    first, stride = Noise(state.sessions.keys, state.turn).uniform(99, 2).T
    # A stride this short cannot come round to an item it has shown.
    steps = (1 + stride * (items // world.slate_size - 1)).astype(np.int64)
    return ((first * items).astype(np.int64)[:, None] + steps[:, None] * np.arange(world.slate_size)) % items


def advance(world, state):
    """One step; lanes that ended go on to their next session."""
    state, outcome = step(world, state, slates(world, state))
    return (restart(world, state, np.flatnonzero(outcome.done)) if outcome.done.any() else state), outcome


def arrays(world, state):
    """Everything a session is and shows, by name."""
    seen = observe(world, state)
    shown = {"candidates": seen.candidates} if seen.candidates is not None else {}
    return dict(arrays_of(state)) | shown | {"keys": state.sessions.keys}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert array.dtype == other[name].dtype, name
        assert np.array_equal(array, other[name], equal_nan=array.dtype.kind == "f"), name


@pytest.mark.parametrize("batch", [7, 8_192])
def test_one_user_alone_equals_the_same_user_in_a_crowd(world, batch):
    if batch > 1_000 and world.name.startswith("users/"):
        batch = 200  # Written one at a time, they take their time.
    crowd = start(world, Sessions.first(3, batch))
    lanes = [0, batch // 2, batch - 1]
    alone = [start(world, Sessions.first(3, np.array([lane]))) for lane in lanes]
    for _ in range(8):
        crowd, together = advance(world, crowd)
        for place, lane in enumerate(lanes):
            alone[place], apart = advance(world, alone[place])
            assert_same(arrays(world, alone[place]), arrays(world, take(crowd, np.array([lane]))))
            assert_same(dict(arrays_of(apart)), {name: a[lane : lane + 1] for name, a in arrays_of(together)})
    assert crowd.sessions.ordinal.any(), "no session ended: nothing was shown about the next ones"


def test_users_do_not_mind_their_places(world):
    state, _ = advance(world, start(world, Sessions.first(1, 16)))
    order = np.random.default_rng(0).permutation(16)
    after, _ = advance(world, state)
    turned, _ = advance(world, take(state, order))
    assert_same(arrays(world, take(after, order)), arrays(world, turned))


def test_a_saved_session_goes_on_as_if_never_saved(world):
    state = start(world, Sessions.first(2, 12))
    for _ in range(3):
        state, _ = advance(world, state)
    other = loaded(state)
    for _ in range(6):
        state, outcome = advance(world, state)
        other, same = advance(world, other)
        assert_same(arrays(world, state), arrays(world, other))
        assert_same(dict(arrays_of(outcome)), dict(arrays_of(same)))


def test_nothing_that_is_given_is_changed(world):
    state, _ = advance(world, start(world, Sessions.first(2, 12)))
    before = {name: array.copy() for name, array in arrays(world, state).items()}
    shown = slates(world, state)
    copy = shown.copy()
    after, outcome = step(world, state, shown)
    middle = {name: array.copy() for name, array in arrays(world, after).items()}
    restart(world, after, np.array([0, 5]))
    step(world, after, slates(world, after))
    observe(world, after)
    assert_same(before, arrays(world, state))
    assert_same(middle, arrays(world, after))
    assert np.array_equal(shown, copy)
    assert outcome.done.shape == (12,)


def test_the_same_state_can_be_stepped_again(world):
    state, _ = advance(world, start(world, Sessions.first(2, 12)))
    first, _ = step(world, state, slates(world, state))
    step(world, state, slates(world, state)[:, ::-1])
    again, _ = step(world, state, slates(world, state))
    assert_same(arrays(world, first), arrays(world, again))


def test_a_lanes_next_session_is_the_one_with_the_next_ordinal(world):
    state, _ = step(world, start(world, Sessions.first(2, 4)), slates(world, start(world, Sessions.first(2, 4))))
    for ordinal in (1, 2):
        state = restart(world, state, np.array([1, 2]))
        fresh = start(world, Sessions(np.full(2, 2), np.array([1, 2]), np.full(2, ordinal)))
        assert_same(arrays(world, take(state, np.array([1, 2]))), arrays(world, fresh))
    assert state.sessions.ordinal.tolist() == [0, 2, 2, 0]


def test_what_is_known_before_the_session_stays_so_during_it(world):
    begun = start(world, Sessions.first(2, 12))
    state = begun
    for _ in range(3):
        state, _ = step(world, state, slates(world, state))
    assert np.array_equal(state.past, begun.past)
    assert np.array_equal(state.past_ratings, begun.past_ratings)
    past, ratings = world.population.past(state.population)
    assert np.array_equal(past, begun.past)
    assert np.array_equal(ratings, begun.past_ratings)


@pytest.mark.parametrize("make", [make for make in WORLDS if callable(make)])
def test_a_world_made_again_is_the_same_world(make):
    one, other = make(), make()
    assert one.fingerprint == other.fingerprint
    states = [start(world, Sessions.first(4, 9)) for world in (one, other)]
    for _ in range(6):
        states = [advance(world, state)[0] for world, state in zip((one, other), states, strict=True)]
        assert_same(arrays(one, states[0]), arrays(other, states[1]))


def test_the_shipped_checks_pass(world):
    check_world(world)
