"""Metrics and predictions of a trained model."""
