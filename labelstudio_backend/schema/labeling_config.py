"""Labeling configuration (XML): its media tags, and the control tags that predictions can fill."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from xml.etree import ElementTree

from labelstudio_backend.media.addresses import referred, served_address
from sam2_engine.errors import InputError

__all__ = ["FORMS", "ControlTag", "LabelingConfig", "MediaTag", "Target"]

DEFAULT_FRAME_RATE = 24.0
"""Frames per second that Label Studio assumes where ``<Video>`` names none."""

_MEDIA_TAGS = ("Image", "Video")
_LISTS = {"valueList", "valuelist"}
"""Attributes of ``<Image>`` that name a list; Label Studio reads either spelling."""

_PROMPTS = ("KeyPoint", "Rectangle", "Ellipse")
"""Control tags of images that draw prompts, each also with ``Labels`` at its end."""

FORMS = {
    "brush": ("BrushLabels", "Brush"),
    "bitmask": ("BitmaskLabels", "Bitmask"),
    "polygon": ("PolygonLabels", "Polygon"),
    "vector": ("VectorLabels", "Vector"),
    "rectangle": ("RectangleLabels", "Rectangle"),
    "ellipse": ("EllipseLabels", "Ellipse"),
}
"""Forms that a mask can have on an image, the preferred one first, and the control tags of each."""


@dataclass(frozen=True)
class MediaTag:
    """The object tag that shows the image or the video: ``<Image>`` or ``<Video>``.

    Attributes
    ----------
    kind
        ``"Image"`` or ``"Video"``.
    name
        What controls refer to with ``toName``.
    value
        Where a task has the address, or of an image with pages the list of them, for example ``"$image"``.
    frame_rate
        The ``framerate`` attribute as written: a number, ``"$fps"``, or nothing.
    has_pages
        Whether it shows several images one at a time (``valueList``), which regions name by ``item_index``.
    """

    kind: str
    name: str
    value: str
    frame_rate: str | None = None
    has_pages: bool = False

    def source(self, task: Mapping[str, Any], page: int = 0) -> str:
        """Return the address of the media of a task, or of one of its pages, from 0.

        Raises
        ------
        InputError
            If the task holds no address there.
        """
        pages = self.sources(task)
        if not 0 <= page < len(pages):
            raise InputError(
                f"A region lies on page {page + 1}, but the task has {len(pages)} under {self.value}; "
                "draw it again."
            )
        return pages[page]

    def sources(self, task: Mapping[str, Any]) -> list[str]:
        """Return the addresses of all pages of a task; of media without pages, its one.

        Raises
        ------
        InputError
            If the task holds no address there.
        """
        found = referred(self.value, task["data"])
        pages = found if self.has_pages else [found]
        if not isinstance(pages, list) or not pages or not all(map(_is_text, pages)):
            what = "no list of addresses" if self.has_pages else "no address"
            raise InputError(f"The task's data has {what} under {self.value}, which <{self.kind}> asks for.")
        return [served_address(page, task.get("id")) for page in pages]

    def frames_per_second(self, data: Mapping[str, Any]) -> float:
        """Return the rate at which Label Studio counts the frames of a task's video.

        Raises
        ------
        InputError
            If the rate is not a positive number.
        """
        if self.frame_rate is None:
            return DEFAULT_FRAME_RATE
        written = referred(self.frame_rate, data)
        try:
            rate = float(written)
        except (TypeError, ValueError, OverflowError):
            rate = 0.0
        if not 0 < rate < 1e4:
            raise InputError(
                f"The framerate of <Video> must be a positive number, but {self.frame_rate} is none."
            )
        return rate


@dataclass(frozen=True)
class ControlTag:
    """A tag for regions on one media tag, for example ``<BrushLabels name="brush" toName="image">``.

    Attributes
    ----------
    kind
        The tag, for example ``"BrushLabels"``, ``"Brush"`` or ``"VideoRectangle"``.
    name, to_name
        Its own name and that of the media it belongs to.
    labels
        What its regions may be called; of a tag without labels (``<Brush>``) those of ``labeled_by``.
    labeled_by
        The ``<Labels>`` that names the regions of a tag without labels, if there is one.
    dynamic_labels
        Whether the labels come with each task (dynamic labels, ``value="$labels"``), so that any is accepted.
    smart
        Whether what is drawn with it is sent to a backend (``smart="true"``).
    allow_empty
        Whether a region's only label may be taken away again (``allowEmpty="true"``).
    """

    kind: str
    name: str
    to_name: str
    labels: tuple[str, ...] = ()
    labeled_by: str | None = None
    dynamic_labels: bool = False
    smart: bool = False
    allow_empty: bool = False

    @property
    def form(self) -> str | None:
        """Which of the ``FORMS`` of a mask its regions have, or None."""
        return next((form for form, kinds in FORMS.items() if self.kind in kinds), None)

    def accepts(self, *labels: str) -> bool:
        """Return whether a region of it may carry all of these labels, or none where none is given."""
        needs_label = self.kind.endswith("Labels")
        if not labels:
            return not needs_label
        return self.dynamic_labels or not (self.labels or needs_label) or set(labels) <= set(self.labels)


@dataclass(frozen=True)
class Target:
    """A media tag and its control tags for predictions, the preferred one first; at least one."""

    media: MediaTag
    controls: tuple[ControlTag, ...]

    def control_for(self, *labels: str) -> ControlTag:
        """Return the control tag that accepts a region with all of these labels, or without any.

        Raises
        ------
        InputError
            If there is none.
        """
        for control in self.controls:
            if control.accepts(*labels):
                return control
        if not labels:
            raise InputError("The drawn region has no label; choose a label first, then draw.")
        missing = [label for label in labels if not self.controls[0].accepts(label)] or list(labels)
        raise InputError(
            f"<{self.controls[0].kind} name={self.controls[0].name!r}> has no label "
            f"{' and no label '.join(f'{label!r:.60}' for label in missing)}; "
            "give it the same labels as the smart tools in the labeling configuration."
        )


@dataclass(frozen=True)
class LabelingConfig:
    """The tags of one labeling configuration that a model can serve."""

    media: tuple[MediaTag, ...]
    controls: tuple[ControlTag, ...]
    has_repeater: bool = False

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
            _media_tag(tag)
            for tag in elements
            if tag.tag in _MEDIA_TAGS and "name" in tag.attrib and _LISTS.union(["value"]) & tag.attrib.keys()
        )
        controls = [
            ControlTag(
                tag.tag,
                tag.attrib["name"],
                to_name.strip(),
                _labels(tag),
                dynamic_labels=_has_dynamic_labels(tag),
                smart="true" in (tag.get("smart", "").lower(), tag.get("smartOnly", "").lower()),
                allow_empty=tag.get("allowEmpty", "").lower() == "true",
            )
            for tag in elements
            if {"name", "toName"} <= tag.attrib.keys()
            for to_name in tag.attrib["toName"].split(",")
        ]
        has_repeater = any(tag.tag == "Repeater" for tag in elements)
        return cls(media, tuple(_with_labels(control, controls) for control in controls), has_repeater)

    def check(self) -> None:
        """Refuse what would be answered by an error only, which the page does not show.

        Raises
        ------
        InputError
            If a smart tool has a label, or an image, that no answer can have; if there is a ``<Repeater>``,
            whose tags have no name before a task is opened; or if no rectangle of a video can have a label.
        """
        if self.has_repeater:
            raise InputError(
                "A <Repeater> is not served, as its tags have names in each task only; show several images "
                'with <Image valueList="$images">, or with an <Image> each.'
            )
        targets = {target.media.name: target for target in self.targets()}
        for control in self.controls:
            target = targets.get(control.to_name)
            if control.kind == "VideoRectangle" and not (control.labels or control.dynamic_labels):
                raise InputError(
                    f"<VideoRectangle name={control.name!r}> has no labels, and it is a label that has a "
                    f'rectangle tracked; add <Labels toName="{control.to_name}"> with some.'
                )
            if not control.smart or control.kind.removesuffix("Labels") not in _PROMPTS:
                continue
            if target is None:
                raise InputError(
                    f"What is drawn with <{control.kind} name={control.name!r}> cannot be answered; add "
                    f'<BrushLabels toName="{control.to_name}"> with the same labels, or another such tag.'
                )
            for label in control.labels:
                target.control_for(label)

    def targets(self, preferred_form: str | None = None) -> list[Target]:
        """Return all media with control tags that the model can fill, in the order of the configuration.

        Parameters
        ----------
        preferred_form
            The form of a mask that is preferred on images; None for the order of ``FORMS``.

        Raises
        ------
        InputError
            If there is none.
        """
        forms = [*([preferred_form] if preferred_form else []), *FORMS]

        def rank(control: ControlTag) -> int:
            return forms.index(control.form) if control.form else 0

        targets = []
        for media in self.media:
            usable = [
                control
                for control in self.controls
                if control.to_name == media.name
                and (control.kind == "VideoRectangle" if media.kind == "Video" else control.form is not None)
            ]
            if usable:
                targets.append(Target(media, tuple(sorted(usable, key=rank))))
        if not targets:
            raise InputError(
                "The labeling configuration has nothing that this backend can fill: add <BrushLabels>, "
                "<BitmaskLabels>, <PolygonLabels>, <VectorLabels>, <RectangleLabels> or <EllipseLabels> to "
                "an <Image>, or <VideoRectangle> to a <Video>."
            )
        return targets

    def target_of(self, regions: Sequence[object], preferred_form: str | None = None) -> Target:
        """Return the target that regions were drawn on, by their ``to_name``; the first if they name none.

        Raises
        ------
        InputError
            If they lie on several media, or on one that the model cannot fill.
        """
        targets = self.targets(preferred_form)
        names = {
            str(r["to_name"]) for r in regions if isinstance(r, Mapping) and r.get("to_name") is not None
        }
        if not names:
            return targets[0]
        if len(names) > 1:
            raise InputError("The drawn regions lie on several images; draw on one of them at a time.")
        (name,) = names
        for target in targets:
            if target.media.name == name:
                return target
        raise InputError(
            f"The labeling configuration has no tag for {name!r:.60} that this backend can fill; "
            "add for example <BrushLabels> to an <Image>, or <VideoRectangle> to a <Video>."
        )


def _media_tag(tag: ElementTree.Element) -> MediaTag:
    pages = next((tag.attrib[name] for name in sorted(_LISTS) if tag.get(name)), None)
    value = tag.get("value", "") if pages is None else pages
    return MediaTag(tag.tag, tag.attrib["name"], value, tag.get("framerate"), pages is not None)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _labels(tag: ElementTree.Element) -> tuple[str, ...]:
    found = (label.get("alias") or label.get("value") for label in tag.iter("Label"))
    return tuple(label for label in found if label)


def _has_dynamic_labels(tag: ElementTree.Element) -> bool:
    return tag.tag.endswith("Labels") and tag.get("value", "").startswith("$")


def _with_labels(control: ControlTag, controls: Sequence[ControlTag]) -> ControlTag:
    """Give a control tag without labels those of the ``<Labels>`` beside it."""
    if control.kind.endswith("Labels"):
        return control
    for other in controls:
        if other.kind == "Labels" and other.to_name == control.to_name:
            return replace(
                control,
                labels=other.labels,
                labeled_by=other.name,
                dynamic_labels=other.dynamic_labels,
                allow_empty=other.allow_empty,
            )
    return control
