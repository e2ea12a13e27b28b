"""Frames and masks from files, and what is wrong with them in one sentence."""

import numpy as np
import pytest
import tifffile
from dataset_folders import cell_tracking, davis, images, label_frame, sa_1b, sa_v, stack
from dataset_folders import save as save_image
from PIL import Image

from sam2_engine.datasets import find_dataset
from sam2_engine.errors import InputError
from sam2_engine.evaluation import labeled_sequences, read_sequence, read_sequences
from sam2_engine.evaluation.interactive_protocol import scored_frames
from sam2_engine.evaluation.video_protocol import first_frames, frames_after


def save(folder, images, name="{:05d}.png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / name.format(number))


@pytest.fixture
def folders(tmp_path, disc_frames, disc_labels):
    save(tmp_path / "frames", disc_frames, "{:05d}.jpg")
    save(tmp_path / "masks", disc_labels)
    return tmp_path / "frames", tmp_path / "masks"


def test_davis_folders_with_palettes(folders, disc_labels):
    frames, masks = folders
    for path in masks.iterdir():
        with Image.open(path) as image:
            colored = Image.frombytes("P", image.size, image.tobytes())
        colored.putpalette([i * 7 % 256 for i in range(768)])
        colored.save(path)
    sequence = read_sequence(frames, masks)
    assert sequence.annotated == tuple(range(7))
    assert sorted(sequence.ground_truth) == [2, 5]
    for frame, labels in enumerate(disc_labels):
        for object_id in (2, 5):
            np.testing.assert_array_equal(sequence.mask(object_id, frame), labels == object_id)


def test_a_stack_of_labels_beside_a_stack(tmp_path, disc_frames, disc_labels):
    tifffile.imwrite(tmp_path / "f.tif", disc_frames, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "m.tif", disc_labels.astype(np.uint16), metadata={"axes": "TYX"})
    sequence = read_sequence(tmp_path / "f.tif", tmp_path / "m.tif")
    sequence.frames.close()
    assert sequence.first_frame(5) == 2
    assert not sequence.mask(5, 4).any()


def test_fewer_masks_than_frames_are_matched_by_name(folders):
    frames, masks = folders
    for number in (1, 2, 4, 6):
        (masks / f"{number:05d}.png").unlink()
    sequence = read_sequence(frames, masks)
    assert sequence.annotated == (0, 3, 5)
    assert sequence.first_frame(5) == 3


def test_folders_of_folders(tmp_path, disc_frames, disc_labels):
    for name in ("a", "b"):
        save(tmp_path / "frames" / name, disc_frames)
        save(tmp_path / "masks" / name, disc_labels)
    assert [s.name for s in read_sequences(tmp_path / "frames", tmp_path / "masks")] == ["a", "b"]
    (tmp_path / "masks" / "b").rename(tmp_path / "b")
    with pytest.raises(InputError, match="b has no masks"):
        read_sequences(tmp_path / "frames", tmp_path / "masks")


def no_masks(masks):
    for path in masks.iterdir():
        path.unlink()


def only_background(masks):
    save(masks, np.zeros((7, 64, 80), np.uint8))


def another_size(masks):
    save(masks, np.ones((7, 32, 80), np.uint8))


def a_strange_name(masks):
    (masks / "00006.png").unlink()
    (masks / "00005.png").rename(masks / "last.png")


def another_type(masks):
    Image.fromarray(np.ones((64, 80), np.uint16)).save(masks / "00003.png")


def colors(masks):
    save(masks, np.full((7, 64, 80, 3), (1, 2, 3), np.uint8))


def a_corrupt_file(masks):
    content = (masks / "00003.png").read_bytes()
    (masks / "00003.png").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (no_masks, "There are no masks in"),
        (only_background, "no object in .*: all labels are 0"),
        (another_size, "80 wide and 32 high, but the frames are 80 wide and 64 high"),
        (a_strange_name, r"last\.png has no frame"),
        (another_type, r"00003\.png .* uint16"),
        (colors, "are a color image"),
        (a_corrupt_file, r"00003\.png is not a readable image"),
    ],
)
def test_spoiled_masks_are_named_in_one_sentence(folders, spoil, sentence):
    frames, masks = folders
    spoil(masks)
    with pytest.raises(InputError, match=sentence):
        read_sequence(frames, masks)


def test_a_stack_with_another_number_of_masks(tmp_path, disc_frames, disc_labels):
    tifffile.imwrite(tmp_path / "f.tif", disc_frames, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "m.tif", disc_labels[:5], metadata={"axes": "TYX"})
    with pytest.raises(InputError, match=r"7 frames in .* but 5 masks"):
        read_sequence(tmp_path / "f.tif", tmp_path / "m.tif")


def sequences_of(folder):
    with find_dataset(folder) as data:
        return labeled_sequences(data)


@pytest.mark.parametrize(
    ("make", "annotated"),
    [
        (davis, [range(6)] * 2),
        (images, [range(1)] * 5),
        (sa_v, [range(0, 17, 4)]),
        (sa_1b, [range(1)] * 3),
        (stack, [range(5)]),
    ],
)
def test_every_data_set_for_training_can_be_evaluated_on(tmp_path, make, annotated):
    sequences = sequences_of(make(tmp_path / "set"))
    assert [sequence.annotated for sequence in sequences] == [tuple(frames) for frames in annotated]
    for number, sequence in enumerate(sequences):
        with sequence.frames as frames:
            assert frames[0].shape[:2] == frames.shape
            assert list(sequence.ground_truth) == [1, 2]
            for frame in sequence.annotated:
                labels = label_frame(number if len(sequence.annotated) == 1 else frame, frames.shape)
                for object_id in (1, 2):
                    np.testing.assert_array_equal(sequence.mask(object_id, frame), labels == object_id)


def test_a_cell_with_a_marker_but_no_mask_is_not_scored_there(tmp_path):
    (sequence,) = sequences_of(cell_tracking(tmp_path / "set"))
    sequence.frames.close()
    assert sequence.annotated == (0, 1, 2, 3)
    assert sequence.unknown == {2: {2}}
    assert scored_frames(sequence, 1) == [0, 1, 2, 3]
    assert scored_frames(sequence, 2) == [0, 1, 3]
    assert frames_after(sequence, first_frames(sequence)) == {1: [1, 2], 2: [1]}


def test_images_without_objects_are_left_out(tmp_path):
    folder = images(tmp_path / "set")
    save_image(folder / "labels" / "003.png", np.zeros((54, 64), np.uint8))
    assert [sequence.name[-7:] for sequence in sequences_of(folder)] == [
        f"{number:03}.png" for number in (0, 1, 2, 4)
    ]


def test_a_number_may_join_a_mask_with_its_frame(tmp_path, disc_frames, disc_labels):
    save(tmp_path / "frames", disc_frames, "t{:03d}.png")
    save(tmp_path / "masks", disc_labels[:3], "mask{:d}.png")
    sequence = read_sequence(tmp_path / "frames", tmp_path / "masks")
    assert sequence.annotated == (0, 1, 2)
