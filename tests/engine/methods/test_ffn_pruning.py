"""FFN pruning: what it leaves is a BERT."""

from engine.model.transformers_format import transformers_objections
from tests.fixtures.builders import teacher
from tests.fixtures.compressed import student_of


def test_evenly_pruned_ffns_are_an_ordinary_bert():
    """Harm: a student that every library can run is locked into this app."""
    _, shape, student = student_of("ffn_pruning", teacher(), ranking="layer", importance="weights")
    assert (shape.ffn, shape.compressions) == (12, [])
    assert not transformers_objections(student.shape)
