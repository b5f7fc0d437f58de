"""Shared by the tests: quiet TensorFlow, small facts, small pictures."""

import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Several tests at once share the cores: threads of BLAS would wait for one another, at several times the cost.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import small_facts

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts


def pytest_collection_modifyitems(items):
    """Start the files that hold slow tests first; the order within each stays.

    Started last, one of them would keep one core busy while the other has nothing left to do.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep tests away from the cache of whoever runs them."""
    os.environ["KERASTUNE_CACHE"] = str(tmp_path_factory.mktemp("cache") / "kerastune")


@pytest.fixture(scope="module", autouse=True)
def unscanned():
    """Keep the garbage collector away from the graphs of hundreds of networks that earlier modules left."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture
def data_facts() -> DatasetFacts:
    """Fifty training images of two classes."""
    return small_facts.images()


@pytest.fixture
def backbone_facts() -> BackboneFacts:
    """Three stages of a convolution and a BatchNormalization each, one after the other, at 32 px."""
    return small_facts.network()


@pytest.fixture
def assembled():
    """Return a function that builds a network with random weights: its plan, its facts and its layers."""

    def build(name="DemoNet", size=32, taps="last", classes=("a", "b", "c"), precision="float32", **head):
        from kerastune_recipes.backbones import build as networks
        from kerastune_recipes.backbones import inspect, table
        from kerastune_recipes.model.network import assemble
        from kerastune_recipes.planning import rules
        from kerastune_recipes.planning.plan import Plan

        entry = table.find(name)
        pretrained = networks.build(name, "none", size)
        facts = inspect.inspect(pretrained, name, "none", entry.preprocessing, size, entry.stages)
        data = {
            "plan": 1,
            "recipe": "test",
            "summary": "A test.",
            "class_names": list(classes),
            "backbone": {"name": name, "weights": "none", "image_size": size, "preprocessing": entry.preprocessing},
            "features": {"taps": list(rules.taps(taps, facts)), "views": 1},
            "head": head,
            "phases": [{"name": "only", "solve": {"head": "logistic_regression", "strengths": [1.0], "folds": 0}}],
            "keep": "last",
            "precision": precision,
        }
        plan = Plan.from_data(data, "test")
        return plan, facts.up_to(plan.features.taps), assemble(plan, facts, pretrained)

    return build


@pytest.fixture
def fit_plan():
    """Return a function that makes a fit phase of a few steps."""

    def make(**changes):
        from kerastune_recipes.planning.plan import FitPlan

        data = {
            "trainable": [["head", 1.0], ["backbone", 1.0]],
            "batch_norm": "frozen",
            "optimizer": {"name": "sgd"},
            "learning_rate": 0.1,
            "schedule": "constant",
            "steps": 2,
            "warmup_steps": 0,
            "batch_size": 4,
            "augmentation": [],
            "label_smoothing": 0.0,
            "clip_norm": 1.0,
        }
        return FitPlan.from_data({**data, **changes}, "test")

    return make


@pytest.fixture
def pictures():
    """Return a function that draws noise of three classes: uint8 images and labels."""

    def draw(count=8, size=32, seed=0):
        import numpy as np

        random = np.random.default_rng(seed)
        return random.integers(0, 256, (count, size, size, 3), dtype=np.uint8), np.arange(count) % 3

    return draw


@pytest.fixture
def photos():
    """Return a function that writes noise as PNG files in class folders: photos("set", ants=6, bees=6).

    No image is a copy of another, in other folders neither.
    """
    import itertools

    calls = itertools.count()

    def write(folder, size=32, **classes):
        from pathlib import Path

        import numpy as np
        from PIL import Image

        random = np.random.default_rng(next(calls))
        for name, count in classes.items():
            (Path(folder) / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(Path(folder) / name / f"{number}.png")
        return Path(folder)

    return write


@pytest.fixture
def shell(capsys, monkeypatch, tmp_path):
    """Return a function that runs `kerastune` in an empty folder and gives its status, output and error output."""
    from types import SimpleNamespace

    from kerastune_recipes import cli

    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        try:
            status = cli.main([str(word) for word in words])
        except SystemExit as stop:  # how argparse ends after --help and for words it does not know
            status = stop.code
        written = capsys.readouterr()
        return SimpleNamespace(status=status, out=written.out, err=written.err)

    return run


@pytest.fixture
def memory_for(monkeypatch):
    """Return a function that leaves memory for steps on some images at once, and none on more: memory_for(2)."""

    def leave(images):
        import keras
        import tensorflow as tf

        from kerastune_recipes.training import losses

        build = losses.build

        class Hungry(keras.losses.Loss):
            def __init__(self, inner):
                super().__init__(name=inner.name)
                self.inner = inner

            def call(self, y_true, y_pred):
                # More than any address space holds, so that it is refused at once.
                numbers = tf.where(tf.shape(y_pred)[0] > images, tf.constant(2**48, tf.int64), 1)
                return self.inner.call(y_true, y_pred) + tf.reduce_max(tf.fill([numbers], 0.0))

        monkeypatch.setattr(losses, "build", lambda plan: Hungry(build(plan)))

    return leave
