"""Record the answers of the official package, which the tests of this folder compare with ours.

``tests/engine/parity/make_references.py`` says how to install it. In its environment::

    pip install pycocotools decord
    python tests/engine/official_api/make_official_references.py
"""

import json
import logging
import sys
import tempfile
import types
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

import numpy as np
import sam2.utils.amg
import sam2.utils.misc
import torch
from make_automatic_references import declared, suppress
from official_cases import VIDEOS, automatic, images, orders, video, video_predictor, write_frames
from official_helpers import helpers
from official_names import attributes_of, defined_in, names_of, objects_of, states

REFERENCES = Path(__file__).parent / "references"


def official() -> Any:
    """Return the official names in one place, as ``sam2_engine.official_api`` has them."""
    import sam2.automatic_mask_generator
    import sam2.build_sam
    import sam2.sam2_image_predictor

    modules = (sam2.automatic_mask_generator, sam2.build_sam, sam2.sam2_image_predictor)
    return types.SimpleNamespace(**{name: value for one in modules for name, value in vars(one).items()})


def remember_in_float32() -> None:
    """Let objects be tracked before their first prompt, at which the official package fails in float32.

    Their memories are bfloat16 and meet no pointers, which elsewhere make them float32.
    """
    from sam2.modeling.memory_attention import MemoryAttention

    attend = MemoryAttention.forward

    def forward(self: Any, curr: Any, memory: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        return attend(self, curr, memory.float(), *args, **kwargs)

    MemoryAttention.forward = forward


def allow_suppression() -> None:
    """Stand in for torchvision's compiled operator, as for the parity of automatic masks."""
    import torchvision.ops.boxes as boxes

    declared.impl("nms", suppress, "CPU")
    boxes._assert_has_ops = lambda: None


def main() -> None:
    record_clip()
    names = official()
    remember_in_float32()
    with tempfile.TemporaryDirectory() as temporary:
        folder = write_frames(Path(temporary))
        np.savez_compressed(REFERENCES / "images.npz", **images(names))
        answers = {}
        for case in VIDEOS:
            answers |= video(names, str(folder), *case)
        np.savez_compressed(REFERENCES / "videos.npz", **answers)
        write("automatic.json", automatic(names))
        write("orders.json", orders(video_predictor(names), str(folder)))
        attributes = {name: attributes_of(one) for name, one in objects_of(names).items()}
        entries = states(video_predictor(names), str(folder))
        recorded = {"names": names_of("sam2"), "attributes": attributes, "state": entries}
        write("names.json", recorded | {"defined": defined_in(Path(sam2.__file__).parent)})
        write("helpers.json", helpers(sam2.utils.amg, sam2.utils.misc))


def record_clip() -> None:
    """Record what the official loader's decoder makes of ``clip.mp4``, at every third pixel."""
    import decord

    reader = decord.VideoReader(str(REFERENCES / "clip.mp4"), width=128, height=128)
    frames = [frame.asnumpy()[::3, ::3] for frame in reader]
    np.savez_compressed(REFERENCES / "clip.npz", frames=np.stack(frames))


def write(name: str, value: Any) -> None:
    (REFERENCES / name).write_text(json.dumps(value, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    allow_suppression()
    REFERENCES.mkdir(exist_ok=True)
    main()
