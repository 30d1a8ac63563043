"""What an AWS API refuses, in AWS's words."""


class ApiError(Exception):
    """An error answer: HTTP status, AWS's code, a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def not_implemented(what: str) -> ApiError:
    """Refuse an operation that is not there; never a 500."""
    return ApiError(501, "NotImplemented", f"The local platform does not implement {what}")
