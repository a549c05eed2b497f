"""Training of every model: seeded, with EMA, checkpointed, resumable.

A run has a folder: ``settings.json``, ``state.npz`` (all that is needed to resume),
``best.npz`` (with early stopping), ``history.csv`` and ``curves.png``. Calling `train`
again with the same folder resumes after the last complete epoch, with the same result
as an uninterrupted run.
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
