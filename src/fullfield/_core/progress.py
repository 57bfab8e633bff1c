"""What a long stage tells whoever watches it."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called by long stages; the command line draws a bar with an ETA, a test or a notebook may pass anything."""

    def __call__(self, stage: str, done: int, total: int, **numbers: float) -> None:
        """Report that `done` of `total` units of `stage` are finished, with current numbers such as a loss."""
        ...


def silent(stage: str, done: int, total: int, **numbers: float) -> None:
    """Ignore progress."""
