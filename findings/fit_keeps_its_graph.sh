#!/bin/sh
# Keras 3.15.1 with TensorFlow 2.21.0: `fit` keeps its training graph until the process ends.
#
# Expected: a model is fitted, and the last reference to it dropped; after the garbage collector, its training graph is
#   gone, as the model and the optimizer are. Nothing of the user's refers to it, and a validation graph does go.
# Seen: one graph stays for each model that was fitted (3 MiB for three convolutions), and `keras.backend.clear_session()` does not free it.
# Why: on a single device too, the optimizer sums the gradients over the replicas: `ReplicaContext.all_reduce`, which is a
#   `tf.custom_gradient`. TensorFlow registers the gradient function of each under a new name for good, and the function
#   refers to the tensors of the graph (https://github.com/tensorflow/tensorflow/issues/97697). An optimizer that does
#   not sum leaves no graph.
# In our code: `without_sum` in kerastune_recipes/devices/replicated.py and kerastune_recipes/devices/graphs.py;
#   tests/contracts/test_memory.py counts what runs leave.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet keras==3.15.1 tensorflow==2.21.0
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow CUDA_VISIBLE_DEVICES=-1 "$folder/venv/bin/python" - <<'PYTHON'
import gc
import weakref

import keras
import numpy as np
import tensorflow as tf

MODELS = 4
images, labels = np.ones((8, 4), np.float32), np.ones((8, 1), np.float32)


def fit(optimizer):
    """Fit a model that nothing refers to afterwards; return weak references to it and to its graphs."""
    graphs = []

    def loss(y_true, y_pred):
        if not tf.executing_eagerly():
            graphs.append(weakref.ref(y_pred.graph))
        return keras.ops.mean(keras.ops.square(y_true - y_pred))

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, loss, jit_compile=False)
    model.fit(images, labels, validation_data=(images, labels), verbose=0)
    return weakref.ref(model), [graph for graph in graphs if graph() is not None]


def remaining(make_optimizer):
    """Return how many models and how many of their graphs are alive after the garbage collector."""
    references = [fit(make_optimizer()) for _ in range(MODELS)]
    keras.backend.clear_session()
    for _ in range(3):
        gc.collect()
    models = sum(model() is not None for model, _ in references)
    return models, sum(graph() is not None for _, graphs in references for graph in graphs)


def without_sum():
    optimizer = keras.optimizers.SGD()
    optimizer._all_reduce_sum_gradients = list
    return optimizer


as_it_is, changed = remaining(keras.optimizers.SGD), remaining(without_sum)
print(f"{MODELS} models fitted and dropped: {as_it_is[0]} models and {as_it_is[1]} graphs are alive")
print(f"the same, and the optimizer does not sum over replicas: {changed[0]} models and {changed[1]} graphs")
raise SystemExit((as_it_is, changed) != ((0, MODELS), (0, 0)))
PYTHON
