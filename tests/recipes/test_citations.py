import re

import pytest

from fullfield._core import ConfigurationError
from fullfield.recipes.citations import bibliography, BIBTEX, METHODS


@pytest.mark.parametrize("key", BIBTEX)
def test_entries_are_bibtex(key):
    entry = BIBTEX[key]
    assert re.match(rf"@(article|misc|inproceedings|software)\{{{key},\n", entry)
    assert entry.count("{") == entry.count("}")
    assert all(re.search(rf"\b{field}\s+= \{{", entry) for field in ("author", "title", "year"))
    assert "eprint = {" in entry or "url " in entry


def test_keys_come_once_and_the_recipes_first():
    keys = list(bibliography(("xavier2016", METHODS[0])))
    assert keys[0] == "xavier2016"
    assert len(keys) == len(set(keys)) == 1 + len(METHODS)


def test_unknown_key_is_refused():
    with pytest.raises(ConfigurationError, match="nobody1900"):
        bibliography(("nobody1900",))
