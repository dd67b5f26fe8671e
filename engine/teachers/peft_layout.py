"""What an adaptation learned, in the layout of the library PEFT: adapter_config.json and adapter_model.safetensors.

Thin products are its LoRA with alpha equal to the rank, so that nothing is scaled; a product beside a word table that
also decodes stands beside the decoder, too. LayerNorms and the head's dense layer are its modules_to_save. All biases
learn (bias "all"), so with the adapter switched off PEFT still has these, as its documentation says.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from engine.model.bert import Bert
from engine.model.transformers_config import FAMILIES
from engine.model.transformers_format import model_type, transformers_name, transformers_objections
from engine.teachers.adapter import AdapterError

PREFIX = "base_model.model."  # before every name: PEFT's two shells around the library's model


def write_peft(folder: Path, original: Bert, student: Bert, learned: dict[str, Tensor], base: str) -> int:
    """Writes the adapter into `folder` so that PeftModel.from_pretrained(base, folder) computes what `student` does.

    The base is AutoModelForMaskedLM of `original`'s checkpoint. `learned`: the thin matrices and all else that is not
    the original's, by our parameters' names. `base`: its id on the Hub, or an empty string. Returns its size in bytes.

    Raises:
        AdapterError: PEFT has no such adapter, because no class of transformers holds the original.
    """
    shape = original.shape
    if reasons := transformers_objections(shape) or ["its weights are int8"] * (8 in (shape.linear_bits, shape.table_bits)):
        raise AdapterError(
            f"PEFT adds to a model of transformers, and no class there holds the teacher ({'; '.join(reasons)}); export "
            "without --peft, or the adapted model as a whole."
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
    path = folder / "adapter_model.safetensors"
    save_file({PREFIX + name: t.float().cpu().contiguous() for name, t in tensors.items()}, path, {"format": "pt"})
    return path.stat().st_size


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
            tensors |= {f"{inner}.bias": tensor, **({transformers_name(name, kind): tensor.clone()})}
        elif place in ranks:
            tensors[f"{place}.base_layer.{part}"] = tensor
        else:
            tensors[f"{place}.{part}"] = tensor
            saved.add(place)
    return ranks, saved, tensors
