"""The demo grammar's shared phrases, and the closed list of function words.

In a phrase `word*` carries the judgement (of this very phrase: "complaints" praises in "no complaints"),
`word#` belongs to the reviewed item's domain, `~verb` agrees with the item, and these fields are filled in:
`{this}`, `{it}` and `{they}` name the item ("this laptop", "them", "they"), `{relative}`, `{month}`,
`{days}` and `{city}` are drawn from the lists below.
"""

from __future__ import annotations

# Words that serve grammar, order, degree or denial. They carry no aspect, domain or polarity of their own.
FUNCTION = frozenset(
    """
    a an the this that these those i we you it they he she me us him her them my our your his its their one
    ones myself nobody anyone anybody everyone nothing anything everything something who which what where
    when whenever while why how and but or nor so yet although though because since if as than of at on in
    to for from with without by about into onto over under after before until despite during within between
    against like per around am is are was were be been being do does did don't doesn't didn't has have had
    having haven't hasn't hadn't will would can could cannot can't couldn't should shouldn't won't wouldn't
    might must isn't aren't wasn't weren't not never no none neither either both hardly barely scarcely far
    anything exactly very really quite rather fairly truly absolutely simply just utterly surprisingly
    incredibly extremely remarkably bit little somewhat slightly noticeably more most much many less least
    too enough even still also only almost such nearly particularly remotely at all always often again
    already once twice now then there here up out off back down away as well else any some every each
    another other own same first last next few lot means longer completely i'm i've i'd we're we've it's
    seem seems seemed call find found near overall honestly however frankly ever nowhere rarely . , ; : ! ?
    """.split()  # noqa: SIM905 - a list of 200 quoted words reads worse
)


def _list(text: str) -> tuple[str, ...]:
    """The entries of a list between semicolons."""
    return tuple(" ".join(entry.split()) for entry in text.split(";"))


RELATIVES = _list(
    """
    sister; brother; wife; husband; mother; father; daughter; son; roommate; boss; aunt; cousin;
    neighbor; girlfriend; boyfriend; uncle; grandmother; colleague; best friend
    """
)
MONTHS = _list(
    """
    january; february; march; april; may; june; july; august; september; october; november; december;
    the spring; the fall
    """
)
DAYS = _list(
    """
    two days; three days; a week; two weeks; a month; six weeks; three months; half a year; a year
    """
)
CITIES = _list(
    """
    lisbon; rome; chicago; boston; dublin; oslo; seattle; madrid; vienna; denver; prague; athens;
    toronto; krakow; austin; berlin; geneva; porto; miami; naples
    """
)

# Adjectives for anything at all, and feelings about it with their prepositions: (praise, blame).
ANY_ADJECTIVE = {
    1: "good/better, nice/nicer, decent, impressive, !great, !excellent, !wonderful, !fantastic, "
    "!outstanding, !amazing",
    -1: "bad/worse, poor/poorer, disappointing, mediocre, !terrible, !awful, !horrible, !dreadful, "
    "!unacceptable, lousy",
}
FEELINGS = {
    1: "happy with, pleased with, satisfied with, impressed by, !delighted with, !thrilled with",
    -1: "unhappy with, disappointed by, annoyed by, frustrated by, !appalled by, !fed up with",
}
LIKING = {1: "love like enjoy adore appreciate", -1: "hate dislike loathe"}
PAST_OF_LIKING = {
    verb: verb + ("d" if verb.endswith("e") else "ed") for verbs in LIKING.values() for verb in verbs.split()
}

# What a denied adjective may follow; "{be}" and its short denial "{isnt}" agree with the subject.
DENIALS_OF_ANY = _list(
    """
    {be} not; {isnt}; {be} not really; {be} anything but; {be} far from; {isnt} at all; {be} by no means
    """
)
DENIALS_OF_PRAISE = _list(
    """
    {isnt} exactly; {isnt} particularly; {isnt} very; {be} hardly; {be} barely; {be} nowhere near
    """
)
DENIALS_OF_BLAME = _list("{isnt} the least bit; {be} hardly; {isnt} remotely")
DENIALS_OF_EXTREME = _list("{be} far from; {be} anything but; {be} not; {isnt} exactly; {be} by no means")

DEGREES = _list("very; really; so; quite; surprisingly; incredibly; extremely; remarkably; truly; really")
DEGREES_OF_PRAISE = DEGREES + _list("fairly; always")
DEGREES_OF_BLAME = DEGREES + _list("rather; a bit; a little; somewhat; slightly; often")
DEGREES_OF_EXTREME = _list("absolutely; simply; truly; just; really")

# Opening and closing remarks that judge nothing.
REMARKS = _list(
    """
    honestly; overall; to be fair; in my opinion; to my surprise; frankly; so far; as far as i can tell
    """
)
STARTS = {
    True: (
        "after {days} of daily use#",
        "after {days}",
        "for everyday use#",
        "after unpacking# {it}",
        "out of the box#",
    ),
    False: (
        "this time",
        "on my second visit",
        "during the holidays",
        "for a quick trip",
        "on a rainy evening",
    ),
}

VERDICTS = {
    "any": {
        1: """
            i would recommend* {it} to anyone; highly recommended*; i have no complaints* at all; i have no
            regrets*; {they} ~be worth* every penny; i could not be happier*; not a single complaint*; i am
            still impressed*; nothing to complain* about; i would happily* choose {this} again; i cannot
            fault* {it}; i recommend* {this} without hesitation*; ten out of ten*; {they} never
            disappointed* me; i am a fan*; exactly what i needed*; i do not regret* my choice; my {relative}
            loves* {it} too; money well* spent
        """,
        -1: """
            i would not recommend* {it} to anyone; i cannot recommend* {this}; i regret* my choice; save*
            your money; what a waste* of money; i want a refund*; i would avoid* {this}; i am still
            annoyed*; never again; i have nothing good* to say; {they} ~be not worth* the money; please stay
            away* from {it}; what a letdown*; two out of ten*; i could not be more disappointed*; i expected
            a lot more*; do not bother* with {it}; my {relative} hates* {it} too; i will look* elsewhere*
            next time; {they} ~be a huge mistake*
        """,
    },
    "goods": {
        1: """
            i would buy* {it} again; i use# {it} every day with pleasure*; i am keeping* {it}; i already
            ordered# a second* one for my {relative}; a bargain* at this price; i never want to give {it}
            back
        """,
        -1: """
            i sent* {it} back; i am returning* {it} tomorrow; i gave {it} away* after {days}; straight into
            the trash*; i asked for my money back*; i am going back* to my old one
        """,
    },
    "venue": {
        1: """
            we will return* soon; we will be back*; i am already planning* the next visit*; we felt*
            welcome* from the start; a real gem*; we cannot wait* to return
        """,
        -1: """
            we will not return*; we left* early; we will never come back*; we should have stayed* at home;
            what a nightmare*; this was our last* visit; we complained* and got no answer
        """,
    },
}

FACTS = {
    "electronics": """
            i bought# {this} in {month}; i use# {this} for video calls#; i got {this} from my {relative} for
            my birthday; {they} came with a charger# and a manual#; i replaced# my old device# with {this};
            i have owned# {this} for {days}; i ordered# {this} online in {month}; my {relative} uses# {this}
            for work
        """,
    "kitchen": """
            i bought# {this} for our new kitchen#; i cook# with {this} every weekend; i have owned# {this}
            for {days}; i got {this} as a wedding gift; my {relative} ordered# {this} in {month}; {they}
            came with a recipe# booklet#; i use# {this} at breakfast; i unpacked# {this} in {month}
        """,
    "clothing": """
            i ordered# {this} in my usual size#; i wear# {this} to the office; my {relative} picked# {this}
            for me; i bought# {this} for a trip to {city}; i have worn# {this} for {days}; i tried# {this}
            on in the store#; i wore# {this} to a wedding in {month}; i washed# {this} twice in {month}
        """,
    "restaurant": """
            we ate# at {this} in {month}; we booked# a table# for six; we celebrated my {relative}'s
            birthday at {this}; i had lunch# at {this} with my {relative}; we found {this} by chance in
            {city}; we ordered# three courses#; we came for dinner# on a friday; my {relative} took us to
            {this}
        """,
    "hotel": """
            we stayed# two nights# at {this}; we booked# a double# room# in {month}; we spent {days} at
            {this}; we slept# at {this} on the way to {city}; our company booked# {this} for a conference; i
            stayed# at {this} with my {relative}; we checked# in late on a sunday; my {relative} chose
            {this} for our holiday#
        """,
    "airline": """
            i flew# to {city} in {month}; i took {this} to {city}; we booked# {this} for a trip to {city}; i
            boarded# {this} with my {relative}; we flew# from {city} on a monday; my {relative} booked#
            {this} in {month}; i sat near the wing# on the way to {city}; we landed# in {city} at noon
        """,
}
