"""The table of what was measured, as text."""

from app.watch.before_after import comparison_rows, describe_change, format_bytes

CARD = {
    "parameters": 845_779,
    "teacher_parameters": 845_779,
    "scores": {"teacher_masked_accuracy": 0.687, "masked_accuracy": 0.65},
    "measured": {
        "teacher": {"bytes": 3_389_556, "latency_ms": 60.04, "zeros": 0.0, "compressed_bytes": 3_143_567},
        "student": {"bytes": 3_389_556, "latency_ms": 72.0, "zeros": 0.5, "compressed_bytes": 1_909_596},
    },
}


def test_what_was_measured_is_told_before_and_after():
    """Harm: a compression that saved nothing is drawn as a success, or the other way round."""
    found = {line[0]: line[1:] for line in comparison_rows(CARD)}
    assert found == {
        "Masked accuracy": ("68.7%", "65.0%", "\N{MINUS SIGN}3.7 points"),
        "Parameters": ("845,779", "845,779", "the same"),
        "On disk": ("3.39 MB", "3.39 MB", "the same"),
        "Forward pass": ("60.0 ms", "72.0 ms", "1.20× slower"),
        "On disk, compressed (zlib)": ("3.14 MB", "1.91 MB", "1.65× smaller"),
        "Zeros in the layers' matrices": ("0.0%", "50.0%", ""),
    }


def test_zeros_are_not_mentioned_where_there_are_none():
    """Harm: two rows that say nothing on every run."""
    measured = {role: {"bytes": 900, "latency_ms": 2.0, "zeros": 0.0} for role in ("teacher", "student")}
    assert [line[0] for line in comparison_rows({**CARD, "measured": measured})][-1] == "Forward pass"


def test_a_change_too_small_to_show_is_none():
    """Harm: an accuracy that changed by "-0.0 points"."""
    scores = {"teacher_masked_accuracy": 0.6870, "masked_accuracy": 0.6866}
    assert comparison_rows({**CARD, "scores": scores})[0] == ("Masked accuracy", "68.7%", "68.7%", "the same")


def test_what_learned_a_task_is_told_by_that_task():
    """Harm: the page of a student that learned a task ends in an error below its tiles."""
    measure = {"name": "grammar", "title": "Accuracy on grammar", "of": "sentences", "question": "sentence"}
    scores = {"teacher_grammar_accuracy": 0.904, "grammar_accuracy": 0.502}
    first = comparison_rows({**CARD, "measure": measure, "scores": scores})[0]
    assert first == ("Accuracy on grammar", "90.4%", "50.2%", "\N{MINUS SIGN}40.2 points")


def test_amounts_read_well():
    """Harm: 0.00 MB, a division by zero, or a change of a thousandth that is called one."""
    assert [format_bytes(n) for n in (0, 999, 1000, 921_816, 3_389_556)] == [
        "0 B",
        "999 B",
        "1.00 kB",
        "922 kB",
        "3.39 MB",
    ]
    assert [describe_change(*pair) for pair in ((10, 0), (0, 10), (1000, 999), (10, 5), (5, 10))] == [
        *("", "", "the same"),
        *("2.00× smaller", "2.00× larger"),
    ]
