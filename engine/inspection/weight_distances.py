"""How far apart corresponding weights of neighbouring layers are.

Rows and columns of a weight have no natural order except on the residual stream: two layers may compute the same with
their neurons in another order. So a large distance says less than a small one.
"""

from __future__ import annotations

import numpy as np

from engine.inspection.layer_similarity import cosine_similarity, l2_distance
from engine.model.bert import Bert
from engine.model.linears import dense_weight

KINDS = ("query", "key", "value", "output", "up", "down")  # linears of a layer: attention's four, the FFN's two


def weight_steps(bert: Bert) -> dict[str, np.ndarray]:
    """Between each layer's weights and the next one's: measure -> (kind of KINDS, layer - 1).

    "l2": the Euclidean (Frobenius) distance of the two matrices; "relative": divided by the root mean square of their
    norms, 0 for equal ones and about 1.41 for unrelated ones; "cosine": of the two as vectors. Biases do not count.
    Layers that share a module have distance 0 and cosine 1.
    """
    flat = []
    for layer in range(bert.shape.layers):
        attention, ffn = bert.blocks(layer)
        linears = (attention.query, attention.key, attention.value, attention.output, ffn.up, ffn.down)
        flat.append([dense_weight(linear).detach().cpu().numpy().ravel() for linear in linears])
    found: dict[str, list[list[float]]] = {"l2": [], "relative": [], "cosine": []}
    for kind in range(len(KINDS)):
        pairs = [(flat[layer][kind], flat[layer + 1][kind]) for layer in range(len(flat) - 1)]
        # layers of other widths (a pruned student's) have nothing to subtract
        same = [(a, b) if a.shape == b.shape else (np.full(1, np.nan), np.full(1, np.nan)) for a, b in pairs]
        l2 = [float(l2_distance(a, b)) for a, b in same]
        found["l2"].append(l2)
        sizes = [float(np.sqrt((np.square(a).sum() + np.square(b).sum()) / 2)) for a, b in same]
        found["relative"].append([step / size if size else 0.0 for step, size in zip(l2, sizes, strict=True)])
        found["cosine"].append([float(cosine_similarity(a, b)) for a, b in same])
    return {name: np.array(rows) for name, rows in found.items()}
