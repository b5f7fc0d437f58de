"""The public face: a recipe by name or file, planned for data, run on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kerastune_recipes import printable, yaml_files
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning.plan import Plan, is_plan
from kerastune_recipes.spec import catalog
from kerastune_recipes.spec.recipe_spec import GIVEN, RecipeSpec

if TYPE_CHECKING:
    import keras

    from kerastune_recipes.data.pixel_range import GivenRange
    from kerastune_recipes.data.sources.parts import GroupBy
    from kerastune_recipes.data.splits import HeldOutShare
    from kerastune_recipes.reporting.report import Report
    from kerastune_recipes.run.prepare import Prepared


@dataclass(frozen=True)
class Recipe:
    """A recipe, ready to be planned and run.

    Args:
        name: Its name.
        content: What the file states: a recipe, or a plan that was saved.
        network: A network of the user's own in place of the backbone, or None.
    """

    name: str
    content: RecipeSpec | Plan
    network: "keras.Model | None" = None

    @classmethod
    def from_name(cls, name: str, **overrides: Any) -> Self:
        """Take a shipped recipe.

        Args:
            name: A name that `kerastune ls` lists.
            **overrides: Dotted keys: `**{"backbone.name": "VGG16"}`. `backbone="VGG16"` is short for it, and
                `backbone=model` puts in a keras.Model of your own.

        Raises:
            RecipeError: There is no such recipe, or an override does not fit.

        Example:
            >>> Recipe.from_name("small_similar", backbone="VGG16").content.backbone.name
            'VGG16'
        """
        data = yaml_files.parse(catalog.text(name), name)
        return cls._from_data(name, data, name, overrides)

    @classmethod
    def from_file(cls, path: str | Path, **overrides: Any) -> Self:
        """Take a recipe file, or a plan that was saved.

        Args:
            path: A YAML file.
            **overrides: As for `from_name`.

        Raises:
            RecipeError: The file cannot be read or understood; all its errors are named at once.
        """
        path = Path(path)
        # The name goes into plans and folders; the name of a file may hold what is no text.
        return cls._from_data(printable.one_line(path.stem), yaml_files.read(path), str(path), overrides)

    @classmethod
    def load(cls, recipe: "str | Path | Recipe", **overrides: Any) -> "Recipe":
        """Take a recipe by its name, by the path of its file, or as it is.

        Args:
            recipe: Name of a shipped recipe, path of a file (a text that ends in .yaml or .yml is one), or a recipe.
            **overrides: As for `from_name`; a recipe that is given as it is takes none.

        Raises:
            RecipeError: As for `from_name` and `from_file`.

        Example:
            >>> Recipe.load("small_similar").name
            'small_similar'
        """
        if isinstance(recipe, Recipe):
            return recipe
        is_file = isinstance(recipe, Path) or recipe.endswith((".yaml", ".yml"))
        return cls.from_file(recipe, **overrides) if is_file else cls.from_name(str(recipe), **overrides)

    @classmethod
    def _from_data(cls, name: str, data: Any, where: str, overrides: dict[str, Any]) -> Self:
        network: Any = overrides.get("backbone")
        if hasattr(network, "layers"):
            own = {"backbone.name": network.name, "backbone.weights": GIVEN}
            overrides = {key: value for key, value in overrides.items() if key != "backbone"} | own
        else:
            network = None
        if is_plan(data):
            if overrides and network is None:
                raise RecipeError(f"{where}: a plan takes no overrides; edit the file.")
            return cls(data.get("recipe", name), Plan.from_data(data, where), network)
        return cls(name, catalog.parse(data, where, overrides), network)

    def plan(
        self,
        ds: Any,
        seed: int = 0,
        folds: int | None = None,
        group_by: "GroupBy" = None,
        unlabeled: Any = None,
        validation_split: "HeldOutShare" = "auto",
        pixel_range: "GivenRange" = None,
    ) -> Plan:
        """Return what `run` would do, without training and without a forward pass.

        Args:
            ds: The images, in any form that `run` takes.
            seed: Random seed of the hold-out.
            folds: As for `run`.
            group_by: As for `run`.
            unlabeled: As for `run`.
            validation_split: As for `run`.
            pixel_range: As for `run`.

        Raises:
            DataError: The images cannot be used.
            RecipeError: The recipe does not fit the network.
            BackboneError: The backbone is unknown or cannot be built.

        Example:
            >>> Recipe.from_name("small_similar").plan("demo:digits").features.views
            1
        """
        return self._dry_run(
            ds,
            seed=seed,
            folds=folds,
            group_by=group_by,
            unlabeled=unlabeled,
            validation_split=validation_split,
            pixel_range=pixel_range,
        ).plan

    def describe(
        self,
        ds: Any,
        seed: int = 0,
        folds: int | None = None,
        group_by: "GroupBy" = None,
        unlabeled: Any = None,
        validation_split: "HeldOutShare" = "auto",
        pixel_range: "GivenRange" = None,
    ) -> str:
        """Return the plan in words; for the arguments see `plan`.

        Example:
            >>> print(Recipe.from_name("small_similar").describe("demo:digits"))
        """
        return self._dry_run(
            ds,
            seed=seed,
            folds=folds,
            group_by=group_by,
            unlabeled=unlabeled,
            validation_split=validation_split,
            pixel_range=pixel_range,
        ).plan_text

    def run(
        self,
        ds: Any,
        out: str | Path | None = None,
        strategy: Any = None,
        seed: int = 0,
        resume: bool = False,
        callbacks: Sequence["keras.callbacks.Callback"] = (),
        overwrite: bool = False,
        verbose: bool = True,
        cache: bool = True,
        folds: int | None = None,
        group_by: "GroupBy" = None,
        unlabeled: Any = None,
        validation_split: "HeldOutShare" = "auto",
        pixel_range: "GivenRange" = None,
    ) -> "Report":
        """Train a model.

        Args:
            ds: A folder of class folders (or of train/, validation/, test/ with class folders), a CSV or DataFrame of
                path and label, arrays (x, y), a tf.data.Dataset of (image, label), "tfds:NAME" or a TFDS builder,
                a dictionary of these by split, or "demo:digits". Without validation images some of the training
                images are held out, stratified by class.
            out: Folder to write the run to, or None.
            strategy: "auto", "none", "mirrored", "multi_worker", "tpu" or a tf.distribute.Strategy. "auto" takes what
                is available: several workers, several GPUs, or one device. Under JAX "auto", "none" or a
                keras.distribution.DataParallel.
            seed: Random seed of everything.
            resume: Resume the interrupted run in `out`.
            callbacks: Keras callbacks for the fit phases.
            overwrite: Replace the run in `out`.
            verbose: Show progress.
            cache: Take features and solved heads from the cache on disk, and keep there what is computed.
                `KERASTUNE_CACHE` is the folder that it is in, `KERASTUNE_CACHE_LIMIT` its largest size.
            folds: Number of stratified cross-validation folds that judge the phases in place of a hold-out; the chosen
                phase is refitted on all images. Validation images that are given join the others.
            group_by: Which images belong together and are never divided between training and validation: for a folder
                the level of the folders inside the class folders, 1 for ants/patient7/1.jpg; for a CSV or DataFrame a
                column, for TFDS a feature; for arrays or a tf.data.Dataset an array with the group of each image; for a
                dictionary any of these, or a dictionary of them by split.
            unlabeled: Images without labels, for recipes that learn from them: a folder with images at any depth, a
                CSV or DataFrame of path, a list of paths, an array or list of images, or a tf.data.Dataset of images.
                unlabeled/ beside train/, or "unlabeled" in a dictionary, is used too.
            validation_split: Share of the training images of each class to hold out where there are no validation
                images, between 0 and 1; "auto" holds out a fifth, and at most 10,000 (or ten per class).
            pixel_range: The values of black and white in arrays, tensors and files: (0, 1) for images scaled to 0..1,
                (0, 4095) for 16-bit files of a 12-bit camera. None for 0 and 255, in 16-bit files 0 and 65535. Pixels
                are scaled to 0..255, which the model takes.

        Returns:
            The report, with the model in it.

        Raises:
            RequestError: Something about the request is wrong; nothing was trained.
            WorkError: Training failed.

        Example:
            >>> demo = {"backbone.name": "DemoNet", "backbone.weights": "demo"}
            >>> report = Recipe.from_name("small_similar", **demo).run("demo:digits")
        """
        from kerastune_recipes.run.options import RunOptions
        from kerastune_recipes.run.run import run

        options = RunOptions(
            seed=seed,
            out=out,
            strategy=strategy,
            resume=resume,
            overwrite=overwrite,
            callbacks=callbacks,
            verbose=verbose,
            cache=cache,
            folds=folds,
            group_by=group_by,
            unlabeled=unlabeled,
            validation_split=validation_split,
            pixel_range=pixel_range,
        )
        return run(self.name, self.content, ds, options, self.network)

    def _dry_run(self, ds: Any, **options: Any) -> "Prepared":
        from kerastune_recipes.run.options import RunOptions
        from kerastune_recipes.run.prepare import prepare, with_folds

        given = RunOptions(**options)
        content = with_folds(self.name, self.content, given.folds)
        return prepare(self.name, content, ds, given, network=self.network, dry=True)
