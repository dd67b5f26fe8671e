"""Labelled examples: dealt to splits by their text alone, and counted once."""

from engine.tasks.labelled import Example, hold_back_validation, split_by_hash, without_duplicates


def test_dealing_follows_the_text_alone():
    """Harm: one more example, or another order, moves others between training and test."""
    examples = [Example(f"text number {index}", label=index % 2) for index in range(400)]
    one, two = split_by_hash(examples), split_by_hash(examples[::-1])
    assert one == two
    assert (len(one.train), len(one.validation), len(one.test)) == (320, 40, 40)
    more = split_by_hash([*examples, Example("another", label=0)])
    assert len(set(more.test) ^ set(one.test)) <= 2


def test_repeated_texts_count_once_and_contradictions_not_at_all():
    """Harm: a text in training and in test, under another spelling of its blanks."""
    examples = [Example("A b", label=0), Example("a  B", label=0), Example("c", label=0), Example("C", label=1)]
    assert without_duplicates(examples) == [examples[0]]
    splits = hold_back_validation([Example(f"t{i}", label=i % 2) for i in range(40)], [Example("T0", label=0)])
    assert "t0" not in {example.text for example in splits.train + splits.validation}
    numbers = hold_back_validation([Example(f"t{i}", label=i / 7) for i in range(40)], [])
    assert len(numbers.validation) == 4
