"""What the engine does for SAM 2, with a relative: small ones with drawn weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_weights import draw_weights
from numpy.typing import NDArray
from small_model import LATENT, PLAIN, RELATIVES

from sam2_engine import ImagePredictor, load_model
from sam2_engine.errors import InputError
from sam2_engine.feature_cache import FeatureCache
from sam2_engine.image.automatic_mask_generator import AutomaticMaskGenerator
from sam2_engine.modeling.approximations import approximations_of
from sam2_engine.modeling.attention_kernels import KERNELS, forced_kernel
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.official_api.build_sam import build_sam2_video_predictor
from sam2_engine.training.fine_tuning.optimizer import choose_trainable_parameters
from sam2_engine.video.tiled_session import TiledVideoSession
from sam2_engine.video.video_session import VideoSession
from sam2_engine.weights.loading import save_model

Frames = NDArray[np.uint8]


@pytest.fixture(scope="module", params=RELATIVES, ids=lambda config: config.name)
def relative(request: pytest.FixtureRequest) -> Sam2:
    return draw_weights(Sam2(request.param))


def click(model: Sam2, frames: object, **options: object) -> VideoSession:
    session = VideoSession(model, frames, **options)
    session.add_points(0, 1, [(30, 35)], [1])
    session.add_box(0, 2, (82, 48, 108, 72))
    return session


def logits_of(session: VideoSession) -> NDArray[np.float32]:
    return np.stack([result.low_res_logits for result in session.propagate()])


def share(apart: NDArray[np.float32], whole: NDArray[np.float32]) -> float:
    return float(np.abs(apart).max() / np.abs(whole).max())


def test_every_kind_of_prompt(relative: Sam2, moving_discs: Frames) -> None:
    predictor = ImagePredictor(relative)
    predictor.set_image(moving_discs[0])
    masks, iou, _ = predictor.predict(point_coords=[[30, 35]], point_labels=[1])
    assert masks.shape == (3, 96, 120)
    assert np.isfinite(iou).all()
    session = click(relative, moving_discs[:5])
    session.add_mask(0, 3, moving_discs[0, :, :, 0] > 200)
    assert [len(result.object_ids) for result in session.propagate()] == [3] * 5
    session.add_points(3, 1, [(36, 38)], [1])
    assert len(list(session.propagate(start=3, reverse=True))) == 4
    AutomaticMaskGenerator(relative, points_per_side=2).generate(moving_discs[0])


def test_it_is_the_same_from_its_own_file(relative: Sam2, moving_discs: Frames, tmp_path: Path) -> None:
    save_model(relative, tmp_path / "mine.safetensors")
    again = load_model(tmp_path / "mine.safetensors", "cpu", "float32")
    assert again.config == relative.config
    expected = logits_of(click(relative, moving_discs[:4]))
    assert share(logits_of(click(again, moving_discs[:4])) - expected, expected) < 1e-4


def test_features_on_disk_and_one_object_at_a_time(
    relative: Sam2, moving_discs: Frames, tmp_path: Path
) -> None:
    expected = logits_of(click(relative, moving_discs[:4]))
    for _ in range(2):  # written, and read
        cache = FeatureCache(folder=tmp_path)
        assert share(logits_of(click(relative, moving_discs[:4], cache=cache)) - expected, expected) < 1e-4
    alone = VideoSession(relative, moving_discs[:4])
    alone.add_points(0, 1, [(30, 35)], [1])
    assert share(logits_of(alone) - expected[:, :1], expected) < 1e-4


def test_kernels_agree_and_bfloat16_is_near(
    relative: Sam2, moving_discs: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = logits_of(click(relative, moving_discs[:4]))
    for kernel in KERNELS:
        with forced_kernel(kernel):
            assert share(logits_of(click(relative, moving_discs[:4])) - expected, expected) < 1e-4
    monkeypatch.setattr(relative, "compute_dtype", torch.bfloat16)
    assert share(logits_of(click(relative, moving_discs[:4])) - expected, expected) < 0.2


def test_memories_come_back_from_checkpoints(relative: Sam2, moving_discs: Frames) -> None:
    def corrected(history: int) -> NDArray[np.float32]:
        session = click(relative, moving_discs, history=history)
        list(session.propagate())
        session.add_points(12, 1, [(54, 47)], [1])
        return np.stack([result.low_res_logits for result in session.propagate(start=12)])

    whole = corrected(1 << 30)
    assert share(corrected(1 << 17) - whole, whole) < 1e-4


def test_tiles(relative: Sam2, moving_discs: Frames) -> None:
    session = TiledVideoSession(relative, np.tile(moving_discs[:3], (1, 4, 4, 1)))
    session.add_points(0, 1, [(150, 131)], [1])
    assert len(list(session.propagate())) == 3


def test_windows(moving_discs: Frames) -> None:
    model = draw_weights(Sam2(PLAIN.with_image_size(512)))
    model.approximations = approximations_of("fast")
    assert np.isfinite(logits_of(click(model, moving_discs[:3]))).all()


def test_folded_convolutions_are_those_of_the_checkpoint() -> None:
    model = draw_weights(Sam2(LATENT))
    block = model.image_encoder.trunk.body["stages_0"].blocks[0]
    x = torch.randn(1, 16, 8, 8)
    mixer = block.token_mixer
    with torch.no_grad():
        unfolded = sum(part.bn(part.c(x)) for part in (mixer.conv, mixer.conv1)) + x
        assert torch.allclose(mixer(x), unfolded, atol=1e-5)


def test_a_memory_of_latents_is_small(moving_discs: Frames) -> None:
    session = click(draw_weights(Sam2(LATENT)), moving_discs[:3])
    list(session.propagate())
    assert session._objects[1].bank.tracked[2].features.shape == (32, 2, 16)


def test_gradients_reach_the_encoder(relative: Sam2) -> None:
    model = Sam2(relative.config)
    trained = choose_trainable_parameters(model, train_image_encoder=True, with_memory=False)
    pixels, points = torch.randn(1, 3, 128, 128), torch.tensor([[[[30.0, 35.0]]]])
    model(pixels, points, torch.ones(1, 1, 1))[0].square().mean().backward()
    reached = {name for name, parameter in trained.items() if parameter.grad is not None}
    assert {name for name in trained if name.startswith("image_encoder.")} <= reached


def test_official_builders_know_relatives() -> None:
    model = build_sam2_video_predictor(
        "configs/efficienttam/efficienttam_ti_1.yaml",
        device="cpu",
        hydra_overrides_extra=["++model.image_size=64"],
    )
    assert model.config.memory_pooling == "weighted"
    assert (model.num_feature_levels, model.use_high_res_features_in_sam) == (1, False)
    with pytest.raises(InputError, match="image_size must be a positive multiple of 256, not 320"):
        build_sam2_video_predictor(
            "configs/edgetam.yaml", device="cpu", hydra_overrides_extra=["++model.image_size=320"]
        )
