import base64
import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.bert import Bert
from engine.checkpoints import load_checkpoint, restore_parameters, save_checkpoint
from engine.config import ConfigError, read_options
from engine.methods.base import masked_lm
from engine.methods.wid import Wid, WidOptions
from engine.shape import Shape, ShapeError
from tests.engine.builders import masked_batch, teacher

CASES = {  # (teacher's sizes, student's sizes, options)
    "dim": ({}, {"hidden": 8, "heads": 4, "ffn": 12}, {"strategy": "dim"}),
    "head": ({}, {"hidden": 8, "heads": 2, "head_dim": 4, "ffn": 12}, {"strategy": "head"}),
    "head, hidden untouched": ({}, {"heads": 1, "head_dim": 4, "ffn": 24}, {"strategy": "head"}),
    "inner is not hidden": ({"head_dim": 6}, {"hidden": 12, "head_dim": 5, "heads": 4, "ffn": 20}, {"strategy": "dim"}),
    "FFN only": ({}, {"ffn": 7}, {"strategy": "dim"}),
    "fewer layers": ({"layers": 3}, {"layers": 2, "hidden": 8, "heads": 4, "ffn": 10}, {"layers_from": "last"}),
    "one step a cut": ({}, {"hidden": 4, "heads": 4, "ffn": 5}, {"cuts": 16}),
    "reference": ({}, {"hidden": 8, "heads": 4, "ffn": 12}, {"ranking": "reference"}),
}
RELEASE = {"rule": "release", "ranking": "reference", "closing": "penalty", "interval": 5, "compactor_lr": 0.01}


class Lesson:
    """A short run of WID by hand: the training loop's own steps, one at a time."""

    def __init__(self, sizes, wanted, options, steps=40):
        self.bert = teacher(**sizes)
        self.method = Wid(read_options(WidOptions, {"cuts": 4, "lr": 1e-2, "compactor_lr": 1e-2, **options}), steps)
        self.shape = self.method.student_shape(self.bert.shape, wanted)
        self.heir = self.method.prepare(self.bert, self.shape, seed=0)
        self.schedule = self.method.schedule(self.bert.shape, self.shape)
        self.interval = self.method.interval(self.schedule)
        self.optimizer = self.method.optimizer(self.heir)
        self.steps, self.done = steps, 0

    def step(self):
        """One step; the numbers that the method reports."""
        self.done += 1
        self.optimizer.zero_grad()
        masked_lm(self.heir, masked_batch(seed=self.done)).backward()
        numbers = self.method.after_backward(self.heir, self.optimizer, self.done)
        self.optimizer.step()
        return numbers

    def run(self):
        """The rest of the steps."""
        while self.done < self.steps:
            self.step()
        return self


def logits(model):
    """The model's logits on a batch it has not trained on."""
    batch = masked_batch(seed=99)
    return model(batch.ids, batch.visible)[batch.visible].detach()


@pytest.fixture(params=CASES, name="lesson")
def every_lesson(request):
    """Runs of every kind, not begun."""
    return Lesson(*CASES[request.param])


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
    promised = lesson.heir.shape_now()
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
            kept = {group.kept for group in lesson.heir.groups.values() if group.kind == kind}
            assert len(kept) == 1
            assert abs(kept.pop() - exact) <= slack, (lesson.done, kind)
            charted = numbers[kind] / 100 * start
            assert abs(charted - exact) <= slack + 1e-6, (lesson.done, kind)
        assert all(later <= earlier for later, earlier in zip(numbers.values(), seen[-2:][0].values(), strict=True))
    assert seen[-1] == {kind: pytest.approx(100 * goal / start) for kind, (start, goal) in sizes.items()}
    assert all(goal in {g.kept for g in lesson.heir.groups.values() if g.kind == k} for k, (_, goal) in sizes.items())


def test_everything_is_closed_by_the_promised_share_of_the_run():
    """Harm: dims still closing in the last step are cut off while they matter."""
    for closed_by in (0.05, 0.3, 0.5, 1.0):
        for steps in (40, 97, 600):
            method = Wid(WidOptions(closed_by=closed_by), steps)
            schedule = method.schedule(Shape(hidden=16, heads=4), Shape(hidden=8, heads=4))
            assert method.interval(schedule) >= 1
            assert method.interval(schedule) * (schedule.last_cut + 1) <= max(2, steps * closed_by)


def test_the_dim_strategy_takes_as_many_from_every_head_and_the_smallest():
    """Harm: heads of unequal width, which no model class can hold; or the most important dims go first."""
    lesson = Lesson({}, {"hidden": 8, "ffn": 24}, {"strategy": "dim", "cuts": 2}, steps=30)
    group = lesson.heir.groups["attention 1"]
    scale = torch.linspace(1.0, 2.0, 16)[torch.randperm(16, generator=torch.Generator().manual_seed(0))]
    with torch.no_grad():
        for member in group.members:
            member.parameter.mul_(scale[:, None] if member.axis == 0 else scale)
    lesson.method._cut(lesson.heir, group, lesson.schedule.left("attention", 1), 5)
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
    lesson.method._cut(lesson.heir, group, lesson.schedule.left("attention", 1), 5)
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
    ("which", "layers"),
    [
        ({"layers_from": "spread"}, [0, 2, 5]),
        ({"layers_from": "every"}, [1, 3, 5]),
        ({"layers_from": "first"}, [0, 1, 2]),
        ({"layers_from": "last"}, [3, 4, 5]),
        ({"layers_from": "listed", "layer_list": "1, 2,6"}, [0, 1, 5]),
    ],
)
def test_a_shallower_student_inherits_the_layers_it_was_promised(which, layers):
    """Harm: "first and last kept" on the page, something else in the weights."""
    lesson = Lesson({"layers": 6}, {"layers": 3}, which)
    for own, theirs in enumerate(layers):
        for mine, other in zip(lesson.heir.inherited.blocks(own), lesson.bert.blocks(theirs), strict=True):
            assert all(torch.equal(p, q) for p, q in zip(mine.parameters(), other.parameters(), strict=True))


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
    method = Wid(read_options(WidOptions, options), 100)
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


# ---- the release's choices -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["dim", "head"])
def test_the_release_s_choices_end_in_the_promised_shape_too(strategy):
    """Harm: a penalty that never brings anything to zero, so that the paper's preset ends as wide as its teacher."""
    wanted = {"hidden": 8, "heads": 4 if strategy == "dim" else 2, "ffn": 12}
    lesson = Lesson({}, wanted, {**RELEASE, "strategy": strategy}, steps=140).run()
    assert {group.kept for group in lesson.heir.groups.values()} == {8, 12}
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
    options = read_options(WidOptions, Wid.presets["paper"])
    assert (options.interval, options.penalty, options.lr, options.compactor_lr) == (500, 20.0, 1e-6, 5e-5)
    assert (options.rule, options.ranking, options.closing) == ("release", "reference", "penalty")
    assert options.compactor_decay == 0.01
    assert WidOptions(**Wid.presets["quick"]) == WidOptions()
    closing_ends = Wid(options, 400_000).interval(None) * 17
    assert closing_ends / 400_000 == pytest.approx(0.02, abs=0.002)  # "everything in about 2% of the run"


@pytest.mark.parametrize(
    ("options", "steps", "words"),
    [
        ({"interval": 500}, 400, ["8,500 steps", "at most 23"]),
        ({**Wid.presets["paper"]}, 5000, ["later than the run's 5,000", "at least"]),
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
    method = Wid(read_options(WidOptions, options), steps)
    with pytest.raises(ShapeError) as caught:
        method.student_shape(Shape(layers=2, hidden=128, heads=4), {"hidden": 64, "heads": 4})
    assert len(caught.value.problems) == 1
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("value", [0, -3, float("nan"), "much"])
def test_a_penalty_must_be_positive(value):
    """Harm: lambda 0 closes nothing, a negative one drives vectors away from zero for ever."""
    with pytest.raises(ConfigError, match="penalty must be"):
        read_options(WidOptions, {"penalty": value})


# ---- going on as the plain student -----------------------------------------------------------------------------------


def test_once_all_is_closed_the_plain_student_goes_on(lesson):
    """Harm: the change of form changes what is computed, comes too early, or leaves an optimizer of the old weights."""
    changed = []
    while lesson.done < lesson.steps:
        numbers = lesson.step()
        student, optimizer = lesson.method.pass_on(lesson.heir, lesson.optimizer)
        if student is not lesson.heir:
            changed.append(lesson.done)
            break
        assert optimizer is lesson.optimizer
    assert changed == [lesson.interval * (lesson.schedule.last_cut + 1)]
    assert isinstance(student, Bert)
    assert student.shape == lesson.shape
    torch.testing.assert_close(logits(student), logits(lesson.heir), rtol=0, atol=1e-4)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in student.parameters()}
    assert {group["lr"] for group in optimizer.param_groups} == {lesson.method.options.student_lr}
    assert not optimizer.state
    # what is told of it stays what it was
    assert lesson.method.after_backward(student, optimizer, lesson.done + 1) == numbers
    picture = lesson.method.picture(student, tokens=120, length=20, predicted=18)
    before = lesson.method.picture(lesson.heir, tokens=120, length=20, predicted=18)
    assert picture["groups"] == before["groups"]
    assert picture["multiply_adds_per_token"] < before["multiply_adds_per_token"]
    lineage, expected = lesson.method.lineage(student), lesson.heir.lineage()
    assert set(lineage) == set(expected)
    assert all(torch.equal(lineage[name], expected[name]) for name in expected)
    assert lesson.method.pass_on(student, optimizer) == (student, optimizer)


def test_kept_compactors_stay_to_the_end():
    """Harm: the `paper` preset trains another parametrisation than the authors did."""
    assert Wid.presets["paper"]["after_closing"] == "kept"
    lesson = Lesson(*CASES["dim"][:2], {"after_closing": "kept"}).run()
    assert lesson.method.pass_on(lesson.heir, lesson.optimizer) == (lesson.heir, lesson.optimizer)


def test_a_folded_student_comes_back_from_its_checkpoint(lesson, tmp_path):
    """Harm: a run killed in its second half cannot go on, or goes on without knowing what it was made of."""
    lesson.run()
    student, optimizer = lesson.method.pass_on(lesson.heir, lesson.optimizer)
    save_checkpoint(tmp_path, lesson.done, student, optimizer, {"method": lesson.method.state(student)})
    saved = load_checkpoint(tmp_path)
    other = Wid(lesson.method.options, lesson.steps)
    again = other.restore(other.prepare(lesson.bert, lesson.shape, seed=0), saved["extra"]["method"])
    restore_parameters(again, saved["student"])
    assert torch.equal(logits(again), logits(student))
    lineage = other.lineage(again)
    assert all(torch.equal(lineage[name], tensor) for name, tensor in lesson.method.lineage(student).items())
    ours, theirs = (m.picture(student, 120, 20, 18) for m in (other, lesson.method))
    assert ours == theirs


# ---- what others read ------------------------------------------------------------------------------------------------


def test_lineage_rebuilds_the_student_from_its_teacher(lesson):
    """Harm: an ancestry page that shows other compactors than those that made the student."""
    lesson.run()
    weights = {name: p.detach().clone() for name, p in lesson.heir.inherited.named_parameters()}
    student = dict(lesson.method.finish(lesson.heir).named_parameters())
    kept = lesson.method.lineage(lesson.heir)
    for name in ("attentions.0.output", "ffns.1.up", "ffns.1.down", "head.transform", "attentions.1.value"):
        found = kept[f"{name}.column"].float() @ weights[f"{name}.weight"] @ kept[f"{name}.row"].float()
        torch.testing.assert_close(found, student[f"{name}.weight"], rtol=0, atol=5e-3)
    assert len(kept["dims.attention 0"]) == lesson.shape.inner
    assert len(kept["dims.residual"]) == lesson.shape.hidden


def test_a_picture_says_what_is_open(lesson):
    """Harm: the heatmap shows open dims as closed, or in the wrong column."""
    for _ in range(lesson.interval * 2 + 1):
        lesson.step()
    picture = lesson.method.picture(lesson.heir, tokens=120, length=20, predicted=18)
    for drawn in picture["groups"]:
        group = lesson.heir.groups[drawn["name"]]
        norms = np.frombuffer(base64.b64decode(drawn["norms"]), np.uint8)
        assert len(norms) == drawn["full"] == group.full
        gone = np.setdiff1d(np.arange(group.full), group.dims.numpy())
        assert (norms[gone] == 0).all()
        expected = 100 * group.vector_norms().numpy()
        np.testing.assert_allclose(norms[group.dims.numpy()], expected.clip(0, 255), atol=0.51)
        assert drawn["present"] == len(group.dims)
        assert drawn["kept"] == group.kept
    json.dumps(picture)


@pytest.mark.parametrize("state", ["born", "half", "closed"])
def test_counted_multiply_adds_are_torch_s_own_count(state):
    """Harm: a speed-up on paper. The FLOP counter sees every matrix product that really runs."""
    lesson = Lesson({}, {"hidden": 8, "heads": 4, "ffn": 12}, {})
    for _ in range({"born": 0, "half": lesson.interval * 2 + 1, "closed": 39}[state]):
        lesson.step()
    batch = masked_batch(seed=5)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trace = {"attentions": []}  # spelled out, because the fused kernel of the CPU is not counted
        lesson.heir(batch.ids, batch.visible, positions=batch.positions, trace=trace)
    rows, length = batch.ids.shape
    found = lesson.heir.multiply_adds(rows * length, length, len(batch.positions))
    assert found == counter.get_total_flops() // 2


@pytest.mark.parametrize("cuts", [0.5, 2.5, 9])
def test_a_checkpoint_folds_to_what_the_live_heir_folds_to(lesson, cuts, tmp_path):
    """Harm: the student that is exported from a resumed run is not the one that was trained."""
    while lesson.done < min(lesson.interval * cuts, lesson.steps - 1):
        lesson.step()
    extra = {"method": lesson.method.state(lesson.heir)}
    save_checkpoint(tmp_path, lesson.done, lesson.heir, lesson.optimizer, extra)
    saved = load_checkpoint(tmp_path)
    again = lesson.method.restore(lesson.method.prepare(lesson.bert, lesson.shape, seed=0), saved["extra"]["method"])
    restore_parameters(again, saved["student"])
    torch.testing.assert_close(logits(again), logits(lesson.heir), rtol=0, atol=0)
    live, restored = (lesson.method.finish(heir) for heir in (lesson.heir, again))
    assert live.shape == restored.shape
    torch.testing.assert_close(logits(restored), logits(live), rtol=0, atol=0)
