"""Seeded T1 phantoms of brains, and tumours that can be put into any brain."""

from dipy_synth.phantom.brain import TISSUES, Phantom, make_phantom
from dipy_synth.phantom.tumors import KINDS, LABELS, LOCATIONS, simulate_tumor

__all__ = [
    "KINDS",
    "LABELS",
    "LOCATIONS",
    "Phantom",
    "TISSUES",
    "make_phantom",
    "simulate_tumor",
]
