"""Review list of a session: its most doubtful masks first, each with its reason and its picture."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import overload

from sam2_plugins.review import RankedItems
from sam2_plugins.scripting.pictures import mask_picture
from sam2_plugins.session.annotation_session import AnnotationSession

__all__ = ["DoubtfulMask", "ReviewList"]

_SHOWN = 20


@dataclass(frozen=True)
class DoubtfulMask:
    """One mask to look at, which a notebook shows.

    Attributes
    ----------
    object_id, frame
        Which one.
    score
        How doubtful it is, 0 to 1.
    reason
        The main reason, in words.
    """

    object_id: int
    frame: int
    score: float
    reason: str
    _session: AnnotationSession = field(repr=False, compare=False)

    def _repr_png_(self) -> bytes | None:
        return mask_picture(self._session, self.object_id, self.frame)


class ReviewList(Sequence[DoubtfulMask]):
    """Masks in the order in which to look at them, as they were when the list was asked for."""

    def __init__(self, session: AnnotationSession, items: "RankedItems | Sequence[DoubtfulMask]") -> None:
        self._session, self._items = session, items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> DoubtfulMask: ...
    @overload
    def __getitem__(self, index: slice) -> "ReviewList": ...
    def __getitem__(self, index: int | slice) -> "DoubtfulMask | ReviewList":
        if isinstance(index, slice):
            return ReviewList(self._session, [self[i] for i in range(*index.indices(len(self)))])
        item = self._items[index]
        if isinstance(item, DoubtfulMask):
            return item
        names = {one.id: one.name for one in self._session.objects.values()}
        return DoubtfulMask(item.object_id, item.frame, item.score, item.told(names), self._session)

    def __repr__(self) -> str:
        if not self:
            return "<ReviewList: nothing to review>"
        worst = self[0]
        return (
            f"<ReviewList: {len(self)} masks; first object {worst.object_id} on frame {worst.frame}, "
            f"{worst.reason}>"
        )

    def _repr_html_(self) -> str:
        head = "<tr><th>object</th><th>frame</th><th>score</th><th>reason</th><th></th></tr>"
        rows = "".join(map(_row, self[:_SHOWN]))
        more = f"<p>and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
        return f"<table>{head}{rows}</table>{more}"


def _row(item: DoubtfulMask) -> str:
    png = item._repr_png_() or b""
    picture = f'<img height="80" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
    cells = (str(item.object_id), str(item.frame), f"{item.score:.2f}", escape(item.reason), picture)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
