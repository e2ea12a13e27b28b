"""The models of an application: each loaded once, by name, file or size of the input."""

import shutil

import pytest

from sam2_engine.errors import InputError
from sam2_plugins.model_store import ModelStore


def test_a_model_is_loaded_once(store, small_checkpoint):
    assert store.get(small_checkpoint) is store.get(str(small_checkpoint))


def test_a_name_may_carry_the_size_of_the_input():
    store = ModelStore("cpu")
    assert store.get("nano@128").image_size == 128
    assert store.get("nano@128") is store.get("nano", 128)
    assert store.get("nano").image_size == 512


def test_a_file_may_be_called_like_that(small_checkpoint, tmp_path):
    path = tmp_path / "mine@64"
    shutil.copy(small_checkpoint, path.with_suffix(".safetensors"))
    assert (
        ModelStore("cpu").get(path.with_suffix(".safetensors")).image_size
        == ModelStore("cpu").get(small_checkpoint).image_size
    )


def test_sizes_that_cannot_be():
    with pytest.raises(InputError, match="multiple of 32"):
        ModelStore("cpu").get("nano@100")
    with pytest.raises(InputError, match="nanoo"):
        ModelStore("cpu").get("nanoo@128")
