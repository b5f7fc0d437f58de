"""The public face: a recipe by name or file, planned for data, run on it."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kerastune_recipes import yaml_files
from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning import plan as plans
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.spec import catalog
from kerastune_recipes.spec.recipe_spec import GIVEN, RecipeSpec

if TYPE_CHECKING:
    import keras

    from kerastune_recipes.reporting.report import Report
    from kerastune_recipes.run.prepare import Prepared
    from kerastune_recipes.studies.tuned import Tuned


@dataclass(frozen=True)
class Recipe:
    """A recipe, ready to be planned and run.

    Args:
        name: What it is called.
        content: What it says: a recipe, or a plan that was saved.
        network: A network of the user's own that stands for the backbone, or None.
    """

    name: str
    content: RecipeSpec | Plan
    network: "keras.Model | None" = None

    @classmethod
    def from_name(cls, name: str, **overrides: Any) -> Self:
        """Take a shipped recipe.

        Args:
            name: One of those that `kerastune ls` lists.
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
            RecipeError: The file cannot be read, or says what cannot be understood; all of it at once.
        """
        path = Path(path)
        return cls._from_data(path.stem, yaml_files.read(path), str(path), overrides)

    @classmethod
    def _from_data(cls, name: str, data: Any, where: str, overrides: dict[str, Any]) -> Self:
        network: Any = overrides.get("backbone")
        if hasattr(network, "layers"):
            own = {"backbone.name": network.name, "backbone.weights": GIVEN}
            overrides = {key: value for key, value in overrides.items() if key != "backbone"} | own
        else:
            network = None
        if plans.is_plan(data):
            if overrides and network is None:
                raise RecipeError(f"{where}: a plan takes no overrides; edit the file.")
            return cls(data.get("recipe", name), Plan.from_data(data, where), network)
        return cls(name, catalog.parse(data, where, overrides), network)

    def _judged_by(self, folds: int | None) -> RecipeSpec | Plan:
        """Return what the recipe says, judged by so many folds; None leaves that to it."""
        if folds is None:
            return self.content
        if isinstance(self.content, Plan):
            raise RecipeError(f"{self.name}: a plan says itself how it is judged; write folds: {folds} in its file.")
        return RecipeSpec.from_data({**self.content.to_data(), "folds": folds}, self.name)

    def plan(
        self, ds: Any, seed: int = 0, folds: int | None = None, group_by: Any = None, unlabeled: Any = None
    ) -> Plan:
        """Say what `run` would do, without training and without a forward pass.

        Args:
            ds: The images, in any form that `run` takes.
            seed: Of the hold-out.
            folds: As for `run`.
            group_by: As for `run`.
            unlabeled: As for `run`.

        Raises:
            DataError: The images cannot be used.
            RecipeError: The recipe does not fit the network.
            BackboneError: The backbone is unknown or cannot be built.

        Example:
            >>> Recipe.from_name("small_similar").plan("demo:digits").features.views
            1
        """
        return self._prepared(ds, seed, folds, group_by, unlabeled, dry=True).plan

    def describe(
        self, ds: Any, seed: int = 0, folds: int | None = None, group_by: Any = None, unlabeled: Any = None
    ) -> str:
        """Return in words what `run` would do; for the arguments see `plan`.

        Example:
            >>> print(Recipe.from_name("small_similar").describe("demo:digits"))
        """
        from kerastune_recipes.reporting.plan_text import describe

        prepared = self._prepared(ds, seed, folds, group_by, unlabeled, dry=True)
        return describe(prepared.plan, prepared.dataset.facts(), prepared.facts)

    def _prepared(self, ds: Any, seed: int, folds: int | None, group_by: Any, unlabeled: Any, **how: Any) -> "Prepared":
        from kerastune_recipes.run.prepare import prepare

        return prepare(
            self.name,
            self._judged_by(folds),
            ds,
            seed=seed,
            own=self.network,
            group_by=group_by,
            unlabeled=unlabeled,
            **how,
        )

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
        group_by: Any = None,
        unlabeled: Any = None,
    ) -> "Report":
        """Train a model.

        Args:
            ds: A folder of class folders (or of train/, validation/, test/ with class folders), a CSV or DataFrame of
                path and label, arrays (x, y), a tf.data.Dataset of (image, label), "tfds:NAME" or a TFDS builder,
                a dictionary of these by split, or "demo:digits". Without validation images a stratified fifth of the
                training images is held out.
            out: Folder to write the run to, or None.
            strategy: "auto", "none", "mirrored", "multi_worker", "tpu" or a tf.distribute.Strategy. Auto takes what is
                there: several workers, several GPUs, or one device. Under JAX "auto", "none" or a
                keras.distribution.DataParallel.
            seed: Of everything random.
            resume: Go on with the interrupted run in `out`.
            callbacks: Keras callbacks for the phases that fit.
            overwrite: Replace the run that is in `out`.
            verbose: Show progress.
            cache: Take features and solved heads from the cache on disk where it has them, and keep there what is
                computed. `KERASTUNE_CACHE` says where it lies, `KERASTUNE_CACHE_LIMIT` how large it may grow.
            folds: Judge the phases by cross-validation of so many folds, stratified, instead of by a hold-out, and
                refit the one that is kept on all images. Validation images that are given join the others.
            group_by: What tells which images belong together and are never divided between training and validation:
                for a folder the level of the folders inside the class folders, 1 for ants/patient7/1.jpg; for a CSV
                or DataFrame a column, for TFDS a feature; for arrays or a tf.data.Dataset an array with the group of
                each image; for a dictionary any of these, or a dictionary of them by split.
            unlabeled: Images without labels, for recipes that learn from them: a folder with images at any depth, a
                CSV or DataFrame of path, a list of paths, an array or list of images, or a tf.data.Dataset of images.
                They may lie in unlabeled/ beside train/, too, or under "unlabeled" in a dictionary.

        Returns:
            The report, with the model in it.

        Raises:
            RequestError: Something about the request is wrong; nothing was trained.
            WorkError: Training failed.

        Example:
            >>> demo = {"backbone.name": "DemoNet", "backbone.weights": "demo"}
            >>> report = Recipe.from_name("small_similar", **demo).run("demo:digits")
        """
        from kerastune_recipes.devices import strategies
        from kerastune_recipes.progress import Display
        from kerastune_recipes.run import checkpoint, run_folder
        from kerastune_recipes.run import prepare as prepare_module
        from kerastune_recipes.run import run as runner

        content = self._judged_by(folds)  # what is wrong with it is told before any worker is waited for
        strategy = strategies.choose(strategy, tell=Display(verbose).line)
        team = strategies.team_of(strategy)
        # Only the chief writes.
        out = out if team.chief else None
        with team.bound():
            folder = team.together(lambda: run_folder.prepare(out, resume=resume and team.chief, overwrite=overwrite))
            with strategies.scope(strategy):
                prepared = self._prepared(ds, seed, folds, group_by, unlabeled, team=team)
            prepare_module.check(prepared.plan, strategy)

            def find() -> checkpoint.Journal:
                return checkpoint.find(folder, prepared.plan, prepared.dataset, seed, resume)

            with checkpoint.shared(team, find) as book:

                @functools.cache
                def begin() -> None:
                    book.begin()
                    if folder:
                        run_folder.write_recipe(folder, content)

                report = runner.run(
                    prepared,
                    book,
                    begin,
                    strategy=strategy,
                    seed=seed,
                    cache=cache,
                    display=Display(verbose and team.chief),
                    callbacks=callbacks,
                    team=team,
                )
            team.together(lambda: report.save(folder) if folder else None)
        return report

    @contextmanager
    def weights_kept(self) -> Iterator[None]:
        """Put back, when the block ends, the weights of a network of the user's own, which a run trains in place."""
        weights = None if self.network is None else self.network.get_weights()
        try:
            yield
        finally:
            if self.network is not None:
                self.network.set_weights(weights)

    def tune(
        self,
        ds: Any,
        trials: int = 10,
        seed: int = 0,
        out: str | Path | None = None,
        strategy: Any = None,
        cache: bool = True,
        verbose: bool = True,
        group_by: str | None = None,
        unlabeled: Any = None,
    ) -> "Tuned":
        """Search what this recipe leaves to `auto`, and nothing else, over its whole schedule.

        Each trial runs all phases and is judged by the log loss of the model it keeps on the validation images. The
        first is what the rules choose, so what is found is never worse than that, on these images. Test images are not
        even predicted. Features are shared between the trials. Needs KerasTuner: kerastune-recipes[tune].

        Args:
            ds: The images, in any form that `run` takes.
            trials: How many, at least 2.
            seed: Of the hold-out, of what is proposed, and of everything random in each trial.
            out: Folder for the recipe that is found, a table of the trials and their runs, or None. A search in it goes
                on where it was interrupted, or with more trials.
            strategy: As for `run`.
            cache: As for `run`; in any case the trials share what is frozen.
            verbose: Show progress.
            group_by: As for `run`.
            unlabeled: As for `run`.

        Raises:
            RequestError: There is nothing to search, or something else about the request is wrong.

        Example:
            >>> tuned = Recipe.from_name("small_similar").tune("photos/", trials=10)
            >>> report = tuned.recipe.run("photos/")
        """
        from kerastune_recipes.studies.tune import tune

        further = {"strategy": strategy, "cache": cache, "verbose": verbose}
        return tune(self, ds, trials, seed, out, group_by=group_by, unlabeled=unlabeled, **further)
