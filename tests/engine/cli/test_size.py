"""python -m engine size: everything the page can, in a terminal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.sizing.cost import parameters
from engine.sizing.presets import PRESETS
from engine.sizing.shape import Shape
from engine.sizing.solver import KEEPABLE_FIELDS

ROOT = Path(__file__).parents[3]


def told(capsys, *arguments: str) -> dict:
    """What the command answers as JSON."""
    assert main(["size", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_one_model(capsys) -> None:
    """Harm: a script finds another count than the library's."""
    found = told(capsys, "--preset", "bert-base")
    assert found["parameters"] == sum(found["parts"].values()) == 109_514_298
    assert found["bytes"] == {"float32": 438057192, "bfloat16": 219028596, "int8": 109514298, "int4": 54757149}
    assert found["paper_says"][0]["parameters"] == "110M"
    assert "multiply_adds_128_tokens" in found


def test_models_side_by_side(capsys) -> None:
    """Harm: a comparison needs two commands and a pocket calculator."""
    found = told(capsys, "--preset", "bert-base", "--preset", "wid55-516")
    assert [one["parameters"] for one in found["models"]] == [109_514_298, 54_735_294]
    assert main(["size", "--preset", "bert-base", "--preset", "wid55-516"]) == 0
    assert "2.00x" in capsys.readouterr().out


def test_options_change_the_last_model(capsys) -> None:
    """Harm: --layers 6 changes the teacher too."""
    found = told(capsys, "--preset", "bert-base", "--preset", "bert-base", "--layers", "6", "--hidden", "384")
    assert [one["shape"]["layers"] for one in found["models"]] == [12, 6]
    assert found["shape"]["ffn"] == 1536
    every = ["--token-types", "0", "--groups", "3", "--sharing", "ffn", "--family", "albert", "--embedding", "64"]
    shape = Shape.from_json(told(capsys, *every, "--pair-head", "--untied", "--head-dim", "32")["shape"])
    assert shape == Shape(
        token_types=0,
        groups=3,
        sharing="ffn",
        family="albert",
        embedding=64,
        pooler=True,
        pair_head=True,
        tied=False,
        head_dim=32,
    )


def test_wid_students(capsys) -> None:
    """Harm: the method's own question, how large at this width, has no answer here."""
    teacher, student = told(capsys, "--wid", "516", "--strategy", "head")["models"]
    assert teacher["shape"]["hidden"] == 768
    assert (student["shape"]["heads"], student["shape"]["head_dim"], student["shape"]["tied"]) == (8, 64, False)


def test_details(capsys) -> None:
    """Harm: --tensors, --formula or --cost print numbers that do not add up to the total."""
    found = told(capsys, "--preset", "albert-base", "--tensors", "--formula", "--cost", "--device", "h100")
    assert sum(entry["parameters"] for entry in found["tensors"]) == found["parameters"]
    assert sum(term["value"] for term in found["formula"]) == found["parameters"]
    assert sum(found["cost"]["flops_by_part"].values()) == found["cost"]["flops"]
    memory = dict(found["cost"]["training"]["bytes"])
    assert memory.pop("total") == sum(memory.values())
    assert found["cost"]["latency_bound"]["seconds"] > 0


def test_backwards_and_sweep(capsys) -> None:
    """Harm: the solver and the sweep exist on the page alone."""
    found = told(capsys, "--budget", "11M", "--most", "3", "--sweep", "embedding")
    assert Shape.from_json(found["found"][0]["shape"]).hidden == 192
    assert len(found["found"]) <= 3
    assert [one["layers"] for one in found["front"]] == list(range(1, 25))
    assert found["sweep"]["crossing"] > 700
    latency = ["--budget", "60us", "--of", "latency", "--device", "a100", "--precision", "int8"]
    kept = told(capsys, *latency, "--keep", "hidden")
    assert all(one["shape"]["hidden"] == 768 for one in kept["found"])


def test_a_link_of_the_page_is_understood(capsys) -> None:
    """Harm: what somebody shares from the page cannot be looked at in a terminal."""
    link = "http://localhost:8501/?v=1&c=bert-base~name.Teacher&c=bert-base~layers.6~name.Half+as+deep&tab=cost"
    found = told(capsys, "--link", link)
    assert [one["name"] for one in found["models"]] == ["Teacher", "Half as deep"]
    assert found["parameters"] == parameters(Shape(layers=6))


def test_verify_and_measure_run_elsewhere(capsys, monkeypatch) -> None:
    """Harm: the numbers of another process are lost on the way, or progress spoils the JSON."""
    from engine.settings import torch_subprocess as apart

    asked = []

    def ask(module, question, progress):
        asked.append((module, question))
        progress(0.5, "half way")
        if module == "engine.model.count_check":
            verdict = {"built": "A class", "computed": 1, "counted": 1, "unread": 0, "equal": True}
            return {"verdicts": [verdict] * len(question["shapes"])}
        rates = {"device": "A machine", "float32": 1e12, "bfloat16": 2e12, "bandwidth": 1e11, "step": 1e12}
        return rates | {"step_precision": "float32", "step_model": "a model"}

    monkeypatch.setattr(apart, "ask", ask)
    found = told(capsys, "--verify", "--measure", "--steps", "1000")
    assert [module for module, _ in asked] == ["engine.model.count_check", "engine.benches.machine_rate"]
    assert found["verified"][0]["equal"]
    work = found["cost"]["training"]["flops_a_step"]
    assert found["this_machine"]["training_seconds"] == pytest.approx(1000 * work / 1e12)
    assert main(["size", "--verify", "--measure"]) == 0
    said = capsys.readouterr()
    assert "equal" in said.out
    assert "A machine: 1.00 TFLOP/s" in said.out
    assert "half way" in said.err


def test_csv_and_presets(capsys) -> None:
    """Harm: a spreadsheet or a list of names needs the page."""
    assert main(["size", "--csv", "--preset", "bert-tiny"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(",4416698")
    assert set(told(capsys, "--presets")) == set(PRESETS)
    assert main(["size", "--presets"]) == 0
    assert "109,514,298" in capsys.readouterr().out


BAD = {
    "unknown preset": (["--preset", "bert"], "no preset"),
    "five presets": (["--preset", "bert-base"] * 5, "At most 4"),
    "a trillion": (["--hidden", str(10**12)], "hidden must be between"),
    "a trillion tokens": (["--tokens", str(10**12)], "512 positions"),
    "wid does not divide": (["--wid", "500"], "504 and 492"),
    "wid strategy": (["--wid", "516", "--strategy", "magic"], "strategy must be one of"),
    "wid of albert": (["--preset", "albert-base", "--wid", "192"], "unshared layers"),
    "budget of nonsense": (["--budget", "much"], "number with a unit"),
    "budget of another thing": (["--budget", "1M", "--of", "money"], "--of must be one of"),
    "latency without a device": (["--budget", "1ms", "--of", "latency"], "needs a device"),
    "unknown device": (["--device", "abacus"], "no device"),
    "unknown precision": (["--device", "h100", "--precision", "int2"], "precision must be one of"),
    "keep everything": (["--budget", "1M", "--keep", ",".join(KEEPABLE_FIELDS)], "nothing to look"),
    "keep nonsense": (["--budget", "1M", "--keep", "magic"], "cannot be kept"),
    "sweep nonsense": (["--sweep", "magic"], "no control"),
    "bad link": (["--link", "http://x/?c=bert-base~heads.7"], "7 heads"),
    "no batch": (["--cost", "--batch", "0"], "sequences must be"),
    "most": (["--budget", "1M", "--most", "0"], "--most must be"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, says, capsys) -> None:
    """Harm: a slip of the keyboard shows a traceback."""
    assert main(["size", *arguments]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert said.out == ""


def test_nothing_heavy_is_loaded() -> None:
    """Harm: a count waits for libraries that it does not use."""
    code = (
        "import sys; from engine.__main__ import main; "
        "main('size --preset bert-base --cost --device h100 --budget 11M --sweep hidden'.split()); "
        "print([m for m in ('torch', 'numpy', 'transformers', 'pandas', 'streamlit', 'plotly') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_size_counts(capsys) -> None:
    """Harm: the command line and the library disagree about BERT-base."""
    assert main(["size", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 109_514_298
