import pytest
import torch

from engine.methods.wid import Wid, WidOptions
from engine.settings.options import ConfigError, parse_options
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.lesson import Lesson, logits


def test_the_student_ends_in_exactly_the_promised_shape(lesson):
    """Harm: a parameter count promised on the build page and missed by the run."""
    born = logits(lesson.heir)
    lesson.run()
    assert not any(group.closing.any() for group in lesson.heir.groups.values())
    masked = logits(lesson.heir)
    student = lesson.method.finish(lesson.heir)
    assert student.shape == lesson.shape
    torch.testing.assert_close(logits(student), masked, rtol=0, atol=1e-4)
    assert (masked - born).abs().max() > 0.1  # it has been through something


def test_stopped_at_any_step_the_student_is_what_was_running(lesson):
    """Harm: a run stopped half-way ends in a crash, or in a student whose shape is a lie."""
    for _ in range(lesson.interval * 3):  # two groups of dims are gone, a third was just chosen
        lesson.step()
    promised = lesson.heir.folded_shape()
    student = lesson.method.finish(lesson.heir)
    assert student.shape == promised
    for ours, low, high in zip(
        (promised.hidden, promised.inner, promised.ffn),
        (lesson.shape.hidden, lesson.shape.inner, lesson.shape.ffn),
        (lesson.bert.shape.hidden, lesson.bert.shape.inner, lesson.bert.shape.ffn),
        strict=True,
    ):
        assert low <= ours <= high
    assert logits(student).isfinite().all()


def test_kept_counts_follow_the_schedule(lesson):
    """Harm: the chart of closing dims shows a plan and the network does another thing."""
    method, shape, full = lesson.method, lesson.shape, lesson.bert.shape
    sizes = {"residual": (full.hidden, shape.hidden), "ffn": (full.ffn, shape.ffn)}
    sizes |= {"attention": (full.inner, shape.inner), "transform": (full.hidden, shape.hidden)}
    seen = []
    while lesson.done < lesson.steps:
        numbers = lesson.step()
        seen.append(numbers)
        cut = min(lesson.done // lesson.interval, lesson.schedule.cuts)
        for kind, (start, goal) in sizes.items():
            unit = full.head_dim if method.options.strategy == "head" else full.heads
            exact = start - (start - goal) * cut / lesson.schedule.cuts
            slack = 0.5 * (unit if kind == "attention" else 1)
            kept = {group.open_count for group in lesson.heir.groups.values() if group.kind == kind}
            assert len(kept) == 1
            assert abs(kept.pop() - exact) <= slack, (lesson.done, kind)
            charted = numbers[kind] / 100 * start
            assert abs(charted - exact) <= slack + 1e-6, (lesson.done, kind)
        assert all(later <= earlier for later, earlier in zip(numbers.values(), seen[-2:][0].values(), strict=True))
    assert seen[-1] == {kind: pytest.approx(100 * goal / start) for kind, (start, goal) in sizes.items()}
    groups = lesson.heir.groups.values()
    assert all(goal in {g.open_count for g in groups if g.kind == kind} for kind, (_, goal) in sizes.items())


def test_everything_is_closed_by_the_promised_share_of_the_run():
    """Harm: dims still closing in the last step are cut off while they matter."""
    for closed_by in (0.05, 0.3, 0.5, 1.0):
        for steps in (40, 97, 600):
            method = Wid(WidOptions(closed_by=closed_by), steps)
            plan = method.plan(Shape(hidden=16, heads=4), Shape(hidden=8, heads=4))
            assert plan.interval >= 1
            assert plan.interval * (plan.sizes.last_cut + 1) <= max(2, steps * closed_by)


def test_the_dim_strategy_takes_as_many_from_every_head_and_the_smallest():
    """Harm: heads of unequal width, which no model class can hold; or the most important dims go first."""
    lesson = Lesson({}, {"hidden": 8, "ffn": 24}, {"strategy": "dim", "cuts": 2}, steps=30)
    group = lesson.heir.groups["attention 1"]
    scale = torch.linspace(1.0, 2.0, 16)[torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        for member in group.members:
            member.parameter.mul_(scale[:, None] if member.axis == 0 else scale)
    lesson.method._cut(lesson.heir, group, 1, lesson.method.timetable)
    closed = group.closing.nonzero().squeeze(1).tolist()
    assert closed == sorted(head * 4 + int(scale[head * 4 : head * 4 + 4].argmin()) for head in range(4))


def test_the_head_strategy_takes_whole_heads_and_the_smallest():
    """Harm: a head that lives on with part of its dims."""
    lesson = Lesson({}, {"hidden": 8, "heads": 2, "ffn": 24}, {"strategy": "head", "cuts": 2}, steps=30)
    group = lesson.heir.groups["attention 0"]
    scale = torch.tensor([2.0, 1.0, 3.0, 1.5]).repeat_interleave(4)
    with torch.no_grad():
        for member in group.members:
            member.parameter.mul_(scale[:, None] if member.axis == 0 else scale)
    lesson.method._cut(lesson.heir, group, 1, lesson.method.timetable)
    assert group.closing.nonzero().squeeze(1).tolist() == [4, 5, 6, 7]
    lesson.run()
    for group in lesson.heir.groups.values():
        if group.kind == "attention":
            heads = group.dims.view(-1, 4)
            assert torch.equal(heads, heads[:, :1] + torch.arange(4))
            assert (heads[:, 0] % 4 == 0).all()
            assert len(heads) == 2


def test_closing_vectors_feel_no_task_gradient_and_go_straight_to_zero(lesson):
    """Harm: the task pulls closing dims back, they never reach zero, and cutting them hurts."""
    watched = {}
    groups = []
    while not groups:
        lesson.step()
        groups = [group for group in lesson.heir.groups.values() if group.closing.any()]
    for group in groups:
        closing = group.closing.nonzero().squeeze(1)
        for index, member in enumerate(group.members):
            watched[group.name, index] = member.parameter.detach().index_select(member.axis, closing).clone()
    interval = lesson.interval
    for left in range(interval - 1, 0, -1):
        lesson.step()
        for group in groups:
            closing = group.closing.nonzero().squeeze(1)
            for index, member in enumerate(group.members):
                parameter = member.parameter
                now = parameter.detach().index_select(member.axis, closing)
                torch.testing.assert_close(now, watched[group.name, index] * left / interval, rtol=1e-4, atol=1e-6)
                assert parameter.grad.index_select(member.axis, closing).abs().max() == 0
                moments = lesson.optimizer.state[parameter]
                assert moments["exp_avg"].index_select(member.axis, closing).abs().max() == 0
    present = {group.name: len(group.dims) for group in groups}
    going = {group.name: int(group.closing.sum()) for group in groups}
    lesson.step()
    for group in groups:  # the zeros are gone; the next cut may have chosen others
        assert len(group.dims) == present[group.name] - going[group.name]


def test_kept_vectors_do_learn(lesson):
    """Harm: a student whose kept part stands still is pruned, not distilled."""
    before = {name: p.detach().clone() for name, p in lesson.heir.named_parameters()}
    lesson.step()
    still = [name for name, p in lesson.heir.named_parameters() if torch.equal(p, before[name])]
    assert still in ([], ["inherited.embeddings.token_type.weight"])


def test_compactors_and_weights_have_rates_of_their_own():
    """Harm: weights that move as fast as compactors forget what they inherited."""
    lesson = Lesson({}, {"hidden": 8, "ffn": 24}, {"compactor_lr": 0.02, "lr": 0.001})
    lesson.step()
    rates = {id(p): (s["lr"], s["weight_decay"]) for s in lesson.optimizer.param_groups for p in s["params"]}
    assert len(rates) == len(list(lesson.heir.parameters()))
    assert {rates[id(p)] for p in lesson.heir.compactors.parameters()} == {(0.02, 0.0)}
    assert {rates[id(p)][0] for p in lesson.heir.inherited.parameters()} == {0.001}


@pytest.mark.parametrize(
    ("wanted", "options", "words"),
    [
        ({"hidden": 32, "heads": 4, "ffn": 24}, {}, ["more hidden", "at most 16"]),
        ({"layers": 3}, {}, ["more layers", "at most 2"]),
        ({"heads": 8}, {}, ["more heads", "at most 4"]),
        ({"ffn": 25}, {}, ["more ffn", "at most 24"]),
        ({"heads": 4, "head_dim": 5}, {}, ["more head_dim", "at most 4"]),
        ({"hidden": 8, "heads": 2, "ffn": 24}, {"strategy": "dim"}, ["use 4 heads, or strategy head"]),
        (
            {"hidden": 8, "heads": 4, "head_dim": 2, "ffn": 24},
            {"strategy": "head"},
            ["use 2 heads at hidden 8", "strategy dim"],
        ),
    ],
)
def test_a_student_that_cannot_inherit_is_refused_with_a_way_out(wanted, options, words):
    """Harm: "cannot" without "do this instead"; or a shape error from deep inside the first step."""
    method = Wid(parse_options(WidOptions, options), 100)
    with pytest.raises(ShapeError) as caught:
        method.student_shape(Shape(layers=2, hidden=16, heads=4, ffn=24), wanted)
    assert len(caught.value.problems) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    "sizes",
    [{"family": "albert", "embedding": 8, "sharing": "all"}, {"embedding": 8}, {"sharing": "ffn"}],
)
def test_a_teacher_that_nobody_can_inherit_from_is_refused(sizes):
    """Harm: a crash after the teacher has been loaded and the run has begun."""
    with pytest.raises(ShapeError, match="another teacher or method") as caught:
        Wid(WidOptions(), 100).student_shape(Shape(layers=2, hidden=16, heads=4, **sizes), {})
    assert len(caught.value.problems) == 1


def test_a_run_too_short_to_close_anything_is_refused():
    """Harm: a "student" that is still the whole teacher."""
    with pytest.raises(ConfigError, match="give the run more steps") as caught:
        Wid(WidOptions(), 1).student_shape(Shape(layers=2, hidden=16, heads=4), {"hidden": 8})
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize("steps", [2, 3, 17])
def test_very_short_runs_still_end_in_the_promised_shape(steps):
    """Harm: the demo's shortest run crashes or ends too wide."""
    for closed_by in (0.05, 1.0):
        lesson = Lesson({}, {"hidden": 8, "heads": 4, "ffn": 9}, {"closed_by": closed_by}, steps=steps).run()
        assert lesson.method.finish(lesson.heir).shape == lesson.shape
