"""Sources of documents: what a corpus's name means, how it is read, and a fingerprint by which it is known again.

A name is `microworld`, `nltk:NAME[+NAME...]`, `file:PATH[#COLUMN]` or `hub:DATASET[:CONFIG][#COLUMN]`, or several of
them with commas between. Knows no tokens and no torch; reads a document at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import inspect
import itertools
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.settings.error_text import disk_reason, first_line
from engine.settings.reachable import reachable
from engine.storage.allowed_folders import PathError, allowed_path, is_file
from engine.storage.cache import digest, file_digest
from engine.text import microworld
from engine.text.nltk_data import INDEX, MissingCorpusError, fetch, fetch_command, on_this_machine
from engine.text.sentences import SPLITTING, split_sentences
from engine.text.tables import split_column, text_column
from engine.text.text_files import cell_sentences, file_kind, read_documents
from engine.text.token_store import CorpusError

FILE_READING_VERSION = 3  # part of a file's fingerprint: raise it wherever the same file becomes other documents
HUB, HUB_NAME = "https://huggingface.co", re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
MICROWORLD_SEED, MICROWORLD_STORIES, MICROWORLD_ROWS = 0, 200_000, 50_000


@dataclass(frozen=True)
class Source:
    """The documents behind a corpus's name. Nothing is read before it is asked for."""

    read: Callable[[], Iterable[list[str]]]  # the documents, each a list of sentences, always in the same order
    fingerprint: Callable[[], str]  # differs wherever the documents do; far quicker than reading them
    most_rows: int | None = None  # training rows that a run sees at most; later steps see them again


def find_source(name: str) -> Source:
    """The source of the corpus `name`.

    Raises:
        CorpusError: the corpus is unknown, or not on this machine.
    """
    names = _CORPUS_SEPARATOR.split(name)
    if len(names) > 1:
        return _interleaved([find_source(one) for one in names])
    kind, _, rest = name.partition(":")
    if kind not in SOURCES:
        raise CorpusError(f"There is no corpus {name[:80]!r}; name one of {', '.join(SOURCES)}, such as nltk:brown.")
    return SOURCES[kind](rest)


def _interleaved(sources: list[Source]) -> Source:
    """Several corpora as one: a document of each in turn, and of those that are left when the shorter ones end."""

    def read() -> Iterator[list[str]]:
        readers = [iter(source.read()) for source in sources]
        while readers:
            for reader in list(readers):
                document = next(reader, None)
                if document is None:
                    readers.remove(reader)
                else:
                    yield document

    most = [source.most_rows for source in sources]
    known = [rows for rows in most if rows is not None]
    return Source(
        read,
        lambda: digest(["together", [source.fingerprint() for source in sources]]),
        sum(known) if len(known) == len(most) else None,
    )


def document_hash(document: list[str]) -> int:
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
    readers, missing = [], []
    for name in rest.split("+"):
        try:
            readers.append((_nltk_reader(name), name))
        except MissingCorpusError:
            missing.append(name)
    if missing:
        raise MissingCorpusError(missing, "choose the corpus microworld, or ")
    return Source(lambda: _nltk_documents(readers), lambda: _nltk_fingerprint(readers))


def _nltk_reader(name: str) -> Any:
    import nltk

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CorpusError(f"An NLTK corpus name has small letters, digits and _, got {name!r}; try nltk:brown.")
    reader = getattr(nltk.corpus, name, None)
    if on_this_machine(name):
        if hasattr(reader, "fileids"):  # an untouched reader looks for its files when it is asked anything
            return reader
    elif reader is not None and reachable(INDEX):
        return reader
    raise MissingCorpusError([name])


def nltk_reader(name: str) -> Any:
    """NLTK's reader of the data `name`, fetched if it is not on this machine.

    Raises:
        CorpusError: it is not there and cannot be fetched.
    """
    reader = _nltk_reader(name)
    _download([(reader, name)])
    return reader


def _download(readers: list[tuple[Any, str]]) -> None:
    """Fetches what is not on this machine yet: when documents are wanted, not when a form asks whether they can be."""
    fetch([name for _, name in readers])


def _nltk_documents(readers: list[tuple[Any, str]]) -> Iterator[list[str]]:
    """The documents in a mixed order that is the same on every machine, read one by one."""
    with _readable(readers):
        _download(readers)
        files = [(reader, name, fileid) for reader, name in readers for fileid in reader.fileids()]
        for reader, _, fileid in sorted(files, key=lambda file: document_hash([file[1], file[2]])):
            if hasattr(reader, "tagged_sents"):  # sentence boundaries set by hand
                told = (" ".join(words) for words in reader.sents(fileid))
                document = [sentence.replace("``", '"').replace("''", '"') for sentence in told]
            else:
                document = split_sentences(reader.raw(fileid))
            document = [sentence for sentence in document if sentence]
            if document:
                yield document


def _nltk_fingerprint(readers: list[tuple[Any, str]]) -> str:
    """Of what is on disk, by its bytes, and of how it is read."""
    import nltk

    with _readable(readers):
        _download(readers)
        how = [(name, type(reader).__name__, list(reader.fileids())) for reader, name in readers]
        places = [place for reader, _ in readers for place in reader.abspaths()]  # files, or entries of a zip file
        paths = {Path(place.zipfile.filename if hasattr(place, "zipfile") else place.path) for place in places}
        return digest([nltk.__version__, SPLITTING, how, file_digest(sorted(paths))])


@contextlib.contextmanager
def _readable(readers: list[tuple[Any, str]]) -> Iterator[None]:
    """Turns what a file that is gone or damaged makes its readers say into a sentence."""
    try:
        yield
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, AssertionError) as error:  # NLTK 3.9 asserts
        names = [name for _, name in readers]
        raise CorpusError(
            f"The NLTK corpus {'+'.join(names)} cannot be read: {disk_reason(error)}; fetch it again with "
            f"`{fetch_command(names)}`."
        ) from error


def _file(rest: str) -> Source:
    name, _, column = rest.partition("#")
    try:
        path = allowed_path(name)
    except PathError as error:
        raise CorpusError(str(error)) from error
    file_kind(path.name)
    split_column(column)
    if not is_file(path):
        raise CorpusError(f"There is no file {path.name[-80:]}; name one as file:PATH, or file:PATH#COLUMN.")
    return Source(lambda: read_documents(path, column), lambda: _file_fingerprint(path, column))


def _file_fingerprint(path: Path, column: str) -> str:
    try:
        return digest(["file", FILE_READING_VERSION, SPLITTING, file_kind(path.name), column, file_digest([path])])
    except OSError as error:
        raise CorpusError(f"The corpus file {path.name} cannot be read: {disk_reason(error)}.") from error


def _hub(rest: str) -> Source:
    name, _, column = rest.partition("#")
    dataset, _, config = name.partition(":")
    if not all(HUB_NAME.fullmatch(part) for part in (dataset, config or "default")):
        raise CorpusError(f"A data set of the Hub is named hub:OWNER/NAME or hub:OWNER/NAME:CONFIG, got {rest[:80]!r}.")
    if importlib.util.find_spec("datasets") is None:
        raise CorpusError("Data sets of the Hub need a package that is not here: pip install datasets.")
    if not reachable(HUB):
        raise CorpusError(f"There is no network to fetch the data set {dataset} through; name a file: or nltk: corpus.")
    return Source(lambda: _hub_documents(dataset, config, column), lambda: _hub_fingerprint(dataset, config, column))


def _hub_documents(dataset: str, config: str, column: str) -> Iterator[list[str]]:
    """Row after row of its split "train" as it comes through the network; nothing is kept but tokens."""
    import datasets

    with _from_the_hub(dataset):
        for row in datasets.load_dataset(dataset, config or None, split="train", streaming=True):
            name = text_column(list(row), column, f"The data set {dataset}")
            document = [sentence for sentence in cell_sentences(row[name], f"The data set {dataset}") if sentence]
            if document:
                yield document


def _hub_fingerprint(dataset: str, config: str, column: str) -> str:
    """Of the revision that is on the Hub now."""
    from huggingface_hub import HfApi

    with _from_the_hub(dataset):
        revision = HfApi().dataset_info(dataset, timeout=10.0).sha
    return digest(["hub", SPLITTING, dataset, config, column, revision])


@contextlib.contextmanager
def _from_the_hub(dataset: str) -> Iterator[None]:
    """Turns what the Hub's libraries say into a sentence."""
    try:
        yield
    except CorpusError:
        raise
    except Exception as error:  # theirs, the network's and a parser's, of every kind
        raise CorpusError(f"The data set {dataset} cannot be read from the Hub: {first_line(error)[:200]}") from error


SOURCES: dict[str, Callable[[str], Source]] = {"microworld": _microworld, "nltk": _nltk, "file": _file, "hub": _hub}
# a comma parts two corpora only where the name of one follows, for a file's name may have commas
_CORPUS_SEPARATOR = re.compile(rf",\s*(?=(?:{'|'.join(SOURCES)})(?::|,|$))")
