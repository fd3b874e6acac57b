"""What a model answers is read strictly, and every completion is used or counted under one kind of failure."""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructrec.envs.generators import Completion, ScriptedGenerator
from instructrec.envs.speech import Ask, Failure, Speaker, Tally, UnusableError, read_choice, read_sentence

REQUEST = "No horror, please!"


def sentence(text: str) -> str:
    return read_sentence(text, max_words=12, echoes=[REQUEST])


OFFERS = ("Heat (1995)", "King Kong (1933)", "Now; or Never", "Now", "King Kong (2005)", "Twins", "Twins")


def choice(text: str) -> tuple[int, ...]:
    return read_choice(text, OFFERS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("anything but horror", "anything but horror"),
        ('  "anything but horror" \n', "anything but horror"),
        ("“nichts Gruseliges”", "nichts Gruseliges"),
        ('"no" or "yes"', '"no" or "yes"'),
        ("别放恐怖片", "别放恐怖片"),
        ("I can't do scary films", "I can't do scary films"),
    ],
)
def test_a_sentence_is_taken_as_it_stands(text, said):
    assert sentence(text) == said


SENTENCES = {
    Failure.EMPTY: ["", "  \n", '""', "...", "!?"],
    Failure.TOO_LONG: ["so many words that nobody would ever say them in one single breath today", "a" * 3_000],
    Failure.SEVERAL_LINES: ["Sure! Here you are:\nanything but horror", "one\u2028two"],
    Failure.UNPRINTABLE: ["anything \x00 but horror", "anything \ufffd but", "\x1b[31mred", "bad \ud800 half"],
    Failure.REFUSED: [
        "I'm sorry, but I can't help with that.",
        "I’m sorry for the confusion",
        "I cannot provide a recommendation",
        "As an AI language model I watch nothing",
        "I'm just an AI",
        "I'm here to help you with films",
    ],
    Failure.ECHO: ["no horror please", "NO HORROR, PLEASE", '"No horror, please!"'],
    Failure.REPETITION: ["a film about a film about a film about a film about"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SENTENCES.items() for text in texts])
def test_a_sentence_that_cannot_be_used_is_refused_by_its_kind(kind, text):
    with pytest.raises(UnusableError) as caught:
        sentence(text)
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("none", ()),
        ("None", ()),
        (" none.\n", ()),
        ("Heat (1995)", (0,)),
        (" King Kong (2005); Heat (1995)", (0, 4)),
        ("Heat", (0,)),
        ("Now; or Never; Now", (2, 3)),
        ("Now", (3,)),
        ("Twins", (5,)),
        ("Twins; Now; Twins", (3, 5, 6)),
    ],
)
def test_a_choice_names_offers_as_they_are_written_or_without_what_stands_in_brackets(text, places):
    assert choice(text) == places


CHOICES = {
    Failure.EMPTY: ["", " \n"],
    Failure.NOT_OFFERED: [
        "Toy Story (1995)",
        "King Kong",
        "Heat (1995), Now",
        "Heat (1995);",
        "Heat (1995); none",
        "heat (1995)",
        "Heat (19",
        "1",
        '["Heat (1995)"]',
        "I choose Heat (1995)",
        "Now; Now",
        "Heat (1995); Heat",
        "Twins; Twins; Twins",
        "(1995)",
        ";" * 9_000,
    ],
    Failure.SEVERAL_LINES: ["Heat (1995)\nNow", "none\u2028none", "```\nNow\n```"],
    Failure.REFUSED: ["I'm sorry, but I can't choose.", "As an AI I watch nothing"],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in CHOICES.items() for text in texts])
def test_a_choice_that_cannot_be_used_is_refused_by_its_kind(kind, text):
    with pytest.raises(UnusableError) as caught:
        choice(text)
    assert caught.value.kind is kind


@given(st.text(), st.lists(st.text(), max_size=4))
def test_whatever_is_written_is_read_or_refused_and_nothing_else_happens(text, offers):
    with contextlib.suppress(UnusableError):
        assert sentence(text)
    with contextlib.suppress(UnusableError):
        places = read_choice(text, offers)
        assert list(places) == sorted(set(places) & set(range(len(offers))))


# --- Asking ------------------------------------------------------------------------------------------------------


def ask(name, tries=3, read=sentence):
    return Ask(tuple(f"{name}, try {attempt}" for attempt in range(tries)), read)


def test_what_cannot_be_used_is_asked_for_again_with_the_next_prompt():
    answers = {"a, try 0": "", "a, try 1": "no horror please", "a, try 2": "nothing scary", "b, try 0": "a comedy"}
    tally, generator = Tally(), ScriptedGenerator(answers.__getitem__)
    assert Speaker(generator, tally).answers([ask("a"), ask("b")]) == ["nothing scary", "a comedy"]
    assert generator.prompts == ["a, try 0", "b, try 0", "a, try 1", "a, try 2"]
    assert tally.failures == {Failure.EMPTY: 1, Failure.ECHO: 1}
    assert (tally.completions, tally.used, tally.failed) == (4, 2, 2)


def test_after_the_last_try_there_is_no_answer_and_it_is_not_asked_for_again():
    tally, generator = Tally(), ScriptedGenerator(lambda prompt: "")
    speaker = Speaker(generator, tally)
    for _ in range(3):
        assert speaker.answers([ask("a"), ask("a")]) == [None, None]
    assert len(generator.prompts) == tally.failures[Failure.EMPTY] == 3


def test_a_text_that_was_cut_off_is_too_long_even_if_it_reads_well():
    class Cut(ScriptedGenerator):
        def generate(self, prompts):
            return [Completion("something new", finished=False) for _ in prompts]

    tally = Tally()
    assert Speaker(Cut(str), tally).answers([ask("a", tries=1)]) == [None]
    assert tally.failures == {Failure.TOO_LONG: 1}


def test_what_is_asked_twice_is_written_once_and_old_answers_are_let_go():
    generator = ScriptedGenerator(lambda prompt: f"words for {prompt[0]}")
    speaker = Speaker(generator, Tally(), keep=2)
    assert speaker.answers([ask("a"), ask("b"), ask("a")]) == ["words for a", "words for b", "words for a"]
    speaker.answers([ask("a")])
    assert len(generator.prompts) == 2
    speaker.answers([ask("c")])
    speaker.answers([ask("a")])
    assert len(generator.prompts) == 3
    speaker.answers([ask("b")])
    assert generator.prompts[-1] == "b, try 0"
    assert speaker.answers([ask(str(number)) for number in range(5)]) == [f"words for {number}" for number in range(5)]


def test_a_thousand_malformed_answers_are_all_counted_and_none_is_swallowed():
    broken = [(kind, text) for kind, texts in CHOICES.items() for text in texts]
    expected: Counter[Failure] = Counter()

    def write(prompt: str) -> str:
        kind, text = broken[int(prompt.split(" ")[0]) % len(broken)]
        expected[kind] += 1
        return text

    tally, generator = Tally(), ScriptedGenerator(write)
    asks = [Ask(tuple(f"{4 * place + attempt} ?" for attempt in range(4)), choice) for place in range(250)]
    assert Speaker(generator, tally).answers(asks) == [None] * 250
    assert len(generator.prompts) == tally.completions == tally.failed == sum(tally.failures.values()) == 1_000
    assert tally.failures == expected
    assert set(tally.failures) == set(CHOICES)
    assert tally.used == 0
    assert "1,000 could not be used" in str(tally)
    for kind in CHOICES:
        assert f"{kind.value} {tally.failures[kind]}" in str(tally)
        assert tally.scalars()[f"failures_{kind.value}"] == tally.failures[kind]


def test_tokens_time_and_cost_are_those_of_live_completions():
    class Half(ScriptedGenerator):
        def generate(self, prompts):
            return [Completion("a film", 1_000, 100, 0.5, live=place > 0) for place, _ in enumerate(prompts)]

    tally = Tally(price_in=2.0, price_out=10.0)
    assert "costing 0" in str(tally)
    Speaker(Half(str), tally).answers([ask("a"), ask("b"), ask("c")])
    assert (tally.completions, tally.live, tally.tokens_in, tally.tokens_out) == (3, 2, 2_000, 200)
    assert tally.cost == pytest.approx((2_000 * 2 + 200 * 10) / 1e6)
    numbers = tally.scalars()
    assert numbers["cost"] == tally.cost
    assert numbers["seconds_per_completion"] == pytest.approx(0.5)
    assert numbers["failure_share"] == 0
    assert "failure_share" not in Tally().scalars()
    assert "costing" not in str(Tally())


def test_a_prompt_that_two_slates_share_is_sent_once_and_read_for_each_by_its_own_titles():
    def asked(*offers: str) -> Ask[tuple[int, ...]]:
        prompts = tuple(f"Offers: {'; '.join(offers)}. Try {attempt}" for attempt in range(2))
        return Ask(prompts, lambda text: read_choice(text, offers), among=offers)

    one, other = asked("A; B", "C"), asked("A", "B; C")
    answers = {one.prompts[0]: "A; B", one.prompts[1]: "B; C"}
    alone = [Speaker(ScriptedGenerator(answers.__getitem__), Tally()).answers([ask])[0] for ask in (one, other)]
    assert alone == [(0,), (1,)]
    tally, generator = Tally(), ScriptedGenerator(answers.__getitem__)
    speaker = Speaker(generator, tally)
    assert speaker.answers([one, other, one]) == [(0,), (1,), (0,)]
    assert generator.prompts == list(one.prompts)
    assert (tally.completions, tally.used) == (2, 2)
    assert speaker.answers([other, one]) == [(1,), (0,)]
    assert len(generator.prompts) == 2
