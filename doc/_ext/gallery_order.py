"""The order of the gallery: from a scan to a model, then what is done with it."""

from pathlib import Path

ORDER = (
    "preprocess_t1",
    "reconstruct_mri",
    "synth_mri",
    "age_sweep",
    "grid_and_tissues",
    "edit_mri",
    "evaluate",
    "own_features",
    "downstream",
    "train_phantoms",
    "why_noise",
    "labels",
    "tumors",
    "digits",
)


class TeachingOrder:
    """Sort key of the examples.

    Parameters
    ----------
    src_dir : str
        Their folder, not used; sphinx-gallery gives it.
    """

    def __init__(self, src_dir):
        self.places = {f"plot_{name}": place for place, name in enumerate(ORDER)}

    def __call__(self, filename):
        """Return the place of a file; unknown ones are last."""
        return self.places.get(Path(filename).stem, len(ORDER))
