"""Checkpoints in the library's format, written by the library itself; the Hub is a stand-in, there is no network."""

import json
import types

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.methods.registry import METHODS
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.teachers import catalog, pretrained
from engine.teachers.card import TeacherError
from engine.teachers.catalog import load_teacher, teacher_card
from engine.teachers.pretrained import hub_folder, local_outline, read_folder
from tests.fixtures.builders import finish, new_run, tiny, tokenizer

WORDS = len(tokenizer())
BERT = transformers.BertConfig(
    vocab_size=WORDS, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
    max_position_embeddings=64,
)  # fmt: skip
ALBERT = transformers.AlbertConfig(
    vocab_size=WORDS, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
    max_position_embeddings=64, embedding_size=8, inner_group_num=1, layer_norm_eps=1e-12,
)  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The only folder that may be read."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    catalog._hub_outline.cache_clear()
    yield tmp_path
    catalog._hub_outline.cache_clear()


def saved(folder, kind="BertForMaskedLM", config=BERT):
    """A checkpoint as the library writes it; the library's model."""
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config).eval()
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


@pytest.mark.parametrize(("kind", "config"), [("BertForMaskedLM", BERT), ("AlbertForMaskedLM", ALBERT)])
def test_a_checkpoint_teaches_what_the_library_computes(here, kind, config):
    """Harm: a teacher from a folder that is another model than the one everybody else loads from it."""
    theirs = saved(here / "model", kind, config)
    found = load_teacher(f"local:{here / 'model'}")
    assert found.card.has_head
    ids = torch.tensor([found.tokenizer("the girl sleeps .")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(found.bert(ids), theirs(ids).logits, rtol=0, atol=1e-5)
    assert sum(p.numel() for p in found.bert.parameters()) == parameters(found.card.shape)
    assert found.card == teacher_card(f"local:{here / 'model'}")


@pytest.mark.parametrize(("kind", "config"), [("BertModel", BERT), ("AlbertModel", ALBERT)])
def test_an_encoder_without_a_head_says_so(here, kind, config):
    """Harm: a new head's guesses pass for the teacher's knowledge."""
    theirs = saved(here / "model", kind, config)
    found = load_teacher(f"local:{here / 'model'}")
    assert not found.card.has_head
    assert "without a masked-LM head" in found.card.objective
    ids = torch.tensor([found.tokenizer("the girl sleeps .")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(found.bert.encode(ids), theirs(ids).last_hidden_state, rtol=0, atol=1e-5)
        assert found.bert(ids).shape == (1, ids.shape[1], WORDS)
    assert found.bert.shape == found.card.shape


def test_weights_in_several_files_are_one_model(here):
    """Harm: a large checkpoint cannot be used, or half of it is."""
    folder = here / "model"
    saved(folder)
    whole = load_file(folder / "model.safetensors")
    expected = read_folder(folder)[0].state_dict()
    (folder / "model.safetensors").unlink()
    names = sorted(whole)
    parts = {"model-1.safetensors": names[:9], "model-2.safetensors": names[9:]}
    for file, held in parts.items():
        save_file({name: whole[name] for name in held}, folder / file)
    index = {"weight_map": {name: file for file, held in parts.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = read_folder(folder)[0].state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    index["weight_map"][names[0]] = "../../outside.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(TeacherError, match=r"should name files"):
        teacher_card(f"local:{folder}")


def damage(folder, kind):
    """Does one thing to a good checkpoint."""
    if kind == "only pickles":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "config is a list":
        (folder / "config.json").write_text("[]")
    elif kind == "another family":
        (folder / "config.json").write_text(json.dumps({**BERT.to_dict(), "model_type": "gpt2"}))
    elif kind == "remote code":
        config = {**BERT.to_dict(), "model_type": "mine", "auto_map": {"AutoModel": "evil.Evil"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "evil.py").write_text("raise SystemExit('code of a stranger ran')")
    elif kind == "wrong numbers":
        (folder / "config.json").write_text(json.dumps({**BERT.to_dict(), "num_attention_heads": "4"}))
    elif kind == "torn weights":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:200])
    elif kind == "other size":
        (folder / "config.json").write_text(json.dumps({**BERT.to_dict(), "intermediate_size": 32}))
    elif kind == "no tokenizer":
        for name in pretrained.TOKENIZER_FILES:
            (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("only pickles", "can run code when they are read"),
        ("no config", r"no readable config\.json"),
        ("config is a list", "should be an object"),
        ("another family", "Only BERT, DistilBERT and ALBERT"),
        ("remote code", "Only BERT, DistilBERT and ALBERT"),
        ("wrong numbers", "heads"),
        ("torn weights", "damaged"),
        ("other size", "should be"),
        ("no tokenizer", "tokenizer"),
    ],
)
def test_a_folder_that_is_no_teacher_is_one_sentence(here, kind, says):
    """Harm: a traceback, or a stranger's code, out of a folder that somebody downloaded."""
    saved(here / "model")
    damage(here / "model", kind)
    with pytest.raises(TeacherError, match=says) as caught:
        load_teacher(f"local:{here / 'model'}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/etc", "..", "link", "nothing", "", "a\0b"])
def test_nothing_outside_of_the_roots_teaches(here, name, tmp_path_factory, monkeypatch):
    """Harm: a config from elsewhere makes the app read any folder."""
    saved(tmp_path_factory.mktemp("outside"))
    (here / "link").symlink_to(tmp_path_factory.getbasetemp())
    monkeypatch.chdir(here)
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError) as caught:
            ask(f"local:{name}")
        assert "\n" not in str(caught.value)


@pytest.fixture
def hub(here, monkeypatch):
    """A Hub with the model owner/name, of which nothing is on this machine yet; what was fetched of it."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    saved(here / "model")
    fetched = []

    class HfApi:
        def model_info(self, id, timeout):
            if id != "owner/name":
                raise OSError(f"401 Client Error. {id} not found\nforty lines more")
            data = types.SimpleNamespace(to_dict=lambda: {"license": "apache-2.0", "datasets": ["wikipedia", "books"]})
            files = [types.SimpleNamespace(rfilename=path.name) for path in (here / "model").iterdir()]
            return types.SimpleNamespace(sha="abc", siblings=files, card_data=data)

    def snapshot_download(id, allow_patterns, local_files_only=False, etag_timeout=None):
        if local_files_only and "model" not in fetched:
            raise LocalEntryNotFoundError("not here")
        fetched.append("model")
        assert not any("bin" in name or name.endswith(".py") for name in allow_patterns)
        return str(here / "model")

    names = dict.fromkeys(load_file(here / "model" / "model.safetensors"), "model.safetensors")
    monkeypatch.setattr(huggingface_hub, "HfApi", HfApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda id, name, **more: str(here / "model" / name))
    monkeypatch.setattr(
        huggingface_hub, "get_safetensors_metadata", lambda id, **more: types.SimpleNamespace(weight_map=names)
    )
    monkeypatch.setattr(pretrained, "reachable", lambda url: True)
    return fetched


def test_a_card_of_the_hub_fetches_no_weights(hub):
    """Harm: choosing a name on the build page downloads 400 MB."""
    card = teacher_card("hub:owner/name")
    assert not hub
    assert (card.licence, card.has_head) == ("apache-2.0", True)
    assert "wikipedia, books" in card.about
    found = load_teacher("hub:owner/name")
    assert hub == ["model"]
    assert found.card == card
    assert found.bert.shape == card.shape


def test_what_is_here_already_needs_no_network(hub, monkeypatch):
    """Harm: a talk in front of a room without a network, and the model lies on the disk."""
    folder = hub_folder("owner/name")
    monkeypatch.setattr(pretrained, "reachable", lambda url: False)
    assert hub_folder("owner/name") == folder


def test_a_model_that_the_hub_does_not_have_is_one_sentence(hub):
    """Harm: forty lines about tokens and gated repositories for a typing error."""
    with pytest.raises(TeacherError, match="owner/other cannot be had from the Hub: 401") as caught:
        teacher_card("hub:owner/other")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("id", ["../../etc", "a/b/c", "", "a b", "-x", "a/../b"])
def test_a_model_of_the_hub_has_a_name(hub, id):
    """Harm: a path or an option passed on to a library as a name."""
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError, match="is named hub:OWNER/NAME"):
            ask(f"hub:{id}")


def test_without_a_network_the_hub_fails_at_once():
    """Harm: 23 seconds of retries before the same answer. The environment of the tests says that there is none."""
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError, match="There is no network to fetch owner/name through") as caught:
            ask("hub:owner/name")
        assert "\n" not in str(caught.value)


def test_an_outline_reads_no_weights(here, monkeypatch):
    """Harm: the build page loads a model of a gigabyte to tell its width."""
    saved(here / "model")
    monkeypatch.setattr("safetensors.torch.load_file", None)
    assert local_outline(str(here / "model")).shape.hidden == 16


@pytest.mark.parametrize("method", METHODS)
def test_a_pre_trained_bert_with_all_its_heads_teaches_every_method(here, method, few_held_out):
    """Harm: the best known checkpoint of all, which has a pooler and two heads, is the one that cannot teach."""
    saved(here / "model", "BertForPreTraining")
    chooses = METHODS[method].about.chooses
    wanted = {"hidden": 8, "heads": 4, "ffn": 16} if "hidden" in chooses else dict.fromkeys(chooses, 1)
    reads = "task-agnostic" in METHODS[method].about.uses
    if not reads:  # it learns a task, and compares all layers but the last
        wanted = {"layers": 2}
    options = {"cuts": 2} if method == "wid" else {}
    config = tiny(
        method,
        steps=12,
        teacher=f"local:{here / 'model'}",
        corpus="microworld" if reads else "auto",
        student=wanted,
        options=options,
    )
    run = new_run(here / "runs", config)
    events = finish(config, run)
    assert events[-1]["kind"] == "finished"
    shape = Shape.from_json(run.card()["shape"])
    paired = method == "albert"  # it learns from pairs, and keeps their head
    assert (shape.pooler, shape.pair_head, shape.mlm_head) == (paired or not reads, paired, reads)
