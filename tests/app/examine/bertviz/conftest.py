"""A browser that shows one document."""

import pytest


@pytest.fixture
def show(browser, tmp_path):
    """Open a document from a file, and hold afterwards that it asked for nothing and complained of nothing."""
    page = browser.new_page(viewport={"width": 500, "height": 500})
    page.set_default_timeout(180_000)
    complaints, requests = [], []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    file = tmp_path / "view.html"

    def open_document(document: str):
        file.write_text(document, encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector("#vis svg line", state="attached")
        return page

    yield open_document
    page.close()
    assert complaints == []
    assert requests == [file.as_uri()]
