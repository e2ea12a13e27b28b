"""Entry point of ``sam2`` and ``python -m sam2_plugins``."""

import os
import signal
import sys

__all__ = ["main"]  # whatever else is imported, is imported once Ctrl-C is taken care of


def main() -> int:
    """Run the command line; see ``sam2_plugins.cli.app``."""
    # Read once, when PyTorch is loaded: idle threads sleep instead of spinning. Where something else uses
    # the cores, spinning threads steal them from the very threads they wait for: on two busy cores a
    # click took 3 s, and 60 ms like this; on two quiet ones it takes 13 ms instead of 8.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop_at_once)
    if not _is_there():
        os.write(2, b"sam2: The working directory was deleted; change to one that is there.\n")
        return 2
    from sam2_plugins.cli.app import main as run

    return run()


def _is_there() -> bool:
    """Whether the working directory exists: without it, PyTorch says that its own libraries are missing."""
    from pathlib import Path

    try:
        return bool(Path.cwd())
    except OSError:
        return False


def _stop_at_once(number: int, frame: object) -> None:
    """End this process while it loads: nothing is written yet, and some libraries swallow exceptions."""
    os.write(2, b"Stopped.\n")
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
