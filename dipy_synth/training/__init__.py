"""One way to train every model: seeded, averaged, checkpointed, resumable.

A run lives in a folder: ``settings.json`` (what was asked for), ``state.npz`` (all
that is needed to go on), ``best.npz`` (when a run may stop early), ``history.csv``
and ``curves.png``. Calling `train` again with the same folder goes on where the last
whole epoch ended, and gives the weights an uninterrupted run would have given.
"""

from dipy_synth.training.engine import building, reserve_output, train
from dipy_synth.training.optimizer import averaged_weights
from dipy_synth.training.run_folder import is_fresh
from dipy_synth.training.settings import TrainingSettings

__all__ = [
    "TrainingSettings",
    "averaged_weights",
    "building",
    "reserve_output",
    "is_fresh",
    "train",
]
