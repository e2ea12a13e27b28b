"""A long day of a Label Studio backend: does its memory stay flat, and how long do annotators wait?

    python benchmarks/labelstudio_soak.py [--only PART] [--model NAME] [--requests N] [--tasks N] [--frames N]

Three parts: what an open task holds in memory; how long clicks and tracks take; and one process that serves
requests over many tasks, images and videos in turns, with caches so small that they overflow all the time.
Linux. Exits with 1 if a response was not 200. Each part writes its section
of ``benchmarks/results/labelstudio.md``.
"""

import argparse
import functools
import io
import json
import math
import random
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import av
import scenes
from PIL import Image

from labelstudio_backend.http.app import Application
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor

RESULTS = Path(__file__).parent / "results" / "labelstudio.md"
TITLE = "Label Studio: what annotators wait for, and what a long day costs in memory"
IMAGES = """<View><Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="Disc"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="Disc"/></KeyPointLabels></View>"""
VIDEOS = """<View><Labels name="kind" toName="video"><Label value="Disc"/></Labels>
  <Video name="video" value="$video" framerate="25"/>
  <VideoRectangle name="box" toName="video" smart="true"/></View>"""
SMALL = {
    "session_bytes": 8 << 20,
    "feature_bytes": 32 << 20,
    "cache_bytes": 2 << 20,
    "track_bytes": 4 << 20,
    "max_sessions": 3,
}
ALLOWED_GROWTH = 0.05
SOAK_FRAMES = 6
POINTS_OF_CURVE = 20
RADIUS = 18
LARGE = (4000, 3000)
COUNTS = (1, 5)
DISCS = range(1, 6)


@contextmanager
def file_server(folder: Path) -> Any:
    """Serve a folder where Label Studio would be."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_media(folder: Path, tasks: int, frames: int) -> None:
    for task in range(tasks):
        if is_video(task):
            write_video(folder / f"{task}.mp4", SOAK_FRAMES, first=task)
        else:
            Image.fromarray(scenes.draw(task)).save(folder / f"{task}.png")
    Image.fromarray(scenes.draw(0)).resize(LARGE).save(folder / "large.jpg")
    for objects in COUNTS:
        write_video(folder / f"long{objects}.mp4", frames)


def write_video(path: Path, frames: int, first: int = 0) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = scenes.WIDTH, scenes.HEIGHT, "yuv420p"
        for number in range(first, first + frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scenes.draw(number))))
        container.mux(stream.encode())


def is_video(task: int) -> bool:
    return task % 5 == 4


# ---------------------------------------------------------------------- requests


def percent(x: float, y: float) -> dict[str, float]:
    return {"x": 100 * (x + 0.5) / scenes.WIDTH, "y": 100 * (y + 0.5) / scenes.HEIGHT}


def click(task: int | str, frame: int, number: int, suffix: str = "png") -> dict[str, Any]:
    """A click into a disc of an image task."""
    value = {**percent(*scenes.center(frame, number)), "width": 1, "keypointlabels": ["Disc"]}
    region = {"id": "a", "type": "keypointlabels", "to_name": "image", "from_name": "point", "value": value}
    return predict_body(task, {"image": f"/{task}.{suffix}"}, [{**region, "is_positive": True}], IMAGES)


def boxes(task: int | str, frame: int, frames: int, objects: list[int]) -> dict[str, Any]:
    """Rectangles around discs on the first frame of a video task."""
    regions = []
    for number in objects:
        x, y = scenes.center(frame, number)
        corner, sides = percent(x - RADIUS, y - RADIUS), percent(2 * RADIUS, 2 * RADIUS)
        item = {**corner, "width": sides["x"], "height": sides["y"], "rotation": 0}
        sequence = [{"frame": 1, "time": 0.04, "enabled": True, **item}]
        value = {"framesCount": frames, "duration": frames / 25, "sequence": sequence, "labels": ["Disc"]}
        names = {"from_name": "box", "to_name": "video"}
        regions.append({"id": str(number), "type": "videorectangle", **names, "value": value})
    return predict_body(task, {"video": f"/{task}.mp4"}, regions, VIDEOS)


def predict_body(task: int | str, data: dict[str, str], regions: list[Any], config: str) -> dict[str, Any]:
    tasks = [{"id": task, "project": 1, "data": data}]
    return {"tasks": tasks, "label_config": config, "params": {"context": {"result": regions}}}


def send(application: Application, path: str, body: object = None) -> tuple[int, bytes]:
    data = b"" if body is None else json.dumps(body).encode()
    status: list[int] = []
    environ: Any = {
        "REQUEST_METHOD": "GET" if body is None else "POST",
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": io.BytesIO(data),
    }
    response = b"".join(application(environ, lambda line, _: status.append(int(line[:3]))))  # type: ignore[arg-type]
    return status[0], response


def timed(application: Application, body: object) -> float:
    start = time.perf_counter()
    status, response = send(application, "/predict", body)
    if status != 200:
        sys.exit(f"a request got status {status}: {response.decode()}")
    return time.perf_counter() - start


# ---------------------------------------------------------------------- measurements


def soak(settings: Settings, requests: int, tasks: int) -> list[tuple[int, float]]:
    """Resident memory in MiB after so many requests of a mixed day."""
    predictor = Predictor(settings)
    predictor.load()
    application, chance, curve = Application(predictor), random.Random(0), []
    for number in range(1, requests + 1):
        task = chance.randrange(tasks)
        disc = chance.randrange(10)
        if chance.random() < 0.05:
            timed(application, predict_body(task, {"image": f"/{task}.png"}, [], IMAGES))  # after Submit
        elif is_video(task):
            timed(application, boxes(task, task, SOAK_FRAMES, [disc]))
        else:
            timed(application, click(task, task, disc))
        if number * POINTS_OF_CURVE // requests > (number - 1) * POINTS_OF_CURVE // requests:
            curve.append((number, scenes.resident()[0]))
            print(f"{number} requests: {curve[-1][1]:.0f} MiB", flush=True)
    print(send(application, "/metrics")[1].decode())
    predictor.close()
    return curve


def growth(curve: list[tuple[int, float]]) -> float:
    """How much more memory the last quarter takes than the second, as a share."""
    values, quarter = [value for _, value in curve], max(1, len(curve) // 4)
    return median(values[-quarter:]) / median(values[quarter : 2 * quarter]) - 1


def latencies(settings: Settings, frames: int) -> dict[str, float]:
    """Seconds of what an annotator waits for."""
    predictor = Predictor(settings)
    predictor.load()
    application = Application(predictor)
    timed(application, click(0, 0, 0))  # the very first of a process sets up threads
    found = {
        "first click on an image (480 x 360)": timed(application, click(1, 1, 0)),
        "second click": median(timed(application, click(1, 1, disc)) for disc in DISCS),
        "first click on a JPEG of 12 megapixels": timed(application, click("large", 0, 0, "jpg")),
        "second click on it": median(timed(application, click("large", 0, disc, "jpg")) for disc in DISCS),
    }
    for objects in COUNTS:
        with polled(application) as waits:
            body = boxes(f"long{objects}", 0, frames, list(range(objects)))
            found[f"track of {frames} frames, objects: {objects}"] = timed(application, body)
        for path, seconds in waits.items():
            found[f"{path} meanwhile, the longest of {len(seconds)}"] = max(seconds, default=math.nan)
    predictor.close()
    return found


@contextmanager
def polled(application: Application) -> Any:
    """Request health and setup again and again, and collect how long the responses took."""
    requests = {"/health": None, "/setup": {"project": "1.1", "schema": VIDEOS}}
    waits: dict[str, list[float]] = {path: [] for path in requests}
    end = threading.Event()

    def poll() -> None:
        while not end.wait(0.2):
            for path, body in requests.items():
                start = time.perf_counter()
                send(application, path, body)
                waits[path].append(time.perf_counter() - start)

    thread = threading.Thread(target=poll)
    thread.start()
    yield waits
    end.set()
    thread.join()


def session_memory(settings: Settings, tasks: int, images: int = 8) -> dict[str, float]:
    """MiB per open image and per open video."""
    predictor = Predictor(settings)
    predictor.load()
    application = Application(predictor)
    timed(application, click("large", 0, 0, "jpg"))
    start = scenes.resident()[0]
    image_tasks = [task for task in range(tasks) if not is_video(task)][:images]
    for task in image_tasks:
        timed(application, click(task, task, 0))
    after_images = scenes.resident()[0]
    features = predictor.gauges["sam2_feature_bytes"] / predictor.gauges["sam2_sessions"] / 2**20
    videos = [task for task in range(tasks) if is_video(task)][: settings.max_sessions]
    for task in videos:
        timed(application, boxes(task, task, SOAK_FRAMES, [0]))
    per_video = (scenes.resident()[0] - after_images) / len(videos)
    found = {
        "model loaded, one click done": start,
        "each further open image (480 x 360)": (after_images - start) / len(image_tasks),
        "of which one encoded frame": features,
        f"each open video ({SOAK_FRAMES} tracked frames)": per_video,
    }
    predictor.close()
    return found


def table(heads: str, rows: list[tuple[str, str]]) -> list[str]:
    return [f"| {heads} |", "|---|---:|", *(f"| {name} | {value} |" for name, value in rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given twice")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--output", type=Path, default=RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        media = Path(name) / "media"
        media.mkdir()
        write_media(media, given.tasks, given.frames)
        with file_server(media) as url:
            settings = Settings(given.model, "cpu", label_studio_url=url, predict_seconds=3600)
            small = replace(settings, state_folder=Path(name) / "state", **SMALL)
            for part in given.only or PARTS:
                measured = f"{given.model}; {scenes.provenance()}"
                lines = PARTS[part](small if part == "soak" else settings, given)
                scenes.write_section(given.output, TITLE, HEADINGS[part], [measured, "", *lines])
                scenes.release_freed()


def report_memory(settings: Settings, given: argparse.Namespace) -> list[str]:
    found = session_memory(settings, given.tasks)
    return table("what | MiB", [(name, f"{value:.1f}") for name, value in found.items()])


def report_waiting(settings: Settings, given: argparse.Namespace) -> list[str]:
    found = latencies(settings, given.frames)
    return table("what | seconds", [(name, f"{value:.3f}") for name, value in found.items()])


def report_soak(settings: Settings, given: argparse.Namespace) -> list[str]:
    curve = soak(settings, given.requests, given.tasks)
    grown = growth(curve)
    verdict = "flat" if grown <= ALLOWED_GROWTH else "NOT flat"
    if grown > ALLOWED_GROWTH:
        print(f"memory grew by {100 * grown:.1f} %", file=sys.stderr)
    return [
        f"{given.requests} requests over {given.tasks} tasks, four of five images, the others videos of "
        f"{SOAK_FRAMES} frames; the caches hold a few of them. Memory is {verdict}: the last quarter takes "
        f"{100 * grown:+.1f} % against the second.",
        "",
        *table("requests | resident MiB", [(str(number), f"{value:.0f}") for number, value in curve]),
    ]


PARTS = {"memory": report_memory, "waiting": report_waiting, "soak": report_soak}
HEADINGS = {"memory": "Memory of an open task", "waiting": "Waiting", "soak": "A long day"}


if __name__ == "__main__":
    main()
