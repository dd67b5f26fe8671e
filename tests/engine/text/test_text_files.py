"""Documents out of files: every kind, and what a damaged or hostile one is answered with."""

import json

import pytest

from engine.storage.allowed_folders import PathError, absolute_name, allowed_path
from engine.text import sources
from engine.text.corpora import open_corpus
from engine.text.sources import find_source
from engine.text.text_files import read_documents
from engine.text.token_store import CorpusError
from engine.text.uploads import MAX_UPLOAD_MB, save_upload
from tests.fixtures.builders import tokenizer

WANTED = [["The girl sleeps.", "She is happy!"], ["A fox, it runs."]]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The only folder that may be read."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    return tmp_path


def written(path, content):
    """`path` with `content` in it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_every_kind_of_file_holds_the_same_documents(here):
    """Harm: the same text trains another student because it came in another file."""
    texts = ["The girl sleeps.\n She is happy!", "A fox, it runs."]
    written(here / "a.txt", "\n\nThe girl sleeps. She\nis happy!\n\n \nA fox, it runs.")
    written(here / "lines.txt", "\ufeffThe girl sleeps. She is happy!\nA fox, it runs.\n\n")
    written(here / "a.jsonl", "\n".join(json.dumps({"id": 1, "text": text}) for text in texts) + "\n\n")
    written(here / "told.jsonl", "\n".join(json.dumps({"body": text}) for text in WANTED))
    written(here / "a.csv", 'id,text\n1,"The girl sleeps.\n She is happy!"\n\n2,"A fox, it runs."\n')
    names = ("a.txt", "lines.txt", "a.jsonl", "told.jsonl#body", "told.jsonl", "a.csv", "a.csv#text")
    for name in names:
        assert list(find_source(f"file:{here / name}").read()) == WANTED, name


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"fine\n\nnot \xff fine\n", "line 3: byte 0xff at column 5"),
        ("a.csv", b"text\nfine\n\xe9t\xe9\n", "line 3: byte 0xe9 at column 1"),
        ("a.jsonl", '{"text": "fine"}\n{"text": ', "line 2: no JSON"),
        ("a.jsonl", "[" * 100_000, "line 1: no JSON"),
        ("a.jsonl", "[1]", "line 1: expected an object with a text in it, got list"),
        ("a.jsonl", '{"text": "a"}\n{"text": 7}', "line 2: expected a text, got int"),
        ("a.jsonl", '{"a": "x", "b": "y"}', "no column 'text', there is 'a', 'b'; name one as file:PATH#COLUMN"),
        ("a.csv", "", "is empty"),
        ("a.csv", "a,text\n1,x\n2\n", "line 3: 1 columns instead of 2"),
        ("a.csv", 'text\n"x', "line 2: no CSV"),
    ],
)
def test_a_damaged_file_says_where(here, name, content, says):
    """Harm: 'codec can't decode byte' for a file of a million lines, or a traceback on the page."""
    path = written(here / name, content)
    with pytest.raises(CorpusError) as caught:
        list(read_documents(path, ""))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parquet_holds_the_same_documents(here):
    """Harm: the usual file of a data set, read another way than all others."""
    pyarrow = pytest.importorskip("pyarrow", reason="comes with Streamlit; the engine alone does without")
    from pyarrow import parquet

    columns = {"id": [1, 2, 3], "text": ["The girl sleeps.\n She is happy!", None, "A fox, it runs."]}
    parquet.write_table(pyarrow.table(columns), here / "a.parquet")
    assert list(find_source(f"file:{here / 'a.parquet'}").read()) == WANTED
    with pytest.raises(CorpusError, match="expected a text, got int"):
        list(find_source(f"file:{here / 'a.parquet'}#id").read())
    written(here / "b.parquet", b"PAR1 not really")
    with pytest.raises(CorpusError, match="no Parquet file"):
        list(find_source(f"file:{here / 'b.parquet'}").read())


def test_a_column_is_taken_by_its_name(here):
    """Harm: the model learns from the column of ids."""
    written(here / "a.csv", "title,body\nOne,The girl sleeps.\n")
    assert list(find_source(f"file:{here / 'a.csv'}#body").read()) == [["The girl sleeps."]]
    with pytest.raises(CorpusError, match="no column 'nothing'"):
        list(find_source(f"file:{here / 'a.csv'}#nothing").read())
    written(here / "a.txt", "x")
    with pytest.raises(CorpusError, match="has no columns"):
        list(find_source(f"file:{here / 'a.txt'}#body").read())


def test_a_changed_file_is_another_corpus(here):
    """Harm: a corrected text, and the run still learns the old one out of the cache."""
    path = here / "a.csv"
    seen = set()
    for content, column in (("text,b\nx,y\n", ""), ("text,b\nx,z\n", ""), ("text,b\nx,z\n", "b")):
        written(path, content)
        seen.add(find_source(f"file:{path}#{column}").fingerprint())
    assert len(seen) == 3


def test_a_file_becomes_rows(here, monkeypatch):
    """Harm: a corpus that is read but cannot be trained on."""
    lines = [f"the {noun} sleeps at the barn ." for noun in list(tokenizer().get_vocab())[10:200]]
    path = written(here / "a.txt", "\n".join(lines))
    corpus = open_corpus(f"file:{path}", tokenizer(), 16, 1000)
    assert len(corpus.rows) + len(corpus.held_out) == len(lines)


@pytest.mark.parametrize(
    "name", ["/etc/passwd.txt", "../x.txt", "link.txt", "loop.txt", "a\0.txt", "", "no.txt", "a.exe", "."]
)
def test_nothing_outside_of_the_roots_is_read(here, name, tmp_path_factory, monkeypatch):
    """Harm: a link to the app shows whoever opens it any file of the machine."""
    outside = written(tmp_path_factory.mktemp("outside") / "secret.txt", "secret")
    (here / "link.txt").symlink_to(outside)
    (here / "loop.txt").symlink_to(here / "loop.txt")
    monkeypatch.chdir(here)
    with pytest.raises(CorpusError) as caught:
        find_source(f"file:{name}")
    assert "\n" not in str(caught.value)


def test_a_path_is_confined_to_what_it_really_is(here):
    """Harm: a folder that is allowed only when nobody looks through its links."""
    (here / "in").mkdir()
    written(here / "in" / "a.txt", "x")
    (here / "alias").symlink_to(here / "in")
    assert allowed_path(str(here / "alias" / ".." / "in" / "a.txt")) == (here / "in" / "a.txt").resolve()
    with pytest.raises(PathError, match="outside of the folders"):
        allowed_path(str(here / ".." / "other"))


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ("my text.txt", "my-text-"),
        ("../../etc/cron.d/x.txt", "x-"),
        ("..\\..\\x.CSV", "x-"),
        ("<script>alert(1)</script>.jsonl", "script-"),
        ("\u202egnp.txt", "gnp-"),
        (".txt.txt", "txt-"),
        ("a" * 300 + ".txt", "a" * 60 + "-"),
        ("\u6587.txt", "text-"),
    ],
)
def test_an_upload_gets_a_harmless_name(here, given, starts):
    """Harm: a file's name climbs out of its folder, runs on a page or cannot be typed again."""
    path = save_upload(here / "uploads", given, b"text")
    assert path.parent == here / "uploads"
    assert path.name.startswith(starts)
    assert path.read_bytes() == b"text"
    assert path.name.isascii()
    assert save_upload(here / "uploads", given, b"text") == path
    assert save_upload(here / "uploads", given, b"other") != path
    assert len(list((here / "uploads").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.exe", b"x", "ends in .txt"),
        ("noend", b"x", "ends in .txt"),
        ("a.txt", b"", "is empty"),
        ("a.txt", b"x" * (MAX_UPLOAD_MB * 1_000_000 + 1), "is the most"),
    ],
)
def test_an_upload_that_cannot_be_a_corpus_is_refused(here, name, content, says):
    """Harm: a disk full of what nobody can read."""
    with pytest.raises(CorpusError, match=says):
        save_upload(here / "uploads", name, content)
    assert not (here / "uploads").exists()


def test_an_upload_that_the_disk_does_not_take_leaves_nothing(here):
    """Harm: a half-written text that is trained on."""
    written(here / "uploads", "a file where the folder should be")
    with pytest.raises(CorpusError, match="does not take the file"):
        save_upload(here / "uploads", "a.txt", b"x")


def test_the_hub_is_asked_for_by_name_when_its_package_is_missing(monkeypatch):
    """Harm: ModuleNotFoundError for somebody who typed a data set's name."""
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CorpusError, match="pip install datasets"):
        find_source("hub:Salesforce/wikitext:wikitext-2-v1")


@pytest.fixture
def hub(monkeypatch):
    """A Hub with one data set, behind the two libraries that lead there; what was asked of it."""
    import sys
    import types

    import huggingface_hub

    asked = []

    def load_dataset(name, config, split, streaming):
        asked.append((name, config, split, streaming))
        if name == "no/such":
            raise FileNotFoundError("Dataset 'no/such' doesn't exist on the Hub\nmany more lines")
        return ({"id": index, "text": f"Text {index}. More."} for index in range(3))

    class HfApi:
        def dataset_info(self, name, timeout):
            return types.SimpleNamespace(sha=f"revision of {name}")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset, __spec__=True))
    monkeypatch.setattr(huggingface_hub, "HfApi", HfApi)
    monkeypatch.setattr(sources, "reachable", lambda url: True)
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: name)
    return asked


def test_a_data_set_of_the_hub_is_streamed(hub):
    """Harm: 20 GB on the disk before the first step."""
    source = find_source("hub:owner/name:part#text")
    assert not hub  # nothing is asked before it is needed
    assert list(source.read()) == [[f"Text {index}.", "More."] for index in range(3)]
    assert hub == [("owner/name", "part", "train", True)]
    assert source.fingerprint() != find_source("hub:owner/name:part#id").fingerprint()


@pytest.mark.parametrize("name", ["../etc", "a/b/c", "", "a b", "owner/name:../x", "-x"])
def test_a_data_set_has_a_name(hub, name):
    """Harm: a path or an address passed on to a library as a name."""
    with pytest.raises(CorpusError, match="is named hub:OWNER/NAME"):
        find_source(f"hub:{name}")


def test_what_the_hub_says_fits_on_a_line(hub):
    """Harm: a traceback of forty lines for a typing error."""
    with pytest.raises(CorpusError, match="doesn't exist") as caught:
        list(find_source("hub:no/such").read())
    assert "\n" not in str(caught.value)


def test_without_a_network_the_hub_is_refused_at_once(monkeypatch):
    """Harm: minutes of retries before the same answer."""
    monkeypatch.setattr(sources.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CorpusError, match="no network"):
        find_source("hub:owner/name")


def test_a_relative_path_means_the_same_from_everywhere(here, monkeypatch):
    """Harm: a run that goes on in the background, in another folder, no longer finds its text."""
    written(here / "a.txt", "The girl sleeps.")
    monkeypatch.chdir(here)
    assert absolute_name("file:a.txt#") == f"file:{here / 'a.txt'}#"
    assert absolute_name("local:model") == f"local:{here / 'model'}"
    for name in ("microworld", "nltk:brown", "hub:a/b", "file:", "file:~/a.txt", f"file:{here / 'a.txt'}"):
        assert absolute_name(name) == name
