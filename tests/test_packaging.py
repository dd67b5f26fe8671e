"""What a person downloads: the pins, the assets, `make`, and how the app is served."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, packages_distributions
from pathlib import Path
from typing import Any

import pytest

from tests.test_architecture import ROOT, imports, project_files, within

MEGABYTE = 1_000_000
OURS = {"engine", "app", "tests", "streamlit_app"}
OPTIONAL = {"datasets", "onnx", "IPython"}  # done without, or asked for by name, where missing; each has a test
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm|root|home|Users)/\w+")
TEACHER_AND_STUDENT = {"light": ["#0B5CAD", "#C8500A"], "dark": ["#6CB4F5", "#FFA552"]}
APACHE_2_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"  # of apache.org's own file
CONFIG: dict[str, Any] = tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8"))


def requirements(file: str) -> list[str]:
    """The lines of a requirements file which name a package."""
    lines = [line.split("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("-r ")]


def normal(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_an_exact_pin(file: str) -> None:
    """Harm: tomorrow's install is not what was tested today."""
    loose = [line for line in requirements(file) if not re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.!+]+", line)]
    assert requirements(file)
    assert not loose, loose


@pytest.mark.parametrize(
    ("packages", "files"),
    [
        (["engine", "app", "streamlit_app"], ["requirements.txt"]),
        (["tests"], ["requirements.txt", "requirements-dev.txt"]),
    ],
)
def test_every_import_is_declared(packages: list[str], files: list[str]) -> None:
    """Harm: it works here, where something else happened to install the package, and fails in a fresh clone."""
    declared = {normal(re.split(r"[\[=]", line)[0]) for file in files for line in requirements(file)}
    brought_by = packages_distributions()
    undeclared = [
        f"{where} imports {imported}"
        for name, tree in within(*packages)
        for where, imported in imports(name, tree)
        if (top := imported.split(".")[0]) not in OURS | OPTIONAL | sys.stdlib_module_names
        and not declared & {normal(distribution) for distribution in brought_by.get(top, [])}
    ]
    assert not undeclared, f"Pin these in {files[-1]}: {undeclared}"


def test_no_file_names_a_path_of_one_machine() -> None:
    """Harm: it works on the machine where it was written, and a shipped run tells everybody who made it where."""
    found = []
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in MACHINE_PATH.finditer(text)]
    assert not found, found


def test_assets_are_small() -> None:
    """Harm: a clone that takes minutes, and a repository that can never be made small again."""
    sizes = {path: path.stat().st_size for path in project_files() if ROOT / "assets" in path.parents}
    big = {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > 6 * MEGABYTE}
    assert not big, big
    assert sum(sizes.values()) < 25 * MEGABYTE


def licence_table(column: str) -> dict[str, str]:
    """The table of LICENSES.md whose first column is called `column`: first cell -> second cell."""
    table = (ROOT / "LICENSES.md").read_text(encoding="utf-8").partition(f"| {column} |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    return {cells[0].strip().strip("`"): cells[1].strip() for cells in rows}


def stated_licence(distribution: str) -> str:
    """What an installed distribution's metadata says of its licence: an expression, a line, or its classifiers."""
    about = metadata(distribution)
    line = (about["License"] or "").strip()
    classifiers = [it.rpartition(" :: ")[2] for it in about.get_all("Classifier") or [] if it.startswith("License ::")]
    return about["License-Expression"] or ("" if "\n" in line else line) or ", ".join(classifiers)


def test_the_licence_is_the_whole_apache_licence() -> None:
    """Harm: a text that looks like Apache-2.0 and grants something else; a package index that is told another one."""
    ours, theirs = "Copyright 2026 the Heirloom authors", "Copyright [yyyy] [name of copyright owner]"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert hashlib.sha256(text.replace(ours, theirs).encode()).hexdigest() == APACHE_2_SHA256
    assert text.count(ours) == 1
    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"] == "Apache-2.0"


def test_every_requirement_has_its_licence_told() -> None:
    """Harm: somebody ships the app with a library whose terms nobody has read."""
    names = [re.split(r"[\[=]", line)[0] for line in requirements("requirements.txt")]
    told = licence_table("package")
    assert list(told) == names
    wrong = {name: said for name in names if told[name] != (said := stated_licence(name))}
    assert not wrong, f"LICENSES.md says otherwise than these packages' own metadata: {wrong}"


def test_every_shipped_folder_has_its_licence_told() -> None:
    """Harm: weights of unknown origin in a repository that says it is free to use."""
    folders = {path.parent for path in project_files() if ROOT / "assets" in path.parents}
    assert set(licence_table("folder")) == {f"{folder.relative_to(ROOT)}/" for folder in folders}


def test_make_has_the_promised_targets() -> None:
    """Harm: the README's first command does not exist, or `make help` keeps silent about it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):.*  ## \S", makefile, flags=re.MULTILINE))
    assert targets >= {"help", "run", "test", "lint", "types", "clean"}


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_run_installs_once(tmp_path: Path) -> None:
    """Harm: every start waits for pip (and needs a network), a changed pin is never installed, or a space breaks it."""
    project = tmp_path / "a path with spaces"
    project.mkdir()
    shutil.copy(ROOT / "Makefile", project)
    pins = project / "requirements.txt"
    pins.write_text("# a word\nsix==1.17.0\nbig==2.0  # alone\n")
    (project / "requirements-dev.txt").write_text("-r requirements.txt\nruff==0.17.6\n")
    python = tmp_path / "a python"  # notes what it is asked and installs nothing
    python.write_text(
        '#!/bin/sh\necho "$@" >> calls.txt\n'
        'if [ "$2" = venv ]; then mkdir -p .venv/bin && cp "$0" .venv/bin/python; fi\n'
    )
    python.chmod(0o755)

    def made(target: str) -> list[str]:
        (project / "calls.txt").write_text("")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARGS"))}
        command = ["make", target, f"PYTHON={python}"]
        subprocess.run(command, cwd=project, env=clean, check=True, capture_output=True, timeout=600)
        return [call for call in (project / "calls.txt").read_text().splitlines() if call.startswith("-m")]

    def installed(name: str) -> list[str]:
        lines = (project / ".venv" / name).read_text().splitlines()
        return [line for line in lines if not line.startswith("#")]

    pip = "-m pip install --disable-pip-version-check"
    compiled = [f"{pip} --no-warn-conflicts -r .venv/together.txt", f"{pip} --no-deps -r .venv/alone.txt"]
    install = [step.replace(pip, f"{pip} --no-compile") for step in compiled]
    start = "-m streamlit run streamlit_app.py"
    assert made("run") == ["-m venv --clear .venv", *install, start]
    assert (installed("together.txt"), installed("alone.txt")) == (["six==1.17.0"], ["big==2.0  # alone"])
    assert made("run") == [start]
    later = (project / ".venv/runtime.stamp").stat().st_mtime + 10
    os.utime(pins, (later, later))
    assert made("run") == [*install, start]
    os.utime(pins, (0, 0))
    assert made("types") == [*compiled, "-m mypy engine app streamlit_app.py"]
    assert installed("together.txt") == ["ruff==0.17.6", "six==1.17.0"]
    assert installed("alone.txt") == ["big==2.0  # alone"]
    assert made("types") == ["-m mypy engine app streamlit_app.py"]
    assert made("run") == [start]


def test_the_app_is_served_to_this_machine_only() -> None:
    """Harm: this app starts processes; a neighbour on the network, or a web page by DNS rebinding, could too."""
    server = CONFIG["server"]
    assert server["address"] == "127.0.0.1"
    assert set(server["allowedHosts"]) == {"localhost", "127.0.0.1"}
    assert server.get("enableCORS", True)
    assert server.get("enableXsrfProtection", True)
    assert not server.get("enableAgentApi", False)
    assert CONFIG["browser"]["gatherUsageStats"] is False
    assert CONFIG["client"]["showErrorDetails"] == "none"


def test_streamlit_knows_every_option() -> None:
    """Harm: a misspelt allowedHosts is one line in a log, and protects nobody."""
    from streamlit import config

    def names(table: dict[str, Any], prefix: str) -> list[str]:
        found = []
        for key, value in table.items():
            found += names(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
        return found

    unknown = set(names(CONFIG, "")) - set(config.get_config_options())
    assert not unknown, unknown


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_there_are_exactly_ten_chart_colours(mode: str) -> None:
    """Harm: with any other number Streamlit falls back to its own colours, and teacher and student lose theirs."""
    theme = CONFIG["theme"][mode]
    for kind in ("chartCategoricalColors", "chartSequentialColors", "chartDivergingColors"):
        assert len(theme[kind]) == 10, kind
        assert all(re.fullmatch("#[0-9A-F]{6}", colour) for colour in theme[kind]), kind
    assert theme["chartCategoricalColors"][:2] == TEACHER_AND_STUDENT[mode]
    assert len(set(theme["chartCategoricalColors"])) == 10


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_theme_can_be_read(mode: str) -> None:
    """Harm: a beautiful grey on grey, which the back row of a lecture hall cannot see."""
    theme = CONFIG["theme"][mode]
    paper = theme["backgroundColor"]
    for ground in (paper, theme["secondaryBackgroundColor"]):
        for ink in ("textColor", "linkColor", "blueTextColor", "orangeTextColor"):
            assert contrast(theme[ink], ground) >= 4.5, (ink, ground)
        assert contrast(theme["primaryColor"], ground) >= 3
    assert contrast(theme["primaryColor"], "#FFFFFF") >= 4.5  # Streamlit's ink on a primary button
    for colour in theme["chartCategoricalColors"]:
        assert contrast(colour, paper) >= 3, colour
