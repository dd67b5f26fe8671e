"""What methods say of layers is what they do: which ones the loss compares, and which ones a student starts from."""

from contextlib import ExitStack, contextmanager

import pytest
import torch

from engine.methods.kinds.layer_map import ImitatesLayers, StartsFromLayers
from engine.methods.registry import METHODS
from engine.sizing.shape import Shape
from tests.engine.methods.test_whole_loss import CASES, setting
from tests.fixtures.builders import STEPS, teacher

pytestmark = pytest.mark.usefixtures("few_held_out")
IMITATING = [name for name, (kind, *_) in CASES.items() if issubclass(METHODS[kind], ImitatesLayers)]
STARTING = [name for name, kind in METHODS.items() if issubclass(kind, StartsFromLayers)]


@contextmanager
def disturbed(model, layer):
    """What `layer` (from 1) of a model shows is off by some noise, and every other layer computes what it did."""
    bert, clean, noise = getattr(model, "bert", model), [], torch.Generator().manual_seed(layer)
    attention, ffn = bert.blocks(layer - 1)
    following = bert.blocks(layer)[0] if layer < bert.shape.layers else None

    def off(module, inputs, output):
        return output + torch.randn(output.shape, generator=noise, dtype=output.dtype)

    def remembered(module, inputs, output):
        clean.append(output)
        return off(module, inputs, output)

    def undone(module, inputs):
        return (clean[-1], *inputs[1:])

    def undisturbed(module, inputs, output):
        """The block computes what it would have without the noise: queries, keys and values are shown, not used."""
        hooks = [part._forward_hooks.copy() for part in projections]
        for part in projections:
            part._forward_hooks.clear()
        shown = module.forward(inputs[0], inputs[1], {})
        for part, kept in zip(projections, hooks, strict=True):
            part._forward_hooks.update(kept)
        return shown

    projections = [attention.query, attention.key, attention.value]
    with ExitStack() as stack:
        for part in projections:
            stack.callback(part.register_forward_hook(off).remove)
        stack.callback(attention.register_forward_hook(undisturbed).remove)
        stack.callback(ffn.register_forward_hook(remembered).remove)
        if following is not None:
            for part in (following, following.query, following.key, following.value):
                stack.callback(part.register_forward_pre_hook(undone).remove)
        yield


def compared(method, student, guide, batch):
    """(student layer, teacher layer), from 1, that the loss compares: both disturbed is no sum of each disturbed."""

    def loss(ours, theirs):
        with ExitStack() as stack, torch.no_grad():
            if ours:
                stack.enter_context(disturbed(student, ours))
            if theirs:
                stack.enter_context(disturbed(guide, theirs))
            return float(sum(method.losses(student, guide, batch).values()))

    layers = [getattr(model, "bert", model).shape.layers for model in (student, guide)]
    found = set()
    for ours in range(1, layers[0] + 1):
        for theirs in range(1, layers[1] + 1):
            together = loss(ours, theirs) - loss(ours, 0) - loss(0, theirs) + loss(0, 0)
            if abs(together) > 1e-9:
                found.add((ours, theirs))
    return found


def shapes(student, guide):
    """Of both models."""
    return (getattr(model, "bert", model).shape for model in (guide, student))


def hold(method, student, guide, batch):
    """The law: the loss compares exactly the layers that the method names, or meets in the last of both besides."""
    named = set(method.imitated_layers(*shapes(student, guide)).items())
    found = compared(method, student, guide, batch)
    last = tuple(shape.layers for shape in reversed(list(shapes(student, guide))))
    assert named
    assert named <= found <= named | {last}, (named, found)


@pytest.mark.parametrize("name", IMITATING)
def test_the_loss_compares_the_layers_that_the_method_names(name) -> None:
    """Harm: a page says which layers meet, and the loss pulls at others: off by one, or the wrong way round."""
    hold(*setting(name))


@pytest.mark.parametrize("wrong", [{1: 1, 2: 4}, {1: 4, 2: 2}, {2: 4}, {1: 2, 2: 3}, {1: 2, 2: 4, 3: 4}])
def test_a_wrong_layer_map_is_caught(wrong, monkeypatch) -> None:
    """Harm: the test above looks at nothing."""
    method, *others = setting("tinybert")
    assert method.imitated_layers(*shapes(*others[:2])) == {1: 2, 2: 4}
    monkeypatch.setattr(type(method), "imitated_layers", lambda *_: wrong)
    with pytest.raises(AssertionError):
        hold(method, *others)


@pytest.mark.parametrize("name", STARTING)
def test_a_student_starts_from_the_layers_that_the_method_names(name) -> None:
    """Harm: a student said to begin as layers 1 and 4 of its teacher begins as 1 and 2."""
    kind, big = METHODS[name], teacher(layers=4)
    method = kind(kind.Options(), 100)
    shape = method.student_shape(big.shape, {"layers": 2})
    bert = method.finish(method.init_student(big, shape, 0))
    named = method.starting_layers(big.shape, shape)
    assert len(named) == bert.shape.layers == 2
    for layer, origin in enumerate(named):
        for own, inherited in zip(bert.blocks(layer), big.blocks(origin - 1), strict=True):
            for parameter, expected in zip(own.parameters(), inherited.parameters(), strict=True):
                torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "layers", "says"),
    [
        (
            "distilbert",
            6,
            "It starts from the teacher's layers 1, 3, 5, 8, 10, 12.",
        ),  # 0, 2, 4, 7, 9, 11 in the release
        ("tinybert", 4, "Its layers 1 to 4 imitate its teacher's 3, 6, 9, 12; its embeddings imitate the embeddings."),
        ("minilm", 6, "Its last layer, 6, imitates its teacher's last, 12; the others are free."),
    ],
)
def test_which_layers_meet_is_said(name, layers, says):
    """Harm: a layer map that nobody can see, the commonest complaint about distillation."""
    method, base = METHODS[name](METHODS[name].Options(), STEPS), Shape()
    assert says in method.notes(base, method.student_shape(base, {"layers": layers}))
