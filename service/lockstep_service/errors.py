"""What can go wrong while serving, as a branch of the core's tree.

::

    LockstepError
    └── ServiceError
        ├── BadRequest             the bytes are no request of this dialect           400
        ├── UnknownModel           no such model or version                           404
        ├── BodyTooLarge           more bytes than the limit                          413
        ├── UnsupportedMediaType   a content type that the route does not take        415
        ├── NotServing             the model was refused, or the service is stopping  503
        ├── QueueFull              more rows wait than may                            503
        ├── DeadlineExceeded       not answered in time                               504
        └── CannotStart            there is nothing to serve, or no port to serve on  exit 3
"""

from __future__ import annotations

from lockstep.errors import LockstepError


class ServiceError(LockstepError):
    """Base of what goes wrong while serving."""


class BadRequest(ServiceError):
    """The bytes are no request of this dialect."""


class UnknownModel(ServiceError):
    """There is no such model or version."""


class BodyTooLarge(ServiceError):
    """The body has more bytes than the limit."""


class UnsupportedMediaType(ServiceError):
    """The route does not take this content type or encoding."""


class NotServing(ServiceError):
    """The model was refused at load, or the service is stopping."""


class QueueFull(ServiceError):
    """More rows wait than may.

    Attributes:
        retry_after_s: when the queue will have drained, by its measured rate.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(ServiceError):
    """The request was not run before its deadline."""


class CannotStart(ServiceError):
    """There is nothing to serve, or no port to serve on."""
