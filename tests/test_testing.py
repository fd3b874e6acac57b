"""The shipped checks pass what is right and name what is wrong."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from instructrec.candidates import PopularAndRandom, RandomCandidates
from instructrec.envs import ScriptedUser, population_of, tiny_world, world_of
from instructrec.envs.tiny import TinyPopulation, optimal_policy
from instructrec.goals import Operator, Predicate
from instructrec.policies import Blank, greedy, plackett_luce
from instructrec.protocols import Instruction, Reaction
from instructrec.rewards import EngagementReward
from instructrec.sessions import Instructions, Reactions, observe
from instructrec.testing import (
    BrokenPromiseError,
    HashingEncoder,
    check_candidate_source,
    check_encoder,
    check_policy,
    check_population,
    check_ranker,
    check_reward,
    check_user,
    check_world,
)

TINY = tiny_world()
CATALOGUE = TINY.catalogue
COUNTER = itertools.count()


def broken(says):
    return pytest.raises(BrokenPromiseError, match=says)


class Ranked:
    """Scores by the id of the text, the turn and the item."""

    def scores(self, observation):
        items = np.arange(20.0)[None] if observation.candidates is None else observation.candidates.astype(float)
        return np.sin(items * (1 + observation.instruction[:, None] % 7) + observation.turn[:, None])


class Colour(ScriptedUser):
    def __init__(self):
        super().__init__("hello")

    def arrive(self, rng):
        self.colour = int(rng.integers(4))
        red = Predicate(field="colour", operator=Operator.INCLUDE, values=("red",))
        return Instruction(f"colour {self.colour}", (red,))

    def react(self, slate, rng):
        hits = np.flatnonzero(slate.items // 5 == self.colour)
        return Reaction(clicked=tuple(hits), left=bool(rng.random() < 0.2))


@pytest.mark.parametrize(
    "world",
    [
        TINY,
        tiny_world(slate_size=1, num_colours=8),
        replace(TINY, candidates=RandomCandidates(CATALOGUE, 8)),
        replace(TINY, candidates=PopularAndRandom(CATALOGUE, 3, 5)),
        world_of(Colour, CATALOGUE, slate_size=3, turn_limit=4),
    ],
)
def test_the_worlds_of_this_project_keep_their_promises(world):
    check_world(world)


def test_a_population_made_twice_behaves_the_same():
    check_population(TinyPopulation, CATALOGUE)
    check_population(lambda: population_of(Colour, CATALOGUE, slate_size=3), CATALOGUE)
    seeds = itertools.count()
    with broken("arrive gave something else when called again .* differs"):
        check_population(lambda: _Moody(next(seeds)), CATALOGUE)


@dataclass(frozen=True, kw_only=True)
class Users(TinyPopulation):
    """Tiny's users; subclasses break one promise each."""

    @property
    def fingerprint(self):
        return "users"


class _Moody(Users):
    def __init__(self, mood):
        super().__init__()
        object.__setattr__(self, "mood", mood)

    def arrive(self, sessions, noise):
        state, said = super().arrive(sessions, noise)
        return state, replace(said, texts=(said.texts + self.mood) % 41)


class Mutates(Users):
    def react(self, state, slates, noise):
        result = super().react(state, slates, noise)
        state.colour[:] = 0
        return result


class GlobalLuck(Users):
    def react(self, state, slates, noise):
        np.random.random()  # noqa: NPY002
        return super().react(state, slates, noise)


class OwnLuck(Users):
    rng = np.random.default_rng(0)

    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, left=self.rng.random(len(slates)) < 0.5)


class Crowded(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, left=reactions.left | (len(slates) == 1))


class Placed(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        first = np.arange(len(slates)) == len(slates) // 2
        return state, replace(reactions, left=reactions.left | (first & (len(slates) > 1)))


class Consumes(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, consumed=~reactions.clicked)


class Unsure(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, satisfaction=reactions.satisfaction * np.nan)


class Rejuvenates(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, days_away=np.full(len(slates), -1.0, np.float32))


class Counts(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, clicked=reactions.clicked.astype(int))


class Mumbles(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, instructions=Instructions(reactions.instructions.texts + 10**6))


class Remembers(Users):
    def past(self, state):
        return np.full((len(state.colour), 2), -1, np.int32), np.ones((len(state.colour), 2), np.float32)


class Forgets(Users):
    def react(self, state, slates, noise):
        super().react(state, slates, noise)


class Fixed(Users):
    def react(self, state, slates, noise):
        state, reactions = super().react(state, slates, noise)
        return state, replace(reactions, left=reactions.left | [slates[7, 0] < 0])


class Quits(Users):
    def arrive(self, sessions, noise):
        raise SystemExit(0)


class Overwrites(Users):
    def react(self, state, slates, noise):
        result = super().react(state, slates, noise)
        slates[:] = 0
        return result


class Negates(Users):
    def arrive(self, sessions, noise):
        state, said = super().arrive(sessions, noise)
        return state, replace(said, texts=said.texts * 0 - 5)


class Blurs(Users):
    def past(self, state):
        return [0] * len(state.colour)


class Overrates(Users):
    def expected_utility(self, state):
        return super().expected_utility(state) * 2


@dataclass(frozen=True)
class Objects:
    who: np.ndarray


class Hoards(Users):
    def arrive(self, sessions, noise):
        return Objects(np.array([object() for _ in sessions.lane])), super().arrive(sessions, noise)[1]


class Loose(Users):
    def arrive(self, sessions, noise):
        return {"colour": 3}, super().arrive(sessions, noise)[1]


@pytest.mark.parametrize(
    ("users", "says"),
    [
        (Mutates, "react changed its argument's colour; copy it"),
        (GlobalLuck, "react draws from NumPy's global generator"),
        (OwnLuck, r"react gave something else when called again .* \(reactions.left differs\)"),
        (Crowded, r"react: what a user does depends on the others in the batch \(reactions.left differs\)"),
        (Placed, "react: what a user does depends on"),
        (Consumes, "something was consumed that was not clicked"),
        (Unsure, "satisfaction must be one number from 0 to 1"),
        (Rejuvenates, "days_away must be 0 or more and finite"),
        (Counts, r"clicked must be booleans of shape \(8, 3\), got int64"),
        (Mumbles, "react returned the id of a text that its own `texts` does not know"),
        (Remembers, "a rating other than 0 where the item is padding"),
        (Forgets, "Forgets.react must return a state and Reactions, got NoneType; is a `return` missing"),
        (Fixed, r"Fixed.react, called as react\(state, slates, noise\) for 1 user, raised IndexError: index 7 is out"),
        (Quits, r"Quits.arrive, called as arrive\(sessions, noise\) for 8 users, raised SystemExit"),
        (Overwrites, r"react changed its argument 2, an array of int64 \(8, 3\); copy it"),
        (Negates, "arrive returned the text id -5; silence is 0"),
        (Blurs, "Blurs.past must return items and their ratings, got list"),
        (Overrates, "expected_utility must give probabilities"),
        (Hoards, r"holds Python objects in \['who'\]"),
        (Loose, "the state that arrive returned is no record: expected a dataclass of arrays"),
    ],
)
def test_a_population_that_breaks_a_promise_is_told_which(users, says):
    with broken(says):
        check_population(users(), CATALOGUE)


def test_a_fingerprint_that_changes_is_found_out():
    numbers = itertools.count()

    class Changing(Users):
        @property
        def fingerprint(self):
            return str(next(numbers))

    with broken("the fingerprint must depend on behaviour alone; it was '0', then '1'"):
        check_population(Changing(), CATALOGUE)


def test_an_observation_that_tells_what_is_hidden_is_found_out(monkeypatch):
    def telling(world, state):
        return replace(observe(world, state), turn=state.turn + state.population.colour)

    monkeypatch.setattr("instructrec._testing.observe", telling)
    monkeypatch.setattr("instructrec.testing.observe", telling)
    with broken(r"what agents see depends on what is hidden from them \(turn differs\)"):
        check_world(TINY)


def test_a_good_user_passes():
    check_user(Colour, CATALOGUE)
    check_user(lambda: ScriptedUser("hello", (Reaction(clicked=(0, 2)),)), CATALOGUE)


class Gambler(Colour):
    def react(self, slate, rng):
        return Reaction(clicked=(int(np.random.randint(3)),))  # noqa: NPY002


class Sharing(Colour):
    said = []  # noqa: RUF012

    def arrive(self, rng):
        self.said.clear()
        return super().arrive(rng)

    def react(self, slate, rng):
        self.said.append(1)
        return Reaction(left=len(self.said) > 2)


def critic(**predicate):
    newer = Predicate(**{"field": "finish", "operator": Operator.MORE_THAN, "position": 1} | predicate)
    return lambda: ScriptedUser("hello", (Reaction(next=Instruction("newer", (newer,))),))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (Gambler, "Gambler did .* all its luck must come from the rng it is handed"),
        (Sharing, "did .* (beside other users|given the same luck)"),
        (lambda: ScriptedUser("x", ("click",)), "react must return a Reaction, got str"),
        (lambda: ScriptedUser(7), "arrive must return an Instruction, got int"),
        (lambda: ScriptedUser("x", (Reaction(clicked=(3,)),)), "clicked position 3; a slate of 3 has positions 0 to 2"),
        (critic(position=4), "criticises position 4 in 'newer'; the slate holds 3 items"),
        (critic(), "compares 'finish' in 'newer', which has no order"),
        (
            lambda: ScriptedUser(Instruction("newer", (Predicate(field="colour", operator="less_than", position=1),))),
            "criticises a slate in 'newer' before it saw one",
        ),
        (
            lambda: ScriptedUser(Instruction("no", (Predicate(field="color", operator="exclude", values=("red",)),))),
            "does not fit the catalogue: unknown attribute 'color'; did you mean 'colour'",
        ),
    ],
)
def test_a_user_that_breaks_a_promise_is_told_which(make, says):
    with broken(says):
        check_user(make, CATALOGUE)


def test_good_rankers_and_policies_pass():
    few = replace(TINY, candidates=RandomCandidates(CATALOGUE, 6))
    for world in (TINY, few):
        check_ranker(Ranked(), world)
        check_ranker(Blank(Ranked()), world)
        check_policy(greedy(Ranked(), 3), world)
        check_policy(plackett_luce(Ranked(), 3, temperature=0.5), world)
    check_policy(optimal_policy(TINY), TINY)


def scoring(function):
    return type("Odd", (), {"scores": staticmethod(function)})()


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (lambda o: np.ones((o.batch, 19)), r"scores must return floats \[batch, num_candidates\] = \(8, 20\)"),
        (lambda o: np.full((o.batch, 20), np.nan), "scores gave NaN"),
        (lambda o: np.tile(o.instruction.mean() * np.arange(20.0), (o.batch, 1)), "depend on the others in the batch"),
        (lambda o: np.ones((o.batch, 20), int), "must return floats"),
        (lambda o: np.ones((o.batch, 20)) * next(COUNTER), "gave something else when called again"),
        (lambda o: o.turn.__iadd__(1)[:, None] * np.ones(20), "scores changed its argument's turn; copy it"),
    ],
)
def test_a_ranker_that_breaks_a_promise_is_told_which(scores, says):
    with broken(says):
        check_ranker(scoring(scores), TINY)


@dataclass
class Drawn:
    """Plackett-Luce, except for what a test replaces."""

    act: object = None
    log_prob: object = None

    def __post_init__(self):
        good = plackett_luce(Ranked(), 3)
        self.act, self.log_prob = self.act or good.act, self.log_prob or good.log_prob


GOOD = plackett_luce(Ranked(), 3)


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        (Drawn(act=lambda o, n: np.zeros((o.batch, 3), int)), "act repeats an item"),
        (Drawn(act=lambda o, n: GOOD.act(o, n) + 18), "is no candidate"),
        (Drawn(act=lambda o, n: GOOD.act(o, n).astype(float)), "must return item numbers, integers"),
        (Drawn(act=lambda o, n: GOOD.act(o, n)[:, :2]), r"of shape \(8, 3\)"),
        (Drawn(log_prob=lambda o, s: GOOD.log_prob(o, s).sum(axis=1)), r"log_prob must return floats \[batch, slate"),
        (Drawn(log_prob=lambda o, s: GOOD.log_prob(o, s) * 0.9), "probabilities of the first position sum to"),
        (Drawn(log_prob=lambda o, s: -GOOD.log_prob(o, s)), "probability of 0 or above 1"),
        (Drawn(log_prob=lambda o, s: np.full(s.shape, -np.log(20))), "probabilities of all slates sum to"),
        (
            Drawn(act=lambda o, n: plackett_luce(Ranked(), 3, temperature=9.0).act(o, n)),
            "act does not draw what log_prob says: item",
        ),
        (Drawn(act=lambda o, n: np.roll(GOOD.act(o, n), 1, axis=0)), "depends on the others"),
        (Drawn(log_prob=lambda o, s: GOOD.log_prob(o, s)[:, ::-1]), "sum to|depends on the positions below"),
    ],
)
def test_a_policy_that_breaks_a_promise_is_told_which(policy, says):
    with broken(says):
        check_policy(policy, TINY)


def test_a_good_encoder_passes():
    check_encoder(HashingEncoder())
    assert np.linalg.norm(HashingEncoder(8).encode(["a b c"])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("encode", "says"),
    [
        (lambda v, t: v.astype(float), "float32, got float64"),
        (lambda v, t: v - v.mean(axis=0), "depends on the other texts"),
        (lambda v, t: v * 0, "have the same vector"),
        (lambda v, t: v[:1] if len(t) else v, r"encode must return floats \[num_texts, width\] = \(7, 16\)"),
        (lambda v, t: v * np.float32(np.inf) if len(t) == 7 else v, "NaN|infinite"),
        (lambda v, t: v if len(t) else np.zeros((0, 3), np.float32), "encode of no texts"),
    ],
)
def test_an_encoder_that_breaks_a_promise_is_told_which(encode, says):
    class Odd(HashingEncoder):
        def encode(self, texts):
            with np.errstate(invalid="ignore"):
                return encode(super().encode(texts), texts)

    with broken(says):
        check_encoder(Odd(16))


@pytest.mark.parametrize("size", [3, 4, 9, 10, 11, 19, 20])
def test_the_candidate_sources_of_this_project_pass(size):
    check_candidate_source(RandomCandidates(CATALOGUE, size), TINY)
    check_candidate_source(PopularAndRandom(CATALOGUE, size // 2, size - size // 2), TINY)


@dataclass(frozen=True)
class Source:
    draws: object
    name: str = "a source"

    def __repr__(self):
        return self.name

    def draw(self, observation, noise):
        return self.draws(observation, noise)


GOOD_SOURCE = RandomCandidates(CATALOGUE, 5)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source(lambda o, n: np.zeros((o.batch, 5), np.int32)), "an item twice"),
        (Source(lambda o, n: GOOD_SOURCE.draw(o, n).astype(int)), "int32"),
        (Source(lambda o, n: GOOD_SOURCE.draw(o, n)[:, :2]), "2 candidates; a slate of 3 needs as many"),
        (Source(lambda o, n: GOOD_SOURCE.draw(o, n) + np.int32(17)), "an item that does not exist"),
        (Source(lambda o, n: GOOD_SOURCE.draw(o, n)[:, : 5 - (o.turn > 0).any()]), "must be the same every turn"),
        (Source(lambda o, n: GOOD_SOURCE.draw(o, n) * 0 + next(COUNTER) % 10 + np.arange(5, dtype=np.int32)),
         "gave something else when called again"),
        (Source(GOOD_SOURCE.draw, "<Source object at 0x7f00>"), "must name the settings"),
    ],
)  # fmt: skip
def test_a_candidate_source_that_breaks_a_promise_is_told_which(source, says):
    with broken(says):
        check_candidate_source(source, TINY)


def test_good_rewards_pass():
    check_reward(EngagementReward())
    check_reward(EngagementReward(click=0.5, consumption=2.0), slate_size=10)


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (lambda r: r.clicked.astype(float), "float32, got float64"),
        (lambda r: r.clicked.sum(axis=1, dtype=np.float32), r"\[batch, slate_size\]"),
        (lambda r: r.clicked / np.float32(0), "NaN|infinite"),
        (lambda r: (r.clicked - r.clicked.mean()).astype(np.float32), "depends on the others in the batch"),
    ],
)
def test_a_reward_that_breaks_a_promise_is_told_which(points, says):
    class Odd(EngagementReward):
        def __call__(self, reactions: Reactions):
            with np.errstate(all="ignore"):
                return points(reactions)

    with broken(says):
        check_reward(Odd())


class _Stayer:
    def arrive(self, rng):
        return Instruction("anything")

    def react(self, slate, rng):
        return Reaction()


class _Leaver(_Stayer):
    def react(self, slate, rng):
        return Reaction(left=slate.turn >= 2)


def test_users_who_never_leave_are_found_where_they_should():
    check_user(_Stayer, CATALOGUE)
    check_user(_Leaver, CATALOGUE, ends_within=3)
    with pytest.raises(BrokenPromiseError, match=r"20 of 20 users of _Stayer did not leave within 12 slates; return"):
        check_user(_Stayer, CATALOGUE, ends_within=12)

    def crowd():
        return population_of(_Stayer, CATALOGUE, slate_size=3)

    check_population(crowd, CATALOGUE)
    with pytest.raises(BrokenPromiseError, match=r"8 of 8 users did not leave within 4 slates; set `left`"):
        check_population(crowd, CATALOGUE, ends_within=4)


def test_a_maker_is_handed_what_it_asks_for():
    asked = {}

    def make(catalogue, turn_limit, more=1):
        asked.update(catalogue=catalogue, turn_limit=turn_limit, more=more)
        return population_of(_Leaver, catalogue, slate_size=3)

    check_population(make, CATALOGUE, turns=4)
    assert asked == {"catalogue": CATALOGUE, "turn_limit": 4, "more": 1}
    with pytest.raises(BrokenPromiseError, match="needs patience; give a function"):
        check_population(lambda catalogue, patience: None, CATALOGUE)
