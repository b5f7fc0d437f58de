from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.data.dataset import Dataset, Pictures, Samples, concatenate
from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.errors import DataError


def gray(labels: list[int], sizes: list[tuple[int, int]]) -> Samples:
    """Images whose gray is their index."""
    return Samples(
        read=lambda index, at_least=None: np.full((*sizes[index], 3), index, dtype=np.uint8),
        names=[f"image {index}" for index in range(len(labels))],
        labels=np.array(labels, dtype=np.int64),
        class_names=("a", "b", "c"),
        sizes=np.array(sizes, dtype=np.int64),
    )


def test_select_keeps_everything_together():
    chosen = gray([0, 1, 1, 0], [(1, 1), (2, 2), (3, 3), (4, 4)]).select(np.array([3, 1])).select(np.array([1, 0]))
    assert len(chosen) == 2
    assert chosen.names == ["image 1", "image 3"]
    assert chosen.labels.tolist() == [1, 0]
    assert chosen.sizes.tolist() == [[2, 2], [4, 4]]
    assert chosen.read(0).tolist() == np.full((2, 2, 3), 1).tolist()


def test_counts_include_every_class():
    assert gray([1, 1, 0], [(1, 1)] * 3).counts == (1, 2, 0)


def test_concatenate_keeps_the_order():
    first, second = gray([0, 1], [(1, 1), (2, 2)]), gray([2, 1, 0], [(3, 3), (4, 4), (5, 5)])
    whole = concatenate([first, first.select([]), second])
    assert whole.labels.tolist() == [0, 1, 2, 1, 0]
    assert whole.names == ["image 0", "image 1", "image 0", "image 1", "image 2"]
    for index, (height, width) in enumerate(whole.sizes):
        assert whole.read(index).shape == (height, width, 3)
        assert whole.read(index)[0, 0, 0] == int(whole.names[index][-1])


def test_a_digest_depends_only_on_the_content_of_an_image():
    pixels = gray([0, 1, 2], [(1, 2), (2, 1), (2, 1)])
    files = replace(pixels, content=lambda index: bytes([index]))
    for samples in (pixels, files):
        digests = samples.digests()
        assert len(set(digests)) == 3
        assert samples.select(np.array([2, 0])).digests() == [digests[2], digests[0]]
        assert concatenate([samples, samples.select(np.array([1]))]).digests() == [*digests, digests[1]]
    assert not set(pixels.digests()) & set(files.digests())


def test_the_digest_of_a_file_tells_the_range_that_it_is_read_in():
    def read_in(pixel_range):
        return lambda index, at_least=None: np.full((1, 1, 3), 7 if pixel_range is None else pixel_range.high, np.uint8)

    files = replace(
        gray([0, 1], [(1, 1)] * 2), read=read_in(None), read_in=read_in, content=lambda index: bytes([index])
    )
    assert files.in_range(None) is files
    stated = files.in_range(PixelRange(0, 15))
    assert (files.read(0).max(), stated.read(0).max()) == (7, 15)
    assert stated.labels.tolist() == [0, 1]
    assert not set(files.digests()) & set(stated.digests())
    assert stated.select(np.array([1])).digests() == stated.digests()[1:]
    assert stated.in_range(PixelRange(0, 3)) is stated


def test_no_file_is_read_twice_for_its_digest():
    read = []
    samples = replace(gray([0, 1, 2], [(1, 1)] * 3), content=lambda index: read.append(index) or bytes([index]))
    some = samples.select(np.array([2, 1]))
    for pictures in (samples, some, concatenate([some, samples])):
        pictures.digests()
    assert sorted(read) == [0, 1, 2]


def test_all_missing_files_are_named():
    def gone(index):
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(DataError) as caught:
        replace(gray([0, 1], [(1, 1)] * 2), content=gone).digests()
    assert caught.value.problems == tuple(
        f"image {index}: this image cannot be read: No such file or directory." for index in (0, 1)
    )


def test_pictures_may_be_labelled():
    pictures = Pictures(lambda index, at_least=None: np.full((1, 1, 3), index, np.uint8), "ab", np.ones((2, 2), int))
    samples = pictures.select(np.array([1, 0, 1])).labelled(np.array([0, 1, 1]), ["x", "y"])
    assert (samples.names, samples.counts, samples.class_names) == (["b", "a", "b"], (1, 2), ("x", "y"))
    assert samples.read(2)[0, 0, 0] == 1


def test_groups_go_with_their_images():
    samples = replace(gray([0, 1, 1, 0], [(1, 1)] * 4), groups=np.array([7, 7, 8, 9]))
    assert samples.select(np.array([3, 0])).groups.tolist() == [9, 7]
    assert concatenate([samples, samples.select(np.array([2]))]).groups.tolist() == [7, 7, 8, 9, 8]
    assert concatenate([samples, gray([0], [(1, 1)])]).groups is None


def test_facts_count_the_groups_of_training_and_validation():
    train, other = (replace(gray([0, 1], [(1, 1)] * 2), groups=np.array(groups)) for groups in ([0, 1], [2, 2]))
    dataset = Dataset("photos", train, other, other, held_out=True, one_hot_labels=False, grouped_by="patient")
    assert (dataset.facts().groups, dataset.facts().grouped_by) == (3, "patient")


def test_facts_ignore_the_sizes_of_test_images():
    dataset = Dataset(
        source="photos",
        train=gray([0, 1, 2], [(10, 30), (20, 20), (30, 40)]),
        validation=gray([0], [(40, 10)]),
        test=gray([0, 0], [(1, 1), (999, 999)]),
        held_out=True,
        one_hot_labels=False,
    )
    assert dataset.facts() == DatasetFacts(
        source="photos",
        class_names=("a", "b", "c"),
        train=(1, 1, 1),
        validation=(1, 0, 0),
        test=(2, 0, 0),
        held_out=True,
        median_size=(25, 25),
        smallest_size=(10, 30),
        largest_size=(30, 40),
    )
