import dataclasses

import numpy as np
import pytest
import torch

from instructrec.agents.candidates import CandidateDraw, Candidates, candidate_scores, marks_of
from instructrec.agents.features import item_features
from instructrec.agents.scorer import FACTS, MARKS, Query, ScorerInputs, SlateScorer
from instructrec.agents.scorer_config import ScorerConfig
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

    kinds = torch.zeros(BATCH, 5, MARKS)
    kinds[:, :2, 0], kinds[:, 2:, 2], kinds[:, 2, 1] = 1, 1, 1
    return ScorerInputs(
        text=normal(BATCH, WIDTH),
        earlier=normal(BATCH, MEMORY, WIDTH),
        profile=normal(BATCH, features.profile_width),
        clicked=normal(BATCH, features.width),
        shown=normal(BATCH, features.width),
        facts=normal(BATCH, FACTS),
        marked=torch.stack([torch.randperm(ITEMS, generator=generator)[:5] for _ in range(BATCH)]),
        mark_kinds=kinds,
    )


def scorer_of(features, **settings):
    torch.manual_seed(0)
    config = ScorerConfig(hidden=32, critic_hidden=16, **settings)
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


KINDS = {"text", "attributes", "history"}
READS = {"text_only": {"text"}, "attributes_only": {"attributes"}, "history_only": {"history"}, "fused": KINDS}


def of_reads(features, reads):
    """A network that reads some of the kinds, all its weights by chance."""
    scorer = scorer_of(features, **{f"reads_{kind}": kind in reads for kind in KINDS})
    for parameter in scorer.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return scorer


def spoken_to(wishing, inputs):
    """The same sessions in which everything was said with wishes, and with log-odds of going on."""
    generator = torch.Generator().manual_seed(1)
    more = wishing.num_values + wishing.blocks["numbers"].stop + 1
    wishes = {name: torch.randn(*getattr(inputs, name).shape[:-1], more, generator=generator) for name in SAID}
    words = {name: torch.cat([getattr(inputs, name), wishes[name]], dim=-1) for name in SAID}
    return dataclasses.replace(inputs, **words)


SAID, BEFORE = ("text", "earlier"), ("profile", "clicked", "shown", "facts")


def changed(inputs, kind):
    """The same sessions in which one kind of what is read is another."""
    if kind == "history":
        return dataclasses.replace(inputs, **{name: -getattr(inputs, name) for name in BEFORE})
    turned = torch.ones(inputs.text.shape[1])
    turned[slice(0, WIDTH) if kind == "text" else slice(WIDTH, None)] = -1
    return dataclasses.replace(inputs, **{name: getattr(inputs, name) * turned for name in SAID})


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_scores_depend_on_what_is_read_of_a_session_and_on_nothing_else(wishing, inputs, name, kind):
    scorer, sessions = of_reads(wishing, READS[name]), spoken_to(wishing, inputs)
    with torch.no_grad():
        before, after = scorer(sessions), scorer(changed(sessions, kind))
    assert torch.equal(before, after) == (kind not in READS[name])


@pytest.mark.parametrize(("name", "known"), [("text_only", ["text"]), ("attributes_only", ["sets", "numbers"])])
def test_of_items_that_is_known_which_goes_with_what_is_read(wishing, inputs, name, known):
    sessions = spoken_to(wishing, inputs)

    def scores(*blocks):
        table = wishing.table.copy()
        for block in blocks:
            table[:, wishing.blocks[block]] *= -1
        with torch.no_grad():
            return of_reads(dataclasses.replace(wishing, table=table), READS[name])(sessions)

    unknown = {"sets", "numbers", "text"} - set(known)
    assert torch.equal(scores(), scores(*unknown))
    assert not torch.allclose(scores(), scores(*known))
    assert not torch.allclose(scores(), scores("popularity"))


def test_earlier_words_are_heard_by_those_who_read_words_and_history(wishing, inputs):
    sessions = spoken_to(wishing, inputs)
    silent = dataclasses.replace(sessions, earlier=torch.zeros_like(sessions.earlier))
    for reads in ({"text", "attributes"}, {"history"}, {"attributes", "history"}, KINDS):
        scorer = of_reads(wishing, reads)
        with torch.no_grad():
            same = torch.equal(scorer(sessions), scorer(silent))
        assert same == (not {"attributes", "history"} <= reads), reads


@pytest.mark.parametrize("name", READS)
def test_what_was_shown_is_marked_whatever_is_read(wishing, inputs, name):
    scorer, sessions = of_reads(wishing, READS[name]), spoken_to(wishing, inputs)
    bare = dataclasses.replace(sessions, mark_kinds=torch.zeros_like(sessions.mark_kinds))
    with torch.no_grad():
        moved = scorer(bare) != scorer(sessions)
    marked = torch.zeros(BATCH, ITEMS, dtype=torch.bool).scatter_(1, inputs.marked, True)
    assert torch.equal(moved, marked)


def test_text_alone_learns_what_a_similar_text_does_not_want(wishing, inputs):
    scorer = scorer_of(wishing, reads_attributes=False, reads_history=False)
    want = dataclasses.replace(spoken_to(wishing, inputs).rows(slice(0, 2)), mark_kinds=torch.zeros(2, 5, MARKS))
    target = torch.tensor([3, 4])
    optimiser = torch.optim.Adam(scorer.reading_parameters(), lr=1e-2)
    for _ in range(100):
        loss = torch.nn.functional.cross_entropy(scorer(want), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert scorer(want).argmax(dim=1).tolist() == target.tolist()


def test_attributes_alone_need_wishes_that_were_read_from_prompts(features):
    with pytest.raises(ValueError, match="set prompts above 0, or reads_attributes=false"):
        scorer_of(features, reads_text=False)
    scorer_of(features, reads_text=False, reads_attributes=False)


def test_the_best_of_all_items_has_the_value_and_the_gradient_of_looking_at_all(features) -> None:
    scorer = scorer_of(features)
    query = torch.randn(BATCH, scorer._num_wishes, generator=torch.Generator().manual_seed(1))
    found = []
    for best in (scorer.best_of_all, lambda asked: scorer.best(scorer.fits(asked, scorer.table))):
        wishes = query.clone().requires_grad_()
        value = best(Query(torch.zeros(BATCH, features.width), wishes, torch.zeros(BATCH, MARKS)))
        (value.square()).sum().backward()
        found.append((value.detach(), wishes.grad))
    (value, gradient), (same, wanted) = found
    torch.testing.assert_close(value, same, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-4)
    assert wanted.abs().max() > 0.1
