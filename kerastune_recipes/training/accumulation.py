"""Training steps whose batch the device sees in parts: gradients are summed over the parts, then one update is made.

The loss of a batch is the mean over its images, each times its weight. So the parts count by their number of images,
and the losses, metrics and gradients are those of the whole batch. Clipping and the schedule see the sum alone.
Two things do depend on the parts: trained BatchNormalization normalizes over each, and Dropout draws masks for each.

The models built here exist only during their phase. They share their layers with the plain model that the run returns.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from kerastune_recipes.devices import data_parallel
from kerastune_recipes.devices.graphs import forget_gradients
from kerastune_recipes.devices.replicated import Batch, Replicated, active_strategy


def replicas() -> int:
    """Return the number of devices that share a batch."""
    strategy = active_strategy()
    return data_parallel.device_count() if strategy is None else strategy.num_replicas_in_sync


def part_size(images: int, parts: int, devices: int = 1) -> int:
    """Return the number of images that a device sees at once.

    Args:
        images: Images in the largest batch.
        parts: Number of parts of the batch.
        devices: Number of devices that share it.

    Example:
        >>> part_size(64, parts=4), part_size(64, parts=4, devices=2), part_size(5, parts=8)
        (16, 8, 1)
    """
    return -(-images // (parts * devices))


def in_parts(model: keras.Model, size: int) -> keras.Model:
    """Return a model that trains and evaluates as the given one, and sees at most some images at once.

    Args:
        model: A functional model, not compiled; its layers are shared.
        size: Most images in a part on each device, at least 1; the sizes of a batch's parts differ by at most one.

    Example:
        >>> same = in_parts(model, size=8)
        >>> same.compile("adam", "categorical_crossentropy")
        >>> same.fit(images, labels, batch_size=32)
    """
    parts: Any
    if isinstance(model, Replicated):
        parts = _OnReplicas(model.inputs, model.outputs, name=model.name)
        parts.example = model.example
    else:
        of_backend = {"tensorflow": _OnTensorFlow, "jax": _OnJax, "torch": _OnTorch}[keras.backend.backend()]
        parts = of_backend(model.inputs, model.outputs, name=model.name)
    parts.part_size = size
    return parts


def _observe(model: keras.Model, batch: Any, training: bool) -> Any:
    """Update the metrics, and return the loss of some images, as Keras's own step does."""
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    probabilities = model(inputs, training=training)
    loss = model.compute_loss(inputs, labels, probabilities, weights, training=training)
    _update_metrics(model, loss, batch, probabilities)
    return loss


def _update_metrics(model: keras.Model, loss: Any, batch: Any, probabilities: Any) -> None:
    inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss, sample_weight=keras.ops.shape(labels)[0])
    model.compute_metrics(inputs, labels, probabilities, weights)


def _map(function: Callable[[Any], Any], data: Any) -> Any:
    """Apply a function to inputs, labels and weights; there may be no weights."""
    return keras.tree.map_structure(function, data, none_is_leaf=False)


def _loop(data: Any, size: int, step: Callable[[Any], Sequence[Any]], zeros: Sequence[Any]) -> list[Any]:
    """Sum the results of a step over the parts of a batch, one part after the other, under TensorFlow.

    Args:
        data: Inputs, labels and perhaps weights, tensors of the same number of images.
        size: Most images in a part; sizes differ by at most one.
        step: Returns tensors for a part.
        zeros: Zeros of their shapes and dtypes.
    """
    import tensorflow as tf

    count = tf.shape(data[1])[0]
    parts = -(-count // size)

    def start_of(number: Any) -> Any:
        return number * (count // parts) + tf.minimum(number, count % parts)

    def body(number: Any, sums: list[Any]) -> tuple[Any, list[Any]]:
        part = _map(lambda one: one[start_of(number) : start_of(number + 1)], data)
        return number + 1, [one + other for one, other in zip(sums, step(part), strict=True)]

    # A loop of the graph, one turn at a time: the memory of a part is free before the next.
    return tf.while_loop(lambda number, sums: number < parts, body, (0, list(zeros)), parallel_iterations=1)[1]


def _gradients(tape: Any, loss: Any, variables: Sequence[keras.Variable]) -> list[Any]:
    """Return the gradient of each variable, and None where the loss does not depend on it."""
    import tensorflow as tf

    found = tape.gradient(loss, [variable.value for variable in variables])
    return [None if one is None else tf.convert_to_tensor(one) for one in found]


class _OnTensorFlow(keras.Model):
    """Steps in parts, on one device."""

    part_size: int
    jit_compile: bool

    def compile(self, *arguments: Any, **named: Any) -> None:
        """Compile; XLA compiles the step of a part instead of the whole, for it needs parts of a known size."""
        import tensorflow as tf

        super().compile(*arguments, **named)
        options = {"autograph": False, "reduce_retracing": True, "jit_compile": self.jit_compile}
        self._train_part = tf.function(self._train_on, **options)
        self._test_part = tf.function(self._test_on, **options)
        self.jit_compile = False

    def train_step(self, data: Any) -> dict[str, Any]:
        """Make one update from the parts of a batch."""
        import tensorflow as tf

        variables = self.trainable_variables
        count = tf.shape(data[1])[0]
        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
        sums = _loop(data, self.part_size, lambda part: self._train_part(part, count), zeros)
        pairs = zip(sums, variables, self._depends, strict=True)
        used = [(one, variable) for one, variable, depends in pairs if depends]
        self.optimizer.apply([one for one, _ in used], [variable for _, variable in used])
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Update the metrics from the parts of a batch."""
        _loop(data, self.part_size, self._test_part, [])
        return self.get_metrics_result()

    def _train_on(self, part: Any, count: Any) -> list[Any]:
        """Return the gradients of a part of a batch of `count` images."""
        import tensorflow as tf

        variables = self.trainable_variables
        with tf.GradientTape() as tape:
            loss = _observe(self, part, training=True)
            share = tf.cast(tf.shape(part[1])[0], loss.dtype) / tf.cast(count, loss.dtype)
            loss = self.optimizer.scale_loss(loss * share)
        gradients = _gradients(tape, loss, variables)
        forget_gradients()
        # A loop sums tensors alone; the zeros that stand for none are left out again after it.
        self._depends = [one is not None for one in gradients]
        return [
            tf.zeros(variable.shape, variable.dtype) if one is None else one
            for one, variable in zip(gradients, variables, strict=True)
        ]

    def _test_on(self, part: Any) -> list[Any]:
        _observe(self, part, training=False)
        forget_gradients()
        return []


class _OnReplicas(Replicated):
    """Steps in parts of the shard of each replica."""

    part_size: int

    def gradients(self, data: Batch) -> tuple[list[Any], Any]:
        import tensorflow as tf

        variables = self.trainable_variables
        depends: list[bool] = []

        def of_part(part: Batch) -> list[Any]:
            gradients, count = super(_OnReplicas, self).gradients(part)
            depends[:] = [one is not None for one in gradients]
            pairs = zip(gradients, variables, strict=True)
            return [tf.zeros(own.shape, own.dtype) if one is None else one for one, own in pairs] + [count]

        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
        *sums, count = _loop(data, self.part_size, of_part, [*zeros, tf.zeros(())])
        return [one if used else None for one, used in zip(sums, depends, strict=True)], count

    def test_step(self, data: Batch) -> None:
        def of_part(part: Batch) -> list[Any]:
            super(_OnReplicas, self).test_step(part)
            return []

        _loop(data, self.part_size, of_part, [])


class _OnJax(keras.Model):
    """Steps in parts, on all devices of the active distribution."""

    part_size: int

    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """Make one update from the parts of a batch."""
        import jax

        trainable, fixed, optimizer, metrics = state
        differentiate = jax.value_and_grad(self.compute_loss_and_updates, has_aux=True)
        count = len(data[1])

        def step(carried: Any, part: Any) -> Any:
            sums, fixed, metrics = carried
            inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(part)
            (_, (loss, probabilities, fixed, metrics)), gradients = differentiate(
                trainable, fixed, metrics, inputs, labels, weights, training=True, optimizer_variables=optimizer
            )
            share = len(labels) / count
            sums = [one + share * other for one, other in zip(sums, gradients, strict=True)]
            return sums, fixed, self._with_metrics(metrics, loss, part, probabilities)

        zeros = [jax.numpy.zeros_like(one) for one in trainable]
        sums, fixed, metrics = self._over_parts(data, step, (zeros, fixed, metrics))
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, sums, trainable)
        return self._logs(metrics), (trainable, fixed, optimizer, metrics)

    def test_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """Update the metrics from the parts of a batch."""
        trainable, fixed, metrics = state

        def step(carried: Any, part: Any) -> Any:
            fixed, metrics = carried
            inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(part)
            _, (loss, probabilities, fixed, metrics) = self.compute_loss_and_updates(
                trainable, fixed, metrics, inputs, labels, weights, training=False
            )
            return fixed, self._with_metrics(metrics, loss, part, probabilities)

        fixed, metrics = self._over_parts(data, step, (fixed, metrics))
        return self._logs(metrics), (trainable, fixed, metrics)

    def _over_parts(self, data: Any, step: Callable[[Any, Any], Any], carried: tuple[Any, ...]) -> tuple[Any, ...]:
        """Run a step on each part: in a loop over the larger ones, then over the others; each reuses the memory."""
        import jax

        devices = data_parallel.device_count()
        of_device = len(data[1]) // devices
        parts = -(-of_device // self.part_size)
        size, larger = divmod(of_device, parts)

        def of_size(size: int, start: int) -> Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]:
            def of_part(number: Any, carried: tuple[Any, ...]) -> tuple[Any, ...]:
                def part_of(one: Any) -> Any:
                    part: Any = jax.lax.dynamic_slice_in_dim(one, (start + number * size) * devices, size * devices)
                    return data_parallel.shard(part)

                return step(carried, _map(part_of, data))

            return of_part

        carried = tuple(list(one) for one in carried)
        if larger:
            carried = jax.lax.fori_loop(0, larger, of_size(size + 1, 0), carried)
        return jax.lax.fori_loop(0, parts - larger, of_size(size, larger * (size + 1)), carried)

    def _with_metrics(self, metrics: Sequence[Any], loss: Any, part: Any, probabilities: Any) -> list[Any]:
        """Return the variables of the metrics after a part."""
        with keras.StatelessScope(list(zip(self.metrics_variables, metrics, strict=True))) as scope:
            _update_metrics(self, loss, part, probabilities)
        return [scope.get_current_value(variable) for variable in self.metrics_variables]

    def _logs(self, metrics: Sequence[Any]) -> dict[str, Any]:
        with keras.StatelessScope(list(zip(self.metrics_variables, metrics, strict=True))):
            return self.get_metrics_result()


class _OnTorch(keras.Model):
    """Steps in parts, on one device."""

    part_size: int

    def train_step(self, data: Any) -> dict[str, Any]:
        """Make one update from the parts of a batch."""
        import torch

        self.zero_grad()
        for part, share in self._parts(data):
            loss = self.optimizer.scale_loss(_observe(self, part, training=True) * share)
            loss.backward()  # adds to the gradients of the parts before
        variables = list(self.trainable_variables)
        with torch.no_grad():
            self.optimizer.apply([variable.value.grad for variable in variables], variables)
        return self.get_metrics_result()

    def test_step(self, data: Any) -> dict[str, Any]:
        """Update the metrics from the parts of a batch."""
        for part, _ in self._parts(data):
            _observe(self, part, training=False)
        return self.get_metrics_result()

    def _parts(self, data: Any) -> Iterator[tuple[Any, float]]:
        """Yield the parts of a batch, and their share of its images."""
        count = len(data[1])
        size, larger = divmod(count, -(-count // self.part_size))
        start = 0
        while start < count:
            end = start + size + (start < larger * (size + 1))
            part = _map(operator.itemgetter(slice(start, end)), data)
            yield part, len(part[1]) / count
            start = end
