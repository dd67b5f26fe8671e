"""The calculator's bench: every answer that has a bar is timed. The bars are no test; they are in log/size.md."""

from engine.benches import size as bench_size


def test_every_answer_is_timed() -> None:
    """Harm: a bar that nobody measures."""
    found = bench_size.bench_size(repeats=1)
    assert set(found["answers"]) == set(bench_size.WANTED)
    for times in found["answers"].values():
        assert 0 < times["median"] <= times["worst"] < 60
    table = bench_size.table(found)
    assert all(name in table for name in bench_size.WANTED)
