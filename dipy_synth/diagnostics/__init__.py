"""A pre-flight of the known ways in which a latent diffusion model gives noise."""

from dipy_synth.diagnostics.checks import examine
from dipy_synth.diagnostics.context import Case
from dipy_synth.diagnostics.diagnostics_page import doctor_page
from dipy_synth.diagnostics.reading import read_case
from dipy_synth.diagnostics.results import Finding, text_table

__all__ = ["Case", "Finding", "doctor_page", "examine", "read_case", "text_table"]
