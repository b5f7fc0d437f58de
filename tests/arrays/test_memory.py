import numpy as np
import pytest

from kerastune_recipes.arrays import memory
from kerastune_recipes.arrays.memory import Budget, limit_bytes, size_in_environment
from kerastune_recipes.errors import RequestError

MIB = 2**20


def test_the_default_limit_is_512_mib(monkeypatch):
    monkeypatch.delenv("KERASTUNE_MEMORY", raising=False)
    assert limit_bytes() == 512 * MIB
    monkeypatch.setenv("KERASTUNE_MEMORY", " ")
    assert limit_bytes() == 512 * MIB


@pytest.mark.parametrize(("text", "size"), [("0 B", 0), ("100 MiB", 100 * MIB), ("2GiB", 2048 * MIB)])
def test_the_limit_comes_from_the_environment(text, size, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", text)
    assert limit_bytes() == size


def test_a_limit_that_is_not_a_size_is_refused(monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", "512")
    with pytest.raises(RequestError, match='KERASTUNE_MEMORY: write a size as "512 MiB" or "10 GiB"; received "512"'):
        limit_bytes()


def test_sizes_of_other_variables_are_read_alike(monkeypatch):
    monkeypatch.delenv("KERASTUNE_DECODING", raising=False)
    assert size_in_environment("KERASTUNE_DECODING", 5) == 5
    monkeypatch.setenv("KERASTUNE_DECODING", "3 MiB")
    assert size_in_environment("KERASTUNE_DECODING", 5) == 3 * MIB
    monkeypatch.setenv("KERASTUNE_DECODING", "much")
    with pytest.raises(RequestError, match='KERASTUNE_DECODING: write a size as .*; received "much"'):
        size_in_environment("KERASTUNE_DECODING", 5)


def test_arrays_return_their_bytes_when_collected():
    budget = Budget(limit=100)
    first = budget.empty((10, 6), np.uint8)
    assert first.shape == (10, 6)
    assert budget.empty((11,), np.float32) is None
    second = budget.empty((10,), np.float32)
    assert second.dtype == np.float32
    assert budget.empty((1,), np.uint8) is None
    rows = first[2:4]
    del first
    assert budget.empty((1,), np.uint8) is None  # a view of the first array is still in use
    del rows
    assert budget.empty((60,), np.uint8) is not None


def test_the_shared_budget_follows_the_environment(monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", "0 B")
    assert memory.SHARED.empty((1,), np.uint8) is None
    monkeypatch.setenv("KERASTUNE_MEMORY", "1GiB")
    assert memory.SHARED.empty((1,), np.uint8) is not None


def test_a_feature_matrix_may_take_half_of_the_memory_or_the_given_limit(monkeypatch, tmp_path):
    monkeypatch.delenv("KERASTUNE_MEMORY", raising=False)
    machine = memory.matrix_limit_bytes()
    assert machine >= 2**28
    container = tmp_path / "memory.max"
    container.write_text("1048576\n", encoding="ascii")
    monkeypatch.setattr(memory, "_CONTAINER", container)
    assert memory.matrix_limit_bytes() == 524288
    container.write_text("max\n", encoding="ascii")
    assert memory.matrix_limit_bytes() >= machine
    monkeypatch.setenv("KERASTUNE_MEMORY", "3MiB")
    assert memory.matrix_limit_bytes() == 3 * 2**20
