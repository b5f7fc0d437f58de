"""The plan's format: what is written reads back, and what a plan must not say."""

import pytest

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning.plan import Plan, is_plan


def test_a_written_plan_reads_back(plan_of):
    plan = plan_of()
    text = yaml_files.dump(plan.to_data())
    assert Plan.from_data(yaml_files.parse(text, "plan"), "plan") == plan


def test_a_written_plan_with_pretrained_classes_reads_back(plan_with_pretrained_head):
    plan = plan_with_pretrained_head()
    text = yaml_files.dump(plan.to_data())
    assert Plan.from_data(yaml_files.parse(text, "plan"), "plan") == plan


def test_a_plan_without_precision_and_compilation_has_the_defaults(plan_of):
    data = plan_of().to_data()
    del data["precision"], data["jit_compile"]
    plan = Plan.from_data(data, "plan")
    assert (plan.precision, plan.jit_compile) == ("float32", None)


def test_a_plan_without_the_later_options_of_a_fit_phase_has_the_defaults(plan_of):
    data = plan_of().to_data()
    for key in ("loss", "class_balance", "reinitialize", "l2_sp"):
        data["phases"][1]["fit"].pop(key, None)
    assert Plan.from_data(data, "plan.yaml") == plan_of()


def test_an_edited_plan_cannot_smooth_labels_for_a_loss_without_smoothing(plan_of):
    data = plan_of().to_data()
    data["phases"][1]["fit"] |= {"loss": "squared_error", "label_smoothing": 0.1}
    with pytest.raises(RecipeError, match="phases.fine_tuning.fit: label_smoothing: squared_error does not support it"):
        Plan.from_data(data, "plan.yaml")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda plan: plan["phases"][0].update(name='"><b>'), 'phases."><b>.name: a phase is named by 1 to 64 letters'),
        (lambda plan: plan["phases"][1].update(name="feature_extraction"), "two phases are named feature_extraction"),
        (lambda plan: plan["phases"][0].pop("solve"), "a phase is either solve or fit; give exactly one of them."),
        (
            lambda plan: plan.update(class_names=["ants", "bees\r\n"]),
            "class names with control characters or line",
        ),
        (lambda plan: plan.update(folds=10**9), "folds: expected less than or equal to 100; received 1000000000."),
        (lambda plan: plan["backbone"].update(image_size=10**9), "image_size: expected less than or equal to 4096;"),
        (lambda plan: plan["phases"][0]["solve"].update(folds=10**9), "folds: expected less than or equal to 100"),
        (lambda plan: plan["phases"][1]["fit"].update(steps=10**400), "steps: expected less than or equal to 10000"),
        (lambda plan: plan["phases"][1]["fit"].update(batch_size=2**63), "batch_size: expected less than or equal to"),
        (
            lambda plan: plan["phases"][1]["fit"].update(learning_rate=float("inf")),
            "expected a finite number; received",
        ),
        (lambda plan: plan["phases"][1]["fit"].update(trainable=[["backbone", "frozen"]]), "every pattern is frozen"),
        (
            lambda plan: plan["phases"][0]["solve"].update(head="lda", pseudo_labels={"method": "self_train"}),
            "pseudo_labels: only logistic_regression on all taps learns from unlabelled images",
        ),
        (
            lambda plan: plan["phases"][0]["solve"].update(pseudo_labels={"method": "cotrain"}),
            "cotrain needs two backbones, and there are 1",
        ),
        (
            lambda plan: plan.update(ensemble=[{**plan["backbone"], "name": "Other", "taps": ["stage1"]}]),
            "several backbones work with solved heads only, and fine_tuning is a fit phase",
        ),
    ],
)
def test_an_edited_plan_keeps_the_rules_of_a_recipe(plan_of, change, problem):
    data = plan_of().to_data()
    change(data)
    with pytest.raises(RecipeError) as caught:
        Plan.from_data(data, "plan.yaml")
    assert problem in str(caught.value)


def test_only_naive_bayes_sees_squares(plan_of):
    head = "phases.feature_extraction.solve.head"
    assert {name: plan_of(**{head: name}).squares for name in ("naive_bayes", "lda", "linear_svm")} == {
        "naive_bayes": True,
        "lda": False,
        "linear_svm": False,
    }


def test_a_plan_knows_its_kinds_of_phases(plan_of):
    plan = plan_of()
    assert [phase.kind for phase in plan.phases] == ["solve", "fit"]
    assert plan.fits
    assert not plan.model_copy(update={"phases": plan.phases[:1]}).fits


def test_the_version_key_distinguishes_a_plan_from_a_recipe(plan_of):
    assert is_plan(plan_of().to_data())
    assert not is_plan({"summary": "A recipe.", "phases": []})
    assert not is_plan(["plan"])
