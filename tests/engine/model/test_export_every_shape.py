"""Every shape is exported: the library's class gives the same logits, with the parameters that the card says."""

import json
import math

import pytest
import torch
import transformers
from transformers import AutoModelForMaskedLM, AutoTokenizer

from engine.model.bert import Bert
from engine.model.expansion import expand, expanded_shape, expansion_note
from engine.model.export import COMPACT, export_model
from engine.model.exported_card import class_parameters
from engine.model.saved_models import Model, load_model
from engine.model.transformers_format import transformers_objections
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from tests.fixtures.builders import OLD_LIBRARY, masked_batch, new_tokenizer, randomise, tokenizer

SIZES = {"layers": 3, "hidden": 12, "heads": 3, "ffn": 20, "vocab": 211, "positions": 24}
ALBERT = {"family": "albert", "embedding": 6}
PAIRS = {"pooler": True, "pair_head": True}
SHAPES = {
    "plain": {},
    "untied": {"tied": False},
    "pooler": {"pooler": True},
    "one token type": {"token_types": 1},
    "distilbert": {"token_types": 0},
    "distilbert untied": {"token_types": 0, "tied": False},
    "no token types, a pooler": {"token_types": 0, "pooler": True},
    "narrow heads": {"head_dim": 2},
    "one narrow head": {"heads": 1, "head_dim": 5},
    "wide heads": {"head_dim": 7},
    "wide heads untied": {"heads": 5, "head_dim": 4, "tied": False},
    "lost heads": {"layer_heads": (3, 1, 2)},
    "lost heads, none whole": {"heads": 2, "head_dim": 4, "layer_heads": (2, 1, 1)},
    "lost neurons": {"layer_ffn": (20, 3, 11)},
    "low rank": {"rank": 2},
    "all at once": {"layer_heads": (3, 1, 2), "layer_ffn": (20, 3, 11), "rank": 3, "tied": False},
    "a bert that shares": {"sharing": "all", "groups": 2},
    "a bert that shares attention": {"sharing": "attention"},
    "factorised": {"embedding": 6},
    "albert": {**ALBERT, "sharing": "all", "groups": 2},
    "albert attention": {**ALBERT, "sharing": "attention", "groups": 2},
    "albert ffn": {**ALBERT, "sharing": "ffn"},
    "albert ffn, lost heads": {**ALBERT, "sharing": "ffn", "layer_heads": (1, 3, 2)},
    "albert no token types": {**ALBERT, "sharing": "all", "token_types": 0},
    "albert low rank": {**ALBERT, "sharing": "all", "rank": 2},
    "albert wide heads": {**ALBERT, "sharing": "attention", "head_dim": 9, "activation": "gelu_new"},
}


def exported(shape, folder, card=None):
    """A randomised model of `shape`, exported into `folder`."""
    bert = randomise(Bert(shape))
    with torch.no_grad():
        bert.embeddings.word.weight.mul_(0.2)  # logits of the usual size: float32 rounds them to about 1e-6
    return bert, export_model(Model(bert, tokenizer(), card or {"id": "drawn"}), folder)


def batch():
    """Random words, rows of several lengths."""
    return masked_batch()


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_the_library_computes_the_same(changes, tmp_path):
    """Harm: a student of one method is locked into this app, or computes something else outside."""
    shape = Shape(**{**SIZES, **changes})
    bert, made = exported(shape, tmp_path / "out")
    theirs, report = AutoModelForMaskedLM.from_pretrained(
        tmp_path / "out", output_loading_info=True, local_files_only=True
    )
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    assert all(".pooler." in name for name in report["unexpected_keys"])
    one = batch()
    with torch.no_grad():
        found = theirs.eval()(one.ids, attention_mask=one.visible.long()).logits[one.visible]
        torch.testing.assert_close(found, bert(one.ids, one.visible)[one.visible], rtol=0, atol=1e-5)
    counted = class_parameters(expanded_shape(shape), made.architecture)
    second_bias = shape.vocab if OLD_LIBRARY and not shape.tied and made.architecture != "DistilBertForMaskedLM" else 0
    assert theirs.num_parameters() == counted - second_bias  # 5 has two of an untied decoder, 4.57 one
    readme = (tmp_path / "out" / "README.md").read_text()
    assert f"{counted:,}" in readme
    assert f"{parameters(shape):,}" in readme
    assert bool(made.notes) == bool(transformers_objections(shape)) == (tmp_path / "out" / COMPACT).is_dir()
    if made.notes:
        assert f"{parameters(expanded_shape(shape)):,} parameters instead of {parameters(shape):,}" in made.notes[0]
        again = load_model(tmp_path / "out" / COMPACT)
        assert again.bert.shape == shape
        assert torch.equal(again.bert(one.ids), bert(one.ids))


@pytest.mark.parametrize("seed", range(40))
def test_drawn_shapes_are_written_out(seed):
    """Harm: a mixture of compressions that no method makes alone is written out wrong."""
    draw = torch.Generator().manual_seed(seed)

    def pick(*choices):
        return choices[int(torch.randint(len(choices), (), generator=draw))]

    layers, heads, hidden = pick(1, 2, 5), pick(1, 2, 3, 5), pick(4, 6, 10)
    sharing = pick("none", "attention", "ffn", "all")
    pooler = pick(True, False)
    groups = pick(1, layers)
    uneven = layers > 1 and sharing == "none"
    shape = Shape(
        layers=layers, hidden=hidden, heads=heads, head_dim=pick(1, 3, 4), ffn=7, vocab=211, positions=24,
        token_types=pick(0, 1, 2), embedding=pick(3, hidden), family=pick("bert", "albert"), sharing=sharing,
        groups=groups, pooler=pooler, pair_head=pooler and pick(True, False), tied=pick(True, False),
        layer_heads=(heads, *[1] * (layers - 1)) if uneven and pick(True, False) else (),
        layer_ffn=(*[2] * (layers - 1), 7) if uneven and pick(True, False) else (), rank=pick(0, 1),
    )  # fmt: skip
    bert, one = randomise(Bert(shape)), batch()
    wide = expand(bert)
    assert wide.shape == expanded_shape(shape)
    assert not transformers_objections(wide.shape)
    assert math.isclose(sum(p.numel() for p in wide.parameters()), parameters(wide.shape))
    types = torch.ones_like(one.ids) if shape.token_types > 1 else None
    with torch.no_grad():
        ours, theirs = bert.encode(one.ids, one.visible, types), wide.encode(one.ids, one.visible, types)
        torch.testing.assert_close(theirs[..., : shape.hidden], ours, rtol=0, atol=1e-5)
        if shape.pair_head:
            torch.testing.assert_close(wide.pair_logits(theirs), bert.pair_logits(ours), rtol=0, atol=1e-5)


def test_what_the_library_holds_is_left_alone():
    """Harm: an ordinary export grows, or is said to have been changed."""
    for name in ("plain", "untied", "distilbert", "albert"):
        shape = Shape(**{**SIZES, **SHAPES[name]})
        assert expanded_shape(shape) == shape
        assert expansion_note(shape) == ""


@pytest.mark.parametrize(
    ("changes", "architecture"),
    [
        (PAIRS, "BertForPreTraining"),
        ({**ALBERT, **PAIRS, "sharing": "all"}, "AlbertForPreTraining"),
        ({**ALBERT, **PAIRS, "sharing": "ffn", "head_dim": 7}, "AlbertForPreTraining"),
        ({**PAIRS, "mlm_head": False}, "BertForNextSentencePrediction"),
        ({**ALBERT, **PAIRS, "mlm_head": False}, "AlbertForSequenceClassification"),
        ({"mlm_head": False}, "BertModel"),
        ({**ALBERT, "mlm_head": False, "rank": 2}, "AlbertModel"),
        ({"mlm_head": False, "token_types": 0}, "DistilBertModel"),
    ],
)
def test_the_class_on_the_card_has_every_head(changes, architecture, tmp_path):
    """Harm: the snippet loads a class that drops the head for sentence order, or begins it at random."""
    bert, made = exported(Shape(**{**SIZES, **changes}), tmp_path / "out")
    assert made.architecture == architecture
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [architecture]
    kind, one = getattr(transformers, architecture), batch()
    theirs, report = kind.from_pretrained(tmp_path / "out", output_loading_info=True, local_files_only=True)
    assert all("pooler" in name for name in report["missing_keys"])
    assert not report["unexpected_keys"]
    with torch.no_grad():
        found = theirs.eval()(one.ids, attention_mask=one.visible.long())
        state = bert.encode(one.ids, one.visible)
        if bert.pair is not None:
            logits = next(found[name] for name in ("seq_relationship_logits", "sop_logits", "logits") if name in found)
            torch.testing.assert_close(logits, bert.pair_logits(state), rtol=0, atol=1e-5)
            assert theirs.num_parameters() == class_parameters(expanded_shape(bert.shape), architecture)
        else:
            width = bert.shape.hidden
            torch.testing.assert_close(
                found.last_hidden_state[..., :width][one.visible], state[one.visible], rtol=0, atol=1e-5
            )
        if bert.head is not None:
            torch.testing.assert_close(
                found.prediction_logits[one.visible], bert(one.ids, one.visible)[one.visible], rtol=0, atol=1e-5
            )
    readme = (tmp_path / "out" / "README.md").read_text()
    snippet = readme.partition("```python")[2].partition("```")[0]
    named = {"BertModel": "AutoModel", "AlbertModel": "AutoModel", "DistilBertModel": "AutoModel"}
    auto = {"AlbertForSequenceClassification": "AutoModelForSequenceClassification", **named}
    assert f"{auto.get(architecture, architecture)}.from_pretrained" in snippet


def test_a_classifier_goes_with_a_model_that_is_written_out(tmp_path):
    """Harm: a classifier for another width than the model's."""
    bert = randomise(Bert(Shape(**SIZES, head_dim=7, pooler=True, mlm_head=False, token_types=0)))
    weight, bias = torch.randn(3, 12), torch.randn(3)
    lineage = {"classifier.weight": weight, "classifier.bias": bias}
    export_model(Model(bert, tokenizer(), {"classes": ["a", "b", "c"]}), tmp_path / "out", lineage)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out", local_files_only=True)
    one = batch()
    with torch.no_grad():
        ours = bert.pooled(bert.encode(one.ids, one.visible)) @ weight.T + bias
        found = theirs.eval()(one.ids, attention_mask=one.visible.long()).logits
    torch.testing.assert_close(found, ours, rtol=0, atol=1e-5)
    assert f"{theirs.num_parameters():,}" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", ["plain", "distilbert", "albert", "no token types, a pooler", "one token type"])
def test_the_tokenizer_cuts_at_the_positions_and_gives_the_models_inputs(name, tmp_path):
    """Harm: truncation=True cuts nothing, and a long text ends in an index error; a path of one's machine is shown."""
    speaker = AutoTokenizer.from_pretrained(saved_tokenizer(tmp_path), local_files_only=True)
    speaker("the girl", truncation=True, max_length=5, padding="max_length")  # what a last call leaves behind
    shape = Shape(**{**SIZES, **SHAPES[name]})
    bert = randomise(Bert(shape))
    export_model(Model(bert, speaker, {}), tmp_path / "out")
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "out", local_files_only=True).eval()
    again = AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    assert again.model_max_length == shape.positions
    text = "the girl near the boats washes herself . " * 20
    for texts in ((text,), (text, "the boy sees her ."), ("the girl sees him .", "the boy sees her .")):
        given = again(*texts, truncation=True, return_tensors="pt")
        assert ("token_type_ids" in given) == (theirs.config.to_dict().get("type_vocab_size", 0) > 1)
        with torch.no_grad():
            assert theirs(**given).logits.shape[1] <= shape.positions
    long = again(text)["input_ids"]
    assert long == tokenizer()(text)["input_ids"]  # neither cut nor padded unless asked
    told = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert not {"is_local", "local_files_only", "name_or_path", "trust_remote_code", "_commit_hash"} & set(told)
    assert str(tmp_path) not in "".join(
        path.read_text() for path in (tmp_path / "out").rglob("*") if path.suffix in (".json", ".md")
    )


def saved_tokenizer(folder):
    """A folder with the microworld's tokenizer, as a person's folder would have it."""
    place = folder / "brought"
    tokenizer().save_pretrained(place)
    config = json.loads((place / "tokenizer_config.json").read_text())
    told = {"name_or_path": str(place), "trust_remote_code": False, "_commit_hash": "abc", "vocab_file": f"{place}/v"}
    (place / "tokenizer_config.json").write_text(json.dumps(config | told))
    return place


def test_words_that_were_added_stay_and_both_versions_read_them(tmp_path):
    """Harm: a tokenizer of transformers 5 with special tokens of its own, which 4.57 refuses with an AttributeError."""
    speaker = new_tokenizer()
    speaker.add_special_tokens({f"{'additional' if OLD_LIBRARY else 'extra'}_special_tokens": ["<x>"]})
    speaker.add_tokens(["zebra"])
    bert = Bert(Shape(**{**SIZES, "vocab": len(speaker)}))
    export_model(Model(bert, speaker, {}), tmp_path / "out")
    told = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert not told.get("extra_special_tokens")
    assert told["additional_special_tokens"] == ["<x>"]
    again = AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    assert again("zebra <x> the")["input_ids"] == speaker("zebra <x> the")["input_ids"]
    assert again.decode(again("the <x>")["input_ids"], skip_special_tokens=True) == "the"


def test_a_tokenizer_without_a_class_of_its_own_has_the_name_that_both_versions_know(tmp_path):
    """Harm: transformers 4.57 does not know the class that 5 writes into tokenizer_config.json."""
    rules = tokenizer().backend_tokenizer
    marks = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    speaker = transformers.PreTrainedTokenizerFast(tokenizer_object=rules, mask_token="[MASK]", **marks)
    export_model(Model(Bert(Shape(**SIZES)), speaker, {}), tmp_path / "out")
    told = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert told["tokenizer_class"] == "PreTrainedTokenizerFast"
    again = AutoTokenizer.from_pretrained(tmp_path / "out", local_files_only=True)
    assert again("the girl sees him .")["input_ids"] == tokenizer()("the girl sees him .")["input_ids"]
