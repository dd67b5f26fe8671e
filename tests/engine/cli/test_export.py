"""The verb export."""

from engine.__main__ import main


def test_export_is_loaded_by_the_library(finished, tmp_path) -> None:
    """Harm: the exported folder is a dead end: no library class loads it, or it computes something else."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from engine.model.saved_models import load_model

    runs, card, _ = finished
    folder = tmp_path / "exported"
    assert main(["export", card["id"], str(folder), "--runs", str(runs)]) == 0
    theirs, notes = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(notes.values()), notes
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer("The girl near the boats washes herself.")["input_ids"]])
    ours = load_model(runs / card["id"] / "student")
    torch.testing.assert_close(theirs.eval()(ids).logits, ours.bert(ids), atol=1e-5, rtol=0)
    assert sum(p.numel() for p in theirs.parameters()) >= card["parameters"]
    assert card["id"] in (folder / "README.md").read_text()
    assert main(["export", card["id"], str(folder), "--runs", str(runs)]) == 2  # never overwrites
