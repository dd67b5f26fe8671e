"""Why a run failed, in one sentence for a person: what is said of a full disk or memory, and of any other error.

Knows the words of torch and of other libraries, and loads none of them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from textwrap import shorten

from engine.storage.disk_space import free_bytes, full_reason
from engine.storage.runs import Run, RunError

MEMORY_WORDS = re.compile(r"out of memory|can't allocate memory|cannot allocate memory|ALLOC_FAILED", re.IGNORECASE)
GONE = re.compile("Connection (closed|reset) by peer")  # gloo's words


class OutOfMemoryFailure(RunError):
    """A run that needs more memory than there is, in one sentence with what to do."""

    def __init__(self, run: Run) -> None:
        config = run.config()
        self.batch, self.parts = (int(config.get(name) or 1) for name in ("batch", "accumulate"))
        step = max((event["step"] for event in run.events()[0] if event["kind"] == "step"), default=0)
        more = min(2 * self.parts, self.batch)
        super().__init__(
            f"Out of memory after step {step:,} with batches of {self.batch:,} in {self.parts:,} "
            f"part{'s' * (self.parts > 1)}: close what else uses the memory and resume, or "
            + (
                f"resume with smaller parts: python -m engine train --resume {run.id} --accumulate {more}"
                if more > self.parts
                else "start again with shorter rows or a smaller student."
            )
        )


def as_mendable(run: Run, error: Exception) -> Exception | None:
    """`error` as what a person can mend, if it is about a full disk or memory, whichever library met it; else None."""
    if isinstance(error, OutOfMemoryFailure):
        return error
    words = isinstance(error, RuntimeError) and MEMORY_WORDS.search(str(error))
    if isinstance(error, MemoryError) or words:  # torch.OutOfMemoryError is a RuntimeError
        return OutOfMemoryFailure(run)
    told = isinstance(error, ValueError) and not isinstance(error, RunError)  # by who met it, with what it needed
    reason = None if told else full_reason(error)
    if reason is None:
        return None
    room = ""
    with suppress(OSError):
        room = f", {free_bytes(run.path):,} bytes are free"
    return RunError(f"The disk is full ({reason}{room}); free some space and resume run '{run.id}'.")


def failure_sentence(error: Exception, who: str) -> str:
    """What to tell a person. Our own errors are written for one; others come with their name and a pointer."""
    if isinstance(error, RuntimeError) and GONE.search(str(error)):
        return "Another process of this run ended without a word: killed, or out of memory? (details in log.txt)"
    text = shorten(str(error), 400, placeholder=" …")
    if isinstance(error, ValueError):
        return who + (text or type(error).__name__)
    return f"{who}{type(error).__name__}: {text} (details in log.txt)"
