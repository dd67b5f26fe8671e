"""Groups of dims: who is in which, and what ranks them."""

import numpy as np
import torch

from engine.compactors.heir import Compactor, Heir
from engine.model.bert import LayerNorm
from tests.fixtures.builders import teacher
from tests.fixtures.heirs import scramble
from tests.fixtures.lesson import Lesson


def test_every_compactor_side_and_layer_norm_is_in_exactly_one_group(bert):
    """Harm: one forgotten side keeps dims that everything else has closed, and the fold no longer fits."""
    heir = Heir(bert)
    members = [id(member.parameter) for group in heir.groups.values() for member in group.members]
    sides = {id(parameter) for parameter in heir.compactors.parameters()}
    norms = {id(p) for module in heir.modules() if isinstance(module, LayerNorm) for p in module.parameters()}
    assert len(members) == len(set(members))
    assert set(members) == sides | norms
    for group in heir.groups.values():
        owners = {id(member.owner) for member in group.members if isinstance(member.owner, LayerNorm)}
        assert owners == {id(norm) for norm in group.norms}
        for member in group.members:
            assert member.parameter.shape[member.axis] == len(group.dims)
            if isinstance(member.owner, Compactor):  # rows of a column compactor, columns of a row compactor
                assert (member.name, member.axis) in (("column", 0), ("row", 1))


def test_groups_join_the_dims_that_meet():
    """Harm: Q and K lose different dims, and their inner product compares apples with pears."""
    heir = Heir(teacher(layers=2))
    sides = {}
    for name, group in heir.groups.items():
        for member in group.members:
            for key, compactor in heir.compactors.items():
                if compactor is member.owner:
                    sides.setdefault(name, set()).add(f"{key.replace('-', '.')} {member.name}")
    assert sides["attention 1"] == {f"attentions.1.{part} column" for part in ("query", "key", "value")} | {
        "attentions.1.output row"
    }
    assert sides["ffn 0"] == {"ffns.0.up column", "ffns.0.down row"}
    assert sides["transform"] == {"head.transform column", "decoder row"}
    stream = {"embeddings column", "head.transform row"}
    for i in (0, 1):
        stream |= {f"attentions.{i}.{part} row" for part in ("query", "key", "value")} | {f"ffns.{i}.up row"}
        stream |= {f"attentions.{i}.output column", f"ffns.{i}.down column"}
    assert sides["residual"] == stream
    norms = {"residual": 1 + 2 * 2, "transform": 1}
    assert {name: len(group.norms) for name, group in heir.groups.items() if group.norms} == norms


def test_vector_norms_are_the_mean_over_the_groups_compactors():
    """Harm: the wrong axis ranks outputs by inputs, and the dims that matter most are closed first."""
    heir = scramble(Heir(teacher(layers=1)))
    for group in heir.groups.values():
        vectors = []
        for member in group.members:
            if isinstance(member.owner, Compactor):
                matrix = member.parameter.detach().numpy()
                vectors.append(matrix if member.name == "column" else matrix.T)  # (dim, vector)
        expected = np.mean([np.sqrt((v.astype(np.float64) ** 2).sum(1)) for v in vectors], axis=0)
        np.testing.assert_allclose(group.vector_norms().numpy(), expected, rtol=1e-5)


def test_the_reference_ranking_asks_one_compactor_only():
    """Harm: masks that cannot be compared with the release's."""
    lesson = Lesson({}, {"hidden": 8, "ffn": 12}, {"ranking": "reference"})
    references = {
        "residual": "attentions.0.value",
        "attention 1": "attentions.1.output",
        "ffn 0": "ffns.0.down",
        "transform": "decoder",
    }
    for name, linear in references.items():
        matrix = lesson.heir.compactor(linear).row
        with torch.no_grad():
            matrix.mul_(torch.rand(matrix.shape[1]) + 0.5)
        found = lesson.heir.groups[name].vector_norms("reference")
        torch.testing.assert_close(found, matrix.detach().square().sum(0).sqrt())
