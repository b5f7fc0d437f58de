"""A recipe as its author states it: intent, which may say `auto`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from kerastune_recipes import units
from kerastune_recipes.backbones import table
from kerastune_recipes.backbones.facts import Convention
from kerastune_recipes.devices.facts import Precision
from kerastune_recipes.errors import BackboneError, listed
from kerastune_recipes.records import Record


def _duration(text: str) -> str:
    units.parse_duration(text)
    return text


def _longer_than_nothing(text: str) -> str:
    if not units.parse_duration(text).amount:
        raise ValueError(f'a phase lasts longer than nothing; received "{text}"')
    return text


def _not_empty(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError('name at least one stage or layer, or write "all", "early" or "last"')
    return names


GIVEN = "given"
Auto = Literal["auto"]
DurationText = Annotated[str, AfterValidator(_duration)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Multiplier = Annotated[float, Field(gt=0, le=1000)] | Literal["frozen"]
SolvedHead = Literal["logistic_regression", "linear_svm", "naive_bayes", "lda", "source_classifier"]
# Of the covariance of LDA. With less, and fewer images than features, it could not be inverted.
SHRINKAGE = (1e-6, 1.0)
Flip = Literal["none", "horizontal", "horizontal_and_vertical"]
# The name or WordNet id of a class that the backbone was pretrained on, or its index.
SourceClass = str | int


class BackboneSpec(Record):
    """The pretrained network.

    Args:
        name: A name in the table of backbones, or "hub:" and a preset of KerasHub.
        weights: "imagenet", "none", "demo", or the path of a weights file; "given" for a network of the user's own,
            "preset" (or "imagenet") for what a preset of KerasHub holds.
        image_size: Height and width of the network's input, pixels.
        convention: How raw pixels become its input; `auto` for networks of the table and for presets.
    """

    name: str
    weights: str = "imagenet"
    image_size: Annotated[int, Field(ge=8, le=4096)] | Auto = "auto"
    convention: Auto | Convention = "auto"

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
        taps: "last", "all" stages, "early" for all but the last, or names of stages or layers.
        views: Images solved on for each training image: the image, its mirror image, then random crops.
        flip: "none" leaves the mirror images out, where a mirror image may be of another class.
    """

    taps: Literal["last", "all", "early"] | Annotated[tuple[str, ...], AfterValidator(_not_empty)] = "last"
    views: Annotated[int, Field(ge=1, le=64)] = 1
    flip: Literal["none", "horizontal"] = "horizontal"


class HeadSpec(Record):
    """What stands on the features: pooling of each tap, dropout, one dense layer with softmax.

    Args:
        pooling: "avg" or "max" over each tap's positions, or "flatten" to keep them all.
        dropout: Share of features dropped while fitting by gradient, 0 to below 1.
    """

    pooling: Literal["avg", "max", "flatten"] = "avg"
    dropout: Share = 0.0


class PseudoLabelsSpec(Record):
    """Unlabelled images that a head learns from too, labelled by heads (benchmarks/unlabeled.md).

    Args:
        method: "self_train": a head labels for itself. "cotrain": the heads of two backbones label for each other.
        rounds: How often the images are labelled anew, more of them each time; cross-validation may stop earlier.
        share: Of the unlabelled images, those labelled in the last round, as many of each class.
        weight: Of an image with such a label, against 1 for a labelled one.
        strength: Of the L2 penalty on features standardised by all images.
    """

    method: Literal["self_train", "cotrain"]
    rounds: Annotated[int, Field(ge=1, le=100)] = 3
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    weight: Annotated[float, Field(gt=0, le=1)] = 0.3
    strength: Positive = 10.0


class SolveSpec(Record):
    """A convex head solved on frozen features.

    Args:
        head: "logistic_regression" (multinomial), "linear_svm" (each class against the others), "naive_bayes"
            (Gaussian), "lda" (linear discriminant analysis), or "source_classifier": logistic regression drawn towards
            the classifier that the backbone was pretrained with, where it has the classes, rather than towards zero.
        regularization: Its strength on standardised features, by scikit-learn's terms: 1/C of the first two and the
            last, var_smoothing of naive Bayes, shrinkage of LDA, 1e-6 to 1; `auto` chooses it by cross-validation.
        class_balance: "none" lets each image weigh the same, "weights" each class; `auto` decides by the classes'
            sizes.
        taps: "all" lets the head see the features of all taps; "best" of the one whose features alone are best by
            cross-validation.
        pseudo_labels: How the head learns from unlabelled images too; none where it does not.
        source_classes: With "source_classifier", which classes of that classifier stand for a class of the data: their
            names, WordNet ids or indices; an empty list for none. Classes not mentioned are matched by name.
    """

    head: SolvedHead = "logistic_regression"
    regularization: Positive | Auto = "auto"
    pseudo_labels: PseudoLabelsSpec | None = None
    class_balance: Literal["none", "weights"] | Auto = "none"
    taps: Literal["all", "best"] = "all"
    source_classes: dict[str, SourceClass | tuple[SourceClass, ...]] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "SolveSpec":
        if self.pseudo_labels and (self.head != "logistic_regression" or self.taps == "best"):
            raise ValueError("pseudo_labels: only logistic_regression on all taps learns from unlabelled images")
        low, high = SHRINKAGE
        if self.head == "lda" and self.regularization != "auto" and not low <= self.regularization <= high:
            raise ValueError(
                f"regularization: the shrinkage of lda is {low:g} to {high:g}; received {self.regularization:g}"
            )
        if self.source_classes is not None and self.head != "source_classifier":
            raise ValueError(f"source_classes go with head: source_classifier; this one is {self.head}")
        return self


class OptimizerSpec(Record):
    """An optimizer of keras.optimizers by its field name; what is left out keeps Keras's default.

    With `ema_momentum` the phase ends with the moving average of the weights over its steps, Keras's `use_ema`.
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
    initial_accumulator_value: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
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
    """What training by gradient makes small; each compares probabilities with labels that may be mixed or smoothed.

    Args:
        name: "crossentropy"; "focal" cross-entropy, which cares less for images that are recognised already;
            "squared_error", summed over the classes (the Brier score); "huber", the same but linear in large errors.
        gamma: How much less "focal" cares, 0 not at all; `rules.FOCAL_GAMMA` where it is left out.
        delta: From which error on "huber" is linear, above 0 and below 1, as errors of probabilities are;
            `rules.HUBER_DELTA` where it is left out.
    """

    name: Literal["crossentropy", "focal", "squared_error", "huber"] = "crossentropy"
    gamma: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "LossSpec":
        _check_arguments(self, {"focal": {"gamma"}, "huber": {"delta"}}.get(self.name, set()))
        return self


def _check_arguments(record: Record, takes: set[str]) -> None:
    """Refuse what a thing that is named by `record.name` does not take."""
    given = {key for key, value in record if key != "name" and value is not None}
    if given - takes:
        name, wrong = dict(record)["name"], listed(sorted(given - takes))
        raise ValueError(f"{name} has no {wrong}; it takes {listed(sorted(takes)) or 'nothing'}")


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


# A record, or in short its name alone.
Loss = Annotated[LossSpec, BeforeValidator(_by_name)]
# The losses that compare with labels as they are.
_WITHOUT_SMOOTHING = ("squared_error", "huber")


def check_smoothing(loss: LossSpec, label_smoothing: float) -> None:
    """Refuse smoothing where a loss has none.

    Raises:
        ValueError: In words for the user.
    """
    if label_smoothing and loss.name in _WITHOUT_SMOOTHING:
        raise ValueError(
            f"label_smoothing: {loss.name} has none; leave label_smoothing out, or take crossentropy or focal"
        )


class ScheduleSpec(Record):
    """How the learning rate moves: a linear warmup, then cosine to zero or constant."""

    name: Literal["cosine", "constant"] = "cosine"
    warmup: DurationText = "10%"


class AugmentationLayer(Record):
    """One layer of keras.layers or keras_cv.layers, such as `{layer: RandomFlip, arguments: {mode: horizontal}}`."""

    layer: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class FitSpec(Record):
    """Training by gradient, the Keras way.

    Args:
        trainable: Ordered rules, pattern -> learning-rate multiplier or "frozen"; the first match wins.
        batch_norm: "frozen" keeps every BatchNormalization in inference mode, its weights fixed; "trained" lets
            those in trained layers learn and update their statistics.
        batch_norm_momentum: With which the statistics of trained BatchNormalization follow the images, 0 to below 1.
        optimizer: Which, with its arguments.
        learning_rate: Peak learning rate at multiplier 1; "find" takes it from a range test just before the phase.
        schedule: Its course.
        duration: How long, such as "10 epochs" or "500 steps".
        batch_size: Global batch size, images.
        augmentation: "none", "light", "medium", "strong", or a list of layers.
        flip: Mirror images that the named augmentations may make; "none" where a flip changes the label.
        views: "fresh" augments every image anew each epoch; a number makes that many augmented views of each image
            once, passes them through the frozen part at the front once, and trains the rest on them in turn.
        label_smoothing: Share of the label spread over all classes, 0 to below 1.
        clip_norm: Bound on the global norm of the gradient, or none.
        stage_decay: Each stage learns at this share of the rate of the stage behind it, above 0 and below 1; the rules
            that train whole stages are spelt out so. None leaves the multipliers as they are.
        loss: What is made small; its name alone where it needs no more.
        class_balance: What is done where classes have unequal numbers of images: "weights" weighs each image's loss,
            "sampling" draws images of each class equally often.
        reinitialize: Patterns of backbone layers that get fresh weights before the phase trains.
        l2_sp: Strength of the pull of the trained backbone weights towards those that the phase starts from.
        solve_again: Whether held-out images also judge the head solved anew on the features behind the phase, as it was
            solved before; "auto" where it was, and where they decide what is kept.
    """

    trainable: Annotated[tuple[tuple[str, Multiplier], ...], Field(min_length=1)]
    batch_norm: Literal["frozen", "trained"] = "frozen"
    batch_norm_momentum: Share | Auto = "auto"
    optimizer: OptimizerSpec = OptimizerSpec()
    learning_rate: Positive | Literal["find"] | Auto = "auto"
    schedule: ScheduleSpec = ScheduleSpec()
    duration: Annotated[DurationText, AfterValidator(_longer_than_nothing)] | Auto = "auto"
    batch_size: Annotated[int, Field(ge=1)] | Auto = "auto"
    augmentation: Literal["none", "light", "medium", "strong"] | tuple[AugmentationLayer, ...] = "light"
    flip: Flip = "horizontal"
    views: Annotated[int, Field(ge=1)] | Literal["fresh"] | Auto = "auto"
    label_smoothing: Share = 0.0
    clip_norm: Positive | None = 1.0
    stage_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    loss: Loss = LossSpec()
    class_balance: Literal["none", "weights", "sampling"] | Auto = "none"
    reinitialize: tuple[str, ...] = ()
    l2_sp: Positive | None = None
    solve_again: bool | Auto = "auto"

    @model_validator(mode="after")
    def _trains_something(self) -> "FitSpec":
        if all(multiplier == "frozen" for _, multiplier in self.trainable):
            raise ValueError("trainable: every pattern is frozen, so nothing would be trained; give one a multiplier")
        return self

    @model_validator(mode="after")
    def _smooths_what_can_be(self) -> "FitSpec":
        check_smoothing(self.loss, self.label_smoothing)
        return self


class PhaseSpec(Record):
    """One phase: either `solve` or `fit`. Each states the whole state, never a change to the phase before."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    solve: SolveSpec | None = None
    fit: FitSpec | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "PhaseSpec":
        if (self.solve is None) == (self.fit is None):
            raise ValueError("a phase is either solve or fit; give exactly one of them")
        return self


class RecipeSpec(Record):
    """A whole recipe.

    Args:
        summary: One sentence that says when to use it.
        backbone: The pretrained network.
        features: The activations that the head sees.
        head: What stands on them.
        phases: What is done, in order.
        keep: Which phase's model is returned.
        ensemble: Further backbones, whose features stand beside those of the first; then heads are only solved.
        folds: Judge the phases by cross-validation of so many folds of all images, in place of a hold-out, and refit
            the one that is kept on all of them.
        refit: What is trained once more, on the images too that we held out, when they have shown what is kept:
            "heads", a solved head, and the head behind a phase that fits, at a forward pass at most; "all", phases that
            fit as well, which doubles their cost; or "none". Validation images of the user's own stay out.
        precision: What the network computes in: "float32", or "bfloat16" or "float16" with weights, head and
            probabilities in float32; `auto` decides by the hardware.
        jit_compile: Whether training steps are compiled, by XLA or torch.compile; `auto` does what Keras would.
    """

    summary: Annotated[str, Field(min_length=1)]
    backbone: BackboneSpec
    features: FeaturesSpec = FeaturesSpec()
    head: HeadSpec = HeadSpec()
    phases: Annotated[tuple[PhaseSpec, ...], Field(min_length=1)]
    keep: Literal["best_on_validation", "last"] = "best_on_validation"
    ensemble: tuple[BackboneSpec, ...] = ()
    folds: Annotated[int, Field(ge=2, le=100)] | None = None
    refit: Literal["none", "heads", "all"] = "heads"
    precision: Precision | Auto = "auto"
    jit_compile: bool | Auto = "auto"

    @model_validator(mode="after")
    def _distinct_names(self) -> "RecipeSpec":
        names = [phase.name for phase in self.phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"phases: two phases are named {listed(twice)}; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> "RecipeSpec":
        problems = []
        fits = [phase.name for phase in self.phases if phase.fit]
        if self.ensemble and fits:
            problems.append(
                f"ensemble: the features of several backbones are for solved heads, and {listed(fits)} is a fit phase; "
                "take it out, or fine-tune one backbone"
            )
        networks = [(each.name, each.weights) for each in (self.backbone, *self.ensemble)]
        twice = sorted({name for name, weights in networks if networks.count((name, weights)) > 1})
        if twice:
            problems.append(f"ensemble: {listed(twice)} is there twice with the same weights; name different backbones")
        if not self.ensemble or len(self.ensemble) > 1:
            problems += [
                f"phases.{phase.name}.solve.pseudo_labels: cotrain takes two backbones, and there are "
                f"{1 + len(self.ensemble)}; name one further backbone under ensemble, or take self_train"
                for phase in self.phases
                if phase.solve and phase.solve.pseudo_labels and phase.solve.pseudo_labels.method == "cotrain"
            ]
        sizes = {each.name: each.image_size for each in (self.backbone, *self.ensemble) if each.image_size != "auto"}
        if len(set(sizes.values())) > 1:
            stated = listed(f"{name} {size}" for name, size in sizes.items())
            problems.append(
                f"ensemble: all backbones see the same images, and the image sizes differ ({stated}); give one size"
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self
