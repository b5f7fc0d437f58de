import pytest

from kerastune_recipes import sizes


@pytest.mark.parametrize(("text", "count"), [("12 B", 12), ("1.5KiB", 1536), ("512MiB", 2**29), ("10 GiB", 10 * 2**30)])
def test_sizes_are_read(text, count):
    assert sizes.parse(text) == count


@pytest.mark.parametrize("text", ["", "10", "10 GB", "-1 MiB", "many"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match='write a size as "512 MiB" or "10 GiB"; received'):
        sizes.parse(text)


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**34, "16.0 GiB")])
def test_sizes_are_written(count, text):
    assert sizes.written(count) == text
