"""Curves of the lensing benchmark, whatever was measured."""

import pytest

from fullfield import plots
from fullfield.recipes import RECIPES
from fullfield.recipes.lensing_pictures import _explicit, _implicit
from fullfield.recipes.study import Measured


@pytest.mark.parametrize("seeds", [1, 2])
def test_accuracy_is_drawn_by_what_it_cost(seeds):
    configuration = RECIPES["lensing-benchmark"].configure(
        {"methods": ("npe", "amortised"), "budgets": (500, 1000), "seeds": seeds}
    )
    found = {f"{m}/{n}/{s}": Measured({"c2st": 0.6}) for m in ("npe", "amortised") for n in (500, 1000) for s in range(seeds)}
    chains = {"explicit/mclmc": Measured({"c2st/21000": 0.55, "chains/divergences": 0.0})}
    curves = {"simulations": _implicit(configuration, found), "gradients": _explicit(chains)}
    assert list(curves["gradients"].values()) == [([21000.0], [0.55], [None])]
    assert set(curves["simulations"]) == {"NPE", "amortised"}
    assert len(plots.accuracy_curves(curves).axes) == 2
    assert _explicit({"explicit/mclmc": Measured({"chains/divergences": 0.0})}) == {}
