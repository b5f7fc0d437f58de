"""The recipe format: what a user writes; values may be `auto`."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from kerastune_recipes.backbones import table
from kerastune_recipes.backbones.facts import Preprocessing
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.errors import BackboneError, listed
from kerastune_recipes.records import Record
from kerastune_recipes.spec.fields import (
    MOST_ENTRIES,
    Auto,
    Count,
    DurationText,
    FeatureViews,
    FilePath,
    FoldCount,
    ImageSize,
    LayerArguments,
    Name,
    NotNegative,
    Patterns,
    PhaseDuration,
    PhaseName,
    Positive,
    Rules,
    Sentence,
    Share,
    Taps,
    repeated,
)
from kerastune_recipes.spec.heads import HEADS

# `BackboneSpec.weights` of a network that the user passes in.
GIVEN = "given"
# The keys of `spec.heads.HEADS`.
SolvedHead = Literal["logistic_regression", "linear_svm", "naive_bayes", "lda", "pretrained_classifier"]
AugmentationFlip = Literal["none", "horizontal", "horizontal_and_vertical"]
# Name, WordNet id or index of a class that the backbone was pretrained on.
PretrainedClass = Annotated[str, Field(max_length=1000)] | int
# A recipe has a handful of either; each costs a training, or a network in memory.
MOST_PHASES, MOST_COMPANIONS = 100, 20


class BackboneSpec(Record):
    """The pretrained network.

    Args:
        name: A name in the table of backbones, or "hub:" and a preset of KerasHub.
        weights: "imagenet", "none" for random ones, "demo", or the path of a weights file; "given" for the user's own
            network, "preset" (or "imagenet") for the weights of a KerasHub preset.
        image_size: Height and width of the network's input, pixels.
        preprocessing: How raw pixels become the network's input; `auto` for networks of the table and for presets.
    """

    name: Name
    weights: FilePath = "imagenet"
    image_size: ImageSize | Auto = "auto"
    preprocessing: Auto | Preprocessing = "auto"

    @model_validator(mode="after")
    def _is_known(self) -> "BackboneSpec":
        if self.weights != GIVEN:
            try:
                table.check(self.name)
            except BackboneError as error:
                raise ValueError(str(error)) from None
        return self


class FeaturesSpec(Record):
    """The activations that the head sees.

    Args:
        taps: Layers whose outputs become features: "last" stage, "all" stages, "early" for all stages but the last,
            or names of stages or layers.
        views: Number of views of each training image that a head is solved on: the image, its mirror image, then
            random crops.
        flip: "none" leaves mirror images out, for data where a mirror image may belong to another class.
    """

    taps: Literal["last", "all", "early"] | Taps = "last"
    views: FeatureViews = 1
    flip: Literal["none", "horizontal"] = "horizontal"


class HeadSpec(Record):
    """The head: pooling of each tap, dropout, one dense layer with softmax.

    Args:
        pooling: "avg" or "max" over each tap's positions, or "flatten" to keep all positions.
        dropout: Share of features dropped during fit phases, 0 to below 1.
    """

    pooling: Literal["avg", "max", "flatten"] = "avg"
    dropout: Share = 0.0


class PseudoLabelsSpec(Record):
    """Pseudo-labels: unlabelled images that a head labels and then learns from (benchmarks/pages/unlabeled.md).

    Args:
        method: "self_train": a head labels images for itself. "cotrain": the heads of two backbones label images for
            each other.
        rounds: Rounds of labelling, each of more images than the last; cross-validation may stop earlier.
        share: Share of the unlabelled images that is labelled in the last round, equally many of each class; above 0
            to 1.
        weight: Weight of a pseudo-labelled image, above 0 to 1; a labelled image weighs 1.
        strength: Strength of the L2 penalty, on features standardised over all images.
    """

    method: Literal["self_train", "cotrain"]
    rounds: Annotated[int, Field(ge=1, le=100)] = 3
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.3
    strength: Positive = 10.0


class SolveSpec(Record):
    """A solved head: a linear probe on cached features, by default multinomial logistic regression.

    Args:
        head: "logistic_regression" (multinomial), "linear_svm" (one against the rest), "naive_bayes" (Gaussian), "lda"
            (linear discriminant analysis), or "pretrained_classifier": logistic regression with a penalty towards the
            pretrained classifier, for the classes that it has, rather than towards zero.
        regularization: Strength of the regularization on standardised features, in scikit-learn's terms: 1/C for
            logistic regression, the SVM and the pretrained classifier; var_smoothing for naive Bayes; shrinkage for
            LDA, 1e-6 to 1. `auto` chooses it by cross-validation.
        pseudo_labels: How the head learns from unlabelled images too; None for labelled images only.
        class_balance: "none" gives each image the same weight, "weights" each class; `auto` decides by the class sizes.
            None does as the other phases of the recipe, and "none" where no phase says anything.
        taps: "all" shows the head the features of all taps; "best" those of the tap that is best by cross-validation.
        pretrained_classes: With "pretrained_classifier", the pretrained classes that a class of the data starts from:
            names, WordNet ids or indices; an empty list for none. Other classes are matched by name.
    """

    head: SolvedHead = "logistic_regression"
    regularization: Positive | Auto = "auto"
    pseudo_labels: PseudoLabelsSpec | None = None
    class_balance: Literal["none", "weights"] | Auto | None = None
    taps: Literal["all", "best"] = "all"
    pretrained_classes: dict[str, PretrainedClass | tuple[PretrainedClass, ...]] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "SolveSpec":
        check_pseudo_labels(self.pseudo_labels, self.head, self.taps)
        entry = HEADS[self.head]
        if entry.allowed and self.regularization != "auto" and not entry.allows(self.regularization):
            low, high = entry.allowed
            raise ValueError(
                f"regularization: the {entry.strength} of {self.head} must be from {low:g} to {high:g}; "
                f"received {self.regularization:g}"
            )
        if self.pretrained_classes is not None and not entry.pretrained:
            raise ValueError(f"pretrained_classes: they need head: pretrained_classifier; received head: {self.head}")
        return self


class OptimizerSpec(Record):
    """An optimizer of keras.optimizers, with Keras's defaults for what is left out.

    With `ema_momentum` the phase ends with the exponential moving average of the weights, Keras's `use_ema`.
    """

    name: Literal["sgd", "adam", "adamw", "rmsprop", "adagrad"] = "sgd"
    momentum: Share | None = None
    nesterov: bool | None = None
    beta_1: Share | None = None
    beta_2: Share | None = None
    rho: Share | None = None
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    amsgrad: bool | None = None
    centered: bool | None = None
    initial_accumulator_value: NotNegative | None = None
    epsilon: Positive | None = None
    ema_momentum: Share | None = None

    @model_validator(mode="after")
    def _fits(self) -> "OptimizerSpec":
        takes = {
            "sgd": {"momentum", "nesterov"},
            "rmsprop": {"momentum", "rho", "centered", "epsilon"},
            "adam": {"beta_1", "beta_2", "amsgrad", "epsilon"},
            "adamw": {"beta_1", "beta_2", "amsgrad", "epsilon"},
            "adagrad": {"initial_accumulator_value", "epsilon"},
        }[self.name] | {"weight_decay", "ema_momentum"}
        _check_arguments(self, takes)
        return self


class LossSpec(Record):
    """The loss of a fit phase: it compares probabilities with labels, which may be mixed or smoothed.

    Args:
        name: "crossentropy"; "focal" cross-entropy, which gives less weight to images that are already recognised;
            "squared_error", summed over the classes (the Brier score); "huber", the same but linear for large errors.
        gamma: Focusing exponent of "focal", at least 0, which is plain cross-entropy; `rules.FOCAL_GAMMA` by default.
        delta: Error above which "huber" is linear, above 0 and below 1, since errors of probabilities are below 1;
            `rules.HUBER_DELTA` by default.
    """

    name: Literal["crossentropy", "focal", "squared_error", "huber"] = "crossentropy"
    gamma: NotNegative | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "LossSpec":
        _check_arguments(self, {"focal": {"gamma"}, "huber": {"delta"}}.get(self.name, set()))
        return self


def _check_arguments(record: Record, takes: set[str]) -> None:
    """Raise ValueError for arguments that the loss or optimizer `record.name` does not take."""
    given = {key for key, value in record if key != "name" and value is not None}
    if given - takes:
        name, wrong = dict(record)["name"], listed(sorted(given - takes))
        raise ValueError(f"{name} has no {wrong}; it takes {listed(sorted(takes)) or 'nothing'}")


def check_trains_something(rules: Sequence[tuple[str, float | str]]) -> None:
    """Check that the rules of a fit phase do not freeze everything.

    Raises:
        ValueError: They do.
    """
    if all(multiplier == "frozen" for _, multiplier in rules):
        raise ValueError("trainable: every pattern is frozen, so nothing would be trained; give one a multiplier")


def check_one_kind(solve: object, fit: object) -> None:
    """Check that a phase is either a solve or a fit phase.

    Raises:
        ValueError: It is both or neither.
    """
    if (solve is None) == (fit is None):
        raise ValueError("a phase is either solve or fit; give exactly one of them")


def check_pseudo_labels(pseudo_labels: PseudoLabelsSpec | None, head: SolvedHead, taps: str) -> None:
    """Check that a solved head can learn from unlabelled images, where it is asked to.

    Raises:
        ValueError: It cannot.
    """
    if pseudo_labels and (head != "logistic_regression" or taps == "best"):
        raise ValueError("pseudo_labels: only logistic_regression on all taps learns from unlabelled images")


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


# A record, or just its name.
Loss = Annotated[LossSpec, BeforeValidator(_by_name)]
# The losses that label smoothing is not defined for.
_WITHOUT_SMOOTHING = ("squared_error", "huber")


def check_smoothing(loss: LossSpec, label_smoothing: float) -> None:
    """Check that a loss supports label smoothing where it is asked for.

    Raises:
        ValueError: It does not.
    """
    if label_smoothing and loss.name in _WITHOUT_SMOOTHING:
        raise ValueError(
            f"label_smoothing: {loss.name} does not support it; remove label_smoothing, or use crossentropy or focal"
        )


class ScheduleSpec(Record):
    """The learning-rate schedule: a linear warmup, then cosine decay to zero, or constant."""

    name: Literal["cosine", "constant"] = "cosine"
    warmup: DurationText = "10%"


class AugmentationLayer(Record):
    """One layer of keras.layers or keras_cv.layers, such as `{layer: RandomFlip, arguments: {mode: horizontal}}`."""

    layer: Name
    arguments: LayerArguments = Field(default_factory=dict)


AugmentationLayers = Annotated[tuple[AugmentationLayer, ...], Field(max_length=MOST_ENTRIES)]


class FitSpec(Record):
    """A fit phase: training by gradient with `keras.Model.fit`.

    Args:
        trainable: Ordered rules, pattern -> learning-rate multiplier or "frozen"; the first match wins.
        batch_norm: "frozen" keeps every BatchNormalization in inference mode, its weights fixed; "trained" trains
            those in trained layers and updates their statistics.
        batch_norm_momentum: Momentum of the moving statistics of trained BatchNormalization, 0 to below 1.
        optimizer: Name and arguments of the optimizer.
        learning_rate: Peak learning rate at multiplier 1; "find" takes it from a range test just before the phase.
        schedule: Learning-rate schedule.
        duration: Length of the phase, such as "10 epochs" or "500 steps".
        batch_size: Global batch size, images.
        augmentation: "none", "light", "medium", "strong", or a list of layers.
        flip: Mirror images that a named augmentation may make; "none" where a flip changes the label.
        views: "fresh" augments every image again each epoch. A number makes that many augmented views of each image
            once, caches the output of the frozen part for them, and trains the rest on them in turn.
        label_smoothing: Share of the label spread over all classes, 0 to below 1.
        clip_norm: Maximum global norm of the gradient; None for no clipping.
        stage_decay: Learning-rate ratio of each stage to the stage after it, above 0 and below 1. Rules that train
            whole stages are written out stage by stage. None leaves the multipliers unchanged.
        loss: The loss, or just its name.
        class_balance: Remedy for classes of unequal size: "weights" weights each image's loss, "sampling" draws
            equally many images of each class. `auto` and None as for `SolveSpec`.
        reinitialize: Patterns of backbone layers that are reinitialised before the phase trains.
        l2_sp: Strength of the L2 penalty that pulls trained backbone weights towards their values at the start of the
            phase (L2-SP).
        solve_again: Whether the head is solved again on the features after the phase, as a further candidate; "auto"
            when an earlier phase solved one and held-out images decide what is kept.
    """

    trainable: Rules
    batch_norm: Literal["frozen", "trained"] = "frozen"
    batch_norm_momentum: Share | Auto = "auto"
    optimizer: OptimizerSpec = OptimizerSpec()
    learning_rate: Positive | Literal["find"] | Auto = "auto"
    schedule: ScheduleSpec = ScheduleSpec()
    duration: PhaseDuration | Auto = "auto"
    batch_size: Count | Auto = "auto"
    augmentation: Literal["none", "light", "medium", "strong"] | AugmentationLayers = "light"
    flip: AugmentationFlip = "horizontal"
    views: Count | Literal["fresh"] | Auto = "auto"
    label_smoothing: Share = 0.0
    clip_norm: Positive | None = 1.0
    stage_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    loss: Loss = LossSpec()
    class_balance: Literal["none", "weights", "sampling"] | Auto | None = None
    reinitialize: Patterns = ()
    l2_sp: Positive | None = None
    solve_again: bool | Auto = "auto"

    @model_validator(mode="after")
    def _trains_something(self) -> "FitSpec":
        check_trains_something(self.trainable)
        return self

    @model_validator(mode="after")
    def _loss_supports_smoothing(self) -> "FitSpec":
        check_smoothing(self.loss, self.label_smoothing)
        return self


class PhaseSpec(Record):
    """One phase: either `solve` or `fit`. Each states all its settings; none is inherited from the phase before."""

    name: PhaseName
    solve: SolveSpec | None = None
    fit: FitSpec | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "PhaseSpec":
        check_one_kind(self.solve, self.fit)
        return self


class RecipeSpec(Record):
    """A whole recipe.

    Args:
        summary: One sentence that says when to use it.
        backbone: The pretrained network.
        features: The activations that the head sees.
        head: Pooling, dropout and the dense layer on the features.
        phases: The phases, in order.
        keep: Which phase's model is returned.
        ensemble: Further backbones, whose features are concatenated with those of the first; solved heads only.
        folds: Number of cross-validation folds that judge the phases on all images, in place of a hold-out; the
            selected model is refitted on all images.
        refit: What is trained again on all images, held-out ones included, once they have shown which phase is best:
            "heads" solves heads again, which takes at most a forward pass; "all" repeats fit phases too, which doubles
            their cost; "none". Validation images that the user gave are never trained on.
        precision: Compute dtype of the network: "float32", or "bfloat16" or "float16" with weights, head and
            probabilities in float32; `auto` decides by the hardware.
        jit_compile: Whether training steps are compiled, by XLA or torch.compile; `auto` follows Keras.
    """

    summary: Sentence
    backbone: BackboneSpec
    features: FeaturesSpec = FeaturesSpec()
    head: HeadSpec = HeadSpec()
    phases: Annotated[tuple[PhaseSpec, ...], Field(min_length=1, max_length=MOST_PHASES)]
    keep: Literal["best_on_validation", "last"] = "best_on_validation"
    ensemble: Annotated[tuple[BackboneSpec, ...], Field(max_length=MOST_COMPANIONS)] = ()
    folds: FoldCount | None = None
    refit: Literal["none", "heads", "all"] = "heads"
    precision: Precision | Auto = "auto"
    jit_compile: bool | Auto = "auto"

    @model_validator(mode="after")
    def _fits_together(self) -> "RecipeSpec":
        check_together(self.phases, (self.backbone, *self.ensemble))
        return self


def check_together(phases: Sequence[Any], backbones: Sequence[Any]) -> None:
    """Check that the phases and backbones of a recipe, or of a plan, fit together.

    Args:
        phases: `PhaseSpec` or `PhasePlan`.
        backbones: `BackboneSpec` or `BackbonePlan`: the first one, then those of the ensemble.

    Raises:
        ValueError: They do not; all problems in one text.
    """
    problems = []
    twice = repeated(phase.name for phase in phases)
    if twice:
        problems.append(f"phases: two phases are named {listed(twice)}; give each its own name")
    fits = [phase.name for phase in phases if phase.fit]
    if len(backbones) > 1 and fits:
        problems.append(
            f"ensemble: several backbones work with solved heads only, and {listed(fits)} is a fit phase; "
            "remove it, or fine-tune a single backbone"
        )
    networks = Counter((each.name, each.weights) for each in backbones)
    twice = sorted({name for (name, _), count in networks.items() if count > 1})
    if twice:
        problems.append(f"ensemble: {listed(twice)} is listed twice with the same weights; use different backbones")
    if len(backbones) != 2:
        problems += [
            f"phases.{phase.name}.solve.pseudo_labels: cotrain needs two backbones, and there are "
            f"{len(backbones)}; list exactly one more under ensemble, or use self_train"
            for phase in phases
            if phase.solve and phase.solve.pseudo_labels and phase.solve.pseudo_labels.method == "cotrain"
        ]
    sized = [each for each in backbones if each.image_size != "auto"]
    if len({each.image_size for each in sized}) > 1:
        stated = listed(f"{each.name} {each.image_size}" for each in sized)
        problems.append(
            f"ensemble: all backbones see the same images, and the image sizes differ ({stated}); give one size"
        )
    if problems:
        raise ValueError("; ".join(problems))
