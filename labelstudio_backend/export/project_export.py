"""Export of an annotated project as label images, COCO, YouTube-VIS, or a training folder."""

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

from labelstudio_backend.export.annotated_tasks import AnnotatedTask, AnnotatedTasks
from labelstudio_backend.export.project_file import ExportedTask, read_project_file
from labelstudio_backend.schema.keyframes import was_never_tracked
from labelstudio_backend.settings import Settings
from sam2_engine.errors import InputError
from sam2_engine.wording import counted, in_ranges
from sam2_plugins.cli.commands.streams import print_stderr
from sam2_plugins.cli.commands.terminal import run_with_progress_bar
from sam2_plugins.export.coco import write_coco_videos
from sam2_plugins.export.label_tiff import write_label_tiff
from sam2_plugins.export.review_pages.pages import ReviewedTask, write_review_pages
from sam2_plugins.export.targets import ExportSummary, NothingToExportError, new_folder
from sam2_plugins.export.training_folder import write_training_videos
from sam2_plugins.export.youtube_vis import write_youtube_vis
from sam2_plugins.measure.physical_scale import PhysicalScale
from sam2_plugins.session.readable import ReadableSession

__all__ = ["export_project"]

Tasks = Iterable[tuple[ExportedTask, AnnotatedTask]]
Writer = Callable[[Tasks, Path, Settings, bool], Generator[int, None, ExportSummary]]


def export_project(
    project: Path, output: Path, format_name: str, settings: Settings, key: str | None, overwrite: bool
) -> ExportSummary:
    """Write an annotated project.

    Parameters
    ----------
    project
        Label Studio's export, JSON.
    output, overwrite
        The file or folder to write, and whether an earlier export may be replaced.
    format_name
        ``"tiff"``, ``"coco"``, ``"youtube-vis"``, ``"training"`` or ``"review"``.
    settings
        Of the server: where media lies, and where it stored the masks of tracks.
    key
        Under which key of the tasks' data the media is; None to find out.

    Raises
    ------
    InputError
        If the project or the format cannot be used, or nothing in it has a mask.
    """
    if format_name not in _WRITERS:
        raise InputError(f"There is no format {format_name!r}; the known ones are: {', '.join(_WRITERS)}.")
    tasks = read_project_file(project)
    annotated_tasks = AnnotatedTasks(settings, key)
    try:
        pages = _pages(tasks, key)
        steps = _WRITERS[format_name](_masks(annotated_tasks, pages), output, settings, overwrite)
        return run_with_progress_bar(steps, None, "exporting")
    finally:
        annotated_tasks.close()


def _pages(tasks: Iterable[ExportedTask], key: str | None) -> Iterator[ExportedTask]:
    """Yield the pages of tasks that have some; those without a region are named and left out."""
    for task in tasks:
        try:
            pages = task.pages(key)
        except InputError as error:
            print_stderr(f"Note: {task.name} is left out: {error}")
            continue
        empty = [one.page for one in pages if one.page is not None and not _is_drawn_on(one)]
        if empty:
            left_out = in_ranges(page + 1 for page in empty)
            print_stderr(f"Note: of {task.name}, pages without a region are left out: {left_out}.")
        yield from (one for one in pages if one.page not in empty)


def _is_drawn_on(page: ExportedTask) -> bool:
    return any(region.get("type") != "labels" for region in page.regions)


def _masks(
    annotated_tasks: AnnotatedTasks, tasks: Iterable[ExportedTask]
) -> Iterator[tuple[ExportedTask, AnnotatedTask]]:
    """Yield one task after the other; one without a mask, or that cannot be read, is named and left out."""
    for task in tasks:
        try:
            if still := sum(map(was_never_tracked, task.regions)):
                print_stderr(
                    f"Note: in {task.name} {counted(still, 'rectangle')} stood still when the task was "
                    "submitted, before it was tracked; the masks are tracked now."
                )
            with annotated_tasks.open(task) as annotated:
                if annotated.objects:
                    yield task, annotated
                else:
                    print_stderr(f"Note: {task.name} has no mask or track, and is left out.")
        except InputError as error:
            print_stderr(f"Note: {task.name} is left out: {error}")


def _named(tasks: Tasks) -> Iterator[tuple[str, ReadableSession]]:
    return ((task.name, annotated) for task, annotated in tasks)


def _write_tiffs(
    tasks: Tasks, path: Path, settings: Settings, overwrite: bool
) -> Generator[int, None, ExportSummary]:
    """Write a folder with a label TIFF for each task."""
    frames = objects = 0
    with new_folder(path, is_earlier_export=_is_tiff_folder, overwrite=overwrite) as folder:
        for name, session in _named(tasks):
            scale = PhysicalScale()
            summary = yield from write_label_tiff.steps(session, folder / f"{name}.tif", scale)
            frames, objects = frames + summary.frames, objects + summary.objects
        if not frames:
            raise NothingToExportError
    return ExportSummary(path, frames, objects)


def _is_tiff_folder(folder: Path) -> bool:
    return all(one.match("task-*.tif") for one in folder.iterdir())


def _write_review(
    tasks: Tasks, path: Path, settings: Settings, overwrite: bool
) -> Generator[int, None, ExportSummary]:
    """Write a page for each task, with a link back to it; frames are counted from 1, as in Label Studio."""

    def reviewed() -> Iterator[ReviewedTask]:
        for task, annotated in tasks:
            annotated.is_reviewed = False
            yield ReviewedTask(task.name, annotated, task.link(settings.label_studio_url), first=1)

    return (yield from write_review_pages.steps(reviewed(), path, overwrite=overwrite))


_WRITERS: dict[str, Writer] = {
    "tiff": _write_tiffs,
    "coco": lambda tasks, path, _, over: write_coco_videos.steps(_named(tasks), path, overwrite=over),
    "youtube-vis": lambda tasks, path, _, over: write_youtube_vis.steps(_named(tasks), path, overwrite=over),
    "training": lambda tasks, path, _, over: write_training_videos.steps(_named(tasks), path, overwrite=over),
    "review": _write_review,
}
