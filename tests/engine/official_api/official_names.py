"""Names, arguments, defaults and attributes of the official API, read from either package."""

import ast
import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from official_cases import CONFIG, SIZE, draw_frames, small

MODULES = {
    "build_sam": (
        "build_sam2",
        "build_sam2_hf",
        "build_sam2_video_predictor",
        "build_sam2_video_predictor_hf",
    ),
    "sam2_image_predictor": ("SAM2ImagePredictor",),
    "sam2_video_predictor": ("SAM2VideoPredictor", "SAM2VideoPredictorVOS"),
    "automatic_mask_generator": ("SAM2AutomaticMaskGenerator",),
    "modeling.sam2_base": ("SAM2Base",),
    "utils.transforms": ("SAM2Transforms",),
    "utils.amg": (
        "MaskData",
        "is_box_near_crop_edge",
        "box_xyxy_to_xywh",
        "batch_iterator",
        "mask_to_rle_pytorch",
        "rle_to_mask",
        "area_from_rle",
        "calculate_stability_score",
        "build_point_grid",
        "build_all_layer_point_grids",
        "generate_crop_boxes",
        "uncrop_boxes_xyxy",
        "uncrop_points",
        "uncrop_masks",
        "remove_small_regions",
        "coco_encode_rle",
        "batched_mask_to_box",
    ),
    "utils.misc": ("mask_to_box", "load_video_frames", "fill_holes_in_mask_scores", "concat_points"),
}
Argument = tuple[str, str, str]


def signature_of(function: Any) -> list[Argument]:
    """Return names, kinds and defaults; without ``self`` and ``cls``."""
    parameters = list(inspect.signature(inspect.unwrap(function)).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    return [
        (one.name, one.kind.name, "" if one.default is inspect.Parameter.empty else repr(one.default))
        for one in parameters
    ]


def member_of(kind: type, name: str) -> list[Argument] | None:
    """Return the arguments of a method, None for a property.

    Raises
    ------
    AttributeError
        If there is no such member.
    """
    member = inspect.getattr_static(kind, name)
    if isinstance(member, (classmethod, staticmethod)):
        member = member.__func__
    return None if isinstance(member, property) else signature_of(member)


def members_of(kind: type) -> dict[str, list[Argument] | None]:
    """Return the methods and properties that a class adds to those that it inherits."""
    own = [name for name in vars(kind) if not name.startswith("__") or name == "__init__"]
    return {name: member_of(kind, name) for name in own if name != "training"}


def names_of(package: str) -> dict[str, dict[str, Any]]:
    """Return everything that is named in the modules of a package: functions, and classes with members."""
    names: dict[str, dict[str, Any]] = {}
    for module_name, members in MODULES.items():
        module = importlib.import_module(f"{package}.{module_name}")
        names[module_name] = {}
        for name in members:
            member = getattr(module, name)
            is_class = inspect.isclass(member)
            names[module_name][name] = members_of(member) if is_class else signature_of(member)
    return names


def defined_in(package: Path) -> dict[str, list[str]]:
    """Return the public functions and classes of every module of ``modeling`` and ``utils``."""
    defined = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] in ("modeling", "utils") and parts[-1] != "__init__":
            kinds = (ast.FunctionDef, ast.ClassDef)
            names = [one.name for one in ast.parse(path.read_text()).body if isinstance(one, kinds)]
            defined[".".join(parts)] = [name for name in names if not name.startswith("_")]
    return defined


def objects_of(names: Any) -> dict[str, Any]:
    """Return the objects that a script holds."""
    model = names.build_sam2(CONFIG, None, "cpu", "eval", SIZE)
    fresh, predictor = (small(names.SAM2ImagePredictor(model)) for _ in range(2))
    predictor.set_image(draw_frames()[0])
    return {
        "SAM2ImagePredictor": fresh,
        "SAM2ImagePredictor, with an image": predictor,
        "SAM2Transforms": predictor._transforms,
        "SAM2AutomaticMaskGenerator": names.SAM2AutomaticMaskGenerator(model, 2),
        "SAM2Base": model,
        "SAM2VideoPredictor": names.build_sam2_video_predictor(CONFIG, None, "cpu", "eval", SIZE),
    }


def attributes_of(one: Any) -> dict[str, Any]:
    """Return the attributes of an object, outlined; without what a Module is made of."""
    return {name: outline(value) for name, value in vars(one).items() if not hidden(name)}


def hidden(name: str) -> bool:
    parts = ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "transforms", "to_tensor")
    return name in parts or "hook" in name


def states(tracker: Any, folder: str) -> dict[str, Any]:
    """Return the entries of the state, before and after prompts and tracking."""
    tracker.fill_hole_area = 0
    state = tracker.init_state(folder)
    outlines = {"new": {key: outline(value) for key, value in state.items()}}
    tracker.add_new_points_or_box(state, 0, "red", [[30, 40]], [1])
    tracker.add_new_mask(state, 1, 7, draw_frames()[1, ..., 0] > 128)
    outlines["prompted"] = {key: outline(value) for key, value in state.items()}
    list(tracker.propagate_in_video(state, max_frame_num_to_track=2))
    outlines["tracked"] = {key: outline(value) for key, value in state.items()}
    tracker.reset_state(state)
    outlines["reset"] = {key: outline(value) for key, value in state.items()}
    return outlines


def outline(value: Any) -> Any:
    """Return keys, types and shapes, and plain values; images are a tensor or like one."""
    if isinstance(value, Mapping):
        return {str(key): outline(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [outline(item) for item in value]
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return [str(value.dtype), list(value.shape)]
    if isinstance(value, (int, float, str, type(None), torch.device)):
        return str(value) if isinstance(value, torch.device) else value
    return type(value).__name__
