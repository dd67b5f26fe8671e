"""Every parser of the engine against things that nobody would write: a result or its own clear error, and soon.

A short form runs always. For thousands of cases a parser: HEIRLOOM_FUZZ=5000 pytest tests/engine/test_fuzz.py
"""

import json
import os
import shutil
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.compactors.cut_plan import CutPlan
from engine.compactors.options import WidOptions
from engine.experiments.outcome import OutcomeError, read_outcome
from engine.experiments.outcome_table import table_cells
from engine.inheritance.curve import read_inheritance_curve
from engine.inspection.lineage import LineageError, read_lineage
from engine.methods.registry import METHODS
from engine.model.transformers_config import shape_from_transformers
from engine.settings.amounts import parse_amount
from engine.settings.budget import CostEstimate, parse_budget
from engine.settings.options import ConfigError, parse_options
from engine.settings.run_config import RunConfig, train_command
from engine.sizing.comparison_export import to_csv
from engine.sizing.comparison_link import from_link, to_link
from engine.sizing.cost import multiply_adds, parameters
from engine.sizing.shape import Shape, ShapeError
from engine.storage.allowed_folders import PathError, absolute_name, allowed_path
from engine.storage.attention_frames import AttentionFramesError, read_frames
from engine.storage.json_file import JsonFileError, parse_json
from engine.storage.runs import Run, RunError, open_run
from engine.teachers import pretrained
from engine.teachers.card import TeacherError
from engine.teachers.catalog import teacher_card
from engine.text import sources
from engine.text.text_files import READERS
from engine.text.token_store import CorpusError
from engine.text.uploads import save_upload
from engine.training.find_or_run import step_seconds
from engine.training.past_runs import past_runs_like
from engine.training.plan import plan

CASES = int(os.environ.get("HEIRLOOM_FUZZ", "12"))
SLOWEST_S = 2.0  # of the processor, so that a busy machine is no failure
OLD = Path(__file__).parents[1] / "fixtures" / "runs_2026_11" / "wid-finished"
CARD, CONFIG = (json.loads((OLD / name).read_text()) for name in ("card.json", "config.json"))
EVENTS = [json.loads(line) for line in (OLD / "events.jsonl").read_text().splitlines()]
OUTCOME = json.loads((Path(__file__).parents[2] / "assets" / "experiments" / "family.json").read_text())
BERT_CONFIG = {
    "model_type": "bert", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 60,
    "intermediate_size": 32, "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu",
    "layer_norm_eps": 1e-12, "tie_word_embeddings": True, "position_embedding_type": "absolute",
}  # fmt: skip
NAMES = ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"]

WORDS = st.one_of(
    st.text(max_size=30),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Zs", "Lo", "Nd", "Sm"]), max_size=20),
    st.sampled_from(
        ["", ".", "..", "../../etc/passwd", "/etc/passwd", "/dev/zero", "C:\\x", "\\\\host\\x", "CON", "a\0b",
         "x" * 300, "[x](http://h)", "=1+1", "NaN", "1e999", "9" * 400, "~", "~nobody/x", "file:" * 50, "%00", "\ud800"]
    ),
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-3, 70),
    st.integers(),
    st.floats(),
    st.sampled_from([10**400, -(10**400), 2**31, 2**63, 10**9, 10**12, 1e308, 1e-300, True, False]),
)


def deep(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


STRANGE = st.one_of(
    st.none(),
    NUMBERS,
    WORDS,
    st.builds(deep, st.integers(1, 200)),
    st.lists(st.one_of(NUMBERS, WORDS), max_size=4),
    st.dictionaries(st.text(max_size=8), st.one_of(NUMBERS, WORDS), max_size=3),
)


@st.composite
def twisted(draw: Any, valid: Any) -> Any:
    """`valid` with one to four of its parts replaced, taken out, doubled or added to."""
    value = json.loads(json.dumps(valid))
    for _ in range(draw(st.integers(1, 4))):
        place = value
        while isinstance(place, dict | list) and place:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            kind = draw(st.sampled_from(["replace", "remove", "add"]))
            if kind == "replace":
                place[key] = draw(STRANGE)
            elif kind == "remove":
                del place[key]
            elif isinstance(place, dict):
                place[draw(st.text(max_size=10))] = draw(STRANGE)
            else:
                place.append(draw(STRANGE))
            break
    return value


def as_json(value: Any) -> bytes:
    """JSON as Python writes it, whatever is in it."""
    return json.dumps(value).replace("\ud800", "").encode("utf-8", "surrogatepass")


@st.composite
def torn(draw: Any, data: bytes) -> bytes:
    """`data` with a piece cut out, put in or turned round."""
    at = draw(st.integers(0, len(data)))
    end = draw(st.integers(at, min(len(data), at + 40)))
    return data[:at] + draw(st.binary(max_size=12)) + (data[at:end] * draw(st.integers(0, 2))) + data[end:]


FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir=os.environ.get("TMPDIR")))


@pytest.fixture(scope="module", autouse=True)
def place(monkeymodule: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder that may be read, in which files are tried; no network is looked for."""
    monkeymodule.setenv("HEIRLOOM_ROOTS", str(FOLDER))
    monkeymodule.setattr(pretrained, "reachable", lambda url: False)
    monkeymodule.setattr(sources, "reachable", lambda url: False)
    yield
    shutil.rmtree(FOLDER, ignore_errors=True)


@pytest.fixture(scope="module")
def monkeymodule() -> Iterator[pytest.MonkeyPatch]:
    """Changes that last as long as the file."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def answer(ask: Callable[[], Any], says: tuple[type[Exception], ...]) -> str:
    """What the error says, if `ask` raises one of those that it may raise; nothing otherwise."""
    try:
        ask()
    except says as error:
        return str(error).strip() or "!" * 10_000  # an error without a word is none
    return ""


def run_with(**files: bytes) -> Run:
    """A run folder whose files are these."""
    run = Run(FOLDER / "runs" / "fuzzed")
    shutil.rmtree(run.path, ignore_errors=True)
    (run.path / "student").mkdir(parents=True)
    for name in ("config.json", "card.json", "events.jsonl"):
        shutil.copyfile(OLD / name, run.path / name)
    for name, data in files.items():
        (run.path / name.replace("__", "/").replace("_json", ".json").replace("_lines", ".jsonl")).write_bytes(data)
    return run


def try_json(data: bytes) -> None:
    """A file's bytes."""
    parse_json(data)


def try_config(value: Any) -> None:
    """A run's config, as its page and its process read it."""
    config = RunConfig.from_json(value)
    json.dumps(config.to_json())
    train_command(config.to_json())
    plan(config, FOLDER / "runs")


def try_card(value: Any) -> None:
    """A run's card and its student's, as everybody reads them."""
    run = run_with(card_json=as_json(value), student__card_json=as_json(value))
    past_runs_like(run.path.parent, RunConfig(), "microworld", "none", "", "CPU")
    with suppress(TeacherError):
        teacher_card("run:fuzzed", run.path.parent)
    if card := run.card():
        Shape.from_json(card["shape"])


def try_events(data: bytes) -> None:
    """A run's events, as pages and queues read them."""
    run = run_with(events_lines=data)
    assert run.status() in ("finished", "stopped", "failed", "died", "waiting", "running")
    run.error()
    for event in run.history():
        json.dumps(event, allow_nan=False).encode()
    read_inheritance_curve(run)
    step_seconds(run)


def try_run_files(data: bytes) -> None:
    """The small files of a run."""
    run = run_with(process_json=data, config_json=data, budget_json=data)
    run.alive()
    run.status()
    run.problem()
    with suppress(RunError):
        open_run(run.path.parent, run.id)
    CostEstimate.from_json(run.budget())


def try_link(value: dict[str, list[str]]) -> None:
    """The size page's link, and the link that it becomes."""
    comparison, problems = from_link(value)
    assert all(len(problem) < 500 for problem in problems)
    again, _ = from_link({name: [it] if isinstance(it, str) else it for name, it in to_link(comparison).items()})
    assert again == comparison


def try_shape(value: Any) -> None:
    """A shape, counted."""
    shape = Shape.from_json(value)
    parameters(shape)
    multiply_adds(shape, min(8, shape.positions), 1)
    if shape.layers < 50:
        to_csv([("x", shape)])


def try_amount(text: str) -> None:
    """An amount or a budget that somebody typed."""
    for kind in ("parameters", "bytes", "flops", "latency"):
        with suppress(ValueError):
            assert parse_amount(text, kind) > 0
    assert parse_budget(parse_budget(text).exact).amount > 0


def try_outcome(data: bytes) -> None:
    """An experiment's file, and its table."""
    path = FOLDER / "outcome.json"
    path.write_bytes(data)
    found = read_outcome(path)
    if found.rows:
        table_cells(found)


def try_frames(data: bytes) -> None:
    """The list of a film's sentences, and its pictures."""
    folder = FOLDER / "attention"
    folder.mkdir(exist_ok=True)
    (folder / "sentences.json").write_bytes(data)
    (folder / "teacher.npz").write_bytes(data)
    if frames := read_frames(folder):
        frames.teacher(0)


def try_text_file(case: tuple[str, str, bytes]) -> None:
    """A corpus file, read to its end."""
    suffix, column, data = case
    path = FOLDER / f"text{suffix}"
    path.write_bytes(data)
    source = sources.find_source(f"file:{path}#{column}")
    for document in source.read():
        "".join(document).encode()


def try_upload(case: tuple[str, bytes]) -> None:
    """A file that somebody brought."""
    path = save_upload(FOLDER / "uploads", *case)
    assert path.parent == FOLDER / "uploads"
    assert path.read_bytes() == case[1]


def try_name(text: str) -> None:
    """A name in a field or a link: a run's, a teacher's, a corpus's, a path."""
    for ask in (
        lambda: open_run(FOLDER / "runs", text),
        lambda: teacher_card(text, FOLDER / "runs"),
        lambda: teacher_card(f"run:{text}", FOLDER / "runs"),
        lambda: teacher_card(f"local:{text}", FOLDER / "runs"),
        lambda: teacher_card(f"hub:{text}", FOLDER / "runs"),
        lambda: sources.find_source(text),
        lambda: sources.find_source(f"file:{text}"),
        lambda: sources.find_source(f"hub:{text}"),
        lambda: absolute_name(f"local:{text}"),
        lambda: allowed_path(text),
    ):
        said = answer(ask, (RunError, TeacherError, CorpusError, PathError))
        assert len(said) < 1_000
        assert str(FOLDER) not in said


def try_library_config(value: Any) -> None:
    """A config.json of the library."""
    shape_from_transformers(parse_json(as_json(value)), NAMES)


def try_checkpoint(case: tuple[Any, bytes]) -> None:
    """A checkpoint's folder from a stranger."""
    config, weights = case
    folder = FOLDER / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(as_json(config))
    (folder / "model.safetensors").write_bytes(weights)
    teacher_card(f"local:{folder}", FOLDER / "runs")


def try_lineage(tensors: dict[str, Any]) -> None:
    """What a student says that it is made of."""
    shape = Shape(layers=1, hidden=4, heads=2, vocab=20, positions=8)
    read_lineage(tensors, shape, shape, [0])


def try_options(value: dict[str, Any]) -> None:
    """Options of every method, and what a plan of cuts makes of them."""
    for method in METHODS.values():
        with suppress(ConfigError):
            parse_options(method.Options, value)
    options = parse_options(WidOptions, value)
    big, small = Shape(layers=2, hidden=16, heads=4, vocab=20), Shape(layers=2, hidden=8, heads=4, vocab=20)
    cuts = CutPlan(options, 40, big, small)
    cuts.objections()


def header(tensors: Any, length: int | None = None) -> bytes:
    """A safetensors file with this header and a few bytes of data."""
    words = json.dumps(tensors).encode()
    return struct.pack("<Q", len(words) if length is None else length) + words + b"\0" * 64


TENSORS = st.dictionaries(
    st.sampled_from([*NAMES, "x", "__metadata__", ""]),
    st.one_of(
        STRANGE,
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(["F32", "F16", "I8", "X", 7]),
                "shape": st.lists(st.one_of(st.integers(-2, 9), st.sampled_from([10**9, 10**18, 10**400])), max_size=4),
                "data_offsets": st.lists(st.one_of(st.integers(-9, 70), st.just(10**18)), max_size=3),
            }
        ),
    ),
    max_size=4,
)
WEIGHTS = st.one_of(
    st.binary(max_size=80),
    st.builds(header, TENSORS),
    st.builds(header, TENSORS, st.sampled_from([0, 1, 8, 10**8, 2**63, 2**64 - 1])),
)
ARRAYS = st.builds(
    lambda shape, kind: np.full(shape, np.nan if kind == "nan" else 1, kind if kind != "nan" else "f4"),
    st.lists(st.integers(0, 5), max_size=3),
    st.sampled_from(["f4", "f2", "i8", "u1", "nan"]),
)
LINEAGE = st.dictionaries(
    st.sampled_from(
        ["residual", "dims.residual", "attentions.0.query.column", "dims.attention 0", "stream.column", ""]
    ),
    ARRAYS,
)
LINES = st.lists(
    st.one_of(st.sampled_from(EVENTS), *(twisted(event) for event in EVENTS[3:12])).map(as_json)
    | st.binary(max_size=30)
    | st.sampled_from([b"[" * 10_000, b'{"kind": "step", "step": NaN}', b'{"kind": "finished"}', b'{"kind": "died"}']),
    max_size=6,
).map(lambda lines: b"\n".join([*lines, b""]))
DOCUMENT = st.one_of(
    st.sampled_from([b"a b. c d.\n\ne f.", b'{"text": "a b."}\n', b"text\tother\na b.\tc\n", b"text,other\na b.,c\n"]),
    st.binary(max_size=60),
    WORDS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    twisted({"text": "a b. c d.", "more": 1}).map(as_json),
    torn(b'text,other\n"a, b",c\n"d ""e""",f\n'),
    torn(b"PAR1" + b"\0" * 40 + b"PAR1"),
    torn(b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + b"\0" * 20),
)
KINDS = st.sampled_from([*READERS, *(f"{suffix}.gz" for suffix in READERS), ".exe"])
OPTIONS = st.dictionaries(
    st.sampled_from(
        ["closed_by", "cuts", "interval", "rule", "strategy", "after_closing", "lr", "layers", "layers_from"]
    )
    | st.text(max_size=6),
    STRANGE,
    max_size=4,
)
LINKS = st.dictionaries(
    st.sampled_from(["v", "c", "at", "tab", "part", "tokens", "batch", "of", "keep", "sweep", "device", "steps", "run"])
    | st.text(max_size=5),
    st.lists(
        st.one_of(
            WORDS,
            st.builds(
                "bert-base~{}.{}".format,
                st.sampled_from(["hidden", "layers", "heads", "vocab", "family", "name", "x"]),
                st.one_of(WORDS, st.integers().map(str)),
            ),
        ),
        max_size=6,
    ),
)
COLUMNS = st.tuples(st.integers(0, 5), WORDS).map(lambda it: ["", "", "", "text", "&delimiter=tab", it[1]][it[0]])
AMOUNTS = st.from_regex(
    r"[0-9]{1,4}[.,_]?[0-9]{0,3}([eE][0-9]{1,4})? ?(steps|[kMGTx]?tokens|flops|min|s|hours|[a-zA-Zµ]{0,5})"
)
PARSERS: dict[str, tuple[Any, Callable[[Any], None], tuple[type[Exception], ...]]] = {
    "json": (st.one_of(st.binary(max_size=60), torn(as_json(CARD)), STRANGE.map(as_json)), try_json, (JsonFileError,)),
    "config": (twisted(CONFIG | {"teacher": "microworld"}), try_config, (ValueError,)),
    "card": (twisted(CARD), try_card, (RunError, ShapeError)),
    "events": (LINES, try_events, (RunError,)),
    "run files": (
        st.one_of(st.binary(max_size=40), twisted({"pid": 1, "create_time": 1.0, "steps": 5}).map(as_json)),
        try_run_files,
        (ValueError,),
    ),
    "link": (LINKS, try_link, ()),
    "shape": (twisted(CARD["shape"]), try_shape, (ShapeError,)),
    "amount": (WORDS | AMOUNTS, try_amount, (ValueError,)),
    "outcome": (st.one_of(twisted(OUTCOME).map(as_json), torn(as_json(OUTCOME))), try_outcome, (OutcomeError,)),
    "frames": (
        st.one_of(twisted({"format": 1, "tokens": [["a", "b"]]}).map(as_json), st.binary(max_size=50)),
        try_frames,
        (AttentionFramesError,),
    ),
    "text file": (st.tuples(KINDS, COLUMNS, DOCUMENT), try_text_file,
                  (CorpusError,)),
    "upload": (st.tuples(st.builds("{}{}".format, WORDS, KINDS), st.binary(max_size=50)), try_upload, (CorpusError,)),
    "name": (WORDS, try_name, ()),
    "library's config": (twisted(BERT_CONFIG), try_library_config, (ShapeError, JsonFileError, ValueError)),
    "checkpoint": (st.tuples(st.one_of(st.just(BERT_CONFIG), twisted(BERT_CONFIG)), WEIGHTS), try_checkpoint,
                   (TeacherError,)),
    "lineage": (LINEAGE, try_lineage, (LineageError,)),
    "options": (OPTIONS, try_options, (ConfigError,)),
}  # fmt: skip


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_answers_or_says_why_not(name: str) -> None:
    """Harm: one odd file, link or field ends a page, a run or the server in a traceback, or holds it for minutes."""
    cases, parse, says = PARSERS[name]

    @settings(
        max_examples=CASES,
        deadline=None,
        derandomize=CASES < 100,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def attempt(case: Any) -> None:
        begun = time.process_time()
        said = answer(lambda: parse(case), says)
        assert len(said) < 5_000
        assert time.process_time() - begun < SLOWEST_S
        counted["refused" if said else "answered"] += 1

    counted: Counter[str] = Counter()
    attempt()
    print(f"{name}: {counted.total():,} cases, {counted['refused']:,} of them refused in words")
