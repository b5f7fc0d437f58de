"""The methods that compare.py compares: functions from a task to the accuracies reached, with their times.

The tutorials are written as in their sources except for five things: the network, any number of classes, one image size
for all, the file of the weights, and the clock.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

# Everything is imported before any clock starts, even if only one method needs it.
import keras
import numpy as np
import tensorflow as tf
from keras import layers
from sklearn.linear_model import LogisticRegression

import kerastune_recipes.run.run  # noqa: F401
from kerastune_recipes import Recipe, Report
from kerastune_recipes.evaluation import metrics

SIZE = 160
_SOLVE_ONLY = {"phases": [{"name": "feature_extraction", "solve": {}}]}
_AT_SIZE = {"backbone.image_size": SIZE}


@dataclass(frozen=True)
class Network:
    """A network as a tutorial builds it, with ImageNet weights trained at 224 pixels.

    Args:
        module: Module of keras.applications.
        build: Its function; one of its arguments is the path of the weights.
        file: File of the weights without classifier, in the folder of `module` in Keras's storage.
        fine_tune_at: First layer that the tensorflow.org tutorial trains: the 100th of MobileNetV2's 154, and the
            same share of another network's.
    """

    module: ModuleType
    build: Callable[..., keras.Model]
    file: str
    fine_tune_at: int

    def weights(self) -> str:
        """Return the path of the weights, downloaded if needed."""
        folder = self.module.__name__.rpartition(".")[2]
        origin = f"https://storage.googleapis.com/tensorflow/keras-applications/{folder}/{self.file}"
        return str(keras.utils.get_file(self.file, origin, cache_subdir="models"))


NETWORKS = {
    "MobileNetV2": Network(
        keras.applications.mobilenet_v2,
        keras.applications.MobileNetV2,
        "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        fine_tune_at=100,
    ),
    "MobileNet_0.25": Network(
        keras.applications.mobilenet,
        partial(keras.applications.MobileNet, alpha=0.25),
        "mobilenet_2_5_224_tf_no_top.h5",
        fine_tune_at=56,
    ),
}


class Stopwatch:
    """Seconds since it was made, without those while it was held."""

    def __init__(self) -> None:
        self._counted = 0.0
        self._since: float | None = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds counted so far."""
        return self._counted + (0.0 if self._since is None else time.perf_counter() - self._since)

    def hold(self) -> None:
        """Stop counting."""
        self._counted, self._since = self.seconds(), None

    def go_on(self) -> None:
        """Count again."""
        self._since = time.perf_counter()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Do not count the time within."""
        self.hold()
        yield
        self.go_on()


@dataclass(frozen=True)
class Task:
    """The input of a method.

    Args:
        train: Folder of class folders, to train on.
        test: Folder of class folders, to test on.
        seed: Random seed.
        epoch_limit: Largest number of epochs of a phase, for smoke tests, or None.
        backbone: A key of `NETWORKS`.
        weights: File of its weights.
        watch: A running stopwatch.
    """

    train: Path
    test: Path
    seed: int
    epoch_limit: int | None
    backbone: str
    weights: str
    watch: Stopwatch = field(default_factory=Stopwatch)

    @property
    def network(self) -> Network:
        """The backbone, as the tutorials build it."""
        return NETWORKS[self.backbone]

    def epochs(self, stated: int) -> int:
        """Return the number of epochs to train, where a tutorial states a number."""
        return stated if self.epoch_limit is None else min(stated, self.epoch_limit)

    def base(self, **arguments: Any) -> keras.Model:
        """Return the network without its classifier, pretrained."""
        shape = (SIZE, SIZE, 3)
        return self.network.build(input_shape=shape, include_top=False, weights=self.weights, **arguments)


@dataclass(frozen=True)
class Outcome:
    """The result of a method.

    Args:
        curve: (seconds, test accuracy) pairs; the last belongs to the finished model.
        one_forward_pass: Seconds of one forward pass of the images, as our report states it; None for the others.
        forward_passes: Seconds in our phases over those of one forward pass; None for the others.
    """

    curve: Sequence[tuple[float, float]]
    one_forward_pass: float | None = None
    forward_passes: float | None = None


def start(data: Path, seed: int, backbone: str, epoch_limit: int | None = None) -> Task:
    """Return a task whose clock has just started.

    Args:
        data: Folder with train/ and test/.
        seed: Random seed.
        backbone: A key of `NETWORKS`.
        epoch_limit: Largest number of epochs of a phase, or None.
    """
    keras.utils.set_random_seed(seed)
    weights = NETWORKS[backbone].weights()
    return Task(data / "train", data / "test", seed, epoch_limit, backbone, weights)


def measured(method: str, data: Path, seed: int, epoch_limit: int | None) -> dict[str, Any]:
    """Run one method and return its figures.

    Args:
        method: A key of `METHODS`.
        data: Folder with train/ and test/.
        seed: Random seed.
        epoch_limit: Largest number of epochs of a phase, or None.
    """
    train = METHODS[method]
    task = start(data, seed, "MobileNetV2", epoch_limit)
    outcome = train(task)
    seconds, accuracy = outcome.curve[-1]
    return {
        "method": method,
        "data": data.name,
        "seed": seed,
        "seconds": seconds,
        "test_accuracy": accuracy,
        "test_images": len(_in_order(task.test).file_paths),
        "one_forward_pass": outcome.one_forward_pass,
        "forward_passes": outcome.forward_passes,
        "curve": outcome.curve,
    }


def tensorflow_tutorial(task: Task) -> Outcome:
    """Train as https://www.tensorflow.org/tutorials/images/transfer_learning does."""
    train_dataset, validation_dataset = _split(task, batch_size=32)
    number_of_classes = len(train_dataset.class_names)
    train_dataset = train_dataset.prefetch(buffer_size=tf.data.AUTOTUNE)
    validation_dataset = validation_dataset.prefetch(buffer_size=tf.data.AUTOTUNE)

    data_augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)])
    preprocess_input = task.network.module.preprocess_input
    base_model = task.base()
    base_model.trainable = False

    inputs = keras.Input(shape=(SIZE, SIZE, 3))
    x = data_augmentation(inputs)
    x = preprocess_input(x)
    x = base_model(x, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(number_of_classes, activation="softmax")(x)
    model = keras.Model(inputs, outputs)

    base_learning_rate = 0.0001
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=base_learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    curve = _Curve(task)
    initial_epochs = task.epochs(10)
    history = model.fit(
        train_dataset, epochs=initial_epochs, validation_data=validation_dataset, callbacks=[curve], verbose=0
    )

    base_model.trainable = True
    for layer in base_model.layers[: task.network.fine_tune_at]:
        layer.trainable = False
    model.compile(
        optimizer=keras.optimizers.RMSprop(learning_rate=base_learning_rate / 10),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    fine_tune_epochs = task.epochs(10)
    total_epochs = initial_epochs + fine_tune_epochs
    model.fit(
        train_dataset,
        epochs=total_epochs,
        initial_epoch=len(history.epoch),
        validation_data=validation_dataset,
        callbacks=[curve],
        verbose=0,
    )
    return Outcome(curve.points)


def keras_guide(task: Task) -> Outcome:
    """Train as https://keras.io/guides/transfer_learning/ does since 2023.

    Its cache comes after the augmentation, so that every epoch sees the same pixels.
    """
    train_ds, validation_ds = _split(task, batch_size=None)
    number_of_classes = len(train_ds.class_names)
    augmentation_layers = [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)]

    def data_augmentation(x: Any) -> Any:
        for layer in augmentation_layers:
            x = layer(x)
        return x

    train_ds = train_ds.map(lambda x, y: (data_augmentation(x), y))
    batch_size = 64
    train_ds = train_ds.batch(batch_size).prefetch(tf.data.AUTOTUNE).cache()
    validation_ds = validation_ds.batch(batch_size).prefetch(tf.data.AUTOTUNE).cache()

    base_model = task.base()
    base_model.trainable = False
    inputs = keras.Input(shape=(SIZE, SIZE, 3))
    scale_layer = layers.Rescaling(scale=1 / 127.5, offset=-1)
    x = scale_layer(inputs)
    x = base_model(x, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(number_of_classes)(x)
    model = keras.Model(inputs, outputs)

    return _guide_phases(task, base_model, model, train_ds, validation_ds, epochs=(2, 1))


def keras_guide_until_2023(task: Task) -> Outcome:
    """Train as the same guide did from 2020 to 2023, in more epochs, each with fresh augmentation."""
    train_ds, validation_ds = _split(task, batch_size=None)
    number_of_classes = len(train_ds.class_names)
    batch_size = 32
    train_ds = train_ds.cache().batch(batch_size).prefetch(buffer_size=10)
    validation_ds = validation_ds.cache().batch(batch_size).prefetch(buffer_size=10)
    data_augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])

    base_model = task.base()
    base_model.trainable = False
    inputs = keras.Input(shape=(SIZE, SIZE, 3))
    x = data_augmentation(inputs)
    scale_layer = layers.Rescaling(scale=1 / 127.5, offset=-1)
    x = scale_layer(x)
    x = base_model(x, training=False)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    outputs = layers.Dense(number_of_classes)(x)
    model = keras.Model(inputs, outputs)

    return _guide_phases(task, base_model, model, train_ds, validation_ds, epochs=(20, 10))


def _guide_phases(
    task: Task, base_model: keras.Model, model: keras.Model, train_ds: Any, validation_ds: Any, epochs: tuple[int, int]
) -> Outcome:
    """Train the head, then all layers, as both editions of the guide do."""
    curve = _Curve(task)
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(train_ds, epochs=task.epochs(epochs[0]), validation_data=validation_ds, callbacks=[curve], verbose=0)
    base_model.trainable = True
    model.compile(
        optimizer=keras.optimizers.Adam(1e-5),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(train_ds, epochs=task.epochs(epochs[1]), validation_data=validation_ds, callbacks=[curve], verbose=0)
    return Outcome(curve.points)


def features_by_hand(task: Task) -> Outcome:
    """Solve scikit-learn's LogisticRegression on the pooled features of all training images, one view of each."""
    preprocess_input = task.network.module.preprocess_input
    base = task.base(pooling="avg")

    def features(dataset: Any) -> np.ndarray:
        return base.predict(dataset.map(lambda x, y: preprocess_input(x)), verbose=0)

    train_ds = _in_order(task.train)
    head = LogisticRegression(max_iter=1000).fit(features(train_ds), _class_names(train_ds))
    task.watch.hold()
    test_ds = _in_order(task.test)
    return Outcome([(task.watch.seconds(), head.score(features(test_ds), _class_names(test_ds)))])


def ours(task: Task, recipe: Recipe) -> tuple[Report, np.ndarray, np.ndarray]:
    """Run a recipe of ours on the training folder alone.

    Returns:
        The report; probabilities of the test images (n, k), computed with the clock held; and their labels (n,).
    """
    report = recipe.run(str(task.train), seed=task.seed, verbose=False)
    task.watch.hold()
    test_ds = _in_order(task.test)
    labels = np.array([report.class_names.index(name) for name in _class_names(test_ds)])
    return report, report.predict(test_ds.file_paths), labels


def small_similar(task: Task, **overrides: Any) -> Outcome:
    """Run our recipe for few images that are like ImageNet's."""
    report, probabilities, labels = ours(task, Recipe.from_name("small_similar", backbone=task.backbone, **overrides))
    cost, test = report.record["cost"], metrics.summary(probabilities, labels)
    passes = cost["seconds_one_forward_pass"], cost["forward_equivalents"]
    return Outcome([(task.watch.seconds(), test["accuracy"])], *passes)


def _both_phases(task: Task, **overrides: Any) -> Outcome:
    shorter = {"phases.fine_tuning.fit.duration": f"{task.epoch_limit} epochs"} if task.epoch_limit else {}
    return small_similar(task, **overrides, **shorter)


METHODS: dict[str, Callable[[Task], Outcome]] = {
    "a": tensorflow_tutorial,
    "b": keras_guide,
    "b20": keras_guide_until_2023,
    "c": features_by_hand,
    "d": lambda task: small_similar(task, **_SOLVE_ONLY, **_AT_SIZE),
    "d2": lambda task: small_similar(task, **_SOLVE_ONLY, **_AT_SIZE),
    "d-auto": lambda task: small_similar(task, **_SOLVE_ONLY),
    "e": lambda task: _both_phases(task, **_AT_SIZE),
    "e-auto": _both_phases,
}


def _split(task: Task, batch_size: int | None) -> Any:
    """Return the training images in two parts, a fifth of them for validation."""
    return keras.utils.image_dataset_from_directory(
        task.train,
        validation_split=0.2,
        subset="both",
        seed=task.seed,
        shuffle=True,
        batch_size=batch_size,
        image_size=(SIZE, SIZE),
        verbose=False,
    )


def _in_order(folder: Path) -> Any:
    """Return the images of a folder of class folders in the order of `file_paths`."""
    return keras.utils.image_dataset_from_directory(folder, shuffle=False, image_size=(SIZE, SIZE), verbose=False)


def _class_names(dataset: Any) -> list[str]:
    """Return the class of each image, without decoding it."""
    return [Path(file).parent.name for file in dataset.file_paths]


class _Curve(keras.callbacks.Callback):
    """Test accuracy as `points`: after each epoch in the first round, which is drawn, then at the end of each phase.

    The watch is held while it is measured, and while `fit` evaluates its validation images.
    """

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.points: list[tuple[float, float]] = []
        self._watch = task.watch
        self._each_epoch = task.seed == 0
        with self._watch.held():
            self._test_ds = _in_order(task.test).cache()

    def on_test_begin(self, logs: Any = None) -> None:
        self._watch.hold()

    def on_test_end(self, logs: Any = None) -> None:
        self._watch.go_on()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not (self._each_epoch or epoch + 1 == self.params["epochs"]):
            return
        with self._watch.held():
            accuracy = self.model.evaluate(self._test_ds, verbose=0, return_dict=True)["accuracy"]
            self.points.append((self._watch.seconds(), accuracy))
