"""The calculator's bench: every answer that has a bar is timed. The bars are no test; they are in log/size.md."""

from engine.benches.size import WANTED, as_text, bench_size


def test_every_answer_is_timed() -> None:
    """Harm: a bar that nobody measures."""
    found = bench_size(repeats=1)
    assert set(found["answers"]) == set(WANTED)
    for times in found["answers"].values():
        assert 0 < times["median"] <= times["worst"] < 60
    text = as_text(found)
    assert all(name in text for name in WANTED)
