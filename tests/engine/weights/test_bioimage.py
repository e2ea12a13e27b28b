"""Packages of the BioImage Model Zoo: what they compute, what the zoo's own test says, what is refused."""

import json
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from model_folders import write_model_folder
from small_model import SMALL, write_small_checkpoint

from sam2_engine.errors import InputError
from sam2_engine.image.predictor import ImagePredictor
from sam2_engine.weights import bioimage
from sam2_engine.weights.bioimage import export_bioimage
from sam2_engine.weights.loading import load_model

# TorchScript is deprecated, and what the zoo's programs run.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def package(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    cells = write_model_folder(folder / "cells", small_checkpoint, license="cc-by-4.0")
    return export_bioimage(cells, folder / "cells.zip")


def test_the_program_gives_the_masks_of_the_predictor_for_any_number_of_boxes(
    package: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(package) as zipped:
        zipped.extractall(tmp_path)
    described = json.loads((tmp_path / "bioimageio.yaml").read_text())
    assert (described["license"], described["format_version"]) == ("CC-BY-4.0", "0.5.4")
    program = torch.jit.load(tmp_path / "weights.pt")
    image = np.random.default_rng(0).integers(0, 255, (128, 128), dtype=np.uint8)
    predictor = ImagePredictor(load_model(small_checkpoint, "cpu", "float32"))
    predictor.set_image(image)
    for count in (1, 3):
        boxes = np.float32([[10 + 9 * i, 20, 60 + 9 * i, 90] for i in range(count)])
        with torch.no_grad():
            masks = program(
                torch.from_numpy(image / np.float32(255))[None, None], torch.from_numpy(boxes)[None]
            )
        logits, _, _ = predictor.predict(box=boxes, multimask_output=False, return_logits=True)
        np.testing.assert_allclose(masks[0], 1 / (1 + np.exp(-logits[:, 0])), atol=1e-4)


@pytest.mark.slow
def test_the_zoo_s_own_test_passes(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = pytest.importorskip("bioimageio.core")
    from bioimageio.spec._internal import io_packaging
    from bioimageio.spec.model import v0_4

    # pydantic 2.14 calls what bioimageio.spec 0.5.12 gives it with one argument, not with two.
    def file(value, handler, info):  # type: ignore[no-untyped-def]
        described = handler(value)
        described["source"] = _package(value.source, info, sha256=value.sha256)  # noqa: F821
        return described

    def weights(value, handler, info):  # type: ignore[no-untyped-def]
        return handler(value)

    monkeypatch.setattr(io_packaging.package_file_descr_serializer, "__code__", file.__code__)
    monkeypatch.setattr(v0_4.package_weights, "__code__", weights.__code__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        summary = core.test_model(package, weight_format="torchscript", devices=["cpu"])
    assert summary.status == "passed"


def test_what_is_refused(small_checkpoint: Path, tmp_path: Path) -> None:
    cells = write_model_folder(tmp_path / "cells", small_checkpoint, license="ask me first")
    with pytest.raises(InputError, match=r"has the license 'ask me first', and the BioImage Model Zoo wants"):
        export_bioimage(cells, tmp_path / "cells.zip")
    with pytest.raises(InputError, match=r"must end in \.zip"):
        export_bioimage(cells, tmp_path / "cells.tar")
    (cells / "card.json").unlink()
    with pytest.raises(InputError, match="has no card that says what it is"):
        export_bioimage(cells, tmp_path / "cells.zip")
    assert not list(tmp_path.glob("*.zip"))


def test_gray_levels_that_a_package_cannot_say_are_refused(tmp_path: Path) -> None:
    write_small_checkpoint(tmp_path / "medical.safetensors", replace(SMALL, intensities="medical"))
    lesions = write_model_folder(tmp_path / "lesions", tmp_path / "medical.safetensors", license="cc-by-4.0")
    with pytest.raises(InputError, match=r"gray levels that a package .* \(percentiles 0.5 and 99.5"):
        export_bioimage(lesions, tmp_path / "lesions.zip")
    assert not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize(
    ("reader", "pydantic", "is_said"),
    [("0.5.12.0", "2.14.3", True), ("0.5.12.0", "2.13.5", False), ("0.5.14.3", "2.14.3", False)],
)
def test_a_pair_of_the_zoo_s_packages_that_reads_nothing_is_said(
    reader: str, pydantic: str, is_said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bioimage, "version", {"bioimageio.spec": reader, "pydantic": pydantic}.__getitem__)
    said = bioimage.zoo_problem()
    assert (said is not None) == is_said
    assert said is None or f"{reader} cannot read any package with pydantic {pydantic}" in said
