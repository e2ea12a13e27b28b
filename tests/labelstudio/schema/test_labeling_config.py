import pytest

from labelstudio_backend.schema.labeling_config import ControlTag, LabelingConfig, MediaTag
from sam2_engine.errors import InputError

IMAGE = """<View>
  <Image name="image" value="$image" zoom="true"/>
  <KeyPointLabels name="kp" toName="image" smart="true"><Label value="Ball"/></KeyPointLabels>
  <BrushLabels name="brush" toName="image"><Label value="Ball"/><Label value="Box" alias="box"/></BrushLabels>
</View>"""
VIDEO = """<View>
  <Labels name="kinds" toName="video"><Label value="Ball"/></Labels>
  <Video name="video" value="$video" framerate="{rate}"/>
  <VideoRectangle name="box" toName="video"/>
</View>"""


EVERYTHING = """<View>
  <Image name="left" value="$left"/><Image name="right" value="$right"/>
  <Labels name="kinds" toName="right"><Label value="Ball"/></Labels>
  <Ellipse name="oval" toName="right"/>
  <RectangleLabels name="box" toName="left"><Label value="Ball"/><Label value="Box"/></RectangleLabels>
  <PolygonLabels name="polygon" toName="left"><Label value="Box"/></PolygonLabels>
  <BitmaskLabels name="bitmask" toName="left"><Label value="Ball"/></BitmaskLabels>
  <BrushLabels name="brush" toName="left" value="$labels"/>
  <Choices name="choice" toName="left"><Choice value="Good"/></Choices>
</View>"""


def all_targets(xml: str) -> list[tuple[MediaTag, tuple[ControlTag, ...]]]:
    return [(target.media, target.controls) for target in LabelingConfig.parse(xml).targets()]


def test_an_image_with_a_brush() -> None:
    ((media, (control,)),) = all_targets(IMAGE)
    assert (media.kind, media.name, media.source({"data": {"image": " /data/a.png "}})) == (
        "Image",
        "image",
        "/data/a.png",
    )
    assert (control.kind, control.name, control.labels) == ("BrushLabels", "brush", ("Ball", "box"))


def test_a_video_with_rectangles() -> None:
    ((media, (control,)),) = all_targets(VIDEO.format(rate="23.976"))
    assert (media.kind, control.kind, control.name) == ("Video", "VideoRectangle", "box")
    assert media.frames_per_second({}) == 23.976


def test_the_frame_rate_may_be_in_the_task_or_missing() -> None:
    ((media, _),) = all_targets(VIDEO.format(rate="$fps"))
    assert media.frames_per_second({"fps": 12.5}) == 12.5
    assert media.frames_per_second({"fps": "30"}) == 30
    with pytest.raises(InputError, match="framerate"):
        media.frames_per_second({})
    ((without, _),) = all_targets(VIDEO.replace('framerate="{rate}"', ""))
    assert without.frames_per_second({}) == 24


@pytest.mark.parametrize("rate", ["0", "-3", "nan", "inf", "many"])
def test_a_frame_rate_that_is_none(rate: str) -> None:
    ((media, _),) = all_targets(VIDEO.format(rate=rate))
    with pytest.raises(InputError, match="framerate"):
        media.frames_per_second({})


def test_a_task_without_the_media() -> None:
    ((media, _),) = all_targets(IMAGE)
    for data in ({}, {"image": None}, {"image": ["a"]}, {"image": " "}):
        with pytest.raises(InputError, match=r"\$image"):
            media.source({"data": data})


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
        config.targets()


def test_controls_are_preferred_in_the_order_of_the_documentation() -> None:
    (_, left), (_, right) = all_targets(EVERYTHING)
    assert [control.name for control in left] == ["brush", "bitmask", "polygon", "box"]
    assert [(control.name, control.labels, control.labeled_by) for control in right] == [
        ("oval", ("Ball",), "kinds")
    ]
    preferring = LabelingConfig.parse(EVERYTHING).targets("polygon")[0]
    assert [control.name for control in preferring.controls] == ["polygon", "brush", "bitmask", "box"]


def test_the_first_control_tag_that_has_the_label_is_used() -> None:
    config = LabelingConfig.parse(
        EVERYTHING.replace(' value="$labels"/>', '><Label value="Cat"/></BrushLabels>')
    )
    left, right = config.targets()
    assert left.control_for("Cat").name == "brush"
    assert left.control_for("Ball").name == "bitmask"
    assert left.control_for("Box").name == "polygon"
    assert right.control_for().name == "oval"
    with pytest.raises(InputError, match="no label 'Dog'"):
        left.control_for("Dog")
    with pytest.raises(InputError, match="choose a label first"):
        left.control_for()


def test_dynamic_labels_are_all_accepted() -> None:
    assert LabelingConfig.parse(EVERYTHING).targets()[0].control_for("Zebra").name == "brush"


def test_drawn_regions_belong_to_the_image_that_they_name() -> None:
    config = LabelingConfig.parse(EVERYTHING)
    assert config.target_of([{}]).media.name == "left"
    assert config.target_of([{"to_name": "right"}]).media.name == "right"
    with pytest.raises(InputError, match="several images"):
        config.target_of([{"to_name": "right"}, {"to_name": "left"}])
    with pytest.raises(InputError, match="no tag for 'middle'"):
        config.target_of([{"to_name": "middle"}])


LISTED = """<View>
  <Image name="image" valueList="$pages"/>
  <BrushLabels name="brush" toName="image"><Label value="Ball"/><Label value="Round"/></BrushLabels>
  <RectangleLabels name="box" toName="image"><Label value="Ball"/><Label value="Box"/></RectangleLabels>
</View>"""


@pytest.mark.parametrize(
    ("value", "data", "address"),
    [
        ("$image.url", {"image": {"url": "/data/a.png"}}, "/data/a.png"),
        ("$images[1]", {"images": ["/data/a.png", "/data/b.png"]}, "/data/b.png"),
        ("$a.b[0].c", {"a": {"b": [{"c": "/data/c.png"}]}}, "/data/c.png"),
        ("/data/upload/4/$f", {"f": "d.png"}, "/data/upload/4/d.png"),
        ("$my-image", {"my-image": "/data/e.png"}, "/data/e.png"),
        ("$image.url", {"image.url": "/data/f.png"}, "/data/f.png"),
        ("s3://cells/$f", {"f": "g.png"}, "/tasks/7/resolve/?fileuri=czM6Ly9jZWxscy9nLnBuZw=="),
    ],
)
def test_where_a_task_has_its_image(value: str, data: dict[str, object], address: str) -> None:
    ((media, _),) = all_targets(IMAGE.replace("$image", value))
    assert media.source({"id": 7, "data": data}) == address


@pytest.mark.parametrize("value", ["$image.url", "$images[3]", "$images[0].url", "/data/$image"])
def test_where_a_task_has_none(value: str) -> None:
    ((media, _),) = all_targets(IMAGE.replace("$image", value))
    with pytest.raises(InputError, match="no address"):
        media.source({"id": 7, "data": {"images": ["a.png"]}})


@pytest.mark.parametrize("spelling", ["valueList", "valuelist"])
def test_an_image_with_pages(spelling: str) -> None:
    media = LabelingConfig.parse(LISTED.replace("valueList", spelling)).targets()[0].media
    task = {"id": 7, "data": {"pages": ["/data/a.png", "gs://cells/b.png"]}}
    assert media.source(task) == "/data/a.png"
    assert media.source(task, 1).startswith("/tasks/7/resolve/")
    with pytest.raises(InputError, match="page 3"):
        media.source(task, 2)
    for wrong in ("/data/a.png", [], [1], None):
        with pytest.raises(InputError, match="no list of addresses"):
            media.source({"data": {"pages": wrong}})


def test_a_region_with_several_labels_needs_a_control_tag_that_has_them_all() -> None:
    (target,) = LabelingConfig.parse(LISTED).targets()
    assert target.control_for("Ball", "Round").name == "brush"
    assert target.control_for("Ball", "Box").name == "box"
    with pytest.raises(InputError, match="no label 'Box'"):
        target.control_for("Round", "Box")


def test_cloud_storage_needs_the_number_of_the_task() -> None:
    ((media, _),) = all_targets(IMAGE)
    for task in ({}, {"id": "../api"}, {"id": None}):
        with pytest.raises(InputError, match="cloud storage"):
            media.source({**task, "data": {"image": "s3://cells/a.png"}})


REPEATED = '<View><Repeater on="$images"><Image name="i{{idx}}" value="$images[{{idx}}]"/></Repeater>'


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('<Label value="Box" alias="box"/>', "", None),
        ('smart="true"><Label value="Ball"/>', 'smart="true"><Label value="Cat"/>', "no label 'Cat'"),
        ('smart="true"><Label value="Ball"/>', 'smartOnly="true"><Label value="Cat"/>', "no label 'Cat'"),
        ('smart="true"><Label value="Ball"/>', '><Label value="Cat"/>', None),  # it sends nothing
        ('name="kp" toName="image"', 'name="kp" toName="other"', "cannot be answered"),
        ("<View>", REPEATED, "Repeater"),
    ],
)
def test_what_can_only_be_answered_by_an_error_is_refused(before: str, after: str, words: str | None) -> None:
    assert before in IMAGE
    config = LabelingConfig.parse(IMAGE.replace(before, after))
    if words is None:
        config.check()
    else:
        with pytest.raises(InputError, match=words):
            config.check()


def test_a_video_whose_rectangles_have_no_label_is_refused() -> None:
    xml, label = VIDEO.format(rate="25"), '<Label value="Ball"/>'
    LabelingConfig.parse(xml).check()
    LabelingConfig.parse(xml.replace(label, "").replace('"kinds"', '"kinds" value="$kinds"')).check()
    without = LabelingConfig.parse(xml.replace(label, ""))
    with pytest.raises(InputError, match="has no labels"):
        without.check()
