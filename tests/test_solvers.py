import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.plan import SolvePlan
from kerastune_recipes.solvers import solve


def logistic_regression(views, labels, strengths, folds, seed, **options):
    return solve(
        SolvePlan(head="logistic_regression", strengths=strengths, folds=folds), views, labels, seed, **options
    )


def problem(images=120, features=20, classes=3, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    centres = random.normal(size=(classes, features))
    rows = centres[labels] + 3.0 * random.normal(size=(images, features))
    return (rows * random.uniform(0.1, 10, features) + 5).astype(np.float32), labels


@pytest.mark.parametrize(("images", "features"), [(120, 20), (60, 200)])
@pytest.mark.parametrize("classes", [2, 3])
def test_folded_weights_equal_scikit_learn_on_standardised_features(images, features, classes):
    rows, labels = problem(images, features, classes)
    solved = logistic_regression(rows[None], labels, strengths=(10.0,), folds=0, seed=0)
    scaler = StandardScaler().fit(rows)
    reference = LogisticRegression(C=0.1, tol=1e-6, max_iter=5000).fit(scaler.transform(rows), labels)
    expected = reference.predict_proba(scaler.transform(rows))
    np.testing.assert_allclose(solved.probabilities(rows), expected, atol=2e-3)


def test_strength_is_the_one_of_least_held_out_loss():
    rows, labels = problem()
    solved = logistic_regression(rows[None], labels, strengths=(1e4, 100.0, 1.0, 1e-2), folds=5, seed=0)
    losses = solved.log_loss_by_strength
    assert solved.strength == min(losses, key=losses.get)
    assert 1e-2 < solved.strength < 1e4
    assert solved.judged_by == "5-fold cross-validation of 120 images"


@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_what_trying_every_strength_finds(seed):
    rows, labels = problem(images=300, seed=seed)
    strengths = tuple(10 ** (half / 2) for half in range(7, -3, -1))

    def alone(strength):
        return logistic_regression(rows[None], labels, (strength,), 3, seed).log_loss_by_strength[strength]

    losses = {strength: alone(strength) for strength in strengths}
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=seed)
    assert len(solved.log_loss_by_strength) < len(strengths)
    assert losses[solved.strength] == pytest.approx(min(losses.values()), rel=0.005)


def test_the_path_is_left_once_the_loss_no_longer_falls():
    rows, labels = problem()
    strengths = (1e4, 1e3, 100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=0)
    assert list(solved.log_loss_by_strength) == [1e3, 100.0, 10.0, 0.1]


@pytest.mark.parametrize("strengths", [(10.0,), (100.0, 10.0), (1000.0, 100.0, 10.0)])
def test_few_candidates_are_all_tried(strengths):
    rows, labels = problem()
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=0)
    assert tuple(solved.log_loss_by_strength) == strengths


def test_of_many_images_a_hold_out_has_the_last_word():
    rows, labels = problem(images=6000)
    (rows, fresh), (labels, answers) = np.split(rows, [5000]), np.split(labels, [5000])
    solved = logistic_regression(rows[None], labels, (1000.0, 300.0, 100.0, 30.0, 10.0), folds=4, seed=0)
    assert solved.judged_by.startswith("a hold-out of ")
    assert solved.judged_by.endswith(" images, after 4-fold cross-validation of 2000 images")
    losses = solved.log_loss_by_strength
    assert solved.strength == min(losses, key=losses.get)
    # So many images with so few features need no penalty.
    scaler = StandardScaler().fit(rows)
    plain = LogisticRegression(C=100).fit(scaler.transform(rows), labels)
    reference = log_loss(answers, plain.predict_proba(scaler.transform(fresh)))
    assert log_loss(answers, solved.probabilities(fresh)) == pytest.approx(reference, rel=0.02)


def test_a_class_of_two_among_many_images_is_in_every_part_that_is_solved_on():
    rows, labels = problem(images=5000)
    labels[labels == 2] = 1
    labels[[17, 4000]] = 2
    solved = logistic_regression(rows[None], labels, strengths=(100.0, 10.0), folds=2, seed=0)
    assert solved.kernel.shape == (20, 3)
    assert np.isfinite(solved.kernel).all()


def test_half_precision_on_disk_becomes_one_float32_matrix(tmp_path):
    images, width = 5000, 400
    rows, labels = problem(images, width)
    np.save(tmp_path / "features.npy", rows[None].astype(np.float16))
    views = np.load(tmp_path / "features.npy", mmap_mode="r")
    tracemalloc.start()
    mapped = logistic_regression(views, labels, strengths=(100.0,), folds=3, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # One matrix, a sample and a third of it once more for the folds, and a little for L-BFGS.
    assert peak < 2 * 4 * images * width
    whole = logistic_regression(np.asarray(views, np.float32), labels, strengths=(100.0,), folds=3, seed=0)
    np.testing.assert_array_equal(mapped.kernel, whole.kernel)


def test_the_input_is_left_alone():
    rows, labels = problem()
    before = rows.copy()
    logistic_regression(rows[None], labels, strengths=(100.0, 10.0), folds=3, seed=0)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("images", [120, 4500])
def test_results_do_not_depend_on_the_number_of_cores(images, monkeypatch):
    rows, labels = problem(images)
    several = logistic_regression(rows[None], labels, strengths=(100.0, 30.0, 10.0), folds=3, seed=0)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    one = logistic_regression(rows[None], labels, strengths=(100.0, 30.0, 10.0), folds=3, seed=0)
    np.testing.assert_array_equal(several.kernel, one.kernel)
    assert several.temperature == one.temperature


def test_views_of_an_image_stay_in_one_fold():
    # Labels at random: only an image whose other view was solved on could be told above chance.
    rows, labels = problem(images=120, features=200)
    random = np.random.default_rng(1).permutation(labels)
    twins = np.stack([rows, rows])
    solved = logistic_regression(twins, random, strengths=(1.0,), folds=3, seed=0)
    assert solved.log_loss_by_strength[1.0] > 0.95 * np.log(3)


def test_calibration_makes_random_labels_say_so():
    rows, labels = problem(images=60, features=200)
    random = np.random.default_rng(1).permutation(labels)
    solved = logistic_regression(rows[None], random, strengths=(1.0,), folds=5, seed=0)
    assert solved.temperature > 3


def test_a_second_view_is_solved_on():
    rows, labels = problem()
    one = logistic_regression(rows[None], labels, strengths=(10.0,), folds=0, seed=0)
    same_twice = logistic_regression(np.stack([rows, rows]), labels, strengths=(20.0,), folds=0, seed=0)
    np.testing.assert_allclose(same_twice.probabilities(rows), one.probabilities(rows), atol=2e-3)


def test_a_constant_feature_does_no_harm():
    rows, labels = problem()
    rows[:, 3] = 7.0
    solved = logistic_regression(rows[None], labels, strengths=(10.0,), folds=5, seed=0)
    assert np.isfinite(solved.kernel).all()
    assert np.abs(solved.kernel[3]).max() < 1e-6
