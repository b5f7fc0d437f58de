"""Many runs in one process leave nothing behind: no model, graph, dataset, optimizer or images."""

import collections
import gc

import keras
import pytest
from stripes import stripes

from kerastune_recipes import Recipe
from kerastune_recipes.training.batches import LabelledBatches, LabelledViews

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="counts objects of TensorFlow")


def network() -> keras.Model:
    """A network with SiLU, whose graphs TensorFlow would keep."""
    images = keras.Input((32, 32, 3))
    stage = keras.layers.Conv2D(4, 3, strides=2, activation="silu", name="first")(images)
    return keras.Model(images, keras.layers.Conv2D(4, 3, strides=2, activation="silu", name="second")(stage))


def run(seed: int, **fit: object) -> None:
    changes = {f"phases.fine_tuning.fit.{key}": value for key, value in {"duration": "2 steps", **fit}.items()}
    recipe = Recipe.from_name("small_similar", backbone=network(), **changes)
    recipe.run({"train": stripes(seed=seed), "test": stripes(12, seed=seed)}, seed=seed, cache=False, verbose=False)


def alive() -> dict[str, int]:
    """Return the number of objects that hold graphs, weights or images, by kind."""
    import tensorflow as tf
    from tensorflow.python.framework.func_graph import FuncGraph

    kinds = (keras.Model, keras.optimizers.Optimizer, keras.random.SeedGenerator, FuncGraph, tf.data.Dataset)
    kinds += (tf.types.experimental.ConcreteFunction, LabelledBatches, LabelledViews)
    # The images go after the dataset that reads them, and only then what augments them.
    for _ in range(3):
        gc.collect()
    found = collections.Counter()
    for one in gc.get_objects():
        found.update(kind.__name__ for kind in kinds if issubclass(type(one), kind))
    return dict(found)


@pytest.mark.slow
@pytest.mark.parametrize("fit", [{"views": "fresh"}, {"views": 2}], ids=["fresh", "cached_views"])
def test_runs_leave_no_graphs_models_or_images(fit):
    run(0, **fit)
    before = alive()
    for seed in (1, 2):
        run(seed, **fit)
    assert alive() == before
