"""References of ``test_parity_automatic_masks.py``; ``make_references.py`` says how to run this."""

import json
import types
from pathlib import Path

import torch
from automatic_cases import CASES, SIDE, decode, draw_image
from make_references import declare_torchvision_operators

declared = declare_torchvision_operators()

import torchvision.ops.boxes as torchvision_boxes  # noqa: E402
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator  # noqa: E402
from sam2.utils.transforms import SAM2Transforms  # noqa: E402

REFERENCES = Path(__file__).parent / "references"


def suppress(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Stand in for torchvision's compiled operator; its definition, in words, is in its documentation."""
    remaining: list[int] = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        overlaps = torchvision_boxes.box_iou(boxes[i : i + 1], boxes[remaining])[0]
        if not (overlaps > threshold).any():
            remaining.append(i)
    return torch.tensor(remaining, dtype=torch.long)


class Decoder:
    """What the official generator asks of its image predictor."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self._transforms = SAM2Transforms(SIDE, mask_threshold=0.0)

    def set_image(self, image: object) -> None:
        self.pixels, self.size = self._transforms(image), image.shape[:2]

    def reset_predictor(self) -> None:
        del self.pixels

    def _predict(self, points, labels, mask_input=None, multimask_output=True, return_logits=True):
        low_res, iou = decode(self.pixels, points[:, 0], mask_input, multimask_output)
        masks = torch.nn.functional.interpolate(low_res, self.size, mode="bilinear", align_corners=False)
        return masks, iou, low_res.clamp(-32, 32)


def main() -> None:
    declared.impl("nms", suppress, "CPU")
    torchvision_boxes._assert_has_ops = lambda: None
    model = types.SimpleNamespace(image_size=SIDE, device="cpu")
    for name, settings in CASES.items():
        generator = SAM2AutomaticMaskGenerator(model, output_mode="uncompressed_rle", **settings)
        generator.predictor = Decoder()
        records = generator.generate(draw_image())
        print(f"{name}: {len(records)} masks")
        (REFERENCES / f"automatic_{name}.json").write_text(json.dumps(records))


if __name__ == "__main__":
    main()
