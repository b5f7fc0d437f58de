"""Convex heads solved on frozen features, and folded into the weights of one dense layer."""

from kerastune_recipes.solvers.from_file import solve_from_file
from kerastune_recipes.solvers.pseudolabels import with_pseudo_labels
from kerastune_recipes.solvers.solving import PROTOCOL, Solved, needs_folds, probabilities, solve
from kerastune_recipes.solvers.source import Start, start

__all__ = [
    "PROTOCOL",
    "Solved",
    "Start",
    "needs_folds",
    "probabilities",
    "solve",
    "solve_from_file",
    "start",
    "with_pseudo_labels",
]
