"""Scenes by the name of their style and a seed, with exact ground truth."""

from collections.abc import Callable

import numpy as np

from sam2_engine.errors import InputError
from sam2_engine.synthetic.scene import Drawing, Scene
from sam2_engine.synthetic.styles.bacteria import draw_bacteria
from sam2_engine.synthetic.styles.membranes import draw_membranes
from sam2_engine.synthetic.styles.nuclei import draw_nuclei
from sam2_engine.synthetic.styles.organs import draw_organs
from sam2_engine.synthetic.styles.particles import draw_particles
from sam2_engine.synthetic.styles.phase_contrast import draw_phase_contrast
from sam2_engine.synthetic.styles.stained_tissue import draw_stained_tissue
from sam2_engine.synthetic.styles.textured_objects import draw_textured_objects
from sam2_engine.synthetic.styles.turning_solids import draw_turning_solids

__all__ = ["STYLES", "render_scene"]

MIN_SIDE = 32
"""Least side of a scene in pixels."""

STYLES: dict[str, Callable[[np.random.Generator, int, int, int], Drawing]] = {
    "dividing_nuclei": draw_nuclei,
    "membranes": draw_membranes,
    "phase_contrast": draw_phase_contrast,
    "bacteria": draw_bacteria,
    "stained_tissue": draw_stained_tissue,
    "particles": draw_particles,
    "organs": draw_organs,
    "textured_objects": draw_textured_objects,
    "turning_solids": draw_turning_solids,
}
"""One drawing function per style; it takes a random generator, number of frames, height and width."""


def render_scene(
    style: str, num_frames: int = 8, size: int | tuple[int, int] = 256, seed: int = 0, bits: int = 8
) -> Scene:
    """Render a scene with exact ground truth.

    Parameters
    ----------
    style
        A key of ``STYLES``.
    num_frames
        Frames, or slices of a volume; at least 1.
    size
        Side in pixels, or (height, width); at least 32.
    seed
        Seed of everything in the scene, 0 or more; 8 and 16 bit show the same scene.
    bits
        8, or 16 with the offset and the range of a scientific camera (CT: HU + 1024).

    Returns
    -------
    Scene
        Frames, labels, divisions and axes.

    Raises
    ------
    InputError
        If there is no such style, or a number is out of range.

    Examples
    --------
    >>> scene = render_scene("dividing_nuclei", num_frames=3, size=(64, 96), seed=1)
    >>> scene.frames.shape, scene.frames.dtype, scene.axes
    ((3, 64, 96), dtype('uint8'), 'TYX')
    >>> scene.labels.shape == scene.frames.shape
    True
    """
    if style not in STYLES:
        raise InputError(
            f"There is no style {style!r} of synthetic scenes; choose one of {', '.join(STYLES)}."
        )
    height, width = (size, size) if isinstance(size, int) else size
    if num_frames < 1 or min(height, width) < MIN_SIDE:
        raise InputError(
            f"A scene needs at least 1 frame and {MIN_SIDE} pixels a side, not {num_frames} frames of "
            f"{height} x {width} pixels."
        )
    if bits not in (8, 16):
        raise InputError(f"A scene is rendered with 8 or 16 bits per pixel, not {bits}.")
    if seed < 0:
        raise InputError(f"The seed of a scene is 0 or a positive number, not {seed}.")
    return STYLES[style](np.random.default_rng(seed), num_frames, height, width).digitize(bits)
