"""The microworld: a tiny generated English-like language whose relations are known.

Each document is a short story about one or two characters in one place. It is written so that attention has something
to learn, and every document says what: its gold relations name which position should look at which, and why.
Knows words and grammar only; no torch, no model. Deterministic by seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

RELATIONS = {
    "agreement": "a verb looks at the head noun of its subject, across a phrase that may have another number",
    "reflexive": "herself, himself, itself, themselves look at whom they mean",
    "pronoun": "she, he, it, they look back at the subject of the sentence before",
    "determiner": "a, this, every or these, some, two, many look at the noun they count",
    "order": "first, then, next, later, finally look at the order word before",
}
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MOST_WORDS = 62  # of a document; with [CLS] and [SEP] it fills 64 positions

ONE, MANY = 0, 1  # grammatical number: the index of a form in a (singular, plural) pair
DETERMINERS = (("a", "this", "every"), ("these", "some", "two", "many"))
CUES = ("first", "then", "next", "later", "finally")
BE = ("is", "are")
NEAR = ("near", "beside", "behind")
PEOPLE = {
    "she": (("girl", "girls"), ("woman", "women"), ("queen", "queens"), ("sister", "sisters")),
    "he": (("boy", "boys"), ("man", "men"), ("king", "kings"), ("brother", "brothers")),
}
NAMES = {"she": ("anna", "clara", "emma", "lucy"), "he": ("ben", "jack", "oscar", "tom")}
REFLEXIVES = {"she": "herself", "he": "himself", "it": "itself", "they": "themselves"}
SELF_VERBS = (("washes", "wash"), ("hides", "hide"), ("hurts", "hurt"), ("admires", "admire"), ("helps", "help"))
ADJECTIVES = ("old", "young", "small", "tall", "quiet", "kind")
MOODS = ("happy", "tired", "hungry", "proud", "afraid")


@dataclass(frozen=True)
class Topic:
    """The words that belong together in one story."""

    name: str
    animals: tuple[tuple[str, str], ...]
    things: tuple[tuple[str, str], ...]
    does: tuple[tuple[str, str], ...]  # verbs without an object
    does_to: tuple[tuple[str, str, tuple[int, ...]], ...]  # verbs and the nouns (animals, then things) they take
    places: tuple[str, ...]

    @property
    def nouns(self) -> tuple[tuple[str, str], ...]:
        """Animals, then things, as (singular, plural)."""
        return self.animals + self.things


TOPICS = (
    Topic(
        "farm",
        (("horse", "horses"), ("cow", "cows")),
        (("apple", "apples"), ("fence", "fences"), ("barrel", "barrels")),
        (("works", "work"), ("rests", "rest")),
        (("feeds", "feed", (0, 1)), ("picks", "pick", (2,)), ("paints", "paint", (3, 4))),
        ("barn", "field"),
    ),
    Topic(
        "sea",
        (("seal", "seals"), ("gull", "gulls")),
        (("shell", "shells"), ("boat", "boats"), ("net", "nets")),
        (("swims", "swim"), ("waits", "wait")),
        (("follows", "follow", (0, 1)), ("collects", "collect", (2,)), ("mends", "mend", (3, 4))),
        ("beach", "harbour"),
    ),
    Topic(
        "kitchen",
        (("cat", "cats"), ("mouse", "mice")),
        (("cake", "cakes"), ("pot", "pots"), ("spoon", "spoons")),
        (("cooks", "cook"), ("sings", "sing")),
        (("chases", "chase", (0, 1)), ("bakes", "bake", (2,)), ("cleans", "clean", (3, 4))),
        ("stove", "pantry"),
    ),
    Topic(
        "forest",
        (("fox", "foxes"), ("owl", "owls")),
        (("tree", "trees"), ("mushroom", "mushrooms"), ("stone", "stones")),
        (("walks", "walk"), ("listens", "listen")),
        (("watches", "watch", (0, 1)), ("climbs", "climb", (2,)), ("finds", "find", (3, 4))),
        ("river", "cave"),
    ),
    Topic(
        "school",
        (("rabbit", "rabbits"), ("turtle", "turtles")),
        (("picture", "pictures"), ("book", "books"), ("pencil", "pencils")),
        (("studies", "study"), ("plays", "play")),
        (("carries", "carry", (0, 1)), ("draws", "draw", (2,)), ("borrows", "borrow", (3, 4))),
        ("library", "garden"),
    ),
    Topic(
        "castle",
        (("dragon", "dragons"), ("wolf", "wolves")),
        (("sword", "swords"), ("crown", "crowns"), ("door", "doors")),
        (("dances", "dance"), ("sleeps", "sleep")),
        (("fears", "fear", (0, 1)), ("sharpens", "sharpen", (2,)), ("guards", "guard", (3, 4))),
        ("tower", "hall"),
    ),
)


@dataclass(frozen=True)
class Relation:
    """One gold relation: the word at `source` should look at the word at `target`, and `name` in RELATIONS says why."""

    name: str
    source: int  # index into Document.words
    target: int


@dataclass
class Document:
    """A story: its sentences as words, and the gold relations over all its words in order."""

    topic: str
    sentences: list[list[str]] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """All words of all sentences."""
        return [word for sentence in self.sentences for word in sentence]

    @property
    def text(self) -> str:
        """The story as one line of text; tokenizing it gives `words` back."""
        return " ".join(self.words).replace(" .", ".").replace(" ,", ",")


@dataclass(frozen=True)
class _Character:
    """Whom a story is about. `forms` holds one name, or a noun's singular and plural."""

    forms: tuple[str, ...]
    number: int
    pronoun: str

    @property
    def named(self) -> bool:
        return len(self.forms) == 1


def vocabulary() -> list[str]:
    """Every token of the language, special tokens first, at most 300."""
    words = [*SPECIALS, ".", ",", "the", *DETERMINERS[ONE], *DETERMINERS[MANY], *CUES, *BE, *NEAR, "at"]
    words += [*REFLEXIVES, *REFLEXIVES.values(), *ADJECTIVES, *MOODS]
    for gender in ("she", "he"):
        words += [*NAMES[gender], *(form for noun in PEOPLE[gender] for form in noun)]
    words += [form for verb in SELF_VERBS for form in verb]
    for topic in TOPICS:
        words += [form for pair in topic.nouns + topic.does for form in pair]
        words += [form for verb in topic.does_to for form in verb[:2]]
        words += topic.places
    return list(dict.fromkeys(words))


def documents(seed: int) -> Iterator[Document]:
    """An endless stream of stories, the same for the same seed."""
    rng = random.Random(seed)
    while True:
        yield _Writer(rng).story()


class _Writer:
    """Writes one story, keeping track of who is spoken of."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.topic = rng.choice(TOPICS)
        self.document = Document(self.topic.name)
        self.line: list[str] = []
        self.start = 0  # index of the current sentence's first word
        self.known: set[tuple[str, ...]] = set()  # who was mentioned: later mentions are definite

    def story(self) -> Document:
        rng, length = self.rng, self.rng.randint(3, 5)
        cast = [self._character(), self._character()]
        order = [*CUES[: length - 1], CUES[-1]] if rng.random() < 0.5 else []
        last_cue: int | None = None
        subject_before: tuple[_Character, int] | None = None  # a full noun phrase that a pronoun may pick up
        for index in range(length):
            words_so_far = self.start
            relations_so_far = len(self.document.relations)
            self.line = []
            cue = None
            if order:
                cue = self._say(order[index])
                self._say(",")
                if last_cue is not None:
                    self._relate("order", cue, last_cue)
            if subject_before and rng.random() < 0.6:
                who, antecedent = subject_before
                subject = self._say(who.pronoun)
                self._relate("pronoun", subject, antecedent)
                subject_before = None
            else:
                who = rng.choice(cast) if rng.random() < 0.85 else self._character()
                subject = self._noun_phrase(who.forms, who.number, adjective=0.25)
                if rng.random() < 0.5:
                    self._say(rng.choice(NEAR))
                    self._noun_phrase(*self._bystander(), adjective=0.0)
                subject_before = (who, subject)
            self._predicate(who, subject)
            self._say(".")
            if words_so_far + len(self.line) > MOST_WORDS:
                del self.document.relations[relations_so_far:]
                break
            last_cue = cue
            self.document.sentences.append(self.line)
            self.start += len(self.line)
        return self.document

    def _predicate(self, who: _Character, subject: int) -> None:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.3:
            verb = self._say(rng.choice(SELF_VERBS)[who.number])
            reflexive = self._say(REFLEXIVES[who.pronoun])
            self._relate("reflexive", reflexive, subject)
        elif kind < 0.5:
            verb = self._say(BE[who.number])
            self._say(rng.choice(MOODS))
        elif kind < 0.7:
            verb = self._say(rng.choice(self.topic.does)[who.number])
            self._say("at")
            self._say("the")
            self._say(rng.choice(self.topic.places))
        else:
            *forms, objects = rng.choice(self.topic.does_to)
            verb = self._say(forms[who.number])
            self._noun_phrase(self.topic.nouns[rng.choice(objects)], rng.choice((ONE, MANY)), adjective=0.15)
        self._relate("agreement", verb, subject)

    def _noun_phrase(self, forms: tuple[str, ...], number: int, adjective: float) -> int:
        """Says a noun phrase; the index of its head noun."""
        rng = self.rng
        if len(forms) == 1:
            return self._say(forms[0])
        definite = rng.random() < (0.7 if forms in self.known else 0.2)
        self.known.add(forms)
        determiner = self._say("the" if definite else rng.choice(DETERMINERS[number]))
        if rng.random() < adjective:
            self._say(rng.choice(ADJECTIVES))
        noun = self._say(forms[number])
        if not definite:
            self._relate("determiner", determiner, noun)
        return noun

    def _character(self) -> _Character:
        rng, kind = self.rng, self.rng.random()
        gender = rng.choice(("she", "he"))
        if kind < 0.25:
            return _Character((rng.choice(NAMES[gender]),), ONE, gender)
        number = rng.choice((ONE, MANY))
        if kind < 0.75:
            return _Character(rng.choice(PEOPLE[gender]), number, "they" if number else gender)
        return _Character(rng.choice(self.topic.animals), number, "they" if number else "it")

    def _bystander(self) -> tuple[tuple[str, str], int]:
        """Somebody or something that stands between a subject and its verb, in either number."""
        rng = self.rng
        nouns = self.topic.nouns if rng.random() < 0.5 else PEOPLE[rng.choice(("she", "he"))]
        return rng.choice(nouns), rng.choice((ONE, MANY))

    def _say(self, word: str) -> int:
        self.line.append(word)
        return self.start + len(self.line) - 1

    def _relate(self, name: str, source: int, target: int) -> None:
        self.document.relations.append(Relation(name, source, target))
