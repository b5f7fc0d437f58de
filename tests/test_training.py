import math

import keras
import numpy as np
import pytest

from kerastune_recipes import training
from kerastune_recipes.data.spool import FileArray
from kerastune_recipes.errors import WorkError
from kerastune_recipes.model import boundary

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
    return training.fit(
        network, facts, "fine_tuning", plan, pictures(8, size), pictures(4, size, seed=1), seed=0, **options
    )


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0"])
@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_frozen_layers_keep_weights_and_statistics(name, batch_norm, assembled, fit_plan, pictures):
    _, facts, network = assembled(name)
    before = weights_by_layer(network)
    head = [np.array(weight) for weight in network.head.weights]
    # Adam, because with random weights and BatchNorm at rest plain gradients vanish in the deeper networks.
    plan = fit_plan(trainable=LAST_STAGE, batch_norm=batch_norm, optimizer={"name": "adam"})
    run(network, facts, plan, pictures)
    moved = changed(before, weights_by_layer(network))
    last_stage = {layer.name for layer in facts.layers if layer.stage == facts.stages[-1]}
    norms = {layer.name for layer in facts.layers if layer.batch_norm}
    assert moved == (last_stage - norms if batch_norm == "frozen" else last_stage)
    assert (head[0] != np.array(network.head.weights[0])).any()


def test_images_may_lie_in_a_file(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    start = network.model.get_weights()
    images, labels = pictures(8)
    stored = FileArray(images.shape, images.dtype)
    stored[:] = images
    trained = []
    for given in (images, stored):
        network.model.set_weights(start)
        keras.utils.set_random_seed(0)
        fitted = training.fit(network, facts, "fine_tuning", fit_plan(), (given, labels), (given, labels), seed=0)
        trained.append((fitted.rows[-1]["loss"], network.model.get_weights()))
    (loss, weights), (again, same) = trained
    assert again == pytest.approx(loss, rel=1e-5)
    assert any((one != before).any() for one, before in zip(weights, start, strict=True))
    for one, other in zip(weights, same, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_frozen_head_stays(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    head = np.array(network.head.kernel)
    run(network, facts, fit_plan(trainable=[["head", "frozen"], ["backbone", 1.0]]), pictures)
    np.testing.assert_array_equal(network.head.kernel, head)


def test_each_phase_states_the_whole_state(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    run(network, facts, fit_plan(trainable=[["head", 1.0], ["backbone", "frozen"]]), pictures)
    before = weights_by_layer(network)
    run(network, facts, fit_plan(batch_norm="trained"), pictures)
    assert changed(before, weights_by_layer(network)) == {layer.name for layer in facts.layers}


def test_counts_equal_what_keras_counts(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    fitted = run(network, facts, fit_plan(trainable=LAST_STAGE), pictures)
    assert fitted.trainable_parameters == sum(math.prod(weight.shape) for weight in network.model.trainable_weights)
    assert fitted.trainable_parameters + fitted.frozen_parameters == network.model.count_params()


def test_multipliers_scale_the_step(assembled, fit_plan, pictures):
    """With plain SGD and no clipping the first step is the learning rate times the gradient."""
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
    # After 2, 4, 6 and 8 steps; a row has the rate its last step had: steps 1, 3, 5 and 7.
    expected = [0.005, *(0.01 * (1 + math.cos(math.pi * (step - 2) / 6)) / 2 for step in (3, 5, 7))]
    assert rates == pytest.approx(expected, rel=1e-5)


def test_frozen_dropout_does_not_act(assembled, fit_plan, pictures):
    """EfficientNet has stochastic depth: with all of it frozen, two runs from one state must agree to the bit."""
    _, facts, network = assembled("EfficientNetB0")
    plan = fit_plan(trainable=[["head", 1.0], ["backbone", "frozen"]], learning_rate=1e-6)
    first = run(network, facts, plan, pictures).rows[0]["loss"]
    quiet = network.core.evaluate(training.LabelledBatches(*pictures(8), 3, 4), verbose=0, return_dict=True)["loss"]
    assert first == pytest.approx(quiet, abs=1e-4)
    rates = [layer.rate for layer in network.backbone.layers if isinstance(layer, keras.layers.Dropout)]
    assert min(rates) > 0


def losses(fitted):
    return [(row["loss"], row["val_loss"]) for row in fitted.rows]


def whole(network):
    """Split a network so that nothing is fixed: its images are the views, and all of it is trained."""
    image = keras.Input(network.core.input_shape[1:])
    given = keras.Input(network.core.input_shape[1:])
    return boundary.Halves(
        keras.Model(image, [keras.layers.Identity()(image)]), keras.Model([given], network.core(given))
    )


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2", "DemoNet"])
def test_behind_the_frozen_part_the_losses_are_those_of_the_whole(name, assembled, fit_plan, pictures, monkeypatch):
    """Two views in turn for three epochs, one step each, with the augmentation and the order that the seed gives."""
    augmentation = [{"layer": "RandomFlip", "arguments": {}}, {"layer": "RandomTranslation", "arguments": {
        "height_factor": 0.1, "width_factor": 0.1}}]  # fmt: skip
    plan = fit_plan(trainable=LAST_STAGE, views=2, steps=3, batch_size=8, learning_rate=0.01, augmentation=augmentation)
    found = {}
    for way, split in (("behind", boundary.split), ("whole", whole)):
        monkeypatch.setattr(boundary, "split", split)
        keras.utils.set_random_seed(0)
        _, facts, network = assembled(name, taps="all")
        before = weights_by_layer(network)
        found[way] = losses(run(network, facts, plan, pictures))
        last_stage = {layer.name for layer in facts.layers if layer.stage == facts.stages[-1]}
        assert changed(before, weights_by_layer(network)) <= last_stage
    np.testing.assert_allclose(found["behind"], found["whole"], atol=1e-5, rtol=0)
    assert len({loss for loss, _ in found["whole"]}) == 3


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_unaugmented_the_losses_are_those_of_plain_fit(batch_norm, assembled, fit_plan, pictures):
    found = []
    for views in (None, 1):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled(taps="all")
        found.append(run(network, facts, fit_plan(trainable=LAST_STAGE, batch_norm=batch_norm, views=views), pictures))
    plain, behind = found
    np.testing.assert_allclose(losses(behind), losses(plain), atol=1e-5, rtol=0)
    assert behind.trainable_parameters == plain.trainable_parameters
    assert behind.frozen_parameters == plain.frozen_parameters


def test_discriminative_rates_hold_behind_the_frozen_part(assembled, fit_plan, pictures):
    rules = [["head", 1.0], ["backbone/last_stage", 0.1], ["backbone", "frozen"]]
    found = []
    for views in (None, 1):
        keras.utils.set_random_seed(0)
        _, facts, network = assembled()
        run(network, facts, fit_plan(trainable=rules, views=views), pictures)
        found.append(network.model.get_weights())
    for plain, behind in zip(*found, strict=True):
        np.testing.assert_allclose(behind, plain, atol=1e-5)


class Interrupted(keras.callbacks.Callback):
    """Presses Ctrl-C after the second epoch."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


def test_an_interrupted_phase_goes_on_with_the_same_views(assembled, fit_plan, pictures, tmp_path):
    augmentation = [{"layer": "RandomFlip", "arguments": {}}]
    optimizer = {"name": "sgd", "momentum": 0.9}
    plan = fit_plan(
        trainable=LAST_STAGE, views=3, steps=8, augmentation=augmentation, optimizer=optimizer, learning_rate=0.01
    )
    keras.utils.set_random_seed(0)
    _, facts, network = assembled()
    start = network.model.get_weights()
    straight = run(network, facts, plan, pictures)
    network.model.set_weights(start)
    with pytest.raises(KeyboardInterrupt):
        run(network, facts, plan, pictures, backup=tmp_path / "epochs", callbacks=[Interrupted()])
    network.model.set_weights(start)
    resumed = run(network, facts, plan, pictures, backup=tmp_path / "epochs")
    assert [row["epoch"] for row in resumed.rows] == [1, 2, 3, 4]
    np.testing.assert_allclose(losses(resumed), losses(straight), atol=1e-5)


def test_progress_is_told_of_every_pass(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    plan, told = fit_plan(trainable=LAST_STAGE, views=1), []
    run(network, facts, plan, pictures, progress=told.append)
    assert told == [1, 2, 3] == list(range(1, 1 + training.passes(plan, 8, 4)))
    assert training.passes(fit_plan(), 8, 4) == 0


def test_a_loss_that_is_no_number_ends_the_phase(assembled, fit_plan, pictures):
    _, facts, network = assembled()
    plan = fit_plan(learning_rate=1e30, clip_norm=None, steps=20)
    with pytest.raises(WorkError, match=r"Phase fine_tuning: the loss became .* at a peak learning rate of 1e\+30"):
        run(network, facts, plan, pictures)
