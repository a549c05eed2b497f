"""Base of the wrappers: weights by name, and the grid of the volumes."""

from dipy.utils.logging import logger

from dipy_synth.grid import Grid
from dipy_synth.store import save_model

DEFAULT_MODEL = "ixi-2mm"


class Wrapper:
    """A model whose weights come with the package, from a folder, or by training.

    Parameters
    ----------
    model : str or Path, optional
        A model folder or the name of a bundled model; by default the bundled one. None
        makes a model without weights, for `fit`.
    verbose : bool, optional
        Log progress and show progress bars.
    """

    default_model = DEFAULT_MODEL

    def __init__(self, model=DEFAULT_MODEL, *, verbose=False):
        self.network, self.folder = None, None
        self.config, self.verbose = {}, verbose
        if model is not None:
            self.load_model_weights(model)

    def fetch_default_weights(self):
        """Load the bundled model, without a download."""
        self.load_model_weights(self.default_model)

    def load_model_weights(self, model):
        """Load a model.

        Parameters
        ----------
        model : str or Path
            A model folder, or the name of a bundled model.
        """
        raise NotImplementedError

    def save(self, folder, *, dtype=None, card=None):
        """Write a model folder, complete for use.

        Parameters
        ----------
        folder : str or Path
            Output folder.
        dtype : str, optional
            ``float16`` halves the size; None keeps float32.
        card : str, optional
            Text of its README.

        Returns
        -------
        Path
        """
        return save_model(folder, dtype=dtype, card=card, **self._content())

    def _write(self, run_dir):
        """Write the model of a run, and reload it in float32."""
        self.load_model_weights(self.save(run_dir / "model"))
        if self.verbose:
            logger.info("Model written to %s", run_dir / "model")

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
