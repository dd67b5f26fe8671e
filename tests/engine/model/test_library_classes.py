"""A count out of a config alone: the library's own class, built without weights, is the judge."""

import itertools
from typing import Any

import pytest
import torch
import transformers

from engine.model.library_classes import _OF_FAMILY, model_of_config
from engine.model.transformers_config import FAMILIES
from engine.sizing.cost import multiply_adds, parameters
from engine.sizing.shape import Shape, ShapeError

BERT = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40}
SIZES: dict[str, dict[str, Any]] = {
    "bert": BERT | {"vocab_size": 101, "max_position_embeddings": 33, "type_vocab_size": 3},
    "albert": BERT | {"vocab_size": 101, "num_hidden_layers": 6, "num_hidden_groups": 2, "embedding_size": 8},
    "distilbert": {"dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 40, "vocab_size": 101},
}
CHANGES: list[dict[str, Any]] = [
    {},
    {"tie_word_embeddings": False},
    {"id2label": {str(label): "a name" for label in range(5)}},
    {"num_labels": 1},
    {"inner_group_num": 3},
]
CLASSES = [(kind, FAMILIES[kind] + ending) for kind, endings in _OF_FAMILY.items() for ending in endings]


def built(config: dict[str, Any]) -> torch.nn.Module:
    """The model that the library makes of a config.json, without weights."""
    read = transformers.CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))
    with torch.device("meta"):
        return getattr(transformers, config["architectures"][0])(read)


def counted(model: torch.nn.Module) -> int:
    """Its parameters, tied and shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("kind", "name"), CLASSES)
def test_every_class_is_counted_as_the_library_builds_it(kind: str, name: str) -> None:
    """Harm: a checkpoint is counted with a head that it lacks, or without a pooler that it has."""
    for change in CHANGES:
        if "inner_group_num" in change and kind != "albert":
            continue
        config = {"model_type": kind, "architectures": [name], **SIZES[kind], **change}
        if name == "DistilBertForQuestionAnswering" and {"id2label", "num_labels"} & set(change):
            with pytest.raises(ShapeError, match="needs 2 labels"):
                model_of_config(config)
            continue
        found = model_of_config(config)
        assert found.parameters == counted(built(config)), change
        assert found.parameters == parameters(found.shape) + sum(found.left_out.values())
        said = " ".join(found.about)
        assert bool(found.left_out) == (f"{found.parameters:,} parameters with it" in said)
        assert max(map(len, found.about)) < 200


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_a_config_leaves_out_is_as_its_family_has_it(kind: str) -> None:
    """Harm: an ALBERT without embedding_size is counted with BERT's width, 3,968 x 30,000 too many."""
    for named in ("Model", "ForMaskedLM"):
        config = {"model_type": kind, "architectures": [FAMILIES[kind] + named]}
        assert model_of_config(config).parameters == counted(built(config))
    shape = model_of_config({"model_type": "albert"}).shape
    assert (shape.embedding, shape.hidden, shape.activation, shape.vocab) == (128, 4096, "gelu_new", 30000)


def test_every_field_is_read() -> None:
    """Harm: a size is ignored, and the count is that of another model."""
    changes = [{"vocab_size": 77}, {"max_position_embeddings": 20}, {"hidden_size": 32}, {"intermediate_size": 9}]
    changes += [{"num_hidden_layers": 5}, {"num_attention_heads": 8}, {"type_vocab_size": 1}, {"embedding_size": 5}]
    for family, change in itertools.product(("bert", "albert"), changes):
        config = {
            "model_type": family,
            "architectures": [f"{FAMILIES[family]}ForPreTraining"],
            **SIZES[family],
            **change,
        }
        assert model_of_config(config).parameters == counted(built(config)), (family, change)
    by_either_name = SIZES["distilbert"] | {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    for name in ("dim", "n_layers", "n_heads"):
        del by_either_name[name]
    config = {"model_type": "distilbert", "architectures": ["DistilBertForMaskedLM"], **by_either_name}
    assert model_of_config(config).parameters == counted(built(config))


def test_layers_of_a_group_run_as_often_as_the_library_runs_them() -> None:
    """Harm: an ALBERT whose groups have several layers is told to cost a third of what it does."""
    config = {"model_type": "albert", "architectures": ["AlbertModel"], **SIZES["albert"], "inner_group_num": 3}
    found = model_of_config(config)
    alone = Shape(layers=18, hidden=24, heads=4, ffn=40, vocab=101, embedding=8, family="albert", mlm_head=False)
    assert multiply_adds(found.shape.replace(pooler=False), 16) == multiply_adds(alone, 16)
    assert any("alternate" in note for note in found.about)


def test_what_is_chosen_silently_is_said() -> None:
    """Harm: a config of 2019 is counted as something, and nobody hears what as."""
    bare = model_of_config({"model_type": "bert", **SIZES["bert"]})
    assert (bare.name, "AutoModel" in bare.about[0]) == ("BertModel", True)
    old = model_of_config({"architectures": ["AlbertForMaskedLM"], **SIZES["albert"]})
    assert (old.shape.family, any("no model_type" in note for note in old.about)) == ("albert", True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "roberta", "architectures": ["RobertaForMaskedLM"]}, "Only BERT, DistilBERT and ALBERT"),
        ({"model_type": ["bert"]}, "Only BERT, DistilBERT and ALBERT"),
        ({"model_type": 7}, "Only BERT, DistilBERT and ALBERT"),
        ({"model_type": None, "architectures": None}, "names neither"),
        ({"model_type": None, "architectures": ["RobertaModel"]}, "names neither"),
        ({"architectures": ["RobertaForMaskedLM"]}, "architectures names 'RobertaForMaskedLM'"),
        ({"architectures": ["BertForEverything" * 40]}, "architectures names"),
        ({"architectures": ["AlbertModel"]}, "architectures names 'AlbertModel'"),
        ({"architectures": "BertModel"}, "a list of names"),
        ({"architectures": [3]}, "a list of names"),
        ({"hidden_size": 10**4000}, "hidden must be between"),
        ({"hidden_size": "768"}, "should be a whole number"),
        ({"hidden_size": 768.0}, "should be a whole number"),
        ({"hidden_size": True}, "should be a whole number"),
        ({"hidden_size": None}, "should be a whole number"),
        ({"hidden_size": 25}, "does not divide into"),
        ({"num_hidden_layers": -1}, "layers must be between"),
        ({"vocab_size": 0}, "vocab must be between"),
        ({"layer_norm_eps": 0}, "a number with a decimal point"),
        ({"layer_norm_eps": float("nan")}, "norm_eps must be a number between"),
        ({"hidden_act": "mish"}, "The activation must be one of"),
        ({"position_embedding_type": "relative_key"}, "Only absolute position"),
        ({"is_decoder": True}, "Only encoders"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"num_labels": 10**12}, "num_labels"),
        ({"num_labels": None}, "num_labels"),
        ({"id2label": ["a", "b"]}, "id2label"),
        ({"id2label": {"a": "b"}}, "id2label"),
        ({"type_vocab_size": 0}, "type_vocab_size is 0"),
    ],
)
def test_what_cannot_be_counted_is_one_sentence(change: dict[str, Any], says: str) -> None:
    """Harm: a traceback, a wrong count, or minutes of waiting for a number that nobody meant."""
    with pytest.raises(ShapeError, match=says) as caught:
        model_of_config(
            {"model_type": "bert", "architectures": ["BertForSequenceClassification"], **SIZES["bert"], **change}
        )
    assert len(caught.value.problems[0]) < 160
