"""Sentences on what to do next: what the tool in hand does, and the next step of somebody new."""

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.layers import Tool

__all__ = ["next_step", "tool_hint"]

_LONGEST = 20
"""Letters of a name: the line has two lines' room."""


def tool_hint(annotation: AnnotationController) -> str:
    """Return what the next press in the viewer does."""
    tools, session = annotation.tools, annotation.session
    tool, known = tools.active, session.objects.get(annotation.current)
    if not tools.flat and tool is None:
        return "In 3D the mouse turns the view, and only clicks act; other tools are back with the slices."
    if tool is None:
        return f"The mouse works in layer '{annotation.active_layer}'; press a tool, or W, to get it back."
    new = known is None or annotation.prompts.each_new
    whose = "a new object" if known is None or new else _short(known.name)
    if not tools.flat:
        does = "takes away from" if annotation.excluding else "adds to"
        return f"3D: a click on a mask's surface {does} {whose} there, or chooses the mask's object."
    if annotation.excluding and tool is not Tool.BOX:
        return {
            Tool.CLICK: f"A click takes away from {whose}; Ctrl+click adds.",
            Tool.LASSO: f"What you draw around is taken from {whose}.",
            Tool.PAINT: f"The brush paints {whose}; press 1 for the eraser.",
        }[tool]
    return {
        Tool.CLICK: f"A click begins {whose}; a click on a mask chooses its object."
        if new
        else f"A click adds to {whose} (Ctrl: takes away); on another mask it chooses that (Alt: adds).",
        Tool.BOX: f"Drag from corner to corner of {whose}.",
        Tool.LASSO: f"Draw a line around {whose}.",
        Tool.PAINT: f"The brush paints {whose}.",
    }[tool]


def next_step(annotation: AnnotationController) -> str:
    """Return what somebody who does not know the dock does next."""
    session, frames = annotation.session, annotation.stack.plan.length
    if not any(session.frames_of(object_id) for object_id in session.objects):
        return "Click on an object in the image; Ctrl+click takes away what does not belong to it."
    if frames == 1:
        return "New object (N) and a click for the next one; tab Measure gives the table, Files the masks."
    if all(len(session.frames_of(object_id)) <= 1 for object_id in session.objects):
        return "New object (N) and a click for each further one, then Forward (G) to track them."
    if annotation.review.doubtful:
        return "Look at the doubtful masks in tab Review (Shift+K), worst first; H verifies one."
    return "Tab Measure gives the table, tab Files saves the masks."


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
