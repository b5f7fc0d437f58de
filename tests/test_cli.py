"""The shell: what each command prints, writes and returns."""

import csv
import json
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml

from kerastune_recipes import Recipe, cli
from kerastune_recipes.errors import WorkError
from kerastune_recipes.spec import catalog
from kerastune_recipes.training import fit

# A small network and two steps: seconds.
QUICK = (
    "small_similar", "--set", "backbone=DemoNet", "--set", "backbone.weights=none",
    "--set", "phases.fine_tuning.fit.duration=2 steps",
)  # fmt: skip

RUN_FOLDER = {
    "recipe.yaml", "plan.yaml", "report.json", "report.html", "model.keras", "labels.txt", "history.csv",
}  # fmt: skip


@pytest.fixture
def ants_and_bees(shell, photos):
    """Six photos of each."""
    return photos("photos", ants=6, bees=6)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a finished run, with a test split; beside it its data."""
    from PIL import Image

    root = tmp_path_factory.mktemp("finished")
    random = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for name in ("ants", "bees"):
            (root / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "data" / split / name / f"{number}.png")
    assert cli.main(["run", *QUICK, "--data", str(root / "data"), "--out", str(root / "run")]) == 0
    return root / "run"


# Images


def test_check_says_what_it_finds_and_changes_nothing(shell, finished):
    done = shell("check", "--data", finished.parent / "data")
    assert done.status == 0
    assert done.out.splitlines() == [
        f"{finished.parent / 'data'}: 12 train, 6 test images",
        "  warning: classes of fewer than 10 training images: ants (6), bees (6).",
    ]
    assert shell("check", "--data", finished.parent / "data", "--strict").status == 1


def test_check_writes_json_a_page_and_doubtful_labels(shell, finished, tmp_path):
    page, labels = tmp_path / "check.html", tmp_path / "labels.csv"
    recipe = ("--recipe", "small_similar", "--set", "backbone.name=DemoNet", "--set", "backbone.weights=demo")
    done = shell("check", "--data", finished.parent / "data", *recipe, "--json", "--html", page, "--doubtful", labels)
    record = json.loads(done.out)
    assert record["images"] == {"train": 12, "test": 6}
    assert "tiny classes" in {finding["kind"] for finding in record["findings"]}
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert labels.read_text().startswith("image,split,label,likely,margin\n")


def test_check_names_options_that_need_a_recipe(shell, finished, tmp_path):
    done = shell("check", "--data", finished.parent / "data", "--doubtful", tmp_path / "labels.csv")
    assert done.status == 2
    assert "--doubtful: it needs --recipe" in done.err


def test_check_of_images_that_cannot_be_opened_ends_with_status_1(shell, tmp_path):
    (tmp_path / "nothing").mkdir()
    done = shell("check", "--data", tmp_path / "nothing")
    assert done.status == 1
    assert "error:" in done.out


# Recipes


def test_ls_lists_the_shipped_recipes(shell):
    listed = shell("ls")
    assert listed.status == 0
    width = max(map(len, catalog.names()))
    assert listed.out.splitlines() == [f"{name:{width}}  {catalog.load(name).summary}" for name in catalog.names()]


def test_ls_as_json(shell):
    rows = json.loads(shell("ls", "--json").out)
    assert {"small_similar", "large_similar", "small_dissimilar", "large_dissimilar"} <= {row["name"] for row in rows}
    assert all(set(row) == {"name", "summary"} and row["summary"].endswith(".") for row in rows)


def test_show_prints_a_recipe_comments_included(shell):
    shown = shell("show", "small_similar").out
    assert shown.startswith("# small_similar: few images")
    Path("mine.yaml").write_text(shown)
    assert shell("show", "mine.yaml").out == shown


def test_cp_writes_a_new_file_and_never_replaces_one(shell):
    copied = shell("cp", "small_similar", "mine.yaml")
    assert (copied.status, copied.out) == (0, "mine.yaml: edit it, then kerastune run mine.yaml --data ...\n")
    assert Path("mine.yaml").read_text() == shell("show", "small_similar").out

    again = shell("cp", "large_similar", "mine.yaml")
    assert (again.status, again.err) == (2, "kerastune: mine.yaml: this file exists; give another name.\n")
    assert Path("mine.yaml").read_text().startswith("# small_similar")


def test_validate_names_every_error_of_every_file(shell):
    good = (
        "summary: Mine.\nbackbone: {name: VGG16}\nfeatures: {views: 2}\nphases:\n  - name: only\n"
        "    fit: {trainable: [[head, 1.0], [backbone, frozen]], batch_norm: frozen, augmentation: light}\n"
    )
    Path("good.yaml").write_text(good)
    Path("typo.yaml").write_text(good.replace("batch_norm", "batch_nrm"))
    Path("values.yaml").write_text(good.replace("views: 2", "views: 65").replace("light", "lite"))
    Path("torn.yaml").write_text("phases: [")

    valid = shell("validate", "good.yaml", "large_similar")
    assert (valid.status, valid.out) == (0, "good.yaml: valid\nlarge_similar: valid\n")

    checked = shell("validate", "typo.yaml", "good.yaml", "values.yaml", "torn.yaml", "nowhere.yaml")
    assert checked.status == 2
    assert checked.out == "good.yaml: valid\n"
    count, *problems = checked.err.splitlines()
    assert count == "kerastune: 5 problems:"
    assert problems[0].startswith(
        '- typo.yaml: phases.only.fit.batch_nrm: there is no key "batch_nrm" here. Did you mean'
    )
    assert problems[1] == "- values.yaml: features.views: expected less than or equal to 64; received 65."
    assert problems[2].startswith("- values.yaml: phases.only.fit.augmentation: expected ")
    assert problems[2].endswith('received "lite". Did you mean "light"?')
    assert problems[3].startswith("- torn.yaml, line 1: this is not valid YAML: ")
    assert problems[4] == "- nowhere.yaml: there is no such file. Check the path."


# Plans


def test_plan_shows_what_a_run_would_do(shell, ants_and_bees):
    plan = shell("plan", *QUICK, "--data", ants_and_bees)
    assert plan.status == 0
    assert "10 training, 2 validation (held out of the training images, stratified" in plan.out
    assert "Phase feature_extraction (solve)" in plan.out
    assert "2 steps" in plan.out


def test_groups_and_unlabelled_images_by_option(shell, photos):
    for patient in range(5):
        photos(f"photos/ants/p{patient}", **{"left": 1, "right": 1})
        photos(f"photos/bees/p{patient}", **{"left": 1, "right": 1})
    photos("pool", size=16, any=3)
    plan = shell("plan", *QUICK, "--data", "photos", "--group-by", "1", "--unlabeled", "pool")
    assert "16 training, 4 validation (held out of the training images, stratified, groups kept whole" in plan.out
    assert "3 unlabelled" in plan.out
    assert re.search(r"grouped by +folder level 1, 5 groups", plan.out)

    ungrouped = shell("plan", *QUICK, "--data", "photos")
    assert ungrouped.status == 2
    assert "group_by=1 (--group-by 1) if each holds one group of images" in ungrouped.err
    mistaken = shell("plan", *QUICK, "--data", "photos", "--group-by", "patient", "--unlabeled", "pol")
    assert mistaken.err.splitlines()[1:] == [
        "- photos: group_by must be the level of a folder inside the class folders, counted from "
        '1, as in ants/patient7/1.jpg; received "patient".',
        '- unlabeled: pol: there is no such folder. Did you mean "pool"?',
    ]


def test_the_range_of_pixels_and_the_share_to_hold_out_by_option(shell, photos):
    from PIL import Image

    for path in photos("photos", ants=6, bees=6).rglob("*.png"):
        pixels = np.asarray(Image.open(path))[:, :, 0].astype(np.uint16) * 16
        Image.fromarray(pixels).save(path)
    plan = shell("plan", *QUICK, "--data", "photos", "--validation-split", "0.5", "--pixel-range", "0", "4095")
    assert "6 training, 6 validation (held out of the training images" in plan.out
    assert "Pixel values were read in the stated range 0..4095" in " ".join(plan.out.split())
    assert plan.err == ""
    doubted = shell("plan", *QUICK, "--data", "photos")
    assert "photos: all 16-bit images are darker than a quarter of the range; they were read with 65535" in doubted.err
    assert "pixel_range=(0, 4095) (--pixel-range 0 4095)." in doubted.err
    for words in (("--pixel-range", "255", "0"), ("--validation-split", "2")):
        assert shell("plan", *QUICK, "--data", "photos", *words).status == 2
    negative = shell("plan", *QUICK, "--data", "photos", "--pixel-range", "-10", "4095")
    assert "stated range -10..4095" in negative.out


def test_plan_as_json(shell, ants_and_bees):
    plan = json.loads(shell("plan", *QUICK, "--data", ants_and_bees, "--json").out)
    assert plan["class_names"] == ["ants", "bees"]
    assert plan["phases"][1]["fit"]["steps"] == 2
    assert "auto" not in json.dumps(plan)


def test_a_saved_plan_can_be_edited_and_run(shell, ants_and_bees):
    saved = shell("plan", *QUICK, "--data", ants_and_bees, "--save", "plan.yaml")
    assert saved.out == "plan.yaml: edit it, then kerastune run plan.yaml --data photos\n"
    plan = yaml.safe_load(Path("plan.yaml").read_text())
    plan["phases"][1]["fit"] |= {"steps": 1, "warmup_steps": 0}
    Path("plan.yaml").write_text(yaml.safe_dump(plan))

    report = json.loads(shell("run", "plan.yaml", "--data", ants_and_bees, "--json").out)
    assert report["recipe"] == "small_similar"
    assert [phase["steps"] for phase in report["phases"]] == [0, 1]

    again = shell("plan", *QUICK, "--data", ants_and_bees, "--save", "plan.yaml")
    assert (again.status, again.err) == (2, "kerastune: plan.yaml: this file exists; give another name.\n")
    changed = shell("run", "plan.yaml", "--data", ants_and_bees, "--set", "keep=last")
    assert (changed.status, changed.err) == (2, "kerastune: plan.yaml: a plan takes no overrides; edit the file.\n")
    nowhere = shell("plan", *QUICK, "--data", ants_and_bees, "--save", "nowhere/plan.yaml")
    assert nowhere.status == 2
    assert nowhere.err == "kerastune: nowhere/plan.yaml: the file cannot be written: No such file or directory.\n"


# Runs


def test_a_run_folder_holds_every_documented_file(finished):
    assert {path.name for path in finished.iterdir()} == RUN_FOLDER
    assert (finished / "labels.txt").read_text() == "ants\nbees\n"
    assert "<html" in (finished / "report.html").read_text()
    rows = list(csv.DictReader((finished / "history.csv").open()))
    assert {row["phase"] for row in rows} == {"fine_tuning"}
    assert rows[-1]["step"] == "2"
    assert yaml.safe_load((finished / "recipe.yaml").read_text())["backbone"]["name"] == "DemoNet"
    assert yaml.safe_load((finished / "plan.yaml").read_text())["class_names"] == ["ants", "bees"]
    model = keras.saving.load_model(finished / "model.keras", compile=False)
    assert model.predict_on_batch(np.zeros((1, 50, 40, 3), np.uint8)).shape == (1, 2)


def test_the_report_has_every_documented_key(finished):
    report = json.loads((finished / "report.json").read_text())
    assert {"recipe", "status", "seed", "versions", "chosen_phase"} <= set(report)
    assert (report["recipe"], report["status"], report["seed"]) == ("small_similar", "done", 0)
    assert {key: report["data"][key] for key in ("train", "validation", "test", "classes")} == {
        "train": 10, "validation": 2, "test": 6, "classes": ["ants", "bees"],
    }  # fmt: skip
    assert {key: report["backbone"][key] for key in ("name", "weights", "image_size")} == {
        "name": "DemoNet", "weights": "none", "image_size": 32,
    }  # fmt: skip
    assert [(phase["name"], phase["kind"]) for phase in report["phases"]] == [
        ("feature_extraction", "solve"), ("fine_tuning", "fit"),
    ]  # fmt: skip
    for phase in report["phases"]:
        assert {"seconds", "steps", "trainable_parameters", "frozen_parameters"} <= set(phase)
        assert {"accuracy", "log_loss"} <= set(phase["validation"])
    assert report["chosen_phase"] in [phase["name"] for phase in report["phases"]]
    scores = {"accuracy", "balanced_accuracy", "log_loss", "ece"}
    assert scores <= set(report["validation"])
    assert scores | {"accuracy_ci95"} <= set(report["test"])
    low, high = report["test"]["accuracy_ci95"]
    assert 0 <= low <= report["test"]["accuracy"] <= high <= 1
    assert {"seconds_total", "seconds_one_forward_pass", "forward_equivalents"} <= set(report["cost"])


def test_an_existing_folder_is_refused_without_overwrite(shell, ants_and_bees):
    Path("out").mkdir()
    Path("out/notes.txt").write_text("mine")
    refused = shell("run", *QUICK, "--data", ants_and_bees, "--out", "out")
    assert (refused.status, refused.err) == (
        2,
        "kerastune: out: this folder exists and is not empty; name another, or give --resume to resume an interrupted "
        "run or --overwrite to replace it.\n",
    )
    nothing = shell("run", *QUICK, "--data", ants_and_bees, "--out", "out", "--resume")
    assert (nothing.status, nothing.err) == (
        2,
        "kerastune: out: there is no interrupted run here; leave out --resume, and name another folder or give "
        "--overwrite.\n",
    )
    first = shell("run", *QUICK, "--data", ants_and_bees, "--out", "out", "--overwrite")
    assert first.status == 0
    assert first.out.endswith("written to out: report.html, model.keras and the rest\n")
    assert {path.name for path in Path("out").iterdir()} == RUN_FOLDER | {"notes.txt"}
    report = Path("out/report.html").read_text()
    wrong = shell("run", *QUICK, "--data", "nowhere", "--out", "out", "--overwrite")
    assert wrong.status == 2
    assert Path("out/report.html").read_text() == report  # a wrong request replaces nothing


def test_files_that_no_run_has_written_are_refused_under_our_names(shell, ants_and_bees):
    Path("out").mkdir()
    Path("out/labels.txt").write_text("mine")
    refused = shell("run", *QUICK, "--data", ants_and_bees, "--out", "out", "--overwrite")
    assert (refused.status, refused.err) == (
        2,
        "kerastune: out: a run writes files named labels.txt, and those here were not written by one; move them, or "
        "name another folder.\n",
    )
    inside = shell("run", *QUICK, "--data", ants_and_bees, "--out", f"{ants_and_bees}/run")
    assert (inside.status, inside.err) == (
        2,
        "kerastune: photos/run: this folder lies within the images photos, and would become part of it; name one "
        "outside.\n",
    )


def test_out_that_is_a_file_and_resume_without_out(shell, ants_and_bees):
    Path("file").write_text("mine")
    is_file = shell("run", *QUICK, "--data", ants_and_bees, "--out", "file", "--overwrite")
    assert (is_file.status, is_file.err) == (2, "kerastune: file: this is a file; name a folder.\n")
    below = shell("run", *QUICK, "--data", ants_and_bees, "--out", "file/out")
    assert (below.status, below.err) == (2, "kerastune: file/out: the folder cannot be written: Not a directory.\n")
    no_out = shell("run", *QUICK, "--data", ants_and_bees, "--resume")
    assert no_out.status == 2
    assert "give it as out (--out DIR)." in no_out.err


def test_an_interrupted_run_says_how_to_resume_and_resumes(shell, ants_and_bees, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fit, "fit", interrupt)
        interrupted = shell("run", *QUICK, "--data", ants_and_bees, "--out", "out")
    assert interrupted.status == 130
    assert interrupted.err.endswith("kerastune: interrupted. To resume: kerastune resume out\n")
    assert not Path("out/report.json").exists()

    resumed = shell("resume", "out")
    assert resumed.status == 0
    assert resumed.out.endswith("written to out: report.html, model.keras and the rest\n")
    assert "feature_extraction: completed before, loaded from the checkpoint" in resumed.err
    assert {path.name for path in Path("out").iterdir()} == RUN_FOLDER
    again = shell("resume", "out")
    assert (again.status, again.err) == (
        2,
        "kerastune: out: the run here is finished, and there is nothing to resume.\n",
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_a_command_with_its_status(shell, ants_and_bees, monkeypatch, number, status):
    monkeypatch.setattr(fit, "fit", lambda *_, **__: signal.raise_signal(number))
    assert shell("run", *QUICK, "--data", ants_and_bees, "--out", "out").status == status


# Finished runs


def test_evaluate_uses_the_test_split(shell, finished):
    report = json.loads((finished / "report.json").read_text())
    scores = json.loads(shell("evaluate", finished, "--data", finished.parent / "data", "--json").out)
    assert scores.pop("images") == 6
    assert scores.pop("resizing")["changed_answers"] == 0
    assert scores.pop("accuracy_ci95") == pytest.approx(report["test"].pop("accuracy_ci95"))
    assert scores == pytest.approx(report["test"], rel=1e-3)

    done = shell("evaluate", finished, "--data", finished.parent / "data")
    assert done.status == 0
    assert re.fullmatch(
        r"6 images: accuracy [\d.]+% \(95% interval [\d.]+% to [\d.]+%\), balanced accuracy [\d.]+%, log loss [\d.]+, "
        r"ECE [\d.]+\nmodel.keras by itself, on 6 of these images as they are stored: probabilities differ by "
        r"[\d.]+ at most, 0% of the answers change\n",
        done.out,
    )


def test_evaluate_uses_all_images_without_a_test_split(shell, finished):
    scores = json.loads(shell("evaluate", finished, "--data", finished.parent / "data" / "train", "--json").out)
    assert scores["images"] == 12


def test_evaluate_takes_grouped_folders(shell, finished, photos):
    photos("photos/ants", p1=2)
    photos("photos/bees", p2=1)
    scores = json.loads(shell("evaluate", finished, "--data", "photos", "--group-by", "1", "--json").out)
    assert scores["images"] == 3


def test_evaluate_refuses_other_classes(shell, finished, photos):
    other = shell("evaluate", finished, "--data", photos("other", ants=1, beez=1))
    assert (other.status, other.err) == (
        2,
        'kerastune: other: unknown classes in train: beez; the classes are ants, bees. Did you mean "bees"?\n',
    )


def test_predict_prints_one_line_for_each_image(shell, finished):
    images = sorted((finished.parent / "data" / "test" / "ants").iterdir())
    done = shell("predict", finished, *images)
    assert done.status == 0
    lines = done.out.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(rf"{re.escape(str(images[0]))}  (ants|bees)  [\d.]+%", lines[0])

    rows = json.loads(shell("predict", finished, *images, "--json").out)
    assert [row["image"] for row in rows] == [str(image) for image in images]
    for row in rows:
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["class"]]


def test_predict_takes_folders_patterns_and_tables_and_writes_csv(shell, finished):
    folder = finished.parent / "data" / "test"
    images = [str(folder / name / f"{number}.png") for name in ("ants", "bees") for number in range(3)]
    Path("new.csv").write_text("path\n" + "\n".join(images))
    for words in (
        [folder],
        [folder / "*" / "*.png"],
        ["new.csv"],
        images,
        [folder / "ants", folder / "bees" / "?.png"],
    ):
        done = shell("predict", finished, *words, "--json")
        assert [row["image"] for row in json.loads(done.out)] == images
    done = shell("predict", finished, folder, "--csv", "out.csv")
    assert (done.status, done.out) == (0, "out.csv: 6 images\n")
    rows = list(csv.DictReader(Path("out.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == images
    assert list(rows[0]) == ["image", "class", "probability", "probability of ants", "probability of bees"]
    again = shell("predict", finished, folder, "--csv", "out.csv")
    assert (again.status, again.err) == (2, "kerastune: out.csv: this file exists; give another name.\n")
    assert shell("predict", finished, folder / "*.gif").status == 2


def test_evaluate_and_predict_read_pixels_as_the_run_did(shell, photos):
    from PIL import Image

    for path in photos("photos", ants=6, bees=6).rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(path))[:, :, 0].astype(np.uint16) * 16).save(path)
    run = shell("run", *QUICK, "--data", "photos", "--pixel-range", "0", "4095", "--out", "run")
    assert run.status == 0
    report = json.loads(Path("run/report.json").read_text())
    assert report["data"]["pixel_range"] == [0, 4095]
    assert any(note.startswith("Pixel values were read in the stated range 0..4095") for note in report["notes"])
    for words in (("evaluate", "run", "--data", "photos"), ("predict", "run", "photos/ants/0.png")):
        plain, stated = shell(*words, "--json"), shell(*words, "--pixel-range", "0", "4095", "--json")
        assert plain.out == stated.out
        assert plain.err == ""
        assert shell(*words, "--pixel-range", "0", "65535", "--json").out != plain.out


def test_names_of_files_cannot_steer_the_terminal_and_are_exact_as_json(shell, finished):
    image = Path("ants\x1b[2J\r.png")
    image.write_bytes((finished.parent / "data" / "test" / "ants" / "0.png").read_bytes())
    shown = shell("predict", finished, image).out
    assert shown.startswith(r"ants\x1b[2J\r.png  ")
    (row,) = json.loads(shell("predict", finished, image, "--json").out)
    assert row["image"] == str(image)
    refused = shell("validate", "no\x1b[2J\n.yaml")
    assert refused.err == "kerastune: no\\x1b[2J\\n.yaml: there is no such file. Check the path.\n"


def test_warnings_cannot_steer_the_terminal(shell, monkeypatch):
    monkeypatch.setattr(catalog, "names", lambda: warnings.warn("folder\x1b[2J\n", stacklevel=1) or ())
    assert shell("ls", "--json").err == "kerastune: warning: folder\\x1b[2J\\n\n"


@pytest.mark.parametrize("command", [("evaluate", "--data", "photos"), ("predict", "1.png")])
def test_the_old_name_of_test_time_augmentation_is_refused(shell, command):
    name, *rest = command
    refused = shell(name, "run", *rest, "--views", "4")
    assert (refused.status, refused.err) == (
        2, "kerastune: --views: test-time augmentation is --tta here; write --tta 4.\n",
    )  # fmt: skip
    assert "--views" not in shell(name, "--help").out


def test_test_time_augmentation_averages_over_views(shell, finished):
    image = sorted((finished.parent / "data" / "test" / "ants").iterdir())[0]
    (plain,) = json.loads(shell("predict", finished, image, "--json").out)
    (averaged,) = json.loads(shell("predict", finished, image, "--tta", "3", "--flip", "horizontal", "--json").out)
    assert averaged["probabilities"] != plain["probabilities"]
    assert sum(averaged["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert shell("predict", finished, image, "--tta", "0").status == 2


def test_predict_names_every_image_that_cannot_be_read(shell, finished):
    Path("empty.png").touch()
    Path("text.png").write_text("no image")
    done = shell("predict", finished, "empty.png", "text.png", "nowhere.png")
    assert done.status == 2
    assert done.out == ""
    assert done.err.splitlines() == [
        "kerastune: 3 problems:",
        "- empty.png: this image cannot be read: it is empty (0 bytes); replace or remove it.",
        "- text.png: this image cannot be read: it is not an image; replace or remove it.",
        "- nowhere.png: there is no such file. Check the path.",
    ]


@pytest.mark.parametrize("words", [("evaluate", "nowhere", "--data", "photos"), ("predict", "nowhere", "1.png")])
def test_a_folder_without_a_run_is_refused(shell, words):
    refused = shell(*words)
    assert (refused.status, refused.err) == (
        2,
        "kerastune: nowhere: this is not the folder of a finished run; model.keras and labels.txt are missing.\n",
    )


# Words and exit statuses


def test_every_command_has_help(shell):
    overview = shell("--help")
    assert overview.status == 0
    commands = re.findall(r"^    ([a-z]+) ", overview.out, re.MULTILINE)
    assert {"ls", "show", "cp", "validate", "plan", "run", "evaluate", "predict"} <= set(commands)
    for command in commands:
        done = shell(command, "--help")
        assert done.status == 0
        assert done.out.startswith(f"usage: kerastune {command} ")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("trian",), "invalid choice: 'trian'"),
        (("run", "small_similar"), "the following arguments are required: --data"),
        (("run", "small_similar", "--data", "x", "--resume", "--overwrite"), "not allowed with argument --resume"),
        (("plan", "small_similar", "--data", "x", "--seed", "-1"), "expected a whole number from 0 to 4294967295"),
        (("plan", "small_similar", "--data", "x", "--seed", "one"), 'to 4294967295; received "one"'),
    ],
)
def test_arguments_that_do_not_parse_exit_with_2(shell, words, problem):
    refused = shell(*words)
    assert refused.status == 2
    assert problem in refused.err


def test_work_that_fails_exits_with_1(shell, ants_and_bees, monkeypatch):
    def fail(*_, **__):
        raise WorkError("The loss became NaN.")

    monkeypatch.setattr(Recipe, "run", fail)
    failed = shell("run", *QUICK, "--data", ants_and_bees, "--out", "run")
    assert (failed.status, failed.err) == (1, "kerastune: The loss became NaN.\n")


def test_the_status_reaches_the_shell():
    run = [sys.executable, "-m", "kerastune_recipes"]
    assert subprocess.run([*run, "ls"], capture_output=True).returncode == 0
    assert subprocess.run([*run, "show", "nothing"], capture_output=True).returncode == 2


SOLVED = ("--set", "backbone=DemoNet", "--set", "backbone.weights=demo", "--set", "phases=[{name: head, solve: {}}]")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache for one test."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_is_shown_and_cleared(shell, photos, cache):
    own = cache / "kerastune-cache-2"
    assert shell("cache", "info").out == f"{own}: 0 B of at most 10.0 GiB\n"
    shell("run", "small_similar", *SOLVED, "--data", photos("photos", ants=6, bees=6))
    first, second = shell("cache", "info").out.splitlines()
    assert first.startswith(f"{own}: ")
    assert "DemoNet, weights demo, 32 px, stem, stage1, stage2, stage3: 12 rows, " in second
    (network,) = json.loads(shell("cache", "info", "--json").out)["networks"]
    assert network["rows"] == 12
    assert shell("cache", "clear").out == f"{own}: 0 B of at most 10.0 GiB\n"
    assert list(cache.iterdir()) == []


def test_clearing_leaves_other_folders_alone(shell, cache):
    (cache / "thesis").mkdir(parents=True)
    assert shell("cache", "clear").status == 0
    assert (cache / "thesis").is_dir()


def test_a_run_without_the_cache(shell, photos, cache):
    data = photos("photos", ants=6, bees=6)
    assert shell("run", "small_similar", *SOLVED, "--data", data, "--no-cache").status == 0
    assert not cache.exists()


def test_a_cache_that_cannot_be_used_is_one_line_and_no_failure(shell, photos, cache):
    cache.write_text("a file where a folder should be")
    done = shell("run", "small_similar", *SOLVED, "--data", photos("photos", ants=6, bees=6))
    assert done.status == 0
    (line,) = [line for line in done.err.splitlines() if "warning" in line]
    assert line.startswith(f"kerastune: warning: {cache}: the cache cannot be used (")
    assert line.endswith("The run continues without it.")


# Comparisons


BOTH = ("compare", "small_similar", "large_similar", *SOLVED, "--seeds", "1")


def test_compare_prints_a_table_and_writes_a_folder(shell, ants_and_bees):
    compared = shell(*BOTH, "--data", ants_and_bees, "--out", "out")
    assert compared.status == 0
    assert compared.out.startswith("Recipes on photos\n")
    assert "Judged by 2 validation images, which also chose the phases" in compared.out
    assert compared.out.endswith("written to out: comparison.html, comparison.json, comparison.svg and every run\n")
    assert {path.name for path in Path("out").iterdir()} >= {"comparison.html", "small_similar", "large_similar"}
    record = json.loads(shell(*BOTH, "--data", ants_and_bees, "--out", "out", "--json").out)
    assert record == json.loads(Path("out/comparison.json").read_text())


def test_compare_names_every_recipe_that_is_wrong(shell, ants_and_bees):
    refused = shell("compare", "smal_similar", "from_scratch", "--set", "phases.head.solve={}", "--data", ants_and_bees)
    assert refused.status == 2
    assert refused.err.splitlines()[0] == "kerastune: 2 problems:"


def test_compare_with_a_failed_recipe_exits_with_1(shell, ants_and_bees, monkeypatch):
    from kerastune_recipes.studies import study_folder

    genuine = study_folder.run

    def run(name, *request):
        if name == "large_similar":
            raise WorkError("The loss became NaN.")
        return genuine(name, *request)

    monkeypatch.setattr(study_folder, "run", run)
    compared = shell(*BOTH, "--data", ants_and_bees)
    assert compared.status == 1
    assert "large_similar failed: The loss became NaN." in compared.out
    assert compared.err.endswith("kerastune: large_similar: failed; see the table above.\n")


def test_an_interrupted_comparison_says_how_to_resume(shell, ants_and_bees, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    from kerastune_recipes.studies import study_folder

    with monkeypatch.context() as patched:
        patched.setattr(study_folder, "run", interrupt)
        interrupted = shell(*BOTH, "--data", ants_and_bees, "--out", "out")
    assert interrupted.status == 130
    assert interrupted.err.endswith("kerastune: interrupted. To resume: kerastune resume out\n")
    resumed = shell("resume", "out", "--json")
    assert resumed.status == 0
    assert len(json.loads(resumed.out)["results"]) == 2


# Tuning


def test_tune_writes_the_best_recipe(shell, ants_and_bees):
    pytest.importorskip("keras_tuner", reason="KerasTuner is not installed")
    tune = ("tune", *QUICK, "--set", "backbone.image_size=32", "--data", ants_and_bees, "--trials", "2", "--out", "out")
    tuned = shell(*tune)
    assert tuned.status == 0
    assert tuned.out.startswith("small_similar_tuned on photos\n")
    assert tuned.out.endswith("written to out; to run the result: kerastune run out/recipe.yaml --data photos\n")
    assert shell("validate", "out/recipe.yaml").status == 0
    again = json.loads(shell(*tune, "--json").out)
    assert [trial["number"] for trial in again["trials"]] == [1, 2]
    assert again["recipe"]["backbone"]["name"] == "DemoNet"
