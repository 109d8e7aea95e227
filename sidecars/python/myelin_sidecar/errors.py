"""Named endings of a call. Raise them from ``infer``; every other exception becomes ``failed``."""
from __future__ import annotations


class SidecarError(Exception):
    """A call that ended without a result. ``code`` is one of the protocol's."""

    code = "failed"
    retryable = False

    def __init__(self, message: str = "", *, retryable: "bool | None" = None):
        super().__init__(message or self.code)
        if retryable is not None:
            self.retryable = retryable


class BadInput(SidecarError):
    """The caller's fault. Name the tensor or parameter, and the cure."""

    code = "bad-input"


class Failed(SidecarError):
    """The model's fault; ``retryable`` says whether another attempt can help. The message reaches the caller as it is."""


class Cancelled(SidecarError):
    """The caller does not want the answer any more."""

    code = "cancelled"


class DeadlineExceeded(SidecarError):
    """The time that the caller would wait is over."""

    code = "deadline"


class OutOfMemory(SidecarError):
    code = "out-of-memory"
    retryable = True


class UnknownModel(SidecarError):
    code = "unknown-model"


class Overloaded(SidecarError):
    code = "overloaded"
    retryable = True


class TooLarge(SidecarError):
    code = "too-large"


class Draining(SidecarError):
    """The sidecar was told to end; nothing was done."""

    code = "draining"
    retryable = True


def named(fault: BaseException) -> SidecarError:
    """Any exception as an ending of a call."""
    if isinstance(fault, SidecarError):
        return fault
    if isinstance(fault, MemoryError) or type(fault).__name__ == "OutOfMemoryError":  # torch.cuda.OutOfMemoryError
        return OutOfMemory(f"{type(fault).__name__}: {fault}" if str(fault) else "out of memory")
    return Failed(f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__)
