"""Explicit maps from the names users type to the things they mean."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from fullfield._core.errors import ConfigurationError


T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """Sentence that names the closest known spelling and lists the known ones."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}Known: {', '.join(known)}."


class Registry(Mapping[str, T], Generic[T]):
    """Read-only map from name to object whose failed lookups say what is known.

    Args:
        kind: what the entries are, for the error message ("recipe", "compressor").
        entries: the map itself.
    """

    def __init__(self, kind: str, entries: Mapping[str, T]):
        self._kind, self._entries = kind, dict(entries)

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise ConfigurationError(
                self._kind, expected=f"a known {self._kind}", got=repr(name), remedy=nearest(name, self._entries)
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
