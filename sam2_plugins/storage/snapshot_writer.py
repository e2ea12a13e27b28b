"""Writing of a snapshot in three steps, of which only the longest needs no lock."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam2_engine.disk import remove_folder, replacing
from sam2_plugins.session.annotation_session import AnnotationSession
from sam2_plugins.session.annotations import AnnotatedObject
from sam2_plugins.session.masks import AcceptedMask
from sam2_plugins.storage.journal import Journal
from sam2_plugins.storage.mask_store import write_masks
from sam2_plugins.storage.model_files import describe_model
from sam2_plugins.storage.serialization import object_to_json, prompt_to_json, to_text, window_to_json

__all__ = ["SnapshotWriter"]


@dataclass(frozen=True, eq=False)
class SnapshotWriter:
    """The state of a session after one action, to be written.

    Attributes
    ----------
    path
        The session's folder.
    number
        Of the action.
    changed
        Objects whose masks are written; those of the others lie there already.
    groups
        By object, the group of ``masks.zarr`` with its masks.
    masks
        What is to be written, by group and frame.
    state
        Content of ``state.json``.
    journal_end
        Where the action's line ends in the journal.
    shape
        ``(H, W)`` of the frames.
    """

    path: Path
    number: int
    changed: frozenset[int]
    groups: Mapping[int, str]
    masks: Mapping[str, Mapping[int, AcceptedMask]]
    state: Mapping[str, Any]
    journal_end: int
    shape: tuple[int, int]

    @classmethod
    def of(
        cls,
        path: Path,
        session: AnnotationSession,
        number: int,
        changed: set[int],
        groups: Mapping[int, str],
        journal_end: int,
    ) -> "SnapshotWriter":
        """Take the state as it is now: values that nobody changes, only replaces.

        Parameters
        ----------
        path, session, number, journal_end
            See the attributes.
        changed
            Objects that have changed since the last snapshot.
        groups
            Of the last snapshot, by object.
        """
        annotations = session.annotations
        kept = {i: group for i, group in groups.items() if i not in changed and i in session.objects}
        new = {i: f"{i}-{number}" for i in session.objects if i in changed}
        now = {**kept, **new}
        state = {
            "applied": number,
            "highest_used_id": annotations.highest_used_id,
            "removed_ids": annotations.removed_ids,
            **describe_model(path, session.model_name),
            "window": window_to_json(session.window),
            "objects": [_object_record(session, one, now) for one in session.objects.values()],
        }
        masks = {group: annotations.masks_of(i) for i, group in new.items()}
        return cls(path, number, frozenset(changed), now, masks, state, journal_end, session.shape)

    def write_masks(self, counting: Mapping[int, str]) -> None:
        """Write the masks, which count for nothing yet.

        Parameters
        ----------
        counting
            The groups that count now.

        Raises
        ------
        OSError
            If they cannot be written; they do not take the space then.
        """
        try:
            for group, masks in self.masks.items():
                write_masks(self.path / "masks.zarr" / group, self.shape, masks)
        except OSError:
            self.remove_groups_but(counting)
            raise

    def calls(self) -> list[dict[str, Any]]:
        """Return from the journal what was asked up to this snapshot."""
        entries = Journal(self.path / "journal.jsonl").read()
        return [{"number": e["number"], "call": e["call"]} for e in entries if e["number"] <= self.number]

    def write_state(self) -> None:
        """Let it count.

        Raises
        ------
        OSError
            If it cannot be written; the snapshot before still counts.
        """
        with replacing(self.path / "state.json") as aside:
            aside.write_text(to_text(self.state, indent=1), encoding="utf-8")

    def remove_groups_but(self, groups: Mapping[int, str]) -> None:
        """Remove the masks of other snapshots than that of these groups."""
        there = {group.name for group in (self.path / "masks.zarr").glob("*-*")}
        self.remove_groups(there - set(groups.values()))

    def remove_groups(self, names: Iterable[str]) -> None:
        """Remove groups that do not count."""
        for name in names:
            remove_folder(self.path / "masks.zarr" / name)


def _object_record(
    session: AnnotationSession, annotated: AnnotatedObject, groups: Mapping[int, str]
) -> dict[str, Any]:
    prompts = session.prompts_of(annotated.id)
    return {
        **object_to_json(annotated),
        "prompts": {str(frame): [prompt_to_json(p) for p in given] for frame, given in prompts.items()},
        "verified": sorted(session.verified(annotated.id)),
        "masks": groups[annotated.id],
    }
