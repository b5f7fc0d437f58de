"""Damaged checkpoints are told, and never believed: a part of what `make fuzz` does."""

from fuzz import checkpoints


def test_damaged_checkpoints_are_told_and_never_believed():
    counts, faults = checkpoints.run(seed=0, count=300)
    assert faults == []
    assert all(counts[each] for each in (checkpoints.EXACT, checkpoints.OLDER, checkpoints.REFUSED))


def test_undamaged_checkpoints_are_loaded_as_written(tmp_path):
    checkpoints.write(tmp_path)
    assert checkpoints.outcome(tmp_path) == (checkpoints.EXACT, "")


def test_a_fault_would_be_found(tmp_path, monkeypatch):
    checkpoints.write(tmp_path)
    monkeypatch.setattr(checkpoints, "phase", lambda position: checkpoints.SavedPhase(None, {}, None, None))
    assert checkpoints.outcome(tmp_path)[0] == "a wrong value"
