"""What `auto` means: pure rules from facts to values, with a source for each number."""

import math
from typing import Literal

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.devices.facts import HardwareFacts, Precision
from kerastune_recipes.spec.heads import HEADS
from kerastune_recipes.spec.recipe_spec import SolvedHead

# Input size for images whose shorter side is below a limit, pixels: (limit, size). Larger images use the size of the
# pretraining. 96 -> 128: BiT-HyperRule (Kolesnikov et al. 2020). 160 -> 160: half the cost of 224 at the same accuracy
# for images of about 100 px (benchmarks/pages/features.md); images of 160 px and more gain from 224.
SIZES = ((96, 128), (160, 160))
# Further image sizes for which a plan shows the size of a head on all positions: those of `SIZES` and of most
# pretraining.
SIZES_SHOWN = (160, 224)
# For a user's own network that accepts any image size: the size that most of keras.applications were trained at.
UNKNOWN_SIZE = 224

# With more than a few images, 3 folds lose at most 0.004 nats to 5, at 0.60 to 0.75 of the cost
# (benchmarks/pages/solver.md).
FOLDS, FEW_IMAGES, FOLDS_OF_MORE = 5, 200, 3

# Peak rates for pretrained weights at batch 32. SGD: 3e-3 was best on flower photos and cells, and close to 1e-2, the
# best, on aerial photos (field trials, MobileNetV2, 1,200 images); Adam-like: a hundredth of Keras's default, as the
# Keras transfer-learning guide advises for fine-tuning.
FINE_TUNING_RATES = {"sgd": 3e-3, "adagrad": 3e-3, "rmsprop": 1e-5, "adam": 1e-5, "adamw": 1e-5}
# From random weights. SGD: 0.1 at batch 256 (He et al. 2016), scaled linearly to 32 (Goyal et al. 2017);
# the others: Keras's defaults.
SCRATCH_RATES = {"sgd": 1.25e-2, "adagrad": 1e-3, "rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3}
REFERENCE_BATCH = 32

# The range test raises the rate over RANGE_TEST_STEPS, from the phase's own rate divided by RANGE_TEST_SPAN to that
# rate times RANGE_TEST_SPAN. It ends when the smoothed loss has risen by RANGE_TEST_END nats. The peak rate is
# RANGE_TEST_SHARE of the rate where the loss had first risen by RANGE_TEST_RISE. Provisional: rates found this way were
# as good as the rule on two sets (docs/experiments.md); other values were not tried.
RANGE_TEST_STEPS, RANGE_TEST_SPAN = 100, 300.0
RANGE_TEST_RISE, RANGE_TEST_END = 0.5, 2.0
RANGE_TEST_SHARE = 0.1

# 10 epochs of batch 32 at 1,200 images (380 steps) beat every tool in field trials on photos; more images need fewer
# epochs. Fewer images would gain a little from more: twenty epochs were better by 0.02 nats than ten on average of four
# sets (docs/experiments.md), but took twice the time, more than the tutorial takes. When ten epochs are less than
# FEWEST_STEPS there is time for more: such a run took about half of the tutorial's time (benchmarks/pages/grid.md).
STEPS, FEWEST_STEPS = 400, 50
FEWEST_EPOCHS, MOST_EPOCHS, MOST_EPOCHS_OF_FEW = 5, 10, 20

# Cached augmented views of each image that the trained part sees in turn: provisional, from one seed on three sets
# (benchmarks/pages/frozen_part.md).
VIEWS = 4
# Cached views are used when they make the phase at least VIEWS_PAY times cheaper, because the estimate is rough, and
# take at most VIEWS_BYTES: the disk of a Colab has room for the images and little else.
VIEWS_PAY = 1.5
VIEWS_BYTES = 8 * 2**30

# Focusing exponent of focal cross-entropy: best in Lin et al. 2017, and Keras's default.
FOCAL_GAMMA = 2.0
# Errors of probabilities are within -1 and 1; at Keras's 1.0 the Huber loss would be the squared error.
HUBER_DELTA = 0.5

# Largest/smallest class ratio from which classes are balanced, and up to which a fit phase does so by weights. Above
# that, images of a small class would be rare and have large gradients: sampling them more often is better for SGD (An
# et al. 2021), and was as good as weights or better in Buda et al. 2018. WEIGHTS_UP_TO is our choice.
UNBALANCED = 3.0
WEIGHTS_UP_TO = 10.0

# CUDA compute capability of the first NVIDIA GPUs with bfloat16 tensor cores (Ampere). Older GPUs have only float16,
# whose small range needs a scaled loss, so `auto` does not choose it. Nor does it choose bfloat16 on a CPU: without
# instructions for it a training step took ten times as long, MobileNetV2's features twice, those of ResNet50 and VGG16
# about the same (benchmarks/pages/precision.md); another processor ran the latter two 1.3 to 1.5 times as fast.
BFLOAT16_CAPABILITY = (8, 0)


def image_size(default: int, minimum: int, data: DatasetFacts) -> int:
    """Return the height and width of the network's input, pixels.

    Args:
        default: Size the network was pretrained at, pixels.
        minimum: Smallest size it accepts, pixels.
        data: The images.
    """
    shorter = min(data.median_size)
    size = next((size for limit, size in SIZES if shorter < limit), default)
    return max(minimum, min(default, size))


def batch_size(data: DatasetFacts) -> int:
    """Return the global batch size, images."""
    return min(REFERENCE_BATCH, data.train_images)


def learning_rate(optimizer: str, batch: int, pretrained: bool) -> float:
    """Return the peak learning rate at multiplier 1.

    Args:
        optimizer: Name of the optimizer, such as "sgd".
        batch: Global batch size, images.
        pretrained: False when training starts from random weights.
    """
    rate = (FINE_TUNING_RATES if pretrained else SCRATCH_RATES)[optimizer]
    return rate * batch / REFERENCE_BATCH if scales(optimizer) else rate


def scales(optimizer: str) -> bool:
    """Return whether the learning rate scales linearly with the global batch (Goyal et al. 2017): only for SGD."""
    return optimizer == "sgd"


def epochs(steps_per_epoch: int) -> int:
    """Return the number of epochs of a fit phase."""
    enough = max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(STEPS / steps_per_epoch)))
    return max(enough, min(MOST_EPOCHS_OF_FEW, math.ceil(FEWEST_STEPS / steps_per_epoch)))


def batch_norm_momentum(steps_per_epoch: int) -> float:
    """Return the momentum of BatchNormalization's moving statistics.

    They must converge within the run (Kornblith et al. 2019), and Keras's 0.99 to 0.999 are too slow for a short one.
    """
    return max(0.9, 1 - 10 / steps_per_epoch)


def views(augmented: bool, epochs: int) -> int:
    """Return the number of views of each image to cache.

    Args:
        augmented: False when all views of an image would be the same.
        epochs: Epochs of the phase; each uses one view.
    """
    return min(VIEWS, epochs) if augmented else 1


def views_pay(fresh_passes: float, cached_passes: float, cached_bytes: int) -> bool:
    """Return whether to train on a few cached views rather than on fresh ones each epoch.

    Args:
        fresh_passes: Cost with fresh views, forward passes of all images.
        cached_passes: Cost with cached views, forward passes of all images.
        cached_bytes: Size of the cached views, bytes.
    """
    return fresh_passes >= VIEWS_PAY * cached_passes and cached_bytes <= VIEWS_BYTES


def unbalanced(data: DatasetFacts) -> bool:
    """Return whether `auto` balances classes of unequal size."""
    return data.imbalance >= UNBALANCED


def fit_balance(data: DatasetFacts) -> Literal["weights", "sampling"]:
    """Return the way in which a fit phase balances classes."""
    return "weights" if data.imbalance <= WEIGHTS_UP_TO else "sampling"


def folds(data: DatasetFacts) -> int:
    """Return the number of cross-validation folds that the bulk of the images allows; 0 where it allows none.

    Each fold takes an image, or a group, of the classes that hold at least half of the images. Rarer classes are in
    fewer folds, or always in training.
    """
    units = data.train_groups or data.train
    for count in range(FOLDS if data.train_images <= FEW_IMAGES else FOLDS_OF_MORE, 1, -1):
        divided = sum(images for images, of_class in zip(data.train, units, strict=True) if of_class >= count)
        if 2 * divided >= data.train_images:
            return count
    return 0


def strengths(head: SolvedHead, folds: int) -> tuple[float, ...]:
    """Return the strengths that a solved head chooses from by cross-validation, strong to weak.

    Args:
        head: The head.
        folds: Cross-validation folds; with 0 there is one strength only.
    """
    return HEADS[head].strengths if folds else (HEADS[head].default_strength,)


def precision(hardware: HardwareFacts) -> Precision:
    """Return the compute dtype of a network."""
    if hardware.device == "tpu" or (hardware.capability or (0, 0)) >= BFLOAT16_CAPABILITY:
        return "bfloat16"
    return "float32"


def jit_compile(hardware: HardwareFacts) -> bool:
    """Return whether training steps are compiled, as Keras's own "auto" decides.

    TensorFlow's XLA is ten times slower on a CPU (MobileNet: 52 against 519 images/s), and does not work with several
    replicas; JAX always compiles.
    """
    if hardware.backend == "tensorflow":
        return hardware.accelerated and hardware.devices == 1
    return hardware.backend == "jax"


def taps(stated: str | tuple[str, ...], backbone: BackboneFacts) -> tuple[str, ...]:
    """Return the names of the taps.

    Args:
        stated: `FeaturesSpec.taps`: "last", "all", "early" or names.
        backbone: The network; with a single stage, "early" is empty.
    """
    match stated:
        case "last":
            return backbone.stages[-1:]
        case "all":
            return backbone.stages
        case "early":
            return backbone.stages[:-1]
        case _:
            return tuple(stated)
