import tracemalloc

import keras
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from kerastune_recipes.errors import DataError
from kerastune_recipes.heads.pretrained_prior import Start
from kerastune_recipes.heads.rows import standardised
from kerastune_recipes.heads.solve import solve
from kerastune_recipes.planning.plan import SolvePlan


def logistic_regression(views, labels, strengths, folds, seed, **options):
    return solve(
        SolvePlan(head="logistic_regression", strengths=strengths, folds=folds), views, labels, seed, **options
    )


@pytest.mark.parametrize(("images", "features"), [(120, 20), (60, 200)])
@pytest.mark.parametrize("classes", [2, 3])
def test_folded_weights_equal_scikit_learn_on_standardised_features(images, features, classes, problem):
    rows, labels = problem(images, features, classes)
    solved = logistic_regression(rows[None], labels, strengths=(10.0,), folds=0, seed=0)
    standard = standardised(rows[None], np.arange(len(rows)))[0][:, 0]
    reference = LogisticRegression(C=0.1, tol=1e-6, max_iter=5000).fit(standard, labels)
    expected = reference.predict_proba(standard)
    np.testing.assert_allclose(solved.probabilities(rows), expected, atol=2e-3)


def test_where_it_begins_hardly_shows(problem):
    rows, labels = problem()
    near = logistic_regression(rows[None, :100], labels[:100], (10.0,), folds=0, seed=0)
    begun = [
        logistic_regression(rows[None], labels, (10.0,), folds=0, seed=0, start=start)
        for start in (None, Start(near.kernel, near.bias))
    ]
    np.testing.assert_allclose(*(solved.probabilities(rows) for solved in begun), atol=2e-3)


def test_strength_is_the_one_of_least_held_out_loss(problem):
    rows, labels = problem()
    solved = logistic_regression(rows[None], labels, strengths=(1e4, 100.0, 1.0, 1e-2), folds=5, seed=0)
    losses = solved.log_loss_by_strength
    assert solved.strength == min(losses, key=losses.get)
    assert 1e-2 < solved.strength < 1e4
    assert solved.judged_by == "5-fold cross-validation of 120 images"


@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_what_trying_every_strength_finds(seed, problem):
    rows, labels = problem(images=300, seed=seed)
    strengths = tuple(10 ** (half / 2) for half in range(7, -3, -1))

    def alone(strength):
        return logistic_regression(rows[None], labels, (strength,), 3, seed).log_loss_by_strength[strength]

    losses = {strength: alone(strength) for strength in strengths}
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=seed)
    assert len(solved.log_loss_by_strength) < len(strengths)
    assert losses[solved.strength] == pytest.approx(min(losses.values()), rel=0.005)


def test_the_path_is_left_once_the_loss_no_longer_falls(problem):
    rows, labels = problem()
    strengths = (1e4, 1e3, 100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=0)
    assert list(solved.log_loss_by_strength) == [1e3, 100.0, 10.0, 0.1]


@pytest.mark.parametrize("strengths", [(10.0,), (100.0, 10.0), (1000.0, 100.0, 10.0)])
def test_few_candidates_are_all_tried(strengths, problem):
    rows, labels = problem()
    solved = logistic_regression(rows[None], labels, strengths, folds=3, seed=0)
    assert tuple(solved.log_loss_by_strength) == strengths


def test_of_many_images_a_hold_out_has_the_last_word(problem):
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


def test_a_class_of_two_among_many_images_is_in_every_part_that_is_solved_on(problem):
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
    # One matrix, a sample of 2,000 images, two thirds of it for each of three folds, and what is at work on each.
    assert peak < 4 * (images + 5 * 2000) * width
    whole = logistic_regression(np.asarray(views, np.float32), labels, strengths=(100.0,), folds=3, seed=0)
    np.testing.assert_array_equal(mapped.kernel, whole.kernel)


def test_the_input_is_left_alone(problem):
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
    # Labels at random: only an image whose other view was solved on could be told above chance.
    rows, labels = problem(images=120, features=200)
    random = np.random.default_rng(1).permutation(labels)
    twins = np.stack([rows, rows])
    solved = logistic_regression(twins, random, strengths=(1.0,), folds=3, seed=0)
    assert solved.log_loss_by_strength[1.0] > 0.95 * np.log(3)


def test_calibration_makes_random_labels_say_so(problem):
    rows, labels = problem(images=60, features=200)
    random = np.random.default_rng(1).permutation(labels)
    solved = logistic_regression(rows[None], random, strengths=(1.0,), folds=5, seed=0)
    assert solved.temperature > 3


def test_a_second_view_is_solved_on(problem):
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
def test_every_head_knows_what_it_has_not_seen(head, classes, problem):
    (rows, fresh), (labels, answers) = (np.split(part, [240]) for part in problem(600, classes=classes))
    solved = solve(plan(head), rows[None], labels, seed=0)
    found = solved.probabilities(fresh)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    assert log_loss(answers, found) < 0.8 * np.log(classes)
    # What was expected of it by images held out is what comes.
    assert log_loss(labels, solved.held_out) == pytest.approx(log_loss(answers, found), abs=0.15)


def test_naive_bayes_equals_scikit_learn_in_single_precision_far_from_zero(problem):
    rows, labels = problem(features=400)
    scaled = StandardScaler().fit_transform(rows)
    for deviations in (0, 30):
        far = (0.1 * scaled + 0.1 * deviations).astype(np.float32)
        solved = solve(SolvePlan(head="naive_bayes", strengths=(10.0,), folds=0), far[None], labels, seed=0)
        assert solved.kernel.shape == (800, 3)
        dense = keras.layers.Dense(3, activation="softmax")
        dense.build((None, 800))
        dense.set_weights([solved.kernel, solved.bias])
        found = keras.ops.convert_to_numpy(dense(np.hstack([far, far * far])))
        standard = standardised(far[None], np.arange(len(far)))[0][:, 0]
        expected = GaussianNB(var_smoothing=10.0).fit(standard, labels).predict_proba(standard)
        assert np.ptp(expected, axis=0).min() > 0.9  # the classes are told apart
        np.testing.assert_allclose(found, expected, atol=1e-3)
        np.testing.assert_allclose(solved.probabilities(far), expected, atol=1e-3)


def test_naive_bayes_is_told_how_sure_it_may_be(problem):
    rows, labels = problem(images=300)
    copies = np.hstack([rows] * 20)  # which it takes for evidence of its own
    once, often = (solve(plan("naive_bayes"), one[None], labels, seed=0) for one in (rows, copies))
    assert often.temperature == pytest.approx(20 * once.temperature, rel=0.05)
    np.testing.assert_allclose(often.probabilities(copies), once.probabilities(rows), atol=0.02)


@pytest.mark.parametrize("head", HEADS)
def test_every_image_is_held_out_in_its_own_place(head, problem):
    rows, labels = problem(images=120)
    rows[:, :3] += 1000 * np.eye(3)[labels]  # which any head tells
    held_out = solve(plan(head), rows[None], labels, seed=0).held_out
    assert held_out.shape == (120, 3)
    assert held_out.dtype == np.float32
    assert (held_out.argmax(axis=1) == labels).all()


def test_held_out_probabilities_are_honest(problem):
    # Labels at random: who has seen an image knows its label, who has not can only guess.
    rows, labels = problem(images=120, features=200)
    random = np.random.default_rng(1).permutation(labels)
    solved = solve(plan(), rows[None], random, seed=0)
    assert log_loss(random, solved.probabilities(rows)) < 0.95 * np.log(3)
    assert log_loss(random, solved.held_out) > 0.99 * np.log(3)


@pytest.mark.parametrize("every_image", [False, True])
def test_of_many_images_all_are_held_out_only_where_asked_for(every_image, problem):
    rows, labels = problem(images=4500)
    solved = solve(plan(), rows[None], labels, seed=0, every_image=every_image)
    same = solve(plan(), rows[None], labels, seed=0)
    np.testing.assert_array_equal(solved.kernel, same.kernel)
    assert solved.held_out.shape == (4500 if every_image else 0, 3)
    if every_image:
        assert log_loss(labels, solved.held_out) == pytest.approx(
            log_loss(labels, solved.probabilities(rows)), abs=0.02
        )


def test_without_folds_nothing_is_held_out(problem):
    rows, labels = problem()
    one = SolvePlan(head="lda", strengths=(0.5,), folds=0)
    solved = solve(one, rows[None], labels, seed=0, every_image=True)
    assert solved.held_out.shape == (0, 3)
    assert solved.judged_by == "nothing, there being no folds"


@pytest.mark.parametrize("images", [120, 4500])
def test_a_group_is_either_seen_or_not(images, problem):
    # Six images each of the same thing, whose label is random: only who has seen another of the group can tell it.
    things = np.random.default_rng(0).normal(size=(images // 6, 1000)).astype(np.float32)
    groups = np.repeat(np.arange(images // 6), 6)
    rows, labels = things[groups], np.random.default_rng(1).permutation(images // 6)[groups] % 3
    weak = SolvePlan(head="logistic_regression", strengths=(1.0,), folds=3)
    apart, together = (solve(weak, rows[None], labels, seed=0, groups=one, every_image=True) for one in (None, groups))
    assert log_loss(labels, apart.held_out) < 0.3
    assert log_loss(labels, together.held_out) > 0.99 * np.log(3)


def test_a_group_that_holds_a_whole_class_is_refused(problem):
    rows, labels = problem()
    with pytest.raises(DataError, match="all images of the classes numbered 0, 1, 2 fall into one fold, so that none"):
        solve(plan(folds=3), rows[None], labels, seed=0, groups=labels)
    with pytest.raises(DataError, match="4-fold cross-validation: there are 3 groups of images; give fewer folds."):
        solve(plan(folds=4), rows[None], labels, seed=0, groups=labels)


@pytest.mark.parametrize("head", HEADS)
def test_the_best_tap_is_the_one_that_tells_the_classes_apart(head, problem):
    rows, labels = problem(images=120)
    noise = np.random.default_rng(1).normal(size=(120, 50)).astype(np.float32)
    features, widths = np.hstack([noise[:, :30], rows, noise[:, 30:]]), (30, 20, 20)
    solved = solve(plan(head, taps="best"), features[None], labels, seed=0, widths=widths)
    assert solved.tap == 1
    assert np.argmin(solved.log_loss_by_tap) == 1
    assert min(solved.log_loss_by_tap) == min(solved.log_loss_by_strength.values())
    # The others get no weight, and the head is the one that is solved on the features of this tap.
    alone = solve(plan(head), rows[None], labels, seed=0)
    np.testing.assert_allclose(solved.probabilities(features), alone.probabilities(rows), atol=1e-5)
    seen = np.abs(solved.kernel.reshape(-1, 70, 3)).sum(axis=(0, 2)) > 0
    np.testing.assert_array_equal(seen, np.repeat([False, True, False], widths))


def test_the_best_tap_takes_the_widths_of_all(problem):
    rows, labels = problem()
    with pytest.raises(ValueError, match=r"the taps have 20 features together; received \(10, 5\)"):
        solve(plan(taps="best"), rows[None], labels, seed=0, widths=(10, 5))


@pytest.mark.parametrize("head", HEADS)
def test_classes_may_weigh_the_same(head, problem):
    rows, labels = problem(images=300, classes=2)
    kept = np.flatnonzero((labels == 0) | (np.arange(300) % 10 == 1))
    (rows, fresh), (labels, answers) = (rows[kept], rows), (labels[kept], labels)
    plain, even = (
        solve(plan(head, class_balance=balance), rows[None], labels, seed=0) for balance in ("none", "weights")
    )
    rare = [np.mean(one.probabilities(fresh)[answers == 1].argmax(axis=1) == 1) for one in (plain, even)]
    assert rare[1] > rare[0] + 0.1


def test_the_temperature_of_a_discriminant_analysis_is_found_by_finer_folds(problem):
    """It is surer the more it has learnt from: heads of two thirds of the images would make it doubt too much."""
    rows, labels = problem(images=90, features=60)
    fresh, truth = rows[45:], labels[45:]
    plan = SolvePlan(head="lda", strengths=(0.3,), folds=3)
    solved = solve(plan, rows[None, :45], labels[:45], seed=0)
    assert solved.judged_by == "3-fold cross-validation of 45 images, the temperature by 10"
    assert log_loss(truth, solved.probabilities(fresh)) < np.log(3)
