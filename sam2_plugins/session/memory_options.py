"""Options of a session's memory: the policy, and which tracked objects may share pixels."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sam2_engine.errors import InputError
from sam2_engine.frames import FrameSource
from sam2_engine.video.memory_policies.registry import memory_policy_of
from sam2_engine.video.settlement import Overlapping

__all__ = ["MayOverlap", "MemoryOptions"]

MayOverlap = bool | tuple[tuple[int, int], ...] | None
"""All, none, or pairs of ids; None: as the policy says."""


@dataclass(frozen=True)
class MemoryOptions:
    """What is remembered of tracked frames.

    Attributes
    ----------
    memory_policy
        Its name.
    overlapping
        Which objects may share pixels.
    """

    memory_policy: str = "recent"
    overlapping: MayOverlap = None

    @classmethod
    def of(cls, memory_policy: str, overlapping: bool | Iterable[tuple[int, int]] | None = None) -> Self:
        """Return options that were checked.

        Raises
        ------
        InputError
            If there is no such policy, or a pair is none.
        """
        return cls(memory_policy, cls.check(memory_policy, overlapping))

    @staticmethod
    def check(memory_policy: str, overlapping: bool | Iterable[tuple[int, int]] | None) -> MayOverlap:
        """Refuse a policy or pairs that there are not; return who may overlap, sorted.

        Raises
        ------
        InputError
            As it says.

        Examples
        --------
        >>> MemoryOptions.check("motion", [[2, 1]])
        ((1, 2),)
        """
        if not isinstance(memory_policy, str):
            raise InputError(
                f"A session stores the name of its memory policy, so give one, not {memory_policy!r}; an "
                "object is for sam2_engine.VideoSession."
            )
        memory_policy_of(memory_policy)
        if overlapping is None or isinstance(overlapping, bool):
            return overlapping
        pairs = sorted(sorted(pair) for pair in Overlapping.of(overlapping).pairs)
        return tuple((one, other) for one, other in pairs)

    def check_same(
        self,
        memory_policy: str | None,
        overlapping: bool | Iterable[tuple[int, int]] | None,
        frames: FrameSource,
        session: str,
    ) -> None:
        """Refuse other options than those that a session began with; None says nothing.

        Raises
        ------
        InputError
            If they differ.
        """
        wanted = (
            self if memory_policy is None else MemoryOptions(memory_policy_of(memory_policy, frames).name)
        )
        if wanted.memory_policy != self.memory_policy:
            raise InputError(
                f"{session} remembers by the policy {self.memory_policy!r}, not {wanted.memory_policy!r}: "
                "leave the memory policy out, or begin another session."
            )
        if overlapping is not None and self.check(self.memory_policy, overlapping) != self.overlapping:
            raise InputError(
                f"{session} was begun with another choice of which objects may overlap: leave it out, or "
                "begin another session."
            )

    @classmethod
    def in_manifest(cls, manifest: Mapping[str, Any]) -> Self:
        """Return those of a session folder; one of earlier versions has those of SAM 2."""
        policy, overlapping = manifest.get("memory_policy", "recent"), manifest.get("overlapping")
        return cls.of(policy, overlapping)

    @property
    def given(self) -> dict[str, Any]:
        """By the names of ``AnnotationSession`` and ``open_video_session``."""
        return {"memory_policy": self.memory_policy, "overlapping": self.overlapping}
