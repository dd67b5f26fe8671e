"""What configs leave out, name differently or ask for beside the usual: equal to the library's logits."""

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.inspection.probe import probe
from engine.model.bert import Bert
from engine.model.transformers_config import transformers_config
from engine.model.transformers_format import decoder_apart, from_transformers, to_transformers
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.builders import OLD_LIBRARY, randomise, teacher, tokenizer

BERT = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}
DISTILBERT = {"vocab_size": 40, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 16}
IDS = torch.tensor([[2, 7, 9, 11, 3], [2, 30, 31, 5, 3]])


def theirs(family: str, **fields):
    """The library's masked-LM model of a family, far from its initial weights, and the fields that were stated."""
    stated = {**(DISTILBERT if family == "DistilBert" else BERT), **fields}
    model = getattr(transformers, f"{family}ForMaskedLM")(getattr(transformers, f"{family}Config")(**stated))
    return randomise(model), {"model_type": family.lower(), **stated}


def assert_equal(ours: Bert, model) -> None:
    """The same logits to 1e-5."""
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS), model(IDS).logits, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("Bert", {}),
        ("Albert", {}),
        ("DistilBert", {}),
        ("Albert", {"embedding_size": 8, "num_hidden_groups": 2}),
        ("Albert", {"embedding_size": 8, "inner_group_num": 2}),
        ("Albert", {"embedding_size": 8, "inner_group_num": 3, "num_hidden_groups": 2, "num_hidden_layers": 4}),
        ("Bert", {"layer_norm_eps": 1e-5}),
        ("Bert", {"layer_norm_eps": 0.1}),
        ("Albert", {"embedding_size": 8, "layer_norm_eps": 0.1}),
        ("DistilBert", {"layer_norm_eps": 0.1}),
        *[("Bert", {"hidden_act": it}) for it in ("relu", "gelu_python", "gelu_fast", "gelu_accurate", "gelu_new")],
        ("Albert", {"embedding_size": 8, "hidden_act": "relu"}),
        ("DistilBert", {"activation": "relu"}),
        ("Bert", {"type_vocab_size": 1}),
        ("Bert", {"type_vocab_size": 3}),
    ],
)
def test_only_what_is_stated_is_needed(family, fields):
    """Harm: a default of another family, or an epsilon of another model, a little in every logit."""
    if OLD_LIBRARY and fields.get("inner_group_num") == 3:
        pytest.skip("transformers 4.57 cannot run it")
    model, stated = theirs(family, **fields)
    ours = from_transformers(stated, model.state_dict())
    assert_equal(ours, model)
    if family != "Albert" or stated.get("inner_group_num", 1) == 1:
        again = from_transformers(*to_transformers(ours))
        assert torch.equal(again(IDS), ours(IDS))
    assert Shape.from_json(ours.shape.to_json()) == ours.shape


@pytest.mark.parametrize("family", ["Bert", "Albert", "DistilBert"])
@pytest.mark.parametrize("kind", ["apart", "the same twice", "bias apart", "only the decoder's bias"])
def test_a_decoder_stored_apart_is_what_was_trained(family, kind, tmp_path):
    """Harm: a decoder that somebody trained apart is ignored because the config says tied."""
    if OLD_LIBRARY and kind != "the same twice":
        pytest.skip("transformers 4.57 is such a library")
    model, _ = theirs(family, **({"embedding_size": 8} if family == "Albert" else {}))
    model.save_pretrained(tmp_path)
    # copies, for the file is written anew
    tensors = {name: tensor.clone() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    head = {"Bert": "cls.predictions", "Albert": "predictions", "DistilBert": "vocab_projector"}[family]
    decoder = head if family == "DistilBert" else f"{head}.decoder"
    table = next(tensor for name, tensor in tensors.items() if name.endswith("word_embeddings.weight"))
    if kind in ("apart", "the same twice"):
        tensors[f"{decoder}.weight"] = table.flip(0).contiguous() if kind == "apart" else table.clone()
    elif family != "DistilBert":
        tensors[f"{decoder}.bias"] = tensors[f"{head}.bias"] + (kind == "bias apart")
    if kind == "only the decoder's bias" and family != "DistilBert":
        del tensors[f"{head}.bias"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    config = model.config.to_dict()
    assert decoder_apart(config, tensors) == (kind == "apart")
    ours = from_transformers(config, tensors)
    assert ours.shape.tied == (kind != "apart")
    assert_equal(ours, type(model).from_pretrained(tmp_path, local_files_only=True).eval())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, r"quantised \(bitsandbytes\)"),
        ({"quantization_config": True}, "quantised"),
        ({"type_vocab_size": 0}, "type_vocab_size is 0"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads"),
        ({"hidden_act": None}, "hidden_act in config.json should be a word"),
        ({"hidden_size": 16.0}, "hidden_size in config.json should be a whole number"),
        ({"vocab_size": True}, "vocab_size in config.json should be a whole number"),
        ({"tie_word_embeddings": "yes"}, "should be true or false"),
        ({"add_cross_attention": True}, "decoder"),
        ({"hidden_act": "x" * 500}, "activation"),
        ({"num_hidden_layers": 20}, "missing"),
        ({"layer_norm_eps": "1e-5"}, "layer_norm_eps in config.json should be a number"),
    ],
)
def test_odd_configs_are_one_short_sentence(fields, says):
    """Harm: a model that computes nonsense, or a page of an error's words."""
    model, stated = theirs("Bert")
    with pytest.raises(ShapeError, match=says) as caught:
        from_transformers({**stated, **fields}, model.state_dict())
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("prefix", "says"), [("module.", "prefixed with module."), ("model.net.", "prefixed with model.net.")]
)
def test_tensors_under_another_prefix_are_counted(prefix, says):
    """Harm: 4,072 letters, one sentence a tensor, where the reason is one prefix."""
    model, stated = theirs("Bert")
    tensors = {prefix + name: tensor for name, tensor in model.state_dict().items()}
    with pytest.raises(ShapeError, match=r"\d+ of \d+ tensors are missing, the first is") as caught:
        from_transformers(stated, tensors)
    assert says in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_whole_numbers_are_no_weights():
    """Harm: int8 weights read as numbers without their scales."""
    model, stated = theirs("Bert")
    tensors = dict(model.state_dict())
    name = "bert.encoder.layer.0.output.dense.weight"
    tensors[name] = tensors[name].to(torch.int8)
    with pytest.raises(ShapeError, match="holds int8"):
        from_transformers(stated, tensors)


def test_distilberts_class_has_one_epsilon():
    """Harm: an export that loads and computes something else."""
    with pytest.raises(ShapeError, match="DistilBERT's class has"):
        to_transformers(Bert(Shape(2, 16, 2, vocab=40, positions=16, token_types=0, norm_eps=1e-5)))
    assert "norm_eps" not in Shape().to_json()
    assert transformers_config(Shape(norm_eps=1e-5))["layer_norm_eps"] == 1e-5


@pytest.mark.parametrize("types", [0, 1])
def test_a_pair_of_texts_is_read_without_token_types(types):
    """Harm: an IndexError where a model with one kind of token sees a second text."""
    bert = teacher(token_types=types)
    seen = probe(bert, tokenizer(), "The girl sleeps.", second="The boy sleeps.")
    assert not seen.told_apart
    ids, pair = IDS, torch.tensor([[0, 0, 0, 1, 1]]).expand(2, -1)
    with torch.no_grad():
        assert torch.equal(bert(ids, types=pair), bert(ids))
        two = teacher(token_types=2)
        assert not torch.equal(two(ids, types=pair), two(ids))
