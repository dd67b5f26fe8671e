"""What an adaptation learned, in the layout of the library PEFT: adapter_config.json and adapter_model.safetensors.

Thin products are its LoRA with alpha equal to the rank, so that nothing is scaled; a product beside a word table that
also decodes stands beside the decoder, too. LayerNorms and the head's dense layer are its modules_to_save. All biases
learn (bias "all"), so with the adapter switched off PEFT still has these, as its documentation says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from engine.model.bert import Bert
from engine.model.exported_card import Provenance, hub_metadata, without_paths
from engine.model.transformers_config import FAMILIES
from engine.model.transformers_format import model_type, transformers_name, transformers_objections
from engine.sizing.shape import Shape
from engine.teachers.adapter import AdapterError

WEIGHTS = "adapter_model.safetensors"
MERGES_TWICE = (
    "Use it unmerged: it changes the word table, which also decodes, and PEFT's merge_and_unload would add that twice."
)
PREFIX = "base_model.model."  # before every name: PEFT's two shells around the library's model


def write_peft(folder: Path, original: Bert, student: Bert, learned: dict[str, Tensor], base: str) -> str:
    """Writes the adapter into `folder` so that PeftModel.from_pretrained(base, folder) computes what `student` does.

    The base is AutoModelForMaskedLM of `original`'s checkpoint. `learned`: the thin matrices and all else that is not
    the original's, by our parameters' names. `base`: its id on the Hub, or an empty string. Returns what is to be
    known before it is merged, or an empty string.

    Raises:
        AdapterError: PEFT has no such adapter, because no class of transformers holds the original.
    """
    shape = original.shape
    reasons = transformers_objections(shape)
    if 8 in (shape.linear_bits, shape.table_bits):
        reasons.append("its weights are int8")
    if reasons:
        raise AdapterError(
            f"PEFT adds to a model of transformers, and no class there holds this teacher ({'; '.join(reasons)}); "
            "export without --peft, or the adapted model as a whole."
        )
    kind = model_type(shape)
    ranks, saved, tensors = _tensors(kind, learned, shape.tied)
    if original.head is None and student.head is not None and student.head.decoder is not None:
        # a head of its own that the base comes without
        decoder = transformers_name("head.decoder.weight", kind)
        tensors[decoder] = student.head.decoder.weight.detach()
        tensors[decoder.replace("weight", "bias")] = learned["head.bias"]
        saved.add(decoder.removesuffix(".weight"))
    usual = Counter(ranks.values()).most_common(1)[0][0]
    others = {module: rank for module, rank in ranks.items() if rank != usual}
    family = f"{FAMILIES[kind]}ForMaskedLM"
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": None,
        "auto_mapping": {"base_model_class": family, "parent_library": f"transformers.models.{kind}.modeling_{kind}"},
        "base_model_name_or_path": base or None,
        "inference_mode": True,
        "r": usual,
        "lora_alpha": usual,
        "lora_dropout": 0.0,
        "rank_pattern": others,
        "alpha_pattern": others,
        "target_modules": sorted(ranks),
        "modules_to_save": sorted(saved),
        "bias": "all",
        "fan_in_fan_out": False,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    named = {PREFIX + name: tensor.float().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(named, folder / WEIGHTS, {"format": "pt"})
    return MERGES_TWICE if shape.tied and "embeddings.word.up" in learned else ""


def _tensors(kind: str, learned: dict[str, Tensor], tied: bool) -> tuple[dict[str, int], set[str], dict[str, Tensor]]:
    """(module -> rank of its LoRA, modules that are saved whole, tensors), by the library's names for `kind`."""
    ranks: dict[str, int] = {}
    saved: set[str] = set()
    tensors: dict[str, Tensor] = {}

    def module(owner: str) -> str:
        return transformers_name(f"{owner}.weight", kind).removesuffix(".weight")

    for name, up in learned.items():
        owner, _, part = name.rpartition(".")
        if part != "up":
            continue
        down, place = learned[f"{owner}.down"], module(owner)
        if owner == "embeddings.word":  # PEFT's embedding has both the other way round
            tensors |= {f"{place}.lora_embedding_A": up.T, f"{place}.lora_embedding_B": down.T}
            ranks[place], place = len(down), module("head.decoder")
            if not tied:
                continue
        tensors |= {f"{place}.lora_A.weight": down, f"{place}.lora_B.weight": up.clone()}
        ranks[place] = len(down)
    for name, tensor in learned.items():
        owner, _, part = name.rpartition(".")
        if part in ("up", "down"):
            continue
        place = module(owner)
        if name == "head.bias":  # the library's classes keep it under one name or two
            decoder = module("head.decoder")
            inner = f"{decoder}.base_layer" if decoder in ranks else decoder
            tensors[f"{inner}.bias"] = tensor
            if transformers_name(name, kind) != f"{decoder}.bias":
                tensors[transformers_name(name, kind)] = tensor.clone()
        elif place in ranks:
            tensors[f"{place}.base_layer.{part}"] = tensor
        else:
            tensors[f"{place}.{part}"] = tensor
            saved.add(place)
    return ranks, saved, tensors


def peft_card(card: Mapping[str, Any], shape: Shape, whence: Provenance, base: str, note: str) -> str:
    """README.md beside an adapter. `card`: the adapted model's. `base`: where the base is; empty: on somebody's disk.

    `note`: what is to be known before it is merged.
    """
    from huggingface_hub import ModelCard

    card = without_paths(card)
    name, family = str(card.get("id") or "An adapter"), FAMILIES[model_type(shape)]
    metadata = hub_metadata(card, name, shape, f"{family}ForMaskedLM", whence, "peft")
    return (
        str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n"))
        + f"""
# {name}

What an adaptation by Heirloom taught the model `{card.get("teacher")}`: thin products beside its linears, LayerNorms,
biases and a masked-LM head. Biases stay when the adapter is switched off. {note}

```python
from peft import PeftModel
from transformers import AutoModelForMaskedLM
base = AutoModelForMaskedLM.from_pretrained("{base or "the/folder/of/" + str(without_paths(card.get("teacher")))}")
model = PeftModel.from_pretrained(base, "this/folder")
```

Its scores and recipe are in `card.json`.
"""
    )
