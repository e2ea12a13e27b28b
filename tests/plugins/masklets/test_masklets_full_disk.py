"""A disk that fills up while masklets are found or verified: a sentence, and nothing is lost."""

from pathlib import Path

import pytest
from masklet_data import Maker
from process_usage import full_disk

from sam2_engine.errors import InputError
from sam2_plugins.cli.app import main
from sam2_plugins.masklets.dataset import MaskletDataset
from sam2_plugins.masklets.decisions import Status
from sam2_plugins.masklets.queue import VerificationQueue
from sam2_plugins.runtime.model_store import ModelStore

pytestmark = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="limits of files are of POSIX")


def test_a_verdict_that_cannot_be_written_is_refused_and_the_earlier_ones_stay(
    made: Maker, store: ModelStore
) -> None:
    dataset = made({"a": 3})
    with VerificationQueue(dataset, store, "ada") as queue:
        queue.next()
        queue.accept()
        queue.next()
        with full_disk(60), pytest.raises(InputError, match=r"space|large"):
            queue.reject()
        assert dataset.statuses("a") == {1: Status.ACCEPTED, 2: Status.OPEN, 3: Status.OPEN}
        queue.reject()  # there is space again
    assert dataset.statuses("a") == {1: Status.ACCEPTED, 2: Status.REJECTED, 3: Status.OPEN}


def test_a_video_that_cannot_be_written_is_not_done(
    tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "nano@256", "--points-per-side", "3", "--crop-layers", "0", "--key-frames", "1"]
    command = ["masklets", str(video), "-o", str(tmp_path / "dataset"), *options, "--min-stability", "0"]
    MaskletDataset.create(tmp_path / "dataset")
    with full_disk(500):
        assert main(command) == 2
    said = capsys.readouterr().err
    assert "space" in said or "large" in said
    assert "Traceback" not in said
    dataset = MaskletDataset.open(tmp_path / "dataset")
    assert dataset.videos() == []
    assert main(command) == 0
    assert dataset.videos() == ["discs"]
