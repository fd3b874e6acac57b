"""What people call genres in ordinary English, for catalogues whose values are genres.

General knowledge of English, written for the agent: neither the instructions of a world nor what they mean had a part
in it. A catalogue's own names are said whether they stand here or not, and so are words that its texts confirm; see
`instructrec.agents.similar_words`. Words that stand under two genres by definition are `COMPOUNDS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spoken:
    """How people speak of a genre.

    Attributes:
        names: Words for films of the genre and for what they are or have: before a noun or alone.
        clauses: What may follow a noun.
    """

    names: tuple[str, ...]
    clauses: tuple[str, ...] = ()


def _spoken(names: str, clauses: str = "") -> Spoken:
    return Spoken(*(tuple(filter(None, (said.strip() for said in text.split(",")))) for text in (names, clauses)))


GENRES: Mapping[str, Spoken] = {
    "action": _spoken(
        "action, action-packed, action packed, all-action, high-octane, explosive, adrenaline, explosions, fights, "
        "fighting, fight scenes, car chases, chases, shootouts, stunts, gunfights, martial arts, kung fu, karate, "
        "ninja, samurai, superhero, superheroes, comic book, fast-paced, blow-em-up, "
        "shoot-em-up, beat-em-up, kick-ass, hard-hitting, action-filled, action heavy, actioner, actioners, action "
        "thriller style",
        "where things blow up, with a lot of fights, that gets my heart racing, with fast cars and guns, that is "
        "one long chase, full of punches and kicks, that gets the adrenaline pumping, where plenty happens",
    ),
    "adventure": _spoken(
        "adventure, adventures, adventurous, swashbuckler, swashbuckling, quest, quests, expedition, expeditions, "
        "treasure hunt, treasure hunts, epic journey, journeys, exploration, explorers, jungle expedition, voyage, "
        "voyages, pirates, globe-trotting, swords and ships, daring exploits, adventuresome, derring-do",
        "about a long journey, where someone hunts for treasure, about explorers, that takes me on a journey, "
        "about a dangerous expedition, where heroes set out on a quest, that takes me to faraway places",
    ),
    "animation": _spoken(
        "animation, animations, animated, cartoon, cartoons, cartoonish, anime, animes, manga, hand-drawn, drawn, "
        "computer-animated, computer animated, cgi animated, claymation, clay, stop-motion, stop motion, pixar, "
        "pixar-like, japanese animation, drawings, puppet animation, toon, toons, 3d animated, animation style",
        "that is drawn, made with drawings instead of actors, made by animators, done in clay, in the style of a "
        "cartoon, made of drawings",
    ),
    "children": _spoken(
        "children's, childrens, children, kids, kid, kids', child, family, family-friendly, family friendly, "
        "kid-friendly, kid friendly, child-friendly, child friendly, wholesome, for kids, for children, for the "
        "kids, for the whole family, for little ones, toddlers, youngsters, youngster, juvenile, family-oriented, "
        "fairy tale, for all ages, the little ones, preschool, for a child, family night",
        "that kids will enjoy, that is safe for kids, suitable for children, my kids can watch, to watch with my "
        "children, the whole family can enjoy, my little daughter would like, for a six year old, that won't scare "
        "the little ones, good for young viewers, fit for a young audience, aimed at children, made for kids, the "
        "kids can see, for my nephews and nieces, I can watch with my son",
    ),
    "comedy": _spoken(
        "comedy, comedies, comedic, comical, comic, funny, funnier, really funny, hilarious, humorous, amusing, "
        "humor, humour, laughs, laugh, laughter, jokes, joke, gags, slapstick, parody, parodies, spoof, spoofs, "
        "farce, farcical, satire, satires, satirical, mockumentary, mockumentaries, stand-up, witty, wit, goofy, "
        "silly, screwball, lighthearted, light-hearted, laugh-out-loud, feel-good, buddy comedy, black comedy, "
        "dark comedy, dark comedies, black comedies, wacky, zany, hysterical, side-splitting, funnies, "
        "tongue-in-cheek, goofball, sitcom, funny stuff, knee-slapper, absurd, deadpan, ridiculous, humourous, "
        "cheerful, comedys",
        "that makes me laugh, that will crack me up, to make us giggle, with a lot of laughs, to cheer me up, that "
        "had me in stitches, where I can laugh, that will make me laugh out loud, with good jokes, that tickles my "
        "funny bone, to have a good laugh, that doesn't take itself seriously, to laugh at, that makes fun of "
        "things, I can chuckle at, that lifts my spirits",
    ),
    "crime": _spoken(
        "crime, crimes, criminal, criminals, gangster, gangsters, mafia, the mafia, mob, mobster, mobsters, heist, "
        "heists, bank robbery, robbery, robberies, robbers, police, cop, cops, policemen, detectives and thieves, "
        "underworld, caper, capers, drug dealers, con artists, con men, hitman, hitmen, organised crime, organized "
        "crime, true crime, thieves, outlaws of the city, serial killer, gangs, cartel, prison, murderers, law and "
        "order, bank robbers, murder",
        "about the mob, about a bank robbery, about robbing a bank, about people who break the law, about a heist, "
        "where the police hunt a killer, about life in a gang, about thieves, about drug dealers, with cops and "
        "robbers, about the underworld, about a con man",
    ),
    "documentary": _spoken(
        "documentary, documentaries, doc, docs, docu, docus, nonfiction, non-fiction, non fiction, "
        "factual, educational, real-life, true facts, informative, reportage, nature documentary, docuseries, "
        "documentary style, documentary-like, fact-based, real footage, true stories of real people, factual "
        "reports",
        "about something real, that teaches me something, I can learn from, with real people and no actors, that "
        "shows real events, about real people, that documents something, with real footage, that sticks to the "
        "facts, about how the world works",
    ),
    "drama": _spoken(
        "drama, dramas, dramatic, melodrama, melodramas, melodramatic, tearjerker, tearjerkers, tear-jerker, tear "
        "jerker, tear jerkers, emotional, moving, heartbreaking, tragedy, tragedies, tragic, serious, sad, "
        "poignant, touching, heart-wrenching, weepie, weepies, gut-wrenching, deep, soulful, heavy, dramatical, "
        "courtroom drama, coming-of-age, family drama, character study, intense emotions, weeper, soap opera, "
        "human drama, depressing",
        "that makes me cry, that will move me to tears, to have a good cry, that touches the heart, with deep "
        "feelings, that will break my heart, about the hardships of life, about a family falling apart, that "
        "leaves me in tears, that I need tissues for, with serious themes, about people and their troubles",
    ),
    "fantasy": _spoken(
        "fantasy, fantasies, fantastical, fantastic, magic, magical, wizards, wizard, witches, witchcraft, "
        "dragons, dragon, elves, fairies, fairy tales, fairytale, fairy-tale, mythical, mythology, mythological, "
        "sword and sorcery, sorcery, sorcerers, enchanted, supernatural worlds, unicorns, otherworldly, "
        "make-believe, spells, magical creatures, mythical creatures, imaginary worlds, dungeons and dragons",
        "with magic in it, about wizards, with dragons and elves, where magic is real, set in an enchanted land, "
        "about a magical kingdom, in an imaginary world, with spells and swords, with magical creatures",
    ),
    "film-noir": _spoken(
        "film noir, film-noir, noir, noirs, films noirs, noirish, hardboiled, hard-boiled, hard boiled, femme "
        "fatale, femmes fatales, private eye, private eyes, gumshoe, gumshoes, shadowy, moody black-and-white "
        "crime, trench coats, trenchcoat, cynical detectives, neo-noir, film noirs, private detective",
        "with a femme fatale, about a cynical private eye, full of shadows and cigarette smoke, with trench coats "
        "and rain, with a doomed antihero, where a gumshoe falls for the wrong woman, where everyone smokes and "
        "lies",
    ),
    "horror": _spoken(
        "horror, horrors, horrific, horrifying, scary, scarier, scariest, creepy, spooky, frightening, terrifying, "
        "terror, slasher, slashers, gory, gore, bloody, splatter, haunted, haunted house, ghosts, ghost, ghost "
        "story, ghost stories, vampires, vampire, zombies, zombie, monsters, monster, werewolves, werewolf, "
        "demons, demonic, nightmare, nightmarish, chilling, macabre, hair-raising, blood-curdling, bloodcurdling, "
        "fright, frights, jump scares, scares, eerie, possession, exorcism, fright night, undead, halloween, "
        "scary as hell, found footage, creature feature",
        "that scares me, that will give me nightmares, to frighten me, that gives me the creeps, that makes me "
        "scream, with ghosts, with zombies, about vampires, full of blood, that makes my skin crawl, I am afraid "
        "to watch alone, that will keep me awake at night, to scare the pants off me, that makes me jump, with "
        "blood and guts",
    ),
    "imax": _spoken("imax, giant screen, imax format", "for the giant screen, shown in imax, made for imax"),
    "musical": _spoken(
        "musical, musicals, music, singing, songs, song and dance, song-and-dance, singing and dancing, dancing, "
        "dance, broadway, broadway-style, show tunes, musical numbers, sing-along, singalong, rock opera, "
        "operetta, opera, dance numbers, all-singing, tap dancing, musical theatre, stage musical, sung, musicale",
        "where people sing, where they break into song, with songs and dancing, with catchy songs, where everybody "
        "sings and dances, to sing along to, with a lot of singing, with big dance numbers, like a show on "
        "broadway",
    ),
    "mystery": _spoken(
        "mystery, mysteries, mysterious, whodunit, whodunits, whodunnit, whodunnits, who-done-it, detective, "
        "detectives, detective story, detective stories, sleuth, sleuths, murder mystery, murder mysteries, "
        "puzzle, puzzling, enigma, enigmatic, clues, investigation, unsolved case, riddle, riddles, sherlock-like, "
        "intrigue, cold case, sleuthing, secrets to uncover",
        "where I have to guess the killer, that keeps me guessing, about an unsolved murder, with clues to follow, "
        "about a detective solving a case, where nobody knows who did it, with a secret to uncover, to puzzle "
        "over, where the answer comes at the end",
    ),
    "romance": _spoken(
        "romance, romances, romantic, love, love story, love stories, lovey-dovey, chick flick, chick flicks, "
        "chick-flick, mushy, lovers, sweethearts, courtship, passion, passionate, date night, date-night, "
        "valentine, valentines, love affair, love affairs, falling in love, star-crossed lovers, smoochy, "
        "heartwarming love, love triangle, wedding, weddings, kissing, sappy, romantical, amorous, date movie, "
        "relationship, relationships",
        "about falling in love, where two people fall in love, about lovers, for a date, for date night, about "
        "love, with a love story, about a couple, that makes me believe in love, to watch with my girlfriend, to "
        "watch with my boyfriend, where boy meets girl, that ends with a kiss, about star-crossed lovers, about a "
        "wedding",
    ),
    "sci-fi": _spoken(
        "sci-fi, sci fi, scifi, science fiction, science-fiction, sf, futuristic, future, space, outer "
        "space, aliens, alien, alien invasion, extraterrestrials, spaceships, spaceship, starships, robots, robot, "
        "androids, cyborgs, time travel, time-travel, dystopia, dystopian, dystopias, cyberpunk, space opera, "
        "space travel, apocalyptic, post-apocalyptic, postapocalyptic, galactic, interplanetary, ufos, ufo, "
        "artificial intelligence, martians, sciencefiction, steampunk, planets, clones, mad scientist",
        "about the future, set in the future, set in outer space, set in space, about aliens, with robots, with "
        "spaceships, about time travel, about life on other planets, where machines take over, after the end of "
        "civilisation, about an alien invasion, in a galaxy far from here, with lasers and starships",
    ),
    "thriller": _spoken(
        "thriller, thrillers, thrilling, thrills, thrill, suspense, suspenseful, suspence, tense, tension, "
        "gripping, nail-biter, nail-biters, nail-biting, edge-of-your-seat, edge of your seat, edge-of-the-seat, "
        "pulse-pounding, heart-pounding, cat-and-mouse, psychological, psychological thriller, spy, spies, "
        "espionage, conspiracy, page-turner, hitchcockian, exciting, riveting, taut, white-knuckle, twisty, "
        "political thriller, twists and turns, intense",
        "that keeps me on the edge of my seat, that makes me bite my nails, full of suspense, I can't look away "
        "from, with a lot of tension, that makes me hold my breath, with plot twists, that grips me, with spies, "
        "that keeps the tension high, to keep us in suspense",
    ),
    "war": _spoken(
        "war, wars, wartime, military, army, soldiers, soldier, combat, battle, battles, battlefield, "
        "battlefields, world war ii, world war two, world war 2, ww2, wwii, world war i, world war one, second "
        "world war, first world war, vietnam war, civil war, vietnam, trenches, troops, marines, navy, submarine "
        "warfare, tanks and troops, d-day, platoon, anti-war, antiwar, front line, warfare, world war",
        "about soldiers, about world war two, about the war, set during a war, set on the battlefield, about "
        "fighting in the trenches, about the army, about men in battle, about troops in combat, about the front "
        "line",
    ),
    "western": _spoken(
        "western, westerns, cowboy, cowboys, cowboys and indians, wild west, the wild west, old west, the old "
        "west, spaghetti western, spaghetti westerns, horse opera, horse operas, gunslinger, gunslingers, "
        "gunfighter, gunfighters, outlaws, sheriff, sheriffs, frontier, saloon, stagecoach, desperados, "
        "six-shooters, shoot-em-up western, ranch, ranchers, rodeo, cattle drive, duels at noon, bounty hunters on "
        "horseback, westren",
        "with cowboys, set in the wild west, about a gunslinger, about a sheriff, with horses and six-shooters, "
        "about life on the frontier, set in the old west, about a showdown at noon, with saloons and duels",
    ),
}
"""By a value's name in lower case."""

SAME = {
    "science fiction": "sci-fi",
    "sci fi": "sci-fi",
    "scifi": "sci-fi",
    "family": "children",
    "kids": "children",
    "children's": "children",
    "animated": "animation",
    "noir": "film-noir",
    "film noir": "film-noir",
    "music": "musical",
    "suspense": "thriller",
    "romantic": "romance",
    "comedies": "comedy",
    "historical drama": "drama",
}
"""Other names of the same genres in catalogues."""

COMPOUNDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("comedy", "romance"): (
        *("romcom", "rom-com", "rom com", "romcoms", "rom coms", "romantic comedy", "romantic comedies"),
        *("comedy romance", "funny love story", "funny love stories"),
    ),
    ("comedy", "drama"): (
        "dramedy",
        "dramedies",
        "tragicomedy",
        "comedy drama",
        "dramatic comedy",
        "bittersweet comedy",
    ),
    ("horror", "comedy"): ("horror comedy", "comedy horror", "funny horror", "scary comedy", "horror spoof"),
    ("action", "comedy"): ("action comedy", "action comedies", "funny action"),
    ("sci-fi", "horror"): ("sci-fi horror", "scary science fiction", "space horror", "horror sci fi"),
    ("crime", "drama"): ("crime drama", "crime dramas", "gangster drama"),
    ("action", "adventure"): ("action adventure", "action adventures", "action-adventure"),
    ("western", "comedy"): ("comic western", "western comedy", "funny western"),
    ("war", "drama"): ("war drama", "war dramas"),
}
"""Words for two genres at once."""


def spoken(value: str) -> Spoken:
    """Returns how people speak of a genre of that name; nothing where it is none that is known here."""
    name = value.lower()
    return GENRES.get(SAME.get(name, name), Spoken(()))


def genre_of(value: str) -> str:
    """Returns the name by which a catalogue's value stands in `GENRES`, or its own in lower case."""
    name = value.lower()
    return SAME.get(name, name)
