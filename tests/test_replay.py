"""A replay shows what happened, from both sides, and what there is not is not on the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructrec.agents.explanations import Contribution, Explanation
from instructrec.envs import make_world, world_of
from instructrec.experiments.cli import run
from instructrec.experiments.competitors import untrained
from instructrec.experiments.evaluation import evaluate
from instructrec.experiments.progress import Narrator
from instructrec.experiments.replay import Replay, ReplayTurn, Shown, Wish, replay, replay_sessions
from instructrec.experiments.replay_page import ReplayPage, render_replay
from instructrec.experiments.train import TrainPlan, train
from instructrec.experiments.trainers import load_run
from instructrec.goals import satisfied
from instructrec.protocols import Instruction, Ranker, Reaction, Slate
from instructrec.runs import RunConfig
from instructrec.sessions import Sessions, start

WORLD = make_world("instructrec/Tiny-v0")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    settings = {"encoder": "hashing", "prompts": 100, "num_envs": 32, "scorer.hidden": 16}
    plan = TrainPlan(world="instructrec/Tiny-v0", agent_settings=settings, steps=256, checkups=0)
    train(plan, out, resume=False, narrator=Narrator(quiet=True))
    return out


@pytest.fixture(scope="module")
def ranker(trained: Path) -> Ranker:
    return load_run(trained, RunConfig.read(trained), WORLD.catalogue).ranker


def _why(*words: tuple[str, float]) -> Explanation:
    parts = tuple(Contribution(*word) for word in words)
    rest = (Contribution("past", -1.0), Contribution("popularity", 3.5))
    return Explanation(sum(part.value for part in parts) - 5.5, -8.0, parts, rest)


def _turn(ending: str = "stayed", **changes: Any) -> ReplayTurn:
    item = {"clicked": True, "consumed": False, "examined": True, "unsuitable": False, "why": _why(("funny", 4.0))}
    items = (
        Shown(title="Airplane! (1980)", met=(True, False), **item),
        Shown(title="Alien (1979)", met=(False, True), **(item | {"clicked": False, "examined": False, "why": None})),
    )
    wishes = (Wish("genre: Comedy", said=True, whole=True), Wish("year ≥ 1990", said=False, whole=True))
    given = {"instruction": "something funny", "wishes": wishes, "items": items, "reward": 1.0, "satisfaction": 0.61,
             "trust": 0.25, "ending": ending}  # fmt: skip
    return ReplayTurn(**(given | changes))


def _page(*replays: Replay, **changes: Any) -> str:
    agents = list(dict.fromkeys(each.agent for each in replays))
    results = {"world": "instructrec/Movies-v0", "fingerprint": "0123", "split": "test", "seed": 1, "agents": agents}
    return render_replay(ReplayPage(results=results | changes, replays=replays))


class _Parsed(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data + " "


def test_the_page_fetches_nothing_and_its_links_lead_to_its_own_people() -> None:
    page = _page(
        Replay("a", 3, (_turn(), _turn("left"))), Replay("b", 3, (_turn("left"),)), Replay("a", 12, (_turn(),))
    )
    tags = _Parsed(page).tags
    fetching = {"src", "srcset", "action", "data", "poster"}
    assert not [tag for tag, attrs in tags if tag in ("script", "iframe", "link") or fetching & set(attrs)]
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page
    links = [attrs["href"] for _, attrs in tags if "href" in attrs]
    assert links == ["#person-3", "#person-12"]
    assert {f"#{attrs['id']}" for _, attrs in tags if "id" in attrs} == set(links)


@pytest.mark.parametrize(
    "attack", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><svg onload=a>", "' onload='"]
)
def test_whatever_was_said_or_shown_stays_text(attack: str) -> None:
    item = Shown(attack, (True,), True, True, None, True, _why((attack, 1.0)))
    turn = _turn(instruction=attack, wishes=(Wish(attack, said=False, whole=False),), items=(item,))
    page = _page(Replay(attack, 0, (turn, turn)), world=attack)
    assert not [tag for tag, _ in _Parsed(page).tags if tag in ("script", "img")]
    assert not [name for _, attrs in _Parsed(page).tags for name in attrs if name.startswith("on")]
    assert attack.strip("'\" ") in _Parsed(page).words


def test_a_card_tells_what_was_said_kept_back_met_clicked_and_why_it_ended() -> None:
    page = _page(Replay("parser", 0, (_turn("left"),)))
    words = " ".join(_Parsed(page).words.split())
    assert "“something funny” a genre: Comedy b year ≥ 1990 (not said)" in words
    assert "1 Airplane! (1980) average item −8.0 “funny” +4.0 past −1.0 popularity +3.5 score −1.5 ✓ ✗ ○" in words
    assert "2 Alien (1979) ✗ ✓ 1 point" in words
    assert "leaves : satisfaction 0.61, trust 0.25" in words
    assert page.count('<tr class="unseen">') == 1
    idle = _turn("left", items=(Shown("x", (True, True), False, False, True, True, None),))
    words = " ".join(_Parsed(_page(Replay("parser", 0, (_turn(), idle, idle)))).words.split())
    assert "leaves : nothing clicked in 2 slates running, shown what must not be shown to them, satisfaction" in words


def test_what_is_new_in_a_goal_is_marked_where_it_comes() -> None:
    first, second = Wish("genre: Comedy", said=True, whole=True), Wish("year ≥ 1990", said=False, whole=True)
    said = Wish("year ≥ 1990", said=True, whole=True)
    newer = Wish("year > 1980", said=True, whole=True)
    begun = (_turn(wishes=(first, second)), _turn(wishes=(first, second)))
    turns = (*begun, _turn(wishes=(first, said, newer)), _turn(wishes=(first, said, newer)))
    words = " ".join(_Parsed(_page(Replay("parser", 0, turns))).words.split())
    assert words.count("said now") == words.count("new") == 1
    assert "b year ≥ 1990 (said now) c year > 1980 (new)" in words


def test_parts_that_there_are_not_are_absent() -> None:
    plain = (Shown("x", (), False, False, None, False, None),)
    page = _page(Replay("a", 0, (_turn(wishes=None, items=plain, satisfaction=None, trust=None, instruction=""),)))
    words = _Parsed(page).words
    assert "says nothing" in words
    for word in ("Satisfaction", "Trust", "satisfaction", "trust", "✓", "in mind", "not looked at", "opens to why"):
        assert word not in words, word
    assert "<svg" not in page
    only = _page(Replay("a", 0, (_turn(trust=None), _turn(trust=None, satisfaction=0.5))))
    assert only.count("<svg") == 1
    assert "a: 0.61, 0.50" in only
    assert "asks for nothing in particular" in _page(Replay("a", 0, (_turn(wishes=(), items=plain),)))


def test_a_replay_is_the_session_that_is_evaluated(ranker: Ranker) -> None:
    sessions = Sessions.first(5, np.array([4, 0, 7]))
    agents = {"slate_ppo": ranker, **untrained(["random", "parser"], WORLD)}
    began = start(WORLD, sessions)
    for name, competitor in agents.items():
        told = replay_sessions(WORLD, name, competitor, sessions)
        episodes = evaluate(WORLD, competitor, sessions)
        assert [each.lane for each in told] == [4, 0, 7]
        np.testing.assert_allclose([each.points for each in told], episodes.returns)
        for row, each in enumerate(told):
            assert len(each.turns) == episodes.length[row]
            assert each.turns[0].instruction == WORLD.population.texts.strings(began.instructions.texts)[row]
            assert [turn.ending for turn in each.turns[:-1]] == ["stayed"] * (len(each.turns) - 1)
            assert (each.turns[-1].ending == "left") == bool(episodes.left[row])
            shown = [
                [WORLD.catalogue.titles[item] for item in slate] for slate in episodes.shown[row, : len(each.turns)]
            ]
            assert [[item.title for item in turn.items] for turn in each.turns] == shown
            clicked = episodes.clicked[row, : len(each.turns)].tolist()
            assert [[item.clicked for item in turn.items] for turn in each.turns] == clicked
        goals = began.instructions.goals
        assert goals is not None
        met = satisfied(goals, WORLD.catalogue, episodes.first_slates)[:, 0]
        assert [[item.met[0] for item in each.turns[0].items] for each in told] == met.tolist()


class _Nibbler:
    """Clicks two items and consumes the second; nobody knows what for."""

    def arrive(self, rng: np.random.Generator) -> Instruction:
        return Instruction("anything")

    def react(self, slate: Slate, rng: np.random.Generator) -> Reaction:
        return Reaction(clicked=(0, 1), consumed=(1,), left=True)


def test_people_of_ones_own_are_replayed_with_what_they_tell() -> None:
    world = world_of(_Nibbler, WORLD.catalogue, slate_size=3)
    (told,) = replay_sessions(world, "random", untrained(["random"], world)["random"], Sessions.first(0, 1))
    (turn,) = told.turns
    assert [(item.clicked, item.consumed) for item in turn.items] == [(True, False), (True, True), (False, False)]
    assert (turn.wishes, turn.satisfaction, turn.trust, turn.items[0].examined) == (None, None, None, None)


def test_slate_ppo_says_why_it_shows_each_item_and_others_do_not(ranker: Ranker) -> None:
    sessions = Sessions.first(5, 2)
    for each in replay_sessions(WORLD, "slate_ppo", ranker, sessions):
        for number, turn in enumerate(each.turns):
            why = [item.why for item in turn.items if item.why is not None]
            assert len(why) == WORLD.slate_size
            assert all(one.total == pytest.approx(one.score, abs=1e-4) for one in why)
            assert [one.score for one in why] == sorted((one.score for one in why), reverse=True)
            assert ("session" in [part.name for part in why[0].rest]) == (number > 0)
    (other, *_) = replay_sessions(WORLD, "parser", untrained(["parser"], WORLD)["parser"], sessions)
    assert all(item.why is None for turn in other.turns for item in turn.items)


def test_a_world_without_goals_is_replayed(tmp_path: Path) -> None:
    found = replay(
        "instructrec/ChocKale-v0", ["random"], out=tmp_path / "p.html", people=1,
        world_settings={"turn_limit": 3}, narrator=Narrator(quiet=True),
    )  # fmt: skip
    (told,) = found["sessions"]
    assert all(turn.wishes is None and turn.trust is None and turn.satisfaction is not None for turn in told.turns)
    words = _Parsed((tmp_path / "p.html").read_text()).words
    assert "Satisfaction" in words
    assert "Trust" not in words
    assert "✓" not in words


def test_the_command_sets_agents_side_by_side(trained: Path, tmp_path: Path, capsys: Any) -> None:
    page = tmp_path / "new" / "page.html"
    arguments = ["replay", "tiny", "--agents", f"slate_ppo={trained},slate_ppo_blank,goal_oracle", "--person", "7", "3",
                 "--out", str(page)]  # fmt: skip
    assert run(arguments) == 0
    assert max(map(len, capsys.readouterr().out.splitlines()[:-1])) <= 80
    first = page.read_text()
    assert [line for line in ("Person 7", "Person 3") if f"<h2>{line}</h2>" in first] == ["Person 7", "Person 3"]
    assert 'details class="why"' in first
    assert run([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(one["agent"], one["lane"]) for one in document["sessions"]] == [
        (agent, lane) for agent in ("slate_ppo", "slate_ppo_blank", "goal_oracle") for lane in (7, 3)
    ]
    heard, deaf = document["sessions"][0], document["sessions"][2]
    assert heard["turns"][0]["instruction"] == deaf["turns"][0]["instruction"]
    assert heard["turns"][0]["wishes"] == deaf["turns"][0]["wishes"]
    assert page.read_text() == first


@pytest.mark.parametrize(
    ("agents", "words"),
    [
        ("parsr", "did you mean 'parser'"),
        ("slate_ppo", "has to be trained"),
        ("parser,parser", "two agents have one name"),
        ("parser,random,bm25,popularity", "1 to 3 agents side by side, got 4"),
        (",", "1 to 3 agents side by side, got 0"),
        ("slate_ppo=nowhere", "there is no run folder nowhere"),
        ("informed", "has no informed"),
    ],
)
def test_agents_that_cannot_be_shown_are_explained(agents: str, words: str, tmp_path: Path, capsys: Any) -> None:
    assert run(["replay", "tiny", "--agents", agents, "--out", str(tmp_path / "p.html")]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "p.html").exists()


def test_a_page_that_is_a_folder_is_refused_before_anybody_plays(tmp_path: Path, capsys: Any) -> None:
    assert run(["replay", "tiny", "--out", str(tmp_path)]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "is a folder; give the name of a file" in shown
    assert "Playing" not in shown
