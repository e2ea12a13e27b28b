"""Photographs with every kind of pixel: a click finds the same coin in all of them."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from labelstudio_harness import MediaServer, call, iou
from PIL import Image
from scipy.ndimage import binary_fill_holes
from skimage.data import coins
from skimage.measure import label, regionprops

from labelstudio_backend.http.app import Application
from labelstudio_backend.schema.brush_rle import decode_brush_rle
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor
from sam2_engine.modeling.sam2 import Sam2

CONFIG = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Coin"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Coin"/></KeyPointLabels></View>"""
ENLARGED = 12


@pytest.fixture(scope="module")
def application(recorded_server: MediaServer) -> Iterator[Application]:
    predictor = Predictor(
        Settings(model="nano", device="cpu", label_studio_url=recorded_server.url, predict_seconds=600)
    )
    yield Application(predictor)
    predictor.close()


@pytest.fixture(scope="module")
def coin() -> np.ndarray:
    """One coin, by its brightness."""
    parts = regionprops(label(binary_fill_holes(coins() > 130)))
    round_ones = [part for part in parts if part.solidity > 0.95 and part.eccentricity < 0.5]
    largest = max(round_ones, key=lambda part: part.area)
    mask = np.zeros(coins().shape, dtype=bool)
    mask[tuple(largest.coords.T)] = True
    return mask


def ask(
    application: Application, server: MediaServer, name: str, data: bytes, coin: np.ndarray
) -> np.ndarray:
    """Upload a image, click into the coin, and return the brush."""
    address = f"/data/upload/1/{name}"
    server.pages[address] = (200, {}, data)
    y, x = (float(place.mean()) for place in np.nonzero(coin))
    value = {"x": 100 * (x + 0.5) / 384, "y": 100 * (y + 0.5) / 303, "keypointlabels": ["Coin"]}
    region = {"type": "keypointlabels", "to_name": "image", "is_positive": True, "value": value}
    body = {"tasks": [{"id": 1, "data": {"image": address}}], "label_config": CONFIG}
    reply = call(application, "POST", "/predict", {**body, "params": {"context": {"result": [region]}}})
    assert reply.status == 200, reply.body
    (answer,) = reply.json["results"][0]["result"]
    return decode_brush_rle(answer["value"]["rle"], (answer["original_height"], answer["original_width"]))


@pytest.fixture(scope="module")
def reference(application: Application, recorded_server: MediaServer, coin: np.ndarray) -> np.ndarray:
    """The answer for the plain gray image."""
    mask = ask(application, recorded_server, "coins.png", saved(Image.fromarray(coins())), coin)
    assert mask.shape == (303, 384)
    assert iou(mask, coin) >= 0.7
    return mask


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int, kind: str) -> bytes:
    """Save the coins so that only the EXIF orientation makes them upright."""
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 5: Image.Transpose.TRANSPOSE}
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(coins()).transpose(back[orientation])
    return saved(image, kind, exif=exif, **({"quality": 95} if kind == "JPEG" else {}))


@pytest.mark.parametrize(
    ("image", "similar"),
    [
        pytest.param(lambda: saved(Image.fromarray(coins()).convert("RGB")), 0.999, id="rgb"),
        pytest.param(lambda: turned(3, "PNG"), 0.999, id="exif-3"),
        pytest.param(lambda: turned(6, "PNG"), 0.999, id="exif-6"),
        pytest.param(lambda: turned(5, "JPEG"), 0.9, id="exif-5-jpeg"),
        pytest.param(lambda: saved(Image.fromarray(coins().astype(np.uint16) * 200)), 0.8, id="16-bit"),
        pytest.param(
            lambda: saved(Image.fromarray(coins().astype(np.int32) * 9000), "TIFF"), 0.8, id="32-bit"
        ),
        pytest.param(lambda: saved(Image.fromarray(coins() / np.float32(255)), "TIFF"), 0.8, id="float"),
        pytest.param(lambda: saved(Image.fromarray(coins()).convert("LA")), 0.999, id="gray-alpha"),
        pytest.param(lambda: saved(Image.fromarray(coins()).convert("RGBA")), 0.999, id="rgba"),
        pytest.param(lambda: saved(Image.fromarray(coins()).convert("RGB").quantize(64)), 0.9, id="palette"),
        pytest.param(
            lambda: saved(Image.fromarray(coins()).convert("CMYK"), "JPEG", quality=95), 0.9, id="cmyk"
        ),
        pytest.param(lambda: saved(Image.fromarray(coins()), "WEBP", lossless=True), 0.999, id="webp"),
        pytest.param(lambda: saved(Image.fromarray(coins()), "GIF"), 0.999, id="gif"),
    ],
)
def test_the_same_coin_is_found(
    image: Callable[[], bytes],
    similar: float,
    application: Application,
    recorded_server: MediaServer,
    coin: np.ndarray,
    reference: np.ndarray,
    request: pytest.FixtureRequest,
) -> None:
    name = f"coins-{request.node.callspec.id}"
    mask = ask(application, recorded_server, name, image(), coin)
    assert mask.shape == reference.shape
    assert iou(mask, reference) >= similar


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_seen_as_white(
    mode: str, application: Application, recorded_server: MediaServer, coin: np.ndarray
) -> None:
    hidden = coins() < 60
    opaque = Image.fromarray(np.where(hidden, np.uint8(255), coins()))
    noise = np.random.default_rng(0).integers(0, 255, coins().shape, dtype=np.uint8)
    options: dict[str, Any] = {}
    if mode == "P":  # one color of the palette is transparent
        colors = np.where(hidden, np.uint8(0), np.maximum(coins(), 1))
        image = Image.fromarray(colors).convert("P")
        image.putpalette([value for gray in range(256) for value in (gray, gray, gray)])
        options["transparency"] = 0
    else:
        image = Image.fromarray(np.where(hidden, noise, coins())).convert(mode)
        image.putalpha(Image.fromarray(np.where(hidden, np.uint8(0), np.uint8(255))))
    seen = ask(application, recorded_server, "opaque.png", saved(opaque), coin)
    mask = ask(application, recorded_server, f"clear-{mode}.png", saved(image, **options), coin)
    np.testing.assert_array_equal(mask, seen)


def test_the_mask_of_a_large_image_has_its_size(
    application: Application, recorded_server: MediaServer, coin: np.ndarray, reference: np.ndarray
) -> None:
    large = Image.fromarray(coins()).resize((384 * ENLARGED, 303 * ENLARGED), Image.Resampling.BICUBIC)
    mask = ask(application, recorded_server, "large.jpg", saved(large, "JPEG", quality=90), coin)
    assert mask.shape == (303 * ENLARGED, 384 * ENLARGED)
    assert iou(mask[ENLARGED // 2 :: ENLARGED, ENLARGED // 2 :: ENLARGED], reference) >= 0.9


def test_the_second_click_on_an_image_encodes_and_fetches_nothing(
    application: Application,
    recorded_server: MediaServer,
    coin: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded = []
    encode = Sam2.encode_image

    def counting(self: Sam2, pixels: Any) -> Any:
        encoded.append(pixels.shape)
        return encode(self, pixels)

    monkeypatch.setattr(Sam2, "encode_image", counting)
    data = saved(Image.fromarray(coins()[::-1].copy()))
    recorded_server.seen.clear()
    for _ in range(3):
        ask(application, recorded_server, "twice.png", data, coin[::-1])
    assert len(encoded) == 1
    assert len(recorded_server.seen) == 1
