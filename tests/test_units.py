import pytest

from kerastune_recipes import units


@pytest.mark.parametrize(
    ("text", "steps"), [("3 epochs", 30), ("1 epoch", 10), ("0.5 epochs", 5), ("500 steps", 500), ("10%", 20)]
)
def test_in_steps(text, steps):
    assert units.parse(text).steps(steps_per_epoch=10, whole=200) == steps


@pytest.mark.parametrize("text", ["3 epochs", "1 epoch", "500 steps", "10%", "0.5 epochs"])
def test_written_as_read(text):
    assert str(units.parse(text)) == text


@pytest.mark.parametrize("text", ["3", "epochs", "-1 epochs", "ten steps", "10 %%", ""])
def test_no_duration(text):
    with pytest.raises(ValueError, match='write a duration as "3 epochs", "500 steps" or "10%"; received'):
        units.parse(text)


def test_steps_are_whole():
    with pytest.raises(ValueError, match="steps are whole"):
        units.parse("1.5 steps")


def test_a_share_needs_a_whole():
    with pytest.raises(ValueError, match='"10%" is a share of nothing here'):
        units.parse("10%").steps(steps_per_epoch=10)
