"""Attention over earlier turns adds to what sums that fade can tell, and begins by adding nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from instructrec.agents.encoder import load_encoder
from instructrec.agents.features import item_features
from instructrec.agents.history import EarlierTurns, HistoryAttention
from instructrec.agents.inputs import inputs_of
from instructrec.agents.reading import SessionReader
from instructrec.agents.scorer import ScorerInputs, SlateScorer
from instructrec.agents.scorer_config import ScorerConfig
from instructrec.agents.slate_policy import seeded_scorer
from instructrec.envs.tiny import tiny_world
from instructrec.experiments.progress import Narrator
from instructrec.experiments.train import TrainPlan, train
from instructrec.experiments.trainers import trained_ranker
from instructrec.noise import Noise
from instructrec.policies import greedy
from instructrec.sessions import Observation, Sessions, observe, start, step

BATCH, TURNS, SLATE, MEMORY, STATE, WISHES, WIDTH, ITEMS = 5, 4, 3, 3, 11, 4, 7, 20


@pytest.fixture
def attention() -> HistoryAttention:
    torch.manual_seed(0)
    found = HistoryAttention(state_width=STATE, num_wishes=WISHES, item_width=WIDTH, memory=MEMORY)
    torch.nn.init.normal_(found.found.weight)
    return found


@pytest.fixture
def session() -> dict[str, torch.Tensor]:
    """Sessions in which 0, 1, 2, 3 and 4 turns have passed."""
    luck = torch.Generator().manual_seed(0)
    passed = torch.arange(TURNS)[None] < torch.arange(BATCH)[:, None]
    return {
        "state": torch.randn(BATCH, STATE, generator=luck),
        "wishes": torch.randn(BATCH, MEMORY, WISHES, generator=luck),
        "items": torch.randint(ITEMS, (BATCH, TURNS, SLATE), generator=luck),
        "shown": passed[:, :, None].expand(-1, -1, SLATE),
        "clicked": (torch.rand(BATCH, TURNS, SLATE, generator=luck) < 0.4) & passed[:, :, None],
        "table": torch.randn(ITEMS, WIDTH, generator=luck),
    }


@torch.no_grad()
def looked(attention: HistoryAttention, session: dict[str, torch.Tensor], **changes: torch.Tensor) -> torch.Tensor:
    now = session | changes
    turns = EarlierTurns(now["items"], now["shown"], now["clicked"])
    found: torch.Tensor = attention(now["state"], now["wishes"], turns, now["table"])
    return found


def test_at_the_first_turn_there_is_nothing_to_find(attention, session):
    found = looked(attention, session)
    assert found.shape == (BATCH, STATE)
    assert not found[0].any()
    assert found[1:].any(dim=1).all()
    assert not looked(attention, session, shown=torch.zeros_like(session["shown"])).any()


def test_it_depends_on_the_order_of_turns_on_clicks_on_words_and_on_what_is_sought(attention, session):
    whole = looked(attention, session)
    # In row 3 three turns have passed, of which all words are remembered: they move with their turns.
    turned = {name: session[name].clone() for name in ("items", "clicked", "wishes")}
    for part in turned.values():
        part[3, :3] = part[3, :3].flip(0)
    others = {
        "order": looked(attention, session, **turned),
        "clicks": looked(attention, session, clicked=session["shown"] & ~session["clicked"]),
        "words": looked(attention, session, wishes=-session["wishes"]),
        "state": looked(attention, session, state=-session["state"]),
    }
    for name, other in others.items():
        assert not torch.allclose(other[3], whole[3], atol=1e-3), name


def test_what_stands_where_nothing_was_shown_or_said_so_long_ago_does_not_matter(attention, session):
    whole = looked(attention, session)
    other = torch.where(session["shown"], session["items"], 0)
    torch.testing.assert_close(looked(attention, session, items=other), whole)
    before = {name: torch.nn.functional.pad(session[name], (0, 0, 2, 0)) for name in ("items", "shown", "clicked")}
    torch.testing.assert_close(looked(attention, session, **before), whole)
    words = session["wishes"].clone()
    words[2, 2:] += 1  # Two turns have passed there.
    torch.testing.assert_close(looked(attention, session, wishes=words), whole)


def test_rows_do_not_disturb_each_other(attention, session):
    whole = looked(attention, session)
    for row in range(BATCH):
        alone = {name: part[row : row + 1] for name, part in session.items() if name != "table"}
        torch.testing.assert_close(looked(attention, session, **alone), whole[row : row + 1], atol=1e-5, rtol=1e-5)


# --- In SlatePPO's network -----------------------------------------------------------------------------------------


def seen(turns: int = 3) -> Observation:
    """People of Tiny after some slates, of whom some have clicked."""
    world = tiny_world()
    state = start(world, Sessions.first(3, 40))
    for turn in range(turns):
        slates = np.stack([np.random.default_rng([turn, row]).permutation(20)[:3] for row in range(40)])
        state, _ = step(world, state, slates.astype(np.int32))
    return observe(world, state)


def tiny_reader() -> SessionReader:
    world, encoder = tiny_world(), load_encoder("hashing")
    features = item_features(world.catalogue, encoder.encode(world.catalogue.texts))
    return SessionReader(features, encoder, slate_size=world.slate_size, turn_limit=world.turn_limit)


def network(reader: SessionReader, history: str) -> SlateScorer:
    return seeded_scorer(reader, 3, ScorerConfig(hidden=16, critic_hidden=8, history=history), 0)


def test_the_turns_that_the_network_attends_to_are_those_that_were():
    observation, reader = seen(), tiny_reader()
    inputs: ScorerInputs = reader.read(inputs_of(observation, reader.encoder))
    turns = inputs.turns(3)
    limit = observation.slates.shape[1]
    shown = torch.from_numpy(observation.slates >= 0)
    assert torch.equal(turns.shown[:, -limit:], shown)
    assert torch.equal(turns.items[:, -limit:][shown], torch.from_numpy(observation.slates.astype(np.int64))[shown])
    assert torch.equal(turns.clicked[:, -limit:], torch.from_numpy(observation.clicked))
    assert turns.clicked.any()
    assert not turns.shown[:, :-limit].any()


def test_it_starts_as_the_policy_and_the_critic_that_read_sums():
    reader = tiny_reader()
    inputs = reader.read(inputs_of(seen(), reader.encoder))
    sums, attends = network(reader, "sums"), network(reader, "attention")
    with torch.no_grad():
        states = [scorer.state(inputs) for scorer in (sums, attends)]
        for one, other in zip(*states, strict=True):
            assert torch.equal(one, other)
        assert torch.equal(sums(inputs), attends(inputs))
    ours, theirs = sums.state_dict(), attends.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(name.startswith("history.") for name in theirs.keys() - ours.keys())


def test_it_learns_what_stood_at_the_first_turn_where_sums_mix_it_with_the_second():
    reader, observation = tiny_reader(), seen(2)
    inputs = reader.read(inputs_of(observation, reader.encoder))
    wanted = torch.from_numpy(observation.slates[:, 0, 0].astype(np.int64))
    losses = {}
    for history in ("sums", "attention"):
        scorer = network(reader, history)
        optimiser = torch.optim.Adam(scorer.actor_parameters(), lr=3e-3)
        for _ in range(60):
            loss = torch.nn.functional.cross_entropy(scorer(inputs), wanted)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        losses[history] = loss.item()
    assert all(part.grad.any() for part in scorer.history.parameters())
    assert losses["attention"] < 0.9 * losses["sums"], losses


def test_a_run_that_attends_is_saved_and_loaded_with_what_it_learned(tmp_path: Path):
    small = {"encoder": "hashing", "prompts": 0, "num_envs": 16, "num_steps": 8, "minibatch_size": 32}
    small |= {"scorer.hidden": 16, "scorer.critic_hidden": 8, "scorer.history": "attention"}
    plan = TrainPlan(world="instructrec/Tiny-v0", agent_settings=small, steps=512, checkups=0)
    train(plan, tmp_path, resume=False, narrator=Narrator(quiet=True), describing=False)
    world = plan.place("validation")
    ranker, config = trained_ranker(str(tmp_path), world)
    assert config.agent_settings["scorer"]["history"] == "attention"
    assert ranker.scorer.history.found.weight.abs().sum() > 0
    observation = seen()
    scores = ranker.scores(observation)
    slates = greedy(ranker, 3).act(observation, Noise(np.arange(40, dtype=np.uint64), observation.turn))
    assert slates.shape == (40, 3)
    with torch.no_grad():
        ranker.scorer.history.found.weight.zero_()
    assert not np.array_equal(ranker.scores(observation), scores)


def test_another_way_to_read_the_history_is_told_the_nearest():
    with pytest.raises(ValueError, match="unknown way to read the history 'atention'; did you mean 'attention'"):
        ScorerConfig(history="atention")
    with pytest.raises(ValueError, match="nothing to attend to with reads_history=false"):
        ScorerConfig(history="attention", reads_history=False)
