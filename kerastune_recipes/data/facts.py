"""Facts about the images that a plan is made from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """Counts and sizes of a labelled set of images, read from labels and file headers only.

    Args:
        source: Where the images come from, as the user named it.
        class_names: One per class, in label order.
        train: Number of training images of each class.
        validation: Number of validation images of each class.
        test: Number of test images of each class, or None without a test split.
        held_out: True if the validation images were held out from the training images rather than given.
        median_size: Median height and width, pixels.
        smallest_size: Height and width of the smallest image, pixels.
        largest_size: Height and width of the largest image, pixels.
        groups: Number of groups of training and validation images, or None without groups.
        grouped_by: How the images are grouped, in words.
        unlabeled: Number of images without labels.
        train_groups: Number of groups that have training images of each class, or None without groups.
        notes: See `Dataset.notes`.
        pixel_range: See `Dataset.pixel_range`.
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
    train_groups: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()
    pixel_range: tuple[float, float] | None = None

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
        """Ratio of the largest to the smallest class, in training images."""
        return max(self.train) / min(self.train)
