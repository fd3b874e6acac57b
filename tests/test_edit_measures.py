"""Who follows edited words is told apart from who is deaf; references are told of the edited goal."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from instructrec.agents.baselines import baselines
from instructrec.agents.references import GoalOracle, Oracle
from instructrec.arrays import take
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.movielens import Ratings
from instructrec.envs.tiny import tiny_world
from instructrec.envs.worlds import make_world
from instructrec.experiments.aspects import _knowing, by_selectivity
from instructrec.experiments.edit_measures import KINDS, PHRASINGS, critiques, edits_of, measure_edits, phrasings_of
from instructrec.experiments.edits import Writer
from instructrec.experiments.evaluation import evaluate
from instructrec.experiments.ranking_measures import _ratings_of, measure_later_ratings, measure_rankings
from instructrec.experiments.totals import Totals
from instructrec.experiments.unheard import unheard
from instructrec.experiments.workshop import AbsentError
from instructrec.goals import Goals, Operator, Predicate, Reveal, compile_goals
from instructrec.policies import greedy
from instructrec.sessions import Sessions, World, observe, start
from instructrec.splits import Splits

SESSIONS, SPLITS = Sessions.first(5, 40), Splits.of("validation")


@functools.cache
def _movies() -> World:
    return make_world("instructrec/Movies-v0", split="validation", turn_limit=4)


@functools.cache
def _measured(name: str) -> dict[str, Totals]:
    world = _movies()
    agents: dict[str, Any] = {
        **baselines(world), "goal_oracle": GoalOracle(world.catalogue), "oracle": Oracle(world.population),
    }  # fmt: skip
    return measure_edits(world, lambda _: agents[name], SESSIONS, SPLITS)


def test_who_does_not_listen_moves_nothing_and_recovers_from_nothing() -> None:
    found = _measured("popularity")
    assert found["pmrr"].mean("pmrr") == 0
    assert found["phrasing"].mean("phrasing_share") == 1
    assert found["recovery"].mean("recovery_gap_1") == found["recovery"].mean("recovery_gap_2") == 0


def test_who_follows_every_word_ranks_what_became_irrelevant_lower() -> None:
    follower, reader = _measured("goal_oracle"), _measured("parser")
    assert follower["pmrr"].mean("pmrr") > 70
    assert 0 < reader["pmrr"].mean("pmrr") <= follower["pmrr"].mean("pmrr") + 5
    assert follower["phrasing"].mean("phrasing_min") > 0.95
    searcher = _measured("bm25")["phrasing"]
    assert searcher.mean("phrasing_min") < searcher.mean("phrasing_mean")
    for found in (follower, reader):
        assert found["recovery"].mean("recovery_gap_1") > 0
        assert found["recovery"].mean("rises_2") >= found["recovery"].mean("rises_1")


def test_the_oracle_is_told_of_the_edited_goal_too() -> None:
    assert _measured("oracle")["pmrr"].mean("pmrr") > 30


def test_every_kind_of_edit_occurs_and_counts_towards_the_whole() -> None:
    found = _measured("goal_oracle")["pmrr"]
    kinds = [found.totals(f"pmrr_{kind}") for kind in KINDS if f"pmrr_{kind}" in found.metrics]
    assert len(kinds) >= 3
    assert sum(counts.sum() for _, counts in kinds) == found.totals("pmrr")[1].sum()


def test_an_edit_drops_what_met_the_request_and_meets_the_edited_one_no_more() -> None:
    world = _movies()
    writer = Writer(world, SPLITS)
    goal = [Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy",))]
    goals = compile_goals([goal], world.catalogue, 3)
    edits = {edit.kind: edit for edit in edits_of(world, goals, "a comedy", writer)}
    assert set(edits) == {"include_turned", "exclusion_added"}
    comedies = world.catalogue.column("genre").masks & world.catalogue.column("genre").mask_of(["Comedy"]) != 0
    assert np.array_equal(edits["include_turned"].dropped, comedies)
    added = edits["exclusion_added"]
    barred = (
        world.catalogue.column("genre").masks & world.catalogue.column("genre").mask_of(added.predicate.values) != 0
    )
    assert np.array_equal(added.dropped, comedies & barred)
    assert added.before == edits["include_turned"].before != added.after


def test_phrasings_are_different_sentences_and_the_spoken_one_is_first() -> None:
    world = _movies()
    state = start(world, SESSIONS)
    said = world.population.texts.strings(state.instructions.texts)
    goals = state.instructions.goals
    assert goals is not None
    found = [phrasings_of(world, take(goals, np.array([row])), said[row], Writer(world, SPLITS)) for row in range(20)]
    assert sum(len(texts) == PHRASINGS for texts in found) >= 8
    assert all(len(set(texts)) == len(texts) and texts[0] == text for texts, text in zip(found, said, strict=False))


def _goals(*predicates: Predicate) -> Goals:
    return compile_goals([predicates], _movies().catalogue, 3)


def test_a_critique_is_what_is_newly_said_and_another_request_is_none() -> None:
    comedy = Predicate(field="genre", operator=Operator.INCLUDE, values=("Comedy",))
    newer = Predicate(field="year", operator=Operator.AT_LEAST, low=1990.0)
    held = replace(newer, reveal=Reveal.ON_VIOLATION)
    drama = replace(comedy, values=("Drama",))
    for before, now, expected in (
        (_goals(comedy), _goals(comedy, newer), [False, True, False]),
        (_goals(comedy, held), _goals(comedy, newer), [False, True, False]),
        (_goals(comedy, newer), _goals(comedy, newer), [False] * 3),
        (_goals(comedy), _goals(drama), [False] * 3),
        (_goals(comedy, newer), _goals(newer), [False] * 3),
        (_goals(comedy, newer), _goals(comedy, replace(newer, low=2000.0)), [False, True, False]),
    ):
        assert critiques(before, now)[0].tolist() == [expected]


def test_where_goals_are_not_known_or_cannot_be_told_edits_are_absent() -> None:
    tiny = tiny_world(split="validation")
    with pytest.raises(AbsentError, match="cannot be told of another goal"):
        measure_edits(tiny, lambda world: Oracle(world.population), SESSIONS, SPLITS)
    found = measure_edits(tiny, lambda world: baselines(world)["parser"], SESSIONS, SPLITS)
    assert not found["recovery"].metrics, "whoever names another colour criticises nothing"


def test_the_oracles_ranking_beats_popularitys_and_slates_are_judged_where_there_are_no_scores() -> None:
    world = _movies()
    found = {
        "oracle": Oracle(world.population),
        "popularity": baselines(world)["popularity"],
        "slates": greedy(baselines(world)["popularity"], 10),  # type: ignore[arg-type]
    }
    ndcg = {name: measure_rankings(world, lambda _, c=one: c, SESSIONS)["arrival"] for name, one in found.items()}
    assert ndcg["oracle"].mean("ndcg_10") > 2 * ndcg["popularity"].mean("ndcg_10")
    assert ndcg["slates"].mean("ndcg_10") == pytest.approx(ndcg["popularity"].mean("ndcg_10"))
    assert ndcg["oracle"].mean("recall_10") <= 1


def test_later_ratings_are_those_of_the_later_half_and_only_liked_ones_are_to_be_found() -> None:
    ratings = Ratings(
        np.array([0, 0, 0, 0, 0, 1], np.int32), np.array([3, 1, 4, 2, 0, 2], np.int32),
        np.array([5, 1, 4, 3.5, 5, 5], np.float32), np.arange(6), ("a", "b"),
    )  # fmt: skip
    known, liked = _ratings_of(ratings, np.array([0, 1]), 5)
    assert np.flatnonzero(known[0]).tolist() == [1, 3]
    assert np.flatnonzero(liked[0]).tolist() == [0, 4]
    assert np.flatnonzero(liked[1]).tolist() == [2]


def test_real_later_ratings_are_found_by_popularity_and_not_asked_of_those_who_know_them() -> None:
    world = _movies()
    found = measure_later_ratings(world, lambda _: baselines(world)["popularity"])["later"]
    worse = measure_later_ratings(world, lambda _: baselines(world)["random"])["later"]
    assert found.mean("ndcg_10") > 5 * worse.mean("ndcg_10")
    assert len(set(found.person.tolist())) == len(found.person), "everybody once"
    with pytest.raises(AbsentError, match="these very ratings"):
        measure_later_ratings(world, lambda _: Oracle(world.population))
    with pytest.raises(AbsentError, match="no real later ratings"):
        measure_later_ratings(tiny_world(), lambda _: baselines(world)["popularity"])


def test_a_cold_start_leaves_the_latest_items_of_a_past() -> None:
    world = _movies()
    state = start(world, SESSIONS)
    seen = observe(world, state)
    for count in (0, 1, 5):
        cut = _knowing(count)(seen, state)
        for row in range(len(SESSIONS.lane)):
            real = seen.past[row][seen.past[row] >= 0]
            assert cut.past[row][cut.past[row] >= 0].tolist() == real[len(real) - min(count, len(real)) :].tolist()
        assert (cut.past_ratings[cut.past < 0] == 0).all()


def test_csr_by_selectivity_divides_the_turns_that_csr_counts_among_hard_wishes() -> None:
    world = _movies()
    played = evaluate(world, baselines(world)["parser"], SESSIONS, also=by_selectivity(world.catalogue))
    classes = [played.turns[name] for name in played.turns if name.startswith("csr_") and name[4].isdigit()]
    parts = np.stack([*classes, played.turns["csr_below_1"], played.turns["csr_above_50"]])
    counted = np.isfinite(parts)
    assert (counted.sum(axis=0) <= 1).all()
    assert np.array_equal(np.nansum(parts, axis=0)[counted.any(axis=0)], played.turns["csr"][counted.any(axis=0)])


def test_nobody_is_heard_in_an_unheard_world_and_all_else_is_the_same() -> None:
    world = _movies()
    silent = unheard(world)
    assert silent.fingerprint != world.fingerprint
    agent = baselines(world)["popularity"]
    there, here = (evaluate(place, agent, SESSIONS) for place in (silent, world))
    assert (there.instruction[there.instruction >= 0] == 0).all()
    assert np.array_equal(there.rewards, here.rewards)


def test_goal_shares_weigh_what_is_met() -> None:
    from instructrec import metrics

    columns = {"colour": Column.categorical("colour", ("red", "blue"), ("red", "blue"))}
    names = ("a", "b")
    items = Catalogue(columns, names, names, names, np.ones(2, np.float32))
    wish = Predicate(field="colour", operator=Operator.INCLUDE, values=("red",), weight=3.0)
    hidden = Predicate(field="colour", operator=Operator.EXCLUDE, values=("red",), reveal=Reveal.NEVER)
    goals = compile_goals([(wish, hidden), ()], items, 2)
    assert metrics.goal_shares(goals, items)[0].tolist() == [0.75, 0.25]
    assert metrics.goal_shares(goals, items, said_only=True)[0].tolist() == [1, 0]
    assert np.isnan(metrics.goal_shares(goals, items)[1]).all()
