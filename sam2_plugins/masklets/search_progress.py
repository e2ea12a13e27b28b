"""Progress of the search of one video: what is found so far, so that a killed run goes on from there."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sam2_plugins.runtime.atomic_files import write_json

__all__ = ["SearchProgress"]


@dataclass
class SearchProgress:
    """What is found of a video so far: key frames are the steps from one to the next.

    Its masklets are objects of the session; every object of the session that is not named here, and on which
    nobody has decided, is what a killed run left half done.

    Attributes
    ----------
    path
        The file; None keeps nothing, which one run alone needs not.
    description
        All that decides what is found: of another description nothing counts.
    before_saving
        Called before anything is written: what the session has not saved must not be named here.
    tracked
        Key frames whose masklets are tracked.
    added
        Masklets of the key frame after them, which are objects already, but not tracked; None before that.
    scores
        Score of each masklet on its key frame, by its object's id.
    dropped
        Masklets that go, by rule; None until all are tracked and that is decided.
    """

    path: Path | None = None
    description: Mapping[str, Any] = field(default_factory=dict)
    before_saving: Callable[[], None] = lambda: None
    tracked: list[int] = field(default_factory=list)
    added: list[int] | None = None
    scores: dict[int, float] = field(default_factory=dict)
    dropped: dict[str, list[int]] | None = None

    @classmethod
    def read(cls, path: Path, description: Mapping[str, Any]) -> Self:
        """Return what a run of the same description has done; of another one, or a damaged file, nothing."""
        wanted = json.loads(json.dumps(description))
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            if known.pop("description") != wanted:
                return cls(path, wanted)
            scores = {int(one): float(score) for one, score in known.pop("scores").items()}
            return cls(path, wanted, scores=scores, **known)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return cls(path, wanted)

    @property
    def is_begun(self) -> bool:
        """Whether there is something to go on with."""
        return bool(self.tracked) or self.added is not None

    def add(self, scores: Mapping[int, float]) -> None:
        """Write down which masklets were found on a key frame."""
        self.added = [*scores]
        self.scores.update(scores)
        self.save()

    def track(self, frame: int) -> None:
        """Write down that the masklets of a key frame are tracked."""
        self.tracked.append(frame)
        self.added = None
        self.save()

    def drop(self, dropped: Mapping[str, Iterable[int]]) -> None:
        """Write down which masklets go, before the first does: decided again, it would be on others."""
        self.dropped = {rule: [*ones] for rule, ones in dropped.items()}
        self.save()

    def save(self) -> None:
        """Write it all.

        Raises
        ------
        InputError
            If it cannot be written, or the session is not saved.
        """
        if self.path is None:
            return
        self.before_saving()
        content = {
            "description": self.description,
            "tracked": self.tracked,
            "added": self.added,
            "scores": self.scores,
            "dropped": self.dropped,
        }
        write_json(self.path, content)
