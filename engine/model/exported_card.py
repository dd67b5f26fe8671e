"""The model card of an export: metadata that the Hub reads, by huggingface_hub's own classes, and a page for people."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from engine.sizing.cost import parameters
from engine.sizing.shape import Shape

LIBRARY = "transformers"
RECIPE_KEYS = ("teacher", "method", "options", "corpus", "steps", "seed")
TASKS = {  # the end of a class's name -> the Hub's task, and the class that a person loads it with
    "ForMaskedLM": ("fill-mask", "AutoModelForMaskedLM"),
    "ForPreTraining": ("fill-mask", ""),
    "ForNextSentencePrediction": ("text-classification", ""),
    "ForSequenceClassification": ("text-classification", "AutoModelForSequenceClassification"),
    "Model": ("feature-extraction", "AutoModel"),
}
# names by which the Hub knows licences, those that models of this kind have
LICENCES = (
    "afl-3.0", "agpl-3.0", "apache-2.0", "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause", "cc",
    "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc0-1.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "mit", "mpl-2.0", "openrail", "other", "unknown",
    "unlicense",
)  # fmt: skip
HUB_IDS = dict.fromkeys(("minilm", "minilm-early", "minilm-original"), "sentence-transformers/all-MiniLM-L6-v2")
ONNX_PAGE = """
## ONNX

{}

```python
import onnxruntime
session = onnxruntime.InferenceSession("this/folder/model.onnx")
given = tokenizer(["A text.", "Another one."], padding=True, truncation=True, return_tensors="np")
outputs = session.run(None, dict(given))
```
"""
ENGLISH_TEACHERS = ("microworld", "blank", *HUB_IDS)
_ENGLISH = "(brown|movie_reviews|abc|webtext|state_union|inaugural|gutenberg|reuters)"
ENGLISH_TEXTS = re.compile(rf"microworld|nltk:{_ENGLISH}([+]{_ENGLISH})*")
_CORPORA = re.compile(r",\s*(?=(?:microworld|nltk|file|hub)(?::|,|$))")  # as engine/text/sources.py parts them


@dataclass(frozen=True)
class Provenance:
    """Whence a model comes, beyond what its own card says: the first teacher of its chain and that one's licence."""

    teacher: str = ""  # a teacher's name, such as microworld, hub:ID or local:FOLDER
    licence: str = ""


def model_card(
    card: Mapping[str, Any],
    shape: Shape,
    exported: Shape,
    architecture: str,
    notes: Sequence[str] = (),
    classes: int = 0,
    provenance: Provenance | None = None,
    onnx: str = "",
) -> str:
    """README.md of an export: YAML for the Hub, then a page.

    `card`: the model's own. `shape`, `exported`: the model's, and that of the library's class `architecture`.
    `classes`: of a classifier that is exported with it. `notes`: what became of the model on the way.
    `onnx`: what is said of the ONNX file, if there is one.
    """
    from huggingface_hub import ModelCard

    card = without_paths(card)
    name = str(card.get("id") or "A student")
    metadata = hub_metadata(card, name, exported, architecture, provenance or Provenance())
    if onnx:
        metadata.tags.append("onnx")
    # a repository card is its metadata between two lines of ---, then the page
    page = _page(card, name, shape, exported, architecture, notes, classes, onnx)
    return str(ModelCard(f"---\n{metadata.to_yaml()}\n---\n{page}"))


def hub_metadata(
    card: Mapping[str, Any], name: str, shape: Shape, architecture: str, whence: Provenance, library: str = LIBRARY
) -> Any:
    """huggingface_hub's ModelCardData: licence, language, what it was made of, and its scores as a model-index.

    `card`: the model's own, without paths.
    """
    from huggingface_hub import ModelCardData

    teacher = without_paths(whence.teacher) or str(card.get("teacher") or "")
    corpora = _texts(card)
    english = teacher in ENGLISH_TEACHERS or (corpora and all(ENGLISH_TEXTS.fullmatch(part) for part in corpora))
    results = _results(card, corpora, TASKS[_kind(architecture)][0])
    licence = whence.licence.strip() or ("Apache-2.0" if teacher in ENGLISH_TEACHERS else "unknown")
    known = licence.lower() if licence.lower() in LICENCES else "other"
    if licence in ("not stated", "as its teacher's"):
        known = "unknown"
    tags = ["heirloom", shape.family, "model-compression", str(card.get("method") or "")]
    named: dict[str, Any] = {"license_name": hub_name(licence).lower()} if known == "other" else {}
    return ModelCardData(
        language="en" if english else None,
        license=known,
        **named,
        library_name=library,
        pipeline_tag=TASKS[_kind(architecture)][0],
        tags=[tag for tag in tags if tag],
        base_model=hub_id(teacher) or None,
        datasets=[_dataset(part) for part in corpora] or None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=name if results else None,
        eval_results=results or None,
    )


def _results(card: Mapping[str, Any], corpora: Sequence[str], task: str) -> list[Any]:
    """The student's own scores on held-out text as huggingface_hub's EvalResults; the teacher's are on the page."""
    from huggingface_hub import EvalResult

    found = []
    for score, value in (card.get("scores") or {}).items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        kind = next((kind for kind in ("accuracy", "loss") if score.endswith(f"_{kind}")), "")
        if not number or not kind or score.startswith(("teacher_", "original_")):
            continue
        found.append(
            EvalResult(
                task_type=task,
                dataset_type=_dataset(corpora[0]) if corpora else "unknown",
                dataset_name=", ".join(corpora) or "held-out text",
                metric_type=kind,
                metric_value=round(float(value), 6),
                metric_name=score.replace("_", " ").capitalize(),
            )
        )
    return found


def _texts(card: Mapping[str, Any]) -> list[str]:
    """What it learned from: the corpora by their names, or the labelled task that took their place."""
    task = str((card.get("options") or {}).get("task") or "") if card.get("classes") else ""
    return [task] if task else [part for part in _CORPORA.split(str(card.get("corpus") or "")) if part]


def _page(
    card: Mapping[str, Any],
    name: str,
    shape: Shape,
    exported: Shape,
    architecture: str,
    notes: Sequence[str],
    classes: int,
    onnx: str,
) -> str:
    scores = "\n".join(
        f"| {score} | {value:.4f} |" for score, value in (card.get("scores") or {}).items() if value is not None
    )
    recipe = json.dumps({key: card.get(key) for key in RECIPE_KEYS}, indent=1, ensure_ascii=False)
    said = "".join(f"\n{note}\n" for note in notes)
    if 8 in (shape.linear_bits, shape.table_bits):
        said += "In transformers inputs of linears are no longer rounded, so logits differ a little.\n"
    if notes:
        said += "The model as it was trained, with its own bytes, is in `compact/`, for "
        said += "Heirloom's `engine.model.saved_models.load_model`.\n"
    untied = "" if shape.tied or not shape.mlm_head else "Its decoder is not tied to its embeddings."
    of = (card.get("measure") or {}).get("of") or "held-out text"
    loads = TASKS[_kind(architecture)][1] or architecture
    more = "\nAutoModelForMaskedLM loads it, too, without the head for sentence pairs.\n" if _both(architecture) else ""
    return f"""
# {name}

A model of {shape}, made by Heirloom from the teacher `{card.get("teacher")}` with the method `{card.get("method")}`.
{untied}
{said}
```python
from transformers import {loads}, AutoTokenizer
model = {loads}.from_pretrained("this/folder")
tokenizer = AutoTokenizer.from_pretrained("this/folder")
```
{more}{ONNX_PAGE.format(onnx) if onnx else ""}
## Parameters

| what | parameters |
|---|--:|
| encoder, as it was trained | {parameters(_encoder(shape)):,} |
| with its heads, as it was trained | {parameters(shape) + classes * (shape.hidden + 1):,} |
| {architecture}, as this folder is loaded | {class_parameters(exported, architecture, classes):,} |

## Scores on {of}

| what | value |
|---|---|
{scores}

## Recipe

```json
{recipe}
```
"""


def class_parameters(shape: Shape, architecture: str, classes: int = 0) -> int:
    """How many parameters the library's class has when it has loaded a model of `shape`."""
    if architecture.endswith("ForMaskedLM"):
        shape = shape.replace(pooler=False, pair_head=False)  # the class has neither
    # of an untied decoder the classes of BERT and ALBERT keep the bias twice
    twice = shape.vocab if shape.mlm_head and not shape.tied and not architecture.startswith("Distil") else 0
    return parameters(shape) + twice + classes * (shape.hidden + 1)


def hub_name(text: str) -> str:
    """`text` as the Hub lets a name be: letters, digits, - _ and ., at most 96, none of which repeats or ends it."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    name = re.sub(r"([-.])[-.]+", r"\1", name).strip("-.")[:96].strip("-.")
    return name.removesuffix(".git") or "unnamed"


def without_paths(value: Any) -> Any:
    """`value`, plain JSON, with every path of this machine cut to the name of its file or folder."""
    if isinstance(value, Mapping):
        return {key: without_paths(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(each) for each in value]
    if not isinstance(value, str):
        return value
    parts = _CORPORA.split(value)
    if len(parts) > 1:
        return ", ".join(map(without_paths, parts))
    kind, colon, place = value.partition(":")
    if colon and kind in ("local", "file"):
        return f"{kind}:{_last_part(place)}"
    absolute = value.startswith("~") or PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    return _last_part(value) if absolute else value


def _last_part(path: str) -> str:
    file, mark, column = path.partition("#")
    return PureWindowsPath(file).name + mark + column  # it parts at / and at \


def _kind(architecture: str) -> str:
    return next(kind for kind in TASKS if architecture.endswith(kind))


def _both(architecture: str) -> bool:
    return architecture.endswith("ForPreTraining")


def _encoder(shape: Shape) -> Shape:
    return shape.replace(mlm_head=False, pair_head=False)


def hub_id(teacher: str) -> str:
    """The Hub's id of a teacher, or for one that is not there its bare name."""
    kind, colon, place = teacher.partition(":")
    if colon and kind == "hub":
        return "/".join(hub_name(part) for part in place.split("/")[:2])
    return HUB_IDS.get(teacher) or (hub_name(place if colon else teacher) if teacher else "")


def _dataset(corpus: str) -> str:
    """The Hub's id of a corpus, or for one that is not there a name such as nltk-brown."""
    kind, colon, place = corpus.partition("#")[0].partition(":")
    if colon and kind == "hub":
        return "/".join(hub_name(part) for part in place.partition(":")[0].split("/")[:2])
    return hub_name(f"{kind}-{place}" if colon else kind)
