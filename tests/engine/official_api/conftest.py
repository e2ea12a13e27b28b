"""The weights drawn by seed are those of the parity tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "parity"))
