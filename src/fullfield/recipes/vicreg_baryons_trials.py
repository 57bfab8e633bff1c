"""On which maps posteriors are tried that are to ignore baryons."""

from dataclasses import dataclass


TRAINED = {"vicreg": "gas", "supervised": "none", "supervised with gas": "gas"}
"""On which maps summaries, and posteriors from them, are trained."""
EXACT = ("none", "gas")
"""Baryons of which exact posteriors know."""
TESTED, SWEPT = 1000, 300  # maps of each kind, and at each fraction of the sweep
FRACTIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the sweep over unseen baryons: the range of hydrodynamic simulations, of which the first suppresses the power most."""
REGIONS = (68, 90)  # percent


@dataclass(frozen=True)
class Trial:
    """Maps that posteriors are tried on.

    Args:
        kind: of their baryons.
        where: "prior" or "fiducial", whence Ωm and σ8 are.
        fraction: of the baryons in a sweep over the unseen; that of the configuration if not given.
    """

    kind: str
    where: str
    fraction: float | None = None

    @property
    def maps(self) -> int:
        """How many."""
        return TESTED if self.fraction is None else SWEPT

    @property
    def label(self) -> str:
        """In names of what cells find."""
        return f"{self.kind}/{self.where}" + ("" if self.fraction is None else f" at {self.fraction:g}")

    @property
    def file(self) -> str:
        """Name of the file of what is made of it."""
        return self.label.replace("/", "-").replace(" ", "-")

    @property
    def spoken(self) -> str:
        """In the report."""
        baryons = f"{self.kind} baryons" + ("" if self.fraction is None else f" at {self.fraction:g}")
        return baryons + (", fiducial cosmology" if self.where == "fiducial" else "")


def four(own: str) -> list[Trial]:
    """Trials of what knows baryons of one kind, by those and by unseen ones."""
    return [Trial(kind, where) for where in ("prior", "fiducial") for kind in (own, "unseen")]


SWEEP = [Trial("unseen", "fiducial", fraction) for fraction in FRACTIONS]


def trials(own: str) -> list[Trial]:
    """All of them, the sweep included."""
    return [*four(own), *SWEEP]
