"""Counters in the text format of Prometheus."""

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from itertools import accumulate

__all__ = ["Metrics"]

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 100.0)
"""Upper bounds of the histogram; Label Studio waits 1 s for health, 3 s for setup, 100 s for predict."""


class Metrics:
    """Counters of requests by path and status, and of how long they took."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._durations: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(_SECONDS) + 1))
        self._lock = threading.Lock()

    def count(self, path: str, status: int, seconds: float) -> None:
        """Add one request."""
        with self._lock:
            self._requests[path, status] += 1
            self._seconds[path] += seconds
            self._durations[path][bisect_left(_SECONDS, seconds)] += 1

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return all counters, and ``gauges`` by name; those that end in ``_total`` are counters, too."""
        lines = ["# TYPE sam2_requests_total counter"]
        with self._lock:
            for (path, status), number in sorted(self._requests.items()):
                lines.append(f'sam2_requests_total{{path="{path}",status="{status}"}} {number}')
            lines.append("# TYPE sam2_request_seconds histogram")
            for path, numbers in sorted(self._durations.items()):
                for bound, number in zip([*map(str, _SECONDS), "+Inf"], accumulate(numbers)):
                    lines.append(f'sam2_request_seconds_bucket{{path="{path}",le="{bound}"}} {number}')
                lines.append(f'sam2_request_seconds_sum{{path="{path}"}} {self._seconds[path]:.6f}')
                lines.append(f'sam2_request_seconds_count{{path="{path}"}} {sum(numbers)}')
        for name, value in gauges.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE {name} {kind}", f"{name} {value:.15g}"]
        return "\n".join(lines) + "\n"
