import dataclasses

import numpy as np
import pytest
import torch

from instructrec.agents.candidates import CandidateDraw, Candidates, candidate_scores, marks_of
from instructrec.agents.features import item_features
from instructrec.agents.scorer import FACTS, MARKS, ScorerConfig, ScorerInputs, SlateScorer
from instructrec.agents.wishes import Wishes
from instructrec.catalogue import Catalogue, Column

ITEMS, WIDTH, MEMORY, SLATE, BATCH = 50, 12, 3, 4, 6


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    catalogue = Catalogue(
        columns={
            "genre": Column.categorical("genre", ["horror" if item % 2 else "comedy" for item in range(ITEMS)]),
            "year": Column.numeric("year", np.arange(ITEMS, dtype=np.float32)),
        },
        titles=tuple(map(str, range(ITEMS))),
        texts=tuple(map(str, range(ITEMS))),
        item_ids=tuple(map(str, range(ITEMS))),
        popularity=rng.integers(0, 100, ITEMS).astype(np.float32),
    )
    return item_features(catalogue, rng.normal(size=(ITEMS, WIDTH)), text_width=WIDTH)


@pytest.fixture
def inputs(features):
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    numbers = features.blocks["numbers"]
    kinds = torch.zeros(BATCH, 5, MARKS)
    kinds[:, :2, 0], kinds[:, 2:, 2], kinds[:, 2, 1] = 1, 1, 1
    return ScorerInputs(
        text=normal(BATCH, WIDTH),
        earlier=normal(BATCH, MEMORY, WIDTH),
        profile=normal(BATCH, features.profile_width),
        clicked=normal(BATCH, features.width),
        shown=normal(BATCH, features.width),
        last=normal(BATCH, SLATE, numbers.stop - numbers.start),
        facts=normal(BATCH, FACTS),
        marked=torch.stack([torch.randperm(ITEMS, generator=generator)[:5] for _ in range(BATCH)]),
        mark_kinds=kinds,
    )


def scorer_of(features, **settings):
    torch.manual_seed(0)
    config = ScorerConfig(text_width=16, hidden=32, critic_hidden=16, **settings)
    return SlateScorer(features, encoder_width=WIDTH, memory=MEMORY, slate_size=SLATE, config=config)


def test_at_the_start_scores_are_similarity_popularity_and_marks(features, inputs):
    scorer = scorer_of(features, start_similarity=2.0, start_popularity=0.5, start_marks=(-3.0, -1.0, -0.25))
    with torch.no_grad():
        found = scorer(inputs)
    table = torch.from_numpy(features.table)
    similarity = (inputs.text @ torch.from_numpy(features.projection)) @ table[:, features.blocks["text"]].T
    wanted = 2 * similarity + 0.5 * table[:, features.blocks["popularity"]].T
    for row in range(BATCH):
        for item, bonus in zip(inputs.marked[row].tolist(), [-3, -3, -1.25, -0.25, -0.25], strict=True):
            wanted[row, item] += bonus
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_it_learns_to_avoid_what_a_similar_text_names(features, inputs):
    """ "no horror" and "horror" are near each other; the scorer must tell them apart."""
    scorer = scorer_of(features, start_marks=(-1.0, -1.0, -0.5))
    want = torch.zeros(2, WIDTH)
    want[:, 0], want[0, 1], want[1, 1] = 1.0, 0.3, -0.3
    two = dataclasses.replace(inputs.rows(slice(0, 2)), text=want, earlier=torch.zeros(2, MEMORY, WIDTH))
    horror = torch.arange(ITEMS) % 2 == 1
    optimiser = torch.optim.Adam(scorer.actor_parameters(), lr=1e-2)
    for _ in range(200):
        chances = torch.softmax(scorer(two), dim=1)
        loss = -torch.log(chances[0, horror].sum()) - torch.log(chances[1, ~horror].sum())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        chances = torch.softmax(scorer(two), dim=1)[:, horror].sum(dim=1)
    assert chances[0] > 0.9
    assert chances[1] < 0.1


@pytest.fixture
def wishing(features):
    """Features whose texts come with wishes read from them; the scorer needs to know no more than that."""
    return dataclasses.replace(features, wishes=Wishes({}))


def said(features, wishes, goes_on):
    """A text's vector: no likeness to any item, one wish, and log-odds that it goes on from what was said before."""
    asked = torch.zeros(features.num_values + features.blocks["numbers"].stop)
    asked[features.num_values + wishes] = 1
    return torch.cat([torch.full((WIDTH,), 1e-6), asked, goes_on])


def heard(wishing, inputs, *texts):
    """One session's inputs: what is said now, and before, the latest first; texts are (wish, log-odds of going on)."""
    vectors = [said(wishing, wish, torch.tensor([float(odds)])) for wish, odds in texts]
    earlier = torch.zeros(1, MEMORY, len(vectors[0]))
    earlier[0, : len(vectors) - 1] = torch.stack(vectors[1:]) if len(vectors) > 1 else 0
    return dataclasses.replace(inputs.rows(slice(0, 1)), text=vectors[0][None], earlier=earlier)


def lift(scorer, wishing, inputs, attribute):
    """How the scores of items depend on an attribute, in units of the start's weight of wishes."""
    with torch.no_grad():
        asked = scorer.state(inputs)[1]
    return float(asked[0, wishing.num_values + attribute])


def test_a_wish_lifts_the_items_that_meet_it(wishing, inputs):
    scorer = scorer_of(wishing, start_wishes=10.0, start_slack=0.3, start_popularity=0.0, start_similarity=0.0)
    one = heard(wishing, inputs, (1, 0))  # The second value of the first set column: horror.
    with torch.no_grad():
        scores = scorer(one)[0]
    horror = torch.from_numpy(wishing.table[:, 1])
    plain = torch.ones(ITEMS, dtype=torch.bool)
    plain[one.marked[0]] = False
    has = horror > 0
    torch.testing.assert_close(scores[plain & has], torch.zeros(int((plain & has).sum())), atol=1e-3, rtol=1e-3)
    apart = float(horror[has][0] - horror[~has][0])
    lacks = -(10 * (apart - 0.3) + 1 * apart)
    torch.testing.assert_close(
        scores[plain & ~has], torch.full((int((plain & ~has).sum()),), lacks), atol=1e-3, rtol=1e-3
    )


def test_an_item_with_two_values_of_which_either_will_do_fits_as_well_as_one_with_one(wishing, inputs):
    scorer = scorer_of(wishing, start_wishes=10.0)
    one = heard(wishing, inputs, (0, 0))
    one.text[0, WIDTH : WIDTH + wishing.num_values + 1] = torch.tensor([1.0, 1.0, 0.0])
    items = torch.zeros(3, wishing.width)
    items[:, :2] = torch.tensor([[-1.0, -1.0], [2.0, -1.0], [2.0, 2.0]])  # Neither value, one of them, both.
    with torch.no_grad():
        query = scorer.query(scorer.state(one), one)
        fits = scorer.fits(query, items)
        torch.testing.assert_close(scorer.fits(query, items[None]), fits)
    torch.testing.assert_close(fits, torch.tensor([[0.0, 10.0, 10.0]]))


def test_small_errors_of_reading_decide_little_among_items_that_fit(wishing):
    scorer = scorer_of(wishing, start_wishes=10.0, start_slack=0.3)
    fits = torch.tensor([[20.0, 19.0, 18.0, 17.5, 16.0, 6.0]])  # One thing asked for is 10 points.
    with torch.no_grad():
        met = scorer.met(fits, torch.tensor([[20.0]]))[0].tolist()
    assert met == pytest.approx([0, -0.1, -0.2, -0.25, -1.4, -12.4], abs=1e-4)


def test_items_are_measured_against_a_slate_of_the_best(wishing, inputs):
    scorer = scorer_of(wishing)
    fits = torch.tensor([[5.0, 1.0, 4.0, 3.0, 2.0]])
    assert scorer.best(fits).tolist() == [[sorted(fits[0].tolist(), reverse=True)[scorer.slate_size - 1]]]
    assert scorer.best(fits[:, :1]).tolist() == [[5.0]]


def test_what_was_asked_stays_until_somebody_begins_anew(wishing, inputs):
    scorer = scorer_of(wishing)
    kept = lift(scorer, wishing, heard(wishing, inputs, (0, 8), (1, 0)), 1)
    dropped = lift(scorer, wishing, heard(wishing, inputs, (0, -8), (1, 0)), 1)
    assert kept > 0.9
    assert dropped < 0.1
    # What came before a new beginning is gone, however much the latest text goes on.
    assert lift(scorer, wishing, heard(wishing, inputs, (0, 8), (2, -8), (1, 0)), 1) < 0.1
    assert lift(scorer, wishing, heard(wishing, inputs, (0, 8), (2, -8), (1, 0)), 2) > 0.9


def test_blank_places_among_earlier_instructions_add_nothing(features, inputs):
    scorer = scorer_of(features)
    torch.nn.init.normal_(scorer.head.weight, std=0.1)
    torch.nn.init.normal_(scorer.shortcut.weight)
    silent = dataclasses.replace(inputs, earlier=torch.zeros_like(inputs.earlier))
    with torch.no_grad():
        before = scorer(silent)
        scorer.keep_age.add_(5.0)
        torch.testing.assert_close(scorer(silent), before)
        assert not torch.allclose(scorer(inputs), before)


def test_the_critic_does_not_move_the_actor(features, inputs):
    scorer = scorer_of(features)
    values = scorer.values(scorer.state(inputs))
    values.total.sum().backward()
    assert all(parameter.grad is None for parameter in scorer.actor_parameters())
    assert values.items.shape == (BATCH, SLATE)


def test_rows_do_not_disturb_each_other(features, inputs):
    scorer = scorer_of(features)
    torch.nn.init.normal_(scorer.head.weight, std=0.1)
    with torch.no_grad():
        whole = scorer(inputs)
        alone = torch.cat([scorer(inputs.rows(slice(row, row + 1))) for row in range(BATCH)])
    torch.testing.assert_close(whole, alone, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("own", [False, True])
def test_candidates_have_the_scores_that_the_whole_catalogue_gives_them(features, inputs, own):
    scorer = scorer_of(features)
    torch.nn.init.normal_(scorer.head.weight, std=0.1)
    torch.nn.init.normal_(scorer.item_bias)
    if own:
        items = torch.stack([torch.randperm(ITEMS)[:30] for _ in range(BATCH)])
        candidates = Candidates(items, marks_of(inputs, items, ITEMS))
    else:
        draw = CandidateDraw(features, np.arange(ITEMS, dtype=np.float32), 30)
        candidates = draw.draw(inputs, np.random.default_rng(0))
        items = candidates.items.expand(BATCH, -1)
    with torch.no_grad():
        query = scorer.query(scorer.state(inputs), inputs)
        found, whole = candidate_scores(scorer, query, inputs, candidates), scorer.scores(query, inputs)
    torch.testing.assert_close(found, whole.gather(1, items), atol=1e-4, rtol=1e-4)
    places = torch.arange(items.shape[1]).expand(BATCH, -1)
    assert torch.equal(candidates.at(places), items)


def test_candidates_are_what_is_asked_for_what_suits_what_is_known_and_chance(features, inputs, monkeypatch):
    popularity = np.arange(ITEMS, dtype=np.float32)
    liked = torch.randn(BATCH, ITEMS, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(CandidateDraw, "_liked", lambda self, inputs: liked)
    draw = CandidateDraw(features, popularity, 40)
    one, other = (draw.draw(inputs, np.random.default_rng(seed)).items.tolist() for seed in (0, 1))
    assert len(one) == len(set(one)) == len(set(other)) == 40
    assert one == draw.draw(inputs, np.random.default_rng(0)).items.tolist() != other
    asked = inputs.text.numpy() @ features.projection @ features.table[:, features.blocks["text"]].T
    for drawn in (one, other):
        assert set(drawn) >= set(asked.argmax(axis=1).tolist())
        assert set(drawn) >= set(liked.argmax(dim=1).tolist())
        assert set(drawn) >= set(range(ITEMS - 10, ITEMS))
    assert len(CandidateDraw(features, popularity, ITEMS).draw(inputs, np.random.default_rng(0)).items) == ITEMS
