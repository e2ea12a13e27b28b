import pytest

from labelstudio_backend.labeling_config import LabelingConfig
from sam2_engine.errors import InputError

IMAGE = """<View>
  <Image name="image" value="$picture" zoom="true"/>
  <KeyPointLabels name="kp" toName="image" smart="true"><Label value="Ball"/></KeyPointLabels>
  <BrushLabels name="brush" toName="image"><Label value="Ball"/><Label value="Box" alias="box"/></BrushLabels>
</View>"""
VIDEO = """<View>
  <Labels name="kinds" toName="video"><Label value="Ball"/></Labels>
  <Video name="video" value="$video" framerate="{rate}"/>
  <VideoRectangle name="box" toName="video"/>
</View>"""


def test_an_image_with_a_brush() -> None:
    media, control = LabelingConfig.parse(IMAGE).target()
    assert (media.kind, media.name, media.source({"picture": " /data/a.png "})) == (
        "Image",
        "image",
        "/data/a.png",
    )
    assert (control.kind, control.name, control.labels) == ("BrushLabels", "brush", ("Ball", "box"))


def test_a_video_with_rectangles() -> None:
    media, control = LabelingConfig.parse(VIDEO.format(rate="23.976")).target()
    assert (media.kind, control.kind, control.name) == ("Video", "VideoRectangle", "box")
    assert media.frames_per_second({}) == 23.976


def test_the_frame_rate_may_be_in_the_task_or_missing() -> None:
    media, _ = LabelingConfig.parse(VIDEO.format(rate="$fps")).target()
    assert media.frames_per_second({"fps": 12.5}) == 12.5
    assert media.frames_per_second({"fps": "30"}) == 30
    with pytest.raises(InputError, match="framerate"):
        media.frames_per_second({})
    without, _ = LabelingConfig.parse(VIDEO.replace('framerate="{rate}"', "")).target()
    assert without.frames_per_second({}) == 24


@pytest.mark.parametrize("rate", ["0", "-3", "nan", "inf", "many"])
def test_a_frame_rate_that_is_none(rate: str) -> None:
    media, _ = LabelingConfig.parse(VIDEO.format(rate=rate)).target()
    with pytest.raises(InputError, match="framerate"):
        media.frames_per_second({})


def test_a_task_without_the_media() -> None:
    media, _ = LabelingConfig.parse(IMAGE).target()
    for data in ({}, {"picture": None}, {"picture": ["a"]}, {"picture": " "}):
        with pytest.raises(InputError, match=r"\$picture"):
            media.source(data)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (None, "no labeling configuration"),
        ("", "no labeling configuration"),
        ("<View>", "not valid XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "entities"),
    ],
)
def test_what_is_no_configuration(xml: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        LabelingConfig.parse(xml)


def test_a_configuration_that_nothing_can_fill() -> None:
    config = LabelingConfig.parse('<View><Image name="a" value="$a"/><Choices name="c" toName="a"/></View>')
    with pytest.raises(InputError, match="BrushLabels"):
        config.target()
