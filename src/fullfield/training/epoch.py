"""One epoch of training or of measuring, compiled."""

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped

from fullfield._core import brief_jit, stream
from fullfield.datasets import AbstractShard, AbstractSimulations


AllSteps = Callable[[Callable, tuple, Any, Int[Array, ""]], Any]
"""`(step, its fixed arguments, carry, number of steps) -> carry`, where `step(*arguments, i, carry) -> carry`."""

BRIEF = 5000  # steps, which take less time than compiling them well


@runtime_checkable
class Loss(Protocol):
    """What training minimises: a mean over the batch."""

    def __call__(
        self, module: Any, theta: Float[Array, "b p"], data: Shaped[Array, "b ..."], *, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """Loss of `module` on a batch of parameters (b, p) and data (b, ...)."""
        ...


class State(eqx.Module):
    """What one step hands to the next: the trained arrays, their running average, the optimiser's state, the step number."""

    weights: PyTree
    average: PyTree
    optimiser: PyTree
    step: Int[Array, ""]

    def averaged(self) -> PyTree:
        """Running average of the weights in the weights' own precision."""
        return jax.tree.map(lambda mean, like: mean.astype(like.dtype), self.average, self.weights)


class Training(eqx.Module):
    """What stays fixed during a training run.

    Args:
        static: everything of the module that is not trained.
        loss: what is minimised.
        optimiser: optax transformation.
        average: decay per step of the running average of the weights.
        mesh: devices over which each batch is spread; None for a single one.
    """

    static: PyTree
    loss: Loss
    optimiser: Any
    average: float
    mesh: jax.sharding.Mesh | None = eqx.field(static=True)

    def start(self, weights: PyTree) -> State:
        """State before the first step."""
        # An average that moves by less than a bfloat16 resolves would stand still.
        average = jax.tree.map(lambda leaf: leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)), weights)
        return State(weights, average, self.optimiser.init(weights), jnp.zeros((), jnp.int32))

    def everywhere(self, tree: PyTree) -> PyTree:
        """Copy the arrays of a pytree to every device."""
        if self.mesh is None:
            return tree
        arrays, rest = eqx.partition(tree, eqx.is_array)
        whole = jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec())
        return eqx.combine(jax.device_put(arrays, whole), rest)

    def draw(
        self, shard: AbstractShard, key: Key[Array, ""], step: Int[Array, ""]
    ) -> tuple[Float[Array, "b p"], Shaped[Array, "b ..."]]:
        """Draw a batch, spread over the devices."""
        batch = shard.draw(key, step)
        if self.mesh is None:
            return batch
        return jax.lax.with_sharding_constraint(
            batch, jax.sharding.NamedSharding(self.mesh, jax.sharding.PartitionSpec("batch"))
        )


def split_trained(module: PyTree) -> tuple[PyTree, PyTree]:
    """Split a module into its trained arrays and all else; arrays inside `paramax.NonTrainable` are not trained."""
    return eqx.partition(module, eqx.is_inexact_array, is_leaf=_is_frozen)


def join_trained(weights: PyTree, static: PyTree) -> PyTree:
    """Inverse of `split_trained`."""
    return eqx.combine(weights, static, is_leaf=_is_frozen)


def device_mesh(*batch_sizes: int) -> jax.sharding.Mesh | None:
    """Mesh over as many devices as divide every batch size, None for a single one."""
    count = math.gcd(jax.device_count(), *batch_sizes)
    return None if count == 1 else jax.sharding.Mesh(np.asarray(jax.devices()[:count]), ("batch",))


def train_epoch(
    training: Training, state: State, simulations: AbstractSimulations, key: Key[Array, ""], all_steps: AllSteps
) -> tuple[State, float]:
    """Go once through the simulations; the new state and the mean loss of the steps come back."""
    total, steps = jnp.zeros(()), 0
    for number, shard in enumerate(simulations.shards(stream(key, "order"))):
        # One shard computes while the host reads the next, and no more than one waits.
        jax.block_until_ready(total)
        arguments = training, training.everywhere(shard), jax.random.fold_in(key, number)
        state, total = all_steps(_train_step, arguments, (state, total), shard.steps)
        steps += int(shard.steps)
    return state, float(total) / steps


def held_out_loss(
    training: Training, weights: PyTree, validation: AbstractSimulations, key: Key[Array, ""], all_steps: AllSteps
) -> float:
    """Mean loss over the held-out simulations, in inference mode."""
    measured = eqx.tree_at(lambda t: t.static, training, eqx.nn.inference_mode(training.static))
    total, steps = jnp.zeros(()), 0
    for number, shard in enumerate(validation.shards(stream(key, "order"))):
        jax.block_until_ready(total)
        arguments = measured, training.everywhere(shard), jax.random.fold_in(key, number)
        _, total = all_steps(_measure_step, arguments, (weights, total), shard.steps)
        steps += int(shard.steps)
    return float(total) / steps


def choose_steps(training: Training, state: State, simulations: AbstractSimulations, total: int) -> AllSteps:
    """How all steps of an epoch are best made in a training of `total` steps: in one compiled loop, or one by one.

    XLA's CPU compiler lays out convolutions for its fast kernels only outside loops: a small convolutional network trains
    7 to 8 times slower inside one (JAX 0.10.2). There, and only there, each step is a compiled program of its own.
    """
    if jax.default_backend() == "cpu":
        shard = next(simulations.shards(jax.random.key(0)))
        arguments = training, training.everywhere(shard), jax.random.key(0), jnp.zeros((), jnp.int32), (state, jnp.zeros(()))
        if _convolves(eqx.filter_make_jaxpr(_train_step)(*arguments)[0].jaxpr):
            return one_by_one
    return brief_loop if total <= BRIEF else loop


def one_by_one(step: Callable, arguments: tuple, carry: Any, steps: Int[Array, ""]) -> Any:
    """Each step is a program of its own."""
    for i in range(int(steps)):
        carry = step(*arguments, jnp.asarray(i, jnp.int32), carry)
        jax.block_until_ready(carry)
    return carry


def _loop(step, arguments, carry, steps):
    first = jnp.zeros((), jnp.int32)
    return jax.lax.fori_loop(first, steps.astype(jnp.int32), lambda i, carry: step(*arguments, i, carry), carry)


loop, brief_loop = eqx.filter_jit(_loop), brief_jit(_loop)


@eqx.filter_jit
def _train_step(training, shard, key, i, carry):
    state, total = carry
    draw_key, loss_key = jax.random.split(jax.random.fold_in(key, i))
    theta, data = training.draw(shard, draw_key, i)
    value, gradient = jax.value_and_grad(_loss_of)(state.weights, training, theta, data, loss_key)
    updates, optimiser = training.optimiser.update(gradient, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, updates)
    decay = jnp.minimum(training.average, state.step / (state.step + 10.0))
    average = jax.tree.map(lambda old, new: (decay * old + (1 - decay) * new).astype(old.dtype), state.average, weights)
    return State(weights, average, optimiser, state.step + 1), total + value.astype(total.dtype)


@eqx.filter_jit
def _measure_step(training, shard, key, i, carry):
    weights, total = carry
    draw_key, loss_key = jax.random.split(jax.random.fold_in(key, i))
    theta, data = training.draw(shard, draw_key, i)
    return weights, total + _loss_of(weights, training, theta, data, loss_key).astype(total.dtype)


def _loss_of(weights, training, theta, data, key):
    module = paramax.unwrap(join_trained(weights, training.static))
    return training.loss(module, theta, data, key=key)


def _is_frozen(leaf: Any) -> bool:
    return isinstance(leaf, paramax.NonTrainable)


def _convolves(jaxpr: Any) -> bool:
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            return True
        for value in jax.tree.leaves(equation.params, is_leaf=lambda leaf: hasattr(leaf, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns") and _convolves(inner):
                return True
    return False
