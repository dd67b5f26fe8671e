"""Options as widgets: choices are spelt as people spell them."""

from app.session import options_form


def test_choices_are_spelt_as_people_spell_them():
    """Harm: "Sop" and "Like bert" on the buttons of a project about BERT."""
    names = ("sop", "ffn", "like BERT", "none", "adamw")
    assert [options_form.choice_label(name) for name in names] == ["SOP", "FFN", "Like BERT", "None", "AdamW"]
