"""The English for times that the agent puts its own prompts together from; see `instructrec.agents.time_prompts`."""

from __future__ import annotations

FROM = (
    *("from {} on", "since {}", "{} or later", "not before {}", "from {} onwards", "starting in {}", "{} and after"),
    *("{} or newer", "no older than {}", "at least from {}", "made in {} or later", "nothing before {}", "{} and up"),
    *("nothing older than {}", "not older than {}", "released since {}", "beginning with {}", "from {} to now"),
    *("no earlier than {}", "not earlier than {}", "{} and newer", "{} and later", "{} onward", "{} to today", "{} +"),
    *("from {} till today", "{} at the earliest", "as early as {}", "from {} up to now", "as of {}", "{} or after"),
    *("from {} through today", "from {} forward", "{} and beyond", "ever since {}", "nothing made before {}"),
)
AFTER = (
    *("after {}", "post {}", "post-{}", "newer than {}", "made after {}", "more recent than {}", "later than {}"),
    *("released after {}", "that came out after {}", "younger than {}", "past {}", "only after {}", "beyond {}"),
    *("nothing from {} or before", "nothing from {} or earlier", "not from {} or older", "following {}"),
)
UNTIL = (
    *("until {}", "up to {}", "{} or earlier", "not after {}", "{} and before", "no newer than {}", "{} or older"),
    *("at most from {}", "made in {} or before", "nothing after {}", "nothing newer than {}", "no later than {}"),
    *("released by {}", "as late as {}", "not newer than {}", "none from after {}", "up until {}", "up through {}"),
    *("not later than {}", "{} at the latest", "till {}", "{} and older", "{} and earlier", "through {}", "by {}"),
    *("no more recent than {}", "nothing later than {}", "{} or before", "nothing made after {}", "as recent as {}"),
    *("back from {}", "{} tops", "{} backwards", "from {} or before", "from {} or earlier", "made by {}"),
)
BEFORE = (
    *("before {}", "pre {}", "pre-{}", "older than {}", "made before {}", "earlier than {}", "prior to {}"),
    *("released before {}", "that came out before {}", "only before {}", "ahead of {}", "preceding {}"),
    *("nothing from {} or after", "nothing from {} or later", "not from {} or newer", "that predates {}"),
)
BETWEEN = (
    *("between {} and {}", "from {} to {}", "{} to {}", "{}-{}", "from {} until {}", "{} - {}", "from {} through {}"),
    *("made between {} and {}", "not before {} and not after {}", "anywhere from {} to {}", "released {} to {}"),
    *("between the years {} and {}", "between {} to {}", "since {} but before {}", "{} through {}", "{} till {}"),
    *(
        "released between {} and {}",
        "made from {} to {}",
        "{} thru {}",
        "in the years {} to {}",
        "after {} and until {}",
    ),
)
IN = (
    *("from {}", "made in {}", "of {}", "{}", "in {}", "released in {}", "that came out in {}", "from the year {}"),
    *("of the year {}", "in the year {}", "produced in {}", "dated {}", "from exactly {}", "out in {}", "year {}"),
    *("that were released in {}", "that was made in {}", "which came out in {}", "that hit theaters in {}"),
    *("only from {}", "just {}", "during {}", "from back in {}", "shot in {}", "that debuted in {}"),
)
DECADE = (
    *("{}s", "the {}s", "from the {}s", "made in the {}s", "{}'s", "of the {}s", "in the {}s", "the {}'s", "{} s"),
    *("released in the {}s", "only the {}s", "from the {} s", "from the {}'s", "during the {}s", "of the {} s"),
    *("in the {} s", "back in the {}s", "out of the {}s", "that came out in the {}s", "from {}s", "the {} s"),
    *("produced in the {}s", "from some time in the {}s", "that were made in the {} s", "in the {}'s"),
)
NOT_FROM = ("not from {}", "none from {}", "nothing from {}", "but not from {}", "except from {}", "no {}", "not {}")
LAST = (
    *("from the last {}", "of the past {}", "released in the last {}", "made in the past {}", "not older than {}"),
    *(
        "in the last {}",
        "in the past {}",
        "within the last {}",
        "within the past {}",
        "over the past {}",
        "the past {}",
    ),
    *("over the last {}", "at most {} old", "no more than {} old", "less than {} old", "from these last {}"),
    *("that came out in the past {}", "during the last {}", "no older than {}", "the last {}", "of these past {}"),
    *("the last {} only", "of the last {}", "from the past {}", "up to {} old", "past {}"),
)
LONG_AGO = (
    *("older than {}", "more than {} old", "at least {} old", "not from the last {}", "made over {} ago"),
    *(
        "from more than {} ago",
        "over {} old",
        "nothing from the past {}",
        "from before the last {}",
        "from over {} ago",
    ),
)
THIS_YEAR = (
    *("from this year", "this year", "of this year", "made this year", "that came out this year", "this year's"),
    *("released this year", "out this year", "from the current year", "of the current year", "just out this year"),
)
LAST_YEAR = (
    *("from last year", "last year", "of last year", "made last year", "that came out last year", "last year's"),
    *("released last year", "from the year before this one", "from a year ago", "out last year"),
)
THIS_DECADE = (
    "from this decade",
    "of this decade",
    "in this decade",
    "this decade",
    "made this decade",
    "this decade's",
)
PREVIOUS_DECADE = ("from the decade before this one", "of the previous decade", "from the previous decade")
THIS_CENTURY = (
    *("from this century", "of the 21st century", "of the new millennium", "from the twenty-first century"),
    *(
        "since the turn of the century",
        "made this century",
        "21st century",
        "of this millennium",
        "from this millennium",
    ),
)
LAST_CENTURY = (
    *("from the last century", "of the 20th century", "from the twentieth century", "20th century", "of last century"),
    *("from before the millennium", "from the previous century", "made in the last millennium"),
)
RECENT = (
    *("recent", "new", "modern", "very new", "contemporary", "recently released", "recently made", "newly released"),
    *("current", "fresh", "brand new", "fairly recent", "newish", "up-to-date", "present-day", "newer", "new release"),
)
RECENTLY = (
    *(
        "from recent years",
        "from the last few years",
        "that came out recently",
        "made recently",
        "of late",
        "of recent years",
    ),
    *("from lately", "that is fairly new", "that isn't old", "not too old", "from the past few years", "that is new"),
    *("nothing old", "from the last couple of years", "of the past several years", "that just came out", "not old"),
)
NEWEST = (
    *("newest", "latest", "most recent", "the newest", "the latest", "the most recent", "very newest", "very latest"),
    *("brand-new", "just released", "the freshest", "hot off the press", "the most modern"),
)
NEWER = ("newer", "newer", "more recent", "later", "more modern", "less old", "not so old")
OLD = (
    *("old", "early", "very old", "long ago", "classic", "vintage", "old-fashioned", "old fashioned", "old school"),
    *("ancient", "antique", "old-time", "golden age", "aged", "dated", "retro", "old-timey", "older", "really old"),
)
FROM_OLD = (
    *(
        "from long ago",
        "from way back",
        "from the old days",
        "of the golden age",
        "from the good old days",
        "that is old",
    ),
    *("nothing new", "nothing recent", "nothing modern", "that isn't new", "from my grandparents' time", "not recent"),
    *("from ages ago", "from a long time ago", "of the olden days", "of yesteryear", "not new", "not modern"),
)
OLDEST = ("oldest", "earliest", "the oldest", "the earliest", "the very oldest", "the most ancient", "the very first")
OLDER = ("older", "older", "earlier", "less recent", "less modern", "less new", "not so new", "more old-fashioned")
