"""The forms of a clause: one thing said about one facet, plainly, by denial, by comparison, by wish."""

from __future__ import annotations

from collections.abc import Callable

from demo import phrases
from demo.lexicon import Facet, Noun
from demo.pieces import POLARITY, Piece, inflect, judging, mark
from demo.reviewer import GENERAL, Reviewer

ENJOYED = frozenset({"taste", "comfort", "appearance", "sound"})  # one can "enjoy" these, and not only like them


class Critic(Reviewer):
    """A reviewer who can say whether a facet is good (sign 1) or bad (-1)."""

    def clause(self, facet: Facet, sign: int) -> list[Piece]:
        """A full clause whose message about `facet` is `sign`, in one of many forms."""
        noun = self.rng.choice(facet.nouns)
        bare = "bare" in facet.flags
        forms: dict[Callable[[Facet, Noun, int], list[Piece]], float] = {
            self._be: 6,
            self._link: 2.5 if facet.link and not noun.item else 0,
            self._deed: 3.5 if facet.deeds[sign] else 0,
            self._find: 1.2,
            self._feeling: 0 if bare else 1.2,
            self._liking: 0 if bare else 1.5,
            self._comparison: 1.8,
            self._own: 1.8 if "own" in facet.flags else 0,
            self._too: 1 if facet.too else 0,
            self._could_be: 0.6,
            self._enough: 0.5 if sign < 0 and any(e.comparative and not e.phrase for e in facet.adjectives[1]) else 0,
            self._pair: 0.9,
        }
        return self.rng.choices(list(forms), list(forms.values()))[0](facet, noun, sign)

    def plain(self, facet: Facet, sign: int) -> list[Piece]:
        """A clause that says what it says, without a denial."""
        noun = self.rng.choice(facet.nouns)
        subject, plural = self.subject(facet, noun)
        return subject + self._describe(facet, inflect("be", plural, self._past(facet)), sign)

    def _past(self, facet: Facet) -> bool:
        return not self.goods or "past" in facet.flags

    def _describe(self, facet: Facet, verb: str, sign: int) -> list[Piece]:
        entry = self.choose(facet, sign)
        return self.say(facet, f"{verb} {self.degree(entry, sign)}", sign, entry in GENERAL)

    def _be(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        subject, plural = self.subject(facet, noun)
        if self.rng.random() < 0.33:
            entry = self.choose(facet, -sign)
            denial = self.denied(sign, entry, plural, self._past(facet))
            if denial.endswith(" at all"):
                return subject + self.say(facet, f"{denial[:-7]} {judging(entry.text)} at all", sign, entry in GENERAL)
            return subject + self.say(facet, f"{denial} {judging(entry.text)}", sign, entry in GENERAL)
        be = inflect("be", plural, self._past(facet))
        return subject + self._describe(facet, be, sign)

    def _link(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        subject, plural = self.subject(facet, noun)
        past, link = self._past(facet), facet.link or "seem"
        verb = inflect({"feel": "feel/felt"}.get(link, link), plural, past)
        if self.rng.random() < 0.3:
            entry = self.choose(facet, -sign)
            do = "did" if past else "do" if plural else "does"
            denial = self.rng.choice(
                (
                    f"{do} not {link}",
                    f"{do}n't {link}",
                    f"hardly {verb}",
                    *([] if past else [f"never {verb}"]),
                )
            )
            return subject + self.say(facet, f"{denial} {judging(entry.text)}", sign, entry in GENERAL)
        return subject + self._describe(facet, verb, sign)

    def _deed(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        subject, plural = self.subject(facet, noun)
        deniable = [deed[1:] for deed in facet.deeds[-sign] if deed.startswith("!")]
        past = self._past(facet)
        if deniable and self.rng.random() < 0.3:
            verb, *rest = self.rng.choice(deniable)[1:].split()
            star = "*" * verb.endswith("*")
            base = verb.strip("*").split("/")[0] + star
            do = "did" if past else "do" if plural else "does"
            never = f"never {inflect(verb.strip('*'), plural, past)}{star}"
            verb = self.rng.choice((f"{do} not {base}", f"{do}n't {base}", never))
            return subject + self.say(facet, " ".join((verb, *rest)), sign)
        verb, *rest = self.rng.choice(facet.deeds[sign]).lstrip("!")[1:].split()
        verb = inflect(verb.strip("*"), plural, past) + "*" * verb.endswith("*")
        return subject + self.say(facet, " ".join((verb, *rest)), sign)

    def _find(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        thing, _ = self.subject(facet, noun)
        if thing[0].text == "they":
            thing = mark("them")
        if self.rng.random() < 0.5:
            entry = self.choose(facet, -sign)
            do = "do" if self.goods else "did"
            head = self.rng.choice(
                (
                    f"{self.person} {do} not find",
                    f"{self.person} would never call",
                    "nobody could call",
                    f"{self.person} {do}n't find",
                )
            )
            return mark(head) + thing + self.say(facet, judging(entry.text), sign, entry in GENERAL)
        entry = self.choose(facet, sign)
        head = f"{self.person} {'find' if self.goods else 'found'}"
        return mark(head) + thing + self.say(facet, self.degree(entry, sign), sign, entry in GENERAL)

    def _feeling(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        thing, _ = self.subject(facet, noun)
        thing = mark("them") if thing[0].text == "they" else thing
        past = self._past(facet)
        be = {("i", False): "am", ("i", True): "was"}.get((self.person, past), "were" if past else "are")
        deny = self.rng.random() < 0.4
        feeling = self.rng.choice(phrases.FEELINGS[-sign if deny else sign].split(", "))
        extreme, feeling = feeling.startswith("!"), feeling.lstrip("!").replace(" ", "* ", 1)
        if deny:
            head = f"{be} {self.rng.choice(('not', 'never', 'not exactly' if sign < 0 else 'not at all'))}"
        else:
            head = f"{be} {self.rng.choice(('', '', '', 'absolutely' if extreme else 'really'))}"
        return mark(self.person) + self.say(facet, f"{head} {feeling}", sign, general=True) + thing

    def _liking(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        thing, _ = self.subject(facet, noun)
        thing = mark("them") if thing[0].text == "they" else thing
        past = self._past(facet)
        verbs = [
            verb for verb in phrases.LIKING[sign].split() if facet.aspect in ENJOYED or verb not in ("enjoy", "adore")
        ]
        verb = self.rng.choice(verbs)
        then = phrases.PAST_OF_LIKING
        subject, singular = self.rng.choice(
            ((self.person, False),) * 4
            + ((f"my {self.rng.choice(phrases.RELATIVES)}", True), ("my friends", False), ("everyone", True))
        )
        if sign < 0 and subject != "everyone" and self.rng.random() < 0.6:
            verb = self.rng.choice(("like", "love", "enjoy" if facet.aspect in ENJOYED else "appreciate"))
            do = "did" if past else "does" if singular else "do"
            once = then[verb] if past else inflect(verb, not singular, False)
            once_each = then[verb] if past else inflect(verb, False, False)
            text = self.rng.choice(
                (
                    f"{subject} {do} not {verb}*",
                    f"{subject} {do}n't {verb}*",
                    f"{subject} never {once}*",
                    f"nobody {once_each}*",
                )
            )
            return self.say(facet, text, sign, general=True) + thing
        verb = then[verb] if past else inflect(verb, not singular, False)
        really = self.rng.choice(("", "", "really "))
        return mark(f"{subject} {really}") + self.say(facet, f"{verb}*", sign, general=True) + thing

    def _comparison(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        subject, plural = self.subject(facet, noun)
        be = inflect("be", plural, self._past(facet))
        than = self.reference(facet, noun)
        if self.rng.random() < 0.4:
            entry = self.choose(facet, -sign, comparative=True)
            form = self.rng.choice(
                (
                    "{be} not as {a} as",
                    "{be}n't as {a} as",
                    "{be} less {a} than",
                    "{be} nowhere near as {a} as",
                )
            )
            text = form.format(be=be, a=judging(entry.text))
        else:
            entry = self.choose(facet, sign, comparative=True)
            much = self.rng.choice(("", "", "much ", "far ", "noticeably ", "even ", "a lot "))
            text = f"{be} {much}{judging(entry.comparative or '')} than"
        return subject + self.say(facet, text, sign, entry in GENERAL) + self.fill(than)

    def reference(self, facet: Facet, noun: Noun | None) -> str:
        """What a comparison is made with, after "than" or "as"."""
        expected = (
            "expected",
            f"{self.person} expected",
            f"{self.person} had hoped",
            "the reviews suggest",
            "the photos suggest",
        )
        if facet.domain is None and (noun is None or not noun.item):
            return self.rng.choice((*expected[:2], "in most stores" if facet.aspect == "price" else "usual"))
        whole = noun is not None and noun.item
        if self.goods:
            old = self.rng.choice(("my old", "my last", "my previous")) + (" pair" if self.item.plural else " one")
        else:
            tried = "took" if self.domain == "airline" else "tried"
            old = f"the last {self.item.text.split()[-1]}# {self.person} {tried}"
        return self.rng.choice((*expected[:3], old if whole else f"{self.preposition(facet)} {old}"))

    def _own(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        past = self._past(facet)
        if self.named:
            owner = mark("they" if self.item.plural else "it")
        else:
            owner = self.this_item("the" if self.rng.random() < 0.3 else "")
        if self.rng.random() < 0.25:
            do = "did" if past else "do" if self.item.plural else "does"
            return owner + mark(self.rng.choice((f"{do} not have", f"{do}n't have"))) + self._flipped(facet, noun, sign)
        return owner + mark(inflect("have/had", self.item.plural, past)) + self.described(facet, noun, sign)

    def _flipped(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        """An adjective against `sign` with its noun, under a denial that stands before: it means `sign`."""
        phrase = self.described(facet, noun, -sign)
        return [piece._replace(polarity=POLARITY[sign]) if piece.polarity != "neutral" else piece for piece in phrase]

    def _too(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        subject, plural = self.subject(facet, noun)
        be = inflect("be", plural, self._past(facet))
        how = self.rng.choice(
            ("too", "far too", "a bit too", "much too")
            if sign < 0
            else ("not too", "never too" if self._past(facet) else "not too")
        )
        taste = self.rng.choice(("", "", " for me", " for my taste" if facet.aspect != "price" else ""))
        return subject + self.say(facet, f"{be} {how} {judging(self.rng.choice(facet.too).text)}", sign) + mark(taste)

    def _could_be(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        """ "could be brighter" blames, "could not be brighter" praises: both with a word of praise."""
        subject, _ = self.subject(facet, noun)
        entry = self.choose(facet, 1, comparative=True)
        be = "have been" if self._past(facet) else "be"
        could = "could" if sign < 0 else self.rng.choice(("could not", "couldn't"))
        return subject + self.say(facet, f"{could} {be} {judging(entry.comparative or '')}", sign, entry in GENERAL)

    def _enough(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        subject, plural = self.subject(facet, noun)
        entry = self.choose(facet, -sign, attributive=True, comparative=True)
        be = inflect("be", plural, self._past(facet))
        form = self.rng.choice((f"{be} not", f"{be}n't", f"{be} not nearly", f"{be} not quite"))
        return subject + self.say(facet, f"{form} {judging(entry.text)} enough", sign, entry in GENERAL)

    def _pair(self, facet: Facet, noun: Noun, sign: int) -> list[Piece]:
        deny = self.rng.random() < 0.4
        pool = [entry for entry in facet.adjectives[-sign if deny else sign] if not entry.phrase and not entry.extreme]
        if len(pool) < 2:
            return self._be(facet, noun, sign)
        subject, plural = self.subject(facet, noun)
        be = inflect("be", plural, self._past(facet))
        one, two = self.rng.sample(pool, 2)
        form = (
            "{be} neither {one} nor {two}"
            if deny
            else self.rng.choice(("{be} {one} and {two}", "{be} both {one} and {two}"))
        )
        return subject + self.say(facet, form.format(be=be, one=judging(one.text), two=judging(two.text)), sign)
