"""What a method asks of its teacher: no gradient, layer, look-up or projection that its loss does not need."""

import pytest
import torch

from engine.methods.registry import METHODS
from engine.model.saved_models import load_model
from engine.settings.device import pick_device
from engine.settings.options import parse_options
from engine.text.sentence_pairs import open_text
from engine.training.step import trainable
from tests.fixtures.builders import finish, new_run, teacher, tiny, tokenizer, wanted_of

pytestmark = pytest.mark.usefixtures("few_held_out")
ASKS = {  # of methods known by heart: (layers run as a whole, positions through the head: none, hidden words, all)
    "wid": (0, "none"),
    "scratch": (0, "none"),
    "soft_targets": (4, "hidden"),
    "distilbert": (4, "all"),
    "tinybert": (4, "none"),
    "minilm": (3, "none"),
    "minilmv2": (1, "none"),
    "albert": (4, "hidden"),
    "adapt": (4, "none"),
    **dict.fromkeys(("head_pruning", "ffn_pruning", "low_rank", "magnitude", "int8"), (0, "none")),
}
OPTIONS = {"minilmv2": {"teacher_layer": 2}, "albert": {"soft": 0.5, "pairs": "none"}}


@pytest.mark.parametrize("name", [name for name, kind in METHODS.items() if "task-agnostic" in kind.about.uses])
def test_a_teacher_computes_no_more_than_the_loss_needs(name) -> None:
    """Harm: distillation at twice the price: a teacher with gradients, run twice, or to its end for an early layer."""
    kind, guide = METHODS[name], teacher(layers=4, hidden=32, heads=4, ffn=64).requires_grad_(True)
    method = kind(parse_options(kind.Options, OPTIONS.get(name, {})), 30)
    batch = open_text("microworld", tokenizer(), 24, 200, method.task.pairs).batch(0, 6, 0)
    student = trainable(
        method.init_student(guide, method.student_shape(guide.shape, wanted_of(kind)), 0), pick_device("cpu")
    )
    looked_up, layers, said = [], [], []
    guide.embeddings.register_forward_hook(lambda *_: looked_up.append(1))
    for ffn in guide.ffns:
        ffn.register_forward_hook(lambda *_: layers.append(1))
    guide.head.register_forward_hook(lambda module, inputs, output: said.append(output.flatten(0, -2).shape[0]))
    sum(method.losses(student, guide, batch).values()).backward()
    assert all(parameter.grad is None for parameter in guide.parameters())
    if name not in ASKS:  # one pass at most; that its FLOPs are those that it tells is held for every method elsewhere
        assert (len(looked_up) <= 1, len(layers) <= 4, len(said) <= 1) == (True, True, True)
        return
    whole, positions = ASKS[name]
    assert len(looked_up) == (positions != "none" or whole > 0)
    assert len(layers) == whole
    assert said == {"none": [], "hidden": [len(batch.targets)], "all": [batch.ids.numel()]}[positions]


def test_what_is_looked_at_is_what_a_whole_pass_would_show() -> None:
    """Harm: a cheaper look at a layer that sees something else than the model computes."""
    guide = teacher(layers=3)
    batch = open_text("microworld", tokenizer(), 24, 200).batch(0, 6, 0)
    names = ("query", "key", "value", "scores")
    whole = {name: [] for name in names}
    with torch.no_grad():
        guide.encode(batch.ids, batch.visible, trace=whole)
        for layer in range(3):
            seen, some = {name: [] for name in names}, {name: [] for name in names}
            guide.trace_layer(batch.ids, batch.visible, layer, seen)
            guide.encode(batch.ids, batch.visible, trace=some, layers=(layer,))
            for name in names:
                for found in (seen, some):
                    (tensor,) = found[name]
                    torch.testing.assert_close(tensor, whole[name][layer], rtol=0, atol=1e-5)


def test_a_teaching_assistant_is_a_chain_of_two_runs(tmp_path) -> None:
    """Harm: MiniLM's assistant cannot be had, or nobody can tell whose child its student is."""
    assistant = new_run(tmp_path, tiny("minilm", steps=2))
    finish(tiny("minilm", steps=2), assistant)
    config = tiny("minilm", steps=2, teacher=f"run:{assistant.id}", student={"layers": 1, "hidden": 16, "heads": 4})
    run = new_run(tmp_path, config)
    finish(config, run)
    card = load_model(run.student_dir).card
    assert card["parent"] == assistant.id
    assert card["teacher_parameters"] == assistant.card()["parameters"]
    assert card["shape"]["hidden"] == 16
