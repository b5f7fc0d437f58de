"""Shared by the tests: quiet TensorFlow, small facts, small pictures."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from kerastune_recipes.facts import BackboneFacts, DatasetFacts, LayerFacts, TapFacts


@pytest.fixture
def data_facts() -> DatasetFacts:
    """Fifty training images of two classes."""
    return DatasetFacts(
        source="photos",
        class_names=("ants", "bees"),
        train=(30, 20),
        validation=(8, 5),
        test=None,
        held_out=True,
        median_size=(200, 300),
        smallest_size=(100, 120),
        largest_size=(400, 600),
    )


@pytest.fixture
def backbone_facts() -> BackboneFacts:
    """Three stages of a convolution and a BatchNormalization each, at 32 px."""
    layers, outputs, taps = [], [], []
    stages = ("stem", "stage1", "stage2")
    for number, stage in enumerate(stages):
        channels = 8 * 2**number
        for name, parameters, statistics, batch_norm in (
            (f"{stage}_conv", 100 * (number + 1), 0, False),
            (f"{stage}_bn", 4 * channels, 2 * channels, True),
        ):
            layers.append(LayerFacts(name, stage, parameters, statistics, batch_norm))
            outputs.append(TapFacts(name, name, (16 >> number, 16 >> number, channels)))
        taps.append(TapFacts(stage, f"{stage}_bn", (16 >> number, 16 >> number, channels)))
    return BackboneFacts("Tiny", "none", "symmetric", 32, stages, tuple(layers), tuple(taps), tuple(outputs))
