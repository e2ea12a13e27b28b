"""What the references of relatives were made with: weights, frames and prompts.

They are outputs of yformer/EfficientTAM (abcd061), each object tracked from frame 2, and of
facebookresearch/EdgeTAM (9cc44bf), each tracked from its prompt: alone, in float32 on a CPU, thinned out and
stored as float16.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import normalize
from sam2_engine.video.video_session import VideoSession

KEY_LISTS = Path(__file__).parents[2] / "data" / "checkpoint_keys"
HEIGHT, WIDTH, LENGTH = 180, 240, 12
_NORMS = (
    *(f"encoder.{index}.weight" for index in (1, 4, 7, 10)),
    *(f"mask_downscaling.{index}.weight" for index in (1, 4)),
    "output_upscaling.1.weight",
    "ff.0.weight",
)
_VECTORS = "embed", "token", "tpos_enc", "no_"


def key_list(stem: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for line in (KEY_LISTS / f"{stem}.tsv").read_text().splitlines():
        name, shape, _ = line.split("\t")
        yield name, tuple(int(size) for size in shape.strip("()").split(",") if size.strip())


def draw(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, Tensor]:
    """Draw weights one after the other, in the order of their names."""
    generator = torch.Generator().manual_seed(0)
    weights = {name: _value(name, torch.randn(shape, generator=generator)) for name, shape in sorted(shapes)}
    weights["sam_mask_decoder.pred_obj_score_head.layers.2.bias"].fill_(6.0)
    return weights


def _value(name: str, noise: Tensor) -> Tensor:
    if ".trunk.body." in name:
        return _of_convolutions(name, noise)
    if name.endswith("gaussian_matrix"):
        return noise
    if noise.ndim == 1 and (".norm" in name or name.endswith(_NORMS)):
        return 1 + 0.1 * noise if name.endswith("weight") else 0.05 * noise
    if name.endswith("gamma"):
        return 0.5 + 0.1 * noise
    scaled = noise.ndim >= 2 and not any(word in name for word in _VECTORS)
    return noise / noise[0].numel() ** 0.5 if scaled else 0.05 * noise


def _of_convolutions(name: str, noise: Tensor) -> Tensor:
    """Draw what keeps features near 1 through 22 blocks with normalizations of fixed statistics."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.int64)
    if name.endswith("running_var"):
        return 1 + 0.3 * noise.abs()
    if name.endswith("bn.weight"):
        return 0.8 + 0.1 * noise
    return noise / noise[0].numel() ** 0.5 if noise.ndim >= 2 else 0.05 * noise


def relative(variant: str, image_size: int, stem: str) -> Sam2:
    """Return a relative with drawn weights, loaded strictly."""
    model = Sam2(VARIANTS[variant].with_image_size(image_size))
    model.load_state_dict(draw(key_list(stem)))
    return model.eval().requires_grad_(False)


def draw_frames() -> NDArray[np.uint8]:
    """Draw (T, H, W, 3): two discs that move over a gradient."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ground = np.stack([x / WIDTH * 180, y / HEIGHT * 180, (x + y) / (WIDTH + HEIGHT) * 180], axis=-1)
    frames = []
    for t in range(LENGTH):
        frame = ground.copy()
        frame[(x - 60 - 6 * t) ** 2 + (y - 70 - 2 * t) ** 2 < 28**2] = (230, 40, 40)
        frame[(x - 170 + 4 * t) ** 2 + (y - 110 + 3 * t) ** 2 < 22**2] = (40, 220, 90)
        noise = np.random.RandomState(7).randint(-12, 13, frame.shape)
        frames.append(np.clip(np.round(frame + noise), 0, 255).astype(np.uint8))
    return np.stack(frames)


def resized(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """Return (1, 3, side, side) as the official video loader resizes, which is not our way."""
    image = np.array(Image.fromarray(pixels).resize((side, side)))
    return normalize(torch.from_numpy(image).permute(2, 0, 1).float() / 255)[None]


def prompt(session: VideoSession, name: str) -> None:
    if name == "click":
        session.add_points(0, 1, [(60, 70)], [1])
    elif name == "box":
        session.add_box(0, 1, (148, 88, 192, 132))
    elif name == "two clicks":
        session.add_points(2, 1, [(162, 104), (72, 74)], [1, 0])
    else:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[42:98, 32:88] = True
        session.add_mask(4, 1, mask)
