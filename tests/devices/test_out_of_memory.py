"""An error of a device without memory is told from others."""

import pytest
import tensorflow as tf

from kerastune_recipes.devices.out_of_memory import is_out_of_memory


def test_tensorflow_refuses_what_no_memory_holds():
    with pytest.raises(tf.errors.ResourceExhaustedError) as caught:
        tf.fill([tf.constant(2**48, tf.int64)], 0.0)
    assert is_out_of_memory(caught.value)


def test_other_errors_are_not_of_memory():
    assert not is_out_of_memory(ValueError("out of memory"))
    assert not is_out_of_memory(tf.errors.InvalidArgumentError(None, None, "out of memory"))


def test_memory_of_the_machine_that_the_input_pipeline_lacks_is_not_that_of_a_device():
    def images():
        raise MemoryError
        yield

    data = tf.data.Dataset.from_generator(images, output_signature=tf.TensorSpec(()))
    with pytest.raises(tf.errors.OpError) as caught:
        next(iter(data))
    assert not is_out_of_memory(caught.value)


def test_an_error_that_followed_from_it_counts():
    later = AttributeError("'NoneType' object has no attribute 'shape'")
    later.__context__ = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    assert is_out_of_memory(later)


def test_jax_and_torch_say_it_in_their_own_words(monkeypatch):
    import jax
    import keras

    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert is_out_of_memory(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes."))
    assert not is_out_of_memory(jax.errors.JaxRuntimeError("INVALID_ARGUMENT: shapes"))
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
