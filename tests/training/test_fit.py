"""A fit phase on small networks: what is trained, and that cached views and replicas change no loss."""

import math
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.errors import OutOfMemoryWarning, WorkError
from kerastune_recipes.model import frozen_part
from kerastune_recipes.model.batch_norm import batch_norms
from kerastune_recipes.planning import rules
from kerastune_recipes.training import fit, fit_checkpoint
from kerastune_recipes.training.fit import FitOptions
from kerastune_recipes.training.fit_checkpoint import FitCheckpoint

pytestmark = pytest.mark.slow

LAST_STAGE = [["head", 1.0], ["backbone/last_stage", 1.0], ["backbone", "frozen"]]


def weights_by_layer(network):
    """Copy every layer's weights, moving statistics included."""
    return {layer.name: [np.array(weight) for weight in layer.weights] for layer in network.backbone.layers}


def changed(before, after):
    """Return the names of layers in which any weight or statistic moved."""
    return {
        name for name in before if any((old != new).any() for old, new in zip(before[name], after[name], strict=True))
    }


def run(network, facts, plan, pictures, size=32, **options):
    train, validation = pictures(8, size), pictures(4, size, seed=1)
    return fit.fit(network, facts, "fine_tuning", plan, train, validation, FitOptions(seed=0, **options))


# Without BatchNormalization, with it, and with stochastic depth and pixel statistics as well; the deeper networks up to
# the first stage that has all of these.
@pytest.mark.parametrize(("name", "last"), [("VGG16", "stage5"), ("ResNet50", "stage2"), ("EfficientNetB0", "stage2")])
@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_frozen_layers_keep_weights_and_statistics(name, last, batch_norm, assembled, fit_plan, pictures):
    _, facts, network = assembled(name, taps=(last,))
    before = weights_by_layer(network)
    head = [np.array(weight) for weight in network.head.weights]
    # Adam, because with random weights and frozen BatchNormalization plain gradients vanish in the deeper networks.
    plan = fit_plan(trainable=LAST_STAGE, batch_norm=batch_norm, optimizer={"name": "adam"})
    run(network, facts, plan, pictures)
    moved = changed(before, weights_by_layer(network))
    last_stage = {layer.name for layer in facts.layers if layer.stage == facts.stages[-1]}
    norms = {layer.name for layer in facts.layers if layer.batch_norm}
    assert moved == (last_stage - norms if batch_norm == "frozen" else last_stage)
    assert (head[0] != np.array(network.head.weights[0])).any()


def test_images_in_a_file_train_the_same_model(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    start = network.model.get_weights()
    images, labels = pictures(8)
    stored = FileArray(images.shape, images.dtype)
    stored[:] = images
    trained = []
    for given in (images, stored):
        network.model.set_weights(start)
        keras.utils.set_random_seed(0)
        both = (given, labels), (given, labels)
        fitted = fit.fit(network, facts, "fine_tuning", fit_plan(), *both, FitOptions(seed=0))
        trained.append((fitted.rows[-1]["loss"], network.model.get_weights()))
    (loss, weights), (file_loss, file_weights) = trained
    assert file_loss == pytest.approx(loss, rel=1e-5)
    assert any((one != before).any() for one, before in zip(weights, start, strict=True))
    for one, other in zip(weights, file_weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_frozen_head_keeps_its_weights(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    head = np.array(network.head.kernel)
    run(network, facts, fit_plan(trainable=[["head", "frozen"], ["backbone", 1.0]]), pictures)
    np.testing.assert_array_equal(network.head.kernel, head)


def test_a_phase_unfreezes_what_an_earlier_one_froze(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    run(network, facts, fit_plan(trainable=[["head", 1.0], ["backbone", "frozen"]]), pictures)
    before = weights_by_layer(network)
    run(network, facts, fit_plan(batch_norm="trained"), pictures)
    assert changed(before, weights_by_layer(network)) == {layer.name for layer in facts.layers}


def test_parameters_are_counted_as_keras_does(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    fitted = run(network, facts, fit_plan(trainable=LAST_STAGE), pictures)
    assert fitted.trainable_parameters == sum(math.prod(weight.shape) for weight in network.model.trainable_weights)
    assert fitted.trainable_parameters + fitted.frozen_parameters == network.model.count_params()


def test_multipliers_scale_the_step(assembled, fit_plan, pictures):
    """Plain SGD without clipping: the first step is the learning rate times the gradient."""
    steps = {}
    for multiplier in (1.0, 0.1):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        before = weights_by_layer(network)
        rules = [["head", 1.0], ["backbone", multiplier]]
        run(network, facts, fit_plan(trainable=rules, steps=1, clip_norm=None), pictures)
        after = weights_by_layer(network)
        steps[multiplier] = np.concatenate(
            [(after[name][0] - before[name][0]).ravel() for name in changed(before, after)]
        )
    np.testing.assert_allclose(steps[0.1], 0.1 * steps[1.0], atol=1e-6)


def test_a_phase_ends_at_its_last_step_within_an_epoch(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    fitted = run(network, facts, fit_plan(steps=3), pictures)
    assert [row["step"] for row in fitted.rows] == [2, 3]
    assert fitted.steps == 3


def test_rows_follow_the_schedule(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    plan = fit_plan(schedule="cosine", steps=8, warmup_steps=2, learning_rate=0.01)
    rates = [row["learning_rate"] for row in run(network, facts, plan, pictures).rows]
    # Rows after 2, 4, 6 and 8 steps have the rates of steps 1, 3, 5 and 7, counted from 0.
    expected = [0.005, *(0.01 * (1 + math.cos(math.pi * (step - 2) / 6)) / 2 for step in (3, 5, 7))]
    assert rates == pytest.approx(expected, rel=1e-5)


def test_frozen_dropout_is_off(assembled, fit_plan, pictures):
    """EfficientNet has stochastic depth; with the whole backbone frozen the loss must be that of inference."""
    _, facts, network = assembled("EfficientNetB0", taps=("stage3",))
    plan = fit_plan(trainable=[["head", 1.0], ["backbone", "frozen"]], learning_rate=1e-6)
    first = run(network, facts, plan, pictures).rows[0]["loss"]
    inference = network.core.evaluate(fit.LabelledBatches(*pictures(8), 3, 4), verbose=0, return_dict=True)["loss"]
    assert first == pytest.approx(inference, abs=1e-4)
    rates = [layer.rate for layer in network.backbone.layers if isinstance(layer, keras.layers.Dropout)]
    assert min(rates) > 0


def losses(fitted):
    return [(row["loss"], row["val_loss"]) for row in fitted.rows]


def split_nowhere(network):
    """Split a network so that nothing is frozen: the views are the images, and the whole network is trained."""
    image = keras.Input(network.core.input_shape[1:])
    view = keras.Input(network.core.input_shape[1:])
    return frozen_part.SplitNetwork(
        keras.Model(image, [keras.layers.Identity()(image)]), keras.Model([view], network.core(view))
    )


@pytest.mark.parametrize(
    ("name", "taps"),
    [("VGG16", "all"), ("ResNet50", ("stage1", "stage2")), ("DemoNet", "all")],
    ids=lambda one: str(one),
)
def test_cached_views_give_the_losses_of_the_whole_network(name, taps, assembled, fit_plan, pictures, monkeypatch):
    """Two views in turn for three epochs of one step, with the same augmentation and order."""
    augmentation = [{"layer": "RandomFlip", "arguments": {}}, {"layer": "RandomTranslation", "arguments": {
        "height_factor": 0.1, "width_factor": 0.1}}]  # fmt: skip
    plan = fit_plan(trainable=LAST_STAGE, views=2, steps=3, batch_size=8, learning_rate=0.01, augmentation=augmentation)
    by_split = {}
    for name_of_split, split in (("cached", frozen_part.split), ("whole", split_nowhere)):
        monkeypatch.setattr(frozen_part, "split", split)
        keras.utils.set_random_seed(0)
        _, facts, network = assembled(name, taps=taps)
        before = weights_by_layer(network)
        by_split[name_of_split] = losses(run(network, facts, plan, pictures))
        last_stage = {layer.name for layer in facts.layers if layer.stage == facts.stages[-1]}
        assert changed(before, weights_by_layer(network)) <= last_stage
    np.testing.assert_allclose(by_split["cached"], by_split["whole"], atol=1e-5, rtol=0)
    assert len({loss for loss, _ in by_split["whole"]}) == 3


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_without_augmentation_cached_views_give_the_losses_of_plain_fit(batch_norm, assembled, fit_plan, pictures):
    found = []
    for views in (None, 1):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled(taps="all")
        found.append(run(network, facts, fit_plan(trainable=LAST_STAGE, batch_norm=batch_norm, views=views), pictures))
    plain, cached = found
    np.testing.assert_allclose(losses(cached), losses(plain), atol=1e-5, rtol=0)
    assert cached.trainable_parameters == plain.trainable_parameters
    assert cached.frozen_parameters == plain.frozen_parameters


def test_discriminative_learning_rates_hold_with_cached_views(assembled, fit_plan, pictures):
    rules = [["head", 1.0], ["backbone/last_stage", 0.1], ["backbone", "frozen"]]
    found = []
    for views in (None, 1):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        run(network, facts, fit_plan(trainable=rules, views=views), pictures)
        found.append(network.model.get_weights())
    for plain, cached in zip(*found, strict=True):
        np.testing.assert_allclose(cached, plain, atol=1e-5)


class Interrupt(keras.callbacks.Callback):
    """Raises KeyboardInterrupt in a batch, counted over all epochs from 1; without a number it only counts."""

    def __init__(self, at=None):
        super().__init__()
        self.done, self.seen = 0, []
        self.wanted = lambda: self.done == at

    def on_train_batch_end(self, batch, logs=None):
        self.done += 1
        self.seen.append((batch, logs["loss"]))
        if self.wanted():
            raise KeyboardInterrupt


PLANS = {
    "plain": {},
    "augmented": {
        "augmentation": [{"layer": "RandomTranslation", "arguments": {"height_factor": 0.2, "width_factor": 0.2}}]
    },
    "cached views": {"trainable": LAST_STAGE, "views": 3, "augmentation": [{"layer": "RandomFlip", "arguments": {}}]},
    "several rates": {"trainable": [["head", 1.0], ["backbone/last_stage", 0.5], ["backbone", 0.1]]},
    "adamw": {"optimizer": {"name": "adamw", "weight_decay": 0.1}, "class_balance": "weights", "l2_sp": 0.01},
    "batch normalization": {"batch_norm": "trained", "batch_norm_momentum": 0.9},
    "range test": {"find_rate": True},
}


@pytest.mark.parametrize(("kind", "at"), [*((kind, 5) for kind in PLANS), ("plain", 2), ("plain", 6)])
def test_an_interrupted_phase_resumes_bit_for_bit(kind, at, assembled, fit_plan, pictures, tmp_path, monkeypatch):
    """Three batches an epoch, seven steps: within an epoch, and in the last and first batch of one."""
    monkeypatch.setenv(fit_checkpoint.VARIABLE, "0")
    optimizer = {"name": "sgd", "momentum": 0.9}
    plan = fit_plan(**{"steps": 7, "batch_size": 3, "optimizer": optimizer, "learning_rate": 0.01, **PLANS[kind]})

    def phase(checkpoint, callback):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled(dropout=0.3)
        stopping = keras.callbacks.EarlyStopping("loss", patience=9)
        options = {"checkpoint": checkpoint, "callbacks": [callback, stopping]}
        return network, run(network, facts, plan, pictures, **options), stopping.best

    undisturbed, counter = Interrupt(), Interrupt()
    network, whole, best = phase(None, undisturbed)
    checkpoint = FitCheckpoint(tmp_path / "phase_1.fit")
    with pytest.raises(KeyboardInterrupt):
        phase(checkpoint, Interrupt(at))
    resumed_network, resumed, resumed_best = phase(checkpoint, counter)
    for one, other in zip(network.model.variables, resumed_network.model.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    assert resumed.rows == whole.rows
    assert (resumed.steps, resumed.range_test, resumed_best) == (whole.steps, whole.range_test, best)
    assert counter.seen == undisturbed.seen  # batches and losses, those before the interruption from its memory
    # Complete: nothing is trained again.
    again_network, again, _ = phase(checkpoint, Interrupt(at))
    assert again.rows == whole.rows
    for one, other in zip(network.model.variables, again_network.model.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)


# With a smaller epsilon, AdamW makes whole steps of gradients that are nothing but rounding errors.
ADAMW = {"name": "adamw", "weight_decay": 0.1, "epsilon": 0.01}
IN_PARTS = {
    "momentum": {"optimizer": {"name": "sgd", "momentum": 0.9}, "schedule": "cosine", "warmup_steps": 2},
    "clipped": {"clip_norm": 0.05, "trainable": [["head", 1.0], ["backbone", 0.1]]},
    "adamw": {"optimizer": ADAMW, "class_balance": "weights", "l2_sp": 0.01},
    "mixed labels": {"augmentation": [{"layer": "keras_cv.MixUp", "arguments": {}}], "class_balance": "weights"},
    "cached views": {"trainable": LAST_STAGE, "views": 2, "augmentation": [{"layer": "RandomFlip", "arguments": {}}]},
    "range test": {"find_rate": True},
}


@pytest.mark.parametrize("kind", IN_PARTS)
def test_without_memory_for_a_batch_the_result_is_that_of_the_plan(
    kind, assembled, fit_plan, pictures, memory_for, monkeypatch
):
    """Batches of 4, 3 and 3 images, in parts of one."""
    monkeypatch.setattr(rules, "RANGE_TEST_STEPS", 3)
    plan = fit_plan(**{"steps": 7, "learning_rate": 1e-3, **IN_PARTS[kind]})

    def phase():
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        recorder = Interrupt()
        train, held_out = pictures(10), pictures(5, seed=1)
        options = FitOptions(seed=0, callbacks=[recorder])
        return network, fit.fit(network, facts, "fine_tuning", plan, train, held_out, options), recorder

    network, whole, recorder = phase()
    memory_for(1)
    with pytest.warns(OutOfMemoryWarning) as said:
        network_in_parts, parts, recorder_in_parts = phase()
    assert [str(each.message) for each in said if each.category is OutOfMemoryWarning] == [
        f"Phase fine_tuning: the device has no memory for {images} images at once; the phase begins again, with each "
        f"batch in {parts} parts whose gradients are summed."
        for images, parts in ((4, 2), (2, 4))
    ]
    assert (whole.parts, parts.parts) == (1, 4)
    assert (parts.steps, recorder_in_parts.done) == (whole.steps, recorder.done) == (7, 7)
    assert [batch for batch, _ in recorder_in_parts.seen] == [batch for batch, _ in recorder.seen]
    for row, other in zip(whole.rows, parts.rows, strict=True):
        assert other == pytest.approx(row, abs=1e-6)
        assert (other["step"], other["learning_rate"]) == (row["step"], row["learning_rate"])
    for one, other in zip(network.model.get_weights(), network_in_parts.model.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, atol=5e-6, rtol=0)


@pytest.mark.parametrize("kind", ["augmented", "adamw", "range test"])
def test_a_phase_in_parts_resumes_bit_for_bit(
    kind, assembled, fit_plan, pictures, tmp_path, monkeypatch, memory_for, recwarn
):
    monkeypatch.setenv(fit_checkpoint.VARIABLE, "0")
    monkeypatch.setattr(rules, "RANGE_TEST_STEPS", 3)
    plan = fit_plan(**{"steps": 7, "batch_size": 3, "learning_rate": 0.01, **PLANS[kind]})
    memory_for(2)

    def phase(checkpoint, callback):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled(dropout=0.3)
        return network, run(network, facts, plan, pictures, checkpoint=checkpoint, callbacks=[callback])

    network, whole = phase(None, Interrupt())
    checkpoint = FitCheckpoint(tmp_path / "phase_1.fit")
    with pytest.raises(KeyboardInterrupt):
        phase(checkpoint, Interrupt(5))
    recwarn.clear()
    resumed_network, resumed = phase(checkpoint, Interrupt())
    assert not [each for each in recwarn if each.category is OutOfMemoryWarning]  # it knows the number of parts
    assert (resumed.rows, resumed.parts, resumed.range_test) == (whole.rows, 2, whole.range_test)
    for one, other in zip(network.model.variables, resumed_network.model.variables, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=one.path)
    assert phase(checkpoint, Interrupt())[1].parts == 2  # complete


def test_memory_that_runs_out_in_a_later_step_begins_the_phase_again(
    assembled, fit_plan, pictures, tmp_path, monkeypatch
):
    """What was saved before is replaced at once: a resumed phase begins in parts too."""
    import tensorflow as tf

    monkeypatch.setenv(fit_checkpoint.VARIABLE, "0")
    checkpoint, states = FitCheckpoint(tmp_path / "phase_1.fit"), []

    class Full(keras.callbacks.Callback):
        tries = 0

        def on_train_begin(self, logs=None):
            type(self).tries += 1

        def on_train_batch_begin(self, batch, logs=None):
            states.append(checkpoint.load())
            if self.tries == 1 and len(states) == 4:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    _, facts, network = assembled()
    with pytest.warns(OutOfMemoryWarning):
        fitted = run(network, facts, fit_plan(steps=5), pictures, checkpoint=checkpoint, callbacks=[Full()])
    assert (fitted.steps, fitted.parts, [row["step"] for row in fitted.rows]) == (5, 2, [2, 4, 5])
    saved = [None if state is None else (state.step, state.parts) for state in states]
    assert saved == [None, (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2), (3, 2), (4, 2)]


def test_without_memory_for_one_image_the_phase_fails_with_a_sentence(assembled, fit_plan, pictures, memory_for):
    _, facts, network = assembled()
    memory_for(0)
    with pytest.warns(OutOfMemoryWarning), pytest.raises(WorkError) as caught:
        run(network, facts, fit_plan(), pictures)
    assert str(caught.value) == (
        "Phase fine_tuning: the device has no memory to train on a single image of 32 x 32 pixels, of a batch of 4; "
        "give a smaller backbone.image_size, freeze more layers in phases.fine_tuning.fit.trainable, or set precision "
        "to bfloat16 or float16 where the device supports it."
    )


def test_batches_that_several_workers_share_are_not_divided(assembled, fit_plan, pictures, memory_for):
    _, facts, network = assembled()
    memory_for(2)
    with pytest.raises(WorkError, match=r"not divided where several workers train; give a smaller .*, such as 2\."):
        run(network, facts, fit_plan(), pictures, workers=SimpleNamespace(size=2, index=0))


def test_batches_over_which_devices_synchronize_statistics_are_not_divided(assembled, fit_plan, pictures, memory_for):
    _, facts, network = assembled()
    for norm in batch_norms(network.backbone):
        norm.synchronized = True
    memory_for(2)
    with pytest.raises(WorkError, match="not divided where several devices train BatchNormalization"):
        run(network, facts, fit_plan(batch_norm="trained"), pictures)


def test_a_phase_after_a_resumed_one_makes_all_its_steps(assembled, fit_plan, pictures, tmp_path, monkeypatch):
    """Keras's BackupAndRestore leaves the epoch that it resumed in the model, and later fits skip epochs."""
    monkeypatch.setenv(fit_checkpoint.VARIABLE, "0")
    _, facts, network = assembled()
    checkpoint = FitCheckpoint(tmp_path / "phase_1.fit")
    with pytest.raises(KeyboardInterrupt):
        run(network, facts, fit_plan(steps=10), pictures, checkpoint=checkpoint, callbacks=[Interrupt(7)])
    assert run(network, facts, fit_plan(steps=10), pictures, checkpoint=checkpoint, callbacks=[Interrupt()]).steps == 10
    second = Interrupt()
    assert run(network, facts, fit_plan(steps=6), pictures, callbacks=[second]).steps == 6
    assert second.done == 6


def test_progress_counts_the_batches_of_the_frozen_part(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    plan, ticks = fit_plan(trainable=LAST_STAGE, views=1), []
    run(network, facts, plan, pictures, progress=ticks.append)
    assert ticks == [1, 2, 3] == list(range(1, 1 + fit.passes(plan, 8, 4)))
    assert fit.passes(fit_plan(), 8, 4) == 0


def colours(count, size, seed=0):
    """Noise that is red, green or blue."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(seed).integers(0, 100, (count, size, size, 3))
    images[np.arange(count), :, :, labels] += 150
    return images.astype(np.uint8), labels


@pytest.mark.parametrize(
    ("optimizer", "rate"),
    [
        ({"name": "sgd"}, 0.5),
        ({"name": "sgd", "momentum": 0.9, "nesterov": True}, 0.1),
        ({"name": "adagrad", "initial_accumulator_value": 0.01}, 0.1),
        ({"name": "rmsprop"}, 3e-3),
        ({"name": "rmsprop", "momentum": 0.9, "rho": 0.8, "centered": True}, 3e-3),
        ({"name": "adam", "beta_1": 0.8, "beta_2": 0.99, "amsgrad": True, "epsilon": 1e-5}, 3e-3),
        ({"name": "adamw", "weight_decay": 0.01}, 3e-3),
    ],
)
@pytest.mark.parametrize("stage", [1.0, 0.1])
def test_every_optimizer_learns(optimizer, rate, stage, assembled, fit_plan):
    rules = [["head", 1.0], ["backbone/last_stage", stage], ["backbone", "frozen"]]
    keras.utils.set_random_seed(0)
    _, facts, network = assembled()
    plan = fit_plan(optimizer=optimizer, trainable=rules, views=1, steps=10, learning_rate=rate)
    found = [row["loss"] for row in run(network, facts, plan, colours).rows]
    assert found[-1] < 0.98 * found[0]


@pytest.mark.parametrize("loss", ["focal", "squared_error", "huber"])
def test_every_loss_decreases(loss, assembled, fit_plan):
    keras.utils.set_random_seed(0)
    _, facts, network = assembled()
    plan = fit_plan(loss=loss, views=1, trainable=LAST_STAGE, steps=10)
    found = [row["loss"] for row in run(network, facts, plan, colours).rows]
    assert found[-1] < 0.98 * found[0]


MIXED = [{"layer": "keras_cv.MixUp", "arguments": {}}]


@pytest.mark.parametrize("augmentation", [[], MIXED])
def test_class_weights_scale_the_losses_of_the_images(augmentation, assembled, fit_plan, pictures, monkeypatch):
    """One step on all images: the loss is the mean of theirs, each times the weight of its label."""
    keras.utils.set_random_seed(0)
    _, facts, network = assembled()
    seen = {}
    weighted = fit.LabelledBatches.weighted

    def recorded(batches, images, labels):
        batch = weighted(batches, images, labels)
        if batches.seed is not None:
            seen["labels"], seen["weights"] = labels, batch[2]
            seen["losses"] = -(labels * np.log(network.core.predict_on_batch(images))).sum(axis=1)
        return batch

    monkeypatch.setattr(fit.LabelledBatches, "weighted", recorded)
    plan = fit_plan(steps=1, batch_size=8, class_balance="weights", augmentation=augmentation, learning_rate=1e-9)
    loss = run(network, facts, plan, pictures).rows[0]["loss"]
    # Three, three and two images of the classes.
    np.testing.assert_allclose(seen["weights"], seen["labels"] @ [8 / 9, 8 / 9, 8 / 6], rtol=1e-5)
    assert loss == pytest.approx((seen["weights"] * seen["losses"]).mean(), rel=1e-4)


@pytest.mark.parametrize("how", ["weights", "sampling"])
def test_classes_are_balanced_with_cached_views_too(how, assembled, fit_plan, pictures):
    found = []
    for views in (None, 1):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        found.append(run(network, facts, fit_plan(trainable=LAST_STAGE, views=views, class_balance=how), pictures))
    plain, cached = found
    np.testing.assert_allclose(losses(cached), losses(plain), atol=1e-5, rtol=0)


def test_balancing_stops_the_head_from_learning_class_frequencies(assembled, fit_plan, pictures):
    """From noise a head learns nothing but the class frequencies."""
    images, _ = pictures(24)
    labels = np.array([0] * 20 + [1, 1, 2, 2])
    shares = {}
    for how in ("none", "weights", "sampling"):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        rules = [["head", 1.0], ["backbone", "frozen"]]
        plan = fit_plan(trainable=rules, class_balance=how, views=1, steps=60, batch_size=8, learning_rate=0.3)
        other = pictures(12, seed=1)
        fit.fit(network, facts, "only", plan, (images, labels), other, FitOptions(seed=0))
        shares[how] = network.core.predict_on_batch(other[0]).mean(axis=0)[0]
    assert shares["none"] > 0.6
    assert shares["weights"] < 0.5
    assert shares["sampling"] < 0.5


FRESH = {"trainable": LAST_STAGE, "reinitialize": ["backbone/last_stage"]}


@pytest.mark.parametrize("views", [None, 1])
def test_reinitialized_layers_start_from_fresh_weights(views, assembled, fit_plan, pictures):
    """At a tiny learning rate the layers keep the weights that their initializers drew."""
    _, facts, network = assembled()
    network.backbone.set_weights([np.full(weight.shape, 3.0) for weight in network.backbone.get_weights()])
    run(network, facts, fit_plan(**FRESH, views=views, learning_rate=1e-12), pictures)
    after = weights_by_layer(network)
    kernel, norm = after["stage3_1_conv"][0], after["stage3_1_bn"]
    assert abs(kernel.mean()) < 0.01
    assert 0 < kernel.std() < 0.1
    np.testing.assert_allclose(norm[0], 1, atol=1e-6)
    # Its statistics are trained, those of all other BatchNormalization are frozen.
    assert (norm[2] != 0).all()
    np.testing.assert_array_equal(after["stage2_1_bn"], np.full((4, 64), 3.0))


def test_reinitialized_layers_give_the_same_losses_with_cached_views(assembled, fit_plan, pictures):
    found = []
    for views in (None, 1):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        keras.utils.set_random_seed(views or 0)
        found.append(run(network, facts, fit_plan(**FRESH, views=views), pictures))
    plain, cached = found
    np.testing.assert_allclose(losses(cached), losses(plain), atol=1e-5, rtol=0)
    assert cached.trainable_parameters == plain.trainable_parameters


def distance(before, after):
    return sum(
        float(((new - old) ** 2).sum()) for name in before for old, new in zip(before[name], after[name], strict=True)
    )


@pytest.mark.parametrize("views", [None, 1])
def test_strong_l2_sp_keeps_weights_near_their_start(views, assembled, fit_plan, pictures):
    """With two learning rates, and so two optimizers."""
    rules = [["head", 1.0], ["backbone/last_stage", 0.5], ["backbone", "frozen"]]
    moved = {}
    for strength in (None, 1e-3, 20.0):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        before = weights_by_layer(network)
        head = np.array(network.head.kernel)
        plan = fit_plan(trainable=rules, views=views, l2_sp=strength, steps=20, learning_rate=0.03, clip_norm=None)
        run(network, facts, plan, pictures)
        moved[strength] = distance(before, weights_by_layer(network))
        shrunk = (np.array(network.head.kernel) ** 2).sum() / (head**2).sum()
    assert moved[20.0] < 0.1 * moved[1e-3] < 0.2 * moved[None]
    assert shrunk < 0.5


def test_l2_sp_ends_with_its_phase(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    first = run(network, facts, fit_plan(l2_sp=1.0, learning_rate=1e-9), pictures).rows[0]["loss"]
    penalty = 0.5 * (np.array(network.head.kernel) ** 2).sum()
    second = run(network, facts, fit_plan(learning_rate=1e-9), pictures).rows[0]["loss"]
    assert first == pytest.approx(second + penalty, rel=1e-4)
    assert network.model.losses == []


def test_a_phase_stops_when_its_loss_diverges(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    plan = fit_plan(learning_rate=1e30, clip_norm=None, steps=20)
    fitted = run(network, facts, plan, pictures)
    assert re.match(r"Phase fine_tuning: the loss became .* at a peak learning rate of 1e\+30", fitted.diverged)
    assert fitted.steps < plan.steps


@pytest.mark.parametrize("compiled", [None, True])
def test_steps_are_compiled_on_request(compiled, assembled, fit_plan, pictures):
    _, facts, network = assembled()
    run(network, facts, fit_plan(steps=1), pictures, jit_compile=compiled)
    # By default Keras compiles on accelerators only.
    assert network.core.jit_compile is bool(compiled)


def test_training_outdates_cached_features(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    version = network.weights_version
    run(network, facts, fit_plan(steps=1), pictures)
    assert network.weights_version > version
