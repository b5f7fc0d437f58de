"""A plan made into Keras layers."""
