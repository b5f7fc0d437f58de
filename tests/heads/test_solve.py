"""Solved heads: equal to scikit-learn's, strength and calibration chosen on held-out images."""

import tracemalloc

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.rows import LabelledFeatures, standardise
from kerastune_recipes.heads.solve import solve
from kerastune_recipes.planning.plan import SolvePlan


def logistic_regression(views, labels, strengths, folds, seed, **options):
    plan = SolvePlan(head="logistic_regression", strengths=strengths, folds=folds)
    return solve(plan, LabelledFeatures(views, labels), seed, **options)


@pytest.mark.parametrize(("images", "features"), [(120, 20), (60, 200)])
@pytest.mark.parametrize("classes", [2, 3])
def test_folded_weights_equal_scikit_learn_on_standardised_features(images, features, classes, problem):
    rows, labels = problem(images, features, classes)
    solved = logistic_regression(rows[None], labels, strengths=(10.0,), folds=0, seed=0)
    standard = standardise(rows[None], np.arange(len(rows)))[0][:, 0]
    reference = LogisticRegression(C=0.1, tol=1e-6, max_iter=5000).fit(standard, labels)
    expected = reference.predict_proba(standard)
    np.testing.assert_allclose(solved.probabilities(rows), expected, atol=2e-3)


def test_the_result_hardly_depends_on_the_start(problem):
    rows, labels = problem()
    near = logistic_regression(rows[None, :100], labels[:100], (10.0,), folds=0, seed=0)
    results = [
        logistic_regression(rows[None], labels, (10.0,), folds=0, seed=0, start=start)
        for start in (None, Start(near.kernel, near.bias))
    ]
    np.testing.assert_allclose(*(solved.probabilities(rows) for solved in results), atol=2e-3)


def test_the_chosen_strength_has_the_least_held_out_loss(problem):
    rows, labels = problem()
    solved = logistic_regression(rows[None], labels, strengths=(1e4, 100.0, 1.0, 1e-2), folds=5, seed=0)
    losses = solved.log_loss_by_strength
    assert solved.strength == min(losses, key=losses.get)
    assert 1e-2 < solved.strength < 1e4
    assert solved.judged_by == "5-fold cross-validation of 120 images"


@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_the_same_strength_as_trying_all(seed, problem):
    rows, labels = problem(images=300, seed=seed)
    strengths = tuple(10 ** (half / 2) for half in range(7, -3, -1))

    def loss_of(strength):
        return logistic_regression(rows[None], labels, (strength,), 3, seed).log_loss_by_strength[strength]

    losses = {strength: loss_of(strength) for strength in strengths}
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=seed)
    assert len(solved.log_loss_by_strength) < len(strengths)
    assert losses[solved.strength] == pytest.approx(min(losses.values()), rel=0.005)


def test_the_search_stops_once_the_loss_no_longer_falls(problem):
    rows, labels = problem()
    strengths = (1e4, 1e3, 100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=0)
    assert list(solved.log_loss_by_strength) == [1e3, 100.0, 10.0, 0.1]


@pytest.mark.parametrize("strengths", [(10.0,), (100.0, 10.0), (1000.0, 100.0, 10.0)])
def test_up_to_three_strengths_are_all_tried(strengths, problem):
    rows, labels = problem()
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=0)
    assert tuple(solved.log_loss_by_strength) == strengths


def test_a_hold_out_decides_with_many_images(problem):
    rows, labels = problem(images=6000)
    (rows, fresh), (labels, answers) = np.split(rows, [5000]), np.split(labels, [5000])
    solved = logistic_regression(rows[None], labels, (1000.0, 300.0, 100.0, 30.0, 10.0), folds=4, seed=0)
    assert solved.judged_by.startswith("a hold-out of ")
    assert solved.judged_by.endswith(" images, after 4-fold cross-validation of 2000 images")
    losses = solved.log_loss_by_strength
    assert solved.strength == min(losses, key=losses.get)
    # With 5,000 images of 20 features no penalty is needed.
    scaler = StandardScaler().fit(rows)
    plain = LogisticRegression(C=100).fit(scaler.transform(rows), labels)
    reference = log_loss(answers, plain.predict_proba(scaler.transform(fresh)))
    assert log_loss(answers, solved.probabilities(fresh)) == pytest.approx(reference, rel=0.02)


def test_a_class_of_two_images_among_many_is_in_every_training_part(problem):
    rows, labels = problem(images=5000)
    labels[labels == 2] = 1
    labels[[17, 4000]] = 2
    solved = logistic_regression(rows[None], labels, strengths=(100.0, 10.0), folds=2, seed=0)
    assert solved.kernel.shape == (20, 3)
    assert np.isfinite(solved.kernel).all()


def test_half_precision_on_disk_becomes_one_float32_matrix(tmp_path, problem):
    images, width = 5000, 400
    rows, labels = problem(images, width)
    np.save(tmp_path / "features.npy", rows[None].astype(np.float16))
    views = np.load(tmp_path / "features.npy", mmap_mode="r")
    tracemalloc.start()
    mapped = logistic_regression(views, labels, strengths=(100.0,), folds=3, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # One matrix, a sample of 2,000 images, two thirds of it for each of three folds, and their working memory.
    assert peak < 4 * (images + 5 * 2000) * width
    whole = logistic_regression(np.asarray(views, np.float32), labels, strengths=(100.0,), folds=3, seed=0)
    np.testing.assert_array_equal(mapped.kernel, whole.kernel)


def test_the_input_is_not_changed(problem):
    rows, labels = problem()
    before = rows.copy()
    logistic_regression(rows[None], labels, strengths=(100.0, 10.0), folds=3, seed=0)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("images", [120, 4500])
def test_results_do_not_depend_on_the_number_of_cores(images, monkeypatch, problem):
    rows, labels = problem(images)
    several = logistic_regression(rows[None], labels, strengths=(100.0, 30.0, 10.0), folds=3, seed=0)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    one = logistic_regression(rows[None], labels, strengths=(100.0, 30.0, 10.0), folds=3, seed=0)
    np.testing.assert_array_equal(several.kernel, one.kernel)
    assert several.temperature == one.temperature


def test_views_of_an_image_stay_in_one_fold(problem):
    # Random labels: only a head trained on the other view of an image could beat chance.
    rows, labels = problem(images=120, features=200)
    random = np.random.default_rng(1).permutation(labels)
    twins = np.stack([rows, rows])
    solved = logistic_regression(twins, random, strengths=(1.0,), folds=3, seed=0)
    assert solved.log_loss_by_strength[1.0] > 0.95 * np.log(3)


def test_calibration_flattens_the_predictions_for_random_labels(problem):
    rows, labels = problem(images=60, features=200)
    random = np.random.default_rng(1).permutation(labels)
    solved = logistic_regression(rows[None], random, strengths=(1.0,), folds=5, seed=0)
    assert solved.temperature > 3


def test_a_second_view_counts_as_a_second_row(problem):
    rows, labels = problem()
    one = logistic_regression(rows[None], labels, strengths=(10.0,), folds=0, seed=0)
    same_twice = logistic_regression(np.stack([rows, rows]), labels, strengths=(20.0,), folds=0, seed=0)
    np.testing.assert_allclose(same_twice.probabilities(rows), one.probabilities(rows), atol=2e-3)


def test_a_constant_feature_does_no_harm(problem):
    rows, labels = problem()
    rows[:, 3] = 7.0
    solved = logistic_regression(rows[None], labels, strengths=(10.0,), folds=5, seed=0)
    assert np.isfinite(solved.kernel).all()
    assert np.abs(solved.kernel[3]).max() < 1e-6


HEADS = ["logistic_regression", "linear_svm", "naive_bayes", "lda"]
STRENGTHS = {"lda": (0.9, 0.5, 0.1), "naive_bayes": (100.0, 10.0, 1.0)}


def plan(head="logistic_regression", folds=4, **changes):
    return SolvePlan(head=head, strengths=STRENGTHS.get(head, (1000.0, 100.0, 10.0)), folds=folds, **changes)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_head_generalises_as_well_as_its_held_out_loss_says(head, classes, problem):
    (rows, fresh), (labels, answers) = (np.split(part, [240]) for part in problem(600, classes=classes))
    solved = solve(plan(head), LabelledFeatures(rows[None], labels), seed=0)
    found = solved.probabilities(fresh)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert log_loss(answers, found) < 0.8 * np.log(classes)
    assert log_loss(labels, solved.held_out) == pytest.approx(log_loss(answers, found), abs=0.15)


def test_naive_bayes_equals_scikit_learn_in_single_precision_far_from_zero(problem):
    rows, labels = problem(features=400)
    scaled = StandardScaler().fit_transform(rows)
    for deviations in (0, 30, 10_000):
        far = (0.1 * scaled + 0.1 * deviations).astype(np.float32)
        solved = solve(
            SolvePlan(head="naive_bayes", strengths=(10.0,), folds=0), LabelledFeatures(far[None], labels), seed=0
        )
        assert solved.kernel.shape == (800, 3)
        dense = keras.layers.Dense(3, activation="softmax")
        dense.build((None, 800))
        dense.set_weights([solved.kernel, solved.bias])
        centred = far - solved.centre
        found = keras.ops.convert_to_numpy(dense(np.hstack([centred, centred * centred])))
        assert solved.layer_differs == {}
        standard = standardise(far[None], np.arange(len(far)))[0][:, 0]
        expected = GaussianNB(var_smoothing=10.0).fit(standard, labels).predict_proba(standard)
        assert np.ptp(expected, axis=0).min() > 0.9  # the classes are separated
        np.testing.assert_allclose(found, expected, atol=1e-3)
        np.testing.assert_allclose(solved.probabilities(far), expected, atol=1e-3)


def test_calibration_corrects_the_overconfidence_of_naive_bayes(problem):
    rows, labels = problem(images=300)
    copies = np.hstack([rows] * 20)  # which it takes for independent evidence
    once, repeated = (solve(plan("naive_bayes"), LabelledFeatures(one[None], labels), seed=0) for one in (rows, copies))
    assert repeated.temperature == pytest.approx(20 * once.temperature, rel=0.05)
    np.testing.assert_allclose(repeated.probabilities(copies), once.probabilities(rows), atol=0.02)


@pytest.mark.parametrize("head", HEADS)
def test_held_out_probabilities_are_in_the_order_of_the_images(head, problem):
    rows, labels = problem(images=120)
    rows[:, :3] += 1000 * np.eye(3)[labels]  # easy for any head
    held_out = solve(plan(head), LabelledFeatures(rows[None], labels), seed=0).held_out
    assert held_out.shape == (120, 3)
    assert held_out.dtype == np.float32
    assert (held_out.argmax(axis=1) == labels).all()


def test_held_out_probabilities_come_from_heads_that_have_not_seen_the_image(problem):
    # Random labels: a head that has seen an image knows its label, one that has not can only guess.
    rows, labels = problem(images=120, features=200)
    random = np.random.default_rng(1).permutation(labels)
    solved = solve(plan(), LabelledFeatures(rows[None], random), seed=0)
    assert log_loss(random, solved.probabilities(rows)) < 0.95 * np.log(3)
    assert log_loss(random, solved.held_out) > 0.99 * np.log(3)


@pytest.mark.parametrize("every_image", [False, True])
def test_many_images_are_all_held_out_only_on_request(every_image, problem):
    rows, labels = problem(images=4500)
    solved = solve(plan(), LabelledFeatures(rows[None], labels), seed=0, every_image=every_image)
    same = solve(plan(), LabelledFeatures(rows[None], labels), seed=0)
    np.testing.assert_array_equal(solved.kernel, same.kernel)
    assert solved.held_out.shape == (4500 if every_image else 0, 3)
    if every_image:
        assert log_loss(labels, solved.held_out) == pytest.approx(
            log_loss(labels, solved.probabilities(rows)), abs=0.02
        )


def test_without_folds_nothing_is_held_out(problem):
    rows, labels = problem()
    one = SolvePlan(head="lda", strengths=(0.5,), folds=0)
    solved = solve(one, LabelledFeatures(rows[None], labels), seed=0, every_image=True)
    assert solved.held_out.shape == (0, 3)
    assert solved.judged_by == "default (no folds)"


@pytest.mark.parametrize("images", [120, 4500])
def test_images_of_a_group_are_held_out_together(images, problem):
    # Six images each of one object, whose label is random: only a head that has seen the object knows it.
    objects = np.random.default_rng(0).normal(size=(images // 6, 1000)).astype(np.float32)
    groups = np.repeat(np.arange(images // 6), 6)
    rows, labels = objects[groups], np.random.default_rng(1).permutation(images // 6)[groups] % 3
    weak = SolvePlan(head="logistic_regression", strengths=(1.0,), folds=3)
    ungrouped, grouped = (
        solve(weak, LabelledFeatures(rows[None], labels, one), seed=0, every_image=True) for one in (None, groups)
    )
    assert log_loss(labels, ungrouped.held_out) < 0.3
    assert log_loss(labels, grouped.held_out) > 0.99 * np.log(3)


def test_where_each_class_is_one_group_there_are_no_folds(problem):
    rows, labels = problem()
    data = LabelledFeatures(rows[None], labels, groups=labels)
    found = solve(plan(folds=3), data, seed=0)
    assert found.judged_by == "default (no folds)"
    assert found.temperature == 1.0


@pytest.mark.parametrize("head", HEADS)
def test_one_class_of_a_single_image_leaves_the_others_calibrated(head, problem):
    """A class of one image once turned off calibration, and the choice of strength, for all classes."""
    rows, labels = problem()
    alone, both = np.append(labels, labels.max() + 1), np.vstack([rows, 3 + rows[:1]])
    found = solve(plan(head, folds=3), LabelledFeatures(both[None], alone), seed=0, every_image=True)
    assert found.judged_by.startswith(f"3-fold cross-validation of {len(labels)} images")
    assert np.isnan(found.held_out[-1]).all()
    assert not np.isnan(found.held_out[:-1]).any()
    assert found.temperature != 1.0


def test_images_that_the_network_has_seen_do_not_choose_where_it_recognises_them_better():
    """Of seen images the features give the class away; of unseen ones they say little."""
    random = np.random.default_rng(0)
    labels, unseen = np.arange(600) % 3, np.arange(600) >= 480
    spread = np.where(unseen, 0.6, 4.0)[:, None]
    rows = (spread * np.eye(3, 8)[labels] + random.normal(size=(600, 8))).astype(np.float32)
    new = (0.6 * np.eye(3, 8)[np.arange(3000) % 3] + random.normal(size=(3000, 8))).astype(np.float32)

    def log_loss(data):
        solved = solve(plan("logistic_regression", folds=3), data, seed=0)
        chances = solved.probabilities(new)[np.arange(3000), np.arange(3000) % 3]
        return -np.log(chances).mean(), solved.judged_by

    blind, _ = log_loss(LabelledFeatures(rows[None], labels))
    warned, judged_by = log_loss(LabelledFeatures(rows[None], labels, unseen=unseen))
    assert judged_by == "3-fold cross-validation of 120 images"
    assert warned < blind - 0.1
    alike = (0.6 * np.eye(3, 8)[labels] + random.normal(size=(600, 8))).astype(np.float32)
    assert log_loss(LabelledFeatures(alike[None], labels, unseen=unseen)) == log_loss(
        LabelledFeatures(alike[None], labels)
    )


@pytest.mark.parametrize("head", HEADS)
def test_the_best_tap_is_the_one_that_separates_the_classes(head, problem):
    rows, labels = problem(images=120)
    noise = np.random.default_rng(1).normal(size=(120, 50)).astype(np.float32)
    features, widths = np.hstack([noise[:, :30], rows, noise[:, 30:]]), (30, 20, 20)
    solved = solve(plan(head, taps="best"), LabelledFeatures(features[None], labels, widths=widths), seed=0)
    assert solved.tap == 1
    assert np.argmin(solved.log_loss_by_tap) == 1
    assert min(solved.log_loss_by_tap) == min(solved.log_loss_by_strength.values())
    # The others get no weight, and the head equals one solved on the features of this tap.
    separate = solve(plan(head), LabelledFeatures(rows[None], labels), seed=0)
    np.testing.assert_allclose(solved.probabilities(features), separate.probabilities(rows), atol=1e-5)
    used = np.abs(solved.kernel.reshape(-1, 70, 3)).sum(axis=(0, 2)) > 0
    np.testing.assert_array_equal(used, np.repeat([False, True, False], widths))


def test_the_widths_of_the_taps_must_add_up(problem):
    rows, labels = problem()
    with pytest.raises(ValueError, match=r"the taps have 20 features together; received \(10, 5\)"):
        solve(plan(taps="best"), LabelledFeatures(rows[None], labels, widths=(10, 5)), seed=0)


@pytest.mark.parametrize("head", HEADS)
def test_class_weights_help_the_rare_class(head, problem):
    rows, labels = problem(images=300, classes=2)
    kept = np.flatnonzero((labels == 0) | (np.arange(300) % 10 == 1))
    (rows, fresh), (labels, answers) = (rows[kept], rows), (labels[kept], labels)
    plain, balanced = (
        solve(plan(head, class_balance=balance), LabelledFeatures(rows[None], labels), seed=0)
        for balance in ("none", "weights")
    )
    rare = [np.mean(one.probabilities(fresh)[answers == 1].argmax(axis=1) == 1) for one in (plain, balanced)]
    assert rare[1] > rare[0] + 0.1


def test_the_temperature_of_lda_is_fitted_on_finer_folds(problem):
    """LDA is more confident the more images it has: heads of two thirds of them would give too high a temperature."""
    rows, labels = problem(images=90, features=60)
    fresh, truth = rows[45:], labels[45:]
    plan = SolvePlan(head="lda", strengths=(0.3,), folds=3)
    solved = solve(plan, LabelledFeatures(rows[None, :45], labels[:45]), seed=0)
    assert solved.judged_by == "3-fold cross-validation of 45 images (10-fold for the temperature)"
    assert log_loss(truth, solved.probabilities(fresh)) < np.log(3)
