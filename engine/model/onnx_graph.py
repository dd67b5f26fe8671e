"""A model as an ONNX graph, written operator by operator from our own modules.

Not traced by torch: its exporters take the library's classes, written out in full, and seconds; one needs two packages
more, the other torch itself calls legacy; neither writes int8 weights as they are. Here factors stay
factors, shared layers are stored once, and int8 weights keep their bytes (log/project.md).

Int8 is computed as engine/model/linears.py does: y = (Q_x Q_W^T) s_x s_W + b, the product exact in whole numbers. Both
sides have 128 added, as uint8 with a zero point: kernels for signed ones are missing on some processors or saturate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.bert import Attention, Bert, FeedForward, LayerNorm
from engine.model.linears import LEVELS, SMALLEST_AMAX, FactorisedLinear, Int8Embedding, Int8Linear
from engine.model.saved_models import CheckpointError

OPSET = 17  # the first with LayerNormalization; every onnxruntime since 2022 reads it
IR_VERSION = 8  # of the same year
ZERO_POINT = 128  # of what is stored as uint8
LARGEST_FILE = 2**31 - 2**20  # a protocol buffer ends at 2 GiB; beyond, weights lie in a file beside it
BATCH, SEQUENCE = "batch", "sequence"  # what the two free dims are called


def import_onnx() -> ModuleType:
    """The package onnx.

    Raises:
        CheckpointError: it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise CheckpointError(
            "ONNX needs the package onnx, which is not installed: pip install onnx (or, in a clone of this project, "
            'pip install ".[onnx]").'
        ) from error
    return onnx


def write_onnx(
    bert: Bert,
    path: Path,
    inputs: Sequence[str],
    architecture: str,
    classifier: dict[str, Tensor] | None = None,
    copies: int = 1,
) -> tuple[str, ...]:
    """Writes `bert` to `path` as the library's class `architecture` computes it; the names of its outputs.

    `inputs`: what the tokenizer gives, int64 (batch, sequence) each, both dims free; attention_mask is 0 at padding.
    `classifier`: "classifier.weight" (class, hidden) and "classifier.bias", behind the pooler.
    `copies`: how often every hidden dim stands in that class, where hidden states are put out.
    Outputs are float32 and called as the class calls them.

    Raises:
        CheckpointError: the package onnx is not installed.
        OSError: the disk refuses.
    """
    onnx = import_onnx()
    graph = _Graph(onnx, bert)
    with torch.no_grad():
        outputs = _outputs(graph, bert, architecture, classifier, copies)
    helper, kinds = onnx.helper, onnx.TensorProto
    built = helper.make_graph(
        [*graph.nodes, *(helper.make_node("Identity", [made], [name]) for name, (made, _) in outputs.items())],
        "heirloom",
        [helper.make_tensor_value_info(name, kinds.INT64, [BATCH, SEQUENCE]) for name in inputs],
        [helper.make_tensor_value_info(name, kinds.FLOAT, dims) for name, (_, dims) in outputs.items()],
        list(graph.stored.values()),
    )
    model = helper.make_model(
        built, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="heirloom"
    )
    apart = graph.bytes > LARGEST_FILE
    onnx.save_model(model, str(path), save_as_external_data=apart, location=f"{path.name}.data" if apart else None)
    onnx.checker.check_model(str(path), full_check=not apart)
    return tuple(outputs)


class _Graph:
    """Operators and stored tensors as they come; tensors have the names of our modules, and stand there once."""

    def __init__(self, onnx: ModuleType, bert: Bert) -> None:
        self.onnx = onnx
        self.names = {id(module): name for name, module in bert.named_modules()}
        self.nodes: list[Any] = []
        self.stored: dict[str, Any] = {}
        self.rounded: dict[str, tuple[str, str]] = {}  # what was rounded to whole numbers -> those, and their scale
        self.bytes = 0

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operator; the name of its output."""
        name = str(len(self.nodes))
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def keep(self, name: str, values: Tensor) -> str:
        """Stores a tensor, unless it is there; its name."""
        if name not in self.stored:
            array = values.detach().cpu().contiguous().numpy()
            self.stored[name] = self.onnx.numpy_helper.from_array(array, name)
            self.bytes += array.nbytes
        return name

    def number(self, value: float) -> str:
        """A float32 scalar."""
        return self.keep(f"number.{value!r}", torch.tensor(value, dtype=torch.float32))

    def whole(self, *values: int) -> str:
        """int64 (values,)."""
        return self.keep(f"whole.{'.'.join(map(str, values))}", torch.tensor(values, dtype=torch.int64))

    def own(self, module: nn.Module, part: str, values: Tensor) -> str:
        """Stores what belongs to a module of the model."""
        return self.keep(f"{self.names[id(module)]}.{part}", values)

    def cast(self, x: str, kind: str) -> str:
        """`x` as a kind of number that TensorProto knows."""
        return self("Cast", x, to=getattr(self.onnx.TensorProto, kind))


def _outputs(
    graph: _Graph, bert: Bert, architecture: str, classifier: dict[str, Tensor] | None, copies: int
) -> dict[str, tuple[str, list[str | int]]]:
    """What the class puts out: name -> (what computes it, its dims)."""
    shape = bert.shape
    state = _encode(graph, bert)
    words: list[str | int] = [BATCH, SEQUENCE, shape.vocab]
    if architecture.endswith("ForMaskedLM"):
        return {"logits": (_masked_lm(graph, bert, state), words)}
    if architecture.endswith("ForPreTraining"):
        pair = "sop_logits" if architecture.startswith("Albert") else "seq_relationship_logits"
        return {
            "prediction_logits": (_masked_lm(graph, bert, state), words),
            pair: (_linear(graph, _pooled(graph, bert, state), bert.pair), [BATCH, 2]),
        }
    if classifier:
        weight, bias = classifier["classifier.weight"].float(), classifier["classifier.bias"].float()
        logits = graph(
            "Add",
            graph("MatMul", _pooled(graph, bert, state), graph.keep("classifier.weight", weight.T)),
            graph.keep("classifier.bias", bias),
        )
        return {"logits": (logits, [BATCH, len(bias)])}
    if bert.pair is not None:
        return {"logits": (_linear(graph, _pooled(graph, bert, state), bert.pair), [BATCH, 2])}

    def often(x: str) -> str:
        return graph("Concat", *[x] * copies, axis=-1) if copies > 1 else x

    made: dict[str, tuple[str, list[str | int]]] = {
        "last_hidden_state": (often(state), [BATCH, SEQUENCE, shape.hidden * copies])
    }
    if bert.pooler is not None:
        made["pooler_output"] = (often(_pooled(graph, bert, state)), [BATCH, shape.hidden * copies])
    return made


def _encode(graph: _Graph, bert: Bert) -> str:
    """The last hidden states, (batch, sequence, hidden)."""
    x = _embed(graph, bert)
    visible = graph("Unsqueeze", graph.cast("attention_mask", "BOOL"), graph.whole(1, 2))
    for layer in range(bert.shape.layers):
        attention, ffn = bert.blocks(layer)
        x = _ffn(graph, _attend(graph, x, attention, visible), ffn)
    return x


def _embed(graph: _Graph, bert: Bert) -> str:
    table = bert.embeddings
    length = graph("Gather", graph("Shape", "input_ids"), graph.keep("one", torch.tensor(1)))
    places = graph("Range", graph.keep("zero", torch.tensor(0)), length, "one")
    # a text longer than the table is an error; a slice up to its length would be cut at the table's end
    x = graph("Gather", graph.own(table, "position.weight", table.position.weight), places)
    if isinstance(table.word, Int8Embedding):
        rows = graph.cast(graph("Gather", _bytes(graph, table.word), "input_ids"), "FLOAT")
        scales = graph("Gather", graph.own(table.word, "scale", table.word.scale[:, None]), "input_ids")
        words = graph("Mul", graph("Sub", rows, graph.number(float(ZERO_POINT))), scales)
    else:
        words = graph("Gather", graph.own(table.word, "weight", table.word.weight), "input_ids")
    x = graph("Add", words, x)
    if table.token_type is not None and table.tells_texts_apart:
        types = graph.own(table.token_type, "weight", table.token_type.weight)
        x = graph("Add", x, graph("Gather", types, "token_type_ids"))
    elif table.token_type is not None:
        x = graph("Add", x, graph.own(table.token_type, "weight", table.token_type.weight[0]))
    x = _norm(graph, x, table.norm)
    return x if table.projection is None else _linear(graph, x, table.projection)


def _attend(graph: _Graph, x: str, block: Attention, visible: str) -> str:
    """x (batch, sequence, hidden), visible (batch, 1, 1, sequence) bool -> (batch, sequence, hidden)."""

    def heads(linear: nn.Module, order: list[int]) -> str:
        split = graph("Reshape", _linear(graph, x, linear), graph.whole(0, 0, block.heads, -1))
        return graph("Transpose", split, perm=order)

    query, key, value = (
        heads(block.query, [0, 2, 1, 3]),
        heads(block.key, [0, 2, 3, 1]),
        heads(block.value, [0, 2, 1, 3]),
    )
    scores = graph("Mul", graph("MatMul", query, key), graph.number(block.scale))
    scores = graph("Where", visible, scores, graph.number(torch.finfo(torch.float32).min))
    mixed = graph("MatMul", graph("Softmax", scores, axis=-1), value)
    mixed = graph("Reshape", graph("Transpose", mixed, perm=[0, 2, 1, 3]), graph.whole(0, 0, -1))
    return _norm(graph, graph("Add", x, _linear(graph, mixed, block.output)), block.norm)


def _ffn(graph: _Graph, x: str, block: FeedForward) -> str:
    wide = _activate(graph, _linear(graph, x, block.up), block.activation)
    return _norm(graph, graph("Add", x, _linear(graph, wide, block.down)), block.norm)


def _masked_lm(graph: _Graph, bert: Bert, state: str) -> str:
    """Logits (batch, sequence, vocab)."""
    head, word = bert.head, bert.embeddings.word
    assert head is not None, "a class with a masked-LM head needs one"
    x = _norm(graph, _activate(graph, _linear(graph, state, head.transform), head.activation), head.norm)
    bias = graph.own(head, "bias", head.bias)
    if head.decoder is not None:
        return graph("Add", _linear(graph, x, head.decoder), bias)
    if isinstance(word, Int8Embedding):  # the rows that are looked up decode, and are stored once
        return _int8_product(
            graph,
            x,
            graph("Transpose", _bytes(graph, word), perm=[1, 0]),
            graph("Transpose", graph.own(word, "scale", word.scale[:, None]), perm=[1, 0]),
            bias,
        )
    table = graph("Transpose", graph.own(word, "weight", word.weight), perm=[1, 0])
    return graph("Add", graph("MatMul", x, table), bias)


def _pooled(graph: _Graph, bert: Bert, state: str) -> str:
    """(batch, hidden): [CLS] behind the pooler."""
    first = graph("Gather", state, graph.keep("zero", torch.tensor(0)), axis=1)
    return graph("Tanh", _linear(graph, first, bert.pooler))


def _linear(graph: _Graph, x: str, linear: nn.Module | None) -> str:
    """x (..., in) -> (..., out), whatever the linear's kind."""
    if isinstance(linear, FactorisedLinear):
        return _linear(graph, _linear(graph, x, linear.first), linear.second)
    assert isinstance(linear, nn.Linear | Int8Linear), "a finished model has linears of two kinds"
    bias = None if linear.bias is None else graph.own(linear, "bias", linear.bias)
    if isinstance(linear, Int8Linear):
        scale = graph.own(linear, "scale", linear.scale)
        return _int8_product(graph, x, _bytes(graph, linear, turned=True), scale, bias)
    x = graph("MatMul", x, graph.own(linear, "weight", linear.weight.T))
    return x if bias is None else graph("Add", x, bias)


def _bytes(graph: _Graph, module: Int8Linear | Int8Embedding, turned: bool = False) -> str:
    """int8 (out, in), or `turned` (in, out), with the zero point added."""
    shifted = (module.weight.to(torch.int16) + ZERO_POINT).to(torch.uint8)
    return graph.own(module, "weight", shifted.T if turned else shifted)


def _int8_product(graph: _Graph, x: str, weight: str, scale: str, bias: str | None) -> str:
    """x (..., in) float32, weight (in, out) uint8, scale (out,) -> (..., out), as linears.int8_product."""
    if x not in graph.rounded:  # once for queries, keys and values
        largest = graph("ReduceMax", graph("Abs", x), axes=[-1], keepdims=1)
        own = graph("Div", graph("Max", largest, graph.number(SMALLEST_AMAX)), graph.number(float(LEVELS)))
        grid = graph("Round", graph("Mul", x, graph("Div", graph.number(1.0), own)))
        graph.rounded[x] = graph.cast(graph("Add", grid, graph.number(float(ZERO_POINT))), "UINT8"), own
    grid, own = graph.rounded[x]
    zero = graph.keep("zero_point", torch.tensor(ZERO_POINT, dtype=torch.uint8))
    product = graph.cast(graph("MatMulInteger", grid, weight, zero, zero), "FLOAT")
    result = graph("Mul", graph("Mul", product, own), scale)
    return result if bias is None else graph("Add", result, bias)


def _norm(graph: _Graph, x: str, norm: LayerNorm) -> str:
    assert norm.keep is None, "a finished model's LayerNorms look at every dim"
    weight, bias = graph.own(norm, "weight", norm.weight), graph.own(norm, "bias", norm.bias)
    return graph("LayerNormalization", x, weight, bias, axis=-1, epsilon=norm.eps)


def _activate(graph: _Graph, x: str, name: str) -> str:
    """As bert.activate; the operator Gelu is of 2023."""
    if name == "relu":
        return graph("Relu", x)
    if name == "gelu_new":
        cube = graph("Mul", graph("Mul", graph("Mul", x, x), x), graph.number(0.044715))
        inner = graph("Tanh", graph("Mul", graph("Add", x, cube), graph.number(math.sqrt(2 / math.pi))))
    else:
        inner = graph("Erf", graph("Div", x, graph.number(math.sqrt(2))))
    return graph("Mul", graph("Mul", x, graph("Add", inner, graph.number(1.0))), graph.number(0.5))
