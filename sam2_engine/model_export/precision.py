"""Smaller files of an exported model: float16, and weights of 8 bits."""

from pathlib import Path

__all__ = ["PRECISIONS", "convert"]

PRECISIONS = "float32", "float16", "int8"
"""What weights are stored in. ``float16`` halves all files; ``int8`` stores the matrices of the image
encoder, most of a model, in a quarter, and computes with them so. The other parts, whose errors add up from
frame to frame, stay float32 then.
"""
_IN_INT8 = "image_encoder"


def convert(path: Path, part: str, precision: str) -> str:
    """Convert a file of ONNX in its place, if that part is converted, and return its precision then.

    Inputs and outputs stay float32, so that parts of any precision go together.

    Parameters
    ----------
    path
        A file in float32.
    part
        Name of the part that it holds.
    precision
        A name of ``PRECISIONS``.
    """
    if precision == "float16":
        _to_float16(path)
    elif precision == "int8" and part == _IN_INT8:
        _to_int8(path)
    else:
        return "float32"
    return precision


def _to_float16(path: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


def _to_int8(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Convolutions have no quick program for weights of 8 bits alone.
    quantize_dynamic(
        path,
        path,
        op_types_to_quantize=["MatMul", "Gemm"],
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
