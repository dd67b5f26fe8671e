"""A forward and a backward pass as tensors that come and go: what is held at every moment, by autograd's own rules.

No numbers are computed. Every operation says how many bytes it makes, what it keeps for its backward pass, and what
its gradients take; the ledger lets go of a tensor when nobody holds it any more, as torch does by counting references.
Torch's order is followed: the backward pass goes through the operations from the last to the first, a gradient that
arrives at a tensor which already has one is added to it in place, unless others hold that one too. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

SAME = -1  # an operation whose gradient is the very gradient that it was given, as an addition's


class Block:
    """A stretch of memory, held by so many."""

    __slots__ = ("holders", "size", "turned")

    def __init__(self, size: int, turned: bool = False) -> None:
        self.size, self.holders, self.turned = size, 1, turned


class TensorEntry:
    """A tensor: its memory, how many elements it has, and its gradient while there is one.

    A parameter's own memory is not counted here (`size` 0), and its gradient stays.
    """

    __slots__ = ("block", "elements", "gradient", "learns", "parameter", "uses")

    def __init__(self, block: Block, elements: int, learns: bool, parameter: str = "") -> None:
        self.block, self.elements, self.learns, self.parameter = block, elements, learns, parameter
        self.gradient: Block | None = None
        self.uses = 0  # operations of this pass that have yet to send it a gradient

    @property
    def width(self) -> int:
        """Bytes of an element."""
        return self.block.size // self.elements


@dataclass
class _Operation:
    inputs: Sequence[TensorEntry]
    gradients: Sequence[int]  # bytes of the gradient of each input; SAME; 0: none
    output: TensorEntry
    kept: list[Block]
    phase: str
    scratch: int = 0
    turned: int = -1  # which input's gradient is the transpose of what was computed
    again: Callable[[TensorEntry], TensorEntry] | None = None  # what is to be computed once more


@dataclass
class StepLedger:
    """The bytes held now, the most at once in each phase, and the operations whose backward pass is to come."""

    recording: bool = True  # False: nothing is kept for a backward pass, as under torch.no_grad
    held: int = 0
    phase: str = "forward"
    peaks: dict[str, int] = field(default_factory=dict)  # phase -> the most bytes held at once
    kept_at: dict[str, int] = field(default_factory=dict)  # phase -> bytes of gradients of parameters at that moment
    gradients: dict[str, int] = field(default_factory=dict)  # of parameters: name -> bytes
    gradient_bytes: int = 0
    copy_bytes: int = 0  # of bfloat16 copies of parameters that the backward pass still needs
    _operations: list[_Operation] = field(default_factory=list)
    _casts: dict[str, TensorEntry] = field(default_factory=dict)

    def _take(self, size: int) -> Block:
        self.held += size
        self._note()
        return Block(size)

    def _note(self) -> None:
        if self.held > self.peaks.get(self.phase, -1):
            self.peaks[self.phase], self.kept_at[self.phase] = self.held, self.gradient_bytes

    def _let_go(self, block: Block) -> None:
        block.holders -= 1
        if not block.holders:
            self.held -= block.size

    def scratch(self, size: int) -> None:
        """Memory that an operation takes and gives back before it ends."""
        self._let_go(self._take(size))

    def tensor(self, elements: int, width: int) -> TensorEntry:
        """A tensor that learns nothing, such as a mask: `elements` of `width` bytes."""
        return TensorEntry(self._take(elements * width), elements, False)

    def parameter(self, name: str, elements: int) -> TensorEntry:
        """A parameter in float32, whose own memory is counted elsewhere; the same name is the same parameter."""
        entry = self._casts.get(f"parameter {name}")
        if entry is None:
            entry = self._casts[f"parameter {name}"] = TensorEntry(Block(0), elements, True, name)
        return entry

    def release(self, *tensors: TensorEntry) -> None:
        """The program's own variables for these tensors end here."""
        for tensor in tensors:
            self._let_go(tensor.block)

    def apply(
        self,
        inputs: Sequence[TensorEntry],
        elements: int,
        width: int,
        *,
        keeps: Sequence[TensorEntry] = (),
        keeps_output: bool = False,
        beside: int = 0,
        gradients: Sequence[int] | None = None,
        scratch: int = 0,
        turned: int = -1,
        view: bool = False,
    ) -> TensorEntry:
        """An operation's output, of `elements` of `width` bytes; held by the caller until `release`.

        It keeps `keeps` (inputs), its output, and `beside` bytes of its own for the backward pass, and gives every
        input a gradient of its own size unless `gradients` says otherwise. `scratch`: bytes that its backward pass
        takes for a moment. `turned`: the input whose gradient comes as a transpose, as a linear layer's weight's does.
        `view`: the output is the first input's memory.
        """
        learns = any(tensor.learns for tensor in inputs)
        if view:
            block = inputs[0].block
            block.holders += 1
        else:
            block = self._take(elements * width)
        output = TensorEntry(block, elements, learns)
        if not (learns and self.recording):
            return output
        kept = [self._take(beside)] if beside else []
        for tensor in [*keeps, *([output] if keeps_output else [])]:
            tensor.block.holders += 1
            kept.append(tensor.block)
        sizes = [tensor.elements * (tensor.width or 4) for tensor in inputs] if gradients is None else gradients
        for tensor in inputs:
            tensor.uses += 1
        self._operations.append(_Operation(inputs, sizes, output, kept, self.phase, scratch, turned))
        return output

    def cast(self, tensor: TensorEntry, width: int) -> TensorEntry:
        """`tensor` in another precision. Of a parameter there is one such copy a pass, as autocast remembers it."""
        if tensor.parameter:
            found = self._casts.get(tensor.parameter)
            if found is None:
                found = self._casts[tensor.parameter] = self.apply([tensor], tensor.elements, width)
            return found
        return self.apply([tensor], tensor.elements, width)

    def checkpoint(
        self, x: TensorEntry, mask: TensorEntry, compute: Callable[[TensorEntry], TensorEntry]
    ) -> TensorEntry:
        """`compute(x)`, of which only `x` and `mask` are kept: the backward pass computes it again (1604.06174)."""
        self.recording = False
        output = compute(x)
        self.recording = True
        kept = [x.block, mask.block]
        for block in kept:
            block.holders += 1
        x.uses += 1
        self._operations.append(_Operation([x], [], output, kept, self.phase, again=compute))
        return output

    def end_forward(self) -> None:
        """The forward pass is over, and with it autocast's memory of cast parameters."""
        for name, tensor in self._casts.items():
            if not name.startswith("parameter "):
                self.release(tensor)
                self.copy_bytes += tensor.block.size if tensor.block.holders else 0
        self._casts = {name: tensor for name, tensor in self._casts.items() if name.startswith("parameter ")}

    def backward(self, loss: TensorEntry) -> None:
        """The backward pass from `loss`, whose phases are those of the forward pass with "backward" before them."""
        self._run_back(loss, self._take(loss.block.size))

    def _run_back(self, output: TensorEntry, gradient: Block) -> None:
        output.gradient = gradient
        while self._operations:
            operation = self._operations.pop()
            self.phase = f"backward {operation.phase.removeprefix('backward ')}"
            self._note()
            given, operation.output.gradient = operation.output.gradient, None
            if given is not None and operation.again:
                self._again(operation, given)
            elif given is not None:
                self._send(operation, given)
                self._let_go(given)
            for block in operation.kept:
                self._let_go(block)

    def _again(self, operation: _Operation, given: Block) -> None:
        """A checkpointed part runs forward again, and then backward."""
        (x,) = operation.inputs
        assert operation.again is not None
        earlier, self._operations = self._operations, []
        output, copies = operation.again(x), self.copy_bytes
        self.end_forward()
        self.copy_bytes = copies
        self.release(output)
        self._run_back(output, given)
        self._operations = earlier
        x.uses -= 1

    def _send(self, operation: _Operation, given: Block) -> None:
        made: list[tuple[TensorEntry, Block]] = []
        for place, (tensor, size) in enumerate(zip(operation.inputs, operation.gradients, strict=True)):
            if not tensor.learns or not size:
                continue
            if size == SAME:
                given.holders += 1
            block = given if size == SAME else self._take(size)
            block.turned = block.turned or place == operation.turned
            made.append((tensor, block))
        if operation.scratch:
            self.scratch(operation.scratch)
        for tensor, block in made:
            self._arrive(tensor, block)
        for tensor in operation.inputs:
            tensor.uses -= 1
            if tensor.parameter and not tensor.uses and tensor.gradient is not None:
                self._accumulate(tensor)

    def _arrive(self, tensor: TensorEntry, block: Block) -> None:
        """A gradient meets the one that is there."""
        there = tensor.gradient
        if there is None:
            tensor.gradient = block
            return
        if there.holders > 1 or there.turned:  # torch adds to no transpose in place
            tensor.gradient = self._take(max(there.size, block.size))
            self._let_go(there)
        self._let_go(block)

    def _accumulate(self, parameter: TensorEntry) -> None:
        """The gradient of a parameter becomes, or is added to, the one that the optimizer will read."""
        block, parameter.gradient = parameter.gradient, None
        assert block is not None
        if parameter.parameter in self.gradients:
            self._let_go(block)
        else:
            self.gradients[parameter.parameter] = block.size
            self.gradient_bytes += block.size
