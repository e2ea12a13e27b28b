"""A scheduler and workers of dask as processes of their own, on the loopback interface."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from distributed import Client, Worker


class Cluster:
    """A scheduler, and workers that can be killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._start("scheduler", "dask_scheduler", "--host", "127.0.0.1", "--port", str(self._port))
        self.client = Client(self.address, timeout=60, set_as_default=False)

    def start_worker(self, name: str) -> None:
        scratch = ("--local-directory", str(self._folder), "--nthreads", "1", "--no-nanny")
        self._start(name, "dask_worker", self.address, "--name", name, "--host", "127.0.0.1", *scratch)
        wait_until(lambda: name in self.workers)

    def _start(self, name: str, command: str, *arguments: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command}", "--no-dashboard", *arguments],
                stdout=log,
                stderr=log,
                env=os.environ | {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "60s"},
            )

    @property
    def workers(self) -> dict[str, str]:
        """Addresses by name."""
        info = self.client.scheduler_info(n_workers=-1)["workers"]
        return {worker["name"]: address for address, worker in info.items()}

    @property
    def busy(self) -> list[str]:
        """Names of the workers that have a task."""
        processing = self.client.processing()
        return [name for name, address in self.workers.items() if processing.get(address)]

    def desk_worker(self) -> str:
        """Return the name of a worker that holds the sessions of a program."""

        def actors(dask_worker: Worker) -> int:
            return len(dask_worker.state.actors)

        counts = self.client.run(actors)
        return next(name for name, address in self.workers.items() if counts[address])

    def kill(self, name: str) -> None:
        """End a process at once, as a machine that goes down."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        self.client.close(timeout=5)
        for name in list(self.processes):
            self.kill(name)


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
