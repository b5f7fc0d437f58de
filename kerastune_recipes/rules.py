"""What `auto` means: pure rules from facts to values, each number with its source."""

from kerastune_recipes.facts import BackboneFacts, DatasetFacts

# BiT-HyperRule (Kolesnikov et al. 2020) shows images under 96 px to the network at 128 px, all others at full size.
SMALL_IMAGE = 96
SIZE_FOR_SMALL_IMAGES = 128
# For a network of the user's own that takes images of any size: what most of keras.applications were trained at.
UNKNOWN_SIZE = 224

# Strengths of the L2 penalty (1/C) tried by cross-validation, strong to weak. Kornblith et al. 2019 search 45 values
# over 11 decades; on standardised features of 100 to 2,000 images the best lay between 1 and 1e4 (docs/experiments.md),
# and half decades cost a tenth of the time.
STRENGTHS = tuple(round(10 ** (half / 2), 6) for half in range(9, -3, -1))
# Used where a class is too small to cross-validate: C=0.01, the value that field trials found good on four sets.
DEFAULT_STRENGTH = 100.0
FOLDS = 5

# Peak rates for pretrained weights at batch 32. SGD: 3e-3 was best on flower photos and cells, within reach of 1e-2 on
# aerial photos (field trials, MobileNetV2, 1,200 images); Adam-like: a hundredth of Keras's default, as the Keras
# transfer-learning guide advises for fine-tuning.
FINE_TUNING_RATES = {"sgd": 3e-3, "adagrad": 3e-3, "rmsprop": 1e-5, "adam": 1e-5, "adamw": 1e-5}
# From random weights. SGD: 0.1 at batch 256 (He et al. 2016), scaled linearly to 32 (Goyal et al. 2017);
# the others: Keras's defaults.
SCRATCH_RATES = {"sgd": 1.25e-2, "adagrad": 1e-3, "rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3}
REFERENCE_BATCH = 32

# BiT-HyperRule: 500 steps below 20,000 images, 10,000 below 500,000, 20,000 above. It counts in batches of 512, so the
# middle and upper ranges are bounded by epochs here; so is the lower one, where 500 steps would be a hundred epochs.
MOST_EPOCHS = 30
FEWEST_EPOCHS = 10
STEPS_WHEN_SMALL = 500


def image_size(default: int, minimum: int, data: DatasetFacts) -> int:
    """Return the height and width at which images are shown to the network, pixels.

    Args:
        default: Size the network was pretrained at, pixels.
        minimum: Smallest size it accepts, pixels.
        data: The images at hand.
    """
    if min(data.median_size) >= SMALL_IMAGE:
        return default
    return max(minimum, min(default, SIZE_FOR_SMALL_IMAGES))


def batch_size(data: DatasetFacts) -> int:
    """Return the global batch size, images."""
    return min(REFERENCE_BATCH, data.train_images)


def learning_rate(optimizer: str, batch: int, pretrained: bool) -> float:
    """Return the peak learning rate at multiplier 1.

    Args:
        optimizer: Its field name, such as "sgd".
        batch: Global batch size, images; plain SGD's rate is scaled linearly with it.
        pretrained: False when training starts from random weights.
    """
    rate = (FINE_TUNING_RATES if pretrained else SCRATCH_RATES)[optimizer]
    return rate * batch / REFERENCE_BATCH if optimizer == "sgd" else rate


def epochs(steps_per_epoch: int) -> int:
    """Return how many passes over the training images a phase makes."""
    return max(FEWEST_EPOCHS, min(MOST_EPOCHS, round(STEPS_WHEN_SMALL / steps_per_epoch)))


def folds(data: DatasetFacts) -> int:
    """Return the number of cross-validation folds, 0 where the smallest class cannot be split."""
    smallest = min(data.train)
    return min(FOLDS, smallest) if smallest >= 2 else 0


def taps(asked: str | tuple[str, ...], backbone: BackboneFacts) -> tuple[str, ...]:
    """Return the names of the taps that "last", "all" or a list of names means."""
    match asked:
        case "last":
            return backbone.stages[-1:]
        case "all":
            return backbone.stages
        case _:
            return tuple(asked)
