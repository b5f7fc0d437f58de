"""Facts of the hardware."""

import pytest

from kerastune_recipes.devices.facts import ONE_CPU, HardwareFacts


@pytest.mark.parametrize(("device", "accelerated"), [("cpu", False), ("gpu", True), ("tpu", True)])
def test_a_gpu_or_tpu_leaves_the_processor_free(device, accelerated):
    assert HardwareFacts("tensorflow", device).accelerated is accelerated


def test_the_default_is_one_cpu_under_tensorflow():
    assert HardwareFacts("tensorflow", "cpu", devices=1, capability=None) == ONE_CPU
