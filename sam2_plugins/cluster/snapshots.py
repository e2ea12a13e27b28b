"""Snapshots of an engine session's memories, from which another worker goes on."""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.tracking_session import TrackingSession
from sam2_plugins.cluster.transport import PackedArray

__all__ = ["restore_session", "take_snapshot"]

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Of each size: NumPy has no bfloat16, and bytes of one kind side by side are compressed better."""


def take_snapshot(session: TrackingSession, shared: Mapping[str, object]) -> bytes:
    """Return what a session remembers.

    Parameters
    ----------
    session
        Of any kind.
    shared
        What it is made of and another one would have as well (the model, the frames, the cache), by names;
        it is left out.
    """
    buffer = io.BytesIO()
    with torch.inference_mode():
        _Pickler(buffer, shared).dump(session)
    return buffer.getvalue()


def restore_session(snapshot: bytes, shared: Mapping[str, object]) -> TrackingSession:
    """Return the session of a snapshot, on other frames and another model of the same kind."""
    with torch.inference_mode():
        session: TrackingSession = _Unpickler(io.BytesIO(snapshot), shared).load()
    return session


class _Pickler(pickle.Pickler):
    """A pickler that leaves shared objects out and takes of a tensor only its own values."""

    def __init__(self, file: io.BytesIO, shared: Mapping[str, object]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._names = {id(one): name for name, one in shared.items()}
        self._model = shared["model"]

    @override
    def persistent_id(self, obj: object) -> str | None:
        return self._names.get(id(obj))

    @override
    def reducer_override(self, obj: object) -> Any:
        if not isinstance(obj, Tensor):
            return NotImplemented
        values = obj.detach().cpu().contiguous()
        packed = PackedArray.of(values.reshape(-1).view(_INTEGERS[values.element_size()]).numpy())
        on_device = None if obj.device.type == "cpu" else self._model
        return _tensor, (packed, obj.dtype, tuple(obj.shape), on_device)


def _tensor(packed: PackedArray, dtype: torch.dtype, shape: tuple[int, ...], model: Sam2 | None) -> Tensor:
    """Return a tensor on the CPU, or where the model is."""
    values = torch.from_numpy(packed.array()).view(dtype).reshape(shape)
    return values if model is None else values.to(model.device)


class _Unpickler(pickle.Unpickler):
    """An unpickler that is given the shared objects."""

    def __init__(self, file: io.BytesIO, shared: Mapping[str, object]) -> None:
        super().__init__(file)
        self._shared = shared

    @override
    def persistent_load(self, pid: str) -> object:
        return self._shared[pid]
