"""The errors of the service, as a branch of the core's tree.

::

    LockstepError
    └── ServiceError
        ├── BadRequest             the bytes are not a request of this dialect        400
        ├── UnknownModel           no such model or version                           404
        ├── BodyTooLarge           more bytes than the limit                          413
        ├── UnsupportedMediaType   a content type that the route does not take        415
        ├── NotServing             the model was refused, or the service is stopping  503
        ├── QueueFull              the queue has no room for the rows                 503
        ├── DeadlineExceeded       not answered in time                               504
        └── CannotStart            there is nothing to serve, or no port to serve on  exit 3

The numbers are the statuses of HTTP, by `http.problems`, and the exit code of the process.
"""

from __future__ import annotations

from lockstep.errors import LockstepError


class ServiceError(LockstepError):
    """Base of the service's errors."""


class BadRequest(ServiceError):
    """The bytes are not a request of this dialect."""


class UnknownModel(ServiceError):
    """There is no such model or version."""


class BodyTooLarge(ServiceError):
    """The body has more bytes than the limit."""


class UnsupportedMediaType(ServiceError):
    """The route does not take this content type or encoding."""


class NotServing(ServiceError):
    """The model was refused at load, or the service is stopping."""


class QueueFull(ServiceError):
    """The queue has no room for the rows.

    Args:
        message: for the client.
        retry_after_s: as the attribute.

    Attributes:
        retry_after_s: seconds until the queue has drained, by its measured rate.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(ServiceError):
    """The request was not run before its deadline."""


class CannotStart(ServiceError):
    """There is nothing to serve, or no port to serve on."""
