import io

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.sources.tfrecord import is_tfrecord
from kerastune_recipes.errors import DataError

tf = pytest.importorskip("tensorflow", reason="TensorFlow is not installed")


def png(gray):
    file = io.BytesIO()
    Image.fromarray(np.full((6 + gray % 3, 8, 3), gray, np.uint8)).save(file, "PNG")
    return file.getvalue()


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes dictionaries of bytes and integers as records of a file."""

    def to(name, *records):
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            for record in records:
                features = tf.train.Features(feature={key: feature(value) for key, value in record.items()})
                writer.write(tf.train.Example(features=features).SerializeToString())
        return str(tmp_path / name)

    return to


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("flowers.tfrecord", True),
        ("gs://bucket/00-224x224-798.tfrec", True),
        ("train-*.tfrec", True),
        ("mnist-train.tfrecord-00000-of-00005", True),
        ("mnist-train.tfrecord*", True),
        ("flowers.tfrecord.gz", True),
        ("TRAIN.TFREC.GZ", True),
        ("flowers_train_00000-of-00005.tfrecord", True),
        ("imagenet/train-00012-of-01024", True),
        ("imagenet/train-*-of-01024", True),
        ("imagenet/train-?????-of-01024", True),
        ("photos.gz", False),
        ("2-of-3", False),
        ("photos/", False),
        ("tfrecords/photos.csv", False),
    ],
)
def test_tfrecord_files_are_recognized_by_name(path, meant):
    assert is_tfrecord(path) is meant


def test_shards_are_read_in_order_and_images_kept_as_they_are(tmp_path, write):
    write("train-1.tfrecord", *({"image": png(10 * number), "label": number % 2} for number in range(6)))
    write("train-0.tfrecord", *({"image": png(100 + number), "label": number % 2} for number in range(4)))
    dataset = open_dataset(
        {"train": str(tmp_path / "train-*.tfrecord"), "validation": str(tmp_path / "train-0.tfrecord")}
    )
    assert dataset.train.names[0] == f"{tmp_path}/train-0.tfrecord record 0"
    assert dataset.train.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    np.testing.assert_array_equal(dataset.train.read(4), np.zeros((6, 8, 3), np.uint8))
    assert dataset.train.content(1) == png(101)
    assert dataset.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("name", "compression"),
    [("a.tfrecord", "GZIP"), ("a.tfrecord.gz", "GZIP"), ("a.tfrecord", "ZLIB"), ("train-00000-of-00001", "")],
)
def test_compressed_files_and_shards_of_tf_slim_are_read(tmp_path, name, compression):
    with tf.io.TFRecordWriter(str(tmp_path / name), compression) as writer:
        for number in range(6):
            features = {"image": feature(png(10 * number)), "label": feature(number % 2)}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    assert open_dataset(tmp_path / name).train.counts == (2, 2)


def test_a_length_may_look_like_a_compressed_file(tmp_path):
    path, looking_so = tmp_path / "a.tfrecord", 0x8B1F  # as the first bytes of GZIP
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(4):
            features = {"image": feature(png(10 * number)), "label": feature(number % 2)}
            records = (
                tf.train.Example(features=tf.train.Features(feature={**features, "more": feature(bytes(size))}))
                for size in range(looking_so - 500, looking_so)
            )
            encoded = (record.SerializeToString() for record in records)
            writer.write(next(record for record in encoded if len(record) == looking_so))
    assert path.read_bytes()[:2] == b"\x1f\x8b"
    assert open_dataset(path).facts().train_images == 2


def test_class_and_file_names_come_from_the_records(write):
    records = [
        {
            "image/encoded": png(number),
            "image/class/label": 7,
            "image/class/text": name,
            "image/filename": name + b".png",
        }
        for number, name in enumerate([b"rose", b"rose", b"tulip", b"tulip"])
    ]
    dataset = open_dataset(write("flowers.tfrec", *records))
    assert dataset.class_names == ("rose", "tulip")
    assert {*dataset.train.names, *dataset.validation.names} == {"rose.png", "tulip.png"}


def test_file_names_that_are_no_text_are_escaped(write):
    records = [{"image": png(number), "label": number % 2, "filename": b"\xff%d.png" % number} for number in range(4)]
    dataset = open_dataset(write("names.tfrecord", *records))
    assert sorted([*dataset.train.names, *dataset.validation.names])[0] == "\\xff0.png"


def test_labels_of_records_are_read_as_those_of_arrays(write):
    records = [{"image": png(number), "label": [b" rose", b"tulip"][number % 2]} for number in range(4)]
    assert open_dataset(write("flowers.tfrecord", *records)).class_names == ("rose", "tulip")
    path = write("some.tfrecord", *records, {"image": png(9), "label": b""}, {"image": png(9), "label": b"\xff"})
    with pytest.raises(DataError) as caught:
        open_dataset(path)
    assert caught.value.problems == (
        "labels missing: image 4; give one for each image, or leave these images out.",
        "labels that are not UTF-8 text: image 5; decode them, or give integers.",
    )
    ids = [{"image": png(number), "label": 10**9 + number % 2} for number in range(4)]
    assert "labels look like ids" in problem(write("ids.tfrecord", *ids))


def test_images_are_grouped_by_a_feature(write):
    records = [{"image": png(number), "label": number % 2, "hand": number // 2} for number in range(10)]
    dataset = open_dataset(write("hands.tfrecord", *records), group_by="hand")
    assert dataset.grouped_by == "hand"
    assert not set(dataset.train.groups) & set(dataset.validation.groups)


def problem(path, **options):
    with pytest.raises(DataError) as caught:
        open_dataset(path, **options)
    (found,) = caught.value.problems
    return found


def test_missing_and_empty_files_are_refused(tmp_path, write):
    assert "none-*.tfrecord: there is no such file; check the path or pattern." in problem(
        str(tmp_path / "none-*.tfrecord")
    )
    assert "there are no records in these files" in problem(write("empty.tfrecord"))


def test_unknown_feature_names_are_refused(write):
    path = write("odd.tfrecord", {"pixels": png(1), "label": 0})
    assert "none of the features image/encoded, image" in problem(path)
    assert "there are label, pixels" in problem(path) or "there are pixels, label" in problem(path)
    assert "is a label; there are image; write label" in problem(write("bare.tfrecord", {"image": png(1)}))
    whole = write("whole.tfrecord", {"image": png(1), "label": 0})
    assert 'there is no feature "hnad"' in problem(whole, group_by="hnad")


def test_records_unlike_the_first_are_refused(write):
    good = [{"image": png(number), "label": number % 2} for number in range(4)]
    path = write("mixed.tfrecord", *good, {"image": png(5)})
    assert "mixed.tfrecord record 4: it does not have one value of label, unlike the first record." in problem(path)
    path = write("kinds.tfrecord", *good, {"image": 3, "label": b"cat"})
    assert (
        "kinds.tfrecord record 4: image is an integer, but bytes in the first record; label is bytes, but "
        "an integer in the first record." in problem(path)
    )
    path = write("broken.tfrecord", *good, {"image": b"nothing", "label": 1})
    assert "broken.tfrecord record 4" in problem(path)


def test_a_truncated_file_is_refused_with_the_number_of_records_read(tmp_path, write):
    path = write("torn.tfrecord", *({"image": png(number), "label": number % 2} for number in range(4)))
    with open(path, "r+b") as file:
        file.truncate(file.seek(0, io.SEEK_END) - 5)
    assert "or it is truncated: reading failed after 3 records" in problem(path)
    (tmp_path / "text.tfrecord").write_text("This is no TFRecord file, but some text of a length.")
    assert "this is not a TFRecord file of tf.train.Example" in problem(str(tmp_path / "text.tfrecord"))
