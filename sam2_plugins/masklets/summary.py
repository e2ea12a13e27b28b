"""Summary of a video's masklets: what is asked often, without their masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sam2_engine.errors import InputError

__all__ = ["MaskletSummary"]


@dataclass(frozen=True)
class MaskletSummary:
    """What is known of the masklets of a video without their masks.

    Attributes
    ----------
    qualities
        By masklet, 0..1.
    video_file, opening
        The video in the folder, and how it is read.
    frames
        How many it has.
    min_area
        Components and holes below it are not shown.
    """

    qualities: Mapping[int, float]
    video_file: str
    opening: Mapping[str, Any]
    frames: int
    min_area: int

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Summarize the content of an SA-V JSON."""
        qualities = dict(zip(content["masklet_id"], content["masklet_quality"]))
        video = content["video_file"], content["video_opening"], content["video_frame_count"]
        return cls(qualities, *video, content["min_area"])

    @classmethod
    def from_json(cls, content: Mapping[str, Any], path: Path) -> Self:
        """Read what was written, whose keys JSON has made text."""
        try:
            qualities = {int(one): float(quality) for one, quality in content["qualities"].items()}
            return cls(**{**content, "qualities": qualities})
        except (TypeError, ValueError, LookupError, AttributeError):
            raise InputError(f"{path} is damaged; find the video's masklets --again.") from None
