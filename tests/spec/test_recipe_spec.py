"""The recipe format: defaults, and every problem of a recipe with its place."""

import re

import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.spec.recipe_spec import RecipeSpec

GOOD = """
summary: Two phases.
backbone: {name: ResNet50}
phases:
  - name: feature_extraction
    solve: {}
  - name: fine_tuning
    fit:
      trainable: [[head, 1.0], [backbone/last_stage, 0.1], [backbone, frozen]]
      learning_rate: 1e-3
"""

BAD = """
summary: Much is wrong.
backbone: {nme: ResNet50, image_size: 2.5}
features: {taps: [], views: 65}
heads: {}
phases:
  - name: a
    solve: {head: logistic_regresion, regularization: -1}
  - name: b
    fit:
      trainable: [[head, 1.0], [backbone, frosen]]
      duration: 3 weeks
      optimizer: {name: sgd, beta_1: 0.9}
      augmentation: lihgt
  - name: c
keep: best
"""

# One sentence for each place, in the order of the file's parts.
EXPECTED = [
    "r.yaml: backbone.name: this key is missing.",
    'r.yaml: backbone.image_size: expected a valid integer or "auto"; received 2.5.',
    'r.yaml: backbone.nme: there is no key "nme" here. Did you mean "name"? '
    "Known: name, weights, image_size, preprocessing.",
    'r.yaml: features.taps: name at least one stage or layer, or write "all", "early" or "last".',
    "r.yaml: features.views: expected less than or equal to 64; received 65.",
    'r.yaml: phases.a.solve.head: expected "logistic_regression" or "linear_svm" or "naive_bayes" or "lda" or '
    '"pretrained_classifier"; received "logistic_regresion". '
    'Did you mean "logistic_regression"?',
    'r.yaml: phases.a.solve.regularization: expected greater than 0 or "auto"; received -1.',
    'r.yaml: phases.b.fit.trainable.1.1: expected a valid number or "frozen"; received "frosen". '
    'Did you mean "frozen"?',
    "r.yaml: phases.b.fit.optimizer: sgd has no beta_1; it takes ema_momentum, momentum, nesterov, weight_decay.",
    'r.yaml: phases.b.fit.duration: write a duration as "3 epochs", "500 steps" or "10%"; received "3 weeks".',
    'r.yaml: phases.b.fit.augmentation: expected a list or "none" or "light" or "medium" or "strong"; '
    'received "lihgt". Did you mean "light"?',
    "r.yaml: phases.c: a phase is either solve or fit; give exactly one of them.",
    'r.yaml: keep: expected "best_on_validation" or "last"; received "best".',
    'r.yaml: heads: there is no key "heads" here. Did you mean "head"? '
    "Known: summary, backbone, features, head, phases, keep, ensemble, folds, refit, precision, jit_compile.",
]


def read(text: str) -> RecipeSpec:
    return RecipeSpec.from_data(yaml_files.parse(text, "r.yaml"), "r.yaml")


def test_missing_keys_have_defaults():
    spec = read(GOOD)
    assert spec.backbone.weights == "imagenet"
    assert spec.phases[0].solve.regularization == "auto"
    assert spec.phases[1].fit.batch_norm == "frozen"
    assert spec.phases[1].fit.learning_rate == 0.001


def test_all_problems_are_reported_at_once_with_their_places():
    with pytest.raises(RecipeError) as caught:
        read(BAD)
    assert list(caught.value.problems) == EXPECTED


def test_a_recipe_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        read(GOOD).keep = "last"


def test_values_are_not_converted_silently():
    with pytest.raises(RecipeError, match=re.escape('features.views: expected a valid integer; received "2".')):
        read(GOOD + "features: {views: '2'}\n")


@pytest.mark.parametrize("views", ["auto", "fresh", 1, 4])
def test_a_fit_phase_takes_views_as_a_number_or_a_word(views):
    assert read(f"{GOOD}      views: {views}\n").phases[1].fit.views == views


@pytest.mark.parametrize("views", ["0", "few", "2.5"])
def test_other_views_are_refused(views):
    with pytest.raises(RecipeError, match=rf"phases.fine_tuning.fit.views: .*received {views!r}?".replace("'", '"?')):
        read(f"{GOOD}      views: {views}\n")


def test_a_phase_must_train_something():
    with pytest.raises(RecipeError, match="every pattern is frozen, so nothing would be trained"):
        read(GOOD.replace("1.0", "frozen").replace("0.1", "frozen"))


def test_phases_must_have_different_names():
    with pytest.raises(RecipeError, match="two phases are named feature_extraction; give each its own name"):
        read(GOOD.replace("fine_tuning", "feature_extraction"))


def test_an_unknown_backbone_is_a_problem_of_the_recipe():
    with pytest.raises(RecipeError, match='r.yaml: backbone: There is no backbone "ResNt50". Did you mean "ResNet50"?'):
        read(GOOD.replace("name: ResNet50", "name: ResNt50"))


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        ("[{name: MobileNetV2}]", "fine_tuning is a fit phase; remove it, or fine-tune a single backbone"),
        ("[{name: ResNet50}]", "ensemble: ResNet50 is listed twice with the same weights; use different backbones"),
        (
            "[{name: VGG16, image_size: 64}, {name: VGG19, image_size: 96}]",
            r"differ \(VGG16 64, VGG19 96\); give one",
        ),
    ],
)
def test_the_backbones_of_an_ensemble_must_differ_and_share_an_image_size(ensemble, message):
    with pytest.raises(RecipeError, match=message):
        read(f"{GOOD}ensemble: {ensemble}\n")


@pytest.mark.parametrize(
    ("preprocessing", "problem"),
    [
        ('"torchy"', r'expected a mapping or "auto" or .*; received "torchy"\. Did you mean "torch"\?'),
        ("{scale: 0}", r"preprocessing.scale: expected greater than 0 or a list; received 0"),
        ("{scale: [1, 1]}", r"preprocessing.scale.2: this item of the list is missing"),
        ("{scal: 1, scale: 1}", r'there is no key "scal" here\. Did you mean "scale"\? Known: scale, offset'),
    ],
)
def test_a_preprocessing_is_a_word_or_numbers(preprocessing, problem):
    assert read(GOOD.replace("ResNet50", "ResNet50, preprocessing: {scale: 0.1, offset: [0, 1, 2]}"))
    with pytest.raises(RecipeError, match=problem) as caught:
        read(GOOD.replace("ResNet50", f"ResNet50, preprocessing: {preprocessing}"))
    assert len(caught.value.problems) == 1


def test_a_kerashub_preset_is_not_looked_up_yet():
    assert read(GOOD.replace("ResNet50", "hub:resnet_18_imagenet")).backbone.name == "hub:resnet_18_imagenet"
    with pytest.raises(RecipeError, match=r'"hub:" must be followed by the name of a KerasHub preset: "hub:resnet_18'):
        read(GOOD.replace("ResNet50", '"hub:"'))


def test_a_list_is_not_a_recipe():
    with pytest.raises(RecipeError, match=re.escape("r.yaml: expected keys and values, received [1, 2].")):
        read("[1, 2]")


def test_an_option_switched_off_stays_off_when_written():
    spec = read(GOOD.replace("learning_rate: 1e-3", "clip_norm: null"))
    assert spec.phases[1].fit.clip_norm is None
    assert RecipeSpec.from_data(yaml_files.parse(yaml_files.dump(spec.to_data()), "x"), "x") == spec


def fit(line: str):
    return read(f"{GOOD}      {line}\n").phases[1].fit


@pytest.mark.parametrize("line", ["loss: focal", "loss: {name: focal}"])
def test_a_loss_is_a_name_or_a_name_with_arguments(line):
    assert fit(line).loss.name == "focal"
    assert fit("loss: {name: focal, gamma: 1.0}").loss.gamma == 1
    assert fit("batch_norm: frozen").loss.name == "crossentropy"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "loss: hubre",
            'loss: expected "crossentropy" or "focal" or "squared_error" or "huber"; received "hubre". Did',
        ),
        ("loss: {name: huber, gamma: 1.0}", "loss: huber has no gamma; it takes delta."),
        ("loss: {name: squared_error, delta: 0.5}", "loss: squared_error has no delta; it takes nothing."),
        ("loss: {name: huber, delta: 1.0}", "loss.delta: expected less than 1; received 1.0."),
        ("loss: 3", "loss: expected "),
        (
            "{loss: huber, label_smoothing: 0.1}",
            "phases.fine_tuning.fit: label_smoothing: huber does not support it; remove label_smoothing, or use cross",
        ),
        ("class_balance: weigths", '"none" or "weights" or "sampling" or "auto"; received "weigths". Did you mean'),
        ("stage_decay: 1.0", "stage_decay: expected less than 1; received 1.0."),
        ("stage_decay: 0.0", "stage_decay: expected greater than 0; received 0.0."),
        ('duration: "0 epochs"', 'duration: the duration of a phase must be above zero; received "0 epochs"'),
        ("l2_sp: -1.0", "l2_sp: expected greater than 0; received -1.0."),
        ("reinitialize: backbone/stage2", "reinitialize: expected a list; received"),
        (
            "optimizer: {name: adagrad, centered: true}",
            "adagrad has no centered; it takes ema_momentum, epsilon, initial_accumulator",
        ),
    ],
)
def test_impossible_options_are_refused(line, problem):
    lines = line.strip("{}").split(", ") if line.startswith("{") else [line]
    with pytest.raises(RecipeError, match=re.escape(problem)):
        read(GOOD + "".join(f"      {each}\n" for each in lines))


def test_a_loss_is_written_in_full():
    spec = read(GOOD + "      loss: focal\n")
    assert spec.phases[1].fit.loss.to_data() == {"name": "focal"}
    assert RecipeSpec.from_data(yaml_files.parse(yaml_files.dump(spec.to_data()), "x"), "x") == spec


@pytest.mark.parametrize(
    ("solve", "problem"),
    [
        (
            "{head: lda, regularization: 2.0}",
            "phases.feature_extraction.solve: regularization: the shrinkage of lda must be from 1e-06 to 1; received 2",
        ),
        (
            "{head: linear_svm, pretrained_classes: {ants: ant}}",
            "pretrained_classes: they need head: pretrained_classifier; received head: linear_svm",
        ),
        (
            "{head: lda, pseudo_labels: {method: self_train}}",
            "pseudo_labels: only logistic_regression on all taps learns from unlabelled images",
        ),
        (
            "{pseudo_labels: {method: cotrain}}",
            "phases.feature_extraction.solve.pseudo_labels: cotrain needs two backbones, and there are 1; list",
        ),
    ],
)
def test_impossible_solve_phases_are_refused(solve, problem):
    with pytest.raises(RecipeError, match=re.escape(problem)):
        read(GOOD.replace("solve: {}", f"solve: {solve}"))
