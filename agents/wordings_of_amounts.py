"""The English for amounts that the agent puts its own prompts together from; see `instructrec.agents.amount_prompts`.

What an amount is said with depends on what it counts: one spends euros, has minutes, and is hours old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from instructrec.agents import wordings_of_time as times


@dataclass(frozen=True)
class Bounds:
    """Ways to say that something is at most, at least, or between; the amounts stand for the braces."""

    at_most: Sequence[str]
    at_least: Sequence[str]
    between: Sequence[str]


ANY = Bounds(
    at_most=(
        *("under {}", "up to {}", "at most {}", "{} or less", "no more than {}", "less than {}", "below {}"),
        *(
            "within {}",
            "not over {}",
            "nothing over {}",
            "nothing above {}",
            "not more than {}",
            "maximum {}",
            "{} max",
        ),
        *("{} at most", "my limit is {}", "of at most {}", "{} tops", "it can be {} at most", "with at most {}"),
        *("not exceeding {}", "fewer than {}", "{} or fewer", "a maximum of {}", "{} is the most", "max. {}", "max {}"),
        *("anything up to {}", "that stays below {}", "that is under {}", "{} or under", "{} and below", "<{}"),
        *("not above {}", "nothing beyond {}", "{} is my limit", "it should be {} or less", "it must not exceed {}"),
        *("with {} or less", "with less than {}", "as long as it's below {}", "it has to stay within {}", "{} maximum"),
    ),
    at_least=(
        *("over {}", "at least {}", "{} or more", "more than {}", "above {}", "no less than {}", "from {} up"),
        *("{} and up", "not under {}", "nothing under {}", "nothing below {}", "minimum {}", "with at least {}"),
        *("of at least {}", "it should have {} or more", "not less than {}", "with {} or more", "{} at the least"),
        *("it has to be {} or more", "upwards of {}", "{} minimum", "a minimum of {}", "min. {}", "{} or over"),
        *("{} upwards", "{} and above", "starting at {}", "from {} upwards", "exceeding {}", "{} at least", ">{}"),
        *("that is above {}", "no fewer than {}", "it must be at least {}", "nothing less than {}", "beyond {}"),
        *("with more than {}", "anything from {}", "it shouldn't be below {}", "not below {}", "{} plus"),
    ),
    between=(
        *("between {} and {}", "from {} to {}", "{} to {}", "{}-{}", "anywhere from {} to {}", "of {} to {}"),
        *("somewhere between {} and {}", "in the range of {} to {}", "{} - {}", "at least {} and at most {}"),
        *("from {} up to {}", "not under {} and not over {}", "over {} but under {}", "more than {}, less than {}"),
        *("around {} to {}", "no less than {} and no more than {}", "ranging from {} to {}", "{} up to {}"),
    ),
)

MONEY = Bounds(
    at_most=(
        *("for {} or less", "for less than {}", "costing at most {}", "cheaper than {}", "with a budget of {}"),
        *("my budget is {}", "on a budget of {}", "I can spend {}", "I have {} to spend", "priced under {}"),
        *("priced at {} or less", "that costs less than {}", "that costs at most {}", "for under {}", "for up to {}"),
        *("I don't want to spend more than {}", "I won't pay more than {}", "within a budget of {}", "for {} at most"),
        *("it shouldn't cost more than {}", "nothing dearer than {}", "nothing more expensive than {}", "for max {}"),
        *("I only have {}", "I can afford {}", "{} is all I can spend", "not pricier than {}", "with {} in my pocket"),
        *("budget {}", "budget: {}", "budget of up to {}", "a price below {}", "I'd pay {}", "I'd pay up to {}"),
        *("if it is under {}", "that I can get for {}", "available for {}", "to be had for less than {}", "for {}"),
    ),
    at_least=(
        *("for {} or more", "for at least {}", "costing at least {}", "priced over {}", "priced at {} or more"),
        *("that costs more than {}", "that costs {} or more", "nothing cheaper than {}", "worth at least {}"),
        *("not cheaper than {}", "dearer than {}", "more expensive than {}", "I want to spend at least {}"),
        *("for over {}", "worth more than {}", "a price above {}", "pricier than {}", "for no less than {}"),
    ),
    between=(
        *("costing between {} and {}", "for {} to {}", "priced between {} and {}", "priced from {} to {}"),
        *("that costs {} to {}", "my budget is {} to {}", "I can spend between {} and {}", "for between {} and {}"),
        *("in the {} to {} range", "with a budget between {} and {}", "a price of {} to {}", "worth {} to {}"),
    ),
)

DURATION = Bounds(
    at_most=(
        *("no longer than {}", "nothing longer than {}", "shorter than {}", "that takes {} or less", "for {} at most"),
        *("not longer than {}", "that takes at most {}", "that lasts at most {}", "I have {}", "I've got {}"),
        *("I only have {}", "done in {}", "in under {}", "in {} or less", "that fits into {}", "in less than {}"),
        *("over in {}", "through in {}", "it may take {}", "taking less than {}", "lasting {} or less", "for only {}"),
        *("it shouldn't take more than {}", "it should not take longer than {}", "I have {} left", "I can spare {}"),
        *("finished within {}", "if it takes less than {}", "my time is limited to {}", "there are {} left", "in {}"),
        *("of {} at most", "that I can finish in {}", "there is only time for {}", "I need to be done in {}"),
    ),
    at_least=(
        *("nothing shorter than {}", "longer than {}", "that takes {} or more", "that lasts at least {}"),
        *("not shorter than {}", "lasting {} or more", "taking over {}", "to fill {}", "at least {} long"),
        *("that takes more than {}", "it can take {} or more", "no shorter than {}", "that lasts more than {}"),
        *("that goes on for {} or more", "to keep me busy for {}", "I want to spend at least {} on it"),
    ),
    between=(
        *("lasting {} to {}", "that takes {} to {}", "that takes between {} and {}", "lasting between {} and {}"),
        *("I have {} to {}", "{} to {} long", "between {} and {} long", "for {} to {}", "it may take {} to {}"),
    ),
)

AGE = Bounds(
    at_most=(
        *("from the last {}", "from the past {}", "of the last {}", "of the past {}", "no older than {}"),
        *("not older than {}", "nothing older than {}", "no more than {} old", "at most {} old", "up to {} old"),
        *("less than {} old", "within the last {}", "in the last {}", "in the past {}", "over the past {}"),
        *("during the last {}", "newer than {}", "younger than {}", "fresher than {}", "since {} ago"),
        *("that came out in the last {}", "made within the past {}", "from less than {} ago", "the last {} only"),
        *("not from more than {} ago", "added in the last {}", "under {} old", "{} old at most", "{} old or less"),
    ),
    at_least=(
        *("older than {}", "more than {} old", "at least {} old", "from more than {} ago", "from over {} ago"),
        *("not from the last {}", "from {} ago or earlier", "nothing from the last {}", "from before the last {}"),
        *("{} old or more", "not newer than {}", "nothing newer than {}", "nothing younger than {}", "over {} old"),
        *("from {} ago and before", "that came out at least {} ago", "from {} or more ago", "no newer than {}"),
    ),
    between=(
        *("between {} and {} old", "{} to {} old", "from {} to {} ago", "from between {} and {} ago"),
        *("at least {} and at most {} old", "older than {} but not older than {}"),
    ),
)

DISTANCE = Bounds(
    at_most=(
        *("not farther than {}", "no farther than {}", "at most {} away", "within {} of here", "closer than {}"),
        *("nearer than {}", "less than {} away", "no more than {} from here", "up to {} away", "within {} of me"),
        *("not further away than {}", "nothing more than {} away", "in a radius of {}", "I can go {}", "{} around"),
    ),
    at_least=(
        *("farther than {}", "at least {} away", "more than {} away", "not closer than {}", "over {} from here"),
        *("further away than {}", "nothing nearer than {}", "{} away or more", "no nearer than {}"),
    ),
    between=("{} to {} away", "between {} and {} away", "between {} and {} from here"),
)

STARS = Bounds(
    at_most=("rated {} or lower", "rated below {}", "rated at most {}", "with a rating below {}", "not above {}"),
    at_least=(
        *("rated {} or higher", "{} or better", "rated above {}", "rated at least {}", "with a rating above {}"),
        *("with {} or better", "rated over {}", "rated {} and up", "that gets at least {}", "not rated below {}"),
    ),
    between=("rated {} to {}", "rated between {} and {}", "with {} to {}"),
)

NAMED = (
    *("{name} {bound}", "{name}: {bound}", "with a {name} {bound}", "the {name} should be {bound}"),
    *("whose {name} is {bound}", "a {name} {bound}", "the {name} must be {bound}", "{bound} in {name}"),
)
"""How a bound is put that names what it bounds, where that is known by its name."""

MONEY_MARKS: Mapping[str, Sequence[str]] = {
    "euros": ("{} euros", "{} euros", "{} euro", "€{}", "{} €", "{}€", "EUR {}", "{} EUR"),
    "dollars": ("{} dollars", "{} dollars", "${}", "{}$", "{} bucks", "{} USD", "$ {}"),
    "pounds": ("{} pounds", "{} pounds", "£{}", "{} quid", "{} GBP"),
}
"""What counts money, and how it is written."""

MINUTES: Mapping[str, float] = {
    "seconds": 1 / 60,
    "minutes": 1,
    "hours": 60,
    "days": 1440,
    "weeks": 10_080,
    "months": 43_200,
    "years": 525_600,
}
"""What counts time, and how many minutes it has."""

SHORT: Mapping[str, Sequence[str]] = {
    "seconds": ("sec", "secs", "s"),
    "minutes": ("min", "mins", "min."),
    "hours": ("h", "hrs", "hr"),
    "kilometres": ("km", "kilometers", "kms"),
    "percent": ("%", "per cent"),
    "calories": ("kcal", "cal"),
}
"""How units are written in short, or otherwise."""

SPANS: Mapping[float, Sequence[str]] = {
    2: ("two minutes", "2 minutes", "a couple of minutes"),
    5: ("five minutes", "5 minutes"),
    10: ("ten minutes", "10 minutes"),
    15: ("a quarter of an hour", "15 minutes", "fifteen minutes"),
    20: ("twenty minutes", "20 minutes"),
    30: ("half an hour", "30 minutes", "thirty minutes"),
    45: ("three quarters of an hour", "45 minutes"),
    60: ("an hour", "one hour", "1 hour", "60 minutes"),
    90: ("an hour and a half", "one and a half hours", "90 minutes", "1.5 hours"),
    120: ("two hours", "2 hours", "a couple of hours", "120 minutes"),
    180: ("three hours", "3 hours"),
    240: ("four hours", "4 hours"),
    360: ("six hours", "6 hours"),
    480: ("eight hours", "8 hours"),
    720: ("twelve hours", "12 hours", "half a day"),
    1440: ("a day", "24 hours", "one day", "1 day"),
    2880: ("two days", "48 hours", "2 days", "a couple of days"),
    4320: ("three days", "72 hours", "3 days"),
    5760: ("four days", "4 days"),
    7200: ("five days", "5 days"),
    10_080: ("a week", "seven days", "7 days", "one week", "1 week"),
    20_160: ("two weeks", "14 days", "a fortnight", "2 weeks"),
    43_200: ("a month", "one month", "30 days", "four weeks", "1 month"),
    129_600: ("three months", "3 months", "90 days"),
    259_200: ("half a year", "six months", "6 months"),
    525_600: ("a year", "twelve months", "12 months", "one year", "1 year"),
    1_051_200: ("two years", "2 years", "24 months"),
}
"""What people call a time, by its minutes."""

SINCE: Mapping[float, Sequence[str]] = {
    1440: (
        *("from today", "today's", "of today", "that came out today", "made today", "of the last day", "today"),
        *("from this very day", "new today", "only today's", "published today"),
    ),
    2880: (
        *("since yesterday", "from yesterday on", "from yesterday or today", "of yesterday and today"),
        *("not before yesterday", "yesterday or later", "no older than yesterday"),
    ),
    10_080: (
        *("from this week", "this week's", "of this week", "that came out this week", "made this week"),
        *("of the last week", "since last week", "this week"),
    ),
    43_200: ("from this month", "this month's", "of this month", "that came out this month", "this month"),
    525_600: ("from this year", "this year's", "of this year", "that came out this year", "this year"),
}
"""What is said of what is at most so many minutes old."""

LONG: tuple[Mapping[float, Sequence[str]], Mapping[float, Sequence[str]]] = (
    {
        0.15: (
            *("long", "lengthy", "very long", "extensive", "rather long", "longish", "that lasts", "that goes on"),
            *("that takes its time", "not short", "that takes a while", "to spend a long time with", "full-length"),
        ),
        0.05: ("longest", "the longest", "the very longest", "extremely long", "endless"),
    },
    {
        0.3: (
            *("short", "brief", "very short", "quick", "not long", "not too long", "shortish", "rather short", "fast"),
            *("that doesn't take long", "that is over soon", "that is quickly done", "for in between", "in a hurry"),
            *("for a short break", "I have little time", "I don't have much time", "not so long", "concise", "compact"),
        ),
        0.05: ("shortest", "the shortest", "the quickest", "quickest", "very quick", "extremely short"),
    },
)
"""What much and little of a time, or of pages, is called."""

OLD: tuple[Mapping[float, Sequence[str]], Mapping[float, Sequence[str]]] = (
    {0.12: (*times.OLD, *times.FROM_OLD), 0.04: times.OLDEST},
    {0.25: (*times.RECENT, *times.RECENTLY), 0.05: times.NEWEST},
)

COSTLY: tuple[Mapping[float, Sequence[str]], Mapping[float, Sequence[str]]] = (
    {
        0.15: (
            *("expensive", "pricey", "dear", "costly", "high-priced", "high-end", "luxurious", "not cheap", "upmarket"),
            *("that costs a lot", "money is no object", "whatever it costs", "exclusive"),
        ),
        0.05: ("most expensive", "the priciest", "dearest", "the most expensive", "the dearest", "most costly"),
    },
    {
        0.3: (
            *("cheap", "affordable", "inexpensive", "low-priced", "not expensive", "budget", "low-cost", "bargain"),
            *("that doesn't cost much", "for little money", "on a small budget", "not too expensive", "economical"),
            *(
                "that won't break the bank",
                "a bargain",
                "easy on the wallet",
                "I don't have much money",
                "at a low price",
            ),
        ),
        0.05: ("cheapest", "the cheapest", "least expensive", "the least expensive", "dirt cheap", "lowest-priced"),
    },
)

FAR: tuple[Mapping[float, Sequence[str]], Mapping[float, Sequence[str]]] = (
    {0.15: ("far away", "far", "distant", "a long way off", "remote"), 0.05: ("farthest", "the farthest")},
    {
        0.3: (
            "near",
            "nearby",
            "close",
            "close by",
            "not far",
            "around here",
            "near me",
            "within reach",
            "not far away",
        ),
        0.05: ("nearest", "the nearest", "closest", "the closest", "right around the corner"),
    },
)

COMPARED: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "money": (
        ("more expensive", "pricier", "dearer", "costlier", "higher-priced"),
        ("cheaper", "less expensive", "more affordable", "lower-priced", "less pricey", "less costly"),
    ),
    "length": (
        ("longer", "more extensive", "lengthier", "less short", "a bit longer"),
        ("shorter", "briefer", "quicker", "less long", "more concise", "a bit shorter", "faster"),
    ),
    "age": (times.OLDER, (*times.NEWER, "fresher", "less old", "more up to date")),
    "distance": (("farther away", "further away", "less near"), ("nearer", "closer", "less far away", "closer by")),
}
"""What is more, and less, of each."""

LEVEL = ("{level} {name}", "of the {level} {name}", "with a {level} {name}", "{name} {level}", "{level} in {name}")
LEVEL_OR_MORE = (
    *("at least {}", "{} or better", "{} or above", "{} and up", "{} or higher", "nothing below {}", "{} or more"),
    *("not below {}", "no less than {}", "minimum {}", "from {} up", "{} at the least"),
)
LEVEL_OR_LESS = (
    *("at most {}", "{} or below", "{} at most", "{} or lower", "nothing above {}", "up to {}", "{} or less"),
    *("not above {}", "no more than {}", "{} and below", "maximum {}"),
)
NOT_LEVEL = ("not {}", "nothing {}", "but not {}", "no {}", "anything but {}", "none that is {}")
