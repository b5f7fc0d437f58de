import numpy as np

from kerastune_recipes import features


def test_one_row_for_each_view_and_image(assembled, pictures):
    _, _, network = assembled(taps="all")
    pixels, _ = pictures(40)
    both = features.extract(network.extractor, pixels, views=2)
    assert both.shape == (2, 40, network.extractor.output_shape[-1])
    np.testing.assert_allclose(both[0][:2], network.extractor.predict_on_batch(pixels[:2]), rtol=1e-4, atol=1e-5)


def test_the_second_view_is_the_mirror_image(assembled, pictures):
    _, _, network = assembled()
    pixels, _ = pictures(4)
    twice = features.extract(network.extractor, pixels, views=2)
    mirrored = features.extract(network.extractor, pixels[:, :, ::-1], views=1)
    np.testing.assert_allclose(twice[1], mirrored[0], rtol=1e-4, atol=1e-5)


def test_a_pass_costs_in_proportion_to_the_images(assembled, pictures):
    _, _, network = assembled()
    pixels, _ = pictures(40)
    assert features.seconds_one_forward_pass(network.extractor, pixels, 40) > 0
