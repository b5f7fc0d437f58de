"""The table of backbones: what is known of every network in keras.applications, of AlexNet and of DemoNet, unbuilt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kerastune_recipes.backbones.facts import Preprocessing
from kerastune_recipes.errors import BackboneError, did_you_mean

# What `weights` may say besides the path of a weights file.
WEIGHTS = ("imagenet", "none", "demo")
# How the name of a preset of KerasHub begins, and what `weights` may say of one: its own, or random ones. "imagenet",
# the default of every recipe, stands for its own.
HUB = "hub:"
HUB_WEIGHTS = ("preset", "imagenet", "none")
# How a weights file of Keras ends, and one that holds a state dict of torch.
WEIGHTS_FILES = (".weights.h5", ".h5", ".keras")
STATE_DICTS = (".safetensors", ".pth")


class Stage(NamedTuple):
    """The blocks of a network that work at one resolution.

    Args:
        name: "stem", "stage1", "stage2" ..., input side first.
        last_layer: The layer whose output is the stage's activation. A layer belongs to the first stage whose last
            layer comes at or after it.
    """

    name: str
    last_layer: str


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
        name: As in keras.applications, with the width behind it where there are several: "MobileNet_0.25".
        family: Networks built alike, such as "resnet".
        preprocessing: How raw pixels become its input, as in `facts.BackboneFacts`.
        default_size: Height and width its ImageNet weights were trained at, pixels.
        minimum_size: The smallest height and width it accepts, pixels.
        stages: Input side first; the last ends in the network's output.
        pretrained: The name of its pretrained weights, "imagenet" or "demo"; None where they come by path alone.
        weights_file: Name of the file which keras.applications downloads for "imagenet", without the classifier.
            Empty for DemoNet, whose weights come with this package, and for AlexNet.
        batch_norm: Whether it has BatchNormalization.
        arguments: What its constructor is given to build it.
        weights_files: How a weights file of it may end.
        weights_source: Where a weights file can be had that Keras does not download, in words.
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
        """The function that builds it, in keras.applications or of our own."""
        return self.name.split("_")[0]

    @property
    def classifier(self) -> str:
        """The layer that names the classes of the pretraining, where it is a single one on the averaged output.

        Empty where there are hidden layers (VGG, MobileNetV3), or the average is normalised first (ConvNeXt).
        """
        return _CLASSIFIERS.get(self.family, "")

    @property
    def classifier_file(self) -> str:
        """Name of the file which keras.applications downloads for "imagenet" with the classifier."""
        return self.weights_file.replace("_notop", "").replace("_no_top", "")


def find(name: str) -> Backbone:
    """Return the backbone of that name.

    Raises:
        BackboneError: There is none.

    Example:
        >>> find("ResNet50").stages[-1]
        Stage(name='stage4', last_layer='conv5_block3_out')
    """
    if name not in BACKBONES:
        by_lower_case = {known.lower(): known for known in BACKBONES}
        nearest = by_lower_case.get(str(name).lower(), str(name))
        hint = did_you_mean(nearest, BACKBONES) or f" There are {', '.join(BACKBONES)}."
        raise BackboneError(f'There is no backbone "{name}".{hint}')
    return BACKBONES[name]


def check(name: str) -> None:
    """Refuse a name that can be no backbone's; whether KerasHub has a preset is told when it is built.

    Raises:
        BackboneError: There is no backbone of that name.
    """
    if name == HUB:
        raise BackboneError(f'"{HUB}" takes the name of a preset of KerasHub, as in "{HUB}resnet_18_imagenet".')
    if not name.startswith(HUB):
        find(name)


def _stages(*last_layers: str) -> tuple[Stage, ...]:
    """Name the stages of a network whose first one is a stem."""
    return tuple(Stage(f"stage{number}" if number else "stem", layer) for number, layer in enumerate(last_layers))


def _vgg() -> Iterable[Backbone]:
    # A VGG has no stem: its first block of convolutions already works at full resolution.
    blocks = tuple(Stage(f"stage{block}", f"block{block}_pool") for block in range(1, 6))
    for name in ("VGG16", "VGG19"):
        yield Backbone(name, "vgg", "caffe", 224, 32, blocks, _kernels_file(name), batch_norm=False)


def _resnet() -> Iterable[Backbone]:
    # Version 2 halves the resolution in the last block of a stage rather than the first of the next, and normalises
    # behind the last sum. Its stages are still the ones that Keras numbers.
    blocks_of_depth = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    for depth, blocks in blocks_of_depth.items():
        ends = [f"conv{group}_block{count}_out" for group, count in enumerate(blocks, start=2)]
        first, second = f"ResNet{depth}", f"ResNet{depth}V2"
        stages = _stages("pool1_pool", *ends)
        yield Backbone(first, "resnet", "caffe", 224, 32, stages, _kernels_file(first))
        stages = _stages("pool1_pool", *ends[:-1], "post_relu")
        yield Backbone(second, "resnet_v2", "symmetric", 224, 32, stages, _kernels_file(second))


def _densenet() -> Iterable[Backbone]:
    # A dense block ends in a plain concatenation; the activation is what the transition behind it makes of it.
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
    # The sums of blocks 2, 3, 4 .. 12 and 13 have no names of their own: add, add_1, add_2 .. add_10 and add_11.
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
    # Default size, then how often blocks 1, 2, 3 and 5 are repeated: the last ones at 1/2, 1/4, 1/8 and 1/16.
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
    """Name the last sum of each group of blocks; a group of a single block has none and ends in `single`."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    ends = [
        f"block{group}{letters[count - 1]}_add" if count > 1 else single
        for group, count in zip((1, 2, 3, 5), repeats, strict=True)
    ]
    return _stages(*ends, "top_activation")


def _convnext() -> Iterable[Backbone]:
    # The sum that ends a block has no name of its own: they are add, add_1, add_2 ... throughout the network.
    blocks = {"Tiny": (3, 3, 9), "Small": (3, 3, 27), "Base": (3, 3, 27), "Large": (3, 3, 27), "XLarge": (3, 3, 27)}
    for variant, (first, second, third) in blocks.items():
        prefix = f"convnext_{variant.lower()}"
        sums = [f"add_{count - 1}" for count in (first, first + second, first + second + third)]
        stages = _stages(f"{prefix}_stem", *sums, "layer_normalization")
        file = f"{prefix}_notop.h5"
        yield Backbone(f"ConvNeXt{variant}", "convnext", "identity", 224, 32, stages, file, batch_norm=False)


def _alexnet() -> Iterable[Backbone]:
    # Like a VGG it has no stem: each stage is the convolutions up to the next pooling.
    stages = tuple(Stage(f"stage{number}", pool) for number, pool in enumerate(("pool1", "pool2", "pool5"), start=1))
    source = (
        "torchvision's, https://download.pytorch.org/models/alexnet-owt-7be5be79.pth, which takes torch to read, or "
        "the same tensors as .safetensors, which does not"
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
    """Return the name and the arguments of a network of that width; the full width needs neither."""
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
