import numpy as np
import pytest

from instructrec.envs.behaviour import Behaviour
from instructrec.envs.dials import Dials
from instructrec.envs.worlds import make_world
from instructrec.goals import Reveal
from instructrec.sessions import Sessions, start, step

SMALL = {"bank_size": 600}


def movies(**dials):
    return make_world("instructrec/Movies-v0", **SMALL, **dials)


def play(world, batch=400, turns=6):
    """Shows popular films, the same in every world, and returns clicks per slate and how many stayed."""
    best = np.argsort(-world.catalogue.popularity)[: 10 * turns].reshape(turns, 10)
    state, clicks, there = start(world, Sessions.first(0, batch)), [], np.ones(batch, bool)
    for slate in best:
        state, outcome = step(world, state, np.tile(slate, (batch, 1)))
        clicks.append(outcome.reactions.clicked[there].sum(axis=1).mean())
        there &= ~outcome.done
    return float(np.mean(clicks)), float(there.mean())


def held_back(world):
    reveals = [p.reveal for goal in world.population.bank.predicates for p in goal if p.hard]
    return reveals.count(Reveal.ON_VIOLATION) / len(reveals)


def test_dials_as_they_stand_leave_a_world_as_it_is():
    assert movies().fingerprint == movies(cooperation=1.0, vagueness=0.0, click_noise=0.0, patience=1.0).fingerprint
    assert "click_noise" not in repr(movies().population.behaviour)
    for turned in ({"cooperation": 0.5}, {"vagueness": 0.5}, {"typos": 0.5}, {"patience": 2}, {"drift": 0.4}):
        assert movies(**turned).fingerprint != movies().fingerprint, turned


def test_the_less_cooperative_hold_back_more_and_reveal_less():
    usual, less, none = (movies(cooperation=c) for c in (1.0, 0.5, 0.0))
    assert held_back(usual) < held_back(less) < held_back(none)
    assert less.population.behaviour.reveal == pytest.approx(0.5 * usual.population.behaviour.reveal)
    assert none.population.behaviour.critique == 0
    said = [sum(p.reveal is Reveal.VOLUNTEERED and p.hard for p in goal) for goal in none.population.bank.predicates]
    assert max(said) <= 1


def test_vague_people_say_what_they_want_less_often():
    def specific(world):
        bank = world.population.bank
        return sum(f for f, i in zip(bank.frequency, bank.intention, strict=True) if i == "specific")

    usual, vaguer = movies(), movies(vagueness=0.6)
    assert specific(vaguer) == pytest.approx(0.4 * specific(usual), abs=0.03)


def test_the_careless_misspell_more():
    plain, usual, careless = (movies(typos=t) for t in (0.0, 0.04, 1.0))
    words = {w.strip(".,?!") for text in plain.population.bank.texts for w in text.lower().split()}

    def strange(world):
        texts = world.population.bank.texts
        return sum(any(w.strip(".,?!") not in words for w in text.lower().split()) for text in texts) / len(texts)

    assert strange(plain) == 0
    assert strange(usual) < 0.5 < strange(careless)


def test_noise_blurs_clicks_and_the_patient_stay():
    clicks, stayed = play(movies())
    noisy, _ = play(movies(click_noise=0.5))
    _, patient = play(movies(patience=10))
    _, hasty = play(movies(patience=0.2))
    assert noisy > clicks  # A coin clicks more often than people do on average.
    assert hasty < stayed < patient


def test_with_all_noise_utility_is_a_coin():
    world = movies(click_noise=1.0)
    state = start(world, Sessions.first(0, 3))
    np.testing.assert_allclose(world.population.expected_utility(state.population), 0.5)


def test_those_who_drift_want_something_else():
    def changed(world):
        state = start(world, Sessions.first(0, 300))
        before = state.population.goal
        for turn in range(3):
            shown = np.tile(np.arange(10 * turn, 10 * turn + 10), (300, 1))
            state, _ = step(world, state, shown)
        return float((state.population.goal != before).mean())

    assert changed(movies(drift=0.0)) == 0
    assert changed(movies()) < changed(movies(drift=0.7))


@pytest.mark.parametrize(
    ("dial", "words"),
    [
        ({"cooperation": 1.5}, "cooperation is a share or probability from 0 to 1, got 1.5"),
        ({"typos": "many"}, "typos is a share or probability from 0 to 1, got 'many'"),
        ({"patience": 0}, "patience is a number from 0.01 to 100"),
        ({"vagueness": None}, "vagueness is a share"),
    ],
)
def test_a_dial_out_of_range_is_told(dial, words):
    with pytest.raises(ValueError, match=words):
        Dials(**dial)


def test_drift_leaves_room_for_what_else_people_say():
    usual = Behaviour(new_goal=0.1, critique=0.2, like=0.1)
    with pytest.raises(ValueError, match=r"drift is at most 0\.7 here, got 1: in 0\.3 of the turns"):
        Dials(drift=1).behaviour(usual)
    with pytest.raises(ValueError, match=r"drift is at most 0\.8 here"):
        Dials(drift=1, cooperation=0.5).behaviour(usual)
    assert Dials(drift=0.7).behaviour(usual).new_goal == 0.7
    with pytest.raises(ValueError, match=r"drift is at most 0\.8 here, got 1"):
        movies(drift=1)


def test_the_mute_have_no_dials():
    with pytest.raises(ValueError, match="do not converse"):
        make_world("instructrec/Boredom-v0", patience=2)
