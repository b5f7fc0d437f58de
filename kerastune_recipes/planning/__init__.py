"""From a recipe and facts to a plan. Pure: no Keras, no TensorFlow."""
