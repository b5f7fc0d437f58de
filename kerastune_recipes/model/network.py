"""The model as one functional graph: raw image, resizing, preprocessing, backbone, taps, head."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np

from kerastune_recipes.backbones.build import preprocess
from kerastune_recipes.backbones.facts import BackboneFacts
from kerastune_recipes.backbones.inspect import output_of
from kerastune_recipes.model.precision import compute_in
from kerastune_recipes.planning.plan import BackbonePlan, Plan

BACKBONE = "backbone"
HEAD = "head"
CENTRE = "centred_features"
RESIZE = "resize"


@dataclass(frozen=True)
class Member:
    """One backbone of a model and its taps, the layers whose outputs become features.

    Args:
        plan: Name, weights, input size and preprocessing of the backbone.
        taps: Names of the taps.
        backbone: The pretrained network, from its input to the activations of the taps.
        extractor: Resized images (b, s, s, 3) to the pooled features (b, d).
    """

    plan: BackbonePlan
    taps: tuple[str, ...]
    backbone: keras.Model
    extractor: keras.Model


@dataclass(eq=False)
class Network:
    """One set of layers as several Keras models, which share their weights.

    Args:
        model: Raw images of any size (b, h, w, 3), values 0..255, to probabilities (b, classes).
        core: The same from images already resized (b, s, s, 3); fit phases train this one.
        extractor: Resized images (b, s, s, 3) to the features of all members, concatenated (b, features).
        members: The backbones; fit phases train the first.
        head: The dense layer on the features, or on the features and their squares.
        centre: Where the head sees squares, the layer that subtracts a number from each feature before that.
    """

    model: keras.Model
    core: keras.Model
    extractor: keras.Model
    members: tuple[Member, ...]
    head: keras.layers.Dense
    centre: keras.layers.BatchNormalization | None = None
    _version: int = field(default=0, init=False)

    @property
    def backbone(self) -> keras.Model:
        """The backbone that fit phases train."""
        return self.members[0].backbone

    @property
    def weights_version(self) -> int:
        """A number that grows with every change of the backbones' weights; features of an older one are outdated."""
        return self._version

    def weights_changed(self) -> None:
        """Raise `weights_version`, after weights of a backbone were changed in place."""
        self._version += 1

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Set all weights of the model, backbones included.

        Args:
            weights: Arrays as `model.get_weights()` returns them.
        """
        before = self._backbone_weights()
        self.model.set_weights(weights)
        # Unless the backbones have the same weights as before, whose features still hold.
        if not all(map(np.array_equal, before, self._backbone_weights())):
            self.weights_changed()

    def _backbone_weights(self) -> list[np.ndarray]:
        return [weights for member in self.members for weights in member.backbone.get_weights()]

    def digests(self) -> list[bytes]:
        """Return a digest of each variable of the model; the states of random generators are among them."""
        return [_digest(variable) for variable in self.model.variables]

    def changes(self, since: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Return the variables of the model that have changed, by number.

        Args:
            since: Result of an earlier `digests`.
        """
        pairs = enumerate(zip(self.model.variables, since, strict=True))
        return {str(number): _values(variable) for number, (variable, old) in pairs if _digest(variable) != old}

    def apply_changes(self, changes: Mapping[str, np.ndarray]) -> None:
        """Set the variables that `changes` returned."""
        variables = self.model.variables
        of_backbones = {id(variable) for member in self.members for variable in member.backbone.variables}
        changed = [variables[int(number)] for number in changes]
        for variable, values in zip(changed, changes.values(), strict=True):
            variable.assign(values)
        if any(id(variable) in of_backbones for variable in changed):
            self.weights_changed()

    def head_weights(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return kernel, bias and centre as `put_head` takes them."""
        kernel, bias = self.head.get_weights()
        centre = np.zeros(0, np.float32) if self.centre is None else _values(self.centre.moving_mean)
        return kernel, bias, centre

    def put_head(self, kernel: np.ndarray, bias: np.ndarray, centre: np.ndarray | None = None) -> None:
        """Set the weights of the head. Features do not depend on them, so `weights_version` stays.

        Args:
            kernel: float32 (d, k), or (2 d, k) for features and their squares. In a network with squares, a head on
                the features alone has weight zero on the squares.
            bias: float32 (k,).
            centre: float32 (d,), subtracted from the features before they are squared or multiplied, empty for zero;
                None keeps what is subtracted. Only in a network with squares.
        """
        if centre is not None and self.centre is not None:
            self.centre.moving_mean.assign(centre if len(centre) else np.zeros(self.centre.moving_mean.shape))
        rows = np.zeros(self.head.kernel.shape, np.float32)
        rows[: len(kernel)] = kernel
        self.head.set_weights([rows, bias])


def _values(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _digest(variable: keras.Variable) -> bytes:
    return hashlib.blake2b(_values(variable).tobytes(), digest_size=16).digest()


def assemble(plan: Plan, facts: BackboneFacts, *pretrained: keras.Model) -> Network:
    """Build the model of a plan around pretrained networks, which then compute in the plan's precision.

    Args:
        plan: The plan of the run.
        facts: Facts of the first network, and of its companions in an ensemble.
        *pretrained: The networks, with inputs (b, s, s, 3).

    Example:
        >>> network = assemble(plan, facts, keras.applications.ResNet50(include_top=False, input_shape=(224, 224, 3)))
        >>> network.model(photos).shape
        (2, 3)
    """
    for network in pretrained:
        compute_in(network, plan.precision)
    size = plan.backbone.image_size
    raw = keras.Input((None, None, 3), name="image")
    # Antialiased like Pillow, so that raw photos and photos resized by the input pipeline get the same predictions.
    resize = keras.layers.Resizing(size, size, antialias=True, dtype="float32", name=RESIZE)
    # Keras would call it with training=True, and so all later layers by default: `model(images)` would update the
    # statistics of BatchNormalization (keras-team/keras#23166).
    resized = resize(raw, training=False)
    members: list[Member] = []
    pooled: list[keras.KerasTensor] = []
    backbone_plans, all_taps = _members(plan)
    all_facts = (facts, *facts.companions)
    for backbone_plan, taps, own, network in zip(backbone_plans, all_taps, all_facts, pretrained, strict=True):
        suffix = f"_{len(members) + 1}" if members else ""
        backbone = _up_to_taps(network, own, taps, BACKBONE + suffix)
        activations = backbone(preprocess(resized, backbone_plan.preprocessing, suffix))
        pooled.append(_pool(activations, taps, plan.head.pooling, suffix))
        extractor = keras.Model(resized, pooled[-1], name=f"extractor{suffix}")
        members.append(Member(backbone_plan, taps, backbone, extractor))
    features = pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="all_features")(pooled)
    # Squares of features far from zero would be rounded away, so they are taken about a centre, which is set together
    # with the head. No other layer of Keras subtracts a vector of weights without a matrix product, which some devices
    # round to ten bits. Statistics are never updated while it is not trainable.
    centre = None
    if plan.squares:
        options = {"center": False, "scale": False, "epsilon": 0.0, "trainable": False, "dtype": "float32"}
        centre = keras.layers.BatchNormalization(**options, name=CENTRE)
    inputs = _with_squares(centre(features)) if centre else features
    dropped = keras.layers.Dropout(plan.head.dropout, name="dropout")(inputs) if plan.head.dropout else inputs
    head = keras.layers.Dense(len(plan.class_names), activation="softmax", dtype="float32", name=HEAD)
    probabilities = head(dropped)
    return Network(
        model=keras.Model(raw, probabilities, name=plan.recipe.replace("/", "_")),
        core=keras.Model(resized, probabilities, name="core"),
        extractor=members[0].extractor if len(members) == 1 else keras.Model(resized, features, name="all_extractors"),
        members=tuple(members),
        head=head,
        centre=centre,
    )


def _members(plan: Plan) -> tuple[list[BackbonePlan], list[tuple[str, ...]]]:
    """Return the plans and the taps of all backbones."""
    companions = plan.ensemble or ()
    return [plan.backbone, *companions], [plan.features.taps, *(each.taps for each in companions)]


def _up_to_taps(pretrained: keras.Model, facts: BackboneFacts, taps: tuple[str, ...], name: str) -> keras.Model:
    """Return the network up to its last tap, with one output for each tap."""
    layers = [tap.layer for tap in map(facts.tap, taps) if tap]
    return keras.Model(pretrained.inputs, [output_of(pretrained, layer) for layer in layers], name=name)


def _pool(
    activations: list[keras.KerasTensor] | keras.KerasTensor, taps: tuple[str, ...], kind: str, suffix: str
) -> keras.KerasTensor:
    pooling = {
        "avg": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }[kind]
    activations = activations if isinstance(activations, list) else [activations]
    pooled = [
        pooling(name=f"pool_{tap}{suffix}", dtype="float32")(activation)
        for tap, activation in zip(taps, activations, strict=True)
    ]
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name=f"features{suffix}")(pooled)


def _with_squares(features: keras.KerasTensor) -> keras.KerasTensor:
    squares = keras.layers.Multiply(name="squares")([features, features])
    return keras.layers.Concatenate(name="features_and_squares")([features, squares])
