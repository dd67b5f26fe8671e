"""What heads do, on the examine page. Run without a browser."""

from tests.fixtures.page_reading import tabled


def test_heads_and_their_relations(opened) -> None:
    """Harm: a relation is missing for one of the two, or its null."""
    page = opened("What heads do")
    tables = tabled(page)
    for relation in ("agreement", "reflexive", "pronoun", "determiner", "order"):
        assert tables.count(f">{relation}<") == 2
    page.segmented_control(key="heads_of").set_value("Positions").run()
    assert not page.exception
    assert "separator: [SEP]" in tabled(page)
