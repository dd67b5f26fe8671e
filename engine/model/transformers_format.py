"""Checkpoints of the transformers library (BERT, DistilBERT, ALBERT), read and written.

Only this file knows the library's tensor names, and transformers_config.py its config's fields; "the library" is
transformers throughout. Our own format is in engine/model/saved_models.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine.model.bert import Bert
from engine.model.pruning import convert
from engine.model.stored_tensors import FLOATS, StoredTensor, as_loaded, of_today, stored_tensors
from engine.model.transformers_config import (
    FAMILIES,
    inner_group,
    model_type,
    shape_from_transformers,
    transformers_config,
    unrolled,
)
from engine.settings.error_text import on_one_line
from engine.settings.transformers_import import second_bias
from engine.sizing.shape import NORM_EPS, Shape, ShapeError

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
    if model_type(shape) == "distilbert" and shape.norm_eps != NORM_EPS:
        problems.append(f"its LayerNorms add {shape.norm_eps}, and DistilBERT's class has {NORM_EPS} alone")
    return problems


_MOST_LAYERS = 1000  # that share their weights
_NUMBERS = 1 << 22  # looked at together, so that a check of gigabytes needs megabytes


def checked_shape(config: dict[str, Any], stored: Mapping[str, StoredTensor], apart: bool = False) -> Shape:
    """The Shape of a library checkpoint whose tensors are all there, of the right size and of floating-point numbers.

    `apart`: the decoder's weights were found to differ from the table that the config ties them to, as decoder_apart.

    Raises:
        ShapeError: the checkpoint is of another kind, or its tensors do not fit its config.
    """
    stored = of_today(stored)
    shape = shape_from_transformers(config, stored)
    if apart:
        shape = shape.replace(tied=False)
    padding = config.get("pad_token_id")
    if isinstance(padding, int) and not -shape.vocab <= padding < shape.vocab:
        raise ShapeError([f"pad_token_id is {on_one_line(padding, 20)}, and there are {shape.vocab:,} rows of words."])
    if shape.layers > (_MOST_LAYERS if shape.sharing == "all" else len(stored)):  # building them would take minutes
        raise ShapeError([f"The config says {shape.layers:,} layers, and the weights hold {len(stored):,} tensors."])
    with torch.device("meta"):
        wanted = {name: tuple(parameter.shape) for name, parameter in Bert(shape).named_parameters()}
    sources = {name: _source(name, config, shape, stored) for name in wanted}
    missing = [theirs for theirs in sources.values() if theirs not in stored]
    there = [(theirs, wanted[name]) for name, theirs in sources.items() if theirs in stored]
    sizes = [
        f"{theirs} should be {size}, got {stored[theirs].size}."
        for theirs, size in there
        if stored[theirs].size != size
    ]
    kinds = [f"{theirs} holds {stored[theirs].kind}" for theirs, _ in there if stored[theirs].kind not in FLOATS]
    problems = []
    if len(missing) == 1 and missing[0] == transformers_name("head.decoder.bias", model_type(shape)):
        problems.append(f"it unties its decoder, and {missing[0]} is missing (version 5 of transformers adds zeros).")
    elif missing:
        problems.append(
            f"the tensor {missing[0]} is missing." if len(missing) == 1 else _many_missing(missing, sources, stored)
        )
    if sizes:
        problems.append(sizes[0] if len(sizes) == 1 else f"{len(sizes)} tensors are of another size: {sizes[0]}")
    if kinds:
        problems.append(f"{kinds[0]}, and floating-point numbers were expected; save the weights as plain float32.")
    if problems:
        raise ShapeError([f"The checkpoint does not fit its own config: {problems[0]}", *problems[1:]])
    return shape


def _many_missing(missing: list[str], sources: Mapping[str, str], stored: Mapping[str, StoredTensor]) -> str:
    text = f"{len(missing)} of {len(sources)} tensors are missing, the first is {missing[0]}"
    ends = {name.removesuffix(missing[0]) for name in stored if name.endswith(missing[0])}
    bare = missing[0].partition(".")[2]
    ends |= {name.removesuffix(bare) for name in stored if name.endswith(f".{bare}")}
    prefix = min(ends, key=len, default="")
    return f"{text}; they may be prefixed with {on_one_line(prefix, 30)}" if prefix else f"{text}."


def decoder_apart(config: dict[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    """Whether the decoder's weights are stored and differ from the word table, though the config ties the two.

    The library then does not tie them, with a warning: what is stored is what was trained.
    """
    tensors = of_today(tensors)
    shape = shape_from_transformers(config, tensors)
    kind = model_type(shape)
    table = tensors.get(_source("embeddings.word.weight", config, shape, tensors))
    decoder = tensors.get(transformers_name("head.decoder.weight", kind))
    if not shape.tied or table is None or decoder is None:
        return False
    if any(it.kind not in FLOATS for it in stored_tensors({"table": table, "decoder": decoder}).values()):
        return True  # so that checked_shape looks at the decoder, too, and says what it holds
    return (
        not torch.equal(table, decoder)
        if table.dtype == decoder.dtype
        else not torch.equal(table.float(), decoder.float())
    )


def check_finite(config: dict[str, Any], shape: Shape, tensors: Mapping[str, Tensor]) -> None:
    """Refuses weights that are no numbers as they are loaded; tensors that no model asks for may hold anything.

    `shape`: what checked_shape found.

    Raises:
        ShapeError: a tensor of the model holds NaN, an infinity or a number that is too large.
    """
    tensors = of_today(tensors)
    with torch.device("meta"):
        names = [name for name, _ in Bert(shape).named_parameters()]
    kind = as_loaded(config, tensors)
    for theirs in sorted({_source(name, config, shape, tensors) for name in names}):
        if not all(bool(part.to(kind).isfinite().all()) for part in tensors[theirs].reshape(-1).split(_NUMBERS)):
            raise ShapeError(
                [f"The tensor {theirs} holds NaN or infinite numbers; save the weights again, or take others."]
            )


def from_transformers(config: dict[str, Any], tensors: Mapping[str, Tensor]) -> Bert:
    """Our model with a library checkpoint's weights, in float32, rounded where the library rounds them.

    Raises:
        ShapeError: the checkpoint is of another kind, or a tensor is missing or of another size.
    """
    tensors = of_today(tensors)
    shape = checked_shape(config, stored_tensors(tensors), decoder_apart(config, tensors))
    bert, kind = Bert(shape), as_loaded(config, tensors)
    with torch.no_grad():
        for name, parameter in bert.named_parameters():
            parameter.copy_(tensors[_source(name, config, shape, tensors)].to(kind).float())
    return bert


def _source(name: str, config: dict[str, Any], shape: Shape, stored: Collection[str]) -> str:
    """Which tensor of the checkpoint becomes our parameter `name`."""
    kind = model_type(shape)
    theirs = transformers_name(name, kind)
    if unrolled(config):
        theirs = re.sub(r"layer_groups\.(\d+)\.albert_layers\.0", partial(_unrolled_place, config), theirs)
    if name == "head.bias" and kind != "distilbert":
        own = transformers_name("head.decoder.bias", kind)
        # the decoder's is the one that the library adds; where the config unties and none is stored, its version 5 adds
        # zeros and its version 4 has the head's alone, so with version 5 that one is wanted
        return own if own in stored or (second_bias() and not config.get("tie_word_embeddings", True)) else theirs
    # an encoder saved on its own has no "bert." in front of its names
    bare = theirs.removeprefix(f"{kind}.")
    return bare if theirs not in stored and bare in stored else theirs


def _unrolled_place(config: dict[str, Any], match: re.Match[str]) -> str:
    group, place = inner_group(config, int(match.group(1)))
    return f"layer_groups.{group}.albert_layers.{place}"


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
    config = {
        "architectures": [f"{FAMILIES[model_type(shape)]}ForSequenceClassification"],
        "id2label": {str(index): label for index, label in enumerate(classes)},
        "label2id": {label: index for index, label in enumerate(classes)},
    }
    return config, {label: tensor.detach().cpu() for label, tensor in classifier.items()}
