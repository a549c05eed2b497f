"""Evaluation of a synthetic cohort: anatomy, distribution, copies, conditions."""

from dipy_synth.evaluation.cohorts import load_cohorts
from dipy_synth.evaluation.pipeline import Evaluation, evaluate
from dipy_synth.evaluation.volumes import Volumes, load_volumes

__all__ = ["Evaluation", "Volumes", "evaluate", "load_cohorts", "load_volumes"]
