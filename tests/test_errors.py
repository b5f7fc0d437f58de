import pytest

from kerastune_recipes.errors import (
    DataError,
    KerastuneError,
    OutputError,
    RequestError,
    WorkError,
    did_you_mean,
    listed,
    reason,
    writing,
)


def test_one_problem_is_one_sentence():
    assert str(DataError("photos: the folder is empty.")) == "photos: the folder is empty."


def test_several_problems_are_a_list():
    assert str(DataError("a.", "b.")) == "2 problems:\n- a.\n- b."


def test_each_problem_is_one_line_that_cannot_steer_a_terminal():
    error = DataError("ants\x1b[2J.png: it is empty.", "bees\n.png: it is empty.")
    assert str(error) == "2 problems:\n- ants\\x1b[2J.png: it is empty.\n- bees\\n.png: it is empty."
    assert error.problems[1] == "bees\n.png: it is empty."


@pytest.mark.parametrize(("error", "code"), [(RequestError, 2), (DataError, 2), (WorkError, 1), (KerastuneError, 1)])
def test_exit_codes(error, code):
    assert error.exit_code == code


def test_did_you_mean_names_the_nearest():
    assert did_you_mean("ResNet5", ["ResNet50", "VGG16"]) == ' Did you mean "ResNet50"?'
    assert did_you_mean("xyz", ["ResNet50", "VGG16"]) == ""


def test_listed_counts_what_it_leaves_out():
    assert listed([1, 2, 3]) == "1, 2, 3"
    assert listed(range(12), most=2) == "0, 1 and 10 more"


def test_reason_is_the_first_line_without_its_full_stop():
    assert reason(OSError("Network is unreachable.\nTry again.")) == "Network is unreachable"
    assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_failed_write_names_the_path(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught, writing(tmp_path / "file"):
        (tmp_path / "file" / "folder").mkdir()
    assert str(caught.value) == f"{tmp_path}/file: the folder cannot be written: Not a directory."


def test_a_failed_write_without_an_error_number_keeps_its_message():
    with (
        pytest.raises(OutputError, match=r"out: the report cannot be written: the disk is gone\."),
        writing("out", what="the report"),
    ):
        raise OSError("the disk is gone")


def test_other_errors_pass_while_writing():
    with pytest.raises(KeyError), writing("out"):
        raise KeyError
