"""WID as the authors' release does it: rule, ranking, penalty."""

import pytest
import torch

from engine.methods.wid import Wid, WidOptions
from engine.settings.options import ConfigError, parse_options
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.lesson import RELEASE, Lesson, logits


@pytest.mark.parametrize("strategy", ["dim", "head"])
def test_the_release_s_choices_end_in_the_promised_shape_too(strategy):
    """Harm: a penalty that never brings anything to zero, so that the paper's preset ends as wide as its teacher."""
    wanted = {"hidden": 8, "heads": 4 if strategy == "dim" else 2, "ffn": 12}
    lesson = Lesson({}, wanted, {**RELEASE, "strategy": strategy}, steps=140).run()
    assert {group.open_count for group in lesson.heir.groups.values()} == {8, 12}
    assert not any(group.closing.any() for group in lesson.heir.groups.values())  # and all of it before the end
    masked = logits(lesson.heir)
    student = lesson.method.finish(lesson.heir)
    assert student.shape == lesson.shape
    torch.testing.assert_close(logits(student), masked, rtol=0, atol=1e-4)


@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_penalised_vectors_move_as_adam_by_hand_would_move_them(penalty):
    """Harm: a "release" that decays at another speed, or lets the task's gradient through."""
    lesson = Lesson({}, {"hidden": 8, "ffn": 12}, {**RELEASE, "penalty": penalty, "compactor_decay": 0.01}, steps=200)
    while not any(group.closing.any() for group in lesson.heir.groups.values()):
        lesson.step()
    lesson.step()
    group = lesson.heir.groups["residual"]
    member = next(m for m in group.members if m.owner is lesson.heir.compactor("ffns.0.up"))
    places = group.closing.nonzero().squeeze(1)
    parameter, state = member.parameter, lesson.optimizer.state[member.parameter]
    theta = parameter.detach()[:, places].double().clone()
    kept = (~group.closing).nonzero().squeeze(1)
    first, second = (state[name].double().clone() for name in ("exp_avg", "exp_avg_sq"))
    count = lesson.done + 1
    assert count % lesson.interval  # no cut in this step
    lesson.step()
    blended = 0.9 * first + (0.1 * (penalty - 1) * _on(places, theta, first) if penalty > 1 else 0)
    blended = blended if penalty > 1 else first
    gradient = min(penalty, 1.0) * theta
    now = 0.9 * blended[:, places] + 0.1 * gradient
    square = 0.999 * second[:, places] + 0.001 * gradient**2
    step = now / (1 - 0.9**count) / ((square / (1 - 0.999**count)).sqrt() + 1e-8)
    expected = theta * (1 - 0.01 * 0.01) - 0.01 * step
    torch.testing.assert_close(parameter.detach()[:, places].double(), expected, rtol=1e-4, atol=1e-6)
    moved = lesson.optimizer.state[parameter]["exp_avg"][:, kept].double()
    task = parameter.grad[:, kept].double()
    torch.testing.assert_close(moved, 0.9 * blended[:, kept] + 0.1 * task, rtol=1e-4, atol=1e-7)


def _on(places, values, like):
    """`values` in the columns `places` of a matrix of zeros as large as `like`."""
    full = torch.zeros_like(like)
    full[:, places] = values
    return full


def test_the_reference_ranking_asks_one_compactor_only():
    """Harm: masks that cannot be compared with the release's."""
    lesson = Lesson({}, {"hidden": 8, "ffn": 12}, {"ranking": "reference"})
    references = {
        "residual": "attentions.0.value",
        "attention 1": "attentions.1.output",
        "ffn 0": "ffns.0.down",
        "transform": "decoder",
    }
    for name, linear in references.items():
        matrix = lesson.heir.compactor(linear).row
        with torch.no_grad():
            matrix.mul_(torch.rand(matrix.shape[1]) + 0.5)
        found = lesson.heir.groups[name].vector_norms("reference")
        torch.testing.assert_close(found, matrix.detach().square().sum(0).sqrt())


def test_the_paper_s_preset_is_the_release_s_command_line():
    """Harm: "paper" on the button, something else in the run. Figures: README of the authors' release."""
    options = parse_options(WidOptions, Wid.about.presets["paper"])
    assert (options.interval, options.penalty, options.lr, options.compactor_lr) == (500, 20.0, 1e-6, 5e-5)
    assert (options.rule, options.ranking, options.closing) == ("release", "reference", "penalty")
    assert options.compactor_decay == 0.01
    assert WidOptions(**Wid.about.presets["quick"]) == WidOptions()
    closing_ends = Wid(options, 400_000).plan(Shape(), Shape()).interval * 17
    assert closing_ends / 400_000 == pytest.approx(0.02, abs=0.002)  # "everything in about 2% of the run"


@pytest.mark.parametrize(
    ("options", "steps", "words"),
    [
        ({"interval": 500}, 400, ["8,500 steps", "at most 23"]),
        ({**Wid.about.presets["paper"]}, 5000, ["later than the run's 5,000", "at least"]),
        ({"rule": "release", "closed_by": 1.0}, 10, ["at least 17 steps", "got 10"]),
        (
            {"layers_from": "listed", "layer_list": "1, 9"},
            100,
            ["rising numbers between 1 and 2", "'1, 9'", "write 1, 2"],
        ),
        ({"layers_from": "listed", "layer_list": "two"}, 100, ["rising numbers between 1 and 2"]),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused_with_the_nearest_that_does(options, steps, words):
    """Harm: a run that ends while dims still close, or a person who must guess what would work."""
    method = Wid(parse_options(WidOptions, options), steps)
    with pytest.raises(ShapeError) as caught:
        method.student_shape(Shape(layers=2, hidden=128, heads=4), {"hidden": 64, "heads": 4})
    assert len(caught.value.problems) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("value", [0, -3, float("nan"), "much"])
def test_a_penalty_must_be_positive(value):
    """Harm: lambda 0 closes nothing, a negative one drives vectors away from zero for ever."""
    with pytest.raises(ConfigError, match="penalty must be"):
        parse_options(WidOptions, {"penalty": value})
