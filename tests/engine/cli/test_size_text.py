"""What the verb size says to people."""

from engine.__main__ import main


def test_everything_is_said_to_people_too(capsys) -> None:
    """Harm: an answer that only --json gives."""
    wanted = ["--tensors", "--formula", "--cost", "--device", "t4", "--sweep", "pooler"]
    wanted += ["--budget", "30MB", "--of", "bytes"]
    assert main(["size", "--preset", "albert-base", *wanted]) == 0
    said = capsys.readouterr().out
    for words in ("word embedding table", "G(4H^2 + 4H)", "FLOP", "NVIDIA T4", "widest at each", "paper says 12M"):
        assert words in said
