"""Selections and concatenations of arrays, read only when indexed."""

from typing import Any

import numpy as np

from kerastune_recipes.arrays.files import AnyArray


class Selected:
    """Some rows of an array, in any order; only indexing reads them.

    Args:
        rows: (n, ...), the array, in memory or in a file.
        positions: int (m,), the positions of the selected rows.

    Example:
        >>> Selected(np.array([[10], [20], [30]]), np.array([2, 0]))[:].tolist()
        [[30], [10]]
    """

    def __init__(self, rows: AnyArray, positions: np.ndarray):
        self.rows = rows
        self.positions = positions
        self.shape = (len(positions), *rows.shape[1:])
        self.dtype = rows.dtype

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.rows[self.positions[index]]


class Joined:
    """Two arrays concatenated along the first axis; only indexing reads them.

    Args:
        first: (n, ...), in memory or in a file.
        second: (m, ...), in memory or in a file.

    Example:
        >>> Joined(np.array([[10], [20]]), np.array([[30]]))[1:].tolist()
        [[20], [30]]
    """

    def __init__(self, first: AnyArray, second: AnyArray):
        self.first = first
        self.second = second
        self.shape = (len(first) + len(second), *first.shape[1:])
        self.dtype = first.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        positions = np.arange(len(self))[index]
        in_second = positions >= len(self.first)
        if np.ndim(positions) == 0:
            return self.second[positions - len(self.first)] if in_second else self.first[positions]
        rows = np.empty((len(positions), *self.shape[1:]), self.dtype)
        for part, selected, start in ((self.first, ~in_second, 0), (self.second, in_second, len(self.first))):
            if selected.any():
                rows[selected] = part[positions[selected] - start]
        return rows
