"""The benchmarks keep up with the package, and what is committed is what their stored results say.

mypy reads all scripts; nothing is measured here but part of the demonstration.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kerastune_recipes.demo.digits import digits
from kerastune_recipes.evaluation import metrics

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(
    script.relative_to(ROOT)
    for folder in ("product", "decisions", "costs")
    for script in (BENCHMARKS / folder).glob("*.py")
    # The methods of compare.py; no script.
    if script.stem != "competitors"
)


@pytest.fixture(scope="module")
def benchmarks():
    """Put the root of the repository on the path, from where the benchmarks are run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield


@pytest.fixture(scope="module")
def written(benchmarks, tmp_path_factory) -> Path:
    """Return a folder with everything that `make pages` writes."""
    from benchmarks.lib import pages

    folder = tmp_path_factory.mktemp("pages")
    pages.write(folder)
    return folder


def files(folder: Path, ending: str) -> dict[str, str]:
    """Return the contents of the files that were written, by their path."""
    paths = sorted(folder.rglob(f"*{ending}"))
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def drawing(svg: str) -> tuple[str, list[str], int]:
    """Return the version of matplotlib that drew a figure, its texts, and its number of points and marks."""
    version = re.search(r"Matplotlib v([\w.]+)", svg)[1]
    return version, re.findall(r"<text[^>]*>([^<]*)</text>", svg), len(re.findall(r"<use |^[ML] |\bd=\"M ", svg, re.M))


def test_pages_tables_and_measured_lines_are_what_the_results_say(written):
    texts = files(written, ".md") | files(written, ".yaml")
    assert {"README.md", "docs/recipes.md", "benchmarks/pages/heads.md", "recipes/tiny_svm.yaml"} <= set(texts)
    outdated = {path for path, text in texts.items() if (ROOT / path).read_text(encoding="utf-8") != text}
    assert not outdated, "run `make pages`"


def test_figures_are_what_the_results_say(written):
    figures = files(written, ".svg")
    assert len(figures) >= 5
    for path, figure in figures.items():
        committed = (ROOT / path).read_text(encoding="utf-8")
        version, texts, marks = drawing(figure)
        drawn_by, committed_texts, committed_marks = drawing(committed)
        # Another version of matplotlib may place the same data elsewhere.
        if version == drawn_by:
            assert figure == committed, f"{path}: run `make pages`"
        assert (texts, marks) == (committed_texts, committed_marks), f"{path}: run `make pages`"


def test_no_page_is_left_over(written):
    committed = {path.name for path in (BENCHMARKS / "pages").iterdir()}
    assert committed == {path.name for path in (written / "benchmarks" / "pages").iterdir()}


def test_a_table_without_results_is_named(benchmarks):
    from benchmarks.lib import pages

    with pytest.raises(KeyError, match="benchmarks/tables/heads.py has no table 'no_such', only made, heads"):
        pages.filled("<!-- table: heads.no_such -->\n<!-- end -->\n")


def test_a_second_run_writes_the_same_text(benchmarks, written):
    from benchmarks.lib import pages

    readme = (written / "README.md").read_text(encoding="utf-8")
    assert pages.filled(readme) == readme


def test_an_outdated_table_is_written_again(benchmarks):
    from benchmarks.lib import pages

    outdated = "before\n\n<!-- table: demo.readme -->\n| 1 |\n<!-- end -->\n\nafter\n"
    lines = pages.filled(outdated).splitlines()
    assert (lines[0], lines[-1], "| 1 |" in lines) == ("before", "after", False)
    assert lines[3:5] == ["| | test accuracy |", "|---|---|"]


def test_pages_are_written_without_keras():
    code = "import sys; from benchmarks.lib import pages; pages.written(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "benchmarks.tables.heads" in modules
    assert not {"keras", "tensorflow"} & set(modules)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_every_script_is_in_the_table_of_the_readme(script):
    listed = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert f"({script.relative_to('benchmarks').as_posix()})" in listed


def test_every_page_is_in_the_table_of_the_readme(benchmarks):
    from benchmarks.lib import pages

    text = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    linked = {(BENCHMARKS / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", text)}
    assert all(path.exists() for path in linked)
    assert {ROOT / pages.place(name) for name in pages.names()} <= linked


def test_links_of_pages_lead_somewhere(written):
    for path, text in files(written, ".md").items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or ((ROOT / path).parent / target).exists(), f"{path}: {target}"


def test_a_linear_head_on_raw_pixels_recognises_nine_digits_in_ten(benchmarks):
    from benchmarks.product import demo

    ds = digits(demo.PER_CLASS, seed=0)
    assert metrics.accuracy(demo.raw_pixels(ds, seed=0), ds["test"][1]) == pytest.approx(0.89, abs=0.03)
