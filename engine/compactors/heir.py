"""Compactors: how a student inherits its teacher's weights (Weight-Inherited Distillation, arXiv 2305.09098).

Beside every linear of the teacher sit two square matrices, born as identity: a row compactor R on its input side and a
column compactor C on its output side. The network that trains is the teacher with effective weights

    W_eff = C @ W @ R        b_eff = C @ b        (PyTorch's (out, in) layout)

so at birth it computes exactly what the teacher computes. Dims that meet in a residual addition or an inner product
form a group and share one mask. A closed dim's compactor vectors (rows of C, columns of R, LayerNorm gain and offset)
are led to exactly zero, and what is zero is taken out of every matrix at once: this is `shrink`. What is left at the
end is multiplied out once: this is `fold`, and gives a plain, narrower BERT.

The products are formed in weight space, once a step whatever the batch; only the embedding sum and the decoder, whose
tables are longer than a batch, are multiplied on the activation side.

Knows the algebra; the bookkeeping of dims is in engine/compactors/groups.py. Knows nothing of schedules or losses (see
engine/methods/wid.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from engine.compactors.groups import DimGroup, GroupMember
from engine.compactors.products import effective_weight
from engine.model.bert import Bert, LayerNorm, compactor_into_table
from engine.settings.device import full_precision
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.wid_cost import product_multiply_adds


class Compactor(nn.Module):
    """The matrices beside one linear. Square at birth; closed dims leave one side of each as training goes on."""

    def __init__(self, inputs: int | None, outputs: int | None) -> None:
        super().__init__()
        self.row = None if inputs is None else nn.Parameter(torch.eye(inputs))  # (in, kept in)
        self.column = None if outputs is None else nn.Parameter(torch.eye(outputs))  # (kept out, out)


class Heir(nn.Module):
    """A teacher's BERT with compactors beside its linears: the student while it inherits.

    Call it like a Bert. Parameters: `inherited` (the teacher's weights) and `compactors`.
    """

    def __init__(self, teacher: Bert, masked_norms: bool = True) -> None:
        """`masked_norms`: LayerNorm statistics look at kept dims only from the moment that others begin to close."""
        super().__init__()
        odd = teacher.shape.factorised or teacher.shape.sharing != "none" or teacher.shape.compressions
        if odd or teacher.head is None:
            raise ShapeError(
                ["Only a plain BERT with a masked-LM head, unshared layers and full embeddings has heirs."]
            )
        self.teacher_shape, self.masked_norms = teacher.shape, masked_norms
        self.inherited = Bert(teacher.shape.replace(pooler=False, pair_head=False))
        weights = teacher.state_dict()
        self.inherited.load_state_dict({name: weights[name] for name in self.inherited.state_dict()})
        shape, linears = teacher.shape, {}
        for layer in range(shape.layers):
            for name in ("query", "key", "value"):
                linears[f"attentions.{layer}.{name}"] = (shape.hidden, shape.inner)
            linears[f"attentions.{layer}.output"] = (shape.inner, shape.hidden)
            linears[f"ffns.{layer}.up"] = (shape.hidden, shape.ffn)
            linears[f"ffns.{layer}.down"] = (shape.ffn, shape.hidden)
        linears["head.transform"] = (shape.hidden, shape.hidden)
        self.compactors = nn.ModuleDict({_key(name): Compactor(*sides) for name, sides in linears.items()})
        self.compactors["embeddings"] = Compactor(None, shape.hidden)
        self.compactors["decoder"] = Compactor(shape.hidden, None)
        self.groups = {group.name: group for group in self._make_groups()}

    def compactor(self, name: str) -> Compactor:
        """The compactor beside the linear `name`, such as "attentions.0.query", "embeddings" or "decoder"."""
        found = self.compactors[_key(name)]
        assert isinstance(found, Compactor)
        return found

    def _make_groups(self) -> Iterator[DimGroup]:
        shape = self.teacher_shape
        layers = range(shape.layers)
        norms = [f"{part}.{layer}.norm" for layer in layers for part in ("attentions", "ffns")]
        writers = [name for i in layers for name in (f"attentions.{i}.output", f"ffns.{i}.down")]
        readers = [f"attentions.{i}.{name}" for i in layers for name in ("query", "key", "value")]
        readers += [*(f"ffns.{i}.up" for i in layers), "head.transform"]
        stream = ["embeddings.norm", *norms]
        yield self._group("residual", shape.hidden, ["embeddings", *writers], readers, "attentions.0.value", stream)
        for i in layers:
            projections = [f"attentions.{i}.{name}" for name in ("query", "key", "value")]
            output, up, down = f"attentions.{i}.output", f"ffns.{i}.up", f"ffns.{i}.down"
            yield self._group(f"attention {i}", shape.inner, projections, [output], output)
            yield self._group(f"ffn {i}", shape.ffn, [up], [down], down)
        yield self._group("transform", shape.hidden, ["head.transform"], ["decoder"], "decoder", ["head.norm"])

    def _group(
        self,
        name: str,
        size: int,
        writers: list[str],
        readers: list[str],
        reference: str,
        norm_names: Sequence[str] = (),
    ) -> DimGroup:
        """The group of `size` dims that the linears `writers` put out and the linears `readers` take in."""
        linears = [self.inherited.get_submodule(writer) for writer in writers if writer != "embeddings"]
        members = [GroupMember(self.compactor(linear), "column", 0) for linear in writers]
        members += [GroupMember(self.compactor(linear), "row", 1) for linear in readers]
        norms = [norm for norm in map(self.inherited.get_submodule, norm_names) if isinstance(norm, LayerNorm)]
        members += [GroupMember(norm, part, 0) for norm in norms for part in ("weight", "bias")]
        return DimGroup(
            name,
            name.split()[0],
            members,
            reference=GroupMember(self.compactor(reference), "row", 1),
            biases=[GroupMember(linear, "bias", 0) for linear in linears],
            norms=norms,
            full=size,
            dims=torch.arange(size),
            closing=torch.zeros(size, dtype=torch.bool),
        )

    # ---- the forward pass --------------------------------------------------------------------------------------------

    def effective_parameters(self) -> dict[str, Tensor]:
        """Every parameter of the network that trains, by Bert's names: W_eff = C @ W @ R, b_eff = C @ b.

        Always in float32: under mixed precision the products would be rounded twice, and the fold with them.
        """
        with full_precision(next(self.parameters()).device.type):
            return self._effective()

    def _effective(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = dict(self.inherited.named_parameters())
        for key, compactor in self.compactors.items():
            name = key.replace("-", ".")
            if name in ("embeddings", "decoder"):
                continue
            assert isinstance(compactor, Compactor)
            assert compactor.column is not None
            assert compactor.row is not None
            weights[f"{name}.weight"], weights[f"{name}.bias"] = effective_weight(
                compactor.column, weights[f"{name}.weight"], compactor.row, weights[f"{name}.bias"]
            )
        return weights

    def multiply_adds(self, tokens: int, length: int, predicted: int) -> int:
        """Multiply-adds of one forward pass as it is now, the products of compactors among them.

        `tokens` in sequences of `length`, `predicted` of them through the masked-LM head. Counts matrix products only,
        as engine.sizing.cost does.
        """
        wide = {group.name: len(group.dims) for group in self.groups.values()}
        teacher, residual, transform = self.teacher_shape, wide["residual"], wide["transform"]
        total = tokens * teacher.hidden * residual  # the embedding sum
        total += predicted * residual * transform + self._decoder_multiply_adds(predicted, transform)
        for layer in range(teacher.layers):
            inner, ffn = wide[f"attention {layer}"], wide[f"ffn {layer}"]
            total += tokens * (4 * residual * inner + 2 * residual * ffn + 2 * length * inner)
            total += 3 * product_multiply_adds(inner, teacher.inner, teacher.hidden, residual)
            total += product_multiply_adds(residual, teacher.hidden, teacher.inner, inner)
            total += product_multiply_adds(ffn, teacher.ffn, teacher.hidden, residual)
            total += product_multiply_adds(residual, teacher.hidden, teacher.ffn, ffn)
        return total + product_multiply_adds(transform, teacher.hidden, teacher.hidden, residual)

    def _decoder_multiply_adds(self, predicted: int, transform: int) -> int:
        wide, vocab = self.teacher_shape.hidden, self.teacher_shape.vocab
        if compactor_into_table(predicted, transform, wide):
            return vocab * transform * (wide + predicted)
        return predicted * wide * (transform + vocab)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """As Bert.forward."""
        embeddings, head = self.inherited.embeddings, self.inherited.head
        column, row = self.compactor("embeddings").column, self.compactor("decoder").row
        assert head is not None
        assert column is not None
        assert row is not None
        try:
            embeddings.compactor, head.compactor = column.T, row.T
            return functional_call(self.inherited, self.effective_parameters(), args, kwargs)
        finally:
            embeddings.compactor = head.compactor = None

    # ---- closing and shrinking ---------------------------------------------------------------------------------------

    def close(self, group: DimGroup, places: Tensor) -> None:
        """From now on the dims at `places` (indices among those present) of `group`, and no others, are closing."""
        group.close(places)
        for norm in group.norms:
            keep = (~group.closing).to(norm.weight.device, norm.weight.dtype)
            norm.keep = keep if self.masked_norms and len(places) else None

    def shrink(self, group: DimGroup, optimizer: torch.optim.Optimizer | None) -> None:
        """Takes the closing dims of `group` out of its parameters, their gradients and the optimizer's moments.

        Exact when their vectors are zero; what is not zero is cut off.
        """
        places = (~group.closing).nonzero().squeeze(1)
        for member in group.members:
            old = member.parameter
            here = places.to(old.device)
            new = nn.Parameter(old.detach().index_select(member.axis, here))
            new.grad = None if old.grad is None else old.grad.index_select(member.axis, here)
            setattr(member.owner, member.name, new)
            if optimizer is not None:
                replace_parameter(optimizer, old, new, member.axis, here)
        group.dims, group.steps_to_zero = group.dims[places], 0
        self.close(group, places[:0])
        if group.kind == "attention":
            self.count_heads(group)

    def count_heads(self, group: DimGroup) -> None:
        """After whole heads have gone, fewer heads share the inner width."""
        attention, _ = self.inherited.blocks(int(group.name.split()[1]))
        attention.heads = len(torch.unique(group.dims // self.teacher_shape.head_dim))

    def folded_shape(self) -> Shape:
        """The shape that a fold would give: dims that are closing do not count."""
        sizes = {group.kind: group.open_count for group in self.groups.values()}
        first = self.groups["attention 0"]
        heads = len(torch.unique(first.dims[~first.closing] // self.teacher_shape.head_dim))
        return self.inherited.shape.replace(
            hidden=sizes["residual"],
            heads=heads,
            head_dim=sizes["attention"] // heads,
            ffn=sizes["ffn"],
            embedding=sizes["residual"],
            tied=False,
        )

    # ---- the end -----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fold(self) -> Bert:
        """The plain BERT that computes what this network computes, with every product multiplied out.

        The decoder has a row compactor of its own, so the student's decoder is no longer tied to its embedding table.
        The attention scale changes with head_dim; its square-root ratio goes into the query.
        """
        for group in self.groups.values():
            if group.closing.any():
                self.shrink(group, None)
        shape, weights = self.folded_shape(), self.effective_parameters()
        column, row = self.compactor("embeddings").column, self.compactor("decoder").row
        assert column is not None
        assert row is not None
        table = weights["embeddings.word.weight"]
        weights["head.decoder.weight"] = weights.get("head.decoder.weight", table) @ row
        for name in ("word", "position", "token_type"):
            if f"embeddings.{name}.weight" in weights:
                weights[f"embeddings.{name}.weight"] = weights[f"embeddings.{name}.weight"] @ column.T
        ratio = (shape.head_dim / self.teacher_shape.head_dim) ** 0.5
        for layer in range(shape.layers):
            for part in ("weight", "bias"):
                weights[f"attentions.{layer}.query.{part}"] = weights[f"attentions.{layer}.query.{part}"] * ratio
        bert = Bert(shape)
        bert.load_state_dict({name: weight.detach().float() for name, weight in weights.items()})
        return bert

    @torch.no_grad()
    def lineage(self) -> dict[str, Tensor]:
        """What the student is made of, on the CPU: each linear's compactors in half precision, each group's dims.

        "attentions.0.query.column" (student's out, teacher's out) and "attentions.0.query.row" (teacher's in, student's
        in), in the teacher's and the student's order of dims; "dims.attention 0" (student's dims,) says which of the
        teacher's dims survived.
        """
        found = {f"dims.{group.name}": group.dims for group in self.groups.values()}
        for key, compactor in self.compactors.named_parameters():
            name, _, side = key.rpartition(".")
            found[f"{name.replace('-', '.')}.{side}"] = compactor.detach().to("cpu", torch.float16).contiguous()
        return found


def replace_parameter(
    optimizer: torch.optim.Optimizer, old: nn.Parameter, new: nn.Parameter, axis: int, places: Tensor
) -> None:
    """Lets `optimizer` go on with `new` in the place of `old`; of its moments the `places` along `axis` stay."""
    for settings in optimizer.param_groups:
        settings["params"] = [new if parameter is old else parameter for parameter in settings["params"]]
    state = optimizer.state.pop(old, None)
    if state:
        optimizer.state[new] = {
            name: value.index_select(axis, places) if torch.is_tensor(value) and value.shape == old.shape else value
            for name, value in state.items()
        }


def _key(name: str) -> str:
    """A linear's name as a ModuleDict key, which may not hold dots."""
    return name.replace(".", "-")
