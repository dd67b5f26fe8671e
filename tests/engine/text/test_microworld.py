from itertools import islice

import pytest

from engine.text import microworld
from engine.text.microworld import MOST_WORDS, RELATIONS, documents, vocabulary
from tests.fixtures.builders import tokenizer


def words_of(text):
    """The set of words in `text`."""
    return set(text.split())


# The grammar as a reader knows it, written down a second time: nothing below asks the generator what it meant.
SINGULAR_VERBS = words_of(
    "is washes hides hurts admires helps works rests feeds picks paints swims waits follows collects mends cooks sings "
    "chases bakes cleans walks listens watches climbs finds studies plays carries draws borrows dances sleeps fears "
    "sharpens guards"
)
PLURAL_VERBS = words_of(
    "are wash hide hurt admire help work rest feed pick paint swim wait follow collect mend cook sing chase bake clean "
    "walk listen watch climb find study play carry draw borrow dance sleep fear sharpen guard"
)
SHE = words_of("she anna clara emma lucy girl woman queen sister")
HE = words_of("he ben jack oscar tom boy man king brother")
IT = words_of(
    "it horse cow apple fence barrel seal gull shell boat net cat mouse cake pot spoon fox owl tree mushroom stone "
    "rabbit turtle picture book pencil dragon wolf sword crown door"
)
THEY = words_of(
    "they girls women queens sisters boys men kings brothers horses cows apples fences barrels seals gulls shells "
    "boats nets cats mice cakes pots spoons foxes owls trees mushrooms stones rabbits turtles pictures books pencils "
    "dragons wolves swords crowns doors"
)
REFLEXIVES = {"herself": SHE, "himself": HE, "itself": IT, "themselves": THEY}
PRONOUNS = {"she": SHE, "he": HE, "it": IT, "they": THEY}
ONE_OF, MANY_OF = {"a", "this", "every"}, {"these", "some", "two", "many"}
CUES = ["first", "then", "next", "later", "finally"]


@pytest.fixture(scope="module")
def stories():
    """A few thousand documents."""
    return list(islice(documents(seed=5), 3000))


def singular(word):
    """True, False, or a failure for a word that is no noun."""
    assert (word in SHE | HE | IT) != (word in THEY), word
    return word not in THEY


def sentence_starts(story):
    """The index of each sentence's first word."""
    return [sum(map(len, story.sentences[:index])) for index in range(len(story.sentences))]


def pairs(stories, name):
    """(story, source index, target index) of every gold relation called `name`; there must be many."""
    found = [(s, r.source, r.target) for s in stories for r in s.relations if r.name == name]
    assert len(found) > 1000, name
    return found


def sentence_of(story, index):
    """Which sentence the word at `index` belongs to."""
    return sum(start <= index for start in sentence_starts(story)) - 1


def test_the_language_is_small_and_complete(stories):
    """Harm: a vocabulary that does not hold in the tiny teacher's table, or words that become [UNK]."""
    words = vocabulary()
    assert len(words) <= 300
    assert len(set(words)) == len(words)
    assert {word for story in stories for word in story.words} <= set(words)
    unused = set(words) - {word for story in stories for word in story.words} - set(microworld.SPECIALS)
    assert not unused


def test_the_same_seed_tells_the_same_stories(stories):
    """Harm: a lesson that shows other sentences than its text talks about."""
    assert list(islice(documents(seed=5), 50)) == stories[:50]
    assert list(islice(documents(seed=6), 50)) != stories[:50]


def test_a_story_fits_and_is_whole(stories):
    """Harm: gold relations that point beyond the 64 positions a model sees."""
    for story in stories:
        assert len(story.words) <= MOST_WORDS
        assert len(story.sentences) >= 2
        assert all(sentence[-1] == "." and sentence.count(".") == 1 for sentence in story.sentences)
        for relation in story.relations:
            assert relation.name in RELATIONS
            assert 0 <= relation.source < len(story.words)
            assert 0 <= relation.target < len(story.words)
            assert relation.source != relation.target


def test_tokenizing_the_text_gives_the_words_back(stories):
    """Harm: gold relations are word indices; one split word and every arrow of the story is off by one."""
    speaker = tokenizer()
    for story in stories[:1000]:
        tokens = speaker.tokenize(story.text)
        assert tokens == story.words
        assert "[UNK]" not in tokens


def test_verbs_agree_with_the_head_of_their_subject(stories):
    """Harm: the lesson's main arrow points at the distractor instead of at the subject."""
    distracted = total = 0
    for story, verb, head in pairs(stories, "agreement"):
        words = story.words
        assert (words[verb] in SINGULAR_VERBS) != (words[verb] in PLURAL_VERBS)
        assert singular(words[head]) == (words[verb] in SINGULAR_VERBS), story.text
        assert head < verb
        assert sentence_of(story, head) == sentence_of(story, verb)
        nouns = [word for word in words[head + 1 : verb] if word in SHE | HE | IT | THEY]
        before = words[sentence_starts(story)[sentence_of(story, verb)] : head]
        assert not [word for word in before if word in SHE | HE | IT | THEY]  # the head is the first noun
        assert len(nouns) == ({"near", "beside", "behind"} & set(words[head + 1 : verb]) != set())
        total += 1
        distracted += any(singular(noun) != singular(words[head]) for noun in nouns)
    assert distracted / total > 0.1  # enough sentences in which the nearest noun is the wrong one
    assert distracted > 500


def test_every_sentence_has_one_verb_with_a_gold_subject(stories):
    """Harm: a score over gold relations that quietly leaves out the hard sentences."""
    for story in stories:
        verbs = [index for index, word in enumerate(story.words) if word in SINGULAR_VERBS | PLURAL_VERBS]
        assert verbs == [relation.source for relation in story.relations if relation.name == "agreement"]
        assert len(verbs) == len(story.sentences)


def test_reflexives_mean_their_subject(stories):
    """Harm: "the girls ... herself": a relation that no reader would accept."""
    for story, reflexive, target in pairs(stories, "reflexive"):
        assert story.words[target] in REFLEXIVES[story.words[reflexive]], story.text
        verb = reflexive - 1
        subjects = {r.target for r in story.relations if r.name == "agreement" and r.source == verb}
        assert subjects == {target}


def test_pronouns_mean_the_subject_of_the_sentence_before(stories):
    """Harm: a pronoun whose arrow points at somebody of another gender or number."""
    for story, pronoun, antecedent in pairs(stories, "pronoun"):
        words = story.words
        assert words[pronoun] in PRONOUNS
        assert words[antecedent] in PRONOUNS[words[pronoun]] - {words[pronoun]}, story.text
        assert sentence_of(story, antecedent) == sentence_of(story, pronoun) - 1
        assert antecedent in {r.target for r in story.relations if r.name == "agreement"}
    for story in stories:
        found = {index for index, word in enumerate(story.words) if word in PRONOUNS}
        assert found == {r.source for r in story.relations if r.name == "pronoun"}


def test_determiners_count_their_noun(stories):
    """Harm: "many boat": the determiner lesson teaches wrong English."""
    for story, determiner, noun in pairs(stories, "determiner"):
        words = story.words
        assert words[determiner] in (ONE_OF if singular(words[noun]) else MANY_OF), story.text
        between = words[determiner + 1 : noun]
        assert len(between) <= 1
        assert not set(between) & (SHE | HE | IT | THEY)
    for story in stories:
        found = {index for index, word in enumerate(story.words) if word in ONE_OF | MANY_OF}
        assert found == {r.source for r in story.relations if r.name == "determiner"}


def test_order_words_follow_one_another(stories):
    """Harm: "finally ... then": a chain that points backwards."""
    for story, cue, before in pairs(stories, "order"):
        words, starts = story.words, sentence_starts(story)
        assert cue in starts
        assert before in starts
        assert starts.index(before) == starts.index(cue) - 1
        assert CUES.index(words[before]) < CUES.index(words[cue])
        assert words[cue + 1] == ","
    for story in stories:
        cues = [word for word in story.words if word in CUES]
        assert len(cues) in (0, len(story.sentences))
        assert sorted(cues, key=CUES.index) == cues
        assert len([r for r in story.relations if r.name == "order"]) == max(0, len(cues) - 1)
