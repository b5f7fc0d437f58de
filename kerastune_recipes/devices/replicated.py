"""Training on several replicas of tf.distribute, with the losses and updates of a single device.

Keras's own `fit` differs from a single device in four ways, each observed with Keras 3.15:

- With several workers it fails: it builds the metrics from the values of all replicas, and reduces scalars over an axis
  that they do not have (https://github.com/keras-team/keras/issues/20585; open).
- Each replica averages over its own images, and all averages get equal weight, even when a batch does not divide
  evenly.
- Each replica clips its own gradients, before they are summed.
- Each replica trains BatchNormalization on its own images, and Keras keeps only the statistics of the first.

The model built here exists only during its phase. It shares its layers with the plain model that the run returns.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import keras
import numpy as np

# Inputs, labels (b, classes) and weights (b,).
Batch = tuple[Any, np.ndarray, np.ndarray]


class ShardableBatches(Protocol):
    """Batches that each worker can read its own shard of."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, ...]: ...

    def shard(self, index: int, worker: int, workers: int) -> tuple[Any, ...]:
        """Return every `workers`-th image of a batch, starting with number `worker`: inputs, labels, maybe weights."""

    def example(self) -> tuple[Any, ...]:
        """Return a batch of one image that is not augmented, with the dtypes that augmented batches have."""


def active_strategy() -> Any | None:
    """Return the tf.distribute.Strategy whose scope is active, or None unless it has several replicas."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    return strategy if strategy.num_replicas_in_sync > 1 else None


def copy_into_strategy(model: keras.Model) -> keras.Model:
    """Return a model whose variables exist on every replica: a copy, if it was created outside the active strategy."""
    if active_strategy() is None:
        return model
    import tensorflow as tf

    if all(isinstance(weight.value, tf.distribute.DistributedValues) for weight in model.weights):
        return model
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def distribute(model: keras.Model, *batches: ShardableBatches | None) -> tuple[Any, ...]:
    """Return a model and its batches in the form that trains on all replicas of the active strategy.

    Without several replicas the model itself is returned, and without TensorFlow the batches themselves.

    Args:
        model: Functional model, inputs to probabilities (b, classes); its layers are shared.
        *batches: Training and validation batches; None stays None.

    Returns:
        The model to compile and fit, and for each argument of `batches` the data to pass to its `fit`.
    """
    strategy = active_strategy()
    if strategy is None and keras.backend.backend() == "tensorflow":
        return model, *(None if each is None else _to_dataset(each) for each in batches)
    if strategy is None:
        return model, *batches
    replicated = Replicated(model.inputs, model.outputs)
    replicated.example = next(_with_weights(each.example()) for each in batches if each is not None)
    return replicated, *(None if each is None else _to_distributed_dataset(strategy, each) for each in batches)


def _to_dataset(batches: ShardableBatches) -> Any:
    """Return batches as a tf.data.Dataset."""
    held = [batches]

    def elements() -> Iterator[tuple[Any, ...]]:
        return map(held[0].__getitem__, range(len(held[0])))

    return _let_go(_dataset(elements, batches.example(), len(batches), ahead=2), held)


def _let_go(data: Any, held: list[ShardableBatches]) -> Any:
    """Return a dataset that empties a list once it is gone.

    TensorFlow keeps the function behind `from_generator` until the process ends, and would keep all images with it.
    """
    weakref.finalize(data, held.clear)
    return data


def _dataset(elements: Callable[[], Iterable[Any]], example: Any, count: int, ahead: int) -> Any:
    """Return a tf.data.Dataset of the given elements, in their order.

    Args:
        elements: Returns all elements; called once for each iteration.
        example: One element; the number of images in the others may differ.
        count: Number of elements.
        ahead: Number of elements prepared while the network computes.
    """
    import tensorflow as tf

    signature = keras.tree.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), example)
    # There is nothing to tune, and the tuning thread can delay the closing of an iterator by up to a minute: it may
    # sleep through the request to stop.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(elements, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(ahead).with_options(options)


def _to_distributed_dataset(strategy: Any, batches: ShardableBatches) -> Any:
    """Return a distributed dataset that gives each replica its shard of each batch."""
    example, count, held = _with_weights(batches.example()), len(batches), [batches]

    def of_worker(context: Any) -> Any:
        replicas = context.num_replicas_in_sync // context.num_input_pipelines

        def elements() -> Iterator[Batch]:
            mine = held[0]
            for index in range(count):
                yield from split_batch(_shard(mine, index, context), replicas)

        return _dataset(elements, example, count * replicas, ahead=replicas)

    # Not by tf.data's auto-sharding, which shards files or elements of a fixed order. Here every worker holds all
    # images, shuffles them with the same seed and takes its shard of each global batch, so that the images of a batch
    # do not depend on the number of workers.
    distributed = strategy.distribute_datasets_from_function(of_worker)
    # TensorFlow counts one element for each replica, and Keras would take that number for the steps.
    distributed._cardinality = count
    return _let_go(distributed, held)


def _shard(batches: ShardableBatches, index: int, context: Any) -> Batch:
    """Return a worker's shard of a batch; one image of weight 0 if the batch is smaller than the number of workers."""
    part = _with_weights(batches.shard(index, context.input_pipeline_id, context.num_input_pipelines))
    if len(part[-1]):
        return part
    inputs, labels, weights = _with_weights(batches.shard(index, 0, context.num_input_pipelines))
    return _first(inputs), labels[:1], np.zeros_like(weights[:1])


def _with_weights(batch: tuple[Any, ...]) -> Batch:
    return batch if len(batch) == 3 else (*batch, np.ones(len(batch[1]), np.float32))


def _first(inputs: Any) -> Any:
    return keras.tree.map_structure(lambda one: one[:1], inputs)


def split_batch(batch: Batch, replicas: int) -> Iterator[Batch]:
    """Split a batch among the replicas of one worker; shard sizes differ by at most one image.

    A replica without images gets one of weight 0, because TensorFlow's operations do not support empty batches.

    Args:
        batch: Inputs, labels (n, classes) and weights (n,), n at least 1.
        replicas: Number of replicas.

    Example:
        >>> [labels.shape for _, labels, _ in split_batch((np.zeros((3, 8)), np.eye(3), np.ones(3)), replicas=2)]
        [(2, 3), (1, 3)]
    """
    inputs, labels, weights = batch
    for replica in range(replicas):
        own = slice(replica, None, replicas)
        if replica < len(weights):
            yield keras.tree.map_structure(lambda one, own=own: one[own], inputs), labels[own], weights[own]
        else:
            yield _first(inputs), labels[:1], np.zeros_like(weights[:1])


class Replicated(keras.Model):
    """A functional model whose `fit` trains on several replicas.

    Its batches are inputs, labels (b, classes) and weights (b,); images of weight 0 are ignored.
    """

    example: Batch
    train_function: Any
    test_function: Any

    def compile(self, optimizer: keras.optimizers.Optimizer, **kwargs: Any) -> None:
        """Compile; the optimizer must not sum the gradients, for `train_step` does before they are clipped."""
        super().compile(optimizer=without_sum(optimizer), **kwargs)

    def train_step(self, data: Batch) -> None:
        """Make one update from the shard of one replica."""
        import tensorflow as tf

        gradients, count = self.gradients(data)
        pairs = [(one, by) for one, by in zip(self.trainable_variables, gradients, strict=True) if by is not None]
        sums = tf.distribute.get_replica_context().merge_call(_sums, args=(*(by for _, by in pairs), count))
        self.optimizer.apply([by / tf.cast(sums[-1], by.dtype) for by in sums[:-1]], [one for one, _ in pairs])

    def gradients(self, data: Batch) -> tuple[list[Any], Any]:
        """Return the gradients of the sum of the losses of this replica's images, and the number of these images."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, count = self._observe(data, training=True)
            # The sum over the images of this replica; the number of images on all replicas is not known yet.
            loss = self.optimizer.scale_loss(loss * count)
        return tape.gradient(loss, self.trainable_variables), count

    def test_step(self, data: Batch) -> None:
        """Update the metrics from the shard of one replica."""
        self._observe(data, training=False)

    def _observe(self, data: Batch, training: bool) -> tuple[Any, Any]:
        """Update the metrics; return the mean loss over the images of this replica, and their number."""
        import tensorflow as tf

        inputs, labels, weights = data
        probabilities = self(inputs, training=training)
        replicas = self.distribute_strategy.num_replicas_in_sync
        # Keras divides the loss of each replica by the number of replicas.
        loss = replicas * self.compute_loss(inputs, labels, probabilities, weights, training=training)
        real = weights > 0
        count = tf.reduce_sum(tf.cast(real, loss.dtype))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=count)
        self.compute_metrics(inputs, tf.boolean_mask(labels, real), tf.boolean_mask(probabilities, real))
        return loss, count

    def make_train_function(self, force: bool = False) -> Any:
        """Build the function that `fit` calls for each batch."""
        if force or self.train_function is None:
            self.train_function = self._on_all_replicas(self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Build the function that `evaluate` calls for each batch."""
        if force or self.test_function is None:
            self.test_function = self._on_all_replicas(self.test_step)
        return self.test_function

    def _on_all_replicas(self, step: Callable[[Batch], None]) -> Any:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def run(iterator: Any) -> dict[str, Any]:
            self.distribute_strategy.run(step, args=(next(iterator),))
            # Outside the replica context a metric is summed over all replicas: exact, and the same on each worker.
            return self.get_metrics_result()

        return run

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Keras would build from the batches of all replicas. Nor is a batch drawn from the data: how many more would be
        # augmented by prefetching depends on timing.
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=self.example)


def _sums(strategy: Any, *values: Any) -> list[Any]:
    """Return the sum of each value over all replicas; `all_reduce` would keep the graph, see `without_sum`."""
    return strategy.extended.batch_reduce_to("SUM", [(one, one) for one in values])


def without_sum(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Keep an optimizer, and all that it delegates to, from summing gradients over the replicas.

    On a single device too, where the sum changes nothing: it is a `tf.custom_gradient`, and TensorFlow keeps the graph
    of each until the process ends (https://github.com/tensorflow/tensorflow/issues/97697).
    """
    if keras.backend.backend() == "tensorflow":
        for one in _with_inner(optimizer):
            one._all_reduce_sum_gradients = list
    return optimizer


def _with_inner(optimizer: keras.optimizers.Optimizer) -> Iterator[keras.optimizers.Optimizer]:
    """Yield an optimizer and all optimizers that it delegates to."""
    yield optimizer
    inner = getattr(optimizer, "inner_optimizer", None)
    for one in (*([inner] if inner else []), *getattr(optimizer, "optimizers", ())):
        yield from _with_inner(one)


@contextmanager
def synchronized(norms: Iterable[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Synchronize BatchNormalization over all replicas while the context lasts.

    The flag is reset afterwards: only the TensorFlow backend can load a model saved with it.
    """
    changed = [norm for norm in norms if not norm.synchronized] if active_strategy() else []
    for norm in changed:
        norm.synchronized = True
    try:
        yield
    finally:
        for norm in changed:
            norm.synchronized = False
