"""All that the phases of one run work with, and what is frozen in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.backbones.pretrained_classifier import Source
from kerastune_recipes.data.split_images import TRAIN, UNLABELED, VALIDATION, Images
from kerastune_recipes.data.views import views
from kerastune_recipes.devices import hardware
from kerastune_recipes.devices.workers import ALONE, Team
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.features.bank import Extractor, Frozen
from kerastune_recipes.features.cache import Store
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.heads import solve as solve_module
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import Member, Network
from kerastune_recipes.planning.forecast import feature_counts
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.progress import Display


@dataclass(frozen=True)
class Bench:
    """All that the phases of one run work with.

    Args:
        plan: What to do.
        facts: The part of the backbone in use.
        network: The model.
        images: By split; "test" is missing where there is none, "validation" where the training images are
            cross-validated.
        store: Where frozen work is kept.
        seed: Of shuffling, folds and augmentation.
        display: Where progress is shown.
        callbacks: The user's own Keras callbacks.
        source: The classifier that the backbone was pretrained with, where the plan uses it.
        team: Who shares the work.
    """

    plan: Plan
    facts: BackboneFacts
    network: Network
    images: Mapping[str, Images]
    store: Store
    seed: int
    display: Display
    callbacks: tuple[keras.callbacks.Callback, ...]
    source: Source | None = None
    team: Team = ALONE
    _frozen: list[Frozen] = field(default_factory=list)

    def frozen(self) -> Frozen:
        """Return the frozen work of the network as it is now."""
        if not self._frozen:
            pooling = self.plan.head.pooling
            found = Frozen(
                extractors=[
                    Extractor(member.extractor, self.store.space(fingerprint(member, pooling), _about(member)))
                    for member in self.network.members
                ],
                size=self.plan.backbone.image_size,
                views=views(self.plan.features.views, self.plan.features.flip),
                images=self.images,
                display=self.display,
                ahead=int(hardware.inspect().accelerated),
                widths=feature_counts(self.plan, self.facts),
                team=self.team,
            )
            self._frozen.append(found)
        return self._frozen[0]

    def weights_moved(self) -> None:
        """Forget the frozen work: another network begins."""
        self._frozen.clear()

    @property
    def judged(self) -> str:
        """The split by which phases are judged: held-out images, or the training images by folds."""
        return VALIDATION if VALIDATION in self.images else TRAIN

    @property
    def every_image(self) -> bool:
        """Whether solved heads are judged by every training image, held out in turn."""
        return self.plan.folds is not None and not self.plan.fits

    @property
    def taps(self) -> tuple[str, ...]:
        """All taps by name, those of an ensemble with the name of their backbone."""
        members = self.network.members
        return tuple(tap if len(members) == 1 else f"{one.plan.name}/{tap}" for one in members for tap in one.taps)

    def on_all(self) -> "Bench":
        """Return a bench to train on all images, those too that were held out."""
        train, held = self.images[TRAIN], self.images[VALIDATION]
        images = {split: images for split, images in self.images.items() if split != VALIDATION}
        return replace(self, images=images | {TRAIN: train.joined(held)}, _frozen=[])

    def on(self, train: np.ndarray, validation: np.ndarray) -> "Bench":
        """Return a bench to train on some of the training images and to judge by others of them.

        Args:
            train: int (m,), their positions.
            validation: int (l,), the others'.
        """
        images = self.images[TRAIN]
        parts = {TRAIN: images.select(train), VALIDATION: images.select(validation)}
        more = {UNLABELED: self.images[UNLABELED]} if UNLABELED in self.images else {}
        return replace(self, images=parts | more, _frozen=[])


def _about(member: Member) -> str:
    """Say in words what a backbone's features are of."""
    plan = member.plan
    return f"{plan.name}, weights {plan.weights}, {plan.image_size} px, {', '.join(member.taps)}"


def scores(bench: Bench, probabilities: np.ndarray) -> dict[str, Any]:
    """Judge a phase; what is only refitted has been judged before."""
    return dict(metrics.summary(probabilities, bench.images[bench.judged].labels)) if len(probabilities) else {}


def predict(bench: Bench, split: str) -> np.ndarray:
    """Return the probabilities float32 (n, k) that the model as it is gives the images of a split."""
    pixels = bench.images[split].pixels
    with bench.display.bar(f"predicting {split} images", len(pixels)) as tick:
        return forward.predict(bench.network.core, pixels, tick, bench.team)


def by_features(bench: Bench, split: str) -> np.ndarray:
    """Return the same by the head alone, on the features of the network as it is."""
    kernel, bias = bench.network.head.get_weights()
    return solve_module.probabilities(bench.frozen().features(split).plain, kernel, bias)
