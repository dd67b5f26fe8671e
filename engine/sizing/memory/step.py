"""How much memory a training step takes at its peak, and a forward pass without training: by what, and when.

The peak is that of a step in a run that goes on: the optimizer's state is there, and gradients are dropped after each
step (zero_grad as torch has it). Forward and backward pass are played through on a ledger (ledger.py); what torch
counts on a CPU is met within a few per cent (tests, and python -m engine bench memory). Not counted: what a process and
its libraries take, workspaces of matrix products, memory that an allocator holds back. Knows no torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from engine.sizing.footprint import PRECISIONS, TrainingBatch, stored_bytes
from engine.sizing.memory.ledger import StepLedger
from engine.sizing.memory.operations import ATTENTIONS, IMPLEMENTATIONS, MEMORY_DEVICES, PassSettings
from engine.sizing.memory.passes import PlayedPass
from engine.sizing.memory.state import gathered_bytes, optimizer_scratch_bytes, training_state
from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds

PLAYED_LAYERS = 6  # of a model of equal layers; what more of them take follows from the last two


@dataclass(frozen=True)
class StepPlan:
    """How a model is trained.

    Raises:
        ValueError: which choice is none, or out of its range.
    """

    implementation: str = "transformers"  # or "ours"
    attention: str = "sdpa"  # of transformers' model; or "eager"
    device: str = "gpu"  # or "cpu"
    optimizer: str = "adamw"
    checkpointing: bool = False  # of every layer
    micro_batches: int = 1  # that a step's sequences are cut into, one after the other
    zero: int = 0  # stage of ZeRO over `devices`
    devices: int = 1  # each of which reads a batch of its own
    dropout: bool | None = None  # of transformers' model; None: as its config class has it, which is none for ALBERT
    keeps_logits: bool = False  # the program still holds the model's output while it goes backward
    fused: bool | None = None  # AdamW as one kernel; None: ours is, and torch's own choice is not

    def __post_init__(self) -> None:
        choices = {"implementation": IMPLEMENTATIONS, "attention": ATTENTIONS, "device": MEMORY_DEVICES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {str(getattr(self, name))[:60]!r}.")
        if not 1 <= self.micro_batches <= 10**12:
            raise ValueError(f"micro-batches must be between 1 and {10**12:,}, got {self.micro_batches:,}.")
        training_state(Shape(layers=1), self.optimizer).on_one_of(self.devices, self.zero)

    def passes(self, shape: Shape, half: bool) -> PassSettings:
        """How a model of `shape` runs."""
        return PassSettings(
            self.implementation,
            self.attention,
            self.device,
            half,
            shape.family != "albert" if self.dropout is None else self.dropout,
            self.checkpointing,
            self.keeps_logits,
        )


@dataclass(frozen=True)
class StepMemory:
    """Bytes on one device at the fullest moment of a training step, by what they are for."""

    weights: int
    optimizer: int
    gradients: int  # those that are there at that moment
    activations: int  # what the forward pass keeps for the backward pass
    copies: int  # bfloat16 copies of the weights
    moment: int  # what is alive for a moment only: gradients of activations, logits, an optimizer's square roots
    when: str  # the moment: such as "backward head" or "optimizer step"
    kept: int  # activations and copies when the forward pass is over

    @property
    def moment_words(self) -> str:
        """When that is, in words: such as "backward, head"."""
        if self.when == "optimizer step":
            return self.when
        part = self.when.removeprefix("backward ")
        return f"{'forward' if part == self.when else 'backward'}, {part}"

    @property
    def peak(self) -> int:
        """All of it."""
        return self.weights + self.optimizer + self.gradients + self.activations + self.copies + self.moment


def step_variants(
    shape: Shape, batch: TrainingBatch, plan: StepPlan, implementations: Sequence[str] = IMPLEMENTATIONS
) -> list[tuple[StepPlan, StepMemory]]:
    """`plan` as each implementation runs it: ours, and transformers' with either attention, on a GPU and on a CPU.

    Without what transformers has no class for.

    Raises:
        ValueError: as `step_memory`.
    """
    plans = [
        dataclasses.replace(plan, implementation=implementation, attention=attention, device=device)
        for device in MEMORY_DEVICES
        for implementation in implementations
        for attention in (ATTENTIONS if implementation == "transformers" else ATTENTIONS[:1])
        if implementation == "ours" or not library_objection(shape)
    ]
    return [(one, step_memory(shape, batch, one)) for one in plans]


def library_objection(shape: Shape) -> str:
    """Why transformers has no class for `shape`; empty if it has one."""
    if shape.compressions:
        return f"transformers has no class for {shape.compressions[0]}"
    if shape.inner != shape.hidden:
        return (
            f"transformers' heads fill the hidden width: {shape.heads:,} x {shape.head_dim:,} is not {shape.hidden:,}"
        )
    if shape.family == "albert":
        return "" if shape.sharing in ("none", "all") else "transformers' ALBERT shares whole layers or nothing"
    if shape.factorised or shape.sharing != "none":
        return "transformers' BERT neither shares layers nor has narrower embeddings; its ALBERT does both"
    return ""


def step_memory(shape: Shape, batch: TrainingBatch, plan: StepPlan) -> StepMemory:
    """The peak of a training step on one device, whose batch is `batch`.

    transformers' model of a `shape` that it cannot build (`library_objection`) is taken to be built as its others are.

    Raises:
        ValueError: more micro-batches than sequences.
    """
    if plan.micro_batches > batch.sequences:
        raise ValueError(
            f"micro-batches must not exceed the batch's {batch.sequences:,} sequences, got {plan.micro_batches:,}."
        )
    sequences = -(-batch.sequences // plan.micro_batches)
    pieces = min(plan.micro_batches, 2, batch.sequences)  # the second one finds gradients, and more change nothing
    predicted = sequences * (batch.predicted // batch.sequences)
    played = _play(shape, sequences, batch.tokens, predicted, plan.passes(shape, batch.precision == "bfloat16"), pieces)
    state = training_state(shape, plan.optimizer).on_one_of(plan.devices, plan.zero)
    own = state.weights + state.optimizer
    fused = plan.implementation == "ours" if plan.fused is None else plan.fused
    scratch = optimizer_scratch_bytes(shape, plan.optimizer, plan.device, fused)
    if plan.zero:
        scratch = -(-scratch // plan.devices)
    gathered = gathered_bytes(shape) if plan.zero == 3 and plan.devices > 1 else 0
    cut = plan.devices if plan.zero >= 2 else 1

    def at(moment: _Moment) -> StepMemory:
        gradients = -(-moment.gradients // cut)
        rest = moment.held - moment.gradients
        kept = min(rest, played.kept)
        copies = min(kept, played.copies)
        return StepMemory(
            state.weights,
            state.optimizer,
            gradients,
            kept - copies,
            copies,
            rest - kept + gathered,
            moment.phase,
            played.kept,
        )

    fullest = max((at(moment) for moment in played.moments), key=lambda one: one.peak)
    stepping = own + state.gradients + scratch
    if stepping <= fullest.peak:
        return fullest
    return StepMemory(state.weights, state.optimizer, state.gradients, 0, 0, scratch, "optimizer step", played.kept)


def inference_memory(shape: Shape, batch: TrainingBatch, plan: StepPlan, precision: str) -> tuple[int, int]:
    """(bytes of the weights at one of PRECISIONS, the most bytes beside them) of a forward pass without training.

    All logits are computed. Weights in bfloat16 compute in bfloat16, and so do int8 and int4 ones, of which one
    matrix at a time is unpacked.

    Raises:
        ValueError: there is no such precision.
    """
    weights = stored_bytes(shape, precision)
    settings = dataclasses.replace(
        plan.passes(shape, False), dropout=False, checkpointing=False, width=4 if precision == "float32" else 2
    )
    layers = min(shape.layers, 2)
    cut = {name: getattr(shape, name)[:1] * layers for name in ("layer_heads", "layer_ffn") if getattr(shape, name)}
    ledger = StepLedger(recording=False)
    few = shape if shape.uneven else shape.replace(layers=layers, groups=min(shape.groups, layers), **cut)
    PlayedPass(few, batch.sequences, batch.tokens, settings, ledger).predict()
    unpacked = 0
    if PRECISIONS[precision] < 2:
        unpacked = 2 * max(entry.count for entry in tensor_kinds(shape) if entry.rows)
    return weights, max(ledger.peaks.values()) + unpacked


@dataclass(frozen=True)
class _Moment:
    phase: str
    held: int
    gradients: int


@dataclass(frozen=True)
class _Played:
    moments: tuple[_Moment, ...]
    kept: int
    copies: int


@lru_cache(maxsize=256)
def _play(shape: Shape, sequences: int, tokens: int, predicted: int, settings: PassSettings, pieces: int) -> _Played:
    """The fullest moments of forward and backward passes; of many equal layers, by what each one adds."""
    if shape.uneven or shape.layers <= PLAYED_LAYERS + 1 or (shape.groups > 1 and shape.layers <= 200):
        return _play_all(shape, sequences, tokens, predicted, settings, pieces)
    one, two = (
        _play_all(shape.replace(layers=layers, groups=1), sequences, tokens, predicted, settings, pieces)
        for layers in (PLAYED_LAYERS, PLAYED_LAYERS + 1)
    )
    more = shape.layers - PLAYED_LAYERS

    def grown(first: int, second: int) -> int:
        return first + more * (second - first)

    moments = tuple(
        _Moment(this.phase, grown(this.held, that.held), grown(this.gradients, that.gradients))
        for this, that in zip(one.moments, two.moments, strict=True)
    )
    return _Played(moments, grown(one.kept, two.kept), grown(one.copies, two.copies))


def _play_all(
    shape: Shape, sequences: int, tokens: int, predicted: int, settings: PassSettings, pieces: int
) -> _Played:
    ledger, kept, copies = StepLedger(), 0, 0
    batch = ledger.tensor(3 * sequences * tokens, 8)  # ids, mask and labels
    for _ in range(pieces):
        ledger.copy_bytes = 0
        loss = PlayedPass(shape, sequences, tokens, settings, ledger).loss(predicted)
        kept, copies = ledger.held - ledger.gradient_bytes, ledger.copy_bytes
        ledger.backward(loss)
        ledger.release(loss)
    ledger.release(batch)
    moments = tuple(_Moment(phase, held, ledger.kept_at[phase]) for phase, held in ledger.peaks.items())
    return _Played(moments, kept, copies)
