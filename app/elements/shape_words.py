"""What is said of layers that share their weights, and of an embedding table narrower than the model. No streamlit."""

from __future__ import annotations

from engine.sizing.shape import Shape

SHARED_PARTS = {"all": "all their weights", "attention": "their attention weights", "ffn": "their FFN weights"}


def describe_sharing(shape: Shape) -> str:
    """Such as "4 layers share all their weights, in 2 groups"; empty where every layer has its own."""
    if shape.sharing == "none" or shape.layers == 1:
        return ""
    groups = f", in {shape.groups} groups" if shape.groups > 1 else ""
    return f"{shape.layers} layers share {SHARED_PARTS[shape.sharing]}{groups}"


def describe_shape(shape: Shape) -> str:
    """`shape` in its short form and how it saves parameters by its build."""
    narrow = f"embeddings of {shape.embedding:,}" if (shape.embedding or shape.hidden) != shape.hidden else ""
    return ", ".join(filter(None, [str(shape), narrow, describe_sharing(shape)]))
