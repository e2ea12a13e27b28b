"""Carrying of a volume's objects on to another time of it, into the session there."""

from collections.abc import Generator
from pathlib import Path

from napari_plugin.annotation.controller import AnnotationController
from napari_plugin.layers import ImageStack, take_from_file
from sam2_engine import InputError
from sam2_plugins.session.carrying import CarriedObjects, carry
from sam2_plugins.storage import open_or_create_session

__all__ = ["carry_to"]


def carry_to(
    annotation: AnnotationController, there: ImageStack, home: Path | None
) -> Generator[int, None, CarriedObjects]:
    """Carry all objects on to another time, on the worker's thread; its session is begun if there is none.

    Parameters
    ----------
    annotation
        Of one time of a volume.
    there
        The volume at the other time.
    home
        As for ``open_or_create_session``.

    Yields
    ------
    int
        Each plane there, once its masks are stored.

    Raises
    ------
    InputError
        If the session there is open elsewhere or cannot be saved, or there is nothing to carry on.
    """
    session, frames = annotation.session, there.open()
    take_from_file(frames, there)
    opened = open_or_create_session(
        frames,
        session.store,
        session.model_name,
        source=there.file,
        opening=there.opening,
        name=there.layer.name,
        scale=annotation.autosave.scale,
        home=home,
        begin_later=True,
    )
    try:
        carried = yield from carry.steps(session, opened.session)
        if opened.save_error is not None:
            raise InputError(f"What was carried on could not be saved: {opened.save_error}")
        return carried
    finally:
        opened.close()
