"""Where ``sam2`` and ``python -m sam2_plugins`` begin."""

import os
import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line; see ``sam2_plugins.cli``."""
    # Read once, when PyTorch is loaded: idle threads then sleep instead of spinning. On a machine that
    # is busy with something else, spinning threads steal the cores that the others wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from sam2_plugins import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
