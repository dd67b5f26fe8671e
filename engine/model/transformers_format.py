"""Checkpoints of the transformers library (BERT, DistilBERT, ALBERT), read and written.

Only this file knows the library's tensor names and config fields; "the library" is transformers throughout. Our own
format is in engine/model/saved_models.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.model.bert import NORM_EPS, Bert
from engine.model.pruning import convert
from engine.sizing.shape import Shape, ShapeError

_COMMON = (
    (r"embeddings\.word\.", "embeddings.word_embeddings."),
    (r"embeddings\.position\.", "embeddings.position_embeddings."),
    (r"embeddings\.token_type\.", "embeddings.token_type_embeddings."),
    (r"\bnorm\.", "LayerNorm."),
)
_BERT_NAMES = (
    (r"^attentions\.(\d+)\.(query|key|value)\.", r"bert.encoder.layer.\1.attention.self.\2."),
    (r"^attentions\.(\d+)\.output\.", r"bert.encoder.layer.\1.attention.output.dense."),
    (r"^attentions\.(\d+)\.norm\.", r"bert.encoder.layer.\1.attention.output.LayerNorm."),
    (r"^ffns\.(\d+)\.up\.", r"bert.encoder.layer.\1.intermediate.dense."),
    (r"^ffns\.(\d+)\.down\.", r"bert.encoder.layer.\1.output.dense."),
    (r"^ffns\.(\d+)\.norm\.", r"bert.encoder.layer.\1.output.LayerNorm."),
    (r"^embeddings\.", "bert.embeddings."),
    (r"^pooler\.", "bert.pooler.dense."),
    (r"^head\.transform\.", "cls.predictions.transform.dense."),
    (r"^head\.norm\.", "cls.predictions.transform.LayerNorm."),
    (r"^head\.", "cls.predictions."),
    (r"^pair\.", "cls.seq_relationship."),
    *_COMMON,
)
_ALBERT_NAMES = (
    (r"^attentions\.(\d+)\.output\.", r"albert.encoder.albert_layer_groups.\1.albert_layers.0.attention.dense."),
    (r"^attentions\.(\d+)\.", r"albert.encoder.albert_layer_groups.\1.albert_layers.0.attention."),
    (r"^ffns\.(\d+)\.up\.", r"albert.encoder.albert_layer_groups.\1.albert_layers.0.ffn."),
    (r"^ffns\.(\d+)\.down\.", r"albert.encoder.albert_layer_groups.\1.albert_layers.0.ffn_output."),
    (r"^ffns\.(\d+)\.norm\.", r"albert.encoder.albert_layer_groups.\1.albert_layers.0.full_layer_layer_norm."),
    (r"^embeddings\.projection\.", "albert.encoder.embedding_hidden_mapping_in."),
    (r"^embeddings\.", "albert.embeddings."),
    (r"^pooler\.", "albert.pooler."),
    (r"^head\.transform\.", "predictions.dense."),
    (r"^head\.", "predictions."),
    (r"^pair\.", "sop_classifier.classifier."),
    *_COMMON,
)
_DISTILBERT_NAMES = (
    (r"^attentions\.(\d+)\.query\.", r"distilbert.transformer.layer.\1.attention.q_lin."),
    (r"^attentions\.(\d+)\.key\.", r"distilbert.transformer.layer.\1.attention.k_lin."),
    (r"^attentions\.(\d+)\.value\.", r"distilbert.transformer.layer.\1.attention.v_lin."),
    (r"^attentions\.(\d+)\.output\.", r"distilbert.transformer.layer.\1.attention.out_lin."),
    (r"^attentions\.(\d+)\.norm\.", r"distilbert.transformer.layer.\1.sa_layer_norm."),
    (r"^ffns\.(\d+)\.up\.", r"distilbert.transformer.layer.\1.ffn.lin1."),
    (r"^ffns\.(\d+)\.down\.", r"distilbert.transformer.layer.\1.ffn.lin2."),
    (r"^ffns\.(\d+)\.norm\.", r"distilbert.transformer.layer.\1.output_layer_norm."),
    (r"^embeddings\.", "distilbert.embeddings."),
    (r"^head\.transform\.", "vocab_transform."),
    (r"^head\.norm\.", "vocab_layer_norm."),
    (r"^head\.decoder\.", "vocab_projector."),
    (r"^head\.", "vocab_projector."),
    *_COMMON,
)
_NAMES = {"bert": _BERT_NAMES, "distilbert": _DISTILBERT_NAMES, "albert": _ALBERT_NAMES}
_NEEDED = (
    "num_hidden_layers",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "vocab_size",
    "max_position_embeddings",
)
_DISTILBERT_FIELDS = {  # what DistilBERT's config calls them
    "num_hidden_layers": "n_layers",
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}


def model_type(shape: Shape) -> str:
    """The library's name for the kind of model: a BERT without token types is its DistilBERT."""
    return "distilbert" if shape.family == "bert" and not shape.token_types else shape.family


def transformers_name(name: str, kind: str) -> str:
    """The library's name for our parameter `name` in a model of `kind`, as `model_type` gives it."""
    for pattern, replacement in _NAMES[kind]:
        name = re.sub(pattern, replacement, name)
    return name


def transformers_objections(shape: Shape) -> list[str]:
    """Why the library's classes cannot hold this shape, one sentence each; empty when they can."""
    problems = []
    if shape.layer_heads:
        problems.append(
            f"its layers have from {min(shape.layer_heads)} to {max(shape.layer_heads)} heads, and the library's "
            "classes have one number for all layers"
        )
    elif shape.inner != shape.hidden:
        problems.append(f"its heads span {shape.inner} dims, not the hidden width of {shape.hidden}")
    if shape.layer_ffn:
        problems.append(
            f"its FFNs are from {min(shape.layer_ffn):,} to {max(shape.layer_ffn):,} wide, and the library's classes "
            "have one width for all layers"
        )
    if shape.rank:
        problems.append(f"its linears are products of two factors of rank {shape.rank}, and the library's are whole")
    if shape.family == "bert" and (shape.sharing != "none" or shape.embedding != shape.hidden):
        problems.append("BERT's class knows neither shared layers nor factorised embeddings")
    if shape.family == "albert" and shape.sharing in ("attention", "ffn"):
        problems.append("ALBERT's class shares attention and FFN together or not at all")
    if not shape.token_types and (shape.family == "albert" or shape.pooler or shape.pair_head):
        problems.append("it has no token types, which only DistilBERT's class can do without: no ALBERT, no pooler")
    return problems


def transformers_config(shape: Shape) -> dict[str, Any]:
    """The fields of the library's config.json for `shape`."""
    kind = model_type(shape)
    name = {"bert": "Bert", "distilbert": "DistilBert", "albert": "Albert"}[kind]
    config: dict[str, Any] = {
        "model_type": kind,
        "architectures": [name + ("ForMaskedLM" if shape.mlm_head else "Model")],
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "hidden_act": shape.activation,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.token_types,
        "layer_norm_eps": NORM_EPS,
        "pad_token_id": 0,
        "tie_word_embeddings": shape.tied,
    }
    if kind == "distilbert":
        del config["type_vocab_size"], config["layer_norm_eps"]  # its class has the one epsilon
        config = {_DISTILBERT_FIELDS.get(name, name): value for name, value in config.items()}
        config |= {"tie_weights_": shape.tied, "sinusoidal_pos_embds": False}
    if kind == "albert":
        owners = shape.groups if shape.sharing == "all" else shape.layers
        config |= {"embedding_size": shape.embedding, "num_hidden_groups": owners, "inner_group_num": 1}
    return config


def shape_from_transformers(config: dict[str, Any], names: set[str]) -> Shape:
    """The Shape of a library checkpoint, from its config.json and the names of its tensors.

    Raises:
        ShapeError: not BERT or ALBERT, or a feature this model does not have (relative positions, another activation).
    """
    kind = config.get("model_type", "bert")
    if kind not in _NAMES:
        raise ShapeError([f"Only BERT, DistilBERT and ALBERT checkpoints can be read, got model_type {kind!r}."])
    if kind == "distilbert":
        config = {ours: config[theirs] for ours, theirs in _DISTILBERT_FIELDS.items() if theirs in config} | config
        config["type_vocab_size"] = 0
    family = "albert" if kind == "albert" else "bert"
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise ShapeError(["Only absolute position embeddings can be read; this checkpoint has relative ones."])
    if config.get("is_decoder") or config.get("inner_group_num", 1) != 1:
        raise ShapeError(["Only encoders with one layer a group can be read; this is a decoder, or has more."])
    absent = [name for name in _NEEDED if name not in config]
    if absent:
        raise ShapeError([f"The checkpoint's config.json lacks {', '.join(absent)}."])
    if config.get("layer_norm_eps", NORM_EPS) != NORM_EPS:
        raise ShapeError([f"LayerNorm's epsilon must be {NORM_EPS}, got {config['layer_norm_eps']}."])
    bare = {name.removeprefix("bert.").removeprefix("albert.").removeprefix("distilbert.") for name in names}
    albert = {"embedding": config.get("embedding_size"), "sharing": "all", "groups": config.get("num_hidden_groups", 1)}
    return Shape(
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        heads=config["num_attention_heads"],
        ffn=config["intermediate_size"],
        vocab=config["vocab_size"],
        positions=config["max_position_embeddings"],
        token_types=config.get("type_vocab_size", 2),
        family=family,
        activation={"gelu_pytorch_tanh": "gelu_new"}.get(
            config.get("hidden_act", "gelu"), config.get("hidden_act", "gelu")
        ),
        pooler=any(name.startswith("pooler.") for name in bare),
        mlm_head=any("predictions." in name or name.startswith("vocab_transform.") for name in bare),
        pair_head=any("seq_relationship" in name or "sop_classifier" in name for name in bare),
        tied=config.get("tie_word_embeddings", True),
        **(albert if family == "albert" else {}),
    )


def from_transformers(config: dict[str, Any], tensors: dict[str, Tensor]) -> Bert:
    """Our model with a library checkpoint's weights, in float32.

    Raises:
        ShapeError: the checkpoint is of another kind, or a tensor is missing or of another size.
    """
    tensors = {re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name): tensor for name, tensor in tensors.items()}
    tensors = {re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name): tensor for name, tensor in tensors.items()}
    shape = shape_from_transformers(config, set(tensors))
    kind = model_type(shape)
    if not shape.tied:  # an untied decoder has a bias of its own, and the library's forward pass uses that one
        head = transformers_name("head.", kind)
        if f"{head}decoder.bias" in tensors:
            tensors[f"{head}bias"] = tensors[f"{head}decoder.bias"]
    bert, problems = Bert(shape), []
    with torch.no_grad():
        for name, parameter in bert.named_parameters():
            theirs = transformers_name(name, kind)
            # an encoder saved on its own has no "bert." in front of its names
            found = tensors.get(theirs, tensors.get(theirs.removeprefix(f"{kind}.")))
            if found is None:
                problems.append(f"the tensor {theirs} is missing.")
            elif found.shape != parameter.shape:
                problems.append(f"{theirs} should be {tuple(parameter.shape)}, got {tuple(found.shape)}.")
            else:
                parameter.copy_(found.float())
    if problems:
        raise ShapeError([f"The checkpoint does not fit its own config: {problems[0]}", *problems[1:]])
    return bert


def to_transformers(bert: Bert) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(config.json fields, tensors) that the library's AutoModelForMaskedLM loads; int8 weights become float32.

    Raises:
        ShapeError: the library's classes cannot express this shape.
    """
    reasons = transformers_objections(bert.shape)
    if reasons:
        raise ShapeError([f"The library cannot hold this model: {'; '.join(reasons)}."])
    kind = model_type(bert.shape)
    if bert.shape.compressions:
        bert = convert(bert, bert.shape.plain())
    tensors = {transformers_name(name, kind): p.detach().cpu() for name, p in bert.named_parameters()}
    if kind != "distilbert" and bert.head is not None and not bert.shape.tied:
        tensors[transformers_name("head.decoder.bias", kind)] = bert.head.bias.detach().cpu().clone()
    return transformers_config(bert.shape), tensors


def classifier_to_transformers(
    shape: Shape, classifier: dict[str, Tensor], classes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(config.json fields, tensors) more that make of a model with a pooler one that AutoModelForSequenceClassification
    loads. `classifier`: "classifier.weight" (class, hidden) and "classifier.bias" (class,), behind the pooler.
    """
    name = {"bert": "Bert", "albert": "Albert"}[model_type(shape)]
    config = {
        "architectures": [f"{name}ForSequenceClassification"],
        "id2label": {str(index): label for index, label in enumerate(classes)},
        "label2id": {label: index for index, label in enumerate(classes)},
    }
    return config, {label: tensor.detach().cpu() for label, tensor in classifier.items()}
