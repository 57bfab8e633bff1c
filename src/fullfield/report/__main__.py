"""`python -m fullfield.report README.md docs/*.md`: fill the tables of documents from the result files."""

import pathlib
import sys

from fullfield._core import write_atomically
from fullfield.report.table import fill_tables


def main(arguments: list[str]) -> int:
    """Fill the tables of the named documents from the folder `results` beside the working directory's files."""
    stale = 0
    for document in (pathlib.Path(name) for name in arguments if name != "--check"):
        old = document.read_text(encoding="utf-8")
        new = fill_tables(old, pathlib.Path("results"))
        stale += new != old
        if new != old and "--check" not in arguments:
            with write_atomically(document) as file:
                file.write(new.encode())
    return int("--check" in arguments and stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
