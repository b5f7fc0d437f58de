"""Convex heads solved on frozen features, and folded into the weights of one dense layer."""

from kerastune_recipes.solvers.pseudolabels import with_pseudo_labels
from kerastune_recipes.solvers.solving import PROTOCOL, Solved, probabilities, solve

__all__ = ["PROTOCOL", "Solved", "probabilities", "solve", "with_pseudo_labels"]
