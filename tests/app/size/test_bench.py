"""The size page's bench: the calculator's answers and a moved slider are timed. Times are no test."""

from app.size.bench import SLIDER, bench_size_page
from engine.benches.size import WANTED, as_text


def test_the_page_is_timed_beside_the_answers() -> None:
    """Harm: a bar that nobody measures; a page whose slider has another name, so that nothing is moved."""
    found = bench_size_page(repeats=1)
    assert set(found["answers"]) == {*WANTED, SLIDER}
    for times in found["answers"].values():
        assert 0 < times["median"] <= times["worst"] < 60
    assert SLIDER in as_text(found)
