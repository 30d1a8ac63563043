"""What an AWS API refuses, in AWS's words; what the HTTP server refuses."""

from collections.abc import Mapping


class ApiError(Exception):
    """An error answer: HTTP status, AWS's code, a message, and what else S3's document carries."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details or {}
        self.headers = headers or {}


class BrokenOffError(Exception):
    """The rest of an answer whose beginning has gone out cannot be sent: the connection is closed, a line says why."""


class BadRequestError(Exception):
    """The bytes are no request that this server takes; the connection is closed after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def not_implemented(what: str) -> ApiError:
    """Refuse an operation that is not there; never a 500."""
    return ApiError(501, "NotImplemented", f"The local platform does not implement {what}")


def not_kept(code: str, why: object) -> ApiError:
    """A change that could not be written to the data folder, and was taken back: AWS's code for an error of its own."""
    return ApiError(500, code, f"The data folder cannot be written ({why}); nothing was changed. Free disk space.")
