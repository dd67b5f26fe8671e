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

# The law of the house: a package imports only from packages that stand earlier. The maps in engine/ and app/ follow it.
PACKAGES = ["settings", "storage", "sizing", "text", "model", "compactors", "learning", "teachers", "tasks"]
PACKAGES += ["inspection", "inheritance", "methods", "training", "experiments", "reports", "benches", "cli"]
PAGE_PACKAGES = ["size", "build", "watch", "examine", "compare"]  # one a page
APP_PACKAGES = ["elements", "session", *PAGE_PACKAGES, "pages"]
ORDER = [*(f"engine.{name}" for name in PACKAGES), "engine", *(f"app.{name}" for name in APP_PACKAGES), "streamlit_app"]
HEAVY = {"torch", "transformers"}
MOST_FILES = 20  # in a folder
MOST_LINES = 80  # of a function
LEAST_LINES = 40  # of a file with one importer
WIDGETS = {f"app.elements.{name}" for name in ("figure", "tiles", "buttons", "progress")}  # elements that are some
DRAWN_WITHOUT = {"app.watch.compactor_norms", "app.compare.points"}  # beside whatever is named charts
UI = {"streamlit", "plotly", "bertviz", "pandas", "app", "streamlit_app"}
SUBJECTS = (  # test files about several files or folders at once, which keep the name of what they are about
    "tests/app/test_browser.py",  # a walk from page to page
    "tests/app/test_server.py",  # who gets an answer by plain HTTP
    "tests/engine/test_fuzz.py",  # every parser
    "tests/engine/methods/test_contract.py",  # what every method keeps to
    "tests/engine/methods/test_new_method.py",  # a method that is only a file
    "tests/engine/methods/test_teacher_cost.py",  # what any method asks of its teacher
    "tests/engine/methods/test_whole_loss.py",  # every method's loss against its paper
    "tests/engine/training/test_old_runs.py",  # runs of earlier versions
)
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


def package(module: str) -> str:
    """The package of ORDER in which a module stands; its own name if it stands in none."""
    home = ".".join(module.split(".")[:2])
    return home if home in ORDER else "engine" if home.split(".")[0] == "engine" else module


def is_package(name: str) -> bool:
    """Whether a dotted name of ours is a folder."""
    return (ROOT / name.replace(".", "/")).is_dir()


def test_every_package_has_a_place_in_the_order() -> None:
    """Harm: a new package escapes the law of imports, and the list turns into a picture of some earlier project."""
    for top, names in (("engine", PACKAGES), ("app", APP_PACKAGES)):
        folders = {path.name for path in (ROOT / top).iterdir() if path.is_dir() and path.name != "__pycache__"}
        assert folders == set(names)
    loose = {name for name, _ in within("engine", "app") if name.count(".") == 1 and not is_package(name)}
    assert loose == {"engine.__main__", "engine.api"}, loose


def test_a_package_imports_only_from_earlier_ones() -> None:
    """Harm: an import cycle, which works until somebody starts from the other end; a plan that says nothing."""
    wrong = [
        f"{where} imports {imported}"
        for name, tree in within("engine", "app", "streamlit_app")
        for where, imported in imports(name, tree)
        if imported in sources()
        and package(imported) != package(name)
        and ORDER.index(package(imported)) >= ORDER.index(package(name))
    ]
    assert not wrong, "A package imports only from packages that stand earlier: " + "; ".join(wrong)


def test_no_page_imports_another_page_s_package() -> None:
    """Harm: whoever changes what Watch shows breaks Compare, which took a function from it."""
    pages = [f"app.{name}" for name in PAGE_PACKAGES]
    wrong = [
        f"{where} imports {imported}"
        for name, tree in within(*pages)
        for where, imported in imports(name, tree)
        if package(imported) in pages and package(imported) != package(name)
    ]
    assert not wrong, "What two pages need stands in app.elements or app.session: " + "; ".join(wrong)


def test_no_two_files_import_each_other() -> None:
    """Harm: inside a package the same cycle."""
    graph = {
        name: {it for _, it in imports(name, tree)} & set(sources()) - {name} for name, tree in within("engine", "app")
    }
    while free := {name for name, needed in graph.items() if not needed & set(graph)}:
        for name in free:
            del graph[name]
    assert not graph, f"These import one another in a circle: {sorted(graph)}"


def test_a_folder_holds_what_one_look_takes_in() -> None:
    """Harm: a drawer of 140 files, in which a stranger finds things by searching only."""
    folders: dict[Path, list[Path]] = {}
    for path in project_files():
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ("engine", "app"):
            folders.setdefault(path.parent, []).append(path)
    crowded = {
        str(folder.relative_to(ROOT)): len(files) for folder, files in folders.items() if len(files) > MOST_FILES
    }
    assert not crowded, crowded
    echoes = [path for folder, files in folders.items() for path in files if path.stem == folder.name]
    assert not echoes, f"A file that repeats its folder's name says nothing: {echoes}"
    for folder in folders:
        if (init := folder / "__init__.py").exists() and folder != ROOT / "engine":
            body = ast.parse(init.read_text(encoding="utf-8")).body
            assert len(body) <= 1, f"{init} holds more than what the package is; whoever imports a file would load it"


def test_no_two_classes_have_one_name() -> None:
    """Harm: `Card`, `Budget` or `Batch` in a signature, and nobody knows which one."""
    places: dict[str, list[str]] = {}
    for name, tree in within("engine", "app"):
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice, twice


def test_no_function_is_longer_than_two_screens() -> None:
    """Harm: a training loop of 194 lines and 49 branches that nobody reads to its end."""
    long = [
        f"{name}:{node.lineno} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for name, tree in within("engine", "app")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= MOST_LINES
    ]
    assert not long, long


def test_the_contract_of_a_method_is_read_in_two_minutes() -> None:
    """Harm: 47 names, most of which one method needs, between a reader and the few that theirs is about."""
    (contract,) = (
        node
        for node in sources()["engine.methods.base"].body
        if isinstance(node, ast.ClassDef) and node.name == "Method"
    )
    names = {node.name for node in contract.body if isinstance(node, ast.FunctionDef)}
    fields = (node.target for node in contract.body if isinstance(node, ast.AnnAssign))
    names |= {field.id for field in fields if isinstance(field, ast.Name)}
    assert len({name for name in names if not name.startswith("_")}) <= 14, sorted(names)


def test_no_crumb_of_a_file_serves_one_other() -> None:
    """Harm: a reader opens a second file for what fits under the first one's last line."""
    users: dict[str, set[str]] = {}
    for name, tree in within("engine", "app"):
        for _, imported in imports(name, tree):
            users.setdefault(imported, set()).add(name)
    crumbs = []
    for name, found in users.items():
        path = ROOT / f"{name.replace('.', '/')}.py"
        if len(found) == 1 and path.is_file() and len(path.read_text(encoding="utf-8").splitlines()) < LEAST_LINES:
            crumbs.append(f"{name}, which only {next(iter(found))} imports")
    assert not crumbs, crumbs


def test_tests_mirror_the_tree() -> None:
    """Harm: whoever changes a file cannot find its tests, and writes them once more elsewhere."""
    lost = set()
    for path in project_files():
        parts = path.relative_to(ROOT).parts
        if parts[0] == "tests" and parts[1] in ("engine", "app") and re.fullmatch(r"test_\w+\.py", path.name):
            tested, words = ROOT.joinpath(*parts[1:-1]), path.stem.split("_")[1:]
            names = ["_".join(words[:end]) for end in range(1, len(words) + 1)]  # the rest says which of its tests
            if not any((tested / it).exists() for name in names for it in (f"{name}.py", f"__{name}__.py", name)):
                lost.add("/".join(parts))
    assert not lost - set(SUBJECTS), f"Call these after a file or folder that they test: {sorted(lost - set(SUBJECTS))}"
    assert not set(SUBJECTS) - lost, f"SUBJECTS names what needs no word, or is gone: {set(SUBJECTS) - lost}"


def test_no_folder_of_tests_is_passed_over(request: pytest.FixtureRequest) -> None:
    """Harm: a folder has one of the names that pytest leaves out, such as build, and its tests never run."""
    hook = request.config.pluginmanager.hook.pytest_ignore_collect
    folders = {path.parent for path in project_files() if path.name.startswith("test_") and path.suffix == ".py"}
    passed_over = [folder for folder in folders if hook(collection_path=folder, config=request.config)]
    assert not passed_over, passed_over


def light_modules() -> set[str]:
    """Modules of the engine whose import loads no heavy library: followed through every import that runs with it."""

    def runs(tree: ast.Module) -> Iterator[str]:
        for node in tree.body:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
                yield str(node.module)

    needs = {name: set(runs(tree)) for name, tree in within("engine")}
    heavy = {
        name
        for name, all_of in needs.items()
        if any(it.split(".")[0] in HEAVY or it == "safetensors.torch" for it in all_of)
    }
    while more := {name for name, all_of in needs.items() if all_of & heavy} - heavy:
        heavy |= more
    return {name for name in needs if name not in heavy and not is_package(name)}


def promised_light() -> set[str]:
    """Modules of which the engine's map says that they need no torch: whole packages, or single files."""
    parts = re.split(r"^## `", (ROOT / "engine" / "README.md").read_text(), flags=re.MULTILINE)[1:]
    found = {"engine.__main__", "engine.api"}
    for part in parts:
        heading = part.splitlines()[0]
        for file, about in re.findall(r"^\| `([\w/]+)\.py` \| (.+) \|$", part, re.MULTILINE):
            if heading.endswith("(no torch)") or about.endswith("(no torch)"):
                found.add(f"engine.{heading.split('/')[0]}.{file.replace('/', '.')}")
    return found


def test_the_map_says_truly_what_needs_no_torch() -> None:
    """Harm: a page that promised to open at once waits ten seconds, for a file began to need what it does not use."""
    light, promised = light_modules(), promised_light()
    assert len(promised) > 60
    assert not promised - light, f"These load torch now: {sorted(promised - light)}"
    assert not light - promised, f"Say (no torch) in engine/README.md of: {sorted(light - promised)}"
    for whole in ("storage", "sizing"):
        assert {name for name, _ in within(f"engine.{whole}") if not is_package(name)} <= promised


def test_the_engine_knows_nothing_of_the_ui() -> None:
    """Harm: a training process, or a server without a screen, must install and load the app to run."""
    wrong = [
        f"{where} imports {imported}"
        for name, tree in within("engine")
        for where, imported in imports(name, tree)
        if imported.split(".")[0] in UI
    ]
    assert not wrong, wrong


REGISTRY = {
    "engine.methods.registry",
    "engine.methods.base",
    "engine.methods.kinds",
}  # what one may ask who must not know a method
LOOP = ["engine.training", "engine.cli.train", "engine.inheritance.attention_film", "engine.model.saved_models"]
LOOP += ["engine.settings.budget", "engine.sizing.step_flops"]


def known_methods(name: str, tree: ast.Module) -> list[str]:
    """Where a module says a method's name, or imports one instead of asking the registry."""
    from engine.methods.registry import METHODS
    from engine.sizing.shape import FAMILIES

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
            if module == "engine.methods" or module.startswith("engine.methods."):
                shared = any(f"{module}.{what}.".startswith(f"{place}.") for place in REGISTRY)
                if not shared or what in {kind.__name__ for kind in METHODS.values()}:
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
        ("from engine.methods.registry import METHODS, find", False),
        ("from engine.methods.registry import Wid", True),
        ("from engine.methods import registry", False),
        ("from engine.methods.kinds.one_shot import OneShot", False),
        ("from engine.methods.kinds import one_shot", False),
        ("from engine.methods.base import Method", False),
        ("from engine.sizing.wid_cost import sizes", False),
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
    wrong = [it for name, tree in within(*LOOP) for it in known_methods(name, tree)]
    assert not wrong, wrong


def test_a_training_step_is_written_once() -> None:
    """Harm: the loop, a budget's trial and the benches each take a step of their own, and one leaves a hook out."""
    calls = {
        (node.func.attr, name)
        for name, tree in within("engine", "app")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    for hook in ("after_backward", "next_form"):
        assert {name for called, name in calls if called == hook} == {"engine.training.step"}, hook
    assert {name for called, name in calls if called == "losses"} == {"engine.training.step"}


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
    drawn = {name for name, _ in within("app") if name.endswith("charts") or name in DRAWN_WITHOUT}
    drawn |= {name for name, _ in within("app.elements")} - WIDGETS
    assert len(drawn) > 15
    wrong = [
        f"{where} imports {imported}"
        for name, tree in within(*sorted(drawn - {"app.elements"}))
        for where, imported in imports(name, tree)
        if imported.split(".")[0] == "streamlit"
    ]
    assert not wrong, wrong


def test_nothing_is_imported_by_a_computed_name() -> None:
    """Harm: such an import passes by every law in this file."""
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in within("engine", "app", "streamlit_app")
        if name != "engine.methods.registry"  # a file in its own folder is a method: nobody else is asked
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")
    ]
    assert not wrong, wrong


TOUCHES = {  # what of Streamlit outlives a rerun, and the one module that touches it
    "session_state": "app.session.browser",
    "query_params": "app.session.link",
    "cache_data": "app.session.caches",
    "cache_resource": "app.session.caches",
}


def test_one_module_each_touches_the_session_the_link_and_the_caches() -> None:
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
            wrong += [f"{name}:{line} uses {it}" for it in used if TOUCHES.get(it, name) != name]
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


def test_no_text_names_a_file_that_is_gone() -> None:
    """Harm: a reader is sent to a file that was renamed years ago."""
    known = {str(path.relative_to(ROOT)) for path in project_files() if path.suffix == ".py"}
    names = {Path(name).name for name in known}
    gone = []
    for path in (ROOT / name for name in sorted(known) if name.startswith(("engine/", "app/"))):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            for found in re.findall(r"(?<![\w{/.])((?:\w+/)*\w+\.py)\b", line):
                if found not in (known if "/" in found else names):
                    gone.append(f"{path.relative_to(ROOT)}:{number} names {found}")
    assert not gone, gone


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
    names = ["engine", *sorted(promised_light())]
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        "    print(name, *(heavy for heavy in ('torch', 'transformers') if heavy in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == names, "the first line with a library behind it is the file that loads it"
