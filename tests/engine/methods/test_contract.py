"""The contract, over the registry: what every method promises to the loop, the form and the library."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from engine.methods.base import SHAPE_FIELDS, USES, Method, description
from engine.methods.kinds.calibrated import Calibrated, calibrated, calibration_batches, shape_after
from engine.methods.kinds.one_shot import OneShot
from engine.methods.registry import METHODS
from engine.model.bert import Bert
from engine.model.export import export_model
from engine.model.saved_models import Model, load_lineage, load_model, save_model
from engine.model.transformers_format import transformers_objections
from engine.settings.device import pick_device
from engine.settings.options import ConfigError, validation_errors
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape, ShapeError
from engine.text.corpora import TrainingData
from engine.text.masking import Masking
from tests.fixtures.builders import STEPS, masked_batch, returned, tokenizer, wanted_of

pytestmark = pytest.mark.usefixtures("few_held_out")
IN_A_HURRY = {  # a sixth of 16 dims is too few to learn anything in 30 steps
    "albert": {"embedding": 8, "lr": 1e-2},
    "pkd": {"lr": 3e-3, "teacher_epochs": 1},
}


def presets_of(kind):
    """(note, options) of every preset."""
    return [(kind.about.preset_notes[name], options) for name, options in kind.about.presets.items()]


@dataclasses.dataclass
class Taught:
    """A method with what came of 30 steps of it."""

    method: Method
    shape: Shape  # promised
    losses: list[float]
    student: Bert
    lineage: dict[str, torch.Tensor]
    data: TrainingData
    born: dict[str, float]  # scores
    grown: dict[str, float]

    @property
    def whole(self) -> torch.nn.Module:
        """The student with what was kept beside it."""
        return self.method.task.scored_model(self.student, self.lineage)


@pytest.fixture(scope="module", params=METHODS)
def taught(request, knowing):
    """30 steps of every method, by the loop's own verbs."""
    kind, cpu = METHODS[request.param], pick_device("cpu")
    method = kind(kind.Options(**IN_A_HURRY.get(request.param, {})), STEPS)
    data = method.task.open_data(method.task.corpus("auto", "microworld"), tokenizer(), 64, 200, Masking())
    shape = method.student_shape(knowing.shape, wanted_of(kind))
    before = {name: tensor.clone() for name, tensor in knowing.state_dict().items()}
    student = method.init_student(knowing, shape, seed=0).requires_grad_(True)
    guide = returned(method.task.fit_teacher(knowing, data, 0, cpu))
    student = calibrated(method, student, (data.batch(look, 16, 0) for look in range(calibration_batches(method))))
    shape = shape_after(method, student, shape)
    born = method.task.score(student, data, cpu)
    optimizer, losses = method.optimizer(student), []
    for step in range(1, STEPS + 1):
        terms = method.losses(student, guide, data.batch(step - 1, 16, 0))
        optimizer.zero_grad()
        sum(terms.values()).backward()
        assert all(p.grad is not None for p in student.parameters())  # or DistributedDataParallel waits for ever
        assert not any(p.grad is not None for p in guide.parameters())
        numbers = method.after_backward(student, optimizer, step)
        assert all(isinstance(value, float) for value in numbers.values())
        optimizer.step()
        assert all(term.ndim == 0 and term.isfinite() for term in terms.values())
        losses.append(float(sum(terms.values()).detach()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in knowing.state_dict().items())
    bert = method.finish(student)
    lineage = method.lineage(student)
    grown = method.task.score(method.task.scored_model(bert, lineage), data, cpu)
    return Taught(method, shape, losses, bert, lineage, data, born, grown)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_explains_itself(name):
    """Harm: a choice on the build page that nobody can make, for it says nothing."""
    kind = METHODS[name]
    assert kind.about.name == name
    assert kind.about.label
    assert len(description(kind)) > 80
    assert not description(kind).startswith(" ")
    assert validation_errors(kind.Options()) == []
    assert set(kind.about.uses) <= set(USES)
    assert kind.about.formula.count("{") == kind.about.formula.count("}")
    assert all(note and options.keys() <= vars(kind.Options()).keys() for note, options in presets_of(kind))
    assert kind.Options.__doc__


def test_a_finished_student_is_a_plain_bert_of_the_promised_shape_and_count(taught, knowing):
    """Harm: the count on the build page, the curve and the saved model are of three different students."""
    method, shape = taught.method, taught.shape
    assert type(taught.student) is Bert
    assert taught.student.shape == shape
    said = method.student_shape(knowing.shape, wanted_of(type(method)))
    assert parameters(said) == parameters(shape) == sum(p.numel() for p in taught.student.parameters())
    assert said == shape or (isinstance(method, Calibrated) and method.corpus_decides_shape)
    if not isinstance(method, OneShot):
        promised = {"hidden": 32, "heads": 4, "ffn": 64, "layers": 2} | wanted_of(type(method))
        assert {name: getattr(shape, name) for name in promised} == promised


def test_its_loss_falls_and_its_score_rises(taught):
    """Harm: a method that runs to the end and teaches nothing. Three exceptions start as, or of, their teacher."""
    assert set(taught.grown) == set(taught.born) >= {"accuracy", "loss"}
    first, last = np.mean(taught.losses[:5]), np.mean(taught.losses[-5:])
    if taught.method.about.name == "wid":  # it loses width meanwhile, and is better again at the end
        assert last < max(taught.losses) - 0.1
        assert taught.grown["loss"] < np.log(taught.shape.vocab)
        return
    if isinstance(taught.method, OneShot):  # it starts as what a compression leaves of its teacher, and steps heal it
        assert taught.grown["loss"] < taught.born["loss"]
        assert last < first + 0.05
        return
    assert taught.grown["loss"] < taught.born["loss"]
    assert last < first - (min(0.1, first / 10) if taught.method.about.name not in ("distilbert", "adapt") else 0.0)


def test_a_finished_student_is_read_by_the_library(taught, tmp_path):
    """Harm: a student that lives in this app only, or an export that knows its task's answers no more."""
    student, folder = taught.student.eval(), tmp_path / "out"
    assert isinstance(taught.method, OneShot) or not transformers_objections(student.shape)
    card = {"classes": list(taught.method.task.classes)}
    export_model(Model(student, tokenizer(), card), folder, taught.lineage)
    auto = AutoModelForMaskedLM if student.shape.mlm_head else AutoModelForSequenceClassification
    assert auto.__name__ in (folder / "README.md").read_text()
    theirs = auto.from_pretrained(folder, local_files_only=True).eval()
    batch = masked_batch()
    types = torch.zeros_like(batch.ids)
    with torch.no_grad():
        found = theirs(input_ids=batch.ids, attention_mask=batch.visible.long()).logits
        ours = taught.whole(batch.ids, batch.visible, types if student.shape.token_types else None)
    if student.shape.mlm_head:
        found, ours = found[batch.visible], ours[batch.visible]
    near = (
        0.2 if student.shape.compressions else 1e-5
    )  # int8 weights are exported as floats, and their inputs not rounded
    torch.testing.assert_close(found, ours, rtol=0, atol=near)
    if taught.method.task.classes:
        assert (
            tuple(theirs.config.id2label[i] for i in range(len(taught.method.task.classes)))
            == taught.method.task.classes
        )


def test_what_is_saved_scores_what_the_card_says(taught, tmp_path):
    """Harm: a number on the card that the student which was saved does not reach."""
    save_model(tmp_path / "saved", taught.student, tokenizer(), {}, taught.lineage)
    again = taught.method.task.scored_model(load_model(tmp_path / "saved").bert, load_lineage(tmp_path / "saved"))
    assert taught.method.task.score(again, taught.data, pick_device("cpu")) == taught.grown


@pytest.mark.parametrize("name", METHODS)
def test_parts_of_a_batch_add_up(name, knowing):
    """Harm: micro-batches or two processes minimise another loss than one process with the whole batch."""
    kind = METHODS[name]
    method = kind(kind.Options(), STEPS)
    data = method.task.open_data("microworld", tokenizer(), 64, 100, Masking())
    student = method.init_student(knowing, method.student_shape(knowing.shape, wanted_of(kind)), 0)
    guide, batch = returned(method.task.fit_teacher(knowing, data, 0, pick_device("cpu"))), data.batch(0, 6, 0)
    with torch.no_grad():
        whole = method.losses(student, guide, batch)
        shares = [len(part.targets) / len(batch.targets) for part in batch.split(3)]
        parts = [method.losses(student, guide, part) for part in batch.split(3)]
    assert {name for part in parts for name in part} == set(whole)
    for term, value in whole.items():
        added = sum(share * part[term] for share, part in zip(shares, parts, strict=True))
        torch.testing.assert_close(added, value, rtol=1e-4, atol=1e-5, msg=term)


@pytest.mark.parametrize("name", METHODS)
def test_the_student_follows_its_seed(name, knowing):
    """Harm: two runs with one seed that differ before their first step."""
    kind = METHODS[name]
    method = kind(kind.Options(), STEPS)
    shape = method.student_shape(knowing.shape, wanted_of(kind))
    one, two = (dict(method.init_student(knowing, shape, seed=3).named_parameters()) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one | two)


@pytest.mark.parametrize("name", METHODS)
def test_what_cannot_be_chosen_or_built_is_refused(name):
    """Harm: a student whose vocabulary was "chosen", or a word where a width belongs, deep in a matrix product."""
    kind = METHODS[name]
    method, big = kind(kind.Options(), STEPS), Shape(layers=2, hidden=16, heads=4)
    with pytest.raises(ConfigError, match="vocab") as caught:
        method.student_shape(big, {"vocab": 5})
    assert all(field in str(caught.value) for field in SHAPE_FIELDS)
    for wanted in ({"hidden": "16"}, {"heads": 3}, {"layers": 0}, {"hidden": True}, {"ffn": 2.5}):
        with pytest.raises(ShapeError):
            method.student_shape(big, wanted)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, (16, 4, 4, 24)),
        ({"hidden": 8}, (8, 4, 2, 32)),  # the usual four times, when the width is chosen and the FFN is not
        ({"hidden": 16}, (16, 4, 4, 24)),
        ({"hidden": 8, "ffn": 20, "heads": None}, (8, 4, 2, 20)),
        ({"heads": 2}, (16, 2, 8, 24)),
        ({"heads": 2, "head_dim": 3}, (16, 2, 3, 24)),
    ],
)
def test_what_is_not_chosen_follows_from_the_teacher(wanted, expected):
    """Harm: choosing a width silently changes something else than the page shows."""
    scratch = METHODS["scratch"]
    big = Shape(layers=2, hidden=16, heads=4, ffn=24, pooler=True, pair_head=True, mlm_head=False)
    shape = scratch(scratch.Options(), 1).student_shape(big, wanted)
    assert (shape.hidden, shape.heads, shape.head_dim, shape.ffn) == expected
    assert (shape.pooler, shape.pair_head, shape.mlm_head) == (False, False, True)
