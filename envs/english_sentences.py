"""Sentence shapes of English: templates, frames, portions and courtesies, as data, for any domain.

Slots of a template: ``{one}`` "a scary movie", ``{some}`` "some scary movies", ``{any}`` "any scary movies", ``{many}``
"scary movies" (no superlatives), ``{those}`` the same or "the best movies", ``{a}`` "a scary movie" (no superlatives),
``{bare}`` "scary movie", ``{list}`` "scary, 90s, no westerns", ``{clauses}`` "no westerns, nothing before
1990", ``{clause}`` one of those. What has no place of its own is added after a comma. Counts have ``{count}`` and
``{stuff}``, conditions ``{one}`` or ``{bare}``, and ``{clause}``, comparisons ``{ordinal}`` or ``{number}`` and what
is compared, ``{name}``: what stands before the first slot tells the parser what is meant. No template holds a word that
means something to the parser. ``<use>`` is what people do with an item ("watch"), ``<unit>`` what a number counts
("euros"), ``<name>`` what its attribute is called: a domain fills them in.
"""

from __future__ import annotations

from instructrec.envs.vocabulary import Frame, Portion, Role
from instructrec.goals import Operator

_POSITIVE = (
    *(
        Frame(text, Role.CLAUSE)
        for text in (
            "make it {adjective}",
            "it should be {adjective}",
            "it has to be {adjective}",
            "I want it {adjective}",
            "something {adjective}",
            "make it {one}",
            "it should be {one}",
            "it has to be {one}",
            "I do want {one}",
            "let it be {one}",
            "it should be from the {period}",
            "keep it to the {period}",
            "only from the {period}",
            "stick to the {period}",
            "it has to be from the {period}",
            "something {after}",
            "ideally something {after}",
            "it should be something {after}",
            "make it something {after}",
            "only the {superlative} ones",
            "give me the {superlative} ones",
            "make it the {superlative} ones",
            "it has to be one of the {superlative} ones",
        )
    ),
    *(
        Frame(text, Role.AFTER)
        for text in (
            "from the {period}",
            "made in the {period}",
            "of the {period}",
            "that came out in the {period}",
            "released in the {period}",
        )
    ),
)

_EXCLUDING = (
    *(
        Frame(text, Role.CLAUSE, Operator.EXCLUDE)
        for text in (
            "no {stuff}",
            "no {stuff} please",
            "anything but {stuff}",
            "I can't stand {stuff}",
            "skip the {stuff}",
            "leave out the {stuff}",
            "I'm not in the mood for {stuff}",
            "avoid {stuff}",
            "I don't want any {stuff}",
            "don't give me {stuff}",
            "I hate {stuff}",
            "I've had enough of {stuff}",
            "spare me the {stuff}",
            "I don't like {stuff}",
            "I'm sick of {stuff}",
            "nothing {adjective}",
            "not {adjective}",
            "nothing too {adjective}",
            "it shouldn't be {adjective}",
            "I don't want it to be {adjective}",
        )
    ),
    *(
        Frame(text, Role.AFTER, Operator.EXCLUDE)
        for text in (
            "with no {stuff}",
            "without any {stuff}",
            "without {stuff}",
            "but no {stuff}",
            "except {stuff}",
            "other than {stuff}",
            "but nothing {adjective}",
            "but not {adjective}",
            "but not at all {adjective}",
        )
    ),
)


def _numbers(operator: Operator, role: Role, *texts: str) -> tuple[Frame, ...]:
    return tuple(Frame(text, role, operator) for text in texts)


_YEARS = (
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "from {low} on", "made since {low}", "released in {low} or later", "from {low} onwards", "from {low} or later",
        "made after {beyond}", "released after {beyond}", "from after {beyond}", "that came out after {beyond}",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "from the last {span} years", "made in the past {span} years", "released in the last {span} years",
        "from the past {span} years",
        "from the last {decades} decades", "made in the past {decades} decades", "of the past {decades} decades",
    ),
    *_numbers(Operator.AT_LEAST, Role.BEFORE, "post-{beyond}"),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "nothing before {low}", "nothing older than {low}", "only {low} or later", "it has to be from {low} or later",
        "nothing from before {low}",
        "it should be from after {beyond}", "only after {beyond}", "it must have come out after {beyond}",
    ),
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "from {high} or earlier", "made up to {high}", "released no later than {high}", "from {high} or before",
        "from before {before}", "made before {before}", "released before {before}", "that came out before {before}",
    ),
    *_numbers(Operator.AT_MOST, Role.BEFORE, "pre-{before}"),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "nothing after {high}", "nothing newer than {high}", "only {high} or earlier", "nothing from after {high}",
        "it should be from before {before}", "only before {before}", "it must have come out before {before}",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER,
        "from between {low} and {high}", "made between {low} and {high}", "released from {low} to {high}",
        "from {low} to {high}", "from the years {low} to {high}",
        "from {exact}", "released in {exact}", "made in {exact}", "that came out in {exact}", "from the year {exact}",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "it should be from between {low} and {high}", "only between {low} and {high}", "only {low} to {high}",
        "it must have come out between {low} and {high}",
        "it should be from {exact}", "only from {exact}", "it must have come out in {exact}",
    ),
)  # fmt: skip

_RATINGS = (
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "rated {low} or better", "rated at least {low}", "with at least {low} stars", "with a rating of {low} or more",
        "with {low} stars or more", "rated {low} and up", "rated {low} or higher", "with a rating of at least {low}",
        "with an average rating of at least {low}", "with {low} stars and above",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "nothing rated below {low}", "nothing under {low} stars", "it should be rated {low} or higher",
        "at least {low} stars", "only {low} stars and up",
    ),
)  # fmt: skip

_MONEY = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "for {high} <unit> or less", "up to {high} <unit>", "for at most {high} <unit>", "within {high} <unit>",
        "for no more than {high} <unit>", "with a budget of {high} <unit>", "costing at most {high} <unit>",
        "under {before} <unit>", "for under {before} <unit>", "for less than {before} <unit>",
        "cheaper than {before} <unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "nothing over {high} <unit>", "it should cost at most {high} <unit>", "nothing above {high} <unit>",
        "my budget is {high} <unit>", "I can spend {high} <unit> at most", "it mustn't cost more than {high} <unit>",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "from {low} <unit> up", "for {low} <unit> or more", "costing at least {low} <unit>",
        "for no less than {low} <unit>", "of {low} <unit> and above",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "nothing under {low} <unit>", "it should cost at least {low} <unit>", "nothing below {low} <unit>",
        "it may cost {low} <unit> or more",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER,
        "between {low} and {high} <unit>", "from {low} to {high} <unit>", "for {low} to {high} <unit>",
        "costing {low} to {high} <unit>", "priced between {low} and {high} <unit>",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "it should cost between {low} and {high} <unit>", "I can spend {low} to {high} <unit>",
        "only between {low} and {high} <unit>", "the price should be {low} to {high} <unit>",
    ),
)  # fmt: skip

_LENGTH = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "of at most {high} <unit>", "no longer than {high} <unit>", "of {high} <unit> or less",
        "taking {high} <unit> at most", "to fit into {high} <unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "nothing longer than {high} <unit>", "it should take at most {high} <unit>", "I only have {high} <unit>",
        "not more than {high} <unit> long",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "of at least {low} <unit>", "of {low} <unit> or more", "lasting at least {low} <unit>",
        "no shorter than {low} <unit>",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "nothing shorter than {low} <unit>", "it should last at least {low} <unit>", "at least {low} <unit> long",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER,
        "of {low} to {high} <unit>", "between {low} and {high} <unit> long", "taking {low} to {high} <unit>",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "it should take {low} to {high} <unit>", "only {low} to {high} <unit> long",
        "it should last between {low} and {high} <unit>",
    ),
)  # fmt: skip

_AGE = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "from the last {high} <unit>", "no older than {high} <unit>", "from the past {high} <unit>",
        "of the last {high} <unit>", "that came in within {high} <unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "nothing older than {high} <unit>", "only from the last {high} <unit>", "at most {high} <unit> old",
        "nothing from more than {high} <unit> ago",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "at least {low} <unit> old", "from {low} <unit> ago or before", "{low} <unit> old or more",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "nothing newer than {low} <unit>", "it should be at least {low} <unit> old",
        "only from {low} <unit> ago or before",
    ),
)  # fmt: skip

_DISTANCE = (
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "within {high} <unit>", "at most {high} <unit> away", "no farther than {high} <unit>",
        "not more than {high} <unit> from here", "{high} <unit> away or less",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "nothing more than {high} <unit> away", "nothing farther than {high} <unit>",
        "it should be within {high} <unit>", "it can be {high} <unit> away at most",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "at least {low} <unit> away", "{low} <unit> away or more", "no nearer than {low} <unit>",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "nothing nearer than {low} <unit>", "it should be at least {low} <unit> away",
        "nothing within less than {low} <unit>",
    ),
)  # fmt: skip

_AMOUNT = (
    *_numbers(
        Operator.AT_LEAST, Role.AFTER,
        "with at least {low} <unit>", "with {low} <unit> or more", "with no less than {low} <unit>",
        "with a minimum of {low} <unit>", "having {low} <unit> or more",
    ),
    *_numbers(
        Operator.AT_LEAST, Role.CLAUSE,
        "nothing with less than {low} <unit>", "it should have at least {low} <unit>",
        "it has to have {low} <unit> or more", "nothing below {low} <unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.AFTER,
        "with at most {high} <unit>", "with {high} <unit> or less", "with no more than {high} <unit>",
        "with a maximum of {high} <unit>",
    ),
    *_numbers(
        Operator.AT_MOST, Role.CLAUSE,
        "nothing with more than {high} <unit>", "it should have at most {high} <unit>",
        "it must not have more than {high} <unit>", "nothing above {high} <unit>",
    ),
    *_numbers(
        Operator.BETWEEN, Role.AFTER,
        "with {low} to {high} <unit>", "with between {low} and {high} <unit>", "having {low} to {high} <unit>",
    ),
    *_numbers(
        Operator.BETWEEN, Role.CLAUSE,
        "it should have {low} to {high} <unit>", "only with {low} to {high} <unit>",
        "it should have between {low} and {high} <unit>",
    ),
)  # fmt: skip

FRAMES = (*_POSITIVE, *_EXCLUDING)
"""What fits every attribute."""

MEASURES = {
    "year": _YEARS,
    "stars": _RATINGS,
    "money": _MONEY,
    "length": _LENGTH,
    "age": _AGE,
    "distance": _DISTANCE,
    "amount": _AMOUNT,
    "level": (),
}
"""How numbers are said, by what they measure; levels only have names."""

PORTIONS = (
    Portion(
        0.5,
        ("at least half {stuff}", "half of them {stuff}", "half of them should be {stuff}", "half the list {stuff}"),
    ),
    Portion(
        0.6,
        ("mostly {stuff}", "mainly {stuff}", "most of them {stuff}", "for the most part {stuff}"),
    ),
    Portion(
        0.3,
        ("a third {stuff}", "about a third {stuff}", "at least a third {stuff}", "one in three should be {stuff}"),
    ),
)

_OPENING = (
    # Statements.
    "I want {one}",
    "I want to <use> {one}",
    "I'd like {one}",
    "I'd like to <use> {one}",
    "I'm looking for {one}",
    "I'm in the mood for {one}",
    "I could do with {one}",
    "I need {one}",
    "I'm after {one}",
    "we want {one}",
    "we would love {one}",
    "my friend asked for {one}",
    "today I want {one}",
    "today it has to be {one}",
    "{one} would be perfect",
    "{one} is what I want",
    # Commands.
    "find me {one}",
    "recommend {one}",
    "give me {one}",
    "show me {some}",
    "list {some}",
    "suggest {some}",
    "show {those}",
    "pick {one} for me",
    "get me {some} to choose from",
    "search for {those}",
    "tell me about {some}",
    # Questions.
    "can you find me {one}?",
    "could you recommend {one}?",
    "what are {some} to <use>?",
    "do you have {any}?",
    "are there {any} I could <use>?",
    "is there {a} I could <use>?",
    "do you know {any}?",
    "got {any}?",
    "any chance of {one}?",
    "what {many} can you show me?",
    "which {many} would you suggest?",
    "how about {one}?",
    "where can I find {one}?",
    "what should I <use> if I want {one}?",
    # Fragments.
    "{one}",
    "{bare}",
    "{many}",
    "{list}",
    "{list}, that kind of thing",
    "looking for {one}",
    "searching for {those}",
    "{one} for me",
    "wanted: {one}",
    # What is not wanted, first.
    "{clauses}, just {one}",
    "{clauses}, otherwise I want {one}",
    "{clauses}: show me {some}",
    "{clauses}, but I would like {one}",
    "{clauses}. can you find {one}?",
    "{clauses}; give me {one}",
)
_VAGUE = (
    "just {one}",
    "any ideas for {one}?",
    "we need {one}",
    "what's {one} to <use>?",
    "can you think of {one}?",
    "I just want {one}",
    "{one}, that is all",
    "help me choose {one}",
    "I can't decide, give me {one}",
    "{one} will do",
    "I'd settle for {one}",
    "is there {a} at all?",
)
_IMPLICIT = (
    "surprise me",
    "something I would like",
    "you know what I like",
    "whatever suits me",
    "what should I <use>?",
    "pick something for me",
    "anything up my street",
    "something like my usual",
    "what do you recommend for me?",
    "I don't know, you choose",
    "show me what you think I'd like",
    "more of my usual",
    "what would I like?",
    "I trust your taste",
    "recommend me something",
    "based on what I had before, what's next?",
    "what do you have for me today?",
    "I'm open to anything",
    "any suggestions?",
)
_RESTATED = (
    "so that's {one}",
    "to sum up, I want {one}",
    "again: {one}",
    "once more, {one}",
    "like I said, {one}",
    "I did ask for {one}",
    "as I said, I'm looking for {one}",
    "let me repeat: {one}",
    "what I want is {one}",
    "all together: {list}",
    "to be clear, {one}",
    "I'll say it again, show me {some}",
    "in other words, {one}",
    "still looking for {one}",
)
_REVEAL = (
    "also, {clause}",
    "oh, and {clause}",
    "I should have said, {clause}",
    "one more thing: {clause}",
    "I forgot to mention, {clause}",
    "sorry, {clause}",
    "{clause}, by the way",
    "that's not quite right, {clause}",
    "hmm, {clause}",
    "wait, {clause}",
    "{clause}",
    "I didn't say so before, but {clause}",
    "and {clause}",
    "almost, but {clause}",
    "let me add something: {clause}",
)
_CRITIQUE = (
    "something {more} than the {ordinal} one",
    "like the {ordinal} but {more}",
    "like the {ordinal} one, only {more}",
    "something {more} than number {number}",
    "number {number} is close, but I'd like something {more}",
    "the {ordinal} one looks fine, but make it {more}",
    "can I have something {more} than the {ordinal}?",
    "show me something {more} than number {number}",
    "anything {more} than the {ordinal} one?",
    "I'd take the {ordinal} one if it were {more}",
    "as with number {number}, but {more}",
    "{more} than the {ordinal} one, please",
)
_MORE = (
    "more like these",
    "show me more",
    "keep going",
    "what else is there?",
    "more of the same",
    "next",
    "these are fine, what else?",
    "more please",
    "any others?",
    "go on",
    "carry on like this",
    "the same again, please",
    "next page",
    "what else do you have?",
    "give me more like that",
    "I like these, continue",
    "and more?",
    "more along those lines",
    "let's see some more",
    "another round",
)
_AT_LEAST = (
    "at least {count} {stuff}",
    "{count} or more {stuff}",
    "no fewer than {count} {stuff}",
    "a minimum of {count} {stuff}",
    "{count} at the very least should be {stuff}",
    "make sure there are {count} {stuff}",
)
_EXACTLY = (
    "exactly {count} {stuff}",
    "just {count} {stuff}",
    "precisely {count} {stuff}",
    "neither more nor less than {count} {stuff}",
    "{count} in all should be {stuff}",
    "a total of {count} {stuff}",
)
_CONDITIONAL = (
    "if it is {one}, {clause}",
    "if it's {one}, {clause}",
    "should it be {one}, {clause}",
    "in case it is {one}, {clause}",
    "if you show me {one}, {clause}",
    "if it happens to be {one}, {clause}",
)
_LIKE = (
    "more like the {ordinal} one",
    "more like number {number}",
    "something along the lines of the {ordinal} one",
    "more in the style of number {number}",
    "something similar to the {ordinal} one",
    "another one like the {ordinal}",
    "closer to number {number}",
)
_UNLIKE = (
    "nothing like the {ordinal} one",
    "nothing like number {number}",
    "not at all like the {ordinal} one",
    "the opposite of number {number}",
    "something quite unlike the {ordinal} one",
    "as far as possible from number {number}",
)
_SAME = (
    "the same {name} as the {ordinal} one",
    "the same {name} as number {number}",
    "something with the {name} of the {ordinal} one",
    "stick to the {name} of number {number}",
    "keep the {name} of the {ordinal} one",
    "I like the {name} of number {number}",
)
_OVERRIDE = (
    "on second thoughts, {clause}",
    "I've changed my mind, {clause}",
    "let me change that, {clause}",
    "scratch that, {clause}",
    "{clause} instead",
    "{clause} after all",
    "change of mind: {clause}",
)
_RESET = (
    "forget what I said, {one}",
    "forget all that, I want {one}",
    "start over: {one}",
    "let's start again, show me {some}",
    "never mind what I asked before, {one}",
    "drop everything I said, give me {one}",
    "new search: {list}",
)
_RELAX = (
    "in that case, {one}",
    "I'll settle for {one}",
    "I could live with {one}",
    "if there is none, {one}",
    "failing that, {one}",
    "I'd make do with {one}",
)
_CORRECTION = (
    "my mistake, {clause}",
    "I got that wrong, {clause}",
    "I mixed that up, {clause}",
    "sorry, I misremembered, {clause}",
    "I was wrong about that, {clause}",
    "it turns out I was wrong, {clause}",
)
TEMPLATES = {
    "opening": _OPENING,
    "vague": _VAGUE,
    "implicit": _IMPLICIT,
    "restated": _RESTATED,
    "reveal": _REVEAL,
    "critique": _CRITIQUE,
    "more": _MORE,
    "at_least": _AT_LEAST,
    "exactly": _EXACTLY,
    "conditional": _CONDITIONAL,
    "like": _LIKE,
    "unlike": _UNLIKE,
    "same": _SAME,
    "override": _OVERRIDE,
    "reset": _RESET,
    "relax": _RELAX,
    "correction": _CORRECTION,
}

POLITE = (
    ("please, ", "hi, ", "hello, ", "hey, ", "hi there, ", "excuse me, "),
    (" please", ", thanks", ", thank you", ", if you can", ", if possible", ", cheers"),
)
RESETS = (
    "actually, ",
    "now, ",
    "this time, ",
    "something different: ",
    "change of plan: ",
    "okay, now ",
    "forget that, ",
    "let's switch, ",
)
