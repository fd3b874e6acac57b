"""The report explains a comparison truthfully, opens anywhere, and runs nothing that a title says."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from instructrec.experiments.conversations import Conversation, ShownItem, Turn
from instructrec.experiments.headline import headline, ordered, to_text, verdicts
from instructrec.experiments.plots import decades, ticks
from instructrec.experiments.report import Report, render

AGENTS = {
    "random": (0.7, 0.21, 0.0), "popularity": (4.8, 0.24, 0.0), "bm25": (3.1, 0.42, 0.21), "cosine": (3.3, 0.4, 0.2),
    "parser": (9.1, 0.9, 0.66), "supervised": (9.9, 0.71, 0.45), "ppo": (5.0, 0.3, 0.05),
    "slate_ppo": (13.2, 0.83, 0.55), "slate_ppo_blank": (5.1, 0.28, None), "informed": (15.6, 0.97, None),
    "goal_oracle": (14.3, 0.97, None), "oracle": (19.8, 0.97, None),
}  # fmt: skip


def _spread(value: float, width: float) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def results(**changes: tuple[float, float, float | None]) -> dict[str, Any]:
    agents: dict[str, Any] = {}
    for place, (name, (earned, csr, gain)) in enumerate({**AGENTS, **changes}.items()):
        agents[name] = {
            "return": _spread(earned, 0.4),
            "informed_normalised_return": _spread((earned - 0.7) / 14.9, 0.03),
            "csr": _spread(csr, 0.02),
            "strict": _spread(csr * 0.9, 0.02),
            "violation": _spread(0.4 - 0.4 * csr, 0.01),
            "session_length": _spread(5 + earned / 5, 0.3),
            "latency_p50_ms": _spread(0.2 + place * 0.3, 0.0),
            "latency_p99_ms": _spread(0.6 + place * 0.9, 0.0),
        }
        if gain is not None:
            agents[name]["control_gain"] = _spread(gain, 0.02)
    flagship = agents["slate_ppo"]["return"]["value"]
    return {
        "world": "instructrec/Movies-v0", "fingerprint": "0123456789abcdef", "seeds": [0], "people": 122,
        "sessions": 488, "split": "test", "agents": agents, "timing": {"training_s": 251.0},
        "differences": {
            name: _spread(flagship - entry["return"]["value"], 0.5) for name, entry in agents.items()
            if name != "slate_ppo"
        },
    }  # fmt: skip


def _talk(agent: str, said: str, titles: list[str], marks: list[tuple[bool, ...]]) -> Conversation:
    items = tuple(
        ShownItem(title, met, place == 1) for place, (title, met) in enumerate(zip(titles, marks, strict=True))
    )
    turn = Turn(
        said, ("genre: Thriller", "year 1990–1999", "genre: not Horror"), (True, True, True), items, 1.0, "stayed"
    )
    return Conversation(agent, 7, (turn, turn))


def _row(place: int) -> dict[str, float]:
    earned = {"step": 2048.0 * place, "return": 13.0 * place / (place + 12)}
    return earned | ({"csr": 0.9 - 0.6 / place, "control_gain": 0.6 - 0.6 / place} if place % 9 == 0 else {})


def report(
    said: str = "a tense thriller from the 90s, no horror", title: str = "Seven (a.k.a. Se7en) (1995)"
) -> Report:
    good = [title, "Heat (1995)", "Usual Suspects, The (1995)", "Fargo (1996)", "Silence of the Lambs, The (1991)"]
    bad = [
        "Shawshank Redemption, The (1994)",
        "Pulp Fiction (1994)",
        "Matrix, The (1999)",
        "Scream (1996)",
        "Up (2009)",
    ]
    return Report(
        results=results(),
        curves={"slate_ppo": [_row(place) for place in range(1, 90)]},
        conversations=[
            _talk("slate_ppo", said, good, [(True, True, True)] * 4 + [(True, True, False)]),
            _talk("slate_ppo_blank", said, bad, [(False, True, True), (True, True, True), (True, True, False)] * 1
                  + [(False, False, True)] * 2),
        ],
        command="instructrec demo --out runs/demo --final",
        versions={"python": "3.11.2", "torch": "2.13.0"},
    )  # fmt: skip


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_fetches_nothing() -> None:
    page = render(report())
    fetching = {"src", "href", "srcset", "action", "data", "poster"}
    tags = _Page(page).tags
    asked = [tag for tag, attrs in tags if tag in ("script", "iframe", "link") or fetching & set(attrs)]
    assert not asked
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "attack", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><svg onload=a>"]
)
def test_a_malicious_title_or_text_stays_text(attack: str) -> None:
    clean, dirty = render(report()), render(report(said=attack, title=attack))
    # Not one element more or less, and the words stand on the page as they are.
    assert [tag for tag, _ in _Page(dirty).tags] == [tag for tag, _ in _Page(clean).tags]
    assert attack in "".join(_Page(dirty).words)


def test_a_malicious_agent_or_world_name_stays_text() -> None:
    document = results(**{'x"><script>alert(1)</script>': (1.0, 0.2, 0.1)}) | {"world": "<script>w</script>"}
    page = _Page(render(Report(results=document)))
    assert not [tag for tag, _ in page.tags if tag == "script"]


def test_every_plot_is_described_for_those_who_cannot_see_it() -> None:
    page = _Page(render(report()))
    plots = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert len(plots) == 5
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in plots)
    assert sum(tag == "desc" for tag, _ in page.tags) == len(plots)


def test_where_a_baseline_wins_the_first_sentence_says_so() -> None:
    found = results(supervised=(15.0, 0.9, 0.6))
    assert verdicts(found)[0] == ["supervised"]
    assert headline(found)[0].startswith("supervised beats slate_ppo")
    assert "supervised beats slate_ppo" in next(
        text for (tag, attrs), text in zip(*_leading(render(Report(results=found))), strict=False)
        if attrs.get("class") == "headline"
    )  # fmt: skip


def _leading(page: str) -> tuple[list[tuple[str, dict[str, str | None]]], list[str]]:
    found = re.findall(r'<p class="(\w+)">(.*?)</p>', page)
    return [("p", {"class": css}) for css, _ in found], [words for _, words in found]


def test_a_difference_that_includes_zero_is_not_called_a_win() -> None:
    found = results(supervised=(13.0, 0.8, 0.5))
    won, level, lost = verdicts(found)
    assert "supervised" in level
    assert "supervised" not in won + lost
    assert any("No difference to supervised" in sentence for sentence in headline(found))


def test_references_are_never_called_beaten() -> None:
    found = results(informed=(10.0, 0.97, None))
    assert all("informed" not in names for names in verdicts(found))


def test_one_seed_is_called_this_run_only() -> None:
    assert "this run only" in render(report())


def test_a_failed_gate_stands_on_the_page() -> None:
    page = render(Report(results=results(), failures=["slate_ppo is deaf: its control gain is 0.01"]))
    assert "slate_ppo is deaf" in page


def test_flags_of_others_are_named_and_explained() -> None:
    flagged = results() | {"flags": {"bm25": ["bm25 is deaf: its csr falls by <0>"]}, "notes": {"ppo": "9 <steps>"}}
    page = render(Report(results=flagged))
    assert ">deaf</span>" in page
    assert "bm25 is deaf: its csr falls by &lt;0&gt;" in page
    assert "9 &lt;steps&gt;" in page


def test_absent_metrics_are_absent_and_never_zero() -> None:
    found = results()
    for entry in found["agents"].values():
        del entry["csr"], entry["strict"]
        entry["violation"] = {"value": None, "low": None, "high": None}
    page = render(Report(results=found))
    assert ">CSR<" not in page.split("What the columns mean")[0]
    assert ">strict<" not in page.split("What the columns mean")[0]
    assert ">violation<" not in page.split("What the columns mean")[0]


def test_the_table_fits_eighty_columns_and_names_everyone() -> None:
    text = to_text(results())
    assert max(len(line) for line in text.splitlines()) <= 80
    assert all(name in text for name in AGENTS)
    assert text.splitlines()[2].startswith("slate_ppo ")


def test_a_world_with_rules_fits_eighty_columns_too_and_its_losses_read_as_numbers() -> None:
    found = results(random=(-14.57, 0.2, None))
    for entry in found["agents"].values():
        entry["unsuitable"] = _spread(0.3, 0.01)
    lines = to_text(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert "unfit" in lines[0]
    assert any("-15.0 to -14.2" in line for line in lines)


def test_order_is_flagship_controls_baselines_by_return_references() -> None:
    order = ordered(results())
    assert order[:3] == ["slate_ppo", "slate_ppo_blank", "supervised"]
    assert set(order[-3:]) == {"informed", "goal_oracle", "oracle"}


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 19.8) == [0.0, 5.0, 10.0, 15.0]
    assert ticks(0.0, 0.97) == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert decades(0.3, 12.0) == [0.1, 1.0, 10.0, 100.0]
