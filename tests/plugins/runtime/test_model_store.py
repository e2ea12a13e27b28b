"""The models of an application: each loaded once, by name, file or size of the input."""

import shutil

import pytest
import torch

from sam2_engine.errors import InputError
from sam2_engine.video.video_session import VideoSession
from sam2_plugins.runtime import model_store
from sam2_plugins.runtime.model_name import ModelName
from sam2_plugins.runtime.model_store import ModelStore, available_devices
from sam2_plugins.runtime.out_of_memory import OutOfMemoryError
from sam2_plugins.session.annotation_session import AnnotationSession


def test_a_model_is_loaded_once(store, small_checkpoint):
    assert store.get(small_checkpoint) is store.get(str(small_checkpoint))


def test_a_name_may_carry_the_size_of_the_input():
    store = ModelStore("cpu")
    assert store.get("nano@128").image_size == 128
    assert store.get("nano@128") is store.get("nano", 128)
    assert store.get("nano").image_size == 512


def test_a_name_may_ask_for_approximations_of_the_same_weights():
    store = ModelStore("cpu")
    fast, exact = store.get("nano@128+fast"), store.get("nano@128")
    assert fast.approximations == {"windows"}
    assert not exact.approximations
    assert fast.no_mem_embed is exact.no_mem_embed
    assert store.get("nano@128+fast") is fast


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


def test_another_device_from_now_on(small_checkpoint):
    store = ModelStore("cpu")
    before = store.get(small_checkpoint)
    store.use_device("meta")
    assert store.get(small_checkpoint).device.type == "meta"
    store.use_device("cpu")
    assert store.get(small_checkpoint) is not before
    assert "cpu" in available_devices()
    assert ModelStore().device_name in available_devices()


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("auto", "cuda:0"),
        ("cuda", "cuda:0"),
        ("cuda:1", "cuda:1"),
        ("cpu", "cpu"),
        ("mps", "mps"),  # not there: told when a model is loaded
    ],
)
def test_a_device_is_called_by_one_name(device, name, monkeypatch):
    there = {"cpu": "processor", "cuda:0": "one card", "cuda:1": "another"}
    monkeypatch.setattr(model_store, "available_devices", lambda: there)
    assert ModelStore(device).device_name == name


def test_the_name_and_the_size_it_bears():
    for name, parts in {
        "nano": ("nano", None, None),
        "nano@320": ("nano", 320, None),
        "nano+fast": ("nano", None, "fast"),
        "nano@320+windows": ("nano", 320, "windows"),
        "cells@home.pt": ("cells@home.pt", None, None),
        "cells+more.pt": ("cells+more.pt", None, None),
    }.items():
        assert ModelName.parse(name) == parts
        assert str(ModelName.parse(name)) == name
    assert ModelName.parse("nano+fast@320") == ModelName.parse("nano@320+fast")
    assert ModelName.parse("nano@320@256").weights == "nano@320"
    assert ModelName.parse("nano+fast+windows").weights == "nano+fast"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_too_little_memory_is_told_and_the_session_goes_on(session, monkeypatch, error):
    def too_much(*_, **__):
        raise error

    object_id = session.add_object()
    with monkeypatch.context() as patched:
        patched.setattr(VideoSession, "add_prompt", too_much)
        with pytest.raises(OutOfMemoryError, match="memory of cpu is full: choose a smaller model") as caught:
            session.add_points(0, object_id, (20, 20))
    assert caught.value.device == "cpu"
    assert "CPU" in str(OutOfMemoryError("cuda:0"))
    assert session.add_points(0, object_id, (20, 20)).masks.any()


def test_other_errors_are_no_lack_of_memory(session, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(VideoSession, "add_prompt", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        session.add_points(0, session.add_object(), (20, 20))


def test_encoded_frames_are_kept_up_to_the_stores_cap(discs, small_checkpoint):
    store = ModelStore("cpu", encoded_bytes=1)
    session = AnnotationSession(discs, store, small_checkpoint, axes="TYX")
    for frame in range(3):
        session.add_points(frame, session.add_object(), (20, 20))
    assert len(session._cache) == 1
