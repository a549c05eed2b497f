"""Base of the wrappers: weights by name, and the grid of the volumes."""

from dipy.utils.logging import logger

from dipy_synth import __version__
from dipy_synth.data.cohort import subjects_of
from dipy_synth.data.split import few_trained_on
from dipy_synth.grid import Grid
from dipy_synth.store import save_model

DEFAULT_MODEL = "ixi-2mm"


def warn_of_few(cohort):
    """Warn where a model of a cohort shows its training subjects."""
    if words := few_trained_on(len(subjects_of(cohort, "train"))):
        logger.warning(words)


def privacy_card(cohort):
    """Write the README of a model: what it holds of the training subjects of a cohort.

    `dipy_synth.synthesis.qc_filter.add_qc_filter` adds what its QC filter holds.
    """
    subjects = len(subjects_of(cohort, "train"))
    words = few_trained_on(subjects) or (
        f"{subjects} training subjects: weights, means and variances are of all of "
        "them, without a name or a picture of one. Of ages there is the range, in "
        "whole years"
    )
    return (
        f"# A model of dipy_synth {__version__}\n\n## Privacy\n\n"
        f"{words}. See the page on privacy of dipy_synth.\n"
    )


class Wrapper:
    """A model whose weights come with the package, from a folder, or by training.

    Parameters are those of its subclasses.
    """

    default_model = DEFAULT_MODEL

    def __init__(self, model=DEFAULT_MODEL, *, verbose=False):
        self.network, self.folder = None, None
        self.config, self.verbose = {}, verbose
        if model is not None:
            self.load_model_weights(model)

    def __repr__(self):
        """Return the class, and the folder that its weights are from."""
        return f"{type(self).__name__}({str(self.folder) if self.folder else None!r})"

    def fetch_default_weights(self):
        """Load the bundled model, without a download."""
        self.load_model_weights(self.default_model)

    def load_model_weights(self, model):
        """Load a model folder, or a bundled model by its name."""
        raise NotImplementedError

    def save(self, folder, *, dtype=None, card=None):
        """Write a model folder, complete for use; return its Path.

        Parameters
        ----------
        folder : str or Path
            Output folder.
        dtype : str, optional
            ``float16`` halves the size; None keeps float32.
        card : str, optional
            Text of its README; by default that of the folder it was loaded from.
        """
        known = self.folder and self.folder / "README.md"
        if card is None and known and known.is_file():
            card = known.read_text(encoding="utf-8")
        return save_model(folder, dtype=dtype, card=card, **self._content())

    def _write(self, run_dir, cohort, *, add=None):
        """Write the model of a run with its card, and reload it in float32.

        `add` is called with the folder before, to add files.
        """
        folder = self.save(run_dir / "model", card=privacy_card(cohort))
        if add is not None:
            add(folder)
        self.load_model_weights(folder)
        if self.verbose:
            logger.info("Model written to %s", folder)

    def _content(self):
        """Return what `save_model` stores: dict."""
        raise NotImplementedError

    @property
    def grid(self):
        """Grid of the volumes: Grid, or None of a model of images."""
        config = self.config.get("grid")
        return None if config is None else Grid.from_config(config)

    @property
    def affine(self):
        """Map from voxels to the world, in mm: ndarray of shape (4, 4), or None."""
        return None if self.grid is None else self.grid.affine
