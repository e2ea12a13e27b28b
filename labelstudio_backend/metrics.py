"""Counters in the text format of Prometheus."""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping

__all__ = ["Metrics"]


class Metrics:
    """Requests by path and status, and the seconds spent on them."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def count(self, path: str, status: int, seconds: float) -> None:
        """Add one answered request."""
        with self._lock:
            self._requests[path, status] += 1
            self._seconds[path] += seconds

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return all counters, and ``gauges`` by name."""
        lines = ["# TYPE sam2_requests_total counter"]
        with self._lock:
            for (path, status), number in sorted(self._requests.items()):
                lines.append(f'sam2_requests_total{{path="{path}",status="{status}"}} {number}')
            lines.append("# TYPE sam2_request_seconds_total counter")
            for path, seconds in sorted(self._seconds.items()):
                lines.append(f'sam2_request_seconds_total{{path="{path}"}} {seconds:.6f}')
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name} {value:g}"]
        return "\n".join(lines) + "\n"
