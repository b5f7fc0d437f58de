"""Facts for the tests and the fuzzer of texts: of a few images, and of a network of three stages."""

from kerastune_recipes.backbones.facts import BackboneFacts, LayerFacts, TapFacts
from kerastune_recipes.data.facts import DatasetFacts


def images() -> DatasetFacts:
    """Return facts of fifty training images of two classes."""
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


def network() -> BackboneFacts:
    """Return facts of three stages of a convolution and a BatchNormalization each, one after the other, at 32 px."""
    layers, outputs, taps = [], [], []
    stages = ("stem", "stage1", "stage2")
    for number, stage in enumerate(stages):
        channels = 8 * 2**number
        for name, parameters, statistics, batch_norm in (
            (f"{stage}_conv", 100 * (number + 1), 0, False),
            (f"{stage}_bn", 4 * channels, 2 * channels, True),
        ):
            layers.append(LayerFacts(name, stage, parameters, statistics, batch_norm))
            before = (outputs[-1].name,) if outputs else ()
            outputs.append(TapFacts(name, name, (16 >> number, 16 >> number, channels), before))
        taps.append(TapFacts(stage, f"{stage}_bn", (16 >> number, 16 >> number, channels)))
    return BackboneFacts("Tiny", "imagenet", "symmetric", 32, stages, tuple(layers), tuple(taps), tuple(outputs))
