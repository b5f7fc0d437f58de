"""Everything the phases of one run work with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.backbones.pretrained_classifier import PretrainedClassifier
from kerastune_recipes.data.split_images import TRAIN, UNLABELED, VALIDATION, Images, split_in_words
from kerastune_recipes.data.views import views
from kerastune_recipes.devices import hardware
from kerastune_recipes.devices.workers import SINGLE, Workers
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.judges import Judges
from kerastune_recipes.features.bank import FeatureBank
from kerastune_recipes.features.cache import Cache
from kerastune_recipes.features.extraction import Extractor
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.heads import solve
from kerastune_recipes.heads.linear import Head
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import Member, Network
from kerastune_recipes.planning.forecast import feature_counts
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display


@dataclass(eq=False)
class RunContext:
    """Everything the phases of one run work with.

    Args:
        plan: The plan that is run.
        facts: Facts of the part of the backbone in use.
        network: The model.
        images: Images by split; TEST is missing where there is no test split, VALIDATION where the training images
            are cross-validated.
        cache: Cache of features and solved heads.
        seed: Random seed of shuffling, folds and augmentation.
        display: Where progress is shown.
        callbacks: The user's own Keras callbacks.
        classifier: The classifier that the backbone was pretrained with, where the plan uses it.
        workers: The workers that share the work.
    """

    plan: Plan
    facts: BackboneFacts
    network: Network
    images: Mapping[str, Images]
    cache: Cache
    seed: int
    display: Display
    callbacks: tuple[keras.callbacks.Callback, ...]
    classifier: PretrainedClassifier | None = None
    workers: Workers = SINGLE
    # The bank of the weights that had this version.
    _bank: tuple[int, FeatureBank] | None = field(default=None, init=False)

    def bank(self) -> FeatureBank:
        """Return the features of the backbone with its present weights."""
        version = self.network.weights_version
        if self._bank is None or self._bank[0] != version:
            self._bank = version, self._new_bank()
        return self._bank[1]

    def _new_bank(self) -> FeatureBank:
        pooling = self.plan.head.pooling
        return FeatureBank(
            extractors=[
                Extractor(member.extractor, self.cache.network(fingerprint(member, pooling), _in_words(member)))
                for member in self.network.members
            ],
            size=self.plan.backbone.image_size,
            views=views(self.plan.features.views, self.plan.features.flip),
            images=self.images,
            display=self.display,
            ahead=int(hardware.inspect().accelerated),
            widths=feature_counts(self.plan, self.facts),
            workers=self.workers,
        )

    @property
    def judged_split(self) -> str:
        """The split that phases are judged by: the held-out images, or the training images by folds."""
        return VALIDATION if VALIDATION in self.images else TRAIN

    @property
    def every_image(self) -> bool:
        """Whether every training image is held out in turn to judge solved heads."""
        return self.plan.folds is not None and not self.plan.fits

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all taps; those of an ensemble begin with the name of their backbone."""
        members = self.network.members
        return tuple(tap if len(members) == 1 else f"{one.plan.name}/{tap}" for one in members for tap in one.taps)

    def on_all_images(self) -> "RunContext":
        """Return a context that trains on the held-out images too."""
        train, held = self.images[TRAIN], self.images[VALIDATION]
        images = {split: images for split, images in self.images.items() if split != VALIDATION}
        return replace(self, images=images | {TRAIN: train.joined(held)})

    def on_fold(self, train: np.ndarray, validation: np.ndarray) -> "RunContext":
        """Return a context that trains on some of the training images and is judged by others.

        Args:
            train: Positions of the former, int (m,).
            validation: Positions of the latter, int (l,).
        """
        images = self.images[TRAIN]
        parts = {TRAIN: images.select(train), VALIDATION: images.select(validation)}
        unlabeled = {UNLABELED: self.images[UNLABELED]} if UNLABELED in self.images else {}
        return replace(self, images=parts | unlabeled)

    @property
    def judges(self) -> Judges:
        """The images that judge phases."""
        judged = self.images[self.judged_split]
        return Judges.of(judged.labels, self.plan.balanced, judged.groups)

    def predict(self, split: str) -> np.ndarray:
        """Return the probabilities that the whole model gives the images of a split, float32 (n, k)."""
        pixels = self.images[split].pixels
        with self.display.bar(f"predicting {split_in_words(split)}", len(pixels)) as tick:
            return forward.predict(self.network.core, pixels, tick, self.workers)

    def predict_by_features(self, split: str) -> np.ndarray:
        """Return the same from the features and the head alone, float32 (n, k)."""
        return solve.probabilities(self.bank().features(split).plain, Head(*self.network.head_weights()))


def scores(probabilities: np.ndarray, judges: Judges, balanced: bool) -> dict[str, Any]:
    """Return the metrics of a phase on the images that judge it; a refitted phase, which none judge, has none.

    Args:
        probabilities: float32 (n, k) for these images; (0, k) in a refit.
        judges: The images.
        balanced: Whether each class counts the same where phases are chosen: then "balanced_log_loss" is the loss that
            they are chosen by.
    """
    if not len(probabilities):
        return {}
    found: dict[str, Any] = dict(metrics.summary(probabilities, judges.labels, judges.groups))
    return found | (
        {"balanced_log_loss": judges.mean(metrics.losses(probabilities, judges.labels))} if balanced else {}
    )


def _in_words(member: Member) -> str:
    """Describe the features of a backbone, for `kerastune cache info`."""
    plan = member.plan
    return f"{plan.name}, weights {plan.weights}, {plan.image_size} px, {', '.join(member.taps)}"
