"""Time of image encoders in PyTorch and in ONNX Runtime, in turns.

    python benchmarks/model_export/encoders.py [--threads 1] [--turns 5] [--models nano sam2.1_hiera_tiny]

What decides whether sessions should run on an exported encoder: the same frame, the same threads, process
time and wall time. Weights but nano's are random, which cost as much.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import scenes

from sam2_engine import load_model
from sam2_engine.model_export.precision import convert
from sam2_engine.model_export.writing import export_model
from sam2_engine.modeling.config import VARIANTS
from sam2_engine.modeling.sam2 import Sam2
from sam2_engine.preprocessing import to_model_input


def loaded(name: str) -> Sam2:
    """Return a model in float32."""
    if name == "nano":
        return load_model(name, device="cpu", dtype="float32")
    torch.manual_seed(0)
    return Sam2(VARIANTS[name]).eval().requires_grad_(False)


def in_pytorch(model: Sam2, pixels: torch.Tensor, dtype: torch.dtype) -> Callable[[], object]:
    """Return what encodes a frame as sessions do."""

    def encode() -> np.ndarray:
        model.compute_dtype = dtype
        with torch.inference_mode(), model.autocast():
            return model.encode_image(pixels).embedding.float().numpy()

    return encode


def in_onnx_runtime(path: Path, pixels: torch.Tensor, threads: int) -> Callable[[], object]:
    """Return what encodes a frame by a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = {"pixels": pixels.numpy()}
    return lambda: session.run(["embedding"], inputs)[0]


def static_int8(path: Path, size: int, target: Path) -> None:
    """Quantize matrices and convolutions, and what goes into them by its range on a few frames."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Frames(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [to_model_input(scenes.draw(n), None, size).numpy() for n in range(2)]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return {"pixels": self.left.pop()} if self.left else None

    quantize_static(
        path,
        target,
        Frames(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm", "Conv"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def measured(name: str, threads: int, turns: int, folder: Path) -> list[str]:
    """Return a row of the table for each way to compute a model's encoder."""
    model = loaded(name)
    pixels = to_model_input(scenes.draw(9), None, model.image_size)
    export_model(model, folder / "float32", video=False)
    float32, int8, static = (
        folder / name for name in ("float32/image_encoder.onnx", "int8.onnx", "static.onnx")
    )
    shutil.copy(float32, int8)
    convert(int8, "image_encoder", "int8")
    static_int8(float32, model.image_size, static)
    ways = {
        "PyTorch, float32": in_pytorch(model, pixels, torch.float32),
        "PyTorch, bfloat16": in_pytorch(model, pixels, torch.bfloat16),
        "ONNX Runtime, float32": in_onnx_runtime(float32, pixels, threads),
        "ONNX Runtime, int8 weights": in_onnx_runtime(int8, pixels, threads),
        "ONNX Runtime, int8 throughout": in_onnx_runtime(static, pixels, threads),
    }
    reference = ways["PyTorch, float32"]()
    spread = float(np.std(reference))
    wrong = {
        way: float(np.sqrt(np.mean((encode() - reference) ** 2))) / spread for way, encode in ways.items()
    }
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    wall: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(turns):
        for way, encode in ways.items():
            begun, used = time.perf_counter(), time.process_time()
            encode()
            wall[way].append(time.perf_counter() - begun)
            cpu[way].append(time.process_time() - used)
    return [
        f"| {name} at {model.image_size} | {way} | {1000 * median(cpu[way]):.0f} | "
        f"{1000 * min(cpu[way]):.0f} | {1000 * min(wall[way]):.0f} | {wrong[way]:.4f} |"
        for way in ways
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["nano", "sam2.1_hiera_tiny"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{scenes.provenance()}; {arguments.threads} threads.\n")
    print("| encoder | computed by | CPU, ms (median) | CPU, ms (least) | wall, ms (least) | error |")
    print("|---|---|---|---|---|---|")
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(measured(name, arguments.threads, arguments.turns, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
