"""Ancestry on the examine page. Run without a browser."""

from tests.fixtures.page_reading import tabled, told


def test_ancestry_is_told_for_who_inherited(opened) -> None:
    """Harm: a student of half the depth and half the heads, the hardest case, breaks the tab or maps layers wrongly."""
    page = opened("Ancestry")
    assert "its layers come: 1 from 1, 2 from 4" in told(page)
    assert "Nobody's chief ancestor in this layer" in told(page)
    assert "Rank correlation: " in told(page)
    assert "of 4" in told(page)  # two heads in each of two layers
    assert "layer 2, head 1" in tabled(page)
    for what, says in (("Residual dims", "128 dims of the teacher"), ("FFN neurons", "512 neurons"), ("Survivors", "")):
        page.segmented_control(key="ancestry_of").set_value(what).run()
        assert not page.exception
        assert says in told(page)
    assert "the teacher's heads that stayed" in tabled(page)
