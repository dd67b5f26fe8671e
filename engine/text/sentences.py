"""Where sentences end, in any script: by Unicode's punctuation and by the lines of a text. Loses no letter.

Which marks end a sentence and which close a quotation is Unicode's Sentence_Break property (UAX #29), as the package
`regex` has it. Two of that standard's rules are left out: a full stop before a blank ends a sentence also where a
small letter follows, as in corpora without capitals, and an opening bracket belongs to what it opens.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from importlib.metadata import version

import regex

SPLITTING = [1, version("regex")]  # raise the number wherever the same text becomes other sentences
_TERMINATOR = r"[\p{SB=STerm}\p{SB=ATerm}[\p{Terminal_Punctuation}&&\p{Script=Tibetan}]]"  # Tibetan's are no STerm
_CLOSING = r"[\p{SB=Close}--[\p{Ps}\p{Pi}]]*+"
_END = regex.compile(  # a quotation mark that opens in English closes in German: before a blank it does
    rf"(?V1)(?P<marks>{_TERMINATOR}++)(?P<closed>[\p{{SB=Close}}--\p{{Ps}}]*+(?=\s)|{_CLOSING})(?P<blanks>\s*+)"
)
_TERMINATED = regex.compile(rf"(?V1){_TERMINATOR}(?:{_CLOSING}(?:\s|$)|(?<![.!?]))")
_SMALL, _COMMA = regex.compile(r"\p{SB=Lower}"), regex.compile(r"\p{SB=SContinue}")
_FULL_STOP, _IN_A_NUMBER = regex.compile(r"\p{SB=ATerm}"), regex.compile(r"[\p{Nd}\p{SB=Lower}]")
_WITHOUT_CASE = regex.compile(r"\p{SB=OLetter}")  # letters of scripts that know no capitals
_FIRST_WORD = regex.compile(r"[\p{Ideographic}\p{Hiragana}\p{Katakana}]|\S+")


def split_sentences(text: str) -> list[str]:
    """The sentences of `text`, white space made single blanks.

    A sentence ends at a mark that Unicode says ends one, where a blank follows or, in a script that puts none, at once;
    at a blank line; and at a line's end, unless the lines are those of running text that was broken to a width.
    """
    return [sentence for part in _unbroken(text) for sentence in _at_marks(part)]


def _at_marks(text: str) -> Iterator[str]:
    begin = 0
    for found in _END.finditer(text):
        if found.end() < len(text) and _ends_here(found, text[found.end()]):
            yield text[begin : found.end("closed")]
            begin = found.end()
    yield text[begin:]


def _ends_here(found: regex.Match[str], then: str) -> bool:
    """Whether a sentence ends at these marks, what closes it and the blanks behind them; `then`: the next letter."""
    ascii_mark = found["marks"][-1] in ".!?"
    if found["blanks"]:
        return not (ascii_mark and found["closed"] and _SMALL.match(then))  # "Go!" he said
    if ascii_mark:
        return bool(_WITHOUT_CASE.match(then))  # 3.5, e.g. and a?b go on; a Chinese text with Western marks does not
    return not (_COMMA.match(then) or (_FULL_STOP.match(found["marks"][-1]) and _IN_A_NUMBER.match(then)))


def _unbroken(text: str) -> Iterator[str]:
    """The pieces of `text` between line ends that mean something, each with single blanks."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for filled, paragraph in itertools.groupby(lines, bool):
        if filled:
            yield from _lines_joined(list(paragraph))


def _lines_joined(lines: list[str]) -> Iterator[str]:
    """Lines of a paragraph; those that were broken to a width as one.

    A line was broken where the next one's first word would not have fitted on it: at most breaks of running text, at
    few between sentences that have a line each. Lines without any mark that ends a sentence have one each.
    """
    width = max(map(len, lines))
    full = [len(a) + 1 + len(_FIRST_WORD.match(b)[0]) > width for a, b in itertools.pairwise(lines)]
    broken = 2 * sum(full) >= len(full) and any(map(_TERMINATED.search, lines))
    joined = [lines[0]]
    for line, follows in zip(lines[1:], full, strict=True):
        if not (broken and follows):
            yield " ".join(joined)
            joined = []
        joined.append(line)
    yield " ".join(joined)
