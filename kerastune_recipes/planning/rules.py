"""What `auto` means: pure rules from facts to values, each number with its source."""

import math
from typing import Literal

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.devices.facts import HardwareFacts, Precision

# Up to which shorter side images are shown at which size; larger ones at the size the network was pretrained at.
# 96 -> 128: BiT-HyperRule (Kolesnikov et al. 2020). 160 -> 160: half the cost of 224 at the same accuracy where the
# images are about 100 px (benchmarks/features.md); images of 160 px and more gain from 224.
SIZES = ((96, 128), (160, 160))
# At which sizes, beside the network's own, a plan says how large a head on all positions would be: those of `SIZES` and
# of most pretraining.
SIZES_SHOWN = (160, 224)
# For a network of the user's own that takes images of any size: what most of keras.applications were trained at.
UNKNOWN_SIZE = 224


# Strengths tried by cross-validation, strong to weak. What they mean is in `SolveSpec`; where the best of them lay on
# four sets is in benchmarks/heads.md.
# - Logistic regression: Kornblith et al. 2019 search 45 values over 11 decades; half decades lose nothing where the
#   minimum is as flat as on standardised features (from 3 to 30 the log loss of sign_digits moves by 0.01), and most
#   are left out: decades first, then a half decade beside the best.
# - Linear SVM: the best were 300 to 10,000.
# - Naive Bayes: the best were 0.03 to 1000. Without smoothing (scikit-learn: 1e-9) a feature that never changes within
#   a class outvotes all others.
# - Source classifier: those of logistic regression; the best were 0.1 to 3162, the strongest where the classes are
#   ImageNet's (benchmarks/reuse_head.md).
# - LDA: the best were 0.05 to 0.9, where Ledoit-Wolf says 0.03 to 0.4, and is worse by up to 0.1 nats.
def _half_decades(strong: int, weak: int) -> tuple[float, ...]:
    return tuple(round(10 ** (half / 2), 6) for half in range(strong, weak, -1))


STRENGTHS = {
    "logistic_regression": _half_decades(7, -3),
    "linear_svm": _half_decades(9, 1),
    "naive_bayes": _half_decades(6, -5),
    "lda": (0.97, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02),
    "pretrained_classifier": _half_decades(7, -3),
}
# Used where a class is too small to cross-validate. C=0.01: the value that field trials found good on four sets. The
# others: the middle of the best on four sets.
DEFAULT_STRENGTHS = {
    "logistic_regression": 100.0,
    "linear_svm": 1000.0,
    "naive_bayes": 1.0,
    "lda": 0.5,
    "pretrained_classifier": 100.0,
}
# The largest class has at most so many times the images of the smallest before classes are made to weigh the same.
IMBALANCED = 3.0
# Beyond a few images 3 folds lose at most 0.004 nats to 5, at 0.60 to 0.75 of the cost (benchmarks/solver.md).
FOLDS, FEW_IMAGES, FOLDS_OF_MORE = 5, 200, 3

# Peak rates for pretrained weights at batch 32. SGD: 3e-3 was best on flower photos and cells, within reach of 1e-2 on
# aerial photos (field trials, MobileNetV2, 1,200 images); Adam-like: a hundredth of Keras's default, as the Keras
# transfer-learning guide advises for fine-tuning.
FINE_TUNING_RATES = {"sgd": 3e-3, "adagrad": 3e-3, "rmsprop": 1e-5, "adam": 1e-5, "adamw": 1e-5}
# From random weights. SGD: 0.1 at batch 256 (He et al. 2016), scaled linearly to 32 (Goyal et al. 2017);
# the others: Keras's defaults.
SCRATCH_RATES = {"sgd": 1.25e-2, "adagrad": 1e-3, "rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3}
REFERENCE_BATCH = 32

# A range test raises the rate over so many steps, from this much below the phase's own to as much above. It ends when
# the smoothed loss has risen by END nats; where it first had by RISE, training breaks, and this share of that rate is
# the peak. Provisional: so chosen, the rate was as good as the rule on two sets (docs/experiments.md); others were
# not tried.
RANGE_TEST_STEPS, RANGE_TEST_SPAN = 100, 300.0
RANGE_TEST_RISE, RANGE_TEST_END = 0.5, 2.0
RANGE_TEST_SHARE = 0.1

# 10 epochs of batch 32 at 1,200 images (380 steps) beat every tool in field trials on photos; more images need fewer
# passes. Fewer images would gain some from more: twenty passes took 0.02 nats off those of ten on average of four sets
# (docs/experiments.md), and twice the time, which is more than the tutorial takes. Where ten passes are less than
# FEWEST_STEPS there is room for more: such a run took about half of the tutorial's time, run in turns with it
# (benchmarks/grid.md).
STEPS, FEWEST_STEPS = 400, 50
FEWEST_EPOCHS, MOST_EPOCHS, MOST_EPOCHS_OF_FEW = 5, 10, 20

# Augmented views of each image on which the part behind a frozen one is trained in turn: provisional, from one seed on
# three sets (benchmarks/frozen_part.md).
VIEWS = 4
# They are chosen where they make the phase at least this many times cheaper, for the estimate is rough, and where they
# take no more room than this: bytes, on a disk that holds the images and little else in a Colab.
VIEWS_PAY = 1.5
VIEWS_BYTES = 8 * 2**30

# How much less focal cross-entropy cares for what is recognised: best in Lin et al. 2017, and Keras's default.
FOCAL_GAMMA = 2.0
# Errors of probabilities lie within -1 and 1; at Keras's 1.0 the Huber loss would be the squared error.
HUBER_DELTA = 0.5

# From which ratio of the largest class to the smallest something is done in a phase that fits, and up to which ratio
# weights are enough. Beyond, the few images of a small class would each pull hard and seldom: drawing them more often
# is better for SGD (An et al. 2021), and did better than weights or as well in Buda et al. 2018. Where weights end is
# our choice.
UNBALANCED = 3.0
WEIGHTS_UP_TO = 10.0

# The first NVIDIA GPUs that multiply bfloat16 on tensor cores (Ampere). Older ones have float16 alone, whose small
# range takes a scaled loss: it is there to be asked for. So is bfloat16 on a CPU: without instructions for it a
# training step took ten times as long, MobileNetV2's features twice, those of ResNet50 and VGG16 about the same
# (benchmarks/precision.md); another processor gave the latter two 1.3 to 1.5 times the speed.
BFLOAT16_CAPABILITY = (8, 0)


def image_size(default: int, minimum: int, data: DatasetFacts) -> int:
    """Return the height and width at which images are shown to the network, pixels.

    Args:
        default: Size the network was pretrained at, pixels.
        minimum: Smallest size it accepts, pixels.
        data: The images at hand.
    """
    shorter = min(data.median_size)
    size = next((size for below, size in SIZES if shorter < below), default)
    return max(minimum, min(default, size))


def batch_size(data: DatasetFacts) -> int:
    """Return the global batch size, images."""
    return min(REFERENCE_BATCH, data.train_images)


def learning_rate(optimizer: str, batch: int, pretrained: bool) -> float:
    """Return the peak learning rate at multiplier 1.

    Args:
        optimizer: Its field name, such as "sgd".
        batch: Global batch size, images; a rate that `scales` is in proportion to it.
        pretrained: False when training starts from random weights.
    """
    rate = (FINE_TUNING_RATES if pretrained else SCRATCH_RATES)[optimizer]
    return rate * batch / REFERENCE_BATCH if scales(optimizer) else rate


def scales(optimizer: str) -> bool:
    """Return whether an optimizer's rate follows the global batch (Goyal et al. 2017): plain SGD's does."""
    return optimizer == "sgd"


def epochs(steps_per_epoch: int) -> int:
    """Return how many passes over the training images a phase makes."""
    enough = max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(STEPS / steps_per_epoch)))
    return max(enough, min(MOST_EPOCHS_OF_FEW, math.ceil(FEWEST_STEPS / steps_per_epoch)))


def batch_norm_momentum(steps_per_epoch: int) -> float:
    """Return the momentum with which BatchNormalization follows new images.

    Kornblith et al. 2019: statistics must settle within the run, and Keras's 0.99 to 0.999 outlast a short one.
    """
    return max(0.9, 1 - 10 / steps_per_epoch)


def views(augmented: bool, epochs: int) -> int:
    """Return how many views of each image are enough, where the frozen part is to be computed once for each.

    Args:
        augmented: False when all views of an image would be the same.
        epochs: Of the phase; each sees one view.
    """
    return min(VIEWS, epochs) if augmented else 1


def views_pay(fresh: float, behind: float, room: int) -> bool:
    """Return whether to train behind the frozen part on a few views, rather than to augment anew each epoch.

    Args:
        fresh: What augmenting anew would cost, forward passes.
        behind: What the views would cost, forward passes.
        room: What they would take, bytes.
    """
    return fresh >= VIEWS_PAY * behind and room <= VIEWS_BYTES


def class_balance(data: DatasetFacts) -> Literal["none", "weights", "sampling"]:
    """Return what is done about classes of unequal size in a phase that fits."""
    if data.imbalance < UNBALANCED:
        return "none"
    return "weights" if data.imbalance <= WEIGHTS_UP_TO else "sampling"


def folds(data: DatasetFacts) -> int:
    """Return the number of cross-validation folds, 0 where the smallest class cannot be split."""
    smallest = min(data.train)
    folds = FOLDS if data.train_images <= FEW_IMAGES else FOLDS_OF_MORE
    return min(folds, smallest) if smallest >= 2 else 0


def class_weights(data: DatasetFacts) -> Literal["none", "weights"]:
    """Return whether classes are to weigh the same in a solved head, however many images they have."""
    return "weights" if data.imbalance > IMBALANCED else "none"


def precision(hardware: HardwareFacts) -> Precision:
    """Return what a network computes in."""
    if hardware.device == "tpu" or (hardware.capability or (0, 0)) >= BFLOAT16_CAPABILITY:
        return "bfloat16"
    return "float32"


def jit_compile(hardware: HardwareFacts) -> bool:
    """Return whether training steps are compiled: where Keras's own "auto" does.

    TensorFlow's XLA is ten times slower on a CPU (MobileNet: 52 against 519 images/s), and does not go with several
    replicas; JAX has nothing else.
    """
    if hardware.backend == "tensorflow":
        return hardware.accelerated and hardware.devices == 1
    return hardware.backend == "jax"


def taps(asked: str | tuple[str, ...], backbone: BackboneFacts) -> tuple[str, ...]:
    """Return the names of the taps that "last", "all", "early" or a list of names means; early may be none."""
    match asked:
        case "last":
            return backbone.stages[-1:]
        case "all":
            return backbone.stages
        case "early":
            return backbone.stages[:-1]
        case _:
            return tuple(asked)
