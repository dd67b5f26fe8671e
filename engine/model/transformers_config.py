"""The config.json of the transformers library: a Shape out of one, and one out of a Shape.

What a config does not say is as its family's config class has it: ALBERT's activation is not BERT's.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from engine.settings.transformers_import import default_config
from engine.sizing.shape import NORM_EPS, Shape, ShapeError

FAMILIES = {"bert": "Bert", "distilbert": "DistilBert", "albert": "Albert"}  # model_type -> how its classes are called
ACTIVATIONS = {  # the library's name -> ours; several of its names are the same function
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_accurate": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_python_tanh": "gelu_new",
    "relu": "relu",
}
_FIELDS = {  # of Shape -> the library's
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "ffn": "intermediate_size",
    "vocab": "vocab_size",
    "positions": "max_position_embeddings",
    "token_types": "type_vocab_size",
    "activation": "hidden_act",
    "norm_eps": "layer_norm_eps",
    "tied": "tie_word_embeddings",
}
_ALBERT_FIELDS = {"embedding": "embedding_size", "groups": "num_hidden_groups", "inner": "inner_group_num"}
_DISTILBERT_FIELDS = {  # what DistilBERT's config calls them
    "num_hidden_layers": "n_layers",
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
_TYPES: dict[str, type] = {"hidden_act": str, "layer_norm_eps": float, "tie_word_embeddings": bool}  # others: int
_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}


def model_type(shape: Shape) -> str:
    """The library's name for the kind of model: a BERT without token types is its DistilBERT."""
    return "distilbert" if shape.family == "bert" and not shape.token_types else shape.family


def transformers_config(shape: Shape) -> dict[str, Any]:
    """The fields of the library's config.json for `shape`."""
    kind = model_type(shape)
    config: dict[str, Any] = {
        "model_type": kind,
        "architectures": [FAMILIES[kind] + ("ForMaskedLM" if shape.mlm_head else "Model")],
        "vocab_size": shape.vocab,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.ffn,
        "hidden_act": shape.activation,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.token_types,
        "layer_norm_eps": shape.norm_eps,
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


def shape_from_transformers(config: dict[str, Any], names: Collection[str]) -> Shape:
    """The Shape of a library checkpoint, from its config.json and the names of its tensors.

    An ALBERT with several layers in a group is unrolled: the same computation with every layer's weights of its own.

    Raises:
        ShapeError: not BERT or ALBERT, or a feature this model does not have (relative positions, another activation).
    """
    kind = config.get("model_type") or _kind_of_names(names)
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ShapeError(
            [f"Only BERT, DistilBERT and ALBERT checkpoints can be read, got model_type {str(kind)[:40]!r}."]
        )
    _refuse_features(config)
    fixed = {"token_types": 0, "norm_eps": NORM_EPS} if kind == "distilbert" else {}  # whatever its config says
    said = {ours: _value(config, kind, name) for ours, name in _FIELDS.items() if ours not in fixed}
    fields: dict[str, Any] = said | fixed
    if not fixed and not fields["token_types"]:
        raise ShapeError([f"type_vocab_size is 0, and a {FAMILIES[kind]} adds one kind at least; expected 1 or more."])
    if fields["activation"] not in ACTIVATIONS:
        raise ShapeError(
            [f"The activation must be one of {', '.join(ACTIVATIONS)}, got {str(fields['activation'])[:40]!r}."]
        )
    fields["activation"] = ACTIVATIONS[fields["activation"]]
    if kind == "albert":
        more = {ours: _value(config, kind, name) for ours, name in _ALBERT_FIELDS.items()}
        inner = more.pop("inner")
        if inner != 1:  # layers of a group alternate, which no sharing of ours says
            _check_inner(inner, fields["layers"], more["groups"])
            more, fields["layers"] = {"embedding": more["embedding"]}, fields["layers"] * inner
        fields |= {**more, "family": "albert", "sharing": "all" if inner == 1 else "none"}
    bare = {name.removeprefix("bert.").removeprefix("albert.").removeprefix("distilbert.") for name in names}
    return Shape(
        **fields,
        pooler=any(name.startswith("pooler.") for name in bare),
        mlm_head=any("predictions." in name or name.startswith("vocab_transform.") for name in bare),
        pair_head=any("seq_relationship" in name or "sop_classifier" in name for name in bare),
    )


def inner_group(config: dict[str, Any], layer: int) -> tuple[int, int]:
    """(group, place in it) of the weights that `layer` (0-based) of an unrolled ALBERT uses."""
    layers, groups, inner = (
        _value(config, "albert", name) for name in ("num_hidden_layers", "num_hidden_groups", "inner_group_num")
    )
    return int(layer // inner / (layers / groups)), layer % inner


def unrolled(config: dict[str, Any]) -> bool:
    """Whether a library's ALBERT has several layers in a group, which `shape_from_transformers` unrolls."""
    return config.get("model_type", "albert") == "albert" and config.get("inner_group_num", 1) != 1


def _check_inner(inner: int, layers: int, groups: int) -> None:
    if not 1 <= inner <= 100 or not 1 <= groups <= layers <= 1000:
        raise ShapeError(
            [f"inner_group_num {inner} does not fit {groups} groups of {layers} layers; expected 1 to 100 in a group."]
        )


def _kind_of_names(names: Collection[str]) -> str:
    """The family of a checkpoint whose config does not say it (the library's of 2019 did not)."""
    if any("albert_layer_groups." in name for name in names):
        return "albert"
    return "distilbert" if any(".q_lin." in name for name in names) else "bert"


def _refuse_features(config: dict[str, Any]) -> None:
    """Raises ShapeError where a config asks for what would be computed wrongly without a word."""
    if config.get("position_embedding_type") not in (None, "absolute"):
        raise ShapeError(["Only absolute position embeddings can be read; this checkpoint has relative ones."])
    if config.get("is_decoder") or config.get("add_cross_attention") or config.get("is_encoder_decoder"):
        raise ShapeError(["Only encoders can be read; this checkpoint's config says that it is a decoder."])
    if config.get("pruned_heads"):
        raise ShapeError(["This checkpoint's config lists pruned_heads, which cannot be read; save it with all heads."])
    if quantised := config.get("quantization_config"):
        how = quantised.get("quant_method", "a method not named") if isinstance(quantised, dict) else quantised
        raise ShapeError(
            [
                f"This checkpoint is quantised ({str(how)[:40]}), and its numbers mean nothing without their scales; "
                "save it dequantised, in float16 or float32."
            ]
        )


def _value(config: dict[str, Any], kind: str, name: str) -> Any:
    """What the config says of `name`, the library's word for it, or its family's config class, if it says nothing.

    Raises:
        ShapeError: it is of another kind than the class's own value.
    """
    names = [name]
    if kind == "distilbert" and name in _DISTILBERT_FIELDS:  # three of them the library reads by either name
        names = [_DISTILBERT_FIELDS[name], *({name} - {"intermediate_size", "hidden_act"})]
    wanted = _TYPES.get(name, int)
    for name in names:
        if name not in config:
            continue
        said, allowed = config[name], (int, float) if wanted is float else wanted
        if not isinstance(said, allowed) or (isinstance(said, bool) and wanted is not bool):
            raise ShapeError([f"{name} in config.json should be {_KINDS[wanted]}, got {str(said)[:40]!r}."])
        return said
    if wanted is bool:
        return True  # of all three families; asking the library costs seconds
    return getattr(default_config(kind), names[0])
