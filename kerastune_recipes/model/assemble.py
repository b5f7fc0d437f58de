"""The whole model as one plain functional graph: raw image, resizing, preprocessing, backbone, taps, head."""

from dataclasses import dataclass

import keras
import numpy as np

from kerastune_recipes.facts import BackboneFacts
from kerastune_recipes.model.backbone import output_of, preprocess
from kerastune_recipes.plan import Plan

BACKBONE = "backbone"
HEAD = "head"
RESIZE = "resize"


@dataclass(frozen=True)
class Network:
    """One set of layers, seen from four sides; all share their weights.

    Args:
        model: Raw images of any size (b, h, w, 3), values 0..255, to probabilities (b, classes).
        core: The same from images already resized (b, s, s, 3); this is what is trained.
        extractor: Resized images to the features the head sees (b, features).
        backbone: The pretrained network, its input to its tapped activations.
        head: The dense layer on the features, or on the features and their squares.
    """

    model: keras.Model
    core: keras.Model
    extractor: keras.Model
    backbone: keras.Model
    head: keras.layers.Dense

    def put_head(self, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Give the head its weights.

        Args:
            kernel: float32 (d, k), or (2 d, k) for features and their squares. A head that looks at the features alone
                gets no weight on the squares, where there are squares.
            bias: float32 (k,).
        """
        rows = np.zeros(self.head.kernel.shape, np.float32)
        rows[: len(kernel)] = kernel
        self.head.set_weights([rows, bias])


def assemble(plan: Plan, facts: BackboneFacts, pretrained: keras.Model) -> Network:
    """Build the model that a plan describes around a pretrained network.

    Args:
        plan: What to build.
        facts: The network's stages and layers.
        pretrained: The network itself, its input (s, s, 3).
    """
    size = plan.backbone.image_size
    backbone = _tapped(pretrained, facts, plan.features.taps)
    raw = keras.Input((None, None, 3), name="image")
    # Antialiased as Pillow resizes, so that a raw photo and one resized by the input pipeline give the same answer.
    resized = keras.layers.Resizing(size, size, antialias=True, name=RESIZE)(raw)
    activations = backbone(preprocess(resized, plan.backbone.convention))
    features = _pool(activations, plan)
    seen = _with_squares(features) if plan.squares else features
    dropped = keras.layers.Dropout(plan.head.dropout, name="dropout")(seen) if plan.head.dropout else seen
    head = keras.layers.Dense(len(plan.class_names), activation="softmax", dtype="float32", name=HEAD)
    probabilities = head(dropped)
    return Network(
        model=keras.Model(raw, probabilities, name=plan.recipe.replace("/", "_")),
        core=keras.Model(resized, probabilities, name="core"),
        extractor=keras.Model(resized, features, name="extractor"),
        backbone=backbone,
        head=head,
    )


def _tapped(pretrained: keras.Model, facts: BackboneFacts, taps: tuple[str, ...]) -> keras.Model:
    """Return the network cut behind its last tap, with one output for each tap."""
    layers = [tap.layer for tap in map(facts.tap, taps) if tap]
    return keras.Model(pretrained.inputs, [output_of(pretrained, layer) for layer in layers], name=BACKBONE)


def _pool(activations: list[keras.KerasTensor] | keras.KerasTensor, plan: Plan) -> keras.KerasTensor:
    pooling = {
        "avg": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }[plan.head.pooling]
    activations = activations if isinstance(activations, list) else [activations]
    pooled = [
        pooling(name=f"pool_{tap}", dtype="float32")(activation)
        for tap, activation in zip(plan.features.taps, activations, strict=True)
    ]
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="features")(pooled)


def _with_squares(features: keras.KerasTensor) -> keras.KerasTensor:
    squares = keras.layers.Multiply(name="squares")([features, features])
    return keras.layers.Concatenate(name="features_and_squares")([features, squares])
