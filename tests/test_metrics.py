"""Metrics of slates, checked against sums done by hand."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from instructrec import metrics
from instructrec.catalogue import Catalogue, Column
from instructrec.envs.tiny import tiny_world
from instructrec.goals import Goals, Operator, Predicate, Reveal, compile_goals, satisfied

COMEDY, HORROR = ("Comedy",), ("Horror",)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    genres = [("Comedy",), ("Horror",), ("Comedy", "Horror"), (), ("Drama",), ("Comedy",)]
    columns = {
        "genre": Column.multi_valued("genre", genres),
        "year": Column.numeric("year", [1990, 2000, 2010, np.nan, 1980, 2005]),
    }
    names = tuple("abcdef")
    return Catalogue(columns, names, names, names, np.array([7, 3, 1, 0, 0, 1], np.float32))


def _wish(operator: Operator, values: tuple[str, ...] = (), **settings: object) -> Predicate:
    return Predicate(field="genre" if values else "year", operator=operator, values=values, **settings)


def _turn(catalogue: Catalogue, slate: list[int], *goal: Predicate) -> tuple[Goals, np.ndarray]:
    goals = compile_goals([goal], catalogue)
    return goals, satisfied(goals, catalogue, np.array([slate]))


def test_csr_is_the_met_share_of_the_said_weight(catalogue: Catalogue) -> None:
    turn = _turn(
        catalogue,
        [0, 1, 2, 4],
        _wish(Operator.INCLUDE, COMEDY, weight=2.0),  # met by 0 and 2: a half
        _wish(Operator.EXCLUDE, HORROR, weight=1.0),  # met by 0 and 4: a half
        _wish(Operator.AT_LEAST, low=2000, weight=1.0, hard=False),  # met by 1 and 2
        _wish(Operator.AT_MOST, high=1985, weight=4.0, reveal=Reveal.NEVER),  # unsaid, met by 4
    )
    assert metrics.csr(*turn)[0] == pytest.approx((2 * 0.5 + 0.5 + 0.5) / 4)
    assert metrics.csr_include(*turn)[0] == pytest.approx(0.5)
    assert metrics.csr_exclude(*turn)[0] == pytest.approx(0.5)
    assert metrics.csr_range(*turn)[0] == pytest.approx(0.5)
    assert metrics.csr_hidden(*turn)[0] == pytest.approx(0.25)


def test_a_share_of_the_slate_counts_once_and_only_as_a_whole(catalogue: Catalogue) -> None:
    wishes = (_wish(Operator.SHARE, COMEDY, share=0.5), _wish(Operator.EXCLUDE, HORROR))
    assert metrics.csr(*_turn(catalogue, [0, 5, 1, 4], *wishes))[0] == pytest.approx((1 + 0.75) / 2)
    assert metrics.csr(*_turn(catalogue, [0, 4, 1, 3], *wishes))[0] == pytest.approx((0 + 0.75) / 2)


def test_turns_in_which_nobody_asked_are_nan_and_not_zero(catalogue: Catalogue) -> None:
    silent = _turn(catalogue, [0, 1], _wish(Operator.INCLUDE, COMEDY, reveal=Reveal.NEVER))
    for name in ("csr", "csr_include", "csr_exclude", "csr_range", "strict", "strict_slate", "violation"):
        assert np.isnan(getattr(metrics, name)(*silent)[0]), name
    assert metrics.csr_hidden(*silent)[0] == pytest.approx(0.5)
    nothing = Goals.empty(1, 2)
    assert np.isnan(metrics.csr(nothing, satisfied(nothing, catalogue, np.array([[0, 1]]))))[0]


def test_infeasible_predicates_are_left_out_of_csr(catalogue: Catalogue) -> None:
    goals, met = _turn(catalogue, [0, 5], _wish(Operator.INCLUDE, COMEDY), _wish(Operator.AT_LEAST, low=2050))
    matches, rows = metrics.matching(goals, catalogue)
    feasible = matches.any(axis=1)[rows]
    assert feasible.tolist() == [[True, False]]
    assert metrics.csr(goals, met)[0] == pytest.approx(0.5)
    assert metrics.csr(goals, met, feasible=feasible)[0] == pytest.approx(1.0)


def test_strict_asks_for_every_hard_said_predicate(catalogue: Catalogue) -> None:
    wishes = (_wish(Operator.INCLUDE, COMEDY), _wish(Operator.EXCLUDE, HORROR))
    soft = _wish(Operator.AT_LEAST, low=2050, hard=False)
    turn = _turn(catalogue, [0, 2, 5, 4], *wishes, soft)
    assert metrics.strict(*turn)[0] == pytest.approx(0.5)
    assert metrics.strict_slate(*turn)[0] == 0.0
    assert metrics.strict_slate(*_turn(catalogue, [0, 5], *wishes, soft))[0] == 1.0
    half = _wish(Operator.SHARE, COMEDY, share=0.5)
    assert metrics.strict_slate(*_turn(catalogue, [0, 4, 3], half))[0] == 0.0
    assert metrics.strict_slate(*_turn(catalogue, [0, 5, 3], half))[0] == 1.0


def test_violation_counts_hard_said_exclusions_only(catalogue: Catalogue) -> None:
    slate = [0, 1, 2, 4]
    assert metrics.violation(*_turn(catalogue, slate, _wish(Operator.EXCLUDE, HORROR)))[0] == pytest.approx(0.5)
    assert np.isnan(metrics.violation(*_turn(catalogue, slate, _wish(Operator.EXCLUDE, HORROR, hard=False)))[0])
    assert np.isnan(metrics.violation(*_turn(catalogue, slate, _wish(Operator.INCLUDE, COMEDY)))[0])


def test_diversity_is_zero_among_equals_and_one_among_strangers(catalogue: Catalogue) -> None:
    slates = np.array([[0, 5], [0, 1], [0, 2]])
    np.testing.assert_allclose(metrics.diversity(catalogue, slates), [0.0, 1.0, 0.5])
    assert np.isnan(metrics.diversity(catalogue, slates[:, :1])).all()


def test_novelty_is_higher_for_what_few_know(catalogue: Catalogue) -> None:
    known, unknown = metrics.novelty(catalogue, np.array([[0, 1], [3, 4]]))
    assert known == pytest.approx(-(np.log2(8 / 18) + np.log2(4 / 18)) / 2)
    assert unknown == pytest.approx(np.log2(18))
    equal = replace(catalogue, popularity=np.zeros(6, np.float32))
    assert metrics.novelty(equal, np.array([[0, 1]]))[0] == pytest.approx(np.log2(6))


def test_exposure_coverage_and_gini() -> None:
    counts = metrics.exposure(np.array([[0, 1, -1], [1, 2, -1]]), 4)
    assert counts.tolist() == [1, 2, 1, 0]
    assert metrics.coverage(counts) == 0.75
    assert metrics.exposure_gini(np.array([3, 3, 3])) == pytest.approx(0.0)
    assert metrics.exposure_gini(np.array([0, 0, 0, 9])) == pytest.approx(0.75)
    assert np.isnan(metrics.exposure_gini(np.zeros(3, np.int64)))


def test_overlap_is_one_when_everybody_sees_the_same() -> None:
    assert metrics.slate_overlap(np.array([[0, 1], [1, 0], [0, 1]]), 5) == pytest.approx(1.0)
    assert metrics.slate_overlap(np.array([[0, 1], [2, 3]]), 5) == 0.0
    rng = np.random.default_rng(0)
    slates = np.stack([rng.permutation(12)[:4] for _ in range(7)])
    pairs = [len(set(a) & set(b)) / 4 for i, a in enumerate(slates) for b in slates[i + 1 :]]
    assert metrics.slate_overlap(slates, 12) == pytest.approx(np.mean(pairs))


def test_matching_tests_each_different_predicate_once(catalogue: Catalogue) -> None:
    comedy, old = _wish(Operator.INCLUDE, COMEDY), _wish(Operator.AT_MOST, high=1995)
    goals = compile_goals([[comedy, old], [replace(comedy, weight=3.0, hard=False)], [], [old, comedy]], catalogue)
    matches, rows = metrics.matching(goals, catalogue)
    assert len(matches) == 3  # comedy, old and the unused place
    everything = np.broadcast_to(np.arange(6), (4, 6))
    np.testing.assert_array_equal(matches[rows], satisfied(goals, catalogue, everything))


def test_an_item_that_sinks_counts_up_and_one_that_rises_counts_down_as_in_followir():
    before, after = np.array([[1, 2, 3, 4]]), np.array([[4, 1, 3, 2]])
    for item, worth in enumerate((1 - 1 / 4, 1 / 2 - 1, 0.0, 2 / 4 - 1)):
        dropped = np.arange(4)[None] == item
        assert metrics.pmrr(before, after, dropped) == pytest.approx(100 * worth)


def test_who_does_not_hear_the_edit_has_a_pmrr_of_0_and_a_perfect_follower_less_than_100():
    ranks = metrics.ranks_of(np.array([[4.0, 3.0, 2.0, 1.0, 0.0]]))
    dropped = np.array([[True, True, False, False, False]])
    assert metrics.pmrr(ranks, ranks, dropped) == 0
    perfect = np.array([[4, 5, 1, 2, 3]])
    assert metrics.pmrr(ranks, perfect, dropped) == pytest.approx(100 * (3 / 4 + 3 / 5) / 2)
    assert metrics.pmrr(perfect, ranks, dropped) == pytest.approx(-100 * (3 / 4 + 3 / 5) / 2)
    assert np.isnan(metrics.pmrr(ranks, perfect, np.zeros((1, 5), bool)))


def test_ties_are_ranked_by_item_number():
    assert metrics.ranks_of(np.array([[1.0, 2.0, 1.0]])).tolist() == [[2, 1, 3]]


def test_ndcg_is_1_for_the_best_order_and_discounts_by_place():
    gains = np.array([[0.0, 1.0, 0.5, 0.0]])
    assert metrics.ndcg(np.array([[1.0, 0.5, 0.0, 0.0]]), gains, 3) == pytest.approx(1.0)
    found = metrics.ndcg(np.array([[0.5, 0.0, 1.0, 0.0]]), gains, 3)
    assert found == pytest.approx((0.5 + 1 / np.log2(4)) / (1 + 0.5 / np.log2(3)))
    assert metrics.ndcg(np.array([[0.5, 1.0]]), gains, 1) == pytest.approx(0.5)
    assert np.isnan(metrics.ndcg(np.zeros((1, 2)), np.zeros((1, 4)), 2))


def test_binary_measures_of_a_ranking_by_hand():
    ranked, total = np.array([[False, True, True, False], [False] * 4]), np.array([4, 1])
    assert metrics.precision_at(ranked, total, 4).tolist() == [0.5, 0]
    assert metrics.recall_at(ranked, total, 3).tolist() == [0.5, 0]
    assert metrics.hit_rate_at(ranked, total, 1).tolist() == [0, 0]
    assert metrics.hit_rate_at(ranked, total, 2).tolist() == [1, 0]
    assert metrics.mrr_at(ranked, total, 4).tolist() == [0.5, 0]
    assert metrics.mrr_at(ranked, total, 1).tolist() == [0, 0]
    for measure in (metrics.precision_at, metrics.recall_at, metrics.hit_rate_at, metrics.mrr_at):
        assert np.isnan(measure(ranked, np.array([0, 0]), 2)).all()


def test_the_worst_phrasing_decides_robustness():
    least, share = metrics.phrasing_robustness(np.array([[1.0, 0.5, 0.75], [0.0, 0.0, 0.0]]))
    assert least.tolist() == [0.5, 0]
    assert share[0] == pytest.approx(0.5 / 0.75)
    assert np.isnan(share[1])


def test_what_rose_once_has_risen_within_two_turns():
    after = np.array([[0.6, 0.2], [0.5, 0.6], [0.4, 0.5]])
    assert metrics.rises_within(np.full(3, 0.5), after).tolist() == [[True, True], [False, True], [False, False]]


def test_goals_are_classed_by_the_share_of_items_that_meet_all_their_hard_wishes():
    world = tiny_world(num_colours=4, per_colour=4)
    wish = functools.partial(Predicate, field="colour", operator=Operator.INCLUDE)
    goals = [
        (wish(values=("red",)),),
        (wish(values=("red",)), Predicate(field="finish", operator=Operator.INCLUDE, values=("shiny",))),
        (wish(values=("red", "green", "blue")),),
        (wish(values=("red",)), wish(values=("green",))),
        (wish(values=("red",), hard=False),),
    ]
    found = metrics.selectivity(compile_goals(goals, world.catalogue), world.catalogue)
    assert found.tolist() == [2, 1, 3, 0, -1]
