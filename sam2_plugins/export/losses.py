"""Losses of an export, in sentences: what its format does not hold."""

from collections.abc import Iterable

from sam2_engine.wording import counted
from sam2_plugins.session.readable import ReadableSession

__all__ = ["Overlaps", "not_held"]


def not_held(session: ReadableSession, title: str, *words: str) -> tuple[str, ...]:
    """Return a sentence on what some object has, and a format cannot hold.

    Parameters
    ----------
    session
        Its objects.
    title
        The format, as a sentence begins with it.
    words
        Which of ``names``, ``classes``, ``parents`` it does not hold.
    """
    objects = session.objects.values()
    lost = {
        "names": any(one.is_named for one in objects),
        "classes": any(one.label for one in objects),
        "parents": any(one.parents for one in objects),
    }
    found = [f"no {word}" for word in words if lost[word]]
    return (f"{title} holds {_listed(found)}; objects are known by their ids.",) if found else ()


def _listed(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


class Overlaps:
    """Counts the frames on which a label image cannot hold all masks whole."""

    def __init__(self, session: ReadableSession) -> None:
        self._session = session
        self._frames = 0

    def look(self, frame: int, num_labeled: int, object_ids: Iterable[int]) -> None:
        """Look at a frame on which ``num_labeled`` pixels have a label."""
        known = (self._session.accepted(object_id, frame) for object_id in object_ids)
        area = sum(int(one.mask.crop().sum()) for one in known if one is not None)
        self._frames += area > num_labeled

    @property
    def changes(self) -> tuple[str, ...]:
        """A sentence, if there was one."""
        if not self._frames:
            return ()
        return (
            f"On {counted(self._frames, 'frame')} objects overlap, and each pixel was given to one of them; "
            "COCO holds them whole.",
        )
