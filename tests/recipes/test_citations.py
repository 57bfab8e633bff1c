import re
import typing

import pytest

from fullfield._core import ConfigurationError
from fullfield.recipes import RECIPES, RunConfiguration
from fullfield.recipes.citations import bibliography, BIBTEX, DENSITIES, METHODS, methods
from fullfield.recipes.configuration import PosteriorSettings


@pytest.mark.parametrize("key", BIBTEX)
def test_entries_are_bibtex(key):
    entry = BIBTEX[key]
    assert re.match(rf"@(article|misc|inproceedings|software)\{{{key},\n", entry)
    assert entry.count("{") == entry.count("}")
    assert all(re.search(rf"\b{field}\s+= \{{", entry) for field in ("author", "title", "year"))
    assert "eprint = {" in entry or "url " in entry


def test_keys_come_once_and_in_order():
    assert list(bibliography(("xavier2016", "dinh2017", "xavier2016"))) == ["xavier2016", "dinh2017"]


def test_only_what_ran_is_cited():
    spline, affine = (
        {*methods(RunConfiguration(posterior=PosteriorSettings(density=density)))} for density in ("spline_flow", "real_nvp")
    )
    assert spline - affine == {"durkan2019"}
    assert "dinh2017" in affine
    assert {*typing.get_args(PosteriorSettings.model_fields["density"].annotation)} == {*DENSITIES}


def test_every_entry_is_of_a_method_or_a_recipe():
    used = {*METHODS, *(key for keys in DENSITIES.values() for key in keys)}
    assert used.union(*(recipe.citations for recipe in RECIPES.values())) == {*BIBTEX}


def test_unknown_key_is_refused():
    with pytest.raises(ConfigurationError, match="nobody1900"):
        bibliography(("nobody1900",))
