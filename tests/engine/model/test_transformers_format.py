import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.model.bert import Bert
from engine.model.transformers_format import from_transformers, shape_from_transformers, to_transformers
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.builders import randomise

SIZES = {
    "vocab_size": 60,
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "attn_implementation": "eager",
}
BERT = SIZES | {"layer_norm_eps": 1e-12}
ALBERT = SIZES | {"embedding_size": 10}
THEIRS = {
    "masked-LM, tied": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**BERT)),
    "masked-LM, untied": lambda: transformers.BertForMaskedLM(
        transformers.BertConfig(**BERT, tie_word_embeddings=False)
    ),
    "pretraining": lambda: transformers.BertForPreTraining(transformers.BertConfig(**BERT)),
    "tanh gelu": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**BERT, hidden_act="gelu_new")),
    "ALBERT, one group": lambda: transformers.AlbertForMaskedLM(transformers.AlbertConfig(**ALBERT)),
    "ALBERT, uneven groups": lambda: transformers.AlbertForMaskedLM(
        transformers.AlbertConfig(**ALBERT, num_hidden_groups=3)
    ),
    "ALBERT, untied": lambda: transformers.AlbertForMaskedLM(
        transformers.AlbertConfig(**ALBERT, num_hidden_groups=2, tie_word_embeddings=False)
    ),
    "ALBERT, pretraining": lambda: transformers.AlbertForPreTraining(
        transformers.AlbertConfig(**ALBERT, num_hidden_groups=2)
    ),
}


def inputs():
    """ids, visible, types: three rows, two of them padded, with both token types."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(0, 60, (3, 11), generator=generator)
    visible = torch.ones(3, 11, dtype=torch.bool)
    visible[1, 7:] = visible[2, 3:] = False
    return ids, visible, torch.randint(0, 2, (3, 11), generator=generator)


def assert_same(ours, theirs, **extra):
    """Logits, hidden states, attentions and pair logits of both, at visible positions, within 1e-5."""
    ids, visible, types = inputs()
    trace = {"hidden": [], "attentions": []}
    logits = ours(ids, visible, types, trace=trace)
    found = theirs(
        input_ids=ids,
        attention_mask=visible.long(),
        token_type_ids=types,
        output_hidden_states=True,
        output_attentions=True,
    )
    expected = found.logits if hasattr(found, "logits") else found.prediction_logits
    assert len(found.attentions) == len(trace["attentions"]) == ours.shape.layers
    assert len(found.hidden_states) == len(trace["hidden"]) == ours.shape.layers + 1
    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(logits[visible], expected[visible], **close)
    for mine, other in zip(trace["hidden"], found.hidden_states, strict=True):
        torch.testing.assert_close(mine[visible], other[visible], **close)
    for mine, other in zip(trace["attentions"], found.attentions, strict=True):
        torch.testing.assert_close(mine.transpose(1, 2)[visible], other.transpose(1, 2)[visible], **close)
    pair = getattr(found, "seq_relationship_logits", getattr(found, "sop_logits", None))
    if pair is not None:
        torch.testing.assert_close(ours.pair_logits(trace["hidden"][-1]), pair, **close)


@pytest.mark.parametrize("name", THEIRS)
def test_our_model_computes_what_the_librarys_computes(name, tmp_path):
    """Harm: everything shown of a well-known checkpoint is slightly wrong, and nobody notices."""
    theirs = randomise(THEIRS[name]())
    theirs.save_pretrained(tmp_path)
    ours = from_transformers(
        json.loads((tmp_path / "config.json").read_text()), load_file(tmp_path / "model.safetensors")
    )
    assert ours.shape.pair_head == ("pretraining" in name)
    assert ours.shape.tied == ("untied" not in name)
    assert_same(ours, theirs)


@pytest.mark.parametrize("tied", [True, False])
def test_an_encoder_saved_on_its_own_is_read(tied):
    """Harm: sentence encoders, the commonest checkpoints, have no head and no "bert." prefix, and are refused."""
    theirs = randomise(transformers.BertModel(transformers.BertConfig(**BERT, tie_word_embeddings=tied)))
    assert not any(name.startswith(("bert.", "cls.")) for name in theirs.state_dict())
    ours = from_transformers(theirs.config.to_dict(), theirs.state_dict())
    assert ours.head is None
    assert ours.pooler is not None
    ids, visible, types = inputs()
    expected = theirs(input_ids=ids, attention_mask=visible.long(), token_type_ids=types).last_hidden_state
    torch.testing.assert_close(ours.encode(ids, visible, types)[visible], expected[visible], rtol=0, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_distilbert_is_read_and_written(tied, tmp_path):
    """Harm: the best-known small BERT cannot teach, and a student made in its way cannot leave the app."""
    sizes = {"vocab_size": 60, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 40, "max_position_embeddings": 20}
    config = transformers.DistilBertConfig(**sizes, tie_word_embeddings=tied, attn_implementation="eager")
    theirs = randomise(transformers.DistilBertForMaskedLM(config))
    theirs.save_pretrained(tmp_path)
    ours = from_transformers(
        json.loads((tmp_path / "config.json").read_text()), load_file(tmp_path / "model.safetensors")
    )
    assert (ours.shape.token_types, ours.shape.tied) == (0, tied)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    ids, visible, _ = inputs()
    expected = theirs(input_ids=ids, attention_mask=visible.long()).logits
    torch.testing.assert_close(ours(ids, visible)[visible], expected[visible], rtol=0, atol=1e-5)

    written, tensors = to_transformers(ours)
    (tmp_path / "again").mkdir()
    (tmp_path / "again/config.json").write_text(json.dumps(written))
    save_file(
        {name: t.contiguous() for name, t in tensors.items()}, tmp_path / "again/model.safetensors", {"format": "pt"}
    )
    back, about = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "again", output_loading_info=True)
    assert type(back).__name__ == "DistilBertForMaskedLM"
    assert not about["missing_keys"]
    assert not about["unexpected_keys"]
    found = back.eval()(input_ids=ids, attention_mask=visible.long()).logits
    torch.testing.assert_close(found[visible], expected[visible], rtol=0, atol=1e-5)


def test_old_checkpoints_with_gamma_and_beta_are_read():
    """Harm: Google's own BERT files, which name gains gamma and offsets beta, are refused as damaged."""
    theirs = randomise(THEIRS["pretraining"]())
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in theirs.state_dict().items()
    }
    assert sum(name.endswith(("gamma", "beta")) for name in old) == 2 * (1 + 2 * 4 + 1)
    assert_same(from_transformers(theirs.config.to_dict(), old), theirs)


def test_half_precision_checkpoints_become_float32():
    """Harm: compactor products in half precision drown in rounding."""
    theirs = randomise(THEIRS["masked-LM, tied"]()).to(torch.bfloat16)
    ours = from_transformers(theirs.config.to_dict(), theirs.state_dict())
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    assert torch.equal(ours.embeddings.word.weight, theirs.bert.embeddings.word_embeddings.weight.float())


SMALL = {"layers": 3, "hidden": 12, "heads": 3, "ffn": 20, "vocab": 60, "positions": 16}


@pytest.mark.parametrize(
    "shape",
    [
        Shape(**SMALL),
        Shape(**SMALL, tied=False),
        Shape(**SMALL, activation="gelu_new"),
        Shape(**SMALL, family="albert", sharing="all", groups=2, embedding=8),
        Shape(**SMALL, family="albert", embedding=8, tied=False),
    ],
    ids=["bert", "untied", "tanh", "albert", "albert unshared untied"],
)
def test_what_we_write_the_library_loads_and_computes_the_same(shape, tmp_path):
    """Harm: an exported student that loads with fresh random tensors in it, or computes something else."""
    ours = randomise(Bert(shape))
    config, tensors = to_transformers(ours)
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "model.safetensors")
    theirs, report = transformers.AutoModelForMaskedLM.from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager", local_files_only=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    assert sum(p.numel() for p in theirs.parameters()) >= sum(p.numel() for p in ours.parameters())
    assert_same(ours, theirs.eval())
    again = from_transformers(config, tensors)
    assert torch.equal(again(inputs()[0]), ours(inputs()[0]))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"head_dim": 2}, "heads span 6 dims"),
        ({"sharing": "all"}, "shared layers"),
        ({"embedding": 6}, "factorised"),
        ({"token_types": 0, "pooler": True}, "token types"),
        ({"family": "albert", "sharing": "ffn"}, "together or not at all"),
    ],
)
def test_a_shape_that_the_library_cannot_hold_is_refused(changes, word):
    """Harm: an export that silently drops what makes the student special."""
    with pytest.raises(ShapeError, match=word) as caught:
        to_transformers(Bert(Shape(**SMALL, **changes)))
    assert len(caught.value.problems) == 1
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"position_embedding_type": "relative_key"}, "absolute"),
        ({"model_type": "roberta"}, "roberta"),
        ({"layer_norm_eps": -1e-5}, "norm_eps"),
        ({"hidden_act": "silu"}, "activation"),
        ({"is_decoder": True}, "decoder"),
        ({"num_attention_heads": 5}, "5 heads"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(changes, word):
    """Harm: a model that loads and computes nonsense."""
    theirs = THEIRS["masked-LM, tied"]()
    with pytest.raises(ShapeError, match=word) as caught:
        from_transformers({**theirs.config.to_dict(), **changes}, theirs.state_dict())
    assert len(caught.value.problems) == 1


def test_what_a_config_does_not_say_is_its_familys():
    """Harm: an ALBERT that says no activation is read with BERT's, and every logit is a little wrong."""
    assert shape_from_transformers({"model_type": "bert", "num_hidden_layers": 2}, set()).hidden == 768
    assert shape_from_transformers({"model_type": "albert"}, set()).activation == "gelu_new"


def test_missing_and_misshaped_tensors_are_named():
    """Harm: a truncated download trains as if part of it had been random on purpose."""
    theirs = THEIRS["masked-LM, untied"]()
    tensors = dict(theirs.state_dict())
    del tensors["bert.encoder.layer.2.output.dense.bias"]
    tensors["cls.predictions.bias"] = tensors["cls.predictions.decoder.bias"] = torch.zeros(3)
    with pytest.raises(ShapeError) as caught:
        from_transformers(theirs.config.to_dict(), tensors)
    assert len(caught.value.problems) == 2
    assert "bert.encoder.layer.2.output.dense.bias is missing" in str(caught.value)
    assert "should be (60,), got (3,)" in str(caught.value)
