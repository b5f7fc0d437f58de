"""What is known of the images before anything is decided."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """Counts and sizes of a labelled set of images, read from labels and file headers alone.

    Args:
        source: Where the images come from, as the user named it.
        class_names: One per class, in label order.
        train: Images of each class to train on.
        validation: Images of each class held out to choose with.
        test: Images of each class to judge with, or None when there is no test split.
        held_out: True when the validation images were taken from the training images by us.
        median_size: Median height and width, pixels.
        smallest_size: Height and width of the smallest image, pixels.
        largest_size: Height and width of the largest image, pixels.
        groups: Groups of training and validation images that are never divided, or None where images stand alone.
        grouped_by: What groups them, in words.
        unlabeled: Images without labels.
    """

    source: str
    class_names: tuple[str, ...]
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...] | None
    held_out: bool
    median_size: tuple[int, int]
    smallest_size: tuple[int, int]
    largest_size: tuple[int, int]
    groups: int | None = None
    grouped_by: str | None = None
    unlabeled: int = 0

    @property
    def train_images(self) -> int:
        return sum(self.train)

    @property
    def validation_images(self) -> int:
        return sum(self.validation)

    @property
    def classes(self) -> int:
        return len(self.class_names)

    @property
    def imbalance(self) -> float:
        """How many times larger the largest class is than the smallest, in training images."""
        return max(self.train) / min(self.train)
