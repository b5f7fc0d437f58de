from rich.table import Table

from kerastune_recipes import progress
from kerastune_recipes.progress import Display, as_text, counted, counts


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


def test_lines_cannot_steer_the_terminal(capsys):
    Display().line("photos\x1b[2J: [b]:ant:\r\n  done")
    assert capsys.readouterr().err == "photos\\x1b[2J: [b]:ant:\\r\n  done\n"


def test_parts_are_rendered_one_below_the_other_without_colours():
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("accuracy", "0.9")
    assert as_text(table, "3 of 4", width=40) == "accuracy  0.9\n3 of 4\n"


def test_words_are_printed_as_they_are_and_cannot_steer_the_terminal():
    table = Table(title="[title]", title_justify="left", box=None, pad_edge=False)
    table.add_column("[/b] :ant:")
    table.add_row("bee\x1b[2J\x07\u202e")
    rows = [line.rstrip() for line in as_text(table, "[/x] :bee:\r", width=40).splitlines()]
    assert rows == ["[title]", "[/b] :ant:", r"bee\x1b[2J\x07\u202e", r"[/x] :bee:\r"]


def test_text_wraps_at_the_width():
    assert as_text("one two three", width=8) == "one two \nthree\n"


def slow(monkeypatch, seconds):
    """Return items that take some seconds each, on a clock of their own."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])

    def wait(number):
        now[0] += seconds
        return number

    return map(wait, range(100))


def test_items_that_take_long_are_counted_more_and_more_seldom(monkeypatch, capsys):
    assert list(counted(slow(monkeypatch, 1), "images", total=100)) == list(range(100))
    assert capsys.readouterr().err.splitlines() == [
        "read so far: 5 of 100 images",
        "read so far: 15 of 100 images",
        "read so far: 35 of 100 images",
        "read so far: 75 of 100 images",
    ]


def test_quick_and_hidden_items_are_not_counted(monkeypatch, capsys):
    list(counted(slow(monkeypatch, 0.01), "images"))
    with counts(visible=False):
        list(counted(slow(monkeypatch, 10), "images"))
    assert capsys.readouterr().err == ""
    list(counted(slow(monkeypatch, 10), "images"))
    assert capsys.readouterr().err.startswith("read so far: 1 images\n")
