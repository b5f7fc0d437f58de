import pytest

from kerastune_recipes import units


@pytest.mark.parametrize(
    ("text", "steps"), [("3 epochs", 30), ("1 epoch", 10), ("0.5 epochs", 5), ("500 steps", 500), ("10%", 20)]
)
def test_a_duration_in_steps(text, steps):
    assert units.parse_duration(text).steps(steps_per_epoch=10, total=200) == steps


@pytest.mark.parametrize("text", ["3 epochs", "1 epoch", "500 steps", "10%", "0.5 epochs", "1234567 steps"])
def test_a_duration_is_written_as_it_is_read(text):
    assert str(units.parse_duration(text)) == text


@pytest.mark.parametrize("text", ["3", "epochs", "-1 epochs", "ten steps", "10 %%", "٣ epochs", ""])
def test_text_that_is_not_a_duration_is_refused(text):
    with pytest.raises(ValueError, match='write a duration as "3 epochs", "500 steps" or "10%"; received'):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "longest"),
    [("100001 epochs", "100,000 epochs"), ("1000000001 steps", "1,000,000,000 steps"), ("10001%", "10,000 %")],
)
def test_a_duration_has_a_longest(text, longest):
    with pytest.raises(ValueError, match=f'a duration is at most {longest}; received "{text}"'):
        units.parse_duration(text)
    with pytest.raises(ValueError, match=f"a duration is at most {longest}; received"):
        units.parse_duration(text.replace("1", "1" * 400, 1))


def test_steps_must_be_an_integer():
    with pytest.raises(ValueError, match="the number of steps must be an integer"):
        units.parse_duration("1.5 steps")


def test_a_percentage_needs_a_total():
    with pytest.raises(ValueError, match='a percentage such as "10%" has no meaning here; write epochs or steps'):
        units.parse_duration("10%").steps(steps_per_epoch=10)


@pytest.mark.parametrize(("text", "count"), [("12 B", 12), ("1.5KiB", 1536), ("512MiB", 2**29), ("10 GiB", 10 * 2**30)])
def test_sizes_are_read(text, count):
    assert units.parse_size(text) == count


@pytest.mark.parametrize("text", ["", "10", "10 GB", "-1 MiB", "many"])
def test_text_that_is_not_a_size_is_refused(text):
    with pytest.raises(ValueError, match='write a size as "512 MiB" or "10 GiB"; received'):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["1048577 TiB", f"{'9' * 400} B"])
def test_a_size_has_a_largest(text):
    with pytest.raises(ValueError, match="a size is at most 1,048,576 TiB; received"):
        units.parse_size(text)


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**34, "16.0 GiB")])
def test_sizes_are_written(count, text):
    assert units.format_bytes(count) == text
