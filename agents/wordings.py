"""The English that the agent puts its own prompts together from; see `instructrec.agents.prompts`.

Common ways to ask for something and to turn something down, the more the better: a reader that has met many of them
guesses the next one right more often. ``{}`` stands for what is asked for.
"""

from __future__ import annotations

NOUNS = ("film", "films", "movie", "movies", "one", "ones", "title", "titles", "flick", "pictures", "stuff", "thing")
PRONOUNS = ("one", "ones", "stuff", "thing", "things", "something")
CARRIERS = (
    *("{}", "{}", "{}", "I want {}", "I'd like {}", "show me {}", "can you find {}", "looking for {}", "{} please"),
    *("recommend {}", "something like {}", "how about {}", "give me {}", "do you have {}", "I feel like {}", "any {}"),
    *("let's watch {}", "find me {}", "in the mood for {}", "what about {}", "we want to see {}", "suggest {}"),
    *("{} would be great", "{}, thanks", "maybe {}", "hello, {}", "tonight I need {}", "what are {}", "list {}"),
    *("which {} do you know", "put on {}", "I'm after {}", "got {}", "search for {}", "it should be {}", "only {}"),
    *("are there {}", "tell me {}", "I said {}", "again: {}"),
)
WITH = (
    *("with {}", "with some {}", "full of {}", "with lots of {}", "about {}", "that is {}", "which are {}"),
    *("in the {} genre", "of the {} kind", "for {}", "with plenty of {}", "with a lot of {}", "set in {}", "to {}"),
    *("that makes me {}", "with a {}", "about a {}", "like {}", "where there is {}", "having {}"),
)
WITH_TOO = (
    *("nothing but {}", "only {}", "{} only", "I love {}", "I like {}", "I'm into {}", "a fan of {}"),
    *("I'm a fan of {}", "keen on {}", "fond of {}", "in the mood for {}", "up for {}", "I feel like {}"),
    *("I want {}", "I need {}", "interested in {}", "can't get enough of {}", "as long as it's {}"),
    *("provided it's {}", "if it is {}", "it must be {}", "it has to be {}", "it should be {}", "make it {}"),
    *("preferably {}", "ideally {}", "definitely {}", "strictly {}", "{} is a must", "{} is what I want"),
    *("{} is my thing", "include {}", "including {}", "keep the {}", "more {}", "not without {}", "heavy on the {}"),
    *("show me {}", "bring on {}", "bring me {}", "back to {}", "nothing else than {}"),
)
# The common ways, and after them less common ones.
WITHOUT = (
    *("no {}", "not {}", "without {}", "without any {}", "but not {}", "but no {}", "and no {}", "nothing {}"),
    *("no more {}", "except {}", "other than {}", "anything but {}", "apart from {}", "excluding {}", "avoid {}"),
    *("skip {}", "that isn't {}", "that are not {}", "I hate {}", "I don't like {}", "I don't want {}"),
    *("instead of {}", "please no {}", "never {}"),
)
WITHOUT_TOO = (
    *("with no {}", "none of the {}", "non {}", "{}-free", "free of {}", "devoid of {}", "lacking {}", "minus {}"),
    *("minus the {}", "sans {}", "zero {}", "except for {}", "excepting {}", "exclude {}", "bar {}", "barring {}"),
    *("save for {}", "aside from {}", "outside of {}", "everything but {}", "all but {}", "anything except {}"),
    *("everything except {}", "anything other than {}", "whatever but {}", "rather than {}", "as opposed to {}"),
    *("far from {}", "the opposite of {}", "nothing like {}", "but nothing {}", "just not {}", "just no {}"),
    *("only no {}", "not too {}", "nothing with {}", "nothing about {}", "nothing too {}", "nothing that is {}"),
    *("none with {}", "not another {}", "not one more {}", "enough {}", "enough of {}", "enough with the {}"),
    *("neither {}", "hardly any {}", "not even a little {}", "not a single {}", "no {} whatsoever", "no {} at all"),
    *("that's not {}", "which is not {}", "that doesn't have {}", "that has no {}", "that lacks {}"),
    *("that doesn't contain {}", "that won't be {}", "which aren't {}", "that avoids {}", "as long as it isn't {}"),
    *("as long as it's not {}", "so long as it has no {}", "provided it isn't {}", "if it isn't {}"),
    *("unless it's {}", "it can't be {}", "it must not be {}", "it shouldn't be {}", "don't make it {}"),
    *("avoiding {}", "skip the {}", "skipping {}", "drop {}", "drop the {}", "leave out {}", "leave the {} out"),
    *("leaving out {}", "leave {} aside", "omit {}", "hold the {}", "hold {}", "remove {}", "ditch {}"),
    *("ditch the {}", "lose the {}", "cut {}", "cut out the {}", "cut the {}", "rule out {}", "filter out {}"),
    *("weed out {}", "throw out {}", "take out {}", "take away the {}", "get rid of {}", "do away with {}"),
    *("scrap {}", "forget {}", "forget about {}", "never mind {}", "spare me {}", "spare me the {}"),
    *("save me from {}", "ban {}", "block {}", "hide {}", "hide all {}", "dismiss {}", "ignore {}", "reject {}"),
    *("refuse {}", "eliminate {}", "keep away from {}", "stay away from {}", "steer clear of {}", "stay clear of {}"),
    *("keep {} out of it", "keep {} away", "keep out {}", "pass on {}", "easy on the {}", "go without {}"),
    *("stop showing me {}", "stop with {}", "stop the {}", "quit showing {}", "please not {}", "don't show me {}"),
    *("don't give me {}", "don't include {}", "don't suggest {}", "don't bring {}", "do not recommend {}"),
    *("do not want {}", "I dislike {}", "I detest {}", "I loathe {}", "I do not like {}", "I don't enjoy {}"),
    *("I never liked {}", "I don't care for {}", "I don't need {}", "I don't watch {}", "I can't stand {}"),
    *("I can't bear {}", "I cannot take {}", "I can't handle {}", "I can do without {}", "I could do without {}"),
    *("I'd rather not see {}", "I'd rather skip {}", "rather not {}", "preferably not {}", "ideally not {}"),
    *("I won't watch {}", "I refuse to watch {}", "I'm not into {}", "not into {}", "not a fan of {}"),
    *("no fan of {}", "not keen on {}", "not fond of {}", "not crazy about {}", "not interested in {}"),
    *("no interest in {}", "not in the mood for {}", "not up for {}", "don't feel like {}", "no desire for {}"),
    *("no need for {}", "no time for {}", "no thanks to {}", "{}, no thanks", "{}? no", "no to {}", "tired of {}"),
    *("I'm tired of {}", "sick of {}", "sick and tired of {}", "fed up with {}", "bored with {}", "bored of {}"),
    *("weary of {}", "had enough of {}", "had my fill of {}", "seen enough {}", "seen too much {}", "too much {}"),
    *("too many {}", "done with {}", "over {}", "afraid of {}", "allergic to {}", "{} is out", "{} is off the table"),
    *("{} is not for me", "{} isn't my thing", "{} is a no", "{} is a no-go", "{} puts me off", "{} bores me"),
    *("{} won't do", "{} doesn't interest me", "{} is not what I want", "{} not wanted", "{} not allowed"),
    *("none of that {}", "none of this {}", "against {}"),
)
_WHO = ("I", "we")
_WANT = ("want", "would like", "need", "like", "prefer", "wish for", "asked for", "love", "enjoy", "care for")
_DO_NOT_WANT = (
    *("don't want", "do not want", "wouldn't like", "don't need", "don't like", "would rather not have", "hate"),
    *("didn't ask for", "never want", "no longer want", "can't stand", "don't enjoy", "don't care for", "dislike"),
)
_WHAT = (
    *("{}", "it to be {}", "them to be {}", "it to have {}", "it being {}", "to see {}", "to watch {}", "watching {}"),
    *("anything {}", "something {}", "films that are {}", "a film with {}", "one that is {}", "to get {}"),
)
_IT = ("is {}", "are {}", "has {}", "feels {}", "contains {}", "shows {}", "has anything {} in it", "is about {}")
# The same sentences with and without a "not", so that nothing else in them tells the two apart.
WISHING = (
    *(f"{who} {want} {what}" for who in _WHO for want in _WANT for what in _WHAT),
    *(f"{which} {it}" for which in ("that", "which", "if it", "provided that it", "as long as it") for it in _IT),
    *(f"{let} {{}}" for let in ("make it", "let it be", "it should be", "it must be", "it can be", "it better be")),
)
REFUSING = (
    *(f"{who} {want} {what}" for who in _WHO for want in _DO_NOT_WANT for what in _WHAT),
    *(f"{which} {it}" for which in ("unless it", "except if it", "but not if it", "not one that") for it in _IT),
    *(f"{which} {it}" for which in ("that never", "not anything that", "nothing that", "none that") for it in _IT),
    *(
        f"{let} {{}}"
        for let in ("don't make it", "don't let it be", "it shouldn't be", "it must not be", "it can't be")
    ),
    *(
        f"{let} {{}}"
        for let in ("it should not be", "it better not be", "it cannot be", "it won't be", "may it not be")
    ),
)
FROM = (
    *("from {} on", "since {}", "{} or later", "not before {}", "from {} onwards", "starting in {}", "{} and after"),
    *("{} or newer", "no older than {}", "at least from {}", "made in {} or later", "nothing before {}", "{} and up"),
    *("nothing older than {}", "not older than {}", "released since {}", "beginning with {}", "from {} to now"),
)
AFTER = ("after {}", "post {}", "post-{}", "newer than {}", "made after {}", "more recent than {}", "later than {}")
UNTIL = (
    *("until {}", "up to {}", "{} or earlier", "not after {}", "{} and before", "no newer than {}", "{} or older"),
    *("at most from {}", "made in {} or before", "nothing after {}", "nothing newer than {}", "no later than {}"),
    *("released by {}", "as late as {}", "not newer than {}", "none from after {}"),
)
BEFORE = ("before {}", "pre {}", "pre-{}", "older than {}", "made before {}", "earlier than {}", "prior to {}")
BETWEEN = (
    *("between {} and {}", "from {} to {}", "{} to {}", "{}-{}", "from {} until {}", "{} - {}", "from {} through {}"),
    *("made between {} and {}", "not before {} and not after {}", "anywhere from {} to {}", "released {} to {}"),
)
IN = ("from {}", "made in {}", "of {}", "{}", "in {}", "released in {}", "that came out in {}")
DECADE = (
    *("{}s", "the {}s", "from the {}s", "made in the {}s", "{}'s", "of the {}s", "in the {}s", "the {}'s"),
    *("released in the {}s", "only the {}s"),
)
LAST = ("from the last {}", "of the past {}", "released in the last {}", "made in the past {}", "not older than {}")
AT_MOST = (
    *("under {}", "up to {}", "at most {}", "{} or less", "no more than {}", "less than {}", "below {}", "within {}"),
    *("for {} or less", "not over {}", "nothing over {}", "nothing above {}", "not more than {}", "maximum {}"),
    *("{} at most", "{} max", "my limit is {}", "for less than {}", "costing at most {}", "of at most {}", "{} tops"),
    *("no longer than {}", "no older than {}", "from the last {}", "not farther than {}", "it can be {} at most"),
    *("nothing longer than {}", "nothing older than {}", "shorter than {}", "with at most {}", "cheaper than {}"),
)
AT_LEAST = (
    *("over {}", "at least {}", "{} or more", "more than {}", "above {}", "no less than {}", "from {} up", "{} and up"),
    *("not under {}", "nothing under {}", "nothing below {}", "minimum {}", "with at least {}", "of at least {}"),
    *("it should have {} or more", "not less than {}", "{} or better", "rated {} or higher", "with {} or more"),
    *("nothing shorter than {}", "longer than {}", "it has to be {} or more", "{} at the least", "upwards of {}"),
)
FROM_TO = ("between {} and {}", "from {} to {}", "{} to {}", "{}-{}", "anywhere from {} to {}", "of {} to {}")
RECENT = ("recent", "new", "newest", "latest", "modern", "most recent", "very new")
NEWER = ("newer", "more recent", "later")
OLD = ("old", "oldest", "early", "earliest", "very old", "long ago")
OLDER = ("older", "earlier", "less recent", "less modern")
HIGH = ("high {}", "a high {}", "very high {}", "highest {}", "the best {}", "top {}", "great {}", "more {}", "good {}")
LOW = ("low {}", "a low {}", "very low {}", "lowest {}", "the least {}", "little {}", "less {}", "the smallest {}")
# What much and little of common columns is called, by the column's name.
CALLED = {
    "popularity": (
        ("popular", "well-known", "well known", "famous", "mainstream", "widely seen", "very popular", "big", "hit"),
        (
            *("obscure", "little-known", "little known", "unknown", "unpopular", "overlooked", "niche", "rare"),
            *("forgotten", "lesser-known", "rarely seen", "hidden", "not so popular", "underground", "unfamiliar"),
        ),
    ),
    "rating": (
        (
            *("highly rated", "well rated", "well-rated", "top rated", "top-rated", "acclaimed", "praised", "great"),
            *("good", "critically acclaimed", "well reviewed", "outstanding", "best", "high-rated", "excellent"),
        ),
        ("badly rated", "poorly rated", "low-rated", "bad", "terrible", "awful", "panned", "badly reviewed"),
    ),
    "price": (("expensive", "pricey", "dear", "costly"), ("cheap", "affordable", "inexpensive", "low-priced")),
    "length": (("long", "lengthy", "very long"), ("short", "brief", "very short")),
    "size": (("big", "large", "huge"), ("small", "little", "tiny")),
}
THAN = ("{words} than the {place} one", "like the {place} one but {words}", "the {place} one, only {words}")
THAN_NUMBER = ("{words} than number {place}", "like number {place} but {words}", "number {place}, only {words}")
MORE_AND_LESS = (("higher {}", "more {}", "better {}"), ("lower {}", "less {}", "worse {}"))
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "last")
ADDING = (
    *("also {}", "and {}", "but {}", "{} too", "one more thing: {}", "{}, otherwise fine", "the same but {}", "oh, {}"),
    *("I forgot: {}", "the same, {}", "fine, but {}", "these, but {}", "almost, but {}", "besides, {}", "only {}"),
)
NEUTRAL = (
    *("more", "more please", "go on", "next", "another one", "anything", "show me more", "more like these", "again"),
    *("what else", "keep going", "continue", "some more", "other ones", "what do you have", "next page", "a few more"),
    *("anything else", "ok", "hmm", "something else", "more of the same", "any others", "and then", "other options"),
    *("further suggestions", "a different one", "keep them coming"),
)
IDLE = ("a film", "a movie", "something good", "surprise me", "what do you suggest", "hello", "you choose", "whatever")
