"""Looking inside a model: a text in, its attentions and hidden states out, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.model.bert import Bert, Trace


class ProbeError(ValueError):
    """Text that cannot be looked at, in one sentence."""


@dataclass(frozen=True)
class Probe:
    """What a model did with one text, or with a pair of them. All arrays float32."""

    tokens: list[str]
    # (layer, head, pos, pos); a row says where one position looks, and sums to 1; where layers have different numbers
    # of heads, those that a layer does not have look nowhere: zeros
    attentions: np.ndarray
    hidden: np.ndarray  # (layer + 1, pos, hidden); the embedding output first
    unknown: list[str]  # words of the text that the tokenizer does not know
    cut: int  # tokens that did not fit
    second: int | None = None  # where the second text of a pair begins
    told_apart: bool = True  # False: a pair, and the model has no token types to tell its texts apart by
    heads: tuple[int, ...] = ()  # how many heads each layer has

    @property
    def only_unknown(self) -> bool:
        """Whether there is not one word that the tokenizer knows."""
        return all(token.startswith("[") and token.endswith("]") for token in self.tokens) and bool(self.unknown)


@torch.no_grad()
def probe(bert: Bert, tokenizer: Any, text: str, most_tokens: int = 64, second: str = "") -> Probe:
    """Runs `text` through `bert`, keeping at most `most_tokens` tokens with [CLS] and [SEP].

    With a `second` text the model sees [CLS] text [SEP] second [SEP] and, if it has them, token types 0 and 1; the
    longer of the two is cut first.

    Raises:
        ProbeError: there is no word in the text.
    """
    most_tokens = min(most_tokens, bert.shape.positions)
    texts = [text, second] if second.strip() else [text]
    parts = []
    for one in texts:
        encoded = tokenizer(one, return_offsets_mapping=True, add_special_tokens=False)
        parts.append(list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)))
    if not all(parts):
        raise ProbeError("The sentence is empty: type at least one word.")
    room, token_count = most_tokens - 1 - len(parts), sum(map(len, parts))
    while sum(map(len, parts)) > room:
        max(parts, key=len).pop()
    ids, types, unknown = [tokenizer.cls_token_id], [0], []
    for number, (one, part) in enumerate(zip(texts, parts, strict=True)):
        unknown += [one[a:b] for token, (a, b) in part if token == tokenizer.unk_token_id]
        ids += [*(token for token, _ in part), tokenizer.sep_token_id]
        types += [number] * (len(part) + 1)
    trace: Trace = {"hidden": [], "attentions": []}
    device, pair = bert.embeddings.word.weight.device, len(parts) == 2
    told_apart = pair and bert.embeddings.tells_texts_apart
    bert.encode(
        torch.tensor([ids], device=device),
        types=torch.tensor([types], device=device) if pair else None,
        trace=trace,
    )
    return Probe(
        tokens=tokenizer.convert_ids_to_tokens(ids),
        attentions=_stacked(trace["attentions"])[:, 0].float().cpu().numpy(),
        hidden=torch.cat(trace["hidden"]).float().cpu().numpy(),
        unknown=unknown,
        cut=max(0, token_count - room),
        second=types.index(1) if pair else None,
        told_apart=told_apart or not pair,
        heads=tuple(map(bert.shape.heads_of, range(bert.shape.layers))),
    )


def _stacked(attentions: list[torch.Tensor]) -> torch.Tensor:
    """(batch, head, pos, pos) of every layer as (layer, batch, head, pos, pos); missing heads are zeros."""
    most = max(layer.shape[1] for layer in attentions)
    alike = [torch.nn.functional.pad(layer, (0, 0, 0, 0, 0, most - layer.shape[1])) for layer in attentions]
    return torch.stack(alike)
