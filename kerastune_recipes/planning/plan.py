"""A plan: a recipe with every `auto` decided, for one set of images and one backbone."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from kerastune_recipes.backbones.facts import Preprocessing
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.records import Record
from kerastune_recipes.spec.fields import (
    MOST_ENTRIES,
    ClassNames,
    Count,
    FeatureViews,
    FilePath,
    FoldCount,
    ImageSize,
    Name,
    Patterns,
    PhaseName,
    Positive,
    Rules,
    Sentence,
    Share,
    Taps,
)
from kerastune_recipes.spec.heads import HEADS
from kerastune_recipes.spec.recipe_spec import (
    MOST_COMPANIONS,
    MOST_PHASES,
    AugmentationLayers,
    HeadSpec,
    Loss,
    LossSpec,
    OptimizerSpec,
    PseudoLabelsSpec,
    SolvedHead,
    check_one_kind,
    check_pseudo_labels,
    check_smoothing,
    check_together,
    check_trains_something,
)

# What the longest duration may come to; `check` allows less.
Steps = Annotated[int, Field(ge=0, le=10**15)]


class BackbonePlan(Record):
    """The network: its name, weights, input size in pixels and preprocessing."""

    name: Name
    weights: FilePath
    image_size: ImageSize
    preprocessing: Preprocessing


class CompanionPlan(BackbonePlan):
    """A further backbone of an ensemble, and the names of its taps."""

    taps: Taps


class FeaturesPlan(Record):
    """The names of the taps, and the views of each training image that a head is solved on; see `FeaturesSpec`."""

    taps: Taps
    views: FeatureViews
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
    strengths: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=MOST_ENTRIES)]
    folds: Annotated[int, Field(ge=0, le=100)]
    pseudo_labels: PseudoLabelsSpec | None = None
    class_balance: Literal["none", "weights"] = "none"
    taps: Literal["all", "best"] = "all"
    pretrained_classes: dict[str, Annotated[tuple[int, ...], Field(min_length=1)]] | None = None

    @model_validator(mode="after")
    def _takes_pseudo_labels(self) -> "SolvePlan":
        check_pseudo_labels(self.pseudo_labels, self.head, self.taps)
        return self


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

    trainable: Rules
    batch_norm: Literal["frozen", "trained"]
    batch_norm_momentum: Share | None = None
    optimizer: OptimizerSpec
    learning_rate: Positive
    find_rate: bool = False
    schedule: Literal["cosine", "constant"]
    steps: Annotated[Steps, Field(ge=1)]
    warmup_steps: Steps
    batch_size: Count
    augmentation: AugmentationLayers
    views: Count | None = None
    label_smoothing: Share
    clip_norm: Positive | None = None
    loss: Loss = LossSpec()
    class_balance: Literal["none", "weights", "sampling"] = "none"
    reinitialize: Patterns = ()
    l2_sp: Positive | None = None
    solve_again: SolvePlan | None = None

    @model_validator(mode="after")
    def _trains_something(self) -> "FitPlan":
        check_trains_something(self.trainable)
        return self

    @model_validator(mode="after")
    def _loss_supports_smoothing(self) -> "FitPlan":
        check_smoothing(self.loss, self.label_smoothing)
        return self


class PhasePlan(Record):
    """One phase: exactly one of `solve` and `fit`."""

    name: PhaseName
    solve: SolvePlan | None = None
    fit: FitPlan | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "PhasePlan":
        check_one_kind(self.solve, self.fit)
        return self

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
    recipe: Annotated[str, Field(max_length=1000)]
    summary: Sentence
    class_names: ClassNames
    backbone: BackbonePlan
    features: FeaturesPlan
    head: HeadSpec
    phases: Annotated[tuple[PhasePlan, ...], Field(min_length=1, max_length=MOST_PHASES)]
    keep: Literal["best_on_validation", "last"]
    ensemble: Annotated[tuple[CompanionPlan, ...], Field(max_length=MOST_COMPANIONS)] | None = None
    folds: FoldCount | None = None
    refit: Literal["none", "heads", "all"] = "none"
    precision: Precision = "float32"
    jit_compile: bool | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> "Plan":
        check_together(self.phases, (self.backbone, *(self.ensemble or ())))
        return self

    @property
    def fits(self) -> bool:
        """Whether any phase trains by gradient."""
        return any(phase.fit for phase in self.phases)

    @property
    def balanced(self) -> bool:
        """Whether any phase balances the classes, so that held-out images of each class together count the same."""
        return any(each.class_balance != "none" for phase in self.phases if (each := phase.solve or phase.fit))

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
