"""Answers beside regions: choices, texts, ratings and the like, about one region or the whole task."""

from collections.abc import Mapping, Sequence

from labelstudio_backend.schema.regions import Region

__all__ = ["answers_about", "split_answers"]

_DRAWN = {"keypoint", "rectangle", "ellipse", "polygon", "brush", "bitmask", "vector", "videorectangle"}
"""What is drawn; each may end on ``labels``."""


def split_answers(results: Sequence[object]) -> tuple[list[object], list[Region]]:
    """Part what was drawn from what was answered beside it, which goes back as it came.

    Label Studio takes what a backend returns for a region as all that there is of it: an answer that is left
    out is lost.

    Examples
    --------
    >>> box = {"id": "a", "type": "videorectangle", "value": {"sequence": []}}
    >>> choice = {"id": "a", "type": "choices", "from_name": "quality", "value": {"choices": ["good"]}}
    >>> split_answers([box, choice]) == ([box], [choice])
    True
    """
    answers = [result for result in results if isinstance(result, dict) and _is_answer(result)]
    return [result for result in results if not any(result is one for one in answers)], answers


def answers_about(results: Sequence[object], ids: Sequence[object]) -> list[Region]:
    """Return the answers about some regions, by the ids that they share with these."""
    return [answer for answer in split_answers(results)[1] if answer.get("id") in ids]


def _is_answer(result: Mapping[str, object]) -> bool:
    kind = result.get("type")
    return isinstance(kind, str) and kind != "labels" and kind.removesuffix("labels") not in _DRAWN
