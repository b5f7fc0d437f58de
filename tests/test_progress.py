from rich.table import Table
from rich.text import Text

from kerastune_recipes.progress import Display, as_text


def test_lines_go_to_standard_error_as_they_are(capsys):
    Display().line("[1/2] photos")
    written = capsys.readouterr()
    assert (written.out, written.err) == ("", "[1/2] photos\n")


def test_an_invisible_display_prints_nothing(capsys):
    display = Display(visible=False)
    display.line("photos")
    with display.bar("decoding", total=3) as tick:
        tick(3)
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_hidden_where_there_is_no_terminal(capsys):
    with Display().bar("decoding", total=3) as tick:
        tick(1)
    assert capsys.readouterr() == ("", "")


def test_parts_are_rendered_one_below_the_other_without_colours():
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("[bold]accuracy[/bold]", "0.9")
    assert as_text(table, "3 of [red]4[/red]", Text("[as it is]"), width=40) == "accuracy  0.9\n3 of 4\n[as it is]\n"


def test_text_wraps_at_the_width():
    assert as_text("one two three", width=8) == "one two \nthree\n"
