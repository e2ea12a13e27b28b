"""Cache of encoded frames, so that a click costs only the decoder: in memory up to a limit, and on disk."""

import hashlib
import json
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.autograd.graph import increment_version

from sam2_engine.disk import replacing
from sam2_engine.errors import InputError
from sam2_engine.modeling.derived_weights import weight_version
from sam2_engine.modeling.sam2 import ImageFeatures, Sam2
from sam2_engine.wording import counted, size_in_words

__all__ = ["FeatureCache", "encoder_fingerprint", "feature_key", "hash_pixels", "weights_fingerprint"]

DEFAULT_BYTES = 64 * 2**20
_LEVELS = "stride4", "stride8"
_KNOWN, _STATES = "_sam2_encoder_fingerprint", "_sam2_weight_states"


def weights_fingerprint(model: Sam2) -> str:
    """Digest of a model's configuration and all of its weights as they are now."""
    return _digest(model, model.state_dict())


def encoder_fingerprint(model: Sam2) -> str:
    """Digest of what decides an image's features: the configuration, and the weights that encode it.

    It is computed again only once one of these weights has changed: by a step of an optimizer, by
    ``load_state_dict``, in place, or to another type or device. On a CPU changes that PyTorch does not count
    (through ``weight.data`` or NumPy) are seen as well; to ask a GPU, its work would have to be waited for.
    """
    weights = _encoder_weights(model)
    encoding = {id(weight) for weight in weights.values()}
    everything = chain(model.named_parameters(), model.named_buffers())
    _state(model, "others", {name: weight for name, weight in everything if id(weight) not in encoding})
    state = repr(model.config), _state(model, "encoder", weights)
    known: tuple[object, str] | None = getattr(model, _KNOWN, None)
    if known is not None and known[0] == state:
        return known[1]
    digest = _digest(model, weights)
    setattr(model, _KNOWN, (state, digest))
    return digest


def _state(model: Sam2, name: str, weights: Mapping[str, Tensor]) -> tuple[object, bytes]:
    """Return what changes with some weights: their versions and, on a CPU, sums.

    A change that PyTorch did not count is counted here, so that nothing derived from a weight is used on.
    """
    sums = _sums(weights) if model.device.type == "cpu" else b""
    states: dict[str, tuple[object, bytes]] = model.__dict__.setdefault(_STATES, {})
    versions = _versions(weights)
    known = states.get(name)
    if known is not None and known[0] == versions and known[1] != sums:
        for weight in weights.values():
            if not weight.is_inference():
                increment_version(weight)
        versions = _versions(weights)
    states[name] = versions, sums
    return versions, sums


def _versions(weights: Mapping[str, Tensor]) -> tuple[object, ...]:
    return tuple(map(weight_version, weights.values()))


def _encoder_weights(model: Sam2) -> dict[str, Tensor]:
    decoder = model.sam_mask_decoder
    modules = {"encoder": model.image_encoder, **dict(zip(_LEVELS, decoder.high_res_convs))}
    return {
        f"{name}.{key}": tensor
        for name, module in modules.items()
        for key, tensor in chain(module.named_parameters(), module.named_buffers())
    }


def _sums(weights: Mapping[str, Tensor]) -> bytes:
    """Return the sum of each row: ``tensor.data`` and NumPy views are written to without a new version."""
    with torch.no_grad():
        flat = (tensor.detach().reshape(len(tensor) if tensor.ndim else 1, -1) for tensor in weights.values())
        return torch.cat([rows.sum(1).float() for rows in flat]).cpu().numpy().tobytes()


def _has_hooks(model: Sam2) -> bool:
    """Whether something of the user's takes part in the encoding, or wants to see it."""
    encoding = model.image_encoder, *model.sam_mask_decoder.high_res_convs
    modules = chain.from_iterable(part.modules() for part in encoding)
    return any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def _digest(model: Sam2, weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(repr(model.config).encode(), digest_size=16)
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def hash_pixels(pixels: NDArray[Any]) -> "hashlib.blake2b":
    """Hash the pixels of a frame, in their native type: the part of a feature's key that takes time."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16)


def _read_only_owner(pixels: NDArray[Any]) -> NDArray[Any] | None:
    """Return the array in whose memory some pixels are, if nobody can write to it; else None."""
    owner = pixels
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    is_fixed = not owner.flags.writeable and (owner.flags.owndata or isinstance(owner.base, bytes))
    return owner if is_fixed else None


def feature_key(
    model: Sam2, pixels: NDArray[Any], *context: object, hashed: "hashlib.blake2b | None" = None
) -> str:
    """Key of one encoded image: its pixels, the weights, and whatever else decides the input.

    Parameters
    ----------
    model
        The model that encodes.
    pixels
        The frame, in its native type.
    *context
        The intensity window, the region, the view, another resizing than usual; anything with a stable
        ``repr``.
    hashed
        What ``hash_pixels`` gives of the pixels, if they were hashed before.
    """
    digest = (hash_pixels(pixels) if hashed is None else hashed).copy()
    described = (
        pixels.shape,
        str(pixels.dtype),
        str(model.compute_dtype),
        str(model.dtype),
        model.training,
        encoder_fingerprint(model),
        *context,
    )
    digest.update(json.dumps([repr(part) for part in described]).encode())
    return digest.hexdigest()


class FeatureCache:
    """Least recently used encoded frames in memory, and all of them on disk if a folder is given.

    Parameters
    ----------
    max_bytes
        Limit for the features in memory. One frame always stays, however large.
    folder
        Where features are cached beyond the life of the process; made if missing. Every file is
        written aside and renamed, so an interrupted run can be resumed.
    """

    def __init__(self, max_bytes: int = DEFAULT_BYTES, folder: str | Path | None = None) -> None:
        self.max_bytes = max_bytes
        self.folder = None if folder is None else Path(folder)
        self.num_bytes = 0
        self._entries: OrderedDict[str, ImageFeatures] = OrderedDict()
        self._hashed: dict[int, tuple[weakref.ref[NDArray[Any]], dict[object, hashlib.blake2b]]] = {}
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        sizes = f"{size_in_words(self.num_bytes)} of {size_in_words(self.max_bytes)}"
        on_disk = "" if self.folder is None else f", and in {self.folder}"
        return f"<{type(self).__name__}: {counted(len(self), 'encoded frame')} in memory, {sizes}{on_disk}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a copy, or its file, begin without what can be encoded again."""
        return type(self), (self.max_bytes, self.folder)

    def get_or_encode(self, key: str, model: Sam2, encode: Callable[[], ImageFeatures]) -> ImageFeatures:
        """Return the features of ``key`` on the model's device, encoding them only if they are not cached.

        With hooks on the encoder nothing is cached, as they may change what it answers.
        """
        if _has_hooks(model):
            return encode()
        features = self._entries.get(key)
        if features is not None:
            self._entries.move_to_end(key)
            moved = features.embedding.device != model.device
            return features.to(model.device) if moved else features
        features = self._read(key)
        if features is None:
            features = encode()
            if self.folder is not None:
                features = features.contiguous()  # as the file gives them: another layout rounds otherwise
                self._write(key, features)
        else:
            features = features.to(model.device)
        self._store(key, features)
        return features

    def __contains__(self, key: str) -> bool:
        return key in self._entries or (self.folder is not None and self._path(key).is_file())

    def hashed(self, pixels: NDArray[Any]) -> "hashlib.blake2b":
        """Return what ``hash_pixels`` gives; pixels that nobody can write to are hashed once.

        Of an image of 8000 x 6000 pixels the hash takes longer than the decoder.
        """
        owner = _read_only_owner(pixels)
        if owner is None:
            return hash_pixels(pixels)
        known = self._hashed.get(id(owner))
        if known is None or known[0]() is not owner:
            self._hashed = {key: one for key, one in self._hashed.items() if one[0]() is not None}
            known = self._hashed[id(owner)] = weakref.ref(owner), {}
        place = (pixels.ctypes.data, pixels.shape, pixels.strides, pixels.dtype)
        if place not in known[1]:
            known[1][place] = hash_pixels(pixels)
        return known[1][place]

    def clear(self) -> None:
        """Remove what is in memory; files stay."""
        self._entries.clear()
        self.num_bytes = 0

    def _store(self, key: str, features: ImageFeatures) -> None:
        self._entries[key] = features
        self.num_bytes += features.num_bytes
        while self.num_bytes > self.max_bytes and len(self._entries) > 1:
            _, oldest = self._entries.popitem(last=False)
            self.num_bytes -= oldest.num_bytes

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}.safetensors"

    def _read(self, key: str) -> ImageFeatures | None:
        if self.folder is None or not self._path(key).is_file():
            return None
        try:
            tensors = load_file(self._path(key))
            levels = tuple(tensors[name] for name in _LEVELS if name in tensors)
            return ImageFeatures(tensors["embedding"], levels)
        except (OSError, SafetensorError, KeyError):
            # A damaged file is no loss: the frame is encoded again and the file replaced.
            return None

    def _write(self, key: str, features: ImageFeatures) -> None:
        assert self.folder is not None
        tensors = {"embedding": features.embedding, **dict(zip(_LEVELS, features.high_res))}
        try:
            with replacing(self._path(key)) as aside:
                save_file({name: tensor.detach().cpu() for name, tensor in tensors.items()}, aside)
        except SafetensorError as error:  # a full disk, in its own words
            raise InputError(f"{self._path(key)} cannot be written ({error}); make space there.") from None
