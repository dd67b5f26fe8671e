"""A model as ONNX: onnxruntime computes what the library's class computes, at sizes it was never shown."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from onnx import numpy_helper
from torch import nn

from engine.model.bert import Bert
from engine.model.export import ONNX_FILE, export_model
from engine.model.linears import Int8Embedding, Int8Linear
from engine.model.onnx_graph import BATCH, SEQUENCE, write_onnx
from engine.model.pruning import convert
from engine.model.saved_models import CheckpointError, Model
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.teachers.catalog import load_teacher
from tests.engine.model.test_export_every_shape import ALBERT, PAIRS, SHAPES, SIZES
from tests.fixtures.builders import masked_batch, randomise, tokenizer

INPUTS = ["input_ids", "token_type_ids", "attention_mask"]
THEIRS = (  # shapes that are compared with the library's class; the others with our model, which that equals elsewhere
    "plain", "one token type", "distilbert untied", "narrow heads", "wide heads", "all at once", "a bert that shares",
    "factorised", "albert", "albert ffn, lost heads", "albert no token types",
)  # fmt: skip


def drawn(changes, bits=32, words=8):
    """A randomised model; int8 if asked for, its word table too."""
    bert = randomise(Bert(Shape(**{**SIZES, **changes})))
    with torch.no_grad():
        bert.embeddings.word.weight.mul_(0.2)
    if bits == 8:
        bert = convert(bert, Shape(**{**vars(bert.shape), "linear_bits": 8, "table_bits": words})).eval()
    return bert


def opened(folder):
    """The session of an export."""
    return onnxruntime.InferenceSession(str(folder / ONNX_FILE), providers=["CPUExecutionProvider"])


def feed(session, size, length, seed=0):
    """Random words in rows of several lengths, for the inputs that a session has; what is no padding."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(1, length + 1, size)
    ends[0] = length
    visible = np.arange(length) < ends[:, None]
    ids = np.where(visible, rng.integers(5, 211, (size, length)), 0)
    all_inputs = {
        "input_ids": ids,
        "attention_mask": visible.astype(np.int64),
        "token_type_ids": np.where(visible, np.arange(length) >= ends[:, None] // 2, 0).astype(np.int64),
    }
    return {given.name: all_inputs[given.name] for given in session.get_inputs()}, torch.tensor(visible)


def ours(bert, given, types=True):
    """Our model's logits for what onnxruntime was given."""
    kinds = given.get("token_type_ids") if types else None
    with torch.no_grad():
        return bert(
            torch.tensor(given["input_ids"]),
            torch.tensor(given["attention_mask"]).bool(),
            None if kinds is None else torch.tensor(kinds),
        )


@pytest.mark.parametrize("name", THEIRS)
def test_onnxruntime_computes_what_the_library_does(name, tmp_path):
    """Harm: a graph that is right for the one batch that it was made with, or that looks at padding."""
    export_model(Model(drawn(SHAPES[name]), tokenizer(), {"id": "drawn"}), tmp_path / "out", onnx=True)
    session = opened(tmp_path / "out")
    names = [given.name for given in session.get_inputs()]
    speaker = transformers.AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    assert names == speaker.model_input_names
    assert all((given.shape, given.type) == ([BATCH, SEQUENCE], "tensor(int64)") for given in session.get_inputs())
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    for size, length in ((1, 1), (3, 7), (5, SIZES["positions"])):
        given, visible = feed(session, size, length)
        (found,) = session.run(["logits"], given)
        with torch.no_grad():
            wanted = theirs(**{name: torch.tensor(values) for name, values in given.items()}).logits
        torch.testing.assert_close(torch.tensor(found)[visible], wanted[visible], rtol=0, atol=2e-5)
        assert found.shape == (size, length, 211)
    padded = torch.tensor(session.run(["logits"], given)[0])[1][visible[1]]
    (alone,) = session.run(["logits"], {name: values[1:2, visible[1]] for name, values in given.items()})
    torch.testing.assert_close(torch.tensor(alone)[0], padded, rtol=0, atol=2e-5)
    assert f"{(tmp_path / 'out' / ONNX_FILE).stat().st_size:,} bytes" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(set(SHAPES) - set(THEIRS)))
def test_it_computes_what_our_model_does(name, tmp_path):
    """Harm: a shape that only a few methods make is written wrong."""
    bert = drawn(SHAPES[name])
    write_onnx(bert, tmp_path / ONNX_FILE, INPUTS, "BertForMaskedLM")
    session = opened(tmp_path)
    given, visible = feed(session, 4, 11)
    found = torch.tensor(session.run(["logits"], given)[0])
    torch.testing.assert_close(found[visible], ours(bert, given)[visible], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["plain", "distilbert", "albert"])
def test_a_text_beyond_the_positions_is_an_error(name, tmp_path):
    """Harm: a long text is cut, or computed with positions that are none, without a word."""
    write_onnx(drawn(SHAPES[name]), tmp_path / ONNX_FILE, INPUTS, "ForMaskedLM")
    session = opened(tmp_path)
    given, _ = feed(session, 2, SIZES["positions"] + 1)
    with pytest.raises(Exception, match="24 by 25|out of data bounds"):
        session.run(None, given)


@pytest.mark.parametrize(
    "changes",
    [
        PAIRS,
        {**ALBERT, **PAIRS, "sharing": "all"},
        {**ALBERT, **PAIRS, "sharing": "ffn", "head_dim": 7},
        {**PAIRS, "mlm_head": False},
        {**ALBERT, **PAIRS, "mlm_head": False},
        {"mlm_head": False},
        {"mlm_head": False, "pooler": True},
        {"mlm_head": False, "token_types": 0},
        {**ALBERT, "mlm_head": False, "rank": 2},
        {"mlm_head": False, "pooler": True, "head_dim": 7},
    ],
)
def test_outputs_are_the_classs_by_name(changes, tmp_path):
    """Harm: a head is lost on the way, or its numbers come under another's name."""
    made = export_model(Model(drawn(changes), tokenizer(), {"id": "drawn"}), tmp_path / "out", onnx=True)
    theirs = getattr(transformers, made.architecture).from_pretrained(tmp_path / "out", local_files_only=True).eval()
    session = opened(tmp_path / "out")
    given, visible = feed(session, 4, 9)
    with torch.no_grad():
        wanted = theirs(**{name: torch.tensor(values) for name, values in given.items()})
    for output, found in zip(session.get_outputs(), session.run(None, given), strict=True):
        found, expected = torch.tensor(found), wanted[output.name]
        assert found.shape == expected.shape
        assert found.shape[-1] == output.shape[-1]
        some = visible if found.ndim == 3 else slice(None)
        torch.testing.assert_close(found[some], expected[some], rtol=0, atol=2e-5)
    heads = {"prediction_logits", "logits", "seq_relationship_logits", "sop_logits", "pooler_output"} & set(wanted)
    if changes.get("pooler"):
        assert heads <= {output.name for output in session.get_outputs()}


@pytest.mark.parametrize(
    ("changes", "bits"),
    [({"pooler": True}, 32), ({"pooler": True, "token_types": 0, "head_dim": 7}, 32), ({"pooler": True}, 8)],
)
def test_a_classifier_is_what_comes_out(changes, bits, tmp_path):
    """Harm: a fine-tuned student that hands out words instead of classes."""
    lineage = {"classifier.weight": torch.randn(3, 12), "classifier.bias": torch.randn(3)}
    bert = drawn(changes, bits)
    export_model(Model(bert, tokenizer(), {"classes": ["a", "b", "c"]}), tmp_path / "out", lineage, onnx=True)
    session = opened(tmp_path / "out")
    given, _ = feed(session, 4, 9)
    (found,) = session.run(["logits"], given)
    kinds = torch.tensor(given["token_type_ids"]) if bert.embeddings.tells_texts_apart else None
    with torch.no_grad():
        state = bert.encode(torch.tensor(given["input_ids"]), torch.tensor(given["attention_mask"]).bool(), kinds)
        wanted = bert.pooled(state) @ lineage["classifier.weight"].T + lineage["classifier.bias"]
    torch.testing.assert_close(torch.tensor(found), wanted, rtol=0, atol=2e-5 if bits == 32 else 0.05)


@pytest.mark.parametrize(
    ("name", "words"),
    [("plain", 8), ("plain", 32), ("distilbert", 8), ("all at once", 8), ("albert", 8), ("albert attention", 8)],
)
def test_int8_is_computed_with_our_own_bytes(name, words, tmp_path):
    """Harm: weights rounded a second time, or inputs that are rounded otherwise than in training."""
    bert = drawn(SHAPES[name], 8, words)
    export_model(Model(bert, tokenizer(), {"id": "drawn"}), tmp_path / "out", onnx=True)
    stored = {it.name: it for it in onnx.load(tmp_path / "out" / ONNX_FILE).graph.initializer}
    small = {name: it for name, it in bert.named_modules() if isinstance(it, Int8Linear | Int8Embedding)}
    small = {name: it for name, it in small.items() if f"{name}.weight" in stored}  # a pooler is not used here
    assert len(small) > 5
    for module, it in small.items():
        kept = torch.tensor(numpy_helper.to_array(stored[f"{module}.weight"]))
        assert kept.dtype == torch.uint8
        mine = kept.int() - 128
        assert torch.equal(mine.T if isinstance(it, Int8Linear) else mine, it.weight.int())
        assert torch.equal(torch.tensor(numpy_helper.to_array(stored[f"{module}.scale"])).flatten(), it.scale)
    floats = sum(parameter.numel() for name, parameter in bert.named_parameters() if parameter.dtype != torch.int8)
    assert sum(len(it.raw_data) for it in stored.values() if it.data_type == onnx.TensorProto.FLOAT) <= 4 * (
        floats + sum(len(it.scale) for it in small.values()) + 200
    )
    session = opened(tmp_path / "out")
    given, visible = feed(session, 6, 20)
    off = (torch.tensor(session.run(["logits"], given)[0]) - ours(bert, given))[visible].abs()
    # equal to 1e-5, unless some value lies between two whole numbers and falls on the other side
    assert off.mean() < 1e-3
    assert off.max() < 0.1
    assert off.median() < 2e-3
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    with torch.no_grad():
        loaded = theirs(**{name: torch.tensor(values) for name, values in given.items()}).logits
    plain = convert(bert, bert.shape.replace(linear_bits=32, table_bits=32)).eval()
    # for the library it is the product with the same weights, inputs not rounded
    torch.testing.assert_close(loaded[visible], ours(plain, given)[visible], rtol=0, atol=1e-5)


def test_one_int8_product_is_exact(tmp_path):
    """Harm: a kernel that saturates, or a step of a grid that is a hair off, hidden by a wide tolerance."""
    bert = drawn({"hidden": 32, "heads": 1, "ffn": 70, "layers": 1}, 8)
    up = bert.ffns[0].up
    with torch.no_grad():
        up.weight.fill_(127)  # what overflows 16 bits if anything does
        up.weight[::2] = -127
    model = product_alone(up)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = torch.randn(9, 5, 32, generator=torch.Generator().manual_seed(0))
    x[0], x[1, 0], x[2] = 1.0, 0.0, x[2] * 1e-20
    (found,) = session.run(None, {"x": x.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(found), up(x), rtol=1e-6, atol=1e-7)


def product_alone(linear):
    """An ONNX model of nothing but the product of an Int8Linear with "x" (batch, sequence, in)."""
    from engine.model.onnx_graph import _Graph, _linear

    graph = _Graph(onnx, nn.ModuleDict({"linear": linear}))
    last = _linear(graph, "x", linear)
    out, wide = linear.weight.shape
    helper = onnx.helper
    floats = onnx.TensorProto.FLOAT
    built = helper.make_graph(
        graph.nodes,
        "one",
        [helper.make_tensor_value_info("x", floats, ["b", "s", wide])],
        [helper.make_tensor_value_info(last, floats, ["b", "s", out])],
        list(graph.stored.values()),
    )
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_int8_takes_a_quarter_of_the_bytes_and_the_card_says_so(tmp_path):
    """Harm: a file that is called quantised and is as large as before."""
    teacher = load_teacher("microworld")
    small = convert(teacher.bert, Shape(**{**vars(teacher.bert.shape), "linear_bits": 8, "table_bits": 8})).eval()
    for name, bert in (("small", small), ("whole", teacher.bert)):
        export_model(Model(bert, teacher.tokenizer, {"id": name}), tmp_path / name, onnx=True)
    sizes = [(tmp_path / name / ONNX_FILE).stat().st_size for name in ("small", "whole")]
    assert sizes[0] < 0.28 * sizes[1]
    assert sizes[1] < 1.01 * (tmp_path / "whole" / "model.safetensors").stat().st_size
    readme, floats = (tmp_path / "small" / "README.md").read_text(), 4 * parameters(small.shape)
    assert f"{sizes[0]:,} bytes, {sizes[0] / floats:.0%} of the {floats:,}" in readme
    assert "- onnx" in readme
    session, (given, visible) = opened(tmp_path / "small"), feed(opened(tmp_path / "small"), 8, 40)
    off = (torch.tensor(session.run(["logits"], given)[0]) - ours(small, given))[visible].abs()
    assert off.mean() < 0.02  # of logits up to 15; 2e-7 where no rounding falls on the other side
    layers = Shape(**{**SIZES, **ALBERT, "sharing": "all", "layers": 40})
    write_onnx(randomise(Bert(layers)), tmp_path / "shared.onnx", INPUTS, "AlbertModel")
    own = [it for it in onnx.load(tmp_path / "shared.onnx").graph.initializer if "ffns" in it.name]
    assert len(own) == 6  # a shared layer is stored once


def test_beyond_what_one_file_holds_the_weights_lie_beside_it(tmp_path, monkeypatch):
    """Harm: a model of more than 2 GB ends in an error of a serialiser."""
    monkeypatch.setattr("engine.model.onnx_graph.LARGEST_FILE", 1000)
    bert = drawn(SHAPES["plain"])
    made = export_model(Model(bert, tokenizer(), {"id": "drawn"}), tmp_path / "out", onnx=True)
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("model.onnx*")]
    assert len(sizes) == 2
    assert f"{sum(sizes):,} bytes" in made.onnx
    session = opened(tmp_path / "out")
    given, visible = feed(session, 3, 8)
    found = torch.tensor(session.run(["logits"], given)[0])
    torch.testing.assert_close(found[visible], ours(bert, given)[visible], rtol=0, atol=2e-5)


def test_without_the_package_it_is_one_sentence_before_anything_is_written(tmp_path, monkeypatch):
    """Harm: a traceback, or a folder that is half an export."""
    for name in [name for name in sys.modules if name == "onnx" or name.startswith("onnx.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CheckpointError, match="pip install onnx") as caught:
        export_model(Model(drawn({}), tokenizer(), {}), tmp_path / "out", onnx=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert not export_model(Model(drawn({}), tokenizer(), {}), tmp_path / "out").onnx  # and without it nothing changes


def test_a_row_of_padding_alone_is_no_nan(tmp_path):
    """Harm: one empty text in a batch, and every number of a metric is none."""
    write_onnx(drawn({}), tmp_path / ONNX_FILE, INPUTS, "BertForMaskedLM")
    one = masked_batch()
    empty = {"input_ids": one.ids.numpy(), "attention_mask": np.zeros(one.ids.shape, np.int64)}
    (found,) = opened(tmp_path).run(None, empty | {"token_type_ids": np.zeros(one.ids.shape, np.int64)})
    assert np.isfinite(found).all()
