import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.teachers import shipped
from engine.teachers.card import TeacherError
from engine.teachers.catalog import TEACHERS, load_teacher, teacher_card
from engine.text import microworld
from engine.text.sources import SOURCES
from tests.fixtures.builders import finish, new_run, tiny

pytestmark = pytest.mark.usefixtures("fresh_cards")

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = (shipped.ASSETS / "teachers" / "microworld" / "card.json").exists()
HERE = [name for name in TEACHERS if SHIPPED or name != "microworld"]


@pytest.fixture(scope="module")
def loaded():
    """Every teacher that is on this machine, loaded once."""
    return {name: load_teacher(name) for name in HERE}


@pytest.mark.parametrize("name", HERE)
def test_a_card_tells_the_truth_about_its_model(name, loaded):
    """Harm: the build page promises a size or a vocabulary that the loaded teacher does not have."""
    card, found = teacher_card(name), loaded[name]
    assert found.card == card
    assert card.name == name
    assert found.bert.shape == card.shape
    assert sum(p.numel() for p in found.bert.parameters()) == parameters(card.shape)
    assert len(found.tokenizer) == card.shape.vocab
    assert card.corpus.partition(":")[0] in SOURCES
    assert card.length <= card.shape.positions
    assert card.label
    assert card.about
    assert card.licence
    assert card.objective


@pytest.mark.parametrize("name", HERE)
def test_the_example_sentence_is_in_the_teachers_words(name, loaded):
    """Harm: the first attention picture anybody sees is full of [UNK]."""
    found = loaded[name]
    tokens = found.tokenizer.tokenize(found.card.example)
    assert len(tokens) > 5
    assert "[UNK]" not in tokens


@pytest.mark.parametrize("name", HERE)
def test_a_teacher_is_the_same_every_time(name, loaded):
    """Harm: a blank or half-new teacher that differs from run to run makes every comparison void."""
    again = load_teacher(name).bert
    assert all(torch.equal(p, q) for p, q in zip(loaded[name].bert.parameters(), again.parameters(), strict=True))
    assert {p.dtype for p in again.parameters()} == {torch.float32}


def test_the_blank_teacher_knows_the_words_and_nothing_else(loaded):
    """Harm: the null that everything is compared with has learned something."""
    blank = loaded["blank"]
    assert blank.tokenizer.get_vocab() == {word: index for index, word in enumerate(microworld.vocabulary())}
    ids = torch.tensor([blank.tokenizer(blank.card.example)["input_ids"]])
    entropy = torch.distributions.Categorical(logits=blank.bert(ids)).entropy()
    assert entropy.min() > 0.98 * torch.tensor(float(len(microworld.vocabulary()))).log()


def test_minilm_computes_what_the_published_encoder_computes(loaded):
    """Harm: "real English" attention that is not the published model's."""
    folder = shipped._minilm_folder()
    theirs = transformers.AutoModel.from_pretrained(folder, local_files_only=True, attn_implementation="eager").eval()
    speaker = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    minilm = loaded["minilm-original"]
    inputs = speaker(minilm.card.example, return_tensors="pt")
    assert minilm.tokenizer(minilm.card.example)["input_ids"] == inputs["input_ids"][0].tolist()
    expected, trace = theirs(**inputs, output_attentions=True), {"attentions": []}
    with torch.no_grad():
        found = minilm.bert.encode(inputs["input_ids"], inputs["attention_mask"].bool(), trace=trace)
    torch.testing.assert_close(found, expected.last_hidden_state, rtol=0, atol=1e-5)
    for mine, other in zip(trace["attentions"], expected.attentions, strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    assert not minilm.card.has_head
    assert loaded["minilm"].card.has_head


def test_an_unknown_teacher_is_refused_by_name():
    """Harm: a KeyError from a link to a teacher that was renamed."""
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError, match="'../x'; choose one of microworld, minilm, .*hub:ID, local:PATH"):
            ask("../x")


def test_a_card_needs_no_torch():
    """Harm: the first page waits ten seconds for a library it does not use."""
    code = (
        "import sys; from engine.teachers import catalog; catalog.teacher_card('blank'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_published_licences_are_named():
    """Harm: a model shipped without the terms it came with."""
    assert {teacher_card(name).licence for name in HERE} <= {"Apache-2.0", "MIT", "BSD-3-Clause"}
    config = json.loads((shipped._minilm_folder() / "config.json").read_text())
    assert teacher_card("minilm").shape.layers == config["num_hidden_layers"]


@pytest.fixture
def made(tmp_path, few_held_out):
    """(root, run) of a finished run."""
    config = tiny("scratch", steps=2)
    run = new_run(tmp_path, config)
    finish(config, run)
    return tmp_path, run


def test_a_student_can_teach(made):
    """Harm: compressions cannot be chained, or a grandchild does not know where it comes from."""
    root, run = made
    config = tiny("scratch", steps=2, teacher=f"run:{run.id}", student={"layers": 1, "hidden": 16, "heads": 2})
    second = new_run(root, config)
    finish(config, second)
    card = second.card()
    assert (card["teacher"], card["parent"]) == (f"run:{run.id}", run.id)
    assert card["teacher_parameters"] == run.card()["parameters"]
    found = load_teacher(f"run:{second.id}", root)
    assert found.bert.shape == Shape.from_json(card["shape"])
    assert found.card.licence == "Apache-2.0"  # of the first teacher in the chain
    assert found.card.scores["masked_accuracy"] == card["scores"]["masked_accuracy"]


def test_a_run_that_cannot_teach_is_one_sentence(made):
    """Harm: a traceback for a run that is still at work, or whose card somebody edited."""
    root, run = made
    for name, says in (("nothing", "nothing"), ("../x", "x"), ("", "")):
        with pytest.raises(TeacherError, match=says):
            teacher_card(f"run:{name}", root)
    path = run.student_dir / "card.json"
    for text in ("{", "[]", '{"shape": 3}', '{"shape": {"hidden": "x"}}'):
        path.write_text(text)
        with pytest.raises(TeacherError, match="damaged") as caught:
            teacher_card(f"run:{run.id}", root)
        assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(TeacherError, match="no student yet"):
        load_teacher(f"run:{run.id}", root)


def test_a_circle_of_runs_ends(made):
    """Harm: a card that names itself as its teacher hangs the build page."""
    root, run = made
    path = run.student_dir / "card.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "teacher": f"run:{run.id}"}))
    assert teacher_card(f"run:{run.id}", root).licence == "as its teacher's"
