"""The HTML page of a comparison."""

from html_reader import Reader

from kerastune_recipes.studies.page import render_comparison

EVIL = "<script>alert('bees & co')</script>"
COMPARISON = {
    "data": "photos",
    "judged": "test",
    "images": 40,
    "seeds": [0, 1],
    "notes": ["Judged by 40 test images."],
    "results": [
        {
            "recipe": "small_similar",
            "accuracy": 0.9,
            "accuracy_ci95": [0.77, 0.96],
            "accuracy_by_seed": [0.875, 0.925],
            "balanced_accuracy": 0.89,
            "log_loss": 0.31,
            "seconds": 75.0,
            "forward_passes": 21.55,
            "trainable_parameters": 335690,
            "against_first": None,
        },
        {
            "recipe": EVIL,
            "accuracy": 0.95,
            "accuracy_ci95": [0.83, 0.99],
            "accuracy_by_seed": [0.95, 0.95],
            "balanced_accuracy": 0.95,
            "log_loss": 0.2,
            "seconds": 20.0,
            "forward_passes": 5.0,
            "trainable_parameters": 100,
            "against_first": {
                "difference": 0.05,
                "difference_ci95": [-0.02, 0.12],
                "better": 3,
                "worse": 1,
                "p_value": 0.625,
                "p_value_holm": 0.625,
            },
        },
    ],
    "failures": [{"recipe": "large_similar", "reason": "The loss became NaN."}],
}


def test_all_text_is_escaped():
    failure = {"recipe": EVIL, "reason": EVIL}
    page = Reader(render_comparison(COMPARISON | {"data": EVIL, "notes": [EVIL], "failures": [failure]}))
    assert "script" not in page.elements
    assert page.text.count(EVIL) == 7


def test_a_comparison_is_one_page_without_scripts():
    page = Reader(render_comparison(COMPARISON))
    assert "script" not in page.elements
    assert page.elements.count("svg") == 1
    assert "2 recipes on photos Judged by 40 test images." in page.text
    assert (
        "small_similar 90.0% 77.0% to 96.0% 87.5% to 92.5% 89.0% 0.310 1 min 15 s 21.6 335,690 "
        f"{EVIL} 95.0% 83.0% to 99.0% 95.0% to 95.0% 95.0% 0.200 20.0 s 5.0 100 +5.0% -2.0% to +12.0% 3 1 0.62 "
    ) in page.text
    assert "large_similar The loss became NaN." in page.text
