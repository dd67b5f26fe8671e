"""NLTK's collections of text: which are on this machine, and the others fetched by its downloader, once and whole.

The downloader checks what it fetched by its digest; it works in a folder of its own, and only the finished archive,
which is read as it is, takes its place where NLTK looks. So nothing half-written is ever found. No torch.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from engine.settings.error_text import disk_reason, last_line
from engine.settings.reachable import reachable
from engine.storage.atomic import whole_file
from engine.storage.cache import digest, writable_cache_folder
from engine.text.token_store import CorpusError

INDEX = "https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/index.xml"
WAIT_S = 0.2  # between two looks whether another session has finished
EARLY = 0.02  # of a download: before that nobody can tell how long the rest takes
_NAME = re.compile(r"[a-z][a-z0-9_]*")
Progress = Callable[[float], object]  # hears of shares, 0 to 1


class MissingCorpusError(CorpusError):
    """Text that is not on this machine and cannot be fetched now. `names`: of NLTK's collections."""

    def __init__(self, names: Sequence[str], advice: str = "") -> None:
        self.names = tuple(names)
        is_not, it = ("corpus {} is", "it") if len(names) == 1 else ("corpora {} are", "them")
        super().__init__(
            f"The NLTK {is_not.format(_listed(names))} not on this machine, and there is no network to fetch {it} "
            f"through; {advice}get {it} with `{fetch_command(names)}`."
        )


def fetch_command(names: Sequence[str]) -> str:
    """What one types where there is a network, to fetch NLTK's collections `names`."""
    return f"python -m nltk.downloader {' '.join(names)}"


def on_this_machine(name: str) -> bool:
    """Whether NLTK finds its collection `name`, as a folder or an archive."""
    import nltk

    for place in (f"corpora/{name}", f"corpora/{name}.zip"):
        with contextlib.suppress(LookupError):
            nltk.data.find(place)
            return True
    return False


def missing_collections(corpora: str) -> tuple[str, ...]:
    """Names of NLTK's collections in the names of `corpora` that it knows and that are not on this machine."""
    parts = [part.strip().removeprefix("nltk:") for part in corpora.split(",") if part.strip().startswith("nltk:")]
    if not parts:
        return ()
    import nltk  # takes a while, and most pages do without

    found: dict[str, None] = {}
    for part in parts:
        for name in part.split("+"):
            reader = getattr(nltk.corpus, name, None) if _NAME.fullmatch(name) else None
            lazy = isinstance(reader, nltk.corpus.util.LazyCorpusLoader | nltk.corpus.CorpusReader)
            if lazy and not on_this_machine(name):
                found[name] = None
    return tuple(found)


def fetch(names: Sequence[str], progress: Progress | None = None) -> None:
    """Fetches those of NLTK's collections `names` that are not on this machine; waits for who is at it already.

    Raises:
        CorpusError: there is no network, or something was refused or damaged on its way; what came before stays.
    """
    wanted = [name for name in names if not on_this_machine(name)]
    if not wanted:
        return
    if not reachable(INDEX):
        raise _not_fetched(wanted, "there is no network to NLTK's collection")
    from nltk.downloader import Downloader

    try:
        folder = Path(Downloader().download_dir) / "corpora"  # the first of NLTK's places that can be written
        folder.mkdir(parents=True, exist_ok=True)
        with _one_at_a_time(folder):
            wanted = [name for name in wanted if not on_this_machine(name)]
            with _workshop() as workshop:
                downloader = Downloader(INDEX, str(workshop))
                sizes = [int(downloader.info(name).size) for name in wanted]
                for place, name in enumerate(wanted):

                    def say(share: float, done: int = sum(sizes[:place]), size: int = sizes[place]) -> None:
                        if progress:
                            progress((done + share * size) / max(1, sum(sizes)))

                    archive = _archive(downloader, name, workshop, say)
                    with whole_file(folder / f"{name}.zip") as draft:
                        shutil.copyfile(archive, draft)
    except CorpusError:
        raise
    except (OSError, ValueError, RuntimeError, SyntaxError) as error:  # SyntaxError: an index that is no XML
        raise _not_fetched(wanted, disk_reason(error)) from error
    if left := [name for name in wanted if not on_this_machine(name)]:
        raise _not_fetched(left, f"NLTK does not look in {folder.parent}, so name that folder in NLTK_DATA")


def _archive(downloader: Any, name: str, workshop: Path, say: Progress) -> Path:
    """The archive of the collection `name`, whole and checked, in `workshop`; `say` hears of its share, 0 to 1."""
    from nltk.downloader import ErrorMessage, FinishDownloadMessage, ProgressMessage

    told = downloader.incr_download(name, str(workshop))
    with contextlib.closing(told):  # without unpacking: an archive is one file, and appears as one
        for message in told:
            if isinstance(message, ErrorMessage):
                raise _not_fetched([name], last_line(ValueError(str(message.message))))
            if isinstance(message, ProgressMessage):
                say(min(1.0, max(0.0, (message.progress - 5) / 75)))  # it reports a download as 5 to 80
            if isinstance(message, FinishDownloadMessage):
                break
    archive = workshop / "corpora" / f"{name}.zip"
    if not archive.is_file():
        raise _not_fetched([name], "NLTK has no collection of texts by this name")
    return archive


def _not_fetched(names: Sequence[str], reason: str) -> CorpusError:
    reason = " ".join(reason.split()).rstrip(".")[:90]
    many = "corpus" if len(names) == 1 else "corpora"
    return CorpusError(f"The NLTK {many} {_listed(names)} could not be fetched: {reason}.")


def _listed(names: Sequence[str]) -> str:
    """Names for a sentence, of many the first."""
    return " and ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} more"


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Waits until no other thread or process fetches into `folder`; the system lets go when a holder ends."""
    lock = FileLock(writable_cache_folder("locks") / f"nltk-{digest(str(folder))[:16]}.lock")
    while not lock.is_locked:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=WAIT_S)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _workshop() -> Iterator[Path]:
    """An empty folder of nobody else's, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="heirloom-nltk-", ignore_cleanup_errors=True) as made:
        yield Path(made).resolve()


class Fetching(threading.Thread):
    """A `fetch` in the background, which every session may look at; `error` is empty where it went well."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(daemon=True, name=f"fetching {'+'.join(names)}")
        self.names = tuple(names)
        self.share, self.error = 0.0, ""
        self.began = time.monotonic()

    def run(self) -> None:
        """Fetches."""
        try:
            fetch(self.names, self._hear)
        except CorpusError as error:
            self.error = str(error)
        except Exception as error:  # a thread that dies silently would be waited for
            self.error = str(_not_fetched(self.names, last_line(error)))
            raise

    def _hear(self, share: float) -> None:
        self.share = max(self.share, share)

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the pace so far; None while nobody can tell."""
        if not EARLY < self.share < 1:
            return None
        return (time.monotonic() - self.began) * (1 - self.share) / self.share
