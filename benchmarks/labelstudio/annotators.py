"""Twenty annotators at once: is every click answered, how long do they wait, and with how much memory?

    python benchmarks/labelstudio/annotators.py [--annotators N] [--minutes M] [--model NAME]

Each annotator has images and a video of their own. Most of what they do is a click, some seconds after the
answer to the last; now and then they box an object of their video, and click on while it is tracked. The
server is the one that ``sam2 serve`` runs, over HTTP. Linux. Exits with 1 if anything was not answered with
status 200. Writes its section of ``benchmarks/results/labelstudio.md``.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from urllib.error import HTTPError
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).parents[1]))

import labelstudio_soak as soak
import scenes

from labelstudio_backend.http.app import Application
from labelstudio_backend.http.listener import Listener
from labelstudio_backend.settings import Settings
from labelstudio_backend.tasks.predictor import Predictor

IMAGES_EACH = 3
VIDEO_FRAMES = 60
THINKING = (2.0, 6.0)
VIDEO_SHARE = 0.1


@dataclass
class Record:
    """What happened: seconds and statuses by kind of request, and memory in MiB over time."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    resident: list[float] = field(default_factory=list)


def work(number: int, url: str, end: float, record: Record) -> None:
    """Annotate until a time."""
    chance, counter = random.Random(number), 0
    while time.monotonic() < end:
        counter += 1
        if chance.random() < VIDEO_SHARE:
            objects = [chance.randrange(10)]
            body = soak.boxes(f"video{number}", 0, VIDEO_FRAMES, objects)
            impatient = threading.Thread(target=ask, args=(url, "track", body, record))
            impatient.start()
            time.sleep(chance.uniform(*THINKING))
            image_click(number, chance, counter, url, record)
            impatient.join()
        else:
            image_click(number, chance, counter, url, record)
        time.sleep(chance.uniform(*THINKING))


def image_click(number: int, chance: random.Random, counter: int, url: str, record: Record) -> None:
    image = number * IMAGES_EACH + chance.randrange(IMAGES_EACH)
    body = soak.click(f"image{image}", image, chance.randrange(10))
    body["params"]["context"]["result"][0]["id"] = f"{number}-{counter}"
    ask(url, "click", body, record)


def ask(url: str, kind: str, body: object, record: Record) -> None:
    start = time.perf_counter()
    try:
        with urlopen(Request(f"{url}/predict", json.dumps(body).encode()), timeout=200) as response:
            status = response.status
    except HTTPError as error:
        with error:
            status = error.code
    record.seconds[kind].append(time.perf_counter() - start)
    record.statuses[kind, status] += 1


def serve(application: Application) -> tuple[str, threading.Event]:
    """Serve as ``sam2 serve`` does, in a thread; return the address and what ends it."""
    from labelstudio_backend.http.server import _MAX_REQUESTS, _SPARE_THREADS

    listener = Listener(application, _MAX_REQUESTS + _SPARE_THREADS, host="127.0.0.1", port=0)
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            listener.step(0.2)
        listener.close()

    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.port}", done


def measure(settings: Settings, annotators: int, minutes: float) -> tuple[Record, float]:
    """Return what happened, and the seconds of processor time."""
    predictor = Predictor(settings)
    predictor.load()
    url, done = serve(Application(predictor, max_requests=200))
    record, begin, processor = Record(), time.monotonic(), time.process_time()
    end = begin + 60 * minutes
    people = [threading.Thread(target=work, args=(number, url, end, record)) for number in range(annotators)]
    for person in people:
        person.start()
    while any(person.is_alive() for person in people):
        record.resident.append(scenes.resident()[0])
        time.sleep(1)
    spent = time.process_time() - processor
    done.set()
    predictor.close()
    return record, spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotators", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--output", type=Path, default=soak.RESULTS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        media = Path(name) / "media"
        media.mkdir()
        for image in range(given.annotators * IMAGES_EACH):
            soak.Image.fromarray(scenes.draw(image)).save(media / f"image{image}.png")
        for number in range(given.annotators):
            soak.write_video(media / f"video{number}.mp4", VIDEO_FRAMES)
        with soak.file_server(media) as url:
            settings = Settings(given.model, "cpu", label_studio_url=url, state_folder=Path(name) / "state")
            record, spent = measure(settings, given.annotators, given.minutes)
    rows = []
    for kind, seconds in sorted(record.seconds.items()):
        late = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
        refused = sum(
            count
            for (one, status), count in record.statuses.items()
            if (one, status) != (kind, 200) and one == kind
        )
        rows += [
            (f"{kind}s", f"{len(seconds)}"),
            (f"{kind}s refused", f"{refused}"),
            (f"{kind}: seconds until the answer, median", f"{median(seconds):.2f}"),
            (f"{kind}: seconds until the answer, 95 %", f"{late:.2f}"),
        ]
    rows += [
        ("processor seconds", f"{spent:.0f}"),
        ("resident MiB at most", f"{max(record.resident):.0f}"),
    ]
    measured = (
        f"{given.annotators} annotators, {given.minutes:g} minutes, {given.model}; {scenes.provenance()}"
    )
    lines = [measured, "", *soak.table("what | ", rows)]
    print("\n".join(lines))
    scenes.write_section(given.output, soak.TITLE, "Annotators at once", lines)
    if any(status != 200 for _, status in record.statuses):
        sys.exit(1)


if __name__ == "__main__":
    main()
