"""Every kernel gives the attention of the formula, whatever the scores; which is taken can be forced."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sam2_engine.errors import InputError
from sam2_engine.modeling import attention_kernels
from sam2_engine.modeling.attention import RotaryAttention
from sam2_engine.modeling.attention_kernels import KERNELS, fastest_kernel, forced_kernel, timed_kernels
from sam2_engine.modeling.grid_window import GridPositions
from sam2_engine.modeling.position_encoding import rotation

OTHERS = sorted({*KERNELS} - {"fused"})
GRID = GridPositions((8, 8))


@pytest.fixture
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine that has measured nothing yet."""
    monkeypatch.setattr(attention_kernels, "_timed", {})
    monkeypatch.setenv("SAM2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "attention.json"


def formula(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = q.double(), k.double(), v.double()
    return (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v


def draw(*shape: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 2000), (1500, 3), (1025, 2049)])
@torch.inference_mode()
def test_kernels_compute_the_formula(name: str, queries: int, keys: int) -> None:
    q, k, v = draw(2, 3, queries, 32), draw(2, 3, keys, 32), draw(2, 3, keys, 8)
    torch.testing.assert_close(KERNELS[name](q, k, v).double(), formula(q, k, v), atol=2e-6, rtol=2e-5)
    coarse = KERNELS[name](q.bfloat16(), k.bfloat16(), v.bfloat16())
    assert coarse.dtype == torch.bfloat16
    torch.testing.assert_close(
        coarse.double(), formula(q.bfloat16(), k.bfloat16(), v.bfloat16()), atol=0.03, rtol=0.03
    )


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("scale", [3.0, 10.0, 100.0, 1e4])
@torch.inference_mode()
def test_large_scores_neither_overflow_nor_vanish(name: str, scale: float) -> None:
    """Scores of up to 1e9, of which exp() has no value in float32."""
    q, k, v = draw(1, 1, 1100, 64, scale=scale), draw(1, 1, 1300, 64, scale=scale), draw(1, 1, 1300, 16)
    attended = KERNELS[name](q, k, v)
    torch.testing.assert_close(attended.double(), formula(q, k, v), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0, 5.0, 20.0, 100.0, 1000.0])
@torch.inference_mode()
def test_keys_that_are_all_like_the_query(dtype: torch.dtype, scale: float) -> None:
    """Every score is as large as the lengths allow. Was: the sum of 28,000 weights overflowed, all was 0."""
    token = (scale * torch.nn.functional.normalize(draw(64), dim=0) * 8).to(dtype)
    q, k = token.expand(1, 1, 600, 64), token.expand(1, 1, 28000, 64)
    v = draw(1, 1, 28000, 16).to(dtype)
    atol = 1e-5 if dtype == torch.float32 else 2e-3
    torch.testing.assert_close(KERNELS["blocks"](q, k, v).double(), formula(q, k, v), atol=atol, rtol=0.01)


@torch.inference_mode()
def test_queries_that_no_key_resembles() -> None:
    """Every score lies far below what the lengths allow: the weights vanish, and the formula is taken."""
    k = draw(1, 1, 1200, 64).abs() * 20
    q, v = -draw(1, 1, 600, 64).abs() * 20, draw(1, 1, 1200, 16)
    torch.testing.assert_close(KERNELS["blocks"](q, k, v).double(), formula(q, k, v), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("pointers", [0, 5])
@torch.inference_mode()
def test_values_may_be_projected_afterwards(name: str, pointers: int) -> None:
    attention = RotaryAttention(32, key_value_dim=8).eval()
    q, memory = draw(2, 64, 32), draw(2, 3 * 64 + pointers, 8)
    with forced_kernel("fused"):
        expected = attention(q, memory, memory, GRID, num_plain_keys=pointers)
    with forced_kernel(name):
        torch.testing.assert_close(attention(q, memory, memory, GRID, num_plain_keys=pointers), expected)


def test_with_gradients_it_is_the_same() -> None:
    attention = RotaryAttention(32, key_value_dim=8).eval()
    q, memory = draw(2, 64, 32), draw(2, 3 * 64 + 5, 8)
    with torch.inference_mode():
        expected = attention(q, memory, memory, GRID, num_plain_keys=5).clone()
    torch.testing.assert_close(attention(q, memory, memory, GRID, num_plain_keys=5), expected)


def test_a_rotation_is_a_complex_product() -> None:
    """Pair i of a token at (x, y) turns by x or y times its frequency; scores know only differences."""
    cosine, sine = rotation(16, 3, 5, torch.device("cpu"), torch.float32)
    token = draw(16)
    turned = token * cosine + token.view(-1, 2).flip(1).flatten() * sine
    pairs = torch.view_as_complex(token.view(-1, 2))
    frequencies = 10000.0 ** (-torch.arange(0, 16, 4) / 16)
    for position in range(15):
        y, x = divmod(position, 5)
        angles = torch.cat((x * frequencies, y * frequencies))
        expected = torch.view_as_real(pairs * torch.polar(torch.ones(8), angles)).flatten()
        torch.testing.assert_close(turned[position], expected)


@pytest.mark.parametrize(("seconds", "expected"), [(1.2, "blocks"), (1.1, "fused"), (0.5, "fused")])
def test_a_kernel_is_chosen_by_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, empty_cache: Path, seconds: float, expected: str
) -> None:
    q, k = torch.empty(1, 600, 16, dtype=torch.bfloat16), torch.empty(1, 900, 16, dtype=torch.bfloat16)
    times = {"fused": seconds, "blocks": 1.0}
    monkeypatch.setattr(attention_kernels, "_times", lambda *sizes: times)
    assert fastest_kernel(q, k, 16) == expected
    (problem,) = timed_kernels()
    assert timed_kernels()[problem] == times
    assert (problem.dtype, problem.width, problem.queries, problem.keys) == (torch.bfloat16, 16, 10, 10)


def test_kernels_are_timed_once_for_each_kind_of_problem(empty_cache: Path) -> None:
    for keys in (1000, 600, 1023):
        fastest_kernel(torch.empty(1, 600, 16), torch.empty(1, keys, 16), 4)
    (times,) = timed_kernels().values()
    assert times.keys() == {"fused", "blocks"}
    assert all(0 < seconds < float("inf") for seconds in times.values())


def test_a_later_run_takes_what_the_first_one_measured(
    monkeypatch: pytest.MonkeyPatch, empty_cache: Path
) -> None:
    """Was: on a busy machine one run chose otherwise than the next, and their masks differed."""
    q = torch.empty(1, 600, 16)
    for blocks in (1.0, 9.0, 0.1):
        monkeypatch.setattr(
            attention_kernels, "_times", lambda *sizes, blocks=blocks: {"fused": 3.0, "blocks": blocks}
        )
        monkeypatch.setattr(attention_kernels, "_timed", {})  # as in a new process
        assert fastest_kernel(q, q, 4) == "blocks"
    monkeypatch.setattr(attention_kernels, "processor_name", lambda: "another machine that shares the folder")
    monkeypatch.setattr(attention_kernels, "_timed", {})
    monkeypatch.setattr(attention_kernels, "_times", lambda *sizes: {"fused": 1.0, "blocks": 9.0})
    assert fastest_kernel(q, q, 4) == "fused"
    assert len(json.loads(empty_cache.read_text())) == 2


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_what_cannot_be_read_is_measured_again(empty_cache: Path, content: str) -> None:
    q = torch.empty(1, 600, 16)
    empty_cache.parent.mkdir()
    empty_cache.write_text(content)
    fastest_kernel(q, q, 4)
    assert len(json.loads(empty_cache.read_text())) == 1
    (name,) = json.loads(empty_cache.read_text())
    empty_cache.write_text(json.dumps({name: {"fused": "soon", "flash": 1.0}}))
    attention_kernels._timed.clear()
    assert fastest_kernel(q, q, 4) in KERNELS


def test_where_nothing_can_be_kept_it_counts_in_the_process(empty_cache: Path) -> None:
    empty_cache.parent.write_text("a file in the folder's place")
    q = torch.empty(1, 600, 16)
    assert fastest_kernel(q, q, 4) == fastest_kernel(q, q, 4)


def test_small_and_usual_problems_are_not_timed(empty_cache: Path) -> None:
    usual, small = torch.empty(1, 600, 16), torch.empty(1, 100, 16, dtype=torch.bfloat16)
    assert fastest_kernel(usual, usual, 16) == fastest_kernel(small, small, 16) == "fused"
    assert not timed_kernels()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_queries_of_few_keys_have_a_kernel_of_their_own(empty_cache: Path, dtype: torch.dtype) -> None:
    image, tokens = torch.empty(8, 8, 1024, 16, dtype=dtype), torch.empty(8, 8, 9, 16, dtype=dtype)
    assert fastest_kernel(image, tokens, 16) == "few_keys"
    assert fastest_kernel(tokens, image, 16) != "few_keys"
    assert fastest_kernel(image.half(), tokens.half(), 16) == "fused"


def test_half_precision_has_no_range_for_our_kernels() -> None:
    q = torch.empty(1, 600, 16, dtype=torch.float16)
    with forced_kernel("blocks"):
        assert fastest_kernel(q, q, 16) == fastest_kernel(q, q, 4) == "fused"


def test_a_kernel_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    q = torch.empty(1, 4, 16)
    monkeypatch.setenv("SAM2_ATTENTION", "softmax")
    assert fastest_kernel(q, q, 16) == "softmax"
    with forced_kernel("blocks"):
        assert fastest_kernel(q, q, 16) == "blocks"
    monkeypatch.setenv("SAM2_ATTENTION", "flash")
    with pytest.raises(
        InputError, match="SAM2_ATTENTION=flash is no attention kernel: set fused, softmax, blocks"
    ):
        fastest_kernel(q, q, 16)
    with pytest.raises(InputError, match="no attention kernel 'flash'"), forced_kernel("flash"):
        pass
