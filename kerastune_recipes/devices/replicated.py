"""Training on several replicas: each takes its share of every batch, and the losses are those of one device.

Under tf.distribute Keras's own `fit` falls short of that in four places, each seen by running it (Keras 3.15):

- With several workers it fails: it builds the metrics from values of all replicas at once, and reduces scalars over an
  axis that they do not have (https://github.com/keras-team/keras/issues/20585; open).
- Every replica takes the mean over its own images, and all means count alike, also where the last batch cannot be
  divided evenly.
- Every replica clips its own gradients, before they are summed.
- Every replica trains BatchNormalization on its own images, and the statistics of the first are kept.

The model made here lives only as long as its phase. It shares its layers with the plain model that is handed over.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import keras
import numpy as np

Batch = tuple[Any, np.ndarray, np.ndarray]


class Batches(Protocol):
    """What is shared out: batches of which every worker can have its part."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Any, ...]: ...

    def part(self, index: int, piece: int, pieces: int) -> tuple[Any, ...]:
        """Return every `pieces`-th image of a batch, from the `piece`-th on: inputs, labels and perhaps weights."""

    def example(self) -> tuple[Any, ...]:
        """Return a batch of one image, as it is before augmentation but of the type it has behind it."""


def strategy_in_force() -> Any | None:
    """Return the tf.distribute.Strategy in whose scope this is called, where it has several replicas."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    return strategy if strategy.num_replicas_in_sync > 1 else None


def made_here(model: keras.Model) -> keras.Model:
    """Return a model whose variables every replica has: a copy, where it was made outside the strategy in force."""
    if strategy_in_force() is None:
        return model
    import tensorflow as tf

    if all(isinstance(weight.value, tf.distribute.DistributedValues) for weight in model.weights):
        return model
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def spread(model: keras.Model, *batches: Batches | None) -> tuple[Any, ...]:
    """Return what is to be compiled, fitted and fed in place of a model and its batches, so that all replicas work.

    Outside a strategy with several replicas the model stays itself, and without TensorFlow so do its batches.

    Args:
        model: Functional, inputs to probabilities (b, classes); its layers are shared.
        batches: What it is trained on, what is watched; None stays None.
    """
    strategy = strategy_in_force()
    if strategy is None and keras.backend.backend() == "tensorflow":
        return model, *(None if each is None else _whole(each) for each in batches)
    if strategy is None:
        return model, *batches
    replicated = Replicated(model.inputs, model.outputs)
    replicated.example = next(_weighted(each.example()) for each in batches if each is not None)
    return replicated, *(None if each is None else _shared(strategy, each) for each in batches)


def _whole(batches: Batches) -> Any:
    """Return batches as a data set of TensorFlow."""
    return _dataset(lambda: map(batches.__getitem__, range(len(batches))), batches.example(), len(batches), ahead=2)


def _dataset(each: Callable[[], Iterable[Any]], example: Any, count: int, ahead: int) -> Any:
    """Return what is given, in its order, as a data set of TensorFlow.

    Args:
        each: Gives it all, once for each iteration.
        example: One of it; the number of images in the others may differ.
        count: How many there are.
        ahead: How many are made ready while the network works.
    """
    import tensorflow as tf

    signature = keras.tree.map_structure(lambda one: tf.TensorSpec((None, *one.shape[1:]), one.dtype), example)
    # There is nothing to tune, and with the thread that does it an iterator may take up to a minute to close: it waits
    # for that thread, which may sleep through the call to end.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(each, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(ahead).with_options(options)


def _shared(strategy: Any, batches: Batches) -> Any:
    """Return each replica's share of each batch, as Keras takes it."""
    example = _weighted(batches.example())

    def shares(context: Any) -> Any:
        replicas = context.num_replicas_in_sync // context.num_input_pipelines

        def each() -> Iterator[Batch]:
            for index in range(len(batches)):
                yield from divided(_part(batches, index, context), replicas)

        return _dataset(each, example, len(batches) * replicas, ahead=replicas)

    # Every worker divides the batches itself, rather than by tf.data's auto-sharding: that shards files or elements of
    # one order, while here every worker holds all images, shuffles them alike and takes its share of each global
    # batch. So batches hold the same images however many workers there are.
    distributed = strategy.distribute_datasets_from_function(shares)
    # TensorFlow counts one element for each replica, and Keras takes them for steps.
    distributed._cardinality = len(batches)
    return distributed


def _part(batches: Batches, index: int, context: Any) -> Batch:
    """Return a worker's part of a batch; an image that counts for nothing where the batch is too small for all."""
    part = _weighted(batches.part(index, context.input_pipeline_id, context.num_input_pipelines))
    if len(part[-1]):
        return part
    inputs, labels, weights = _weighted(batches.part(index, 0, context.num_input_pipelines))
    return _first(inputs), labels[:1], np.zeros_like(weights[:1])


def _weighted(batch: tuple[Any, ...]) -> Batch:
    return batch if len(batch) == 3 else (*batch, np.ones(len(batch[1]), np.float32))


def _first(inputs: Any) -> Any:
    return keras.tree.map_structure(lambda one: one[:1], inputs)


def divided(batch: Batch, replicas: int) -> Iterator[Batch]:
    """Divide a batch among the replicas of one worker, evenly but for one image.

    A replica that would be left without is given an image that counts for nothing, since TensorFlow's operations are
    not made for no images at all.

    Args:
        batch: Inputs, labels (n, classes) and weights (n,), n at least 1.
        replicas: How many.
    """
    inputs, labels, weights = batch
    for replica in range(replicas):
        share = slice(replica, None, replicas)
        if replica < len(weights):
            yield keras.tree.map_structure(lambda one, share=share: one[share], inputs), labels[share], weights[share]
        else:
            yield _first(inputs), labels[:1], np.zeros_like(weights[:1])


class Replicated(keras.Model):
    """A functional model as `fit` trains it on several replicas.

    Its data are inputs, labels (b, classes) and weights (b,); an image of weight 0 counts for nothing.
    """

    example: Batch
    train_function: Any
    test_function: Any

    def compile(self, optimizer: keras.optimizers.Optimizer, **kwargs: Any) -> None:
        """Compile, and let the gradients be summed before they are clipped, not after."""
        for one in _all(optimizer):
            one._all_reduce_sum_gradients = list
        super().compile(optimizer=optimizer, **kwargs)

    def train_step(self, data: Batch) -> None:
        """Make one update of what one replica is given."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, count = self._observe(data, training=True)
            # The sum over this replica's images; the number of all images is not known yet.
            loss = self.optimizer.scale_loss(loss * count)
        gradients = tape.gradient(loss, self.trainable_variables)
        known = [(one, by) for one, by in zip(self.trainable_variables, gradients, strict=True) if by is not None]
        sums = tf.distribute.get_replica_context().all_reduce("SUM", [*(by for _, by in known), count])
        self.optimizer.apply([by / tf.cast(sums[-1], by.dtype) for by in sums[:-1]], [one for one, _ in known])

    def test_step(self, data: Batch) -> None:
        """Measure what one replica is given."""
        self._observe(data, training=False)

    def _observe(self, data: Batch, training: bool) -> tuple[Any, Any]:
        """Update the metrics; return the mean loss over this replica's images, and how many they are."""
        import tensorflow as tf

        inputs, labels, weights = data
        probabilities = self(inputs, training=training)
        replicas = self.distribute_strategy.num_replicas_in_sync
        # Keras divides what each replica finds by their number.
        loss = replicas * self.compute_loss(inputs, labels, probabilities, weights, training=training)
        real = weights > 0
        count = tf.reduce_sum(tf.cast(real, loss.dtype))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=count)
        self.compute_metrics(inputs, tf.boolean_mask(labels, real), tf.boolean_mask(probabilities, real))
        return loss, count

    def make_train_function(self, force: bool = False) -> Any:
        """Make the function that `fit` calls for each batch."""
        if force or self.train_function is None:
            self.train_function = self._on_all_replicas(self.train_step)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Any:
        """Make the function that `evaluate` calls for each batch."""
        if force or self.test_function is None:
            self.test_function = self._on_all_replicas(self.test_step)
        return self.test_function

    def _on_all_replicas(self, step: Callable[[Batch], None]) -> Any:
        import tensorflow as tf

        @tf.function(reduce_retracing=True)
        def run(iterator: Any) -> dict[str, Any]:
            self.distribute_strategy.run(step, args=(next(iterator),))
            # Read outside of the replicas, a metric is summed over all of them: exact, and the same on each worker.
            return self.get_metrics_result()

        return run

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Of one replica's batch, where Keras takes those of all replicas; and of none that is drawn for it, for how
        # many more would be augmented meanwhile is chance.
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=self.example)


def _all(optimizer: keras.optimizers.Optimizer) -> Iterator[keras.optimizers.Optimizer]:
    """Yield an optimizer and all those that it delegates to."""
    yield optimizer
    inner = getattr(optimizer, "inner_optimizer", None)
    for one in (*([inner] if inner else []), *getattr(optimizer, "optimizers", ())):
        yield from _all(one)


@contextmanager
def synchronized(norms: Iterable[keras.layers.BatchNormalization]) -> Iterator[None]:
    """Let BatchNormalization be trained on the images of all replicas while the context lasts.

    Not longer, for what is saved with this set can be loaded by the TensorFlow backend only.
    """
    changed = [norm for norm in norms if not norm.synchronized] if strategy_in_force() else []
    for norm in changed:
        norm.synchronized = True
    try:
        yield
    finally:
        for norm in changed:
            norm.synchronized = False
