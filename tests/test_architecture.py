"""Laws that no single file can show: who may import whom, and what nobody may write. Read from the source, not run."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MADE_BY_RUNNING = {"runs", "exports", "scratch", "uploads"}
HIDDEN_BUT_OURS = {".ci", ".streamlit"}

# A file imports only from files above it in the map of the engine. The methods do not import one another.
ENGINE_MAP = re.findall(r"^\| `([^`]+)` \|", (ROOT / "engine" / "README.md").read_text(), re.MULTILINE)
ENGINE_ORDER = ["engine"]
for entry in ENGINE_MAP:
    whole = "engine." + entry.removesuffix(".py").removesuffix("/").replace("/", ".")
    ENGINE_ORDER += [f"{whole}.*", whole] if entry.endswith("/") else [whole]
TORCH_FREE = ["shape", "ledger", "cost", "config", "runs", "cache", "microworld", "token_store", "sources", "teachers"]
TORCH_FREE += ["roots", "network", "text_files", "uploads", "pretrained", "teacher", "shipped", "metrics", "labelled"]
TORCH_FREE += ["hub_tasks", "tasks", "measure"]
TORCH_FREE += ["amount", "formula", "presets", "footprint", "wid_cost", "roofline", "published", "solver", "comparison"]
TORCH_FREE += ["document", "drawing", "attention_page"]
TORCH_FREE += ["sweep", "keep", "apart", "size_link", "bench_size", "size_report", "size_command"]
TORCH_FREE += ["grid", "albert_tables", "family", "grids", "outcome", "outcome_table", "once"]
TORCH_FREE += ["snapshots", "head_distances", "inheritance", "inheritance_curve", "twin"]
TORCH_FREE += ["work", "budget", "countdown", "learning_rate", "experience", "similarity", "memory", "launch"]
TORCH_FREE += ["turns", "job", "__main__"]
TORCH_FREE += ["lineage", "kinship", "cka"]
UI_FREE = ["charts", "norm_charts", "picture", "score_charts", "token_view", "size_charts", "bars", "tables"]
UI_FREE += ["outcome_points", "outcome_charts"]
UI_FREE += ["inheritance_charts", "mosaic_image", "png"]
UI_FREE += ["grid_charts", "ancestry_charts", "layer_charts", "role_charts"]
UI_FREE += ["sharing", "blank", "written", "plain"]
UI = {"streamlit", "plotly", "bertviz", "pandas", "app", "streamlit_app"}
BANNED_WORDS = {"manager", "helper", "util", "handler", "misc"}  # and their plurals


def project_files() -> Iterator[Path]:
    """Every file of the project itself: no environment, cache, run or export."""
    for folder, below, names in os.walk(ROOT):
        at_top = Path(folder) == ROOT
        below[:] = [
            name
            for name in below
            if name != "__pycache__"
            and not (at_top and name in MADE_BY_RUNNING)
            and (not name.startswith(".") or name in HIDDEN_BUT_OURS)
        ]
        yield from (Path(folder, name) for name in sorted(names))


@cache
def sources() -> dict[str, ast.Module]:
    """Every Python file of the project by its dotted name; a package goes by its own name."""
    found = {}
    for path in project_files():
        if path.suffix == ".py":
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def within(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    """The sources of `packages` or modules, with all that lies below them."""
    for name, tree in sources().items():
        if any(name == package or name.startswith(package + ".") for package in packages):
            yield name, tree


def imports(name: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(where, dotted name) of each import of a module, lazy ones too; `from engine import x` is engine.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((f"{name}:{node.lineno}", alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno} imports relatively; write the whole name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield f"{name}:{node.lineno}", whole if whole in sources() else str(node.module)


def rank(module: str) -> int:
    """How far down the order an engine module stands; one without a place stands below all."""
    if module not in ENGINE_ORDER and module.startswith("engine.methods."):
        module = "engine.methods.*"
    return ENGINE_ORDER.index(module) if module in ENGINE_ORDER else len(ENGINE_ORDER)


def test_every_engine_file_has_a_place_in_the_order() -> None:
    """Harm: a new file escapes the law of imports, and the list turns into a picture of some earlier project."""
    files = {name for name, _ in within("engine") if not name.startswith("engine.methods.")}
    files |= {"engine.methods.base", "engine.methods.*"}
    missing, gone = files - set(ENGINE_ORDER), set(ENGINE_ORDER) - files
    assert not missing, f"Add to engine/README.md, below everything they import: {sorted(missing)}"
    assert not gone, f"Take out of engine/README.md, there is no such file: {sorted(gone)}"


def test_the_map_says_truly_what_needs_no_torch() -> None:
    """Harm: a heading promises a file that a page without torch may import, and no other test holds it to that."""
    parts = re.split(r"^## ", (ROOT / "engine" / "README.md").read_text(), flags=re.MULTILINE)
    promised = [part for part in parts if part.splitlines()[0].endswith("(no torch)")]
    assert len(promised) == 2
    names = {name for part in promised for name in re.findall(r"^\| `(\w+)\.py`", part, re.MULTILINE)}
    assert not names - set(TORCH_FREE), names - set(TORCH_FREE)


def test_the_engine_imports_upwards_only() -> None:
    """Harm: an import cycle, which works until somebody starts from the other end."""
    wrong = [
        f"{where} imports {imported}"
        for name, tree in within("engine")
        for where, imported in imports(name, tree)
        if imported.split(".")[0] == "engine" and rank(imported) >= rank(name)
    ]
    assert not wrong, "A file imports only from files above it in engine/README.md: " + "; ".join(wrong)


def test_the_engine_knows_nothing_of_the_ui() -> None:
    """Harm: a training process, or a server without a screen, must install and load the app to run."""
    wrong = [
        f"{where} imports {imported}"
        for name, tree in within("engine")
        for where, imported in imports(name, tree)
        if imported.split(".")[0] in UI
    ]
    assert not wrong, wrong


REGISTRY = {"METHODS", "find", "Method"}  # what may be asked of engine.methods by who must not know a method
LOOP = [
    "train",
    "gradients",
    "stopwatch",
    "countdown",
    "plan",
    "card",
    "processes",
    "job",
    "launch",
    "film",
    "measured",
]
LOOP += ["measured", "foreground", "experience", "checkpoints", "work", "budget"]


def known_methods(name: str, tree: ast.Module) -> list[str]:
    """Where a module says a method's name, or imports one instead of asking the registry."""
    from engine.methods import METHODS
    from engine.shape import FAMILIES

    names = set(METHODS) - set(FAMILIES)  # a family of models is no method, though one is called so
    found = [
        f"{name}:{node.lineno} says {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in names
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [(str(node.module), alias.name) for alias in node.names]
        else:
            continue
        for module, what in modules:
            one = any(f"{module}.{what}.".startswith(f"engine.methods.{method}.") for method in METHODS)
            if one or (module == "engine.methods" and what not in REGISTRY | {"base"}):
                found.append(f"{name}:{node.lineno} imports {what or module}")
    return found


@pytest.mark.parametrize(
    ("line", "knows"),
    [
        ("from engine.methods import Wid", True),
        ("from engine.methods import wid", True),
        ("from engine.methods.wid import Wid", True),
        ("import engine.methods.pkd", True),
        ("if method == 'tinybert': pass", True),
        ("from engine.methods import METHODS, find", False),
        ("from engine.methods.base import Method", False),
        ("from engine.wid_cost import sizes", False),
    ],
)
def test_who_knows_a_method_is_found(line: str, knows: bool) -> None:
    """Harm: the two laws below look at nothing."""
    assert bool(known_methods("x", ast.parse(line))) == knows


def test_the_app_knows_no_method() -> None:
    """Harm: a method that works in the form only because a page was changed for it, and another one that does not."""
    wrong = [it for name, tree in within("app", "streamlit_app") for it in known_methods(name, tree)]
    assert not wrong, wrong


def test_the_loop_knows_no_method() -> None:
    """Harm: `if method == ...` in the training loop, so that a new method is a file, a line and a hunt."""
    wrong = [it for part in LOOP for it in known_methods(f"engine.{part}", sources()[f"engine.{part}"])]
    assert not wrong, wrong


def test_only_the_app_imports_the_app() -> None:
    """Harm: whatever imports a page runs it."""
    wrong = [
        f"{where} imports {imported}"
        for name, tree in sources().items()
        if name.split(".")[0] not in ("app", "streamlit_app", "tests")
        for where, imported in imports(name, tree)
        if imported.split(".")[0] in ("app", "streamlit_app")
    ]
    assert not wrong, wrong


def test_charts_need_no_streamlit() -> None:
    """Harm: a figure that can be drawn, tested and saved only from inside a running page."""
    wrong = [
        f"{where} imports {imported}"
        for name, tree in within(*(f"app.{name}" for name in UI_FREE))
        for where, imported in imports(name, tree)
        if imported.split(".")[0] == "streamlit"
    ]
    assert not wrong, wrong


def test_nothing_is_imported_by_a_computed_name() -> None:
    """Harm: such an import passes by every law in this file."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in within("engine", "app", "streamlit_app")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    ]
    assert not wrong, wrong


def test_only_state_touches_the_session_the_address_and_the_caches() -> None:
    """Harm: two pages use one session key for two things, and nobody can list what a link or a cache holds."""
    wrong = []
    for name, tree in within("app", "streamlit_app"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                used, line = [node.attr], node.lineno
            elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "streamlit":
                used, line = [alias.name for alias in node.names], node.lineno
            else:
                continue
            if name != "app.state":
                wanted = [it for it in used if re.fullmatch("session_state|query_params|cache_(data|resource)", it)]
                wrong += [f"{name}:{line} uses {it}" for it in wanted]
    assert not wrong, wrong


def test_nobody_lets_a_stranger_run_code() -> None:
    """Harm: text from a model card, a token or a file name runs as HTML, as Python or in a shell."""
    wrong = []
    for name, tree in sources().items():
        for node in ast.walk(tree):
            given: list[tuple[object, ast.expr]] = []
            if isinstance(node, ast.Call):
                given = [(keyword.arg, keyword.value) for keyword in node.keywords]
                if ast.unparse(node.func) in ("os.system", "os.popen"):
                    wrong.append(f"{name}:{node.lineno} starts a shell")
            elif isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                given = [(key.value, value) for key, value in pairs if isinstance(key, ast.Constant)]
            for argument, value in given:
                off = isinstance(value, ast.Constant) and value.value is False
                if str(argument).startswith("unsafe_allow") or (argument in ("trust_remote_code", "shell") and not off):
                    wrong.append(f"{name}:{value.lineno} passes {argument}={ast.unparse(value)}")
    assert not wrong, wrong


def banned_words(name: str) -> set[str]:
    """The banned words in a snake_case or CamelCase name."""
    words = {word.lower() for word in re.findall("[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return {word for word in words if word in BANNED_WORDS or word.removesuffix("s") in BANNED_WORDS}


@pytest.mark.parametrize(
    ("name", "banned"),
    [("RunManager", True), ("_text_utils", True), ("helper", True), ("HTTPHandlers", True), ("manage_run", False)],
)
def test_banned_words_are_found(name: str, banned: bool) -> None:
    """Harm: the law below looks at nothing."""
    assert bool(banned_words(name)) == banned


def test_no_name_says_nothing() -> None:
    """Harm: a drawer called helpers, into which everything goes and where nobody looks."""
    wrong = [name for name in sources() if banned_words(name)]
    for name, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and banned_words(node.name):
                wrong.append(f"{name}:{node.lineno} {node.name}")
    assert not wrong, f"Say what it does instead: {wrong}"


def test_what_needs_no_torch_loads_no_torch() -> None:
    """Harm: the first page, a parameter count and `python -m engine size` wait ten seconds for a library unused."""
    names = [f"engine.{name}" for name in TORCH_FREE]
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        "    print(name, *(heavy for heavy in ('torch', 'transformers') if heavy in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == names, "the first line with a library behind it is the file that loads it"
