"""One file for each form in which a user may give a data set, and the door they all come in by."""

from kerastune_recipes.data.sources.opening import open_dataset, open_for_evaluation

__all__ = ["open_dataset", "open_for_evaluation"]
