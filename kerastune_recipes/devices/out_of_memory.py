"""Telling from an error that a device ran out of memory, under every Keras backend."""

import keras


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it followed from, says that a device has no memory left for a computation.

    Args:
        error: Any error raised by Keras or its backend.

    Example:
        >>> is_out_of_memory(ValueError("shapes do not match"))
        False
    """
    # Keras under JAX may fail once more while it cleans up, and raise that error instead.
    return _says_so(error) or (error.__context__ is not None and is_out_of_memory(error.__context__))


def _says_so(error: BaseException) -> bool:
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            # A MemoryError in a Python function of the input pipeline arrives as the same type; that is the memory of
            # the machine, which a smaller part of a batch would not spare.
            return isinstance(error, tf.errors.ResourceExhaustedError) and "MemoryError" not in str(error)
        case "jax":
            import jax

            return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
        case "torch":
            # torch.cuda.OutOfMemoryError is a RuntimeError; the CPU raises a plain one.
            return isinstance(error, RuntimeError) and any(
                words in str(error).lower() for words in ("out of memory", "can't allocate memory")
            )
    return False
