"""A plan: a recipe with every `auto` decided, for one set of images and one backbone."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kerastune_recipes.backbones.facts import Preprocessing
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.records import Record
from kerastune_recipes.spec.heads import HEADS
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
    """The network: its name, weights, input size in pixels and preprocessing."""

    name: str
    weights: str
    image_size: Annotated[int, Field(ge=1)]
    preprocessing: Preprocessing


class CompanionPlan(BackbonePlan):
    """A further backbone of an ensemble, and the names of its taps."""

    taps: Annotated[tuple[str, ...], Field(min_length=1)]


class FeaturesPlan(Record):
    """The names of the taps, and the views of each training image that a head is solved on; see `FeaturesSpec`."""

    taps: Annotated[tuple[str, ...], Field(min_length=1)]
    views: Annotated[int, Field(ge=1, le=64)]
    flip: Literal["none", "horizontal"] = "horizontal"


class SolvePlan(Record):
    """A solved head; the fields of `SolveSpec` without `auto`.

    Args:
        strengths: Candidate strengths of the regularization, strong to weak; a single one is used as it is.
        folds: Cross-validation folds that choose the strength and the tap, and calibrate; 0 for no cross-validation.
        pseudo_labels: How the head learns from unlabelled images too; None for labelled images only.
        pretrained_classes: With "pretrained_classifier", the indices of the pretrained classes that a class of the data
            starts from; other classes start from the means of their features.
    """

    head: SolvedHead
    strengths: Annotated[tuple[Positive, ...], Field(min_length=1)]
    folds: Annotated[int, Field(ge=0)]
    pseudo_labels: PseudoLabelsSpec | None = None
    class_balance: Literal["none", "weights"] = "none"
    taps: Literal["all", "best"] = "all"
    pretrained_classes: dict[str, Annotated[tuple[int, ...], Field(min_length=1)]] | None = None


class FitPlan(Record):
    """A fit phase; the fields of `FitSpec` without `auto`.

    Args:
        batch_norm_momentum: Momentum of BatchNormalization that is trained or reinitialised; None when all of it is
            frozen.
        find_rate: Whether a range test just before the phase replaces the learning rate, searching around it.
        steps: Number of optimizer updates.
        warmup_steps: Updates of linear warmup among them.
        views: Number of augmented views of each image for which the output of the frozen part is cached; None for
            fresh views every epoch.
        class_balance: "weights" of the images' losses, "sampling" of the classes, or "none".
        solve_again: How the head is solved again on the features after the phase, as a further candidate; None when it
            is not.
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
    def _loss_supports_smoothing(self) -> "FitPlan":
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
    """Everything that a run needs besides the images.

    Args:
        plan: Version of this format.
        recipe: Name of the recipe that the plan was made from.
        summary: That recipe's summary.
        class_names: Names of the classes, in label order.
        backbone: The network.
        features: The activations that the head sees.
        head: Pooling, dropout and the dense layer on the features.
        phases: The phases, in order.
        keep: Which phase's model is returned.
        ensemble: Further backbones, whose features are concatenated with those of the first; None for a single one.
        folds: Cross-validation folds that judge the phases on all images, in place of a hold-out; None for a hold-out.
        refit: What is trained again on all images, see `RecipeSpec`; "none" with the user's own validation images, and
            with folds, which refit in any case.
        precision: Compute dtype of the network; weights and head are float32 in any case.
        jit_compile: Whether training steps are compiled; None leaves it to Keras.
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
        """Whether the head sees the squares of the features too, as naive Bayes does."""
        return any(phase.solve and HEADS[phase.solve.head].squares for phase in self.phases)


def is_plan(data: Any) -> bool:
    """Return whether plain data read from YAML is a plan rather than a recipe."""
    return isinstance(data, Mapping) and "plan" in data
