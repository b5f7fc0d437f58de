from kerastune_recipes.data.facts import DatasetFacts

FACTS = DatasetFacts(
    source="photos",
    class_names=("ants", "bees", "wasps"),
    train=(12, 3, 6),
    validation=(2, 1, 1),
    test=None,
    held_out=True,
    median_size=(30, 40),
    smallest_size=(10, 10),
    largest_size=(60, 80),
)


def test_images_and_classes_are_counted():
    assert (FACTS.classes, FACTS.train_images, FACTS.validation_images) == (3, 21, 4)


def test_imbalance_is_the_ratio_of_the_largest_to_the_smallest_class():
    assert FACTS.imbalance == 4
