"""The steps of docs/napari.md in a stack of one's own, and the time of each.

    xvfb-run -a -s "-screen 0 1400x900x24" python docs/images/napari_own_stack.py cells.tif 100,200 310,45

The stack is opened by napari's file dialog. Each object is clicked at the given ``x,y`` of the first frame;
all are tracked. There is no ground truth, so the most doubtful masks are taken for right and verified.
Everything is measured, and saved beside the stack as CSV.
"""

import sys
from pathlib import Path

import numpy as np
from napari_person import wait_until
from napari_screenshot import Tutorial
from numpy.typing import NDArray


class OwnStack(Tutorial):
    """The tutorial with another stack, without screenshots."""

    def open_stack(self, path: Path) -> None:
        """Open a file and the dock, by the menus."""
        with self.person.step(f"open {path.name}"):
            self.person.answer_file_dialog(path)
            self.person.choose("File", "Open File")
            wait_until(lambda: len(self.viewer.layers) > 0)
        self.open_dock()
        print(self.dock.image.description.text())

    def _ground_truth_of(self, object_id: int, frame: int) -> NDArray[np.bool_]:
        return self._mask(object_id, frame)


def main(stack: Path, *places: str) -> None:
    """Go through the steps."""
    walk = OwnStack([tuple(map(int, place.split(","))) for place in places], None)
    walk.open_stack(stack)
    walk.click_cells()
    walk.track()
    walk.review()
    walk.measure()
    walk.save(stack.with_suffix(".csv"))
    walk.person.show_times()
    walk.viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
