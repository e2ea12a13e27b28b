"""The simulated annotator clicks where a person would."""

import torch

from sam2_engine.training.simulated_prompts import correction_clicks, first_clicks, noisy_boxes

STRIDE = 4


def _discs() -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    centers = torch.tensor([[8, 8], [20, 15], [10, 24], [25, 25]])
    return torch.stack([((x - cx) ** 2 + (y - cy) ** 2 <= 25).float() for cx, cy in centers.tolist()])


def _at(maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    cells = ((points + 0.5) / STRIDE).long()
    return maps[torch.arange(len(maps)), cells[:, 1], cells[:, 0]]


def test_first_clicks_fall_on_their_objects() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        assert (_at(_discs(), first_clicks(_discs(), STRIDE, generator)) > 0.5).all()


def test_corrections_hit_the_error_with_the_right_label() -> None:
    target, generator = _discs(), torch.Generator().manual_seed(1)
    logits = torch.full_like(target, -5.0)
    logits[1] = 5.0
    points, labels = correction_clicks(logits, target, STRIDE, generator)
    assert labels.tolist() == [1, 0, 1, 1]
    assert (_at((logits > 0) != (target > 0.5), points)).all()


def test_a_perfect_mask_is_confirmed_on_the_background() -> None:
    target = _discs()
    points, labels = correction_clicks(target * 20 - 10, target, STRIDE, torch.Generator().manual_seed(2))
    assert labels.tolist() == [0, 0, 0, 0]
    assert (_at(target, points) == 0).all()


def test_boxes_stay_within_a_tenth() -> None:
    masks = torch.zeros(1, 100, 100, dtype=torch.bool)
    masks[0, 20:60, 30:80] = True
    for seed in range(20):
        box = noisy_boxes(masks, torch.Generator().manual_seed(seed))
        off = (box - torch.tensor([[[30.0, 20.0], [79.0, 59.0]]])).abs()
        assert (off <= torch.tensor([4.9, 3.9]) + 1e-4).all()
        assert off.max() > 0
