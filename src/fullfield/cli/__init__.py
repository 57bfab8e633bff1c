"""The command `fullfield`: list, run, check, show, cite, bench."""

from fullfield.cli.main import main


__all__ = ["main"]
