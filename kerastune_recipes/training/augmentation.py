"""Augmentation of training batches: the listed layers are checked, seeded and combined into one function.

The function is pure: the same batch of the same epoch is augmented alike, whatever was augmented before it. So a phase
that resumes within an epoch, and a pipeline that prepares batches ahead, draw what an undisturbed run draws.
"""

import contextlib
import inspect
import unittest.mock
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras
import numpy as np

from kerastune_recipes.errors import RecipeError, did_you_mean, listed
from kerastune_recipes.planning import augmentation_presets
from kerastune_recipes.training.batches import Augment

# Range of the pixels of all images in this package.
_VALUE_RANGE = (0, 255)
# Arguments that users cannot set: images are channels-last, without boxes or masks.
_RESERVED = frozenset({"bounding_box_format", "data_format", "segmentation_classes"})
# Any size will do for a check, before the real one is known.
_ANY_SIZE = 224

# Keras accepts any other word without an error, and does not flip.
_FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")

_NOT_RANDOM = "it is not random"
_NESTED = "it takes other layers as arguments, which a recipe cannot write"
# Image layers that do not work as augmentation, and why; observed with Keras 3.15 and KerasCV 0.9.
_UNSUPPORTED = {
    "AugMix": "it draws its operations in Python, once for the whole run; use keras_cv.RandAugment",
    "CenterCrop": _NOT_RANDOM,
    "MaxNumBoundingBoxes": "it works on bounding boxes",
    "Resizing": _NOT_RANDOM,
    "keras_cv.AugMix": "it draws in parallel loops, so no seed reproduces a run; use keras_cv.RandAugment",
    "keras_cv.BaseImageAugmentationLayer": "it is a base class",
    "keras_cv.Grayscale": f"{_NOT_RANDOM}; use RandomGrayscale",
    "keras_cv.RandomApply": _NESTED,
    "keras_cv.RandomAspectRatio": "its images differ in size; use keras_cv.RandomCropAndResize",
    "keras_cv.RandomAugmentationPipeline": _NESTED,
    "keras_cv.RandomChoice": _NESTED,
    "keras_cv.RandomJpegQuality": "it takes images in 0..1 and whitens those in 0..255",
    "keras_cv.RepeatedAugmentation": _NESTED,
    "keras_cv.Rescaling": _NOT_RANDOM,
    "keras_cv.Resizing": _NOT_RANDOM,
    "keras_cv.VectorizedBaseImageAugmentationLayer": "it is a base class",
}


@dataclass(frozen=True)
class _Entry:
    """One listed layer: its class and the user's arguments."""

    cls: type
    arguments: Mapping[str, Any]


def check(layers: Sequence[Mapping[str, Any]], where: str) -> None:
    """Refuse augmentation layers that do not exist, are not supported, or do not accept their arguments.

    Args:
        layers: `{"layer": NAME, "arguments": {...}}` each. NAME is a layer of keras.layers ("RandomFlip") or of
            KerasCV ("keras_cv.RandAugment" or "keras_cv.layers.RandAugment").
        where: Name of the list in messages, such as "phases.fine_tuning.fit.augmentation".

    Raises:
        RecipeError: One sentence for each problem, all of them at once.
    """
    problems = []
    for position, entry in enumerate(layers):
        try:
            _construct(_find(entry), _ANY_SIZE, seed=1)
        except RecipeError as error:
            problems += [f"{where}[{position}]: {problem}" for problem in error.problems]
    if problems:
        raise RecipeError(*problems)


def build(layers: Sequence[Mapping[str, Any]], image_size: int, seed: int) -> Augment:
    """Build one function that applies the listed layers in order, in training mode.

    Under the tensorflow backend it is one graph, traced on the first call; elsewhere the layers run eagerly. Missing
    arguments are filled in: the value range 0..255, a target size, a seed.

    Args:
        layers: As for `check`; an empty list leaves images unchanged.
        image_size: Height and width of the images, pixels.
        seed: Random seed, 0 or above.

    Returns:
        A function from images (n, image_size, image_size, 3), uint8 or float32 in 0..255, labels (n, classes), float32,
        one-hot, and the epoch and number of the batch, to new float32 images of the same shape in 0..255, and labels,
        mixed where a layer mixes. Equal arguments give equal outputs.

    Raises:
        RecipeError: As for `check`.

    Example:
        >>> augment = build([{"layer": "RandomFlip", "arguments": {"mode": "horizontal"}}], image_size=8, seed=0)
        >>> images, labels = augment(np.zeros((2, 8, 8, 3), "uint8"), np.eye(2, dtype="float32"), (0, 0))
        >>> images.shape, images.dtype
        ((2, 8, 8, 3), dtype('float32'))
    """
    check(layers, "augmentation")
    entries = [_find(entry) for entry in layers]
    chain = [_construct(entry, image_size, seed=1) for entry in entries]
    # A layer to which the user gave a seed draws the same in every run.
    seeds = [entry.arguments.get("seed", seed) for entry in entries]

    def apply(images: Any, labels: Any) -> tuple[Any, Any]:
        for layer in chain:
            if _is_from_keras_cv(type(layer)) and type(layer).__name__ == "CutMix":
                images, labels = _cutmix(layer, images, labels)
            elif augmentation_presets.mixing([{"layer": type(layer).__name__}]):
                mixed = layer({"images": images, "labels": labels}, training=True)
                images, labels = mixed["images"], mixed["labels"]
            elif getattr(layer, "auto_vectorize", True):
                images = layer(images, training=True)
            else:
                images = _one_by_one(layer, images)
            if tuple(images.shape[1:3]) != (image_size, image_size):  # a layer that crops
                images = keras.ops.image.resize(images, (image_size, image_size), data_format="channels_last")
        return images, labels

    states = [_random_states(layer) for layer in chain]
    run: Callable[[Any, Any], Any] = apply
    if keras.backend.backend() == "tensorflow":
        run = _graph(apply, image_size, chain)

    def augment(images: np.ndarray, labels: np.ndarray, batch: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        images, labels = np.asarray(images, "float32"), np.asarray(labels, "float32")
        if chain:
            for position, (own, of_layer) in enumerate(zip(seeds, states, strict=True)):
                for number, state in enumerate(of_layer):
                    state.assign(_draws(state, own, position, number, *batch))
            tensors = run(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(labels))
            images, labels = (keras.ops.convert_to_numpy(tensor) for tensor in tensors)
        return np.clip(images, *_VALUE_RANGE), labels

    return augment


def _random_states(layer: Any) -> list[Any]:
    """Return the variables that hold the random state of a layer and of the layers inside it."""
    inner = list(layer._flatten_layers())
    if _is_from_keras_cv(type(layer)):
        import tensorflow as tf

        # One generator for a layer and all that it contains, and for the operations that `_draw_from` replaces.
        generator = tf.random.Generator.from_seed(1)
        for one in inner:
            one._random_generator = generator
        return [generator.state]
    return [variable for variable in layer.variables if variable.name == "seed_generator_state"]


def _draws(state: Any, *words: int) -> np.ndarray:
    """Return a value for a variable that holds a random state: a hash of the words, then zeros as the counter."""
    value = np.zeros(state.shape, keras.backend.standardize_dtype(state.dtype))
    # KerasCV's generator, Philox of TensorFlow, keeps its key last; Keras's own states begin with the seed.
    value[-1 if value.size == 3 else 0] = np.random.SeedSequence(words).generate_state(1)[0] >> 1
    return value


def _graph(apply: Callable[[Any, Any], tuple[Any, Any]], image_size: int, chain: Sequence[Any]) -> Callable:
    import tensorflow as tf

    generators = [one._random_generator for one in chain if _is_from_keras_cv(type(one))]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, image_size, image_size, 3), tf.float32),
            tf.TensorSpec((None, None), tf.float32),
        ]
    )
    def run(images: Any, labels: Any) -> Any:
        with _draw_from(generators[0]) if generators else contextlib.nullcontext():
            return apply(images, labels)

    return run


@contextlib.contextmanager
def _draw_from(generator: Any) -> Iterator[None]:
    """Let TensorFlow's stateful random operations draw from a generator while a graph is traced.

    KerasCV calls them in mixing layers and in samplers of factors. Their state lies in the kernel: it can be neither
    read nor set.
    """
    import tensorflow as tf

    def uniform(shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = tf.float32, **_: Any) -> Any:
        return tf.random.stateless_uniform(shape, seed(), minval, maxval, dtype)

    def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = tf.float32, **_: Any) -> Any:
        return tf.random.stateless_normal(shape, seed(), mean, stddev, dtype)

    def gamma(shape: Any, alpha: Any, beta: Any = None, dtype: Any = tf.float32, **_: Any) -> Any:
        of_one = tf.shape(tf.convert_to_tensor(alpha, dtype) * (1.0 if beta is None else beta))
        return tf.random.stateless_gamma(tf.concat([shape, of_one], 0), seed(), alpha, beta, dtype)

    def shuffle(value: Any, **_: Any) -> Any:
        return tf.random.experimental.stateless_shuffle(value, seed())

    def seed() -> Any:
        return generator.make_seeds(1)[:, 0]

    with unittest.mock.patch.multiple(tf.random, uniform=uniform, normal=normal, gamma=gamma, shuffle=shuffle):
        yield


def _cutmix(layer: Any, images: Any, labels: Any) -> tuple[Any, Any]:
    """Apply KerasCV's CutMix, with labels mixed by the share of pixels.

    Its own labels also count the part of the rectangle outside the image, up to three quarters of it. So masks of image
    numbers are cut like the images, and their pixels counted.
    """
    import tensorflow as tf

    count = tf.shape(images)[0]
    numbers = tf.broadcast_to(tf.range(count)[:, None, None, None], tf.shape(images[..., :1]))
    cut = layer({"images": images, "labels": labels, "segmentation_masks": numbers}, training=True)
    origins = tf.reshape(tf.cast(cut["segmentation_masks"], tf.int32), (count, -1))
    pixels = tf.math.bincount(origins, minlength=count, maxlength=count, axis=-1, dtype=labels.dtype)
    return cut["images"], (pixels / tf.cast(tf.shape(origins)[1], labels.dtype)) @ labels


def _one_by_one(layer: Any, images: Any) -> Any:
    # KerasCV maps layers that it cannot vectorise (RandAugment, GridMask) over ten images in parallel. Their order of
    # draws from the generator of the layer is then random, and no seed reproduces a run.
    import tensorflow as tf

    return tf.map_fn(lambda image: layer(image, training=True), images, parallel_iterations=1)


def _find(entry: Mapping[str, Any]) -> _Entry:
    """Return the class of an entry; raise RecipeError if there is none, or if it does not accept the arguments."""
    name, arguments = entry.get("layer"), entry.get("arguments", {})
    problems = [
        f'"{key}" is not a key of an augmentation layer; write "layer" and "arguments".'
        for key in entry
        if key not in ("layer", "arguments")
    ]
    if not isinstance(arguments, Mapping):
        problems.append(f'"arguments" must be written as name: value; received {arguments!r}.')
        arguments = {}
    if not isinstance(name, str):
        problems.append('"layer" is missing or not text; write the name of a layer, such as RandomFlip.')
        raise RecipeError(*problems)
    try:
        cls = _layer_class(name)
    except RecipeError as error:
        raise RecipeError(*problems, *error.problems) from error
    problems += _argument_problems(name, cls, arguments)
    if problems:
        raise RecipeError(*problems)
    return _Entry(cls, arguments)


def _layer_class(name: str) -> type:
    from_keras_cv = name.startswith("keras_cv.")
    plain = name.removeprefix("keras_cv.").removeprefix("keras.").removeprefix("layers.")
    known = _image_layers(_keras_cv().layers if from_keras_cv else keras.layers)
    reason = _UNSUPPORTED.get(f"keras_cv.{plain}" if from_keras_cv else plain)
    if plain in known and reason:
        raise RecipeError(f'"{name}" cannot be used as an augmentation: {reason}.')
    if plain in known:
        return known[plain]
    if not from_keras_cv and hasattr(keras.layers, plain):
        raise RecipeError(f'"{name}" is a layer of keras.layers, but not an image augmentation.')
    raise RecipeError(
        f'"{name}" is not an augmentation layer of keras.layers or keras_cv.layers.{did_you_mean(name, _all_names())}'
    )


def _is_from_keras_cv(cls: type) -> bool:
    return cls.__module__.startswith("keras_cv.")


def _image_layers(module: ModuleType) -> dict[str, type]:
    if module is keras.layers:
        # Keras does not export the base class of its image layers, so it is taken from RandomFlip.
        bases: tuple[type, ...] = (keras.layers.RandomFlip.__base__,)
    else:
        bases = (module.BaseImageAugmentationLayer, module.VectorizedBaseImageAugmentationLayer)
    return {name: cls for name, cls in inspect.getmembers(module, inspect.isclass) if issubclass(cls, bases)}


def _all_names() -> list[str]:
    names = list(_image_layers(keras.layers))
    with contextlib.suppress(RecipeError):  # without KerasCV there are no names to suggest
        names += [f"keras_cv.{name}" for name in _image_layers(_keras_cv().layers)]
    return [name for name in names if name not in _UNSUPPORTED]


def _keras_cv() -> ModuleType:
    if keras.backend.backend() != "tensorflow":
        raise RecipeError(
            f"layers of keras_cv need the tensorflow backend; the backend in use is {keras.backend.backend()}; "
            "set KERAS_BACKEND=tensorflow or use layers of keras.layers."
        )
    try:
        import keras_cv
    except ImportError as error:
        raise RecipeError(
            f"layers of keras_cv need KerasCV, which cannot be imported ({error}); "
            "install keras-cv or use layers of keras.layers."
        ) from error
    return keras_cv


def _argument_problems(name: str, cls: type, arguments: Mapping[str, Any]) -> list[str]:
    parameters = _parameters(cls)
    names = [known for known in parameters if known not in _RESERVED]
    problems = [
        f'{name} has no argument "{given}"; it has {listed(names, most=20)}.{did_you_mean(given, names)}'
        for given in arguments
        if given not in names
    ]
    filled = _default_arguments(cls, _ANY_SIZE, seed=1)
    problems += [
        f'{name} needs the argument "{needed}".'
        for needed, parameter in parameters.items()
        if parameter.default is parameter.empty and needed not in arguments and needed not in filled
    ]
    if cls is keras.layers.RandomFlip and arguments.get("mode", _FLIPS[0]) not in _FLIPS:
        problems.append(f'{name}: mode must be one of {", ".join(_FLIPS)}; received "{arguments["mode"]}".')
    value_range = arguments.get("value_range", _VALUE_RANGE)
    if not isinstance(value_range, Sequence) or tuple(value_range) != _VALUE_RANGE:
        problems.append(f"{name}: value_range must be [0, 255], the range of all images; received {value_range!r}.")
    return problems


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(cls).parameters.items()
    return {name: parameter for name, parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD}


def _default_arguments(cls: type, image_size: int, seed: int) -> dict[str, Any]:
    values = {"seed": seed, "value_range": _VALUE_RANGE, "target_size": (image_size, image_size)}
    parameters = _parameters(cls)
    return {name: value for name, value in values.items() if name in parameters}


def _construct(entry: _Entry, image_size: int, seed: int) -> Any:
    arguments = {**_default_arguments(entry.cls, image_size, seed), **entry.arguments}
    with _our_defaults():
        try:
            return entry.cls(**arguments)
        except (TypeError, ValueError, NotImplementedError) as error:
            reason = " ".join(str(error).split())
            raise RecipeError(f"{entry.cls.__name__} does not accept its arguments: {reason}") from error


@contextlib.contextmanager
def _our_defaults() -> Iterator[None]:
    """Set the global state that a layer, and layers inside it, read on creation; restore it afterwards."""
    with contextlib.ExitStack() as restore:
        # Under a mixed policy it would compute in 16 bits, too few for 256 shades.
        restore.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
        keras.config.set_dtype_policy("float32")
        restore.callback(keras.config.set_image_data_format, keras.config.image_data_format())
        keras.config.set_image_data_format("channels_last")
        yield
