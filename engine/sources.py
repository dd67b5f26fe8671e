"""Where documents come from: what a corpus's name means, how it is read, and by what its content is known again.

A name is `microworld` or `nltk:NAME[+NAME...]`. Knows no tokens and no torch; reads a document at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import itertools
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import microworld
from engine.cache import digest, file_digest
from engine.token_store import CorpusError

MICROWORLD_SEED, MICROWORLD_STORIES, MICROWORLD_ROWS = 0, 200_000, 50_000


@dataclass(frozen=True)
class Source:
    """The documents behind a corpus's name. Nothing is read before it is asked for."""

    read: Callable[[], Iterable[list[str]]]  # the documents, each a list of sentences, always in the same order
    fingerprint: Callable[[], str]  # differs wherever the documents do; far quicker than reading them
    most_rows: int | None = None  # training rows that a run sees at most; later steps see them again


def find_corpus(name: str) -> Source:
    """The source of the corpus `name`.

    Raises:
        CorpusError: the corpus is unknown, or not on this machine.
    """
    kind, _, rest = name.partition(":")
    if kind not in SOURCES:
        raise CorpusError(f"There is no corpus {name!r}; name one of {', '.join(SOURCES)}, such as nltk:brown.")
    return SOURCES[kind](rest)


def document_number(document: list[str]) -> int:
    """A number between 0 and 2**64 that depends on the text of `document` alone."""
    return int.from_bytes(hashlib.blake2b("\n".join(document).encode(), digest_size=8).digest(), "big")


def _microworld(rest: str) -> Source:
    if rest:
        raise CorpusError(f"The microworld has no parts, got {rest!r}; write microworld.")
    return Source(_stories, _stories_fingerprint, MICROWORLD_ROWS)


def _stories() -> Iterator[list[str]]:
    for story in itertools.islice(microworld.documents(MICROWORLD_SEED), MICROWORLD_STORIES):
        yield [" ".join(sentence) for sentence in story.sentences]


def _stories_fingerprint() -> str:
    """The stories are made of their generator, a seed and Python's random choices."""
    return digest([inspect.getsource(microworld), MICROWORLD_SEED, MICROWORLD_STORIES, sys.version_info[:2]])


def _nltk(rest: str) -> Source:
    readers = [(_nltk_reader(name), name) for name in rest.split("+")]
    return Source(lambda: _nltk_documents(readers), lambda: _nltk_fingerprint(readers))


def _nltk_reader(name: str) -> Any:
    import nltk

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CorpusError(f"An NLTK corpus name has small letters, digits and _, got {name!r}; try nltk:brown.")
    reader = getattr(nltk.corpus, name, None)
    for place in (f"corpora/{name}", f"corpora/{name}.zip"):
        with contextlib.suppress(LookupError):
            nltk.data.find(place)
            if hasattr(reader, "fileids"):
                return reader
    raise CorpusError(
        f"The NLTK corpus {name} is not on this machine; fetch it with "
        f"`python -m nltk.downloader {name}`, or point NLTK_DATA at a folder that has it."
    )


def _nltk_documents(readers: list[tuple[Any, str]]) -> Iterator[list[str]]:
    """The documents in a mixed order that is the same on every machine, read one by one."""
    with _readable(readers):
        files = [(reader, name, fileid) for reader, name in readers for fileid in reader.fileids()]
        for reader, _, fileid in sorted(files, key=lambda file: document_number([file[1], file[2]])):
            if hasattr(reader, "tagged_sents"):  # sentence boundaries set by hand
                sentences = (" ".join(words) for words in reader.sents(fileid))
                document = [sentence.replace("``", '"').replace("''", '"') for sentence in sentences]
            else:
                document = re.split(r"(?<=[.!?])\s+", " ".join(reader.raw(fileid).split()))
            document = [sentence for sentence in document if sentence]
            if document:
                yield document


def _nltk_fingerprint(readers: list[tuple[Any, str]]) -> str:
    """Of what is on disk, by its bytes, and of how it is read."""
    import nltk

    with _readable(readers):
        how = [(name, type(reader).__name__, list(reader.fileids())) for reader, name in readers]
        places = [place for reader, _ in readers for place in reader.abspaths()]  # files, or entries of a zip file
        paths = {Path(place.zipfile.filename if hasattr(place, "zipfile") else place.path) for place in places}
        return digest([nltk.__version__, how, file_digest(sorted(paths))])


@contextlib.contextmanager
def _readable(readers: list[tuple[Any, str]]) -> Iterator[None]:
    """Turns what a file that is gone or damaged makes its readers say into a sentence."""
    try:
        yield
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        names = " ".join(name for _, name in readers)
        raise CorpusError(
            f"The NLTK corpus {names} cannot be read: {getattr(error, 'strerror', None) or error}; "
            f"fetch it again with `python -m nltk.downloader {names}`."
        ) from error


SOURCES: dict[str, Callable[[str], Source]] = {"microworld": _microworld, "nltk": _nltk}
