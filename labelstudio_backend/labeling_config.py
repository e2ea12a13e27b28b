"""What a Label Studio labeling configuration (XML) says: which media it shows and which regions it takes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from xml.etree import ElementTree

from sam2_engine.errors import InputError

__all__ = ["ControlTag", "LabelingConfig", "MediaTag"]

DEFAULT_FRAME_RATE = 24.0
"""Frames per second that Label Studio assumes where ``<Video>`` names none."""

_MEDIA_TAGS = ("Image", "Video")


@dataclass(frozen=True)
class MediaTag:
    """The tag that shows the picture or the video: ``<Image>`` or ``<Video>``.

    Attributes
    ----------
    kind
        ``"Image"`` or ``"Video"``.
    name
        What controls refer to with ``toName``.
    value
        Where a task keeps the address, for example ``"$image"``.
    frame_rate
        The ``framerate`` attribute as written: a number, ``"$fps"``, or nothing.
    """

    kind: str
    name: str
    value: str
    frame_rate: str | None = None

    def source(self, data: Mapping[str, Any]) -> str:
        """Return the address of the media in a task's ``data``.

        Raises
        ------
        InputError
            If the task holds no address there.
        """
        address = _lookup(self.value, data)
        if not isinstance(address, str) or not address.strip():
            raise InputError(
                f"The task's data has no address under {self.value}, which <{self.kind}> asks for."
            )
        return address.strip()

    def frames_per_second(self, data: Mapping[str, Any]) -> float:
        """Return the rate at which Label Studio counts the frames of a task's video.

        Raises
        ------
        InputError
            If the rate is not a positive number.
        """
        if self.frame_rate is None:
            return DEFAULT_FRAME_RATE
        written = _lookup(self.frame_rate, data)
        try:
            rate = float(written)
        except (TypeError, ValueError):
            rate = 0.0
        if not 0 < rate < 1e4:
            raise InputError(f"The framerate of <Video> must be a positive number, not {written!r}.")
        return rate


@dataclass(frozen=True)
class ControlTag:
    """A tag that makes regions, for example ``<BrushLabels name="brush" toName="image">``."""

    kind: str
    name: str
    to_name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class LabelingConfig:
    """The tags of one labeling configuration that a model can serve."""

    media: tuple[MediaTag, ...]
    controls: tuple[ControlTag, ...]

    @classmethod
    def parse(cls, xml: object) -> Self:
        """Read a configuration.

        Raises
        ------
        InputError
            If it is not XML, or declares entities of its own.
        """
        if not isinstance(xml, str) or not xml.strip():
            raise InputError(
                "The request has no labeling configuration; give the project one in Label Studio."
            )
        if re.search(r"<!\s*(DOCTYPE|ENTITY)", xml, re.IGNORECASE):
            raise InputError("The labeling configuration must not declare a document type or entities.")
        try:
            root = ElementTree.fromstring(xml)
        except (ElementTree.ParseError, ValueError) as error:
            raise InputError(f"The labeling configuration is not valid XML: {error}.") from None
        elements = list(root.iter())
        media = tuple(
            MediaTag(tag.tag, tag.attrib["name"], tag.attrib["value"], tag.get("framerate"))
            for tag in elements
            if tag.tag in _MEDIA_TAGS and {"name", "value"} <= tag.attrib.keys()
        )
        controls = tuple(
            ControlTag(tag.tag, tag.attrib["name"], tag.attrib["toName"], _labels(tag))
            for tag in elements
            if {"name", "toName"} <= tag.attrib.keys()
        )
        return cls(media, controls)

    def target(self) -> tuple[MediaTag, ControlTag]:
        """Return the media to work on and the control that takes the answer.

        Raises
        ------
        InputError
            If no media has a control that the model can fill.
        """
        for media in self.media:
            wanted = "VideoRectangle" if media.kind == "Video" else "BrushLabels"
            for control in self.controls:
                if control.kind == wanted and control.to_name == media.name:
                    return media, control
        raise InputError(
            "The labeling configuration has nothing that this backend can fill: "
            "add <BrushLabels> to an <Image>, or <VideoRectangle> to a <Video>."
        )


def _lookup(reference: str, data: Mapping[str, Any]) -> Any:
    """Return what ``$key`` refers to in a task's data; anything else stands for itself."""
    return data.get(reference[1:]) if reference.startswith("$") else reference


def _labels(tag: ElementTree.Element) -> tuple[str, ...]:
    found = (label.get("alias") or label.get("value") for label in tag.iter("Label"))
    return tuple(label for label in found if label)
