"""The library's classes by name: which heads each one builds, so that a config.json alone gives an exact count.

Knows the names under `architectures` in a config, and what a class has that no Shape can say. No weights, no torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from engine.model.transformers_config import FAMILIES, known_family, shape_from_transformers, stored_layers, unrolled
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape, ShapeError

_NUMBER = re.compile(r"-?[0-9]{1,18}")
MOST_LABELS = 10**6  # of a classifier; more are a slip of the keyboard
_EVERY_FAMILY = {  # how a class's name ends -> the heads of a Shape that it builds
    "Model": ("pooler",),
    "ForMaskedLM": ("mlm_head",),
    "ForPreTraining": ("pooler", "mlm_head", "pair_head"),
    "ForSequenceClassification": ("pooler",),
    "ForMultipleChoice": ("pooler",),
    "ForTokenClassification": (),
    "ForQuestionAnswering": (),
}
_BERT_ONLY = {"LMHeadModel": ("mlm_head",), "ForNextSentencePrediction": ("pooler", "pair_head")}
_OF_FAMILY: dict[str, dict[str, tuple[str, ...]]] = {
    "bert": {**_EVERY_FAMILY, **_BERT_ONLY},
    "albert": _EVERY_FAMILY,
    "distilbert": {  # never a pooler, and no sentence pairs
        name: tuple(head for head in heads if head == "mlm_head")
        for name, heads in _EVERY_FAMILY.items()
        if name != "ForPreTraining"
    },
}


@dataclass(frozen=True)
class LibraryModel:
    """What the library would build from a config.json, as far as a Shape says it, and what is left out."""

    name: str  # of the class
    shape: Shape
    left_out: dict[str, int] = field(default_factory=dict)  # part -> parameters that the class has beside the Shape's
    notes: tuple[str, ...] = ()  # what was chosen where the config says nothing or two things, a sentence each
    named: bool = True  # False: the config names no class, and a note says which one was taken

    @property
    def parameters(self) -> int:
        """How many parameters the class has, tied and shared ones once."""
        return parameters(self.shape) + sum(self.left_out.values())

    @property
    def about(self) -> list[str]:
        """What is to be said of the count, a sentence each."""
        said = [f"Counted as {self.name}, which its config names."] if self.named else []
        said += self.notes
        if self.left_out:
            parts = " and ".join(f"{part} ({count:,})" for part, count in self.left_out.items())
            said.append(f"Left out of the count: {parts}; {self.name} has {self.parameters:,} parameters with it.")
        return said


def model_of_config(config: dict[str, Any]) -> LibraryModel:
    """The model that the library would build from `config`, the object in a config.json.

    A config without `architectures` is the bare encoder, as the library's AutoModel builds it.

    Raises:
        ShapeError: it is of another family, names a class that is not known here, or has a feature no Shape has.
    """
    named = said = _named_class(config)
    kind, notes = config.get("model_type"), []
    if kind is None:
        kind = next((kind for kind, family in FAMILIES.items() if named.startswith(family)), None)
        if kind is None:
            raise ShapeError(
                ["config.json names neither a model_type nor architectures; add the model_type, say bert."]
            )
        notes.append(f"Its config names no model_type; read as {FAMILIES[kind]}, as its architectures say.")
    family = FAMILIES[known_family(kind)]
    if not named:
        named = f"{family}Model"
        notes.append(f"Its config names no architectures; counted as {named}, which AutoModel builds.")
    heads = _OF_FAMILY[kind].get(named.removeprefix(family)) if named.startswith(family) else None
    if heads is None:
        raise ShapeError(
            [f"architectures names {named[:40]!r}, no {family} class that is known; {family}ForMaskedLM is one."]
        )
    config = {**config, "model_type": kind}
    shape = shape_from_transformers(config, ())
    if unrolled(config):
        shape, more = _rolled_up(config, shape)
        notes.append(more)
    shape = shape.replace(**{head: head in heads for head in ("pooler", "mlm_head", "pair_head")})
    shape, left_out = _beside(named.removeprefix(family), kind, shape, _labels(config))
    return LibraryModel(named, shape, left_out, tuple(notes), bool(said))


def _named_class(config: dict[str, Any]) -> str:
    """The class that the config names, the first of several; empty: none."""
    named = config.get("architectures")
    if named is None or named == []:
        return ""
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise ShapeError([f"architectures in config.json should be a list of names, got {str(named)[:40]!r}."])
    return str(named[0])


def _labels(config: dict[str, Any]) -> int:
    """How many classes a classifier has; the library counts the names, and without any takes the number, or two."""
    names, number = config.get("id2label"), config.get("num_labels", 2)
    if names is not None:
        if not isinstance(names, dict) or not all(_NUMBER.fullmatch(key) for key in names):
            raise ShapeError([f"id2label in config.json should be names by their numbers, got {str(names)[:40]!r}."])
        return len({int(key) for key in names})
    if type(number) is not int or not 0 <= number <= MOST_LABELS:
        raise ShapeError(
            [f"num_labels in config.json should be a whole number up to {MOST_LABELS:,}, got {str(number)[:40]!r}."]
        )
    return number


def _rolled_up(config: dict[str, Any], shape: Shape) -> tuple[Shape, str]:
    """An ALBERT with several layers in a group: as many weights as it keeps, in as many layers as it runs.

    The library's layers of a group alternate and here neighbours share, which changes neither count nor cost.
    """
    inner = config["inner_group_num"]
    note = f"Its groups have {inner} layers each, which alternate; here neighbours share, as many and as dear."
    return shape.replace(sharing="all", groups=stored_layers(config)), note


def _beside(ending: str, kind: str, shape: Shape, labels: int) -> tuple[Shape, dict[str, int]]:
    """The shape of a class whose name has this ending, and the parameters of what no Shape says."""
    left_out: dict[str, int] = {}
    if ending in ("ForSequenceClassification", "ForMultipleChoice") and kind == "distilbert":
        left_out["the layer before its classifier"] = shape.hidden * (shape.hidden + 1)
    classes = 1 if ending == "ForMultipleChoice" else labels
    if ending == "ForSequenceClassification" and kind != "distilbert" and classes == 2:
        shape = shape.replace(pair_head=True)  # two classes of the pooled state: the same tensors
    elif ending.startswith(("ForSequence", "ForMultiple", "ForToken")):
        left_out[f"its classifier of {classes:,}"] = classes * (shape.hidden + 1)
    elif ending == "ForQuestionAnswering":
        if kind == "distilbert" and labels != 2:
            raise ShapeError([f"DistilBertForQuestionAnswering needs 2 labels, as a span has 2 ends, got {labels:,}."])
        left_out["its answer head"] = labels * (shape.hidden + 1)
    elif ending == "ForPreTraining" and kind == "albert" and classes != 2:
        shape = shape.replace(pair_head=False)
        left_out[f"its order head of {classes:,}"] = classes * (shape.hidden + 1)
    if shape.mlm_head and not shape.tied and kind != "distilbert":
        left_out["a second copy of the decoder's bias, which is never read"] = shape.vocab
    return shape, left_out
