"""Sentence ends in the world's scripts and at line ends; no letter is lost, and no text takes long."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.text.sentences import split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ("我们走吧。", "好的？", "太好了！", "他说：「走。」", "「好。」", "完"),
        ("これはペンです。", "はい！", "３．５。", "ｱ｡", "ｲ"),
        ("你好!", "我是.", "好"),
        ("यह है। ", "वह है॥ ", "ठीक"),
        ("كيف حالك؟ ", "أنا بخير. ", "نعم۔ ", "لا"),
        ("ሰላም። ", "እንዴት ነህ፧ ", "ደህና።"),
        ("ကျွန်တော်။ ", "သူ။"),
        ("Բարեւ։ ", "Ինչպես ես։"),
        ("សួស្តី។ ", "បាទ។"),
        ("བཀྲ་ཤིས། ", "བདེ་ལེགས།"),
        ("«Привет.» ", "Он ушёл. ", "„Ja.“ ", "Gut. ", "»Nej.« ", "So."),
        ('"Go!" he said. ', "(See 3.5 or a?b.) ", "Go now. ", "x"),
        ("the cat sat\n", "the dog ran\r\n", "so it goes\u2028", "it is over\n\n \n", "the end"),
        ("A line without an end\n", "Short.\n", "Another much longer line of words\n", "Yes\n", "No."),
        ("Running text that was\nbroken to a width, as\nmail is. ", "It goes on\nhere."),
    ],
)
def test_each_script_ends_its_sentences(sentences):
    """Harm: a whole text is one sentence, because its full stops are others."""
    assert split_sentences("".join(sentences)) == [" ".join(sentence.split()) for sentence in sentences]


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("ab A1.!?。」「་།।؟\"'()\n\r\u2028\t　«“”") | st.characters(exclude_categories=["Cs"])))
def test_no_letter_is_lost(text):
    """Harm: what stands between two sentences is in neither."""
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("part", ["a", ".", ".)", ")", ". ", "。", "a\n", "。“", "word "])
def test_a_million_letters_take_no_time(part):
    """Harm: a page that hangs on a text nobody would write by hand."""
    begun = time.process_time()
    split_sentences(part * (300_000 // len(part)))
    assert time.process_time() - begun < 3
