"""Decoding a whole split into one array, on all cores."""

from typing import Any

import numpy as np

from kerastune_recipes.arrays.files import Rows


class Selected:
    """Some rows of an array, in any order; they are read only when asked for.

    Args:
        rows: (n, ...), in memory or in a file.
        places: int (m,), which of them.
    """

    def __init__(self, rows: Rows, places: np.ndarray):
        self.rows = rows
        self.places = places
        self.shape = (len(places), *rows.shape[1:])

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.rows[self.places[index]]


class Joined:
    """The rows of one array and, behind them, those of another; they are read only when asked for.

    Args:
        first: (n, ...), in memory or in a file.
        second: (m, ...), likewise.
    """

    def __init__(self, first: Rows, second: Rows):
        self.first = first
        self.second = second
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        places = np.arange(len(self))[index]
        behind = places >= len(self.first)
        if np.ndim(places) == 0:
            return self.second[places - len(self.first)] if behind else self.first[places]
        rows = np.empty((len(places), *self.shape[1:]), self.first.dtype)
        for part, chosen, begin in ((self.first, ~behind, 0), (self.second, behind, len(self.first))):
            if chosen.any():
                rows[chosen] = part[places[chosen] - begin]
        return rows
