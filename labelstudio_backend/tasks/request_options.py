"""Options of one predict request."""

from dataclasses import dataclass

from labelstudio_backend.schema.project_parameters import ProjectParameters
from labelstudio_backend.tasks.lanes import Ticket

__all__ = ["RequestOptions"]


@dataclass(frozen=True)
class RequestOptions:
    """Options of one predict request.

    Attributes
    ----------
    project
        Label Studio's name of the project, for example ``"2.1795224187"``.
    parameters
        The project's own settings.
    model
        A model's name or file, as the model store takes it.
    model_version
        The name under which Label Studio files the predictions.
    ticket
        By whose deadline the response goes out with what is done.
    """

    project: str
    parameters: ProjectParameters
    model: str
    model_version: str
    ticket: Ticket
