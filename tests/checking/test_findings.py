"""Findings in words, as JSON and as a page."""

import json

from kerastune_recipes.checking.findings import DataCheck, Finding, Picture

PICTURE = Picture("ants/<b>.jpg", "train", "ants", "", "bees", 0.25, b"png")
CHECKED = DataCheck(
    "photos",
    {"train": 8},
    (
        Finding("doubtful labels", "warning", "1 of 8 labels is doubtful: ants/\x1b[2J.jpg.", (PICTURE,)),
        Finding("gray", "note", "1 of 8 images is gray."),
    ),
)


def test_a_line_for_each_finding():
    assert str(CHECKED).splitlines() == [
        "photos: 8 train images",
        r"  warning: 1 of 8 labels is doubtful: ants/\x1b[2J.jpg.",
        "  note: 1 of 8 images is gray.",
    ]


def test_levels():
    assert CHECKED.has("warning")
    assert not CHECKED.has("error")


def test_json_has_all_names_and_no_thumbnails():
    record = json.loads(json.dumps(CHECKED.record))
    assert record["findings"][0]["images"] == [
        {"name": "ants/<b>.jpg", "split": "train", "label": "ants", "likely": "bees", "margin": 0.25}
    ]


def test_doubtful_labels_as_csv():
    assert CHECKED.doubtful_labels() == "image,split,label,likely,margin\nants/<b>.jpg,train,ants,bees,0.2500\n"


def test_the_page_escapes_names(tmp_path):
    CHECKED.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "ants/&lt;b&gt;.jpg" in page
    assert "data:image/png;base64,cG5n" in page
    assert "rather bees" in page
