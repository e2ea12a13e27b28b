"""Media beside Label Studio's own folder: in cloud storage, at its other names, in the task itself."""

import base64
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from labelstudio_harness import DATA, MediaServer

from labelstudio_backend.media.addresses import file_name, redacted, served_address
from labelstudio_backend.media.library import MediaLibrary
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError

SHAPES = (DATA / "media" / "shapes.png").read_bytes()
STORED = "s3://cells/dish 1/shapes.png"
SIGNED = "/cells/dish%201/shapes.png?X-Amz-Signature=secret"


@pytest.fixture
def storage() -> Iterator[MediaServer]:
    """Stands where a bucket is: it gives its file to who has a signature."""
    server = MediaServer()
    server.pages[SIGNED] = (200, {"Content-Type": "image/png"}, SHAPES)
    yield server
    server.close()


def library(label_studio: MediaServer, *allowed: MediaServer, **more: Any) -> MediaLibrary:
    settings = Settings(
        label_studio_url=label_studio.url,
        api_key="key",
        allowed_hosts=frozenset(server.url for server in allowed),
        **more,
    )
    return MediaLibrary(settings)


@pytest.mark.parametrize(
    "address", [STORED, "gs://cells/a.png", "azure-blob://cells/a.png", "redis://c/a.png"]
)
def test_label_studio_resolves_what_lies_in_cloud_storage(
    address: str, media_server: MediaServer, storage: MediaServer
) -> None:
    served = served_address(address, 7)
    media_server.pages[served] = (303, {"Location": storage.url + SIGNED}, b"")
    file = library(media_server, storage).file(served)
    assert file.path.read_bytes() == SHAPES
    assert file.path.suffix == ".png"
    assert media_server.seen == [(served, "Token key")]
    assert storage.seen == [(SIGNED, None)]  # the token stays with Label Studio


def test_label_studio_may_hand_the_file_through(media_server: MediaServer) -> None:
    served = served_address(STORED, 7)
    media_server.pages[served] = (200, {"Content-Type": "image/png"}, SHAPES)
    assert library(media_server).file(served).path.read_bytes() == SHAPES


def test_storage_that_is_not_allowed_is_named_without_its_signature(
    media_server: MediaServer, storage: MediaServer
) -> None:
    served = served_address(STORED, 7)
    media_server.pages[served] = (303, {"Location": storage.url + SIGNED}, b"")
    with pytest.raises(InputError, match="ALLOWED_HOSTS") as refused:
        library(media_server).file(served)
    assert storage.url in str(refused.value)
    assert STORED in str(refused.value)
    assert "secret" not in str(refused.value)
    assert storage.seen == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_signed_address_that_is_refused_does_not_blame_the_token(
    status: int, media_server: MediaServer, storage: MediaServer
) -> None:
    served = served_address(STORED, 7)
    media_server.pages[served] = (303, {"Location": storage.url + SIGNED}, b"")
    storage.pages[SIGNED] = (status, {}, b"<Error/>")
    with pytest.raises(InputError, match="signed address") as refused:
        library(media_server, storage).file(served)
    assert "LABEL_STUDIO_API_KEY" not in str(refused.value)
    media_server.pages[served] = (status, {}, b"")
    with pytest.raises(InputError, match="LABEL_STUDIO_API_KEY"):
        library(media_server, storage).file(served)


def test_storage_that_the_project_is_not_connected_to(media_server: MediaServer) -> None:
    with pytest.raises(InputError, match="Cloud Storage"):
        library(media_server).file(served_address(STORED, 7))


def test_who_is_not_label_studio_has_nothing_fetched_with_its_token(
    media_server: MediaServer, storage: MediaServer
) -> None:
    """Was: an allowed host could send us to any address of Label Studio, token in hand."""
    storage.pages["/a.png"] = (302, {"Location": media_server.url + "/data/upload/1/a-shapes.png"}, b"")
    library(media_server, storage).file(storage.url + "/a.png")
    assert [token for _, token in media_server.seen] == [None]


def test_path_traversal_into_another_bucket_is_refused(media_server: MediaServer) -> None:
    with pytest.raises(InputError, match="climbs"):
        library(media_server).file(served_address("s3://cells/../secrets/a.png", 7))
    assert media_server.seen == []


# ------------------------------------------------------------------ other names, and folders


@pytest.mark.parametrize("public", ["https://labels.example.org", "http://LABELS.example.org:8080/studio/"])
def test_a_public_name_of_label_studio(public: str, media_server: MediaServer) -> None:
    settings = Settings.from_environment(
        {
            "LABEL_STUDIO_URL": media_server.url,
            "LABEL_STUDIO_PUBLIC_URL": f"http://other:1, {public}",
            "LABEL_STUDIO_API_KEY": "key",
        }
    )
    file = MediaLibrary(settings).file(public.rstrip("/") + "/data/local-files/?d=images/shapes.png")
    assert file.path.read_bytes() == SHAPES
    assert media_server.seen == [("/data/local-files/?d=images/shapes.png", "Token key")]
    with pytest.raises(InputError, match="not allowed"):
        MediaLibrary(settings).file("https://labels.example.org:444/data/upload/1/shapes.png")


def test_a_public_name_needs_an_address_to_go_to() -> None:
    for environment in (
        {"LABEL_STUDIO_PUBLIC_URL": "https://labels.example.org"},
        {"LABEL_STUDIO_PUBLIC_URL": "labels.example.org", "LABEL_STUDIO_URL": "http://ls:8080"},
    ):
        with pytest.raises(InputError, match="LABEL_STUDIO_PUBLIC_URL"):
            Settings.from_environment(environment)


@pytest.mark.parametrize("address", ["/data/upload/1/shapes.png", "/studio/data/upload/1/shapes.png"])
def test_label_studio_in_a_folder_of_its_host(address: str, media_server: MediaServer) -> None:
    media_server.pages["/studio/data/upload/1/shapes.png"] = (200, {}, SHAPES)
    settings = Settings(label_studio_url=media_server.url + "/studio")
    assert MediaLibrary(settings).file(address).path.read_bytes() == SHAPES


# ------------------------------------------------------------------ data URIs


@pytest.mark.parametrize(
    "uri",
    [
        "data:image/png;base64," + base64.b64encode(SHAPES).decode(),
        "DATA:image/png;base64," + quote(base64.b64encode(SHAPES).decode()),
        "data:image/png," + quote(SHAPES),
    ],
    ids=["base64", "quoted base64", "quoted"],
)
def test_a_data_uri_is_the_file(uri: str, media_server: MediaServer) -> None:
    pixels, file = library(media_server).image(uri)
    assert pixels.shape[:2] == (480, 640)
    assert file.path.name == "image.png"
    assert media_server.seen == []


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("data:image/png;base64,????", "holds no file"),
        ("data:image/png;base64,", "holds no file"),
        ("data:image/png", "holds no file"),
        ("data:image/png;base64,bm8gaW1hZ2U=", "not an image"),
        ("data:image/png;base64," + "A" * 200, "MAX_MEDIA_BYTES"),
    ],
)
def test_a_data_uri_that_is_none(uri: str, words: str, media_server: MediaServer) -> None:
    with pytest.raises(InputError, match=words) as refused:
        library(media_server, max_media_bytes=100).image(uri)
    assert uri.partition(",")[2][:8] not in str(refused.value) or not uri.partition(",")[2]


# ------------------------------------------------------------------ what messages say


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (served_address(STORED, 7), STORED),
        ("/tasks/7/presign/?fileuri=" + quote("gs://b/a.png", safe=""), "gs://b/a.png"),
        ("The patient, Jane Doe, has: a headache", "a text that is no address"),
        ("Jane: 1 Main Street", "a text that is no address"),
        ("data:image/png;base64,AAAA", "the file within the task (a data URI)"),
        ("http://store/a.png?token=secret", "http://store/a.png"),
        ("http://store/" + "a" * 1000, "http://store/" + "a" * 87 + "…" + "a" * 100),
    ],
)
def test_what_messages_name(address: str, shown: str) -> None:
    assert redacted(address) == shown


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (served_address(STORED, 7), "shapes.png"),
        ("/data/local-files/?d=films/my%20cell.mp4", "my cell.mp4"),
        ("http://store/a%2Fb.png?X=1", "b.png"),
        ("http://store/", "file"),
        ("http://store/..", "file"),
        ("http://store/.hidden.png", "hidden.png"),
        ("http://store/a%00b.png", "a_b.png"),
        ("http://store/" + "ö" * 300 + ".png", "ö" * 98 + ".png"),
    ],
)
def test_what_the_file_is_called(address: str, name: str) -> None:
    assert file_name(address) == name


def test_messages_name_the_tasks_file_and_not_a_temporary_one(media_server: MediaServer) -> None:
    from sam2_engine.frames.video_frames import VideoFrames

    media_server.pages["/data/upload/1/a-film.mp4"] = (200, {"Content-Type": "video/mp4"}, b"no video")
    file = library(media_server).video("/data/upload/1/a-film.mp4")
    with pytest.raises(InputError, match=r"^a-film\.mp4 is neither"):
        VideoFrames(file.path)
