import numpy as np
import pytest
import torch

from instructrec.agents.features import item_features
from instructrec.agents.first_slates import POINTS, FirstSlates
from instructrec.agents.scorer import FACTS, MARKS, ScorerInputs, SlateScorer
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.catalogue import Catalogue, Column
from instructrec.factors import Factors

ITEMS, WIDTH, MEMORY, SLATE = 40, 8, 2, 4
SETS = slice(0, 2)


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    catalogue = Catalogue(
        columns={"genre": Column.categorical("genre", ["horror" if item % 2 else "comedy" for item in range(ITEMS)])},
        titles=tuple(map(str, range(ITEMS))),
        texts=tuple(map(str, range(ITEMS))),
        item_ids=tuple(map(str, range(ITEMS))),
        popularity=rng.integers(0, 100, ITEMS).astype(np.float32),
    )
    nobody, variances = np.zeros(0), {"noise_variance": 1.0, "person_bias_variance": 0.1, "factor_variance": 1.0}
    factors = Factors(3.0, nobody, rng.normal(size=ITEMS), np.zeros((0, 3)), rng.normal(size=(ITEMS, 3)), **variances)
    return item_features(catalogue, rng.normal(size=(ITEMS, WIDTH)), factors=factors, text_width=WIDTH)


def sessions(features, number, seed):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    kinds = torch.zeros(number, 3, MARKS)
    kinds[:, 0, 0], kinds[:, 1:, 2], kinds[:, 1, 1] = 1, 1, 1
    text = normal(number, WIDTH)
    return ScorerInputs(
        text=text / text.norm(dim=1, keepdim=True),
        earlier=torch.zeros(number, MEMORY, WIDTH),
        profile=normal(number, features.profile_width),
        clicked=normal(number, features.width),
        shown=normal(number, features.width),
        facts=normal(number, FACTS),
        marked=torch.from_numpy(np.stack([rng.permutation(ITEMS)[:3] for _ in range(number)])),
        mark_kinds=kinds,
    )


def scorer_of(features, start_marks=(-4.0, -4.0, -0.5), **settings):
    torch.manual_seed(0)
    config = ScorerConfig(
        hidden=16, critic_hidden=8, start_similarity=5.0, start_stars=1.0, start_marks=start_marks, **settings
    )
    return SlateScorer(features, encoder_width=WIDTH, memory=MEMORY, slate_size=SLATE, config=config)


def truth(features, scorer, inputs):
    """Log-odds of a reward, [batch, num_items]: by another weight of words and stars, by boredom and favourites."""
    rng = np.random.default_rng(5)
    own = torch.from_numpy(rng.normal(0, 0.8, ITEMS).astype(np.float32))
    items = torch.arange(ITEMS).expand(inputs.batch, -1)
    stars, similarity = scorer.stars_and_similarity(inputs, items)
    bored = inputs.clicked[:, SETS] @ torch.from_numpy(features.table[:, SETS]).T
    return -1 + 1.5 * similarity + 0.3 * stars - 0.4 * bored + own


@torch.no_grad()
def noted(features, scorer, number, seed, paid=None):
    """What ``number`` slates brought that were drawn from the scorer."""
    inputs, first = sessions(features, number, seed), FirstSlates()
    query = scorer.query(scorer.state(inputs), inputs)
    scores = scorer.scores(query, inputs)
    luck = torch.Generator().manual_seed(seed)
    gumbel = -torch.log(-torch.log(torch.rand(scores.shape, generator=luck)))
    slates = (scores + gumbel).topk(SLATE, dim=1).indices
    odds = truth(features, scorer, inputs).gather(1, slates)
    drawn = (
        torch.rand(odds.shape, generator=luck) < torch.sigmoid(odds) if paid is None else torch.full_like(odds, paid)
    )
    first.add(scorer, query, inputs, slates, scores.gather(1, slates), drawn.bool())
    return first


def likeness(scorer, features):
    """Correlation of scores with the true log-odds, within sessions that it has not seen, and the slope between."""
    inputs = sessions(features, 400, seed=9)
    with torch.no_grad():
        wanted, found = truth(features, scorer, inputs), scorer(inputs)
    free = torch.ones(wanted.shape, dtype=torch.bool).scatter(1, inputs.marked, False)
    wanted, found = (part - part.mean(dim=1, keepdim=True) for part in (wanted, found))
    wanted, found = wanted[free], found[free]
    return float(np.corrcoef(wanted, found)[0, 1]), float((wanted * found).sum() / (wanted * wanted).sum())


def test_what_rewards_say_becomes_the_networks_own_scores(features):
    scorer = scorer_of(features)
    before, _ = likeness(scorer, features)
    noted(features, scorer, 20_000, seed=1).teach(scorer)
    after, slope = likeness(scorer, features)
    assert before < 0.8
    assert after > 0.97
    assert slope == pytest.approx(POINTS, rel=0.15)


def test_a_network_without_scores_of_items_own_learns_the_rest(features):
    scorer = scorer_of(features, item_bias=False)
    before, _ = likeness(scorer, features)
    noted(features, scorer, 20_000, seed=1).teach(scorer)
    after, _ = likeness(scorer, features)
    assert scorer.item_bias is None
    assert after > before + 0.03


def test_a_network_that_is_not_to_know_the_session_learns_nothing_of_it(features):
    scorer = scorer_of(features, reads_history=False)
    noted(features, scorer, 3_000, seed=1).teach(scorer)
    assert not scorer.repeat.any()
    assert scorer.item_bias.any()


@pytest.mark.parametrize("paid", [0.0, 1.0])
def test_where_nothing_or_everything_is_rewarded_scores_stay_finite(features, paid):
    scorer = scorer_of(features)
    noted(features, scorer, 300, seed=2, paid=paid).teach(scorer)
    with torch.no_grad():
        assert torch.isfinite(scorer(sessions(features, 10, seed=3))).all()


def test_marks_keep_their_sign(features):
    scorer = scorer_of(features)
    noted(features, scorer, 2_000, seed=4).teach(scorer)
    assert (scorer.mark_points() < 0).all()


def test_of_what_its_slates_did_not_try_it_goes_on_thinking_what_it_thought(features):
    never = scorer_of(features, start_marks=(-60.0, -60.0, -60.0))
    before = never.mark_points().clone()
    noted(features, never, 5_000, seed=4).teach(never)
    torch.testing.assert_close(never.mark_points(), before, rtol=0.02, atol=0)
    assert never.gains()[0].item() == pytest.approx(1.5 * POINTS, rel=0.2)  # Of the rest it learned.


def test_it_goes_on_from_what_was_kept(features):
    whole, kept = scorer_of(features), scorer_of(features)
    first, later = noted(features, whole, 500, seed=1), FirstSlates()
    later.restore(first.arrays())
    first.teach(whole)
    later.teach(kept)
    ours, theirs = whole.state_dict(), kept.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    empty = FirstSlates()
    empty.restore({})
    assert empty.arrays() == {}


def test_weights_are_set_as_asked_unless_they_would_change_sign(features):
    scorer = scorer_of(features)
    gains, marks = scorer.gains().clone(), scorer.mark_points().clone()
    with torch.no_grad():
        wanted = 3 * gains
        wanted[1] = -1.0
        scorer.set_weights(wanted, torch.tensor([-1.0, 5.0, -0.5]))
        wanted[1] = gains[1] / 100
        torch.testing.assert_close(scorer.gains(), wanted)
        torch.testing.assert_close(scorer.mark_points(), torch.tensor([-1.0, float(marks[1]) / 100, -0.5]))
