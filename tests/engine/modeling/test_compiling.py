"""A compiled model is a few programs, whatever is tracked, and answers as it did."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sam2_engine import load_model
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.video.video_session import VideoSession

PARTS = "image_encoder", "memory_attention", "memory_encoder", "sam_mask_decoder"


@pytest.fixture
def programs() -> Counter[int]:
    """Sizes of the programs that were made."""
    torch.compiler.reset()
    return Counter()


@pytest.fixture
def backend(programs: Counter[int]) -> Callable[[torch.fx.GraphModule, Any], Callable[..., Any]]:
    def count(graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        programs[len(graph.graph.nodes)] += 1
        return graph.forward

    return count


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_encoder_is_one_program(
    dtype: torch.dtype, small_model: Sam2, backend: Any, programs: Counter[int]
) -> None:
    model, pixels = deepcopy(small_model), torch.randn(1, 3, 128, 128)
    model.compute_dtype = dtype
    with torch.inference_mode(), model.autocast():
        expected = model.encode_image(pixels)
        model.compile(backend=backend)
        for _ in range(2):
            encoded = model.encode_image(pixels)
    assert programs.total() == 1
    error = (encoded.embedding - expected.embedding).float().abs().mean() / expected.embedding.float().std()
    assert error < (1e-5 if dtype == torch.float32 else 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_more_objects_prompts_and_memories_need_no_new_program(
    dtype: torch.dtype,
    small_model: Sam2,
    moving_discs: NDArray[np.uint8],
    backend: Any,
    programs: Counter[int],
) -> None:
    def track(model: Sam2, num_objects: int) -> list[NDArray[np.float32]]:
        session = VideoSession(model, moving_discs[:10])
        for number in range(num_objects):
            session.add_points(0, number + 1, [(30 + 5 * number, 35)])
        session.add_points(0, 1, [(30, 35), (60, 60)], [1, 0])
        return [result.low_res_logits for result in session.propagate()]

    usual, compiled = deepcopy(small_model), deepcopy(small_model)
    usual.compute_dtype = compiled.compute_dtype = dtype
    compiled.compile(backend=backend)
    for num_objects in (1, 2):
        track(compiled, num_objects)
    met = programs.total()
    assert met <= 12
    tolerance = 1e-3 if dtype == torch.float32 else 1.0
    for num_objects in (5, 3):
        for one, other in zip(track(compiled, num_objects), track(usual, num_objects), strict=True):
            assert np.abs(one - other).mean() < tolerance
    assert programs.total() == met


def test_loading_compiles_what_does_the_work(small_checkpoint: Path) -> None:
    for compile in (False, True):
        model = load_model(small_checkpoint, "cpu", compile=compile)
        assert all((getattr(model, part)._compiled_call_impl is not None) == compile for part in PARTS)
