"""Pixel rules: which gray levels a model sees as black and white where nobody says so.

The one place that decides it, for every session, predictor and training.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from sam2_engine.errors import InputError, InputWarning
from sam2_engine.frames import FrameSource
from sam2_engine.preprocessing import (
    HOUNSFIELD_WINDOWS,
    Contrast,
    IntensityWindow,
    estimate_window,
    lowest_level,
)

__all__ = ["AS_THEY_ARE", "RULES", "PixelRule", "rule_named", "rule_of", "window_of"]

AS_THEY_ARE = "8 bits as they are"
"""Words of a card for images of 8 bits, which all rules but one leave alone."""


@dataclass(frozen=True)
class PixelRule:
    """How gray levels become black and white for a model, where no contrast is given.

    Attributes
    ----------
    words
        The rule for people, as cards say it.
    percentiles
        Of the stack's values: black and white.
    image_percentiles
        Of a single image's values; None: as of a stack's.
    above
        Only values above it count; None: all.
    eight_bits
        Whether 8-bit pixels are stretched too, and not seen as they are.
    hounsfield
        The window for computed tomography, a name of ``HOUNSFIELD_WINDOWS``; None: none.
    tomography_below
        Stacks with a value below it are taken for computed tomography: air is at -1000.
    window
        The same window for every stack of more than 8 bits.
    says
        What is said to the user beside, of a rule that cannot be followed.
    """

    words: str
    percentiles: tuple[float, float] = (0.1, 99.9)
    image_percentiles: tuple[float, float] | None = None
    above: float | None = None
    eight_bits: bool = False
    hounsfield: str | None = None
    tomography_below: float = -500
    window: IntensityWindow | None = None
    says: str | None = None

    def window_for(self, frames: FrameSource) -> IntensityWindow | None:
        """Return the window of a stack; None for 8-bit pixels as they are.

        Raises
        ------
        InputError
            If no frame can be read.

        Warns
        -----
        InputWarning
            Which window a CT is seen through, or what could not be decided.
        """
        if frames.dtype.itemsize == 1 and frames.dtype.kind in "ub" and not self.eight_bits:
            return estimate_window(frames)
        fixed = self.window
        if self.hounsfield is not None:
            fixed = self._tomography(frames)
        if self.says is not None:
            _say(f"{frames.name}: {self.says}")
        if fixed is not None:
            return replace(fixed, fill=frames.fill_values)
        single = self.image_percentiles if frames.length == 1 else None
        return estimate_window(frames, single or self.percentiles, self.above, self.eight_bits)

    def _tomography(self, frames: FrameSource) -> IntensityWindow | None:
        """Return the window of a CT; None of what is none."""
        assert self.hounsfield is not None
        lowest, window = lowest_level(frames), HOUNSFIELD_WINDOWS[self.hounsfield]
        ends = f"{window.low[0]:g} to {window.high[0]:g}"
        others = ", ".join(name for name in HOUNSFIELD_WINDOWS if name != self.hounsfield)
        if lowest < self.tomography_below:
            _say(
                f"{frames.name} looks like computed tomography, which this model sees through a window: "
                f"{self.hounsfield} ({ends}) is taken; for another organ set its contrast ({others}, or "
                "LO,HI)."
            )
            return window
        if lowest < 0 or self.tomography_below == 0:
            _say(
                f"{frames.name} does not look like CT in Hounsfield units, so for this model "
                f"{self.words}; if it is CT, set its contrast ({self.hounsfield} is {ends})."
            )
        return None


_PERCENTILES = "percentiles {:g} and {:g} of {} are black and white"
_ABOVE_0 = _PERCENTILES.format(0.5, 99.5, "what is above 0")

RULES: Mapping[str, PixelRule] = {
    "usual": PixelRule(_PERCENTILES.format(0.1, 99.9, "the stack")),
    "medical": PixelRule(_ABOVE_0, (0.5, 99.5), above=0, hounsfield="soft tissue"),
    "tomography": PixelRule(_ABOVE_0, (0.5, 99.5), above=0, hounsfield="soft tissue", tomography_below=0),
    "microscopy": PixelRule(
        "the lowest and highest value of an image, or percentiles 2 and 98 of a stack, are black and white",
        (2, 98),
        (0, 100),
        eight_bits=True,
    ),
}
"""By the names that ``ModelConfig.intensities`` and the registry have for them."""


def _say(sentence: str) -> None:
    warnings.warn(sentence, InputWarning, stacklevel=4)


@cache
def rule_of(intensities: str) -> PixelRule:
    """Return the rule of a name: one of ``RULES``, a window's name, or ``LO,HI``.

    What is none of them is said to whoever opens frames with the model, and the usual rule is followed.

    Examples
    --------
    >>> rule_of("medical").percentiles, rule_of("-160,240").window
    ((0.5, 99.5), IntensityWindow(low=(-160.0,), high=(240.0,), fill=()))
    """
    usual = RULES["usual"]
    if intensities in RULES:
        return RULES[intensities]
    try:
        ends = re.fullmatch(r"\s*(-?[\d.]+)\s*(?:,|to)\s*(-?[\d.]+)\s*", intensities)
        window = IntensityWindow.of((float(ends[1]), float(ends[2])) if ends else intensities)
    except (InputError, ValueError):
        quoted = "".join(sign for sign in " ".join(intensities.split()) if sign.isprintable())
        quoted = quoted if len(quoted) <= 200 else f"{quoted[:200]}…"
        says = (
            f"this model says of the pixels that it was taught on: “{quoted}”; set the contrast accordingly."
        )
        return replace(usual, says=says)
    return PixelRule(intensities, window=window)


def rule_named(words: str) -> str:
    """Return the name of the rule that a card says in words; words that are of none are a name themselves.

    Examples
    --------
    >>> rule_named("8 bits as they are"), rule_named("-160 to 240")
    ('usual', '-160 to 240')
    """
    if words == AS_THEY_ARE:
        return "usual"
    return next((name for name, rule in RULES.items() if rule.words == words), words)


def window_of(
    frames: FrameSource, contrast: Contrast | str = None, intensities: str = "usual"
) -> IntensityWindow | None:
    """Return the intensity window that a stack is seen with: the given one, else what the model expects.

    Either way the source's fill values are read as black.

    Parameters
    ----------
    frames
        The stack.
    contrast
        What somebody said; None: nobody.
    intensities
        The rule of the model: ``model.config.intensities``.

    Raises
    ------
    InputError
        If it is no window, or no frame can be read to estimate one from.
    """
    if contrast is None:
        return rule_of(intensities).window_for(frames)
    window = IntensityWindow.of(contrast)
    return window if window.fill else replace(window, fill=frames.fill_values)
