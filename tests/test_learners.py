"""What every agent that is fitted to a log promises, and what each of them finds."""

from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch

from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.learners import LEARNERS, Ground, log_for
from instructrec.agents.reading import SessionReader
from instructrec.candidates import RandomCandidates
from instructrec.envs import world_of
from instructrec.envs.tiny import COLOURS, tiny_world
from instructrec.envs.vocabulary import Sense, Speech, Term
from instructrec.envs.worlds import spoken_in
from instructrec.experiments.evaluation import evaluate
from instructrec.experiments.trainers import configured
from instructrec.goals import Operator, Predicate
from instructrec.logs import Log
from instructrec.policies import Blank, best_first
from instructrec.protocols import Instruction, Reaction
from instructrec.sessions import Observation, Sessions, observe, start
from instructrec.texts import Texts

FITTED = tuple(name for name, learner in LEARNERS.items() if learner.fits)
DEAF = ("item_knn", "ease", "als", "bpr")
"""Those that read histories and no word."""
NEEDS = {"als": "implicit", "bpr": "implicit", "lambdamart": "lightgbm"}
FROM_START = ("supervised", "clone", "ips", "fitted_q", "dr")
"""SlatePPO's network, which learns how much marks matter."""
NETWORK = {"width": 16, "hidden": 32, "epochs": 8, "minibatch_size": 64, "learning_rate": 5e-3}
OWN = {"learning_rate": 5e-3, "epochs": 4, "item_rate": 1.0, "scorer.hidden": 32}
SMALL = {
    "supervised": {"epochs": 8, "minibatch_size": 128, "scorer.hidden": 32},
    "ease": {"regularisation": 1.0},
    "als": {"factors": 2, "regularisation": 1.0},
    "bpr": {"factors": 2},
    "lambdamart": {"trees": 60, "least_rows": 10},
    "sasrec": {**NETWORK, "length": 8},
    "clone": OWN,
    "ips": {**OWN, "epochs": 8, "anchor": 0.0},
    "fitted_q": {**OWN, "rounds": 4, "value_rate": 5e-3},
    "dr": {**OWN, "rounds": 4, "value_rate": 5e-3, "anchor": 0.0},
} | dict.fromkeys(("two_tower", "two_tower_mse", "cross", "cross_mse", "like_dislike", "two_tower_cloning"), NETWORK)
"""Settings that suit worlds of twenty items."""


def settings_of(name):
    """Returns settings for a test, having skipped it where a library is missing."""
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    return configured(LEARNERS[name].config, SMALL.get(name, {}))


def spoken(world):
    """Returns a world with words for its colours, for those who parse."""
    senses = tuple(
        Sense(Predicate(field="colour", operator=Operator.INCLUDE, values=(colour,)), (Term(colour, Speech.ADJECTIVE),))
        for colour in COLOURS[:4]
    )
    return replace(world, words=replace(spoken_in(world), senses=senses))


def ground_of(world, steps):
    torch.set_num_threads(1)
    encoder = load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(list(world.catalogue.texts)))
    reader = SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)
    return Ground(world, reader, steps)


def learned(name, ground, seed=0):
    return LEARNERS[name].learn(ground, settings_of(name), seed, lambda share, words: None).agent


def fitted(name, ground, log):
    """Returns a ranker fitted to a log of one's own."""
    own = replace(ground, regime="own", log=log)
    return learned(name, own)


def seen(ground, count=50):
    return observe(ground.world, start(ground.world, Sessions.first(5, count)))


@pytest.fixture(scope="module")
def tiny():
    return ground_of(spoken(tiny_world()), 1_500)


@pytest.mark.parametrize("name", [name for name in FITTED if name not in (*DEAF, "clone")])
def test_those_who_hear_show_what_is_asked_for_and_without_words_something_else(tiny, name):
    agent = learned(name, tiny)
    colour = start(tiny.world, Sessions.first(5, 200)).population.colour
    right = [
        (best_first(one.scores(seen(tiny, 200)), 3) // 5 == colour[:, None]).mean() for one in (agent, Blank(agent))
    ]
    assert right[0] > 0.9
    assert right[1] < 0.5


@pytest.mark.parametrize("name", FITTED)
def test_the_same_seed_gives_the_same_ranker(tiny, name):
    log = log_for(tiny, 0).rows(slice(300))
    one, same = (fitted(name, tiny, log).scores(seen(tiny)) for _ in "ab")
    assert not np.isnan(one).any()
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("name", FITTED)
def test_what_was_clicked_goes_last_and_candidates_are_scored_as_in_the_catalogue(tiny, name):
    log = log_for(tiny, 0).rows(slice(300))
    agent = fitted(name, tiny, log)
    late = log.observations.rows(log.observations.turn > 0)
    everything = agent.scores(late)
    if name not in FROM_START:
        row, turn, place = (part[0] for part in np.nonzero(late.clicked))
        assert everything[row].argmin() == late.slates[row, turn, place] or np.isneginf(everything[row]).any()
    few = np.tile(np.array([3, 17, 8, 0, 11], np.int32), (late.batch, 1))
    some = agent.scores(replace(late, candidates=few))
    if name == "lambdamart":
        # The trees are sums in double precision of what one matrix product or another gives.
        assert (some.argmax(axis=1) == np.take_along_axis(everything, few, axis=1).argmax(axis=1)).mean() > 0.9
    else:
        np.testing.assert_allclose(some, np.take_along_axis(everything, few, axis=1), atol=1e-4)


@pytest.mark.parametrize("name", FITTED)
def test_it_learns_in_a_world_that_offers_candidates(tiny, name):
    world = replace(tiny.world, candidates=RandomCandidates(tiny.world.catalogue, 8))
    ground = replace(tiny, world=world, steps=300, recorded={})
    returns = evaluate(world, learned(name, ground), Sessions.first(9, 20)).returns
    assert np.isfinite(returns).all()


@pytest.mark.parametrize("name", FITTED)
def test_a_log_without_a_click_gives_a_ranker_that_ranks(tiny, name):
    log = log_for(tiny, 0).rows(slice(200))
    blank = replace(log.observations, clicked=np.zeros_like(log.observations.clicked))
    silent = replace(log, observations=blank, clicked=np.zeros_like(log.clicked))
    assert np.isfinite(fitted(name, tiny, silent).scores(seen(tiny))).all()


class Picky:
    """A person of one's own, with a goal in words that no vocabulary knows."""

    def arrive(self, rng):
        self.wanted = int(rng.integers(4))
        return Instruction(f"gimme {COLOURS[self.wanted]}!")

    def react(self, slate, rng):
        return Reaction(clicked=tuple(np.flatnonzero(slate.items // 5 == self.wanted)), left=bool(rng.random() < 0.3))


@pytest.mark.parametrize("name", FITTED)
def test_it_learns_among_people_of_ones_own(name):
    ground = ground_of(world_of(Picky, tiny_world().catalogue, slate_size=3, turn_limit=4), 300)
    scores = learned(name, ground).scores(seen(ground))
    assert scores.shape == (50, 20)


@pytest.mark.parametrize("name", FITTED)
def test_it_is_fitted_anew_in_rounds(tiny, name):
    ground = replace(tiny, steps=250, regime="rounds")
    found = LEARNERS[name].learn(ground, settings_of(name), 0, lambda share, words: None)
    assert found.steps == 250
    assert "rounds" in found.note


GROUPS, OWN_ITEMS = 2, 10
"""Two groups of people: one consumes the first ten of twenty items, the other the others."""


def two_groups(words=""):
    """Returns a log of 200 people, each with a past and clicks in their group's items."""
    rng = np.random.default_rng(0)
    group = np.arange(200) % GROUPS
    own = np.stack([rng.permutation(OWN_ITEMS) + OWN_ITEMS * one for one in group])
    past, clicks = own[:, :4].astype(np.int32), own[:, 4:5]
    other = (clicks + OWN_ITEMS) % (2 * OWN_ITEMS)
    slates = np.concatenate([other, clicks, (other + 1) % 20], axis=1).astype(np.int32)
    return group, Log(
        observation_of(past, words),
        slates,
        np.full((200, 3), -3.0),
        slates == clicks,
        (slates == clicks).astype(np.float32),
        np.arange(200),
        np.ones(200, np.bool_),
    )


def observation_of(past, words=""):
    texts = Texts(["", words] if words else [""])
    batch = len(past)
    return Observation(
        np.full(batch, int(bool(words)), np.int64),
        np.full((batch, 6), -1, np.int64),
        past,
        np.full(past.shape, 4.0, np.float32),
        np.full((batch, 6, 3), -1, np.int32),
        np.zeros((batch, 6, 3), np.bool_),
        np.zeros(batch, np.int32),
        None,
        texts,
    )


@pytest.mark.parametrize("name", DEAF)
def test_those_who_read_histories_find_the_group_and_ignore_words(tiny, name):
    agent = fitted(name, tiny, two_groups()[1])
    strangers = np.array([[0, 5, -1], [12, 19, 14], [-1, -1, -1]], np.int32)
    scores = agent.scores(observation_of(strangers))
    best = best_first(scores, 5)
    assert (best[0] < OWN_ITEMS).all()
    assert (best[1] >= OWN_ITEMS).all()
    # Of somebody with no history nothing is known but what most consume.
    popular = best_first(tiny.world.catalogue.popularity[None], 3)[0]
    if name != "bpr":  # Whose items have a bias of their own.
        np.testing.assert_array_equal(best[2, :3], popular)
    np.testing.assert_array_equal(scores, agent.scores(observation_of(strangers, "red please")))


@pytest.mark.parametrize("name", DEAF)
def test_clicks_of_the_session_count_like_the_past(tiny, name):
    agent = fitted(name, tiny, two_groups()[1])
    nobody = observation_of(np.full((1, 1), -1, np.int32))
    nobody.slates[0, 0], nobody.clicked[0, 0, 0] = [12, 3, 4], True
    assert (best_first(agent.scores(replace(nobody, turn=np.array([1], np.int32))), 5) >= OWN_ITEMS).all()


def test_people_are_folded_in_as_the_library_does_it(tiny):
    implicit_als = pytest.importorskip("implicit.als")
    from instructrec.agents.factor_models import folded_in
    from instructrec.agents.histories import history_matrix

    consumed = history_matrix(two_groups()[1], 20, liked_from=0.0)
    model = implicit_als.AlternatingLeastSquares(
        factors=4, regularization=0.5, alpha=7.0, iterations=3, num_threads=1, random_state=0
    )
    model.fit(consumed, show_progress=False)
    theirs = model.recalculate_user(np.arange(consumed.shape[0]), consumed)
    ours = folded_in(consumed, np.asarray(model.item_factors, np.float64), 0.5, 7.0)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_ease_weighs_by_the_closed_form(tiny):
    from instructrec.agents.histories import history_matrix
    from instructrec.agents.neighbours import EASE, EASEConfig

    consumed = history_matrix(two_groups()[1], 20, liked_from=0.0)
    foretell = EASE(tiny.world.catalogue, EASEConfig(regularisation=3.0))._weights(consumed)
    dense = consumed.toarray().astype(np.float64)
    own = [dense[:, [other for other in range(20) if other != item]] for item in range(20)]
    # Each column is the ridge regression of an item on all others (Steck 2019, section 3).
    for item, others in enumerate(own):
        weights = np.linalg.solve(others.T @ others + 3.0 * np.eye(19), others.T @ dense[:, item])
        np.testing.assert_allclose(foretell(consumed)[:, item], others @ weights, atol=1e-4)


@pytest.mark.parametrize("name", LEARNERS)
def test_every_setting_that_is_tuned_exists_and_starts_within_its_space(name):
    for setting, choices in LEARNERS[name].space.items():
        value = LEARNERS[name].config()
        for part in setting.split("."):
            assert is_dataclass(value)
            assert part in {entry.name for entry in fields(value)}
            value = getattr(value, part)
        if choices[-1] in ("log", "linear"):
            assert choices[0] <= value <= choices[1]
        else:
            assert value in choices


def test_a_missing_library_is_told_with_the_command_that_installs_it(tiny, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ImportError, match=r"pip install 'instructrec\[baselines\]'"):
        LEARNERS["lambdamart"].learn(tiny, LEARNERS["lambdamart"].config(), 0, lambda share, words: None)
