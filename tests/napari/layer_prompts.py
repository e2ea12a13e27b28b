"""Prompts as the layers hold them."""

from collections.abc import Sequence

from sam2_engine.prompts import Box, Points, Prompt


def prompt(
    points: Sequence[tuple[float, float]] = (),
    labels: Sequence[int] = (),
    box: tuple[float, float, float, float] | None = None,
) -> Prompt:
    clicks = Points.unchecked(points, labels) if points else None
    return Prompt(clicks, None if box is None else Box(*box))
