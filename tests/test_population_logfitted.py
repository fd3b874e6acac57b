"""Users fitted to a log find what made it, hold for people they never met, and live on as a population."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checked
from hypothesis import strategies as st
from scipy.special import expit

from instructrec.catalogue import Catalogue, Column
from instructrec.envs import make_world
from instructrec.envs.click_logs import ClickLog, read_log
from instructrec.envs.fitted_users import FittedUsers
from instructrec.envs.item_likeness import Attributes, Overlap, words_of
from instructrec.envs.log_fitting import NEVER_AGAIN, fit_log
from instructrec.envs.population_logfitted import POPULATION, LogFittedPopulation
from instructrec.envs.populations import with_population
from instructrec.experiments import cli
from instructrec.noise import Noise
from instructrec.sessions import Sessions
from instructrec.splits import Split, split_of
from instructrec.testing import check_population, check_world

COLOURS, ITEMS, PLACES, TURNS = ("red", "green", "blue"), 60, 4, 4
LOOKS, SKIP, CLICK = np.array([1.0, 0.75, 0.5, 0.35]), 0.9, 0.5
BIAS, GREEN, PRICE, WORDS = -1.2, -0.9, 0.6, 1.3
STAYS, PER_TURN, PER_CLICK = -1.0, 0.3, -0.8


@cache
def shop() -> Catalogue:
    rng = np.random.default_rng(0)
    colours = [COLOURS[place % 3] for place in range(ITEMS)]
    return Catalogue(
        columns={
            "colour": Column.categorical("colour", colours, COLOURS),
            "price": Column.numeric("price", rng.normal(20, 5, ITEMS)),
        },
        titles=tuple(f"Thing {place}" for place in range(ITEMS)),
        texts=tuple(f"a {colour} thing" for colour in colours),
        item_ids=tuple(f"t{place}" for place in range(ITEMS)),
        popularity=rng.integers(1, 100, ITEMS).astype(np.float32),
    )


@cache
def simulated(kind: str = "position", people: int = 2500, talks: bool = True, tastes: float = 0.0) -> ClickLog:
    """Makes a log of people with two visits each, of up to four slates, by the formulas in the test's constants."""
    rng = np.random.default_rng(7)
    price = shop().column("price").numbers.astype(np.float64)
    colour = np.arange(ITEMS) % 3
    worth = BIAS + GREEN * (colour == 1) + PRICE * (price - price.mean()) / price.std()
    sessions = 2 * people
    favourite = np.repeat(rng.integers(0, 3, people), 2)
    items = np.argsort(rng.random((sessions, TURNS, ITEMS)), axis=-1)[..., :PLACES]
    said = rng.integers(0, 3, (sessions, TURNS))
    logits = worth[items] + tastes * (colour[items] == favourite[:, None, None])
    logits = logits + (WORDS * (colour[items] == said[..., None]) if talks else 0.0)
    attracts, luck = rng.random(items.shape) < expit(logits), rng.random(items.shape)
    looks = luck < LOOKS if kind == "position" else np.ones_like(attracts)
    if kind == "cascade":
        for place in range(1, PLACES):
            goes_on = np.where(attracts[..., place - 1], CLICK, SKIP)
            looks[..., place] = looks[..., place - 1] & (luck[..., place] < goes_on)
    clicked = attracts & looks
    hazard = expit(STAYS + PER_TURN * np.arange(TURNS) + PER_CLICK * clicked.any(axis=-1))
    leaves = rng.random(hazard.shape) < hazard
    there = np.cumsum(leaves, axis=1) - leaves == 0
    session = np.broadcast_to(np.arange(sessions)[:, None], there.shape)[there]
    return ClickLog(
        items=items[there].astype(np.int32),
        clicked=clicked[there],
        session=session.astype(np.int32),
        said=(said[there] + 1 if talks else np.zeros(len(session))).astype(np.int32),
        person=(np.arange(sessions) // 2).astype(np.int32),
        persons=tuple(f"p{person}" for person in range(people)),
        texts=("", *COLOURS) if talks else ("",),
    )


@cache
def fitted(kind: str = "position", **made: float) -> FittedUsers:
    return fit_log(simulated(kind, **made), shop(), session_limit=TURNS)


def weight(users: FittedUsers, name: str) -> float:
    """Returns an attribute's weight in the units of the catalogue."""
    place = users.attributes.named.index(name)
    return float(users.weights[place] / users.attributes.scale[place])


@pytest.mark.parametrize("kind", ["position", "cascade"])
def test_what_made_the_log_is_found_again(kind):
    users = fitted(kind)
    assert users.examination == kind
    looks = LOOKS if kind == "position" else (SKIP, CLICK)
    np.testing.assert_allclose(users.looks, looks, atol=0.06)
    spread = shop().column("price").numbers.std()
    assert weight(users, "price") * spread == pytest.approx(PRICE, abs=0.1)
    assert weight(users, "colour=green") - weight(users, "colour=red") == pytest.approx(GREEN, abs=0.2)
    assert weight(users, "popularity") == pytest.approx(0, abs=0.1)
    assert users.match == pytest.approx(WORDS, abs=0.2)
    np.testing.assert_allclose(users.leaving, [STAYS, PER_TURN, PER_CLICK], atol=0.15)


@pytest.mark.parametrize("kind", ["position", "cascade"])
def test_people_never_met_are_foretold_better_than_by_the_baselines_and_calibrated(kind):
    held = fitted(kind).figures["held_out"]
    for rival in ("rate", "position", "popularity"):
        better, margin = held["better_than"][rival]
        assert better == pytest.approx(held["users"] - held[rival])
        assert better > 2 * margin > 0
    assert held["slope"] == pytest.approx(1, abs=0.1)
    assert held["intercept"] == pytest.approx(0, abs=0.15)
    assert held["leaving"] > held["leaving_rate"]


def test_the_figures_are_those_of_people_who_are_in_no_other_part():
    log, people = simulated(), fitted().figures["people"]
    assert people == {str(split): sum(split_of("users", name) == split for name in log.persons) for split in Split}
    held_out = np.array([split_of("users", name) == Split.TEST for name in log.persons])
    other = replace(log, clicked=log.clicked.copy())
    rows = log.of(held_out)
    other.clicked[rows[::2]] = False
    moved = fit_log(other, shop(), examination="position", session_limit=TURNS)
    np.testing.assert_array_equal(moved.weights, fitted().weights)
    assert moved.figures["held_out"]["users"] != fitted().figures["held_out"]["users"]


def test_calibrating_mends_what_too_strong_a_penalty_shrank():
    held = fit_log(simulated(), shop(), examination="position", penalty=3000.0).figures["held_out"]
    assert held["slope_before"] > 1.3
    assert held["slope"] == pytest.approx(1, abs=0.12)


def test_what_a_person_clicked_before_tells_what_it_will_click():
    log = simulated(people=1500, talks=False, tastes=2.0)
    assert fitted(people=1500, talks=False, tastes=2.0).affinity[0] > 0.5
    stranger = replace(log, person=np.arange(len(log.person), dtype=np.int32))
    stranger = replace(stranger, persons=tuple(log.persons[place // 2] + "ab"[place % 2] for place in stranger.person))
    alone = fit_log(stranger, shop(), session_limit=TURNS)
    assert not alone.affinity.any()


def test_an_item_clicked_before_in_the_visit_is_fitted_where_the_log_shows_it_and_assumed_where_not():
    assert fitted().again == pytest.approx(0, abs=0.5)
    assert not fitted().figures["assumed"]
    log = simulated()
    few = log.of(np.arange(len(log.persons)) < 60)
    short = ClickLog(
        log.items[few],
        log.clicked[few],
        log.session[few],
        log.said[few],
        log.person[:120],
        log.persons[:60],
        log.texts,
    )
    users = fit_log(short, shop(), examination="position")
    assert "(assumed)" in users.report()
    assert users.again < 0.3 * NEVER_AGAIN


def test_a_log_is_fitted_from_the_command_line_and_its_people_come_to_the_world(tmp_path, capsys):
    rng, log, out = np.random.default_rng(3), tmp_path / "clicks.csv", tmp_path / "new" / "users.npz"
    world = make_world("instructrec/Tiny-v0")
    rows = ["session,person,turn,position,item,clicked"]
    for visit in range(240):
        for place, item in enumerate(rng.choice(20, 3, replace=False)):
            name = world.catalogue.item_ids[item]
            clicked = int(rng.random() < 0.1 + 0.7 * name.startswith("red"))
            rows.append(f"v{visit},p{visit % 80},0,{place},{name},{clicked}")
    log.write_text("\n".join(rows) + "\n")
    assert cli.run(["fit-log", "tiny", str(log), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert fit_log(log, world.catalogue).report() in shown
    assert cli.run(["fit-log", "tiny", str(log), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["held_out"]["users"] < 0
    people = ["--population", "logfitted", "--population-set", f"log={out}", "people=all"]
    command = ["compare", "tiny", "--agents", "random", "--people", "5", "--out", str(tmp_path / "run")]
    assert cli.run([*command, *people]) == 0
    assert cli.run(["fit-log", "tiny", str(log), "--out", "users.csv"]) == 2
    assert "ends in .npz" in capsys.readouterr().err


def test_a_log_in_a_file_and_saved_users_are_the_same_users(tmp_path):
    log, path = simulated(people=300), tmp_path / "log.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["session", "turn", "position", "item", "clicked", "person", "instruction"])
        for slate, turn in enumerate(log.turn):
            session = log.session[slate]
            for place, (item, clicked) in enumerate(zip(log.items[slate], log.clicked[slate], strict=True)):
                person = log.persons[log.person[session]]
                said = log.texts[log.said[slate]]
                rows.writerow([f"s{session}", turn, place, f"t{item}", int(clicked), person, said])
    read = read_log(path, shop())
    np.testing.assert_array_equal(read.items, log.items)
    users = fit_log(read, shop())
    users.save(tmp_path / "users.npz")
    loaded = FittedUsers.load(tmp_path / "users.npz")
    assert loaded.report() == users.report()
    made = [LogFittedPopulation(shop(), log=given) for given in (users, str(path), tmp_path / "users.npz")]
    assert len({population.fingerprint for population in made}) == 1
    other = LogFittedPopulation(shop(), log=replace(users, again=users.again - 1))
    assert other.fingerprint != made[0].fingerprint


def test_the_report_fits_the_screen_and_says_what_is_better_by_how_much():
    text = fitted("cascade").report()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "goes on after a skip 0.9" in text
    assert "±" in text
    assert "colour=green" in text


@checked(max_examples=8)
@given(
    seed=st.integers(0, 1000), batch=st.integers(2, 12), slate_size=st.integers(1, 7),
    kind=st.sampled_from(["position", "cascade"]),
)  # fmt: skip
def test_it_keeps_the_promises_of_a_population(seed, batch, slate_size, kind):
    check_population(
        lambda: LogFittedPopulation(shop(), log=fitted(kind), slate_size=slate_size), shop(), slate_size=slate_size,
        batch=batch, seed=seed,
    )  # fmt: skip


def lived(users: FittedUsers, people: int) -> ClickLog:
    """Returns the log of a population's own visits, slates drawn evenly."""
    population, sessions = LogFittedPopulation(shop(), log=users, slate_size=PLACES), Sessions.first(3, people)
    state, said = population.arrive(sessions, Noise(sessions.keys, np.zeros(people, np.int32)))
    rng, here, turns = np.random.default_rng(1), np.ones(people, np.bool_), []
    for turn in range(8):
        items = np.argsort(rng.random((people, ITEMS)), axis=1)[:, :PLACES].astype(np.int32)
        state, reactions = population.react(state, items, Noise(sessions.keys, np.full(people, turn, np.int32)))
        turns.append((items[here], reactions.clicked[here], np.flatnonzero(here), said.texts[here]))
        here &= ~reactions.left
        said = reactions.instructions
    items, clicked, session, texts = (np.concatenate(part) for part in zip(*turns, strict=True))
    order = np.argsort(session, kind="stable")
    return ClickLog(
        items[order], clicked[order], session[order].astype(np.int32), texts[order].astype(np.int32),
        np.arange(people, dtype=np.int32), tuple(f"q{person}" for person in range(people)), users.visits.texts,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["position", "cascade"])
def test_the_population_lives_what_was_fitted(kind):
    users = fitted(kind)
    again = fit_log(lived(users, 5000), shop(), examination=kind, session_limit=8)
    np.testing.assert_allclose(again.looks, users.looks, atol=0.07)
    assert again.match == pytest.approx(users.match, abs=0.2)
    assert weight(again, "colour=green") == pytest.approx(weight(users, "colour=green"), abs=0.2)
    np.testing.assert_allclose(again.leaving, users.leaving, atol=0.2)


def test_expected_utility_is_how_often_an_examined_item_is_clicked():
    population, people = LogFittedPopulation(shop(), log=fitted(), slate_size=1), 6000
    sessions = Sessions.first(1, people)
    luck = Noise(sessions.keys, np.zeros(people, np.int32))
    state, _ = population.arrive(sessions, luck)
    expected = population.expected_utility(state)
    for item in (0, 1, 5):
        _, reactions = population.react(state, np.full((people, 1), item, np.int32), luck)
        assert reactions.clicked.mean() == pytest.approx(expected[:, item].mean(), abs=0.025)


def test_what_was_clicked_in_the_visit_is_not_wanted_again_where_the_weight_says_so():
    users = replace(fitted(), bias=9.0, again=-50.0, looks=np.ones(PLACES))
    population, sessions = LogFittedPopulation(shop(), log=users, slate_size=PLACES), Sessions.first(0, 50)
    state, _ = population.arrive(sessions, Noise(sessions.keys, np.zeros(50, np.int32)))
    slates = np.arange(50 * PLACES, dtype=np.int32).reshape(50, PLACES) % ITEMS
    for turn, clicks in enumerate((True, False, False)):
        state, reactions = population.react(state, slates, Noise(sessions.keys, np.full(50, turn, np.int32)))
        assert (reactions.clicked == clicks).all()


def test_utility_is_the_formula_worked_out_by_hand():
    users = replace(fitted(), bias=-1.0, affinity=np.array([2.0, 0.5]), match=1.5, again=0.0)
    population, sessions = LogFittedPopulation(shop(), log=users), Sessions.first(0, 20)
    state, _ = population.arrive(sessions, Noise(sessions.keys, np.zeros(20, np.int32)))
    price = shop().column("price").numbers.astype(np.float64)
    price = np.clip((price - price.mean()) / price.std(), -3, 3)
    colour = np.eye(3)[np.arange(ITEMS) % 3] - 1 / 3
    colour /= np.sqrt((colour**2).sum(axis=1, keepdims=True))
    base = -1.0 + users.attributes.matrix(shop()) @ users.weights
    for row, visit in enumerate(state.visit):
        before = [int(users.visits.item_ids[place][1:]) for place in users.visits.past[visit] if place >= 0]
        count = len(before) + 3  # A profile begins with three average clicks.
        likeness = 2.0 * colour @ colour[before].sum(axis=0) + 0.5 * price * price[before].sum()
        said = users.visits.texts[users.visits.said[users.visits.starts[visit]]]
        words = 1.5 * (np.arange(ITEMS) % 3 == COLOURS.index(said))
        expected = expit(base + likeness / count + words)
        np.testing.assert_allclose(population.expected_utility(state)[row], expected, atol=1e-5)


def test_below_the_logs_last_place_looking_falls_on_as_it_fell():
    users = replace(fitted(), looks=np.array([1.0, 0.5, 0.25]))
    np.testing.assert_allclose(users.looks_at(5), [1, 0.5, 0.25, 0.125, 0.0625])
    np.testing.assert_allclose(users.looks_at(2), [1, 0.5])
    np.testing.assert_allclose(replace(users, looks=np.ones(1)).looks_at(3), 1)


def test_every_split_has_its_own_people_with_their_pasts_and_words():
    users = fitted()
    for split in ("train", "validation", "test"):
        population = LogFittedPopulation(shop(), log=users, split=split)
        sessions = Sessions.first(0, 200)
        state, said = population.arrive(sessions, Noise(sessions.keys, np.zeros(200, np.int32)))
        names = {users.visits.persons[person] for person in users.visits.person[state.visit]}
        assert {str(split_of("users", name)) for name in names} == {split}
        assert {users.visits.persons[person] for person in population.persons(state)} == names
        assert set(population.texts.strings(said.texts)) == set(COLOURS)
        past, ratings = population.past(state)
        # The second visit of a person knows the clicks of the first; the first knows none.
        assert not (past[state.visit % 2 == 0] >= 0).any()
        assert (past[state.visit % 2 == 1] >= 0).any(axis=1).mean() > 0.5
        np.testing.assert_array_equal(ratings, past >= 0)


def test_it_comes_to_a_world_by_a_path(tmp_path):
    fitted().save(tmp_path / "users.npz")
    # Any world will do that has the attributes.
    with pytest.raises(ValueError, match="unknown attribute 'price'"):
        make_world(
            "instructrec/Tiny-v0", population=POPULATION.maker, population_settings={"log": str(tmp_path / "users.npz")}
        )
    world = replace(make_world("instructrec/Tiny-v0"), catalogue=shop())
    check_world(with_population(world, POPULATION.maker, {"log": str(tmp_path / "users.npz")}))
    assert POPULATION.name == "logfitted"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"people": "everyone"}, "unknown value of people"),
        ({"split": "trian"}, "did you mean 'train'"),
        ({"log": 5}, "log is the path of a log or of fitted users"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LogFittedPopulation(shop(), **{"log": fitted(), **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"examination": "cascad"}, "unknown examination 'cascad'; did you mean 'cascade'"),
        ({"penalty": -1.0}, "penalty must be 0 or more"),
        ({"session_limit": 0}, "session_limit must be at least 1 slate"),
    ],
)
def test_ways_of_fitting_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fit_log(simulated(), shop(), **settings)


def test_too_few_people_and_damaged_files_are_refused(tmp_path):
    log = simulated()
    few = log.session < 2
    one = ClickLog(
        log.items[few], log.clicked[few], log.session[few], log.said[few], log.person[:2], log.persons[:1], log.texts
    )
    with pytest.raises(ValueError, match=r"of the 1 people in the log, the 0 of the .* split clicked nothing"):
        fit_log(one, shop())
    with pytest.raises(ValueError, match=r"saved as \.npz"):
        fitted().save(tmp_path / "users.json")
    with pytest.raises(FileNotFoundError, match="save writes it"):
        FittedUsers.load(tmp_path / "none.npz")
    for content in (b"no archive", b"PK\x03\x04 cut short"):
        Path(tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(ValueError, match="holds no fitted users"):
            FittedUsers.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "other.npz", weights=np.ones(3))
    with pytest.raises(ValueError, match="holds no fitted users"):
        FittedUsers.load(tmp_path / "other.npz")


def test_words_shared_count_by_their_rarity_in_any_script():
    assert words_of("Sci-Fi, please! 想吃火锅 x_1") == ["sci", "fi", "please", "想吃", "吃火", "火锅", "x", "1"]
    overlap = Overlap.of(shop(), ("", "a red thing", "unheard of", "green"))
    items = np.arange(3)[None].repeat(4, axis=0)
    share = overlap.share(items, np.arange(4))
    assert share[0].tolist() == share[2].tolist() == [0, 0, 0]
    assert share[1, 0] == pytest.approx(1)
    assert 0 < share[1, 1] < 0.1, "what every item's text holds tells little"
    assert share[3].tolist() == [0, 1, 0]


def test_items_that_do_not_differ_have_no_features():
    alike = Catalogue(
        columns={}, titles=("a", "b"), texts=("a", "b"), item_ids=("a", "b"), popularity=np.ones(2, np.float32)
    )
    attributes = Attributes.of(alike)
    assert attributes.named == attributes.tastes == ()
    assert attributes.matrix(alike).shape == attributes.directions(alike).shape == (2, 0)
