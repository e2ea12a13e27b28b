"""Models that were trained and shared, in a terminal: onto the hub, and into sessions elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from fake_hub import TOKEN, FakeHub, fake_hub
from model_folders import write_model_folder
from numpy.typing import NDArray

from sam2_engine.errors import InputError
from sam2_plugins.cli.app import main
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.runtime.model_store import ModelStore
from sam2_plugins.session.annotation_session import AnnotationSession

# Of the hub's client, about how it calls its own transport.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    pytest.importorskip("huggingface_hub")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "here"))
    monkeypatch.chdir(tmp_path)
    with fake_hub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def test_pushed_here_and_used_elsewhere(
    hub: FakeHub,
    small_checkpoint: Path,
    discs: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_model_folder(tmp_path / "cells", small_checkpoint, license="MIT")
    tifffile.imwrite("disc.tif", discs[0])
    assert main(["models", "show", "cells"]) == 0
    assert "IoU after one click 0.500 -> 0.600" in capsys.readouterr().out
    assert main(["models", "push", "cells", "lab/cells"]) == 0
    out, err = capsys.readouterr()
    assert "`sam2 download hf:lab/cells` fetches it" in out
    assert TOKEN not in out + err

    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "elsewhere"))
    assert main(["download", "hf:lab/cells"]) == 0
    assert "License: MIT; of the base model" in capsys.readouterr().out
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no network any more
    segment = ["segment", "disc.tif", "--point", "20,20", "--model", "hf:lab/cells", "-o"]
    assert main([*segment, "hub.tif"]) == 0
    assert main(["segment", "disc.tif", "--point", "20,20", "--model", "cells", "-o", "folder.tif"]) == 0
    np.testing.assert_array_equal(tifffile.imread("hub.tif"), tifffile.imread("folder.tif"))
    assert main(["models", "show", "hf:lab/cells"]) == 0
    assert "small" not in capsys.readouterr().err
    store = ModelStore("cpu")
    session = AnnotationSession(discs, store, "hf:lab/cells", axes="TYX")
    session.add_points(0, session.add_object(), (20, 20))
    assert session.model_name == "hf:lab/cells"


def test_what_nobody_licensed_is_asked_for(
    hub: FakeHub, small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_model_folder(tmp_path / "cells", small_checkpoint, license=None)
    assert main(["models", "push", "cells", "lab/cells"]) == 0
    assert main(["download", "hf:lab/cells"]) == 2
    err = capsys.readouterr().err
    assert "has a license to accept first. License: not stated" in err
    assert "--accept-license" in err
    assert main(["download", "hf:lab/cells", "--accept-license"]) == 0


def test_a_folder_keeps_its_place_in_names(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model_folder(tmp_path / "cells", small_checkpoint, license="MIT")
    (tmp_path / "nano").mkdir()
    assert ModelName.parse("cells").absolute().weights == str(tmp_path / "cells")
    assert ModelName.parse("cells@64").absolute().weights == str(tmp_path / "cells")
    assert ModelName.parse("nano").absolute().weights == "nano"
    with pytest.raises(InputError, match="There is no model in the folder"):
        ModelStore("cpu").get(str(tmp_path / "nano"))
