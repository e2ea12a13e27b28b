"""The job of segmenting everything on one image."""

import math
from dataclasses import dataclass, field

from typing_extensions import override

from sam2_engine.disk import check_space
from sam2_engine.errors import InputError
from sam2_engine.preprocessing import window_of
from sam2_engine.wording import counted
from sam2_plugins.batch.job import FileJob, JobHost, Reading
from sam2_plugins.export.label_tiff import TIFF_SUFFIXES, write_label_image
from sam2_plugins.runtime.atomic_files import check_output
from sam2_plugins.session.automatic_segmentation import (
    AutomaticSettings,
    FoundObject,
    find_objects,
    number_objects,
)
from sam2_plugins.session.label_image import label_dtype

__all__ = ["AutoJob"]


@dataclass(frozen=True)
class AutoJob(FileJob):
    """Every object of one image, found without a prompt, into a label image.

    Attributes
    ----------
    settings
        What to look for.
    model, reading
        Which model, and how the file is read.
    """

    settings: AutomaticSettings = field(default_factory=AutomaticSettings)
    model: str = "nano"
    reading: Reading = field(default_factory=Reading)

    @override
    def run(self, host: JobHost) -> bool:
        check_output(self.output, suffixes=TIFF_SUFFIXES, inputs=self.inputs)
        with self.reading.open(self.source, single=True) as frames:
            if len(frames) != 1:
                raise InputError(
                    f"{self.source} is a stack ({frames.description}); `sam2 auto` takes a single image."
                )
            if frames.note:
                host.note(f"Note: {self.source.name}: {frames.note}.")
            check_space(self.output, math.prod(frames.shape) * label_dtype(0).itemsize)
            window = window_of(frames, self.reading.contrast)
            search = find_objects(host.store, self.model, frames[0], window, self.settings)
            found: list[FoundObject]
            with host.counting("clicks") as on_progress:
                while True:
                    try:
                        on_progress(*next(search))
                    except StopIteration as end:
                        found = end.value
                        break
            labels = number_objects(frames.shape, found)
        write_label_image(self.output, labels)
        if not found:
            host.note("Nothing was found; lower --confidence, or use more --points-per-side.")
        host.say(counted(len(found), "object"))
        host.say(f"{self.output}")
        return False
