"""The page docs/official-api.md, written from the recorded names and what is said of them here.

``python tests/engine/official_api/official_page.py`` writes it; a test compares it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "official-api.md"
REFERENCES = Path(__file__).parent / "references"

INTERNAL = "refused: internal to the official package; a missing attribute says what to use instead"
_ON_CUDA = "same: on CUDA devices small regions are changed; elsewhere nothing is, and a warning says so"
_UNKNOWN = "refused if unknown: the official package swallows it"
_PARTS = "refused: a model is not made of parts, but from a loaded model; `build_sam2` is the same"

SAID: dict[str, str] = {
    # functions
    "build_sam2(config_file)": (
        "same for the official files; `nano` and other variants' names are accepted, too"
    ),
    "build_sam2(ckpt_path)": (
        "same; None leaves the weights random, which is logged; by a variant's name, None takes its weights"
    ),
    "build_sam2(device)": "same; `auto` is accepted, too; a device that is not here is refused",
    "build_sam2(mode)": "same for `eval` and `train`; other values are refused",
    "build_sam2(hydra_overrides_extra)": (
        "same for `++model.image_size` and the settings below; other overrides are refused"
    ),
    "build_sam2(kwargs)": _UNKNOWN,
    "build_sam2_hf(model_id)": (
        "same, with a model that is on this machine; it is not downloaded: `sam2 download` does that"
    ),
    "build_sam2_video_predictor(vos_optimized)": "same masks; nothing is compiled, which is logged",
    # the image predictor
    "SAM2ImagePredictor.__init__(sam_model)": (
        "same; any loaded model is accepted, but those that were taught on padded or stretched images"
    ),
    "SAM2ImagePredictor.__init__(max_hole_area)": _ON_CUDA,
    "SAM2ImagePredictor.__init__(max_sprinkle_area)": _ON_CUDA,
    "SAM2ImagePredictor.__init__(kwargs)": _UNKNOWN,
    "SAM2ImagePredictor.from_pretrained(kwargs)": "same; unknown arguments are refused",
    "SAM2ImagePredictor.set_image(image)": (
        "same for RGB of 8 bits or float 0 to 1, as an array or from Pillow; other kinds, at which the "
        "official package fails or sees noise, are refused: `sam2_engine.ImagePredictor` reads all"
    ),
    "SAM2ImagePredictor.predict(point_coords)": "same; a click more than a pixel outside is refused",
    "SAM2ImagePredictor.predict(point_labels)": "same; other labels than -1 to 3 are refused",
    "SAM2ImagePredictor.predict(box)": "same; a box outside, inverted, or in fractions for pixels is refused",
    "SAM2ImagePredictor.predict(mask_input)": (
        "same; a prediction without any prompt is refused, and several masks without clicks are predicted"
    ),
    "SAM2ImagePredictor._bb_feat_sizes": (
        "same at an input of 1024; at others the official one fails, ours fits"
    ),
    # the automatic mask generator
    "SAM2AutomaticMaskGenerator.__init__(min_mask_region_area)": (
        f"{_ON_CUDA}; `sam2_engine.AutomaticMaskGenerator` cleans masks on any device"
    ),
    "SAM2AutomaticMaskGenerator.__init__(output_mode)": "same; `coco_rle` needs no further package",
    "SAM2AutomaticMaskGenerator.__init__(kwargs)": _UNKNOWN,
    "SAM2AutomaticMaskGenerator.from_pretrained(kwargs)": "same; unknown arguments are refused",
    # the video predictor
    "SAM2VideoPredictor.__init__": (
        "a loaded model comes first, in place of the model's parts; the arguments after it are the same"
    ),
    "SAM2VideoPredictor.__init__(fill_hole_area)": "same: on CUDA devices alone holes are filled",
    "SAM2VideoPredictor.__init__(clear_non_cond_mem_around_input)": (
        "refused if true: the official package fails with it; `sam2_engine.VideoSession` keeps corrections"
    ),
    "SAM2VideoPredictor.__init__(kwargs)": "the settings below; others are refused",
    "SAM2VideoPredictor.init_state(video_path)": (
        "same for a folder of JPEG files with numbers as names, and for MP4; whatever `open_frames` reads is "
        "accepted, too; frames of several sizes and videos in memory are refused"
    ),
    "SAM2VideoPredictor.init_state(async_loading_frames)": "same frames; they are always read when needed",
    "SAM2VideoPredictor.add_new_points_or_box(points)": "same; a click more than a pixel outside is refused",
    "SAM2VideoPredictor.add_new_points_or_box(frame_idx)": "same; a frame that does not exist is refused",
    "SAM2VideoPredictor.add_new_points_or_box(obj_id)": (
        "same; after a refused prompt a new object is not added"
    ),
    "SAM2VideoPredictor.add_new_mask(mask)": "same; values other than 0 to 1 in a tensor are refused",
    "SAM2VideoPredictor.propagate_in_video(inference_state)": (
        "same; that a correction is lost, because its frame is tracked again, is logged; in float32 on the "
        "CPU, where the official package fails before an object's first prompt, it is tracked"
    ),
    "SAM2VideoPredictor.propagate_in_video(start_frame_idx)": "same; a negative one is refused",
    "SAM2VideoPredictor.clear_all_prompts_in_frame(obj_id)": (
        "same; an unknown object is refused, where the official package adds an empty one"
    ),
    "SAM2VideoPredictorVOS.__init__": "as `SAM2VideoPredictor`; nothing is compiled",
    "SAM2VideoPredictorVOS.forward_image": "same",
    # the model
    "SAM2Base.__init__": _PARTS,
    "SAM2Base.track_step": INTERNAL,
    # helpers
    "batch_iterator(args)": "same; sequences of several lengths are refused, as there",
    "rle_to_mask(rle)": "same; runs that do not fill the image are refused",
    "area_from_rle(rle)": "same; runs that do not fill the image are refused",
    "coco_encode_rle": "same; needs no further package",
    "load_video_frames(img_mean)": "same; values that are no model's are refused",
    "load_video_frames(img_std)": "same; values that are no model's are refused",
    "load_video_frames(async_loading_frames)": "same frames; they are always read when needed",
    "fill_holes_in_mask_scores(max_area)": _ON_CUDA,
}
"""What is said of names that are not simply the same; ``Class.method(argument)`` of one argument."""

ENTRIES = {
    "images": "same values; read when needed, and a tensor as soon as it is used as one",
    "cached_features": "same",
}
TITLES = {
    "build_sam": "sam2.build_sam",
    "sam2_image_predictor": "sam2.sam2_image_predictor",
    "sam2_video_predictor": "sam2.sam2_video_predictor",
    "automatic_mask_generator": "sam2.automatic_mask_generator",
    "modeling.sam2_base": "sam2.modeling.sam2_base",
    "utils.transforms": "sam2.utils.transforms",
    "utils.amg": "sam2.utils.amg",
    "utils.misc": "sam2.utils.misc",
}
START = """# The official API, name by name

A script written for the official package, [sam2](https://github.com/facebookresearch/sam2) 1.1.0, runs with
its imports changed: `from sam2.X import Y` becomes `from sam2_engine.official_api.X import Y`, for the
modules below. Every name, argument, default and attribute of theirs is listed here. “Same” is held by a
test: answers of the official package were recorded on weights drawn by seed, over a grid of arguments, and
ours agree with them, masks to a few pixels of rounding and logits to 2e-4 of the largest; names, orders of
arguments, defaults, attributes and the entries of a video's state are compared one by one. What cannot be
the same is refused in a sentence (an `InputError`, which is a `ValueError` and, where the official package
raises one, a `RuntimeError` or `NotImplementedError`, too).

Answers are the official ones also where `sam2_engine`'s own classes do better: corrections of tracked
frames are lost when the frame is tracked again (`++model.add_all_frames_to_correct_as_cond=true` keeps
them), objects get masks before their first prompt, and on other devices than CUDA small holes stay.
`sam2_engine.ImagePredictor`, `VideoSession` and `AutomaticMaskGenerator` are the engine's own.

This page is written by `python tests/engine/official_api/official_page.py`.
"""
MIDDLE = """
## Settings

Overrides `++model.NAME=VALUE` in `hydra_overrides_extra`, and attributes of the model and of the video
predictor, that are heeded: `image_size` (as an override), {settings}; of the video predictor alone
`fill_hole_area`, `non_overlap_masks` and `add_all_frames_to_correct_as_cond`; as overrides
`sam_mask_decoder_extra_args.dynamic_multimask_via_stability`. As in the official package,
`apply_postprocessing=True` wins over an override of the same setting. {fixed} have one value in all
official configurations, and another one is refused.
"""
ELSEWHERE = {
    "`tools/vos_inference.py`": (
        "runs with its import changed; the calls of both its functions are among the recorded ones. It "
        "asks for CUDA, as with the official package"
    ),
    "the notebooks for images, videos and automatic masks": (
        "run with their imports changed; a test makes the same calls in the same order"
    ),
    "`sam2.sam2_video_predictor_legacy`, `sam2.benchmark`": (
        "refused: the former is superseded in 1.1.0 itself, the latter a script for measurements; "
        "`benchmarks/` has ours"
    ),
    "`training/`": "refused: `sam2 train` and `sam2_engine.training` are ours",
}
PARTS = """
## Parts of the model, and what else is internal

These modules exist, and importing one of these names from them is refused with the sentence of the table (an
`InputError` that is an `ImportError`, too): parts of a model take other arguments here. Their weights have
the official names, and `model.sam_mask_decoder` and the like are where they are officially.

The prompt encoder and the mask decoder of a model from `build_sam2` are called as the official ones, so a
training loop of one's own (set an image, `model.sam_prompt_encoder(points=..., boxes=None, masks=None)`,
`get_dense_pe()`, `model.sam_mask_decoder(image_embeddings=..., ...)`, `loss.backward()`) runs with its
imports changed. On tiny with weights drawn by seed its losses were the official ones to 1e-7, before and
after a step, and its gradients to 2e-5 of the largest of each weight."""


def rows(title: str, arguments: list[list[str]] | None) -> Iterator[str]:
    """Yield the rows of one function or method, with one for each argument."""
    yield f"| `{title}`{'' if arguments is None else '()'} | {SAID.get(title, 'same')} |"
    for name, kind, default in arguments or ():
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(kind, "")
        said = SAID.get(f"{title}({name})", SAID.get(f"{shared(title)}({name})", "same"))
        if not SAID.get(title, "same").startswith("refused"):
            yield f"| &emsp;`{stars}{name}{' = ' + default if default else ''}` | {said} |"


def shared(title: str) -> str:
    """Return the function in whose name an argument of several functions is spoken of."""
    replaced = {
        "build_sam2_video_predictor": "build_sam2",
        "build_sam2_video_predictor_hf": "build_sam2_hf",
        "SAM2ImagePredictor.predict_batch": "SAM2ImagePredictor.predict",
        "SAM2ImagePredictor.set_image_batch": "SAM2ImagePredictor.set_image",
        "SAM2VideoPredictor.add_new_mask": "SAM2VideoPredictor.add_new_points_or_box",
    }
    return replaced.get(title, title)


def is_public(name: str) -> bool:
    return not name.startswith("_") or name == "__init__"


def table(lines: Iterator[str], heading: str = "| official name | here |") -> list[str]:
    return ["", heading, "|---|---|", *lines]


def module_part(module: str, members: dict[str, Any], attributes: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one module."""
    yield from ("", f"## {TITLES[module]}")
    functions = {name: arguments for name, arguments in members.items() if isinstance(arguments, list)}
    if functions:
        yield from table(row for name, arguments in functions.items() for row in rows(name, arguments))
    for kind, methods in members.items():
        if kind in functions:
            continue
        yield from ("", f"### {kind}")
        shown = {name: arguments for name, arguments in methods.items() if is_public(name)}
        yield from table(row for name, one in shown.items() for row in rows(f"{kind}.{name}", one))
        own = [name for name in attributes.get(kind, {}) if name != "training"]
        names = [name for name in own if f"{kind}.{name}" not in SAID]
        yield from ("", f"Attributes, all the same: {listed(names)}.") if names else ()
        for name in own:
            if name not in names:
                yield from ("", f"`{name}`: {SAID[f'{kind}.{name}']}.")
        yield from private_part(kind, methods)


def private_part(kind: str, methods: dict[str, Any]) -> Iterator[str]:
    """Yield what is said of names that begin with an underscore: those that scripts use are there."""
    names = [name for name in methods if not is_public(name)]
    there = [name for name in names if name in PRIVATE.get(kind, ())]
    missing = [name for name in names if name not in there]
    if there:
        yield from ("", f"Of the names with an underscore, the same: {listed(there)}.")
    if missing:
        yield from ("", f"Internal, and refused: {listed(missing)}.")


PRIVATE = {
    "SAM2ImagePredictor": ("_prep_prompts", "_predict"),
    "SAM2VideoPredictor": ("_obj_id_to_idx",),
    "SAM2Base": ("_prepare_backbone_features", "_apply_non_overlapping_constraints"),
}


def listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def render() -> str:
    """Return the page."""
    from sam2_engine.official_api.missing import MISSING
    from sam2_engine.official_api.modeling.sam2_base import FIXED, SETTINGS

    recorded = json.loads((REFERENCES / "names.json").read_text())
    parts = [START]
    for module, members in recorded["names"].items():
        parts += module_part(module, members, recorded["attributes"])
    parts += ["", "## The state of a video"]
    entries = recorded["state"]["new"]
    parts += table((f"| `{name}` | {ENTRIES.get(name, 'same')} |" for name in entries), "| entry | here |")
    parts.append(MIDDLE.format(settings=listed(list(SETTINGS)), fixed=listed(list(FIXED))))
    parts += ["## Scripts and modules"]
    parts += table((f"| {name} | {said} |" for name, said in ELSEWHERE.items()), "| official | here |")
    parts.append(PARTS)
    for module, own in MISSING.items():
        missing = (f"| `{name}` | refused: {said} |" for name, said in own.items())
        parts += table(missing, f"| `sam2.{module}` | here |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
