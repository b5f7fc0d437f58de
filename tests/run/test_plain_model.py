"""The returned model is plain Keras: it evaluates and trains as compiled."""

import numpy as np
import pytest

from kerastune_recipes.run.plain_model import compile_plainly, without_strategy


@pytest.mark.parametrize("one_hot", [False, True])
def test_labels_are_taken_as_they_were_given(assembled, pictures, one_hot):
    _, _, network = assembled()
    images, labels = pictures(6)
    compile_plainly(network.model, one_hot, "float32")
    targets = np.eye(3)[labels] if one_hot else labels
    loss, accuracy = network.model.evaluate(images, targets, verbose=0)
    assert np.isfinite(loss)
    assert accuracy == pytest.approx((network.model.predict(images, verbose=0).argmax(axis=1) == labels).mean())
    network.model.fit(images, targets, verbose=0)


def test_a_copy_without_strategy_gives_the_same_answers(assembled, pictures):
    _, _, network = assembled()
    images, _ = pictures(4)
    copy = without_strategy(network.model)
    assert copy is not network.model
    np.testing.assert_allclose(copy.predict(images, verbose=0), network.model.predict(images, verbose=0), atol=1e-6)
