"""What WID adds, against the heir that really trains; widths and strategies, against the method itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.benches.wid_variants import close_all
from engine.compactors.cut_schedule import CutSizes
from engine.compactors.heir import Heir
from engine.methods.wid import Wid, WidOptions
from engine.model.bert import new_bert
from engine.sizing.cost import compactor_parameters, parameters
from engine.sizing.footprint import TrainingBatch
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.wid_cost import heir_costs, nearest_widths, wid_objections, wid_student

TEACHER = Shape(layers=3, hidden=48, heads=4, vocab=97, positions=32)
STUDENTS = [wid_student(TEACHER, 24), wid_student(TEACHER, 36, "head"), wid_student(TEACHER, 12).replace(layers=2)]


@pytest.mark.parametrize("student", STUDENTS, ids=str)
@pytest.mark.parametrize("tied", [True, False])
def test_an_heir_has_these_parameters_and_does_this_work(student: Shape, tied: bool) -> None:
    """Harm: the memory of a WID run is promised at the size of its student."""
    teacher, batch = TEACHER.replace(tied=tied), TrainingBatch(4, 20)
    heir = Heir(new_bert(teacher.replace(layers=student.layers), seed=0))
    opened, closed = heir_costs(teacher, student, batch)
    for cost in (opened, closed):
        inherited = sum(parameter.numel() for parameter in heir.inherited.parameters())
        compactors = sum(parameter.numel() for parameter in heir.compactors.parameters())
        assert (cost.inherited, cost.compactors) == (inherited, compactors)
        assert cost.parameters == inherited + compactors
        assert cost.multiply_adds == heir.multiply_adds(4 * 20, 20, batch.predicted)
        strategy = "dim" if student.heads == teacher.heads else "head"
        close_all(heir, CutSizes(heir.teacher_shape, student, strategy), None)


def test_compactors_of_bert_base_are_those_of_the_paper() -> None:
    """Harm: the 299.6 million of FACTS are another number here."""
    opened, closed = heir_costs(Shape(), wid_student(Shape(), 192), TrainingBatch())
    assert opened.compactors == compactor_parameters(Shape()) == 299_630_592
    assert opened.inherited == parameters(Shape())
    assert closed.compactors < opened.compactors / 3
    assert closed.multiply_adds < opened.multiply_adds


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["dim", "head"]), st.integers(1, 60))
def test_a_width_gives_the_shape_that_the_method_makes(strategy: str, width: int) -> None:
    """Harm: the calculator promises a student that the method refuses, or makes otherwise."""
    method = Wid(WidOptions(strategy=strategy), steps=1000)
    if width > TEACHER.hidden or (width % TEACHER.heads if strategy == "dim" else width < TEACHER.head_dim):
        with pytest.raises(ShapeError, match=str(width)):
            wid_student(TEACHER, width, strategy)
        heads = TEACHER.heads if strategy == "dim" else max(1, width // TEACHER.head_dim)
        if width > TEACHER.hidden or strategy == "dim":
            with pytest.raises(ShapeError):
                method.student_shape(TEACHER, {"hidden": width, "heads": heads})
        return
    shape = wid_student(TEACHER, width, strategy)
    assert shape == method.student_shape(TEACHER, {"hidden": width, "heads": shape.heads})


def test_the_papers_students() -> None:
    """Harm: WID55 and WID11 come out with other heads than in the paper."""
    dim, head = wid_student(Shape(), 516), wid_student(Shape(), 512, "head")
    assert (dim.heads, dim.head_dim, dim.ffn) == (12, 43, 2064)
    assert (head.heads, head.head_dim, head.ffn) == (8, 64, 2048)
    assert [(wid_student(Shape(), 192, s).heads, wid_student(Shape(), 192, s).head_dim) for s in ("dim", "head")] == [
        (12, 16),
        (3, 64),
    ]


def test_a_width_that_does_not_divide_is_met_with_the_nearest() -> None:
    """Harm: 500 is refused, and nobody says that 504 would do."""
    with pytest.raises(ShapeError, match="504 and 492"):
        wid_student(Shape(), 500)
    assert nearest_widths(Shape(), 500) == [504, 492]
    for width in nearest_widths(Shape(), 500):
        assert wid_student(Shape(), width).hidden == width
    for width, strategy in ((10**12, "dim"), (0, "head"), (50, "head"), (-5, "dim")):
        with pytest.raises(ShapeError):
            wid_student(Shape(), width, strategy)


def test_who_cannot_inherit_is_told_why() -> None:
    """Harm: compactors are counted for a pair that no run could have."""
    albert = Shape(family="albert", embedding=128, sharing="all")
    assert "unshared" in wid_objections(albert)[0]
    assert any("vocab" in reason for reason in wid_objections(Shape(), Shape(hidden=384, vocab=100)))
    assert any("layers" in reason for reason in wid_objections(Shape(layers=2), Shape()))
    assert wid_objections(Shape(), wid_student(Shape(), 516)) == []
    with pytest.raises(ShapeError):
        heir_costs(albert, albert, TrainingBatch())
