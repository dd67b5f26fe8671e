"""Methods that say which of the teacher's layers each student layer has to do with; tests hold what they do to it."""

from __future__ import annotations

from engine.sizing.shape import Shape


class ImitatesLayers:
    """The loss compares layers: hidden states, attention, or what attention is made of."""

    def imitated_layers(self, teacher: Shape, student: Shape) -> dict[int, int]:
        """Student layer -> the teacher layer that it imitates, both from 1; layers that imitate none are left out.

        Layers compared only through what lies behind them, as by logits, are not meant.
        """
        raise NotImplementedError


class StartsFromLayers:
    """The student begins with weights of whole layers of its teacher."""

    def starting_layers(self, teacher: Shape, student: Shape) -> list[int]:
        """The teacher's layer, from 1, that each student layer starts from."""
        raise NotImplementedError
