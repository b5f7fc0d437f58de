"""What users get wrong: one sentence for each mistake, and nothing is trained."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from kerastune_recipes import Recipe
from kerastune_recipes.errors import DataError

DEMO = ("--set", "backbone=DemoNet", "--set", "backbone.weights=none")
OVERRIDES = {"backbone.name": "DemoNet", "backbone.weights": "none"}


@pytest.fixture
def problems_of(shell):
    """Return a function that makes a wrong request, sees that nothing came of it, and returns what was said."""

    def run(*words, recipe="small_similar", network=DEMO):
        refused = shell("run", recipe, "--out", "out", *network, *words)
        assert refused.status == 2
        assert refused.out == ""
        assert "Traceback" not in refused.err
        assert not Path("out/report.json").exists()
        first, *problems = refused.err.partition("kerastune: ")[2].splitlines()
        return [problem.removeprefix("- ") for problem in problems] if problems else [first]

    return run


# Files


def test_folder_that_does_not_exist(problems_of, photos):
    photos("photos", ants=6, bees=6)
    assert problems_of("--data", "photo") == ['photo: there is no such folder. Did you mean "photos"?']
    assert problems_of("--data", "photos/ants/0.png") == [
        "photos/ants/0.png: this is a file; give a folder of class folders or a .csv file with columns path and label."
    ]
    assert problems_of("--data", "labels.csv") == ["labels.csv: there is no such file. Check the path."]
    assert not Path("out").exists()


def test_empty_folder(problems_of):
    Path("photos").mkdir()
    assert problems_of("--data", "photos") == [
        "photos: this folder is empty; make a folder for each class, as in ants/1.jpg."
    ]


def test_one_class(problems_of, photos):
    assert problems_of("--data", photos("photos", ants=6)) == [
        'photos: there is only one class, "ants"; a classifier needs at least two.'
    ]


def test_class_with_one_image(problems_of, photos):
    assert problems_of("--data", photos("photos", ants=6, bees=1, wasps=1)) == [
        "photos: classes with one image: bees, wasps; each class needs one to train on and one to hold out for "
        "validation, so add images, leave the class out, or give validation images."
    ]


def test_class_without_images(problems_of, photos):
    assert problems_of("--data", photos("photos", ants=6, bees=6, wasps=0)) == [
        "photos: classes without a training image: wasps; add images, or leave the class out and number the labels "
        "from 0 without gaps."
    ]


def test_stray_files(problems_of, photos):
    folder = photos("photos", ants=6, bees=6)
    (folder / "ants" / "1.dcm").touch()
    (folder / "ants" / "0.png").rename(folder / "lost.png")
    (folder / "bees" / "old").mkdir()
    assert problems_of("--data", folder) == [
        "photos: images outside a class folder: lost.png; move each into the folder of its class.",
        "photos: folders inside the class folders: bees/old; move their images up and remove them, or give "
        "group_by=1 (--group-by 1) if each holds one group of images.",
        "photos: images in a format that is not read (DICOM): ants/1.dcm; convert them to PNG or JPEG.",
    ]


def test_corrupt_and_empty_images(problems_of, photos):
    folder = photos("photos", ants=6, bees=6)
    (folder / "ants" / "3.png").write_bytes(b"")
    (folder / "bees" / "4.png").write_bytes(b"no image")
    assert problems_of("--data", folder) == [
        "photos/ants/3.png: this image cannot be read: it is empty (0 bytes); replace or remove it.",
        "photos/bees/4.png: this image cannot be read: it is not an image; replace or remove it.",
    ]
    assert not Path("out").exists()


def test_images_of_other_formats_and_of_too_many_pixels(problems_of, photos, monkeypatch):
    monkeypatch.setenv("KERASTUNE_DECODING", "1 MiB")
    folder = photos("photos", ants=6, bees=6)
    (folder / "ants" / "0.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    Image.new("L", (1000, 500)).save(folder / "bees" / "1.png")
    assert problems_of("--data", folder) == [
        "photos/ants/0.png: this image cannot be read: it is PostScript, which is not read; convert it to PNG or JPEG.",
        "photos/bees/1.png: this image cannot be read: with 1000 x 500 pixels it takes 1.9 MiB to decode, and the "
        "limit is 1.0 MiB; make it smaller or cut it into parts, or, if you trust the file, set "
        "KERASTUNE_DECODING=0.5GiB.",
    ]
    assert not Path("out").exists()


def test_images_cut_off_behind_their_header(problems_of, photos):
    folder = photos("photos", ants=6, bees=6)
    for name in ("ants/0.png", "bees/5.png"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    problems = problems_of("--data", folder)
    assert sorted(problems) == [
        "photos/ants/0.png: this image cannot be read: image file is truncated; replace or remove it.",
        "photos/bees/5.png: this image cannot be read: image file is truncated; replace or remove it.",
    ]


def test_all_that_is_wrong_with_the_data_is_named_at_once(problems_of, photos):
    folder = photos("photos", ants=1)
    (folder / "ants" / "1.dcm").touch()
    (folder / "ants" / "1.png").touch()
    assert problems_of("--data", folder) == [
        "photos: images in a format that is not read (DICOM): ants/1.dcm; convert them to PNG or JPEG.",
        "photos/ants/1.png: this image cannot be read: it is empty (0 bytes); replace or remove it.",
        'photos: there is only one class, "ants"; a classifier needs at least two.',
    ]


# Arrays


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda x, y: (x, y[:7]), r"arrays: there are 10 images and 7 labels; give one label for each image\."),
        (
            lambda x, y: (x, y - 1),
            r"arrays: labels out of range: image 0 with -1, image 2 with -1, .*; give integers of 0 or more\.",
        ),
        (lambda x, y: (x, y * 2), r"arrays: classes without a training image: 1; add images, or leave the class out"),
        (lambda x, y: (x / 255, y), r"arrays: the largest pixel value is 1, so the images seem scaled to 0\.\.1; mult"),
        (lambda x, y: (x / 127.5 - 1, y), r"\(from -1 to 1\): .* undo the scaling, for instance \(x \+ 1\) \* 127\.5"),
        (
            lambda x, y: (np.where(np.arange(10)[:, None, None, None] == 3, np.nan, x), y),
            r"arrays: images with NaN or infinite values: image 3; replace or remove them\.",
        ),
        (lambda x, y: (x.transpose(0, 3, 1, 2), y), r"\(10, 3, 32, 32\); .* \(move the channel axis last\)\."),
        (lambda x, y: (x, y + 0.5), r"arrays: labels that are not integers: image 0 with 0\.5, .*or names\."),
        (lambda x, y: (x, np.ones((10, 2))), r"arrays: images with several labels: image 0 with sum 2, "),
    ],
)
def test_arrays(change, problem):
    images = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3))
    images[:, 0, 0], images[:, 0, 1] = 0, 255
    recipe = Recipe.from_name("small_similar", **OVERRIDES)
    with pytest.raises(DataError, match=problem):
        recipe.run(change(images, np.arange(10) % 2), verbose=False)


def test_labels_of_a_split_out_of_range():
    images = np.zeros((4, 32, 32, 3), np.uint8)
    ds = {"train": (images, [0, 1, 0, 1]), "test": (images, [0, 1, 2, 5])}
    with pytest.raises(DataError) as caught:
        Recipe.from_name("small_similar", **OVERRIDES).run(ds, verbose=False)
    assert str(caught.value) == (
        "{train: arrays, test: arrays}: test: labels out of range: image 2 with 2, image 3 with 5; "
        "give integers from 0 to 1, as there are 2 classes."
    )


# Recipes


@pytest.fixture
def data(shell, photos):
    """The words that name good data."""
    return "--data", photos("photos", ants=6, bees=6)


def test_unknown_recipe(problems_of, data):
    (problem,) = problems_of(*data, recipe="smal_similar")
    assert problem.startswith('There is no recipe "smal_similar". Did you mean "small_similar"? Shipped: ')


def test_unknown_key_in_a_recipe_file(problems_of, data):
    phase = "{nmae: only, solve: {head: logistic_regression}}"
    Path("mine.yaml").write_text(f"summary: Mine.\nbackbone: {{name: DemoNet}}\nphases:\n  - {phase}\n")
    assert problems_of(*data, recipe="mine.yaml") == [
        "mine.yaml: phases.0.name: this key is missing.",
        'mine.yaml: phases.0.nmae: there is no key "nmae" here. Did you mean "name"? Known: name, solve, fit.',
    ]


def test_renamed_keys_and_values_of_older_versions(shell):
    Path("old.yaml").write_text(
        "summary: Old.\n"
        "backbone: {name: DemoNet, convention: torch}\n"
        "phases:\n"
        "  - {name: only, solve: {head: source_classifier, source_classes: {ants: [310]}}}\n"
    )
    refused = shell("validate", "old.yaml")
    assert refused.status == 2
    assert refused.err.splitlines()[1:] == [
        '- old.yaml: backbone.convention: there is no key "convention" here; it is now called "preprocessing".',
        '- old.yaml: phases.only.solve.head: "source_classifier" is now called "pretrained_classifier".',
        '- old.yaml: phases.only.solve.source_classes: there is no key "source_classes" here; it is now called '
        '"pretrained_classes".',
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("backbone", "--set backbone: write KEY=VALUE, such as backbone=VGG16."),
        ("features.taps=[", "--set features.taps, line 1: this is not valid YAML: "),
        ("phases.fine_tunin.fit.duration=auto", 'there is no "fine_tunin" here. Did you mean "fine_tuning"? Known: '),
        ("features.view=2", 'small_similar: features.view: there is no key "view" here. Did you mean "views"?'),
        ("features.views=two", 'small_similar: features.views: expected a valid integer; received "two".'),
        ("phases.fine_tuning.fit.duration=3", 'fit.duration: expected a valid string or "auto"; received 3.'),
        ("phases.fine_tuning.fit.duration=3 weeks", 'write a duration as "3 epochs", "500 steps" or "10%"; received'),
        ("features.taps=[stage7]", 'features.taps: there is no stage or layer "stage7" in DemoNet. Did you mean'),
        ("backbone=DemoNte", 'There is no backbone "DemoNte". Did you mean "DemoNet"?'),
        ("backbone.image_size=8", "DemoNet needs images of at least 16 pixels a side; received image_size 8."),
        ("backbone.weights=imagenet", 'DemoNet has no weights "imagenet"; write "demo", "none" or the path of a'),
        ("backbone.weights=mine.h5", 'There is no weights file "mine.h5" for DemoNet; write "demo", "none" or'),
        (
            "phases.fine_tuning.fit.trainable=[[head, 1.0], [backbone/stage9, 1.0], [backbone, frozen]]",
            'phases.fine_tuning.fit.trainable: the pattern "backbone/stage9" matches no layer. Did you mean',
        ),
        (
            "phases.fine_tuning.fit.reinitialize=[backbone/stage9]",
            'phases.fine_tuning.fit.reinitialize: the pattern "backbone/stage9" matches no layer of the backbone. Did',
        ),
        ("phases.fine_tuning.fit.reinitialize=[backbone]", "and would stay random, the first being stem_conv"),
        ("phases.fine_tuning.fit.loss=hinge", 'phases.fine_tuning.fit.loss: expected "crossentropy" or "focal" or'),
        ("phases.fine_tuning.fit.loss=3", "phases.fine_tuning.fit.loss: "),
        (
            "phases.fine_tuning.fit.augmentation=[{layer: RandomFlop}]",
            'phases.fine_tuning.fit.augmentation[0]: "RandomFlop" is not an augmentation layer of keras.layers or '
            'keras_cv.layers. Did you mean "RandomFlip"?',
        ),
    ],
)
def test_overrides(problems_of, data, override, problem):
    (sentence,) = problems_of(*data, "--set", override)
    assert problem in sentence
    assert sentence.endswith((".", "?"))
    assert not Path("out").exists()


def test_alexnet_with_the_weights_that_recipes_ask_for(problems_of, data):
    (problem,) = problems_of(*data, network=("--set", "backbone=AlexNet"))
    assert problem.startswith('AlexNet has no weights "imagenet"; write "none" or the path of a weights file: torchv')


def test_a_preset_without_keras_hub(problems_of, data, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    (problem,) = problems_of(*data, network=("--set", "backbone=hub:resnet_18_imagenet"))
    assert problem.startswith("hub:resnet_18_imagenet needs KerasHub, which cannot be imported (")


PRETRAINED_CLASSES = "phases.feature_extraction.solve.pretrained_classes"
LETTERS = ("--set", "backbone=DemoNet", "--set", "backbone.weights=demo")


def test_class_names_that_match_nothing(problems_of, data):
    assert problems_of(*data, recipe="reuse_head", network=LETTERS) == [
        f"{PRETRAINED_CLASSES}: no class of the data (ants, bees) has the name of a class that the backbone was "
        "pretrained on; map them by hand, such as pretrained_classes: {bees: bee, ants: 310}, or use another head than "
        "pretrained_classifier."
    ]
    assert not Path("out").exists()


def test_a_mapping_to_unknown_pretrained_classes(problems_of, data):
    mapping = ("--set", f"{PRETRAINED_CLASSES}={{ants: AA, bees: [B, 804], wasps: C}}")
    assert problems_of(*data, *mapping, recipe="reuse_head", network=LETTERS) == [
        f'{PRETRAINED_CLASSES}.wasps: the data has no class "wasps". Classes: ants, bees.',
        f'{PRETRAINED_CLASSES}.ants: there is no pretrained class "AA". Did you mean "A"? '
        "Give a name or an index from 0 to 803.",
        f"{PRETRAINED_CLASSES}.bees: there is no pretrained class 804. Give a name or an index from 0 to 803.",
    ]


def test_a_network_without_a_pretrained_classifier(problems_of, data):
    assert problems_of(*data, recipe="reuse_head") == [
        'phases.feature_extraction.solve.head: DemoNet with weights "none" has no pretrained classifier; write '
        "weights: demo, or use another head."
    ]


def test_features_that_the_pretrained_classifier_does_not_see(problems_of, data):
    mapping = ("--set", f"{PRETRAINED_CLASSES}.ants=A", "--set", "features.taps=all", "--set", "head.pooling=max")
    taps, pooling = problems_of(*data, *mapping, recipe="reuse_head", network=LETTERS)
    assert taps == (
        "features.taps: the pretrained classifier sees only the last stage; received stem, stage1, stage2, stage3; "
        "write taps: last, or use another head than pretrained_classifier."
    )
    assert pooling == (
        "head.pooling: the pretrained classifier sees averages over all positions; received max; write pooling: avg, "
        "or use another head than pretrained_classifier."
    )


def test_a_mapping_for_another_head(problems_of, data):
    assert problems_of(*data, "--set", f"{PRETRAINED_CLASSES}.ants=310") == [
        "small_similar: phases.feature_extraction.solve: pretrained_classes: they need head: pretrained_classifier; "
        "received head: logistic_regression."
    ]


def test_memory_that_is_no_size(problems_of, data, monkeypatch):
    monkeypatch.setenv("KERASTUNE_MEMORY", "plenty")
    assert problems_of(*data) == ['KERASTUNE_MEMORY: write a size as "512 MiB" or "10 GiB"; received "plenty".']
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "recipe", "key"),
    [
        (("--set", "folds=2"), "features_svm", "folds"),
        (("--unlabeled", "pool"), "self_train", "phases.feature_extraction.solve.pseudo_labels"),
    ],
)
def test_what_needs_all_features_in_memory(words, recipe, key, problems_of, data, photos, monkeypatch):
    photos("pool", size=16, any=3)
    monkeypatch.setenv("KERASTUNE_MEMORY", "2KiB")
    (problem,) = problems_of(*data, *words, recipe=recipe)
    assert problem.startswith(f"{key}: the features of 12 images must be in memory at once; they take ")
    assert f", and the limit is 2.0 KiB. Leave {key} out, use fewer features with features.taps: last, " in problem


def test_malformed_overrides_are_named_together(problems_of, data):
    assert problems_of(*data, "--set", "keep", "--set", "seed") == [
        "--set keep: write KEY=VALUE, such as backbone=VGG16.",
        "--set seed: write KEY=VALUE, such as backbone=VGG16.",
    ]


def test_augmentations_of_all_phases_are_named_together(problems_of, data):
    fit = "fit: {trainable: [[head, 1.0], [backbone, 1.0]], augmentation: [{layer: RandomFlip}, {layer: Dense}]}"
    phases = "".join(f"  - name: {name}\n    {fit}\n" for name in ("first", "second"))
    Path("mine.yaml").write_text(f"summary: Mine.\nbackbone: {{name: DemoNet}}\nphases:\n{phases}")
    assert problems_of(*data, recipe="mine.yaml") == [
        'phases.first.fit.augmentation[1]: "Dense" is a layer of keras.layers, but not an image augmentation.',
        'phases.second.fit.augmentation[1]: "Dense" is a layer of keras.layers, but not an image augmentation.',
    ]


def test_unknown_strategy(problems_of, data):
    assert problems_of(*data, "--strategy", "miror") == [
        'strategy: there is no "miror". Did you mean "mirrored"? Give one of auto, none, mirrored, multi_worker, tpu '
        "or a tf.distribute.Strategy."
    ]


def test_workers_that_nobody_names(problems_of, data):
    assert problems_of(*data, "--strategy", "multi_worker") == [
        'strategy: "multi_worker" needs a list of workers: set TF_CONFIG on each, start them with srun, or try it on '
        "this machine with kerastune launch --workers 2 -- run ..."
    ]


def test_a_malformed_tf_config(problems_of, data, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}')
    assert problems_of(*data) == [
        "TF_CONFIG: task.index: must be this worker's index in cluster.worker, 0..1; received 2."
    ]


def test_several_workers_do_runs_only(shell, data, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    done = shell("compare", "small_similar", "from_scratch", *data)
    assert done.status == 2
    assert "strategy: several workers can share a run, but not a comparison; run it on one machine" in done.err


def test_what_cannot_be_launched(shell):
    done = shell("launch", "--workers", "1", "--", "plan", "small_similar")
    assert done.status == 2
    assert "--workers: expected 2 or more; received 1." in done.err
    assert "launch: write run or resume after --, such as -- run small_similar --data DIR; received plan." in done.err


def test_a_plan_for_other_classes(problems_of, data, photos, shell):
    shell("plan", "small_similar", *DEMO, *data, "--save", "plan.yaml")
    assert problems_of("--data", photos("other", cats=6, dogs=6), recipe="plan.yaml", network=()) == [
        "The plan was made for the classes ants, bees; the data has cats, dogs. Make a new plan for this data."
    ]


def test_imagenet_weights_that_cannot_be_had(problems_of, data, monkeypatch, tmp_path):
    def unreachable(*_):
        raise OSError("Network is unreachable")

    home = tmp_path / "keras_home"
    home.mkdir()
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setattr(keras.src.backend.config, "_KERAS_DIR", str(home))
    monkeypatch.setattr(keras.src.utils.file_utils, "urlretrieve", unreachable)
    network = ("--set", "backbone=MobileNet_0.25", "--set", "backbone.image_size=32")
    (problem,) = problems_of(*data, network=network)
    assert problem.startswith(
        f'The ImageNet weights of MobileNet_0.25 are not at "{home}/models/mobilenet_2_5_224_tf_no_top.h5", '
        "where Keras looks for them, and could not be downloaded ("
    )
    assert problem.endswith("or use weights: PATH of such a file or weights: none.")
