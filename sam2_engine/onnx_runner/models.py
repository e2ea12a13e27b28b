"""Exported models: their card, their files, and the model's steps on one frame."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .card import FORMAT_VERSION, ModelFolderError, checksum_of_rules, read_card
from .pixels import to_input

__all__ = ["ExportedModel", "Features", "ModelFolderError", "Prediction"]

_PADDING = -1
"""Label of a point that is none, as tracked frames have it."""

Floats = NDArray[np.float32]


class Features(NamedTuple):
    """An encoded frame.

    Attributes
    ----------
    embedding
        (1, C, G, G).
    without_memory
        The same, as of a frame without memories.
    levels
        The finer levels by name; none of a model that has one level alone.
    """

    embedding: Floats
    without_memory: Floats
    levels: dict[str, Floats]


class Prediction(NamedTuple):
    """Masks of one object, the chosen ones alone.

    Attributes
    ----------
    logits
        (M, 4 G, 4 G), above 0 inside.
    iou
        (M,) predicted IoU, 0..1.
    presence_logit
        Above 0 the object is there.
    pointers
        (M, C) object pointers.
    """

    logits: Floats
    iou: Floats
    presence_logit: float
    pointers: Floats

    def best(self) -> "Prediction":
        """Return the mask of the highest predicted IoU, empty if the object is not there."""
        index = int(self.iou.argmax())
        one = slice(index, index + 1)
        return Prediction(self.logits[one], self.iou[one], self.presence_logit, self.pointers[one])


class ExportedModel:
    """A folder written by ``sam2 export-model``.

    Parameters
    ----------
    folder
        With ``card.json``.
    threads
        Threads of ONNX Runtime; 0 for as many as there are cores.
    providers
        Of ONNX Runtime, in the order in which they are tried.

    Raises
    ------
    ModelFolderError
        If the folder holds no model, one of another version, or files that do not belong together.
    """

    def __init__(
        self, folder: str | Path, threads: int = 0, providers: tuple[str, ...] = ("CPUExecutionProvider",)
    ) -> None:
        self.folder = Path(folder)
        self.card = read_card(self.folder / "card.json")
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.log_severity_level = 3
        self._providers = list(providers)
        self._sessions: dict[str, Any] = {}
        for part in ("image_encoder", "mask_decoder"):
            self._session(part)

    @property
    def tracks(self) -> bool:
        """Whether the parts of the memory were exported, too."""
        return "memory" in self.card

    @property
    def image_size(self) -> int:
        """Side of the model's input in pixels."""
        return int(self.card["image_size"])

    @property
    def mask_size(self) -> int:
        """Side of the masks' logits."""
        return self.image_size // int(self.card["masks"]["stride"])

    def run(self, part: str, **inputs: NDArray[Any]) -> dict[str, Floats]:
        """Run a part of the model, from arrays to arrays by name."""
        names = self.card["parts"][part]["outputs"]
        return dict(zip(names, self._session(part).run(names, inputs)))

    def encode(self, image: NDArray[Any]) -> Features:
        """Encode an 8-bit image, (H, W) or (H, W, 3)."""
        if self.card.get("keeps_aspect_ratio") and image.shape[0] != image.shape[1]:
            side = max(image.shape[:2])
            raise ValueError(
                f"{self.card['model']} sees planes that are padded to a square, not squashed: give an image "
                f"of {side} x {side}, with zeros on the right or below."
            )
        pixels = to_input(image, self.image_size, self.card["mean"], self.card["std"])
        embedding, without_memory, *levels = self.run("image_encoder", pixels=pixels).items()
        return Features(embedding[1], without_memory[1], dict(levels))

    def predict(
        self,
        embedding: Floats,
        features: Features,
        points: NDArray[Any] | None = None,
        labels: NDArray[Any] | None = None,
        mask_logits: Floats | None = None,
        several: bool = True,
    ) -> Prediction:
        """Predict one object on an embedding.

        Parameters
        ----------
        embedding
            Of the frame without memory, or what memory made of it.
        features
            Of the frame.
        points, labels
            (P, 2) in pixels of the model's input, a box first as two corners; (P,) 1 inside, 0 outside, 2
            and 3 the corners of a box. None on a tracked frame.
        mask_logits
            (4 G, 4 G) of an earlier mask.
        several
            Return the three candidates, else one mask.
        """
        if points is None or labels is None:
            points, labels = np.zeros((1, 2)), np.array([_PADDING])
        side = self.mask_size
        clamp = self.card["masks"]["logit_clamp"]
        given = np.zeros((side, side), np.float32) if mask_logits is None else mask_logits.clip(-clamp, clamp)
        made = self.run(
            "mask_decoder",
            embedding=embedding,
            points=np.asarray(points, np.float32)[None],
            labels=np.asarray(labels, np.int64)[None],
            mask_logits=given[None, None],
            has_mask=np.array([mask_logits is not None], np.float32),
            **features.levels,
        )
        masks, iou, pointers = made["masks"][0], made["iou"][0], made["pointers"][0]
        presence = float(made["presence_logit"][0, 0])
        if several:
            return Prediction(masks[1:], iou[1:], presence, pointers[1:])
        one = self._stable(masks, iou)
        return Prediction(masks[one, None], iou[one, None], presence, pointers[:1])

    def _stable(self, masks: Floats, iou: Floats) -> int:
        """Return which of the four masks is the single one: the best candidate where that is unstable."""
        rule = self.card["masks"]
        if not rule["best_where_unstable"]:
            return 0
        inside = np.count_nonzero(masks[0] > rule["stability_offset"])
        around = np.count_nonzero(masks[0] > -rule["stability_offset"])
        stability = inside / around if around else 1.0
        return 0 if stability >= rule["stability_threshold"] else 1 + int(iou[1:].argmax())

    def _session(self, part: str) -> Any:
        if part not in self._sessions:
            self._sessions[part] = self._open(part)
        return self._sessions[part]

    def _open(self, part: str) -> Any:
        entry = self.card["parts"].get(part)
        if entry is None:
            raise ModelFolderError(f"{self.folder} was exported for images alone: export it with video.")
        path = self.folder / entry["file"]
        if not path.is_file():
            raise ModelFolderError(f"{path} is missing: export the model again, and copy the whole folder.")
        try:
            session = onnxruntime.InferenceSession(path, self._options, providers=self._providers)
        except Exception as error:  # of classes that ONNX Runtime does not export
            reason = str(error).strip().splitlines()[-1]
            raise ModelFolderError(
                f"{path} cannot be loaded by ONNX Runtime {onnxruntime.__version__} ({reason}): export it "
                "again."
            ) from None
        self._check(path, part, session.get_modelmeta().custom_metadata_map)
        if part == "image_encoder" and session.get_inputs()[0].shape[-1] != self.image_size:
            raise ModelFolderError(
                f"{path} takes an input of {session.get_inputs()[0].shape[-1]} pixels, and card.json says "
                f"{self.image_size}: export it again."
            )
        return session

    def _check(self, path: Path, part: str, marks: dict[str, str]) -> None:
        """Refuse a file that the card does not speak of."""
        version = marks.get("sam2_format_version")
        if version is None:
            raise ModelFolderError(f"{path} was not written by `sam2 export-model`: export the model again.")
        if version != str(FORMAT_VERSION):
            raise ModelFolderError(
                f"{path} is of version {version} of exported models, and this runner knows {FORMAT_VERSION}: "
                "export the model again, or take the runner of that version."
            )
        if marks.get("sam2_part") != part:
            raise ModelFolderError(f"{path} is a {marks.get('sam2_part')}, not a {part}: export it again.")
        if marks.get("sam2_fingerprint") != self.card["fingerprint"]:
            raise ModelFolderError(
                f"{path} is of other weights or another size ({marks.get('sam2_model')}) than card.json says "
                f"({self.card['model']} at {self.image_size}): keep the files of one export together."
            )
        if marks.get("sam2_rules") not in (None, checksum_of_rules(self.card)):
            raise ModelFolderError(
                f"{self.folder / 'card.json'} says other rules for pixels or masks than {path.name} was "
                "exported with: it was edited; export the model again."
            )
