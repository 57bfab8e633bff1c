"""What happened during training."""

import equinox as eqx


class History(eqx.Module):
    """Record of a training run, one entry per epoch.

    Args:
        train_loss: mean loss over the epoch's steps.
        held_out: loss on the held-out simulations after the epoch.
        seconds: wall time of the epoch.
        simulations: distinct simulations used, the held-out ones included.
    """

    train_loss: tuple[float, ...] = ()
    held_out: tuple[float, ...] = ()
    seconds: tuple[float, ...] = ()
    simulations: int = 0

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.held_out)

    @property
    def best_epoch(self) -> int:
        """Epoch, counted from zero, whose weights are kept: the first with the lowest held-out loss; -1 before training."""
        return self.held_out.index(min(self.held_out)) if self.held_out else -1

    @property
    def best(self) -> float:
        """Lowest held-out loss, infinite before training."""
        return min(self.held_out, default=float("inf"))

    def with_epoch(self, train_loss: float, held_out: float, seconds: float, simulations: int) -> "History":
        """Append one epoch; `simulations` is the number used so far."""
        return History((*self.train_loss, train_loss), (*self.held_out, held_out), (*self.seconds, seconds), simulations)

    def to_dict(self) -> dict:
        """Plain lists and numbers, for JSON."""
        return {
            "train_loss": list(self.train_loss),
            "held_out": list(self.held_out),
            "seconds": list(self.seconds),
            "simulations": self.simulations,
            "best_epoch": self.best_epoch,
        }

    @classmethod
    def from_dict(cls, values: dict) -> "History":
        """Inverse of `to_dict`."""
        train_loss, held_out, seconds = (tuple(map(float, values[name])) for name in ("train_loss", "held_out", "seconds"))
        return cls(train_loss, held_out, seconds, int(values["simulations"]))
