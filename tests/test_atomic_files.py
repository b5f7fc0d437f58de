import pytest

from kerastune_recipes import atomic_files


def test_text_is_written_as_utf8_and_bytes_as_they_are(tmp_path):
    atomic_files.write(tmp_path / "text", "Käfer\n")
    atomic_files.write(tmp_path / "bytes", b"\x00\xff")
    assert (tmp_path / "text").read_bytes() == "Käfer\n".encode()
    assert (tmp_path / "bytes").read_bytes() == b"\x00\xff"


def test_a_file_that_exists_is_replaced(tmp_path):
    atomic_files.write(tmp_path / "file", "old")
    atomic_files.write(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    atomic_files.write(tmp_path / "model.keras", "old")

    def fail_halfway(path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        atomic_files.write_by(tmp_path / "model.keras", fail_halfway)
    assert (tmp_path / "model.keras").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path):
    def interrupt(path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_files.write_by(tmp_path / "new", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_writer_gets_a_path_with_the_suffix_of_the_file(tmp_path):
    suffixes = []

    def save(path):
        suffixes.append(path.suffix)
        path.write_text("x")

    atomic_files.write_by(tmp_path / "model.keras", save)
    assert suffixes == [".keras"]
