"""The table of backbones: facts about keras.applications, AlexNet and DemoNet, without building any."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kerastune_recipes.backbones.facts import Preprocessing
from kerastune_recipes.errors import BackboneError, did_you_mean

# Values of `weights` other than the path of a weights file.
WEIGHTS = ("imagenet", "none", "demo")
# Prefix of the name of a KerasHub preset, and the values of `weights` for one: its own weights, or random ones.
# "imagenet", the default of every recipe, means its own.
HUB = "hub:"
HUB_WEIGHTS = ("preset", "imagenet", "none")
# File endings of Keras's weights files, and of torch state dicts.
WEIGHTS_FILES = (".weights.h5", ".h5", ".keras")
STATE_DICTS = (".safetensors", ".pth")


class Stage(NamedTuple):
    """The blocks of a network at one resolution.

    Args:
        name: "stem", "stage1", "stage2" ..., input side first.
        last_layer: Name of the layer whose output is the stage's activation. A layer belongs to the first stage that
            ends with or after it.
    """

    name: str
    last_layer: str


# By family, the classifier layer of the networks that have a single one on the averaged output.
_CLASSIFIERS = {
    "resnet": "predictions",
    "resnet_v2": "predictions",
    "densenet": "predictions",
    "inception": "predictions",
    "inception_resnet": "predictions",
    "xception": "predictions",
    "mobilenet": "conv_preds",
    "mobilenet_v2": "predictions",
    "nasnet": "predictions",
    "efficientnet": "predictions",
    "efficientnet_v2": "predictions",
    "demo": "predictions",
}


@dataclass(frozen=True)
class Backbone:
    """One network of the table.

    Args:
        name: Name in keras.applications, followed by the width where there are several: "MobileNet_0.25".
        family: Architecture family, such as "resnet".
        preprocessing: How raw pixels become its input, as in `facts.BackboneFacts`.
        default_size: Height and width of its ImageNet training images, pixels.
        minimum_size: Smallest height and width it accepts, pixels.
        stages: Stages, input side first; the last one ends with the network's output.
        weights_file: Name of the file without classifier that keras.applications downloads for "imagenet". Empty for
            DemoNet, whose weights come with this package, and for AlexNet.
        pretrained: Name of its pretrained weights, "imagenet" or "demo"; None when they come from a file only.
        batch_norm: Whether it has BatchNormalization.
        arguments: Further arguments of its constructor.
        weights_files: File endings accepted for its weights.
        weights_source: Where to get a weights file that Keras does not download, in words.
    """

    name: str
    family: str
    preprocessing: Preprocessing
    default_size: int
    minimum_size: int
    stages: tuple[Stage, ...]
    weights_file: str
    pretrained: str | None = "imagenet"
    batch_norm: bool = True
    arguments: Mapping[str, float] = field(default_factory=dict)
    weights_files: tuple[str, ...] = WEIGHTS_FILES
    weights_source: str = ""

    @property
    def constructor(self) -> str:
        """Name of the function that builds it, in keras.applications or in this package."""
        return self.name.split("_")[0]

    @property
    def classifier(self) -> str:
        """Name of the pretrained classifier's layer, when it is a single one on the averaged output.

        Empty for classifiers with hidden layers (VGG, MobileNetV3) or a normalised average (ConvNeXt).
        """
        return _CLASSIFIERS.get(self.family, "")

    @property
    def classifier_file(self) -> str:
        """Name of the file with classifier that keras.applications downloads for "imagenet"."""
        return self.weights_file.replace("_notop", "").replace("_no_top", "")


def find(name: str) -> Backbone:
    """Return the table's entry for a backbone.

    Args:
        name: Name of the backbone, such as "ResNet50".

    Raises:
        BackboneError: There is no backbone of that name.

    Example:
        >>> find("ResNet50").stages[-1]
        Stage(name='stage4', last_layer='conv5_block3_out')
    """
    if name not in BACKBONES:
        by_lower_case = {known.lower(): known for known in BACKBONES}
        nearest = by_lower_case.get(str(name).lower(), str(name))
        hint = did_you_mean(nearest, BACKBONES) or f" Known: {', '.join(BACKBONES)}."
        raise BackboneError(f'There is no backbone "{name}".{hint}')
    return BACKBONES[name]


def check(name: str) -> None:
    """Check the name of a backbone; whether a KerasHub preset exists is checked when it is loaded.

    Raises:
        BackboneError: There is no backbone of that name.
    """
    if name == HUB:
        raise BackboneError(f'"{HUB}" must be followed by the name of a KerasHub preset: "{HUB}resnet_18_imagenet".')
    if not name.startswith(HUB):
        find(name)


def _stages(*last_layers: str) -> tuple[Stage, ...]:
    """Return the stages of a network that begins with a stem."""
    return tuple(Stage(f"stage{number}" if number else "stem", layer) for number, layer in enumerate(last_layers))


def _vgg() -> Iterable[Backbone]:
    # A VGG has no stem: its first block of convolutions is at full resolution.
    blocks = tuple(Stage(f"stage{block}", f"block{block}_pool") for block in range(1, 6))
    for name in ("VGG16", "VGG19"):
        yield Backbone(name, "vgg", "caffe", 224, 32, blocks, _kernels_file(name), batch_norm=False)


def _resnet() -> Iterable[Backbone]:
    # Version 2 halves the resolution in the last block of a stage, not in the first block of the next one, and
    # normalises after the last sum. Its stages are still those that Keras numbers.
    blocks_of_depth = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    for depth, blocks in blocks_of_depth.items():
        ends = [f"conv{group}_block{count}_out" for group, count in enumerate(blocks, start=2)]
        first, second = f"ResNet{depth}", f"ResNet{depth}V2"
        stages = _stages("pool1_pool", *ends)
        yield Backbone(first, "resnet", "caffe", 224, 32, stages, _kernels_file(first))
        stages = _stages("pool1_pool", *ends[:-1], "post_relu")
        yield Backbone(second, "resnet_v2", "symmetric", 224, 32, stages, _kernels_file(second))


def _densenet() -> Iterable[Backbone]:
    # A dense block ends in a plain concatenation; its activation is in the transition that follows.
    stages = _stages("pool1", "pool2_relu", "pool3_relu", "pool4_relu", "relu")
    for name in ("DenseNet121", "DenseNet169", "DenseNet201"):
        yield Backbone(name, "densenet", "torch", 224, 32, stages, _kernels_file(name))


def _inception() -> Iterable[Backbone]:
    stages = _stages("max_pooling2d_1", "mixed2", "mixed7", "mixed10")
    file = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
    yield Backbone("InceptionV3", "inception", "symmetric", 299, 75, stages, file)
    stages = _stages("max_pooling2d_1", "block35_10_ac", "block17_20_ac", "conv_7b_ac")
    file = "inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5"
    yield Backbone("InceptionResNetV2", "inception_resnet", "symmetric", 299, 75, stages, file)


def _xception() -> Iterable[Backbone]:
    # Keras numbers the sums of blocks 2, 3, 4 .. 12 and 13 by itself: add, add_1, add_2 .. add_10 and add_11.
    stages = _stages("block1_conv2_act", "add", "add_1", "add_10", "block14_sepconv2_act")
    yield Backbone("Xception", "xception", "symmetric", 299, 71, stages, _kernels_file("Xception"))


def _mobilenet() -> Iterable[Backbone]:
    stages = _stages(*(f"conv_pw_{block}_relu" for block in (1, 3, 5, 11, 13)))
    for alpha, text in ((1.0, "1_0"), (0.75, "7_5"), (0.5, "5_0"), (0.25, "2_5")):
        file = f"mobilenet_{text}_224_tf_no_top.h5"
        name, arguments = _widths("MobileNet", alpha)
        yield Backbone(name, "mobilenet", "symmetric", 224, 32, stages, file, arguments=arguments)


def _mobilenet_v2() -> Iterable[Backbone]:
    stages = _stages("expanded_conv_project_BN", "block_2_add", "block_5_add", "block_12_add", "out_relu")
    for alpha in (1.0, 0.35, 0.5, 0.75, 1.3, 1.4):
        file = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{alpha}_224_no_top.h5"
        name, arguments = _widths("MobileNetV2", alpha)
        yield Backbone(name, "mobilenet_v2", "symmetric", 224, 32, stages, file, arguments=arguments)


def _mobilenet_v3() -> Iterable[Backbone]:
    small = ("activation", "expanded_conv_project_bn", "expanded_conv_2_add", "expanded_conv_7_add", "activation_17")
    large = ("expanded_conv_add", "expanded_conv_2_add", "expanded_conv_5_add", "expanded_conv_11_add", "activation_19")
    for size, ends in (("Small", small), ("Large", large)):
        file = f"weights_mobilenet_v3_{size.lower()}_224_1.0_float_no_top_v2.h5"
        yield Backbone(f"MobileNetV3{size}", "mobilenet_v3", "identity", 224, 32, _stages(*ends), file)


def _nasnet() -> Iterable[Backbone]:
    mobile = _stages("reduction_concat_stem_2", "normal_concat_3", "normal_concat_8", "activation_187")
    large = _stages("reduction_concat_stem_2", "normal_concat_5", "normal_concat_12", "activation_259")
    yield Backbone("NASNetMobile", "nasnet", "symmetric", 224, 32, mobile, "nasnet_mobile_no_top.h5")
    yield Backbone("NASNetLarge", "nasnet", "symmetric", 331, 32, large, "nasnet_large_no_top.h5")


def _efficientnet() -> Iterable[Backbone]:
    # Default size, then the repeats of blocks 1, 2, 3 and 5, the last ones at resolutions of 1/2, 1/4, 1/8 and 1/16.
    version_1 = {
        "B0": (224, (1, 2, 2, 3)),
        "B1": (240, (2, 3, 3, 4)),
        "B2": (260, (2, 3, 3, 4)),
        "B3": (300, (2, 3, 3, 5)),
        "B4": (380, (2, 4, 4, 6)),
        "B5": (456, (3, 5, 5, 7)),
        "B6": (528, (3, 6, 6, 8)),
        "B7": (600, (4, 7, 7, 10)),
    }
    version_2 = {
        "B0": (224, (1, 2, 2, 5)),
        "B1": (240, (2, 3, 3, 6)),
        "B2": (260, (2, 3, 3, 6)),
        "B3": (300, (2, 3, 3, 7)),
        "S": (384, (2, 4, 4, 9)),
        "M": (480, (3, 5, 5, 14)),
        "L": (480, (4, 7, 7, 19)),
    }
    for variant, (size, repeats) in version_1.items():
        stages = _efficientnet_stages(repeats, single="block1a_project_bn")
        file = f"efficientnet{variant.lower()}_notop.h5"
        yield Backbone(f"EfficientNet{variant}", "efficientnet", "identity", size, 32, stages, file)
    for variant, (size, repeats) in version_2.items():
        stages = _efficientnet_stages(repeats, single="block1a_project_activation")
        file = f"efficientnetv2-{variant.lower()}_notop.h5"
        yield Backbone(f"EfficientNetV2{variant}", "efficientnet_v2", "identity", size, 32, stages, file)


def _efficientnet_stages(repeats: tuple[int, ...], single: str) -> tuple[Stage, ...]:
    """Return stages that end in the last sum of a group of blocks; a group of one block has no sum, and is `single`."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    ends = [
        f"block{group}{letters[count - 1]}_add" if count > 1 else single
        for group, count in zip((1, 2, 3, 5), repeats, strict=True)
    ]
    return _stages(*ends, "top_activation")


def _convnext() -> Iterable[Backbone]:
    # Keras numbers the sums that end blocks by itself: add, add_1, add_2 ... throughout the network.
    blocks = {"Tiny": (3, 3, 9), "Small": (3, 3, 27), "Base": (3, 3, 27), "Large": (3, 3, 27), "XLarge": (3, 3, 27)}
    for variant, (first, second, third) in blocks.items():
        prefix = f"convnext_{variant.lower()}"
        sums = [f"add_{count - 1}" for count in (first, first + second, first + second + third)]
        stages = _stages(f"{prefix}_stem", *sums, "layer_normalization")
        file = f"{prefix}_notop.h5"
        yield Backbone(f"ConvNeXt{variant}", "convnext", "identity", 224, 32, stages, file, batch_norm=False)


def _alexnet() -> Iterable[Backbone]:
    # No stem, like a VGG: each stage is the convolutions up to the next pooling.
    stages = tuple(Stage(f"stage{number}", pool) for number, pool in enumerate(("pool1", "pool2", "pool5"), start=1))
    source = (
        "torchvision's https://download.pytorch.org/models/alexnet-owt-7be5be79.pth, which needs torch, or the same "
        "tensors as .safetensors, which does not"
    )
    yield Backbone(
        "AlexNet",
        "alexnet",
        "torch",
        224,
        63,
        stages,
        weights_file="",
        pretrained=None,
        batch_norm=False,
        weights_files=(*WEIGHTS_FILES, *STATE_DICTS),
        weights_source=source,
    )


def _demo() -> Iterable[Backbone]:
    stages = _stages("stem_relu", "stage1_out", "stage2_out", "stage3_out")
    yield Backbone("DemoNet", "demo", "symmetric", 32, 16, stages, weights_file="", pretrained="demo")


def _widths(name: str, alpha: float) -> tuple[str, Mapping[str, float]]:
    """Return the name and the constructor arguments of a network with width multiplier `alpha`."""
    return (name, {}) if alpha == 1.0 else (f"{name}_{alpha:.2f}", {"alpha": alpha})


def _kernels_file(name: str) -> str:
    return f"{name.lower()}_weights_tf_dim_ordering_tf_kernels_notop.h5"


_FAMILIES = (
    _vgg,
    _resnet,
    _densenet,
    _inception,
    _xception,
    _mobilenet,
    _mobilenet_v2,
    _mobilenet_v3,
    _nasnet,
    _efficientnet,
    _convnext,
    _alexnet,
    _demo,
)

BACKBONES: Mapping[str, Backbone] = {entry.name: entry for family in _FAMILIES for entry in family()}
