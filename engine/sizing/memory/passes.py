"""One forward pass, operation by operation, on a ledger of memory: this project's model and transformers'.

Written along engine/model/bert.py, and along BertForMaskedLM and AlbertForMaskedLM of transformers 5 in training mode.
A CPU has no fused attention with dropout. Knows no torch.
"""

from __future__ import annotations

from functools import partial

from engine.sizing.memory.ledger import SAME, StepLedger, TensorEntry
from engine.sizing.memory.operations import Operations, PassSettings
from engine.sizing.shape import Shape


class PlayedPass(Operations):
    """A model of `shape` that reads `rows` sequences of `tokens` tokens, on `ledger`."""

    def __init__(self, shape: Shape, rows: int, tokens: int, settings: PassSettings, ledger: StepLedger) -> None:
        super().__init__(shape, rows, tokens, settings, ledger)
        self._variables: list[TensorEntry] = []  # of attention's function
        self._embedded: TensorEntry | None = None
        self._returned: TensorEntry | None = None  # what the library's attention hands on beside its output

    def attend(self, x: TensorEntry, name: str, layer: int, mask: TensorEntry) -> TensorEntry:
        """What every head mixes, (batch, pos, inner)."""
        hidden, inner = self.shape.hidden, self.shape.inner_of(layer)
        whole = [self.layer_linear(x, f"{name} {part}", hidden, inner) for part in ("query", "key", "value")]
        if self.settings.fused:
            mixed = self._fused(whole, layer)
        else:
            # the gradients of queries, keys and values come head by head, and are laid out anew
            same = [SAME] if self._flat(layer) else None
            heads = [self.ledger.apply([it], it.elements, it.width, view=True, gradients=same) for it in whole]
            if self.ours or self.settings.attention == "eager":
                mixed = self._in_parts(heads, layer, mask)
            else:
                mixed = self._unfused_sdpa(heads, layer, mask)
            whole += heads
        if self.ours or self.shape.family == "albert":  # one function to the end of attention, with its variables
            self._variables += whole
        else:
            self.ledger.release(*whole)
        return mixed

    def _flat(self, layer: int) -> bool:
        """Whether head by head and token by token are one layout."""
        return self.length == 1 or self.shape.heads_of(layer) == 1

    def _by_heads(self, x: TensorEntry, layer: int) -> TensorEntry:
        """`x` as products of many matrices want it: laid out anew, unless batch and heads are one axis anyway."""
        if self.rows == 1 or self._flat(layer):
            return self.ledger.apply([x], x.elements, x.width, view=True, gradients=[SAME])
        return self.copy(x)

    def _end_returned(self) -> None:
        if self._returned is not None:
            self.ledger.release(self._returned)
            self._returned = None

    def _scores(self, layer: int) -> int:
        return self.rows * self.shape.heads_of(layer) * self.length**2

    def _fused(self, heads: list[TensorEntry], layer: int) -> TensorEntry:
        """Fused attention: keeps queries, keys, values, output, a number a row and head, and the mask as numbers."""
        elements, width = heads[0].elements, heads[0].width
        seen = self.tokens if self.ours else self.tokens * self.length  # the library's mask has a row a token
        beside = 4 * self.tokens * self.shape.heads_of(layer)
        mask = self.ledger.tensor(seen, width)
        mixed = self.ledger.apply(heads, elements, width, keeps=[*heads, mask], keeps_output=True, beside=beside)
        self.ledger.release(mask)
        return mixed

    def _product(self, one: TensorEntry, other: TensorEntry, elements: int) -> TensorEntry:
        return self.ledger.apply([one, other], elements, one.width, keeps=[one, other])

    def _in_parts(self, heads: list[TensorEntry], layer: int, mask: TensorEntry) -> TensorEntry:
        """Scores, their softmax and the mixture as operations of their own."""
        ledger, count = self.ledger, self._scores(layer)
        query, key = self._by_heads(heads[0], layer), self._by_heads(heads[1], layer)
        scores = self._product(query, key, count)
        ledger.release(query, key)
        scores = self.replace(scores)
        if self.ours:
            seen = ledger.apply([scores], count, scores.width, beside=self.tokens)
        else:  # a mask as exact as the weights is added
            wide = max(scores.width, self.settings.width)
            if scores.width != wide and not self.gpu:
                ledger.scratch(wide * count)
            seen = ledger.apply([scores], count, wide, gradients=[SAME if scores.width == wide else 2 * count])
        ledger.release(scores)
        mixed = self._mix(seen, heads[2], count, layer)
        if self.ours:
            self._end_returned()
        return mixed

    def _mix(self, scores: TensorEntry, value: TensorEntry, count: int, layer: int) -> TensorEntry:
        ledger = self.ledger
        reads = ledger.cast(scores, 4) if self.gpu and self.half and scores.width == 2 else scores
        shares = ledger.apply([reads], count, reads.width, keeps_output=True)
        ledger.release(scores, *([reads] if reads is not scores else []))
        dropped = self.dropout(shares)
        ledger.release(shares)
        weights = ledger.cast(dropped, value.width) if dropped.width != value.width else dropped
        values = self._by_heads(value, layer)
        mixed = self._product(weights, values, value.elements)
        ledger.release(values, *([weights] if weights is not dropped else []))
        same = [SAME] if self.rows == 1 or self._flat(layer) else None
        merged = ledger.apply([mixed], mixed.elements, mixed.width, view=self._flat(layer), gradients=same)
        ledger.release(mixed)
        self._returned = dropped  # the library hands it on, and it ends with the layer
        return merged

    def _unfused_sdpa(self, heads: list[TensorEntry], layer: int, mask: TensorEntry) -> TensorEntry:
        """scaled_dot_product_attention where no fused kernel fits: in parts, in float32, queries and keys scaled."""
        ledger, count, narrow = self.ledger, self._scores(layer), heads[0].width == 2
        seen = ledger.tensor(self.tokens * self.length, heads[0].width)  # the mask as numbers
        query, key, value = [ledger.cast(it, 4) for it in heads] if narrow else heads
        scaled = [ledger.apply([it], it.elements, 4) for it in (query, key)]
        copies = [self._by_heads(it, layer) for it in scaled]
        scores = self._product(copies[0], copies[1], count)
        ledger.release(*copies)
        merged = self._mix(scores, value, count, layer)
        self._end_returned()
        ledger.release(*scaled, seen)
        if narrow:
            ledger.release(query, key, value)
            whole, merged = merged, ledger.cast(merged, 2)
            ledger.release(whole)
        return merged

    def embed(self) -> TensorEntry:
        """The embeddings and, where they are narrower, their projection to the hidden width."""
        shape, ledger, elements = self.shape, self.ledger, self.tokens * self.shape.embedding
        table = ledger.parameter("word", shape.vocab * shape.embedding)
        places = ledger.parameter("position", shape.positions * shape.embedding)
        width = self.settings.width
        row = width * self.length * shape.embedding
        x = ledger.apply([table], elements, width)
        variables = [] if self.ours else [x]
        if shape.token_types and not self.ours:
            kinds = ledger.parameter("type", shape.token_types * shape.embedding)
            variables.append(ledger.apply([kinds], elements, width))
            x = ledger.apply(variables, elements, width, gradients=[SAME, SAME])
        before, x = x, ledger.apply([x, places], elements, width, gradients=[SAME, 4 * places.elements], scratch=row)
        if before not in variables:
            ledger.release(before)
        if shape.token_types and self.ours:
            kinds = ledger.parameter("type", shape.token_types * shape.embedding)
            before, x = x, ledger.apply([x, kinds], elements, width, gradients=[SAME, 4 * kinds.elements])
            ledger.release(before)
        summed, x = x, self.norm(x, "embedding norm", shape.embedding)
        ledger.release(summed)
        normed, x = x, self.dropout(x)
        ledger.release(normed, *variables)
        if not self.ours:
            self._embedded = x  # the library's program holds it to the end
            x.block.holders += 1
        if shape.factorised:
            narrow, x = x, self.linear(x, "projection", shape.embedding, shape.hidden)
            ledger.release(narrow)
        return x

    def layer(self, x: TensorEntry, layer: int, mask: TensorEntry) -> TensorEntry:
        """One layer: attention and FFN, each with its residual addition and LayerNorm; `x` stays the caller's.

        ALBERT drops nothing behind its FFN, and DistilBERT, which knows no token types, nothing behind its attention.
        """
        shape, ledger = self.shape, self.ledger
        owner = {part: shape.group_of(layer) if shape.shares(part) else layer for part in ("attention", "ffn")}
        name, ffn = f"attention {owner['attention']}", shape.ffn_of(layer)
        mixed = self.attend(x, name, layer, mask)
        spread = self.layer_linear(mixed, f"{name} out", shape.inner_of(layer), shape.hidden)
        middle = self._residual(x, spread, name, drop=shape.family == "albert" or bool(shape.token_types))
        ledger.release(mixed, *self._variables)
        self._variables = []
        name = f"ffn {owner['ffn']}"
        wide = self.layer_linear(middle, f"{name} up", shape.hidden, ffn)
        bent = self.activate(wide)
        ledger.release(wide)
        narrow = self.layer_linear(bent, f"{name} down", ffn, shape.hidden)
        ledger.release(bent)
        made = self._residual(middle, narrow, name, drop=shape.family != "albert")
        ledger.release(middle)
        self._end_returned()
        return made

    def _residual(self, x: TensorEntry, change: TensorEntry, name: str, *, drop: bool = True) -> TensorEntry:
        """LayerNorm of x and its change, which goes."""
        dropped = self.dropout(change) if drop else change
        if drop:
            self.ledger.release(change)
        summed = self.add(x, dropped)
        self.ledger.release(dropped)
        made = self.norm(summed, f"{name} norm", self.shape.hidden)
        self.ledger.release(summed)
        return made

    def encode(self) -> TensorEntry:
        """The last hidden states. Phases: "embeddings", "first layer", "layers", "last layer"."""
        ledger, last = self.ledger, self.shape.layers - 1
        ledger.phase = "embeddings"
        if self.ours:
            mask = ledger.tensor(self.tokens, 1)
        else:  # a row a token: whether, or as numbers that are added to scores
            eager = self.settings.attention == "eager"
            mask = ledger.tensor(self.tokens * self.length, self.settings.width if eager else 1)
        x = self.embed()
        for layer in range(self.shape.layers):
            ledger.phase = "last layer" if layer == last else "layers" if layer else "first layer"
            before = x
            if self.settings.checkpointing and ledger.recording:
                x = ledger.checkpoint(before, mask, partial(self.layer, layer=layer, mask=mask))
            else:
                x = self.layer(before, layer, mask)
            ledger.release(before)
        ledger.release(mask, *([self._embedded] if self._embedded else []))
        return x

    def logits(self, x: TensorEntry) -> TensorEntry:
        """Masked-LM logits of hidden states (tokens, hidden)."""
        shape, ledger = self.shape, self.ledger
        bent = self.linear(x, "transform", shape.hidden, shape.embedding)
        active = self.activate(bent)
        ledger.release(bent)
        normed = self.norm(active, "head norm", shape.embedding)
        ledger.release(active)
        made = self.linear(normed, "word" if shape.tied else "decoder", shape.embedding, shape.vocab)
        ledger.release(normed)
        return made

    def predict(self, predicted: int | None = None) -> TensorEntry:
        """Masked-LM logits, ours at `predicted` tokens; the last hidden states where there is no such head."""
        x = self.encode()
        self.ledger.phase = "head"
        if not self.shape.mlm_head:
            return x
        places = x
        if self.ours and predicted is not None:
            count = predicted * self.shape.hidden
            places = self.ledger.apply([x], count, x.width, beside=8 * predicted)
        made = self.logits(places)
        self.ledger.release(x, *([places] if places is not x else []))
        return made

    def loss(self, predicted: int) -> TensorEntry:
        """The masked-LM loss; ours computes logits at `predicted` tokens only, the library's at all. Phase "head"."""
        ledger, logits = self.ledger, self.predict(predicted)
        if not self.shape.mlm_head:
            made = ledger.apply([logits], 1, 4, keeps=[logits])
            ledger.release(logits)
            ledger.end_forward()
            return made
        exact = ledger.cast(logits, 4) if logits.width == 2 else logits
        spread = ledger.apply([exact], exact.elements, 4, keeps_output=True)
        if exact is not logits:
            ledger.release(exact)
        if not self.settings.keeps_logits:
            ledger.release(logits)
        made = ledger.apply([spread], 1, 4, keeps=[spread])
        ledger.release(spread)
        ledger.end_forward()
        return made
