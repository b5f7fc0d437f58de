"""Augmentation presets: the layers that a word such as "light" means, as lists that a plan can print and save."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from kerastune_recipes.errors import RecipeError, did_you_mean
from kerastune_recipes.spec.recipe_spec import AugmentationFlip

Strength = Literal["none", "light", "medium", "strong"]

_FLIPPING = frozenset({"RandomFlip"})
# Layers that mix images, and with them their labels.
_MIXING = frozenset({"CutMix", "FourierMix", "MixUp", "Mosaic"})


def preset(strength: Strength, flip: AugmentationFlip) -> tuple[dict[str, Any], ...]:
    """Return the layers of an augmentation preset, in the order they are applied.

    Borders are filled by reflection, the default of Keras's layers, so no black border marks an augmented image.

    Args:
        strength: "none" is no augmentation, no flip either; "light" shifts and zooms a little (a random crop); "medium"
            does so more, rotates and changes colours; "strong" crops, then adds RandAugment and MixUp (RandAugment is
            KerasCV's and needs the tensorflow backend).
        flip: The mirror images that keep their class, for the data.

    Returns:
        One `{"layer": ..., "arguments": {...}}` per layer, of plain YAML values; a new list on every call.

    Raises:
        RecipeError: The strength or the flip is unknown.

    Example:
        >>> [entry["layer"] for entry in preset("light", flip="horizontal")]
        ['RandomFlip', 'RandomTranslation', 'RandomZoom']
    """
    problems = [
        f'augmentation {what} is one of {", ".join(known)}; received "{given}".{did_you_mean(given, known)}'
        for what, given, known in (
            ("strength", strength, get_args(Strength)),
            ("flip", flip, get_args(AugmentationFlip)),
        )
        if given not in known
    ]
    if problems:
        raise RecipeError(*problems)
    if strength == "none":
        return ()
    mirrored = () if flip == "none" else (_layer("RandomFlip", mode=flip),)
    return mirrored + {"light": _light, "medium": _medium, "strong": _strong}[strength]()


def flipping(layers: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the layers that mirror images, as the plan has them.

    Example:
        >>> flipping([{"layer": "RandomZoom"}, {"layer": "keras_cv.layers.RandomFlip"}])
        ('keras_cv.layers.RandomFlip',)
    """
    return _named(layers, _FLIPPING)


def mixing(layers: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the layers that mix labels, after which a label is no longer a single class.

    Example:
        >>> mixing([{"layer": "RandomFlip"}, {"layer": "MixUp"}])
        ('MixUp',)
    """
    return _named(layers, _MIXING)


def _named(layers: Iterable[Mapping[str, Any]], names: frozenset[str]) -> tuple[str, ...]:
    return tuple(entry["layer"] for entry in layers if entry["layer"].rpartition(".")[2] in names)


def _light() -> tuple[dict[str, Any], ...]:
    # BiT (Kolesnikov et al. 2020) resizes small images to 160 and crops 128: 80 % of the side, off-centre by up to
    # 10 %. Here the side is random between 80 and 100 %, because the model is evaluated on whole images.
    return _crop(shift=0.1, zoom=0.2)


def _medium() -> tuple[dict[str, Any], ...]:
    return (
        # 65 % of the side is 42 % of the area: between Inception's 8 % (far too little for a short run on few
        # images) and light's 64 %. The shift is below half of what the crop removes.
        *_crop(shift=0.15, zoom=0.35),
        # 15 degrees: upright objects stay upright. fastai rotates by 10.
        _layer("RandomRotation", factor=round(15 / 360, 4)),
        # fastai's lighting, which is brightness and contrast, by up to 0.2 (a tenth of the range at mid-grey). Keras
        # reads a single contrast factor as "only more contrast", hence the pair. Hue and saturation do not change:
        # colour often is the class, and the conversion to HSV takes as long as the rotation.
        _layer("RandomColorJitter", brightness_factor=0.1, contrast_factor=[0.2, 0.2]),
    )


def _strong() -> tuple[dict[str, Any], ...]:
    return (
        *_crop(shift=0.1, zoom=0.35),
        # RandAugment (Cubuk et al. 2020) chose N=2, M=9 of 30 for ResNet-50 on ImageNet. KerasCV's samples operations
        # per image; Keras's own samples them once per batch, posterises to one bit at low factors, and took five times
        # as long.
        _layer("keras_cv.RandAugment", augmentations_per_image=2, magnitude=0.3),
        # BiT-HyperRule's mixup for fine-tuning is 0.1 (from 20,000 images); Zhang et al. (2018) use 0.1 to 0.4.
        _layer("MixUp", alpha=0.1),
    )


def _crop(shift: float, zoom: float) -> tuple[dict[str, Any], ...]:
    # A shift, then a zoom about the centre, is a random crop per image on every backend; Keras's RandomCrop uses one
    # crop for the whole batch.
    return (
        _layer("RandomTranslation", height_factor=shift, width_factor=shift),
        _layer("RandomZoom", height_factor=[-zoom, 0.0]),
    )


def _layer(name: str, **arguments: Any) -> dict[str, Any]:
    return {"layer": name, "arguments": arguments}
