"""Errors that travel between processes."""

import pickle
from pathlib import Path

import pytest

from sam2_engine.disk import NoSpaceError
from sam2_engine.errors import InputError, OptionError
from sam2_engine.frames import FrameIndexError, UnreadableFrameError


@pytest.mark.parametrize(
    "error",
    [
        InputError("No."),
        OptionError("Fix one, for example {fixed}.", fixed={"Z": 0}),
        FrameIndexError("There is no frame 9."),
        UnreadableFrameError("Frame 3 cannot be read.", 3),
        NoSpaceError(Path("labels.tif"), num_bytes=2_500_000_000),
    ],
)
def test_errors_are_the_same_once_they_were_pickled(error: InputError) -> None:
    other = pickle.loads(pickle.dumps(error))
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)
