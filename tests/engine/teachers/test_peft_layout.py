"""An adapter in PEFT's layout: PEFT itself loads it and computes what the student does."""

import json
import warnings

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from engine.methods.adapt import Adapt, AdaptOptions
from engine.model.bert import Bert
from engine.model.export import export_model
from engine.model.pruning import convert
from engine.model.saved_models import Model
from engine.sizing.shape import Shape
from engine.teachers.adapter import AdapterError, adapter_tensors
from engine.teachers.peft_layout import WEIGHTS, write_peft
from tests.fixtures.builders import masked_batch, randomise, teacher, tokenizer

HEADLESS = {"mlm_head": False}
ALBERT = {"family": "albert", "sharing": "all", "embedding": 8}


def adapted(changes, **options):
    """(the original, the student, the method's lineage), as if it had learned something."""
    original = randomise(Bert(teacher().shape.replace(**changes)), seed=3)
    method = Adapt(AdaptOptions(**options), 1)
    student = method.init_student(original, method.student_shape(original.shape, {}), seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return original, method.finish(student), method.lineage(student)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {"rank": 3, "attention": True}),
        ({"layers": 12}, {"rank": 3, "word_rank": 2}),
        ({}, {"rank": 99, "word_rank": 99}),
        ({"pooler": True, **HEADLESS}, {"rank": 3}),
        ({"token_types": 0, **HEADLESS}, {"rank": 3, "word_rank": 2}),
        (ALBERT, {"rank": 3, "word_rank": 2, "attention": True}),
        ({**ALBERT, "groups": 2, **HEADLESS}, {"rank": 3}),
        ({"tied": False, **HEADLESS}, {"rank": 3, "word_rank": 2}),
    ],
)
def test_peft_computes_what_the_student_does(changes, options, tmp_path):
    """Harm: an adapter that loads, scaled otherwise, beside other matrices, or with a random head."""
    original, student, lineage = adapted(changes, **options)
    export_model(Model(original, tokenizer(), {}), tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    note = write_peft(tmp_path / "adapter", original, student, adapter_tensors(lineage), "me/base")
    base = AutoModelForMaskedLM.from_pretrained(tmp_path / "base", local_files_only=True)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    assert not [it for it in said if "keys" in str(it.message)]  # missing in the file, or with no place in the model
    told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert set(told) <= set(peft.LoraConfig().to_dict())
    assert peft.PeftConfig.from_pretrained(tmp_path / "adapter").base_model_name_or_path == "me/base"
    places = {name.removeprefix("base_model.model.") for name, _ in model.named_modules()}
    assert set(told["target_modules"]) | set(told["modules_to_save"]) <= places
    file = load_file(tmp_path / "adapter" / WEIGHTS)
    known = model.state_dict()
    for name in file:
        owner, _, last = name.rpartition(".")
        names = (name, f"{name}.default", f"{owner}.default.{last}", f"{owner}.modules_to_save.default.{last}")
        assert any(each in known for each in names), name  # PEFT passes over what it does not know
    one = masked_batch()
    with torch.no_grad():
        found = model(input_ids=one.ids, attention_mask=one.visible.long()).logits
        wanted = student(one.ids, one.visible)
        torch.testing.assert_close(found[one.visible], wanted[one.visible], rtol=0, atol=1e-5)
        if not note:
            merged = model.merge_and_unload()(input_ids=one.ids, attention_mask=one.visible.long()).logits
            torch.testing.assert_close(merged[one.visible], wanted[one.visible], rtol=0, atol=1e-5)
    assert bool(note) == (bool(options.get("word_rank")) and original.shape.tied)


@pytest.mark.parametrize("changes", [{"head_dim": 3}, {"sharing": "all"}, {"linear_bits": 8}])
def test_what_peft_has_no_place_for_is_refused(changes, tmp_path):
    """Harm: an adapter for a base that nobody can load."""
    _, student, lineage = adapted({}, rank=2)
    shape = Shape(**{**vars(teacher().shape), "head_dim": 4, **changes})
    original = convert(teacher(), shape) if "linear_bits" in changes else Bert(shape)
    with pytest.raises(AdapterError, match=r"without --peft") as caught:
        write_peft(tmp_path, original, student, adapter_tensors(lineage), "")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
