"""A plan: the recipe with nothing left open, for one set of images and one backbone."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kerastune_recipes.backbones.facts import Preprocessing
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.records import Record
from kerastune_recipes.spec.recipe_spec import (
    AugmentationLayer,
    HeadSpec,
    Loss,
    LossSpec,
    Multiplier,
    OptimizerSpec,
    Positive,
    PseudoLabelsSpec,
    Share,
    SolvedHead,
    check_smoothing,
)


class BackbonePlan(Record):
    """The network: its name, weights, input size in pixels and input preprocessing."""

    name: str
    weights: str
    image_size: Annotated[int, Field(ge=1)]
    preprocessing: Preprocessing


class CompanionPlan(BackbonePlan):
    """A further backbone of an ensemble, and its taps by name."""

    taps: Annotated[tuple[str, ...], Field(min_length=1)]


class FeaturesPlan(Record):
    """The taps by name, and which views of each training image a head is solved on; see `FeaturesSpec`."""

    taps: Annotated[tuple[str, ...], Field(min_length=1)]
    views: Annotated[int, Field(ge=1, le=64)]
    flip: Literal["none", "horizontal"] = "horizontal"


class SolvePlan(Record):
    """A head solved on frozen features; the fields are those of `SolveSpec`, closed.

    Args:
        strengths: Candidates for the strength of the regularization, strong to weak; one means it is fixed.
        folds: Cross-validation folds that choose among them, and the tap, and calibrate; 0 means none of it.
        pseudo_labels: How it learns from unlabelled images too; none where it does not.
        pretrained_classes: With "pretrained_classifier", the indices of the pretrained classes that stand for a class of the data;
            the others start from the means of their features.
    """

    head: SolvedHead
    strengths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=0)]
    pseudo_labels: PseudoLabelsSpec | None = None
    class_balance: Literal["none", "weights"] = "none"
    taps: Literal["all", "best"] = "all"
    pretrained_classes: dict[str, Annotated[tuple[int, ...], Field(min_length=1)]] | None = None


class FitPlan(Record):
    """Training by gradient; the fields are those of `FitSpec`, closed.

    Args:
        batch_norm_momentum: Of BatchNormalization that is trained or begins afresh; none where all of it is frozen.
        find_rate: Whether a range test just before the phase replaces the learning rate, around which it searches.
        steps: Optimizer updates in all.
        warmup_steps: Of these, updates of linear warmup.
        views: Augmented views of each image that the fixed part at the front is computed for, once; none where
            every epoch augments anew.
        class_balance: Weights of the images, equal draws of the classes, or neither.
        solve_again: How the head is solved anew on the features behind the phase, to be judged beside what the phase
            made of it; none where it is not.
    """

    trainable: Annotated[tuple[tuple[str, Multiplier], ...], Field(min_length=1)]
    batch_norm: Literal["frozen", "trained"]
    batch_norm_momentum: Share | None = None
    optimizer: OptimizerSpec
    learning_rate: Positive
    find_rate: bool = False
    schedule: Literal["cosine", "constant"]
    steps: Annotated[int, Field(ge=1)]
    warmup_steps: Annotated[int, Field(ge=0)]
    batch_size: Annotated[int, Field(ge=1)]
    augmentation: tuple[AugmentationLayer, ...]
    views: Annotated[int, Field(ge=1)] | None = None
    label_smoothing: Share
    clip_norm: Positive | None = None
    loss: Loss = LossSpec()
    class_balance: Literal["none", "weights", "sampling"] = "none"
    reinitialize: tuple[str, ...] = ()
    l2_sp: Positive | None = None
    solve_again: SolvePlan | None = None

    @model_validator(mode="after")
    def _smooths_what_can_be(self) -> "FitPlan":
        check_smoothing(self.loss, self.label_smoothing)
        return self


class PhasePlan(Record):
    """One phase: exactly one of `solve` and `fit`."""

    name: str
    solve: SolvePlan | None = None
    fit: FitPlan | None = None

    @property
    def kind(self) -> Literal["solve", "fit"]:
        return "solve" if self.solve else "fit"


class Plan(Record):
    """All that a run needs to know besides the images.

    Args:
        plan: Version of this format.
        recipe: Name of the recipe it was resolved from.
        summary: That recipe's summary.
        class_names: In label order.
        backbone: The network.
        features: The activations that the head sees.
        head: What stands on them.
        phases: What is done, in order.
        keep: Which phase's model is returned.
        ensemble: Further backbones, whose features stand beside those of the first; none where there is one.
        folds: Of the cross-validation that judges the phases on all images, in place of a hold-out; none without.
        refit: What is trained once more, on the held-out images too, see `RecipeSpec`; "none" where the validation
            images are the user's own, and with folds, which refit in any case.
        precision: What the network computes in; its weights and its head are float32 in any case.
        jit_compile: Whether training steps are compiled; none leaves it to Keras.
    """

    plan: Literal[1]
    recipe: str
    summary: str
    class_names: Annotated[tuple[str, ...], Field(min_length=2)]
    backbone: BackbonePlan
    features: FeaturesPlan
    head: HeadSpec
    phases: Annotated[tuple[PhasePlan, ...], Field(min_length=1)]
    keep: Literal["best_on_validation", "last"]
    ensemble: tuple[CompanionPlan, ...] | None = None
    folds: Annotated[int, Field(ge=2)] | None = None
    refit: Literal["none", "heads", "all"] = "none"
    precision: Precision = "float32"
    jit_compile: bool | None = None

    @property
    def fits(self) -> bool:
        """Whether any phase trains by gradient."""
        return any(phase.fit for phase in self.phases)

    @property
    def takes_unlabeled(self) -> bool:
        """Whether any head learns from unlabelled images."""
        return any(phase.solve and phase.solve.pseudo_labels for phase in self.phases)

    @property
    def squares(self) -> bool:
        """Whether the head is given the squares of the features too, which naive Bayes takes."""
        return any(phase.solve and phase.solve.head == "naive_bayes" for phase in self.phases)


def is_plan(data: Any) -> bool:
    """Return whether plain data read from YAML is a plan rather than a recipe."""
    return isinstance(data, Mapping) and "plan" in data
