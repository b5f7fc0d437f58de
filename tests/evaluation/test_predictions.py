import csv
import io

import numpy as np

from kerastune_recipes.evaluation.predictions import Predictions

MADE = Predictions(("a,1.jpg", "image 1"), ("ants", "bees"), np.array([[0.25, 0.75], [0.875, 0.125]], np.float32))


def test_each_image_has_its_most_probable_class():
    assert MADE.classes == ("bees", "ants")


def test_rows_keep_the_names():
    assert list(MADE.rows()) == [
        {"image": "a,1.jpg", "class": "bees", "probability": 0.75, "probabilities": {"ants": 0.25, "bees": 0.75}},
        {"image": "image 1", "class": "ants", "probability": 0.875, "probabilities": {"ants": 0.875, "bees": 0.125}},
    ]


def test_a_table_is_read_back():
    header, *rows = csv.reader(io.StringIO(MADE.to_csv()))
    assert header == ["image", "class", "probability", "probability of ants", "probability of bees"]
    assert rows == [["a,1.jpg", "bees", "0.75", "0.25", "0.75"], ["image 1", "ants", "0.875", "0.875", "0.125"]]
