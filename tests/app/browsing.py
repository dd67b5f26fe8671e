"""What every browser test looks at and waits for, and the account of a page on which one failed."""

import re
from pathlib import Path

from playwright.sync_api import Error, Page

PATIENCE = 90_000  # milliseconds that a busy machine may take for what a test waits for
LONGEST = 1_800  # letters of a page in an account
MOST_LINES = 8  # of the server's log


def main(page: Page):
    """The page's own content, without Streamlit's toolbar."""
    return page.get_by_test_id("stMain")


def settled(page: Page) -> None:
    """Waits until the app has answered everything that it was asked, so that nothing is redrawn under a click."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def no_sideways_scroll(page: Page) -> bool:
    """Whether everything lies within the screen's width."""
    return page.evaluate("""() =>
        [document.documentElement, document.querySelector('[data-testid=stMain]')]
            .every(part => part.scrollWidth <= window.innerWidth)
    """)


def account(page: Page, picture: Path, log: str = "") -> str:
    """Where a page stands, in fewer than 3,000 letters: link, state, what can be read, the end of the server's `log`.

    A screenshot is left at `picture`. A page that does not answer is said to be so.
    """
    told = [page.url[:300]]
    try:
        page.screenshot(path=picture, timeout=10_000)
        told.append(f"screenshot: {picture}"[:200])
        app = page.locator("[data-testid=stApp]").first
        told.append(str(app.evaluate("it => JSON.stringify(it.dataset)", timeout=5_000))[:200])
        told.append(re.sub(r"\s*\n\s*", " | ", page.inner_text("body", timeout=5_000)).strip()[:LONGEST])
    except Error as error:
        told.append(f"It does not answer: {error.message[:200]}")
    told += [line[:60] for line in log.splitlines()[-MOST_LINES:]]
    return "\n".join(told)
