"""Single operations on a ledger of memory: what each makes, keeps for its backward pass, and takes for a moment.

What differs from device to device is said where it differs: a CPU keeps dropout's mask as numbers and a GPU as bytes,
autocast on a GPU computes LayerNorm, softmax and powers in float32 and on a CPU leaves them as they come. Knows no
torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.sizing.memory.ledger import SAME, StepLedger, TensorEntry
from engine.sizing.shape import Shape

IMPLEMENTATIONS = ("ours", "transformers")
ATTENTIONS = ("sdpa", "eager")  # of the library: attn_implementation
MEMORY_DEVICES = ("gpu", "cpu")


@dataclass(frozen=True)
class PassSettings:
    """How a model is run."""

    implementation: str = "transformers"
    attention: str = "sdpa"  # of the library's model; ours takes fused attention where that pays
    device: str = "gpu"
    half: bool = False  # bfloat16 autocast
    dropout: bool = True  # of the library's model; ours has none
    checkpointing: bool = False  # only the layers' inputs are kept, and each layer runs again in the backward pass
    keeps_logits: bool = False  # the program holds the model's output until the backward pass is over
    width: int = 4  # bytes of a weight, and so of what no autocast changes

    @property
    def drops(self) -> bool:
        """Whether dropout takes part."""
        return self.dropout and self.implementation == "transformers"

    @property
    def fused(self) -> bool:
        """Whether attention is one operation that keeps no scores."""
        if self.implementation == "ours":
            return not (self.device == "cpu" and self.half)
        return self.attention == "sdpa" and not (self.device == "cpu" and self.drops)


class Operations:
    """The operations of a model of `shape` that reads `rows` sequences of `tokens` tokens, on `ledger`."""

    def __init__(self, shape: Shape, rows: int, tokens: int, settings: PassSettings, ledger: StepLedger) -> None:
        self.shape, self.rows, self.length, self.settings, self.ledger = shape, rows, tokens, settings, ledger
        self.tokens = rows * tokens
        self.gpu, self.half = settings.device == "gpu", settings.half
        self.ours = settings.implementation == "ours"

    def linear(self, x: TensorEntry, name: str, wide: int, out: int, *, bias: bool = True) -> TensorEntry:
        """A linear layer; in bfloat16 it reads copies of x and of its weights."""
        rows, table = x.elements // wide, self.ledger.parameter(name, wide * out)
        weights = [table, self.ledger.parameter(f"{name} bias", out)] if bias else [table]
        reads = x
        if self.half:
            reads = self.ledger.cast(x, 2) if x.width == 4 else x
            weights = [self.ledger.cast(weight, 2) for weight in weights]
        made = self.ledger.apply([reads, *weights], rows * out, reads.width, keeps=[reads, weights[0]], turned=1)
        if reads is not x:
            self.ledger.release(reads)
        return made

    def layer_linear(self, x: TensorEntry, name: str, wide: int, out: int) -> TensorEntry:
        """A linear of a layer, which may be the product of two factors."""
        rank = self.shape.rank_of(wide, out)
        if not rank:
            return self.linear(x, name, wide, out)
        middle = self.linear(x, f"{name} in", wide, rank, bias=False)
        made = self.linear(middle, f"{name} out", rank, out)
        self.ledger.release(middle)
        return made

    def norm(self, x: TensorEntry, name: str, wide: int) -> TensorEntry:
        """LayerNorm, which keeps its input and each row's mean and deviation."""
        reads = self.ledger.cast(x, 4) if self.gpu and self.half and x.width == 2 else x
        parameters = [self.ledger.parameter(f"{name} {part}", wide) for part in ("gain", "offset")]
        made = self.ledger.apply(
            [reads, *parameters], x.elements, reads.width, keeps=[reads], beside=8 * (x.elements // wide)
        )
        if reads is not x:
            self.ledger.release(reads)
        return made

    def dropout(self, x: TensorEntry) -> TensorEntry:
        """Dropout, which keeps what it multiplied with: a byte an element on a GPU, a number on a CPU."""
        if not self.settings.drops:
            x.block.holders += 1
            return x
        return self.ledger.apply([x], x.elements, x.width, beside=x.elements * (1 if self.gpu else x.width))

    def add(self, one: TensorEntry, other: TensorEntry) -> TensorEntry:
        """The sum; of two precisions the CPU first makes one."""
        width = max(one.width, other.width)
        if one.width != other.width and not self.gpu:
            self.ledger.scratch(2 * one.elements * width)
        sizes = [SAME if it.width == width else it.elements * it.width for it in (one, other)]
        return self.ledger.apply([one, other], one.elements, width, gradients=sizes)

    def activate(self, x: TensorEntry) -> TensorEntry:
        """The activation function; the library writes gelu_new as eight operations, of which four keep something."""
        name, ledger = self.shape.activation, self.ledger
        if name == "relu":
            return ledger.apply([x], x.elements, x.width, keeps_output=True)
        if name == "gelu" or self.ours:
            return ledger.apply([x], x.elements, x.width, keeps=[x])
        elements = x.elements
        half_of_x = ledger.apply([x], elements, x.width)
        reads = ledger.cast(x, 4) if self.gpu and self.half and x.width == 2 else x
        cubed = ledger.apply([reads], elements, reads.width, keeps=[reads])
        if reads is not x:
            ledger.release(reads)
        scaled = self.replace(cubed)
        summed = self.add(x, scaled)
        ledger.release(scaled)
        scaled = self.replace(summed)
        bent = ledger.apply([scaled], elements, scaled.width, keeps_output=True)
        ledger.release(scaled)
        raised = self.replace(bent)
        made = ledger.apply(
            [half_of_x, raised], elements, max(half_of_x.width, raised.width), keeps=[half_of_x, raised]
        )
        ledger.release(half_of_x, raised)
        return made

    def replace(self, x: TensorEntry) -> TensorEntry:
        """`x` times or plus a number: a new tensor, nothing kept, and `x` goes."""
        made = self.ledger.apply([x], x.elements, x.width)
        self.ledger.release(x)
        return made

    def copy(self, x: TensorEntry) -> TensorEntry:
        """`x` laid out anew, its gradient passed on as it is."""
        return self.ledger.apply([x], x.elements, x.width, gradients=[SAME])
