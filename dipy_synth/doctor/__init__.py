"""A pre-flight of the known ways in which a latent diffusion model gives noise."""

from dipy_synth.doctor.case import Case
from dipy_synth.doctor.examination import examine
from dipy_synth.doctor.findings import Finding, text_table
from dipy_synth.doctor.page import doctor_page
from dipy_synth.doctor.reading import read_case

__all__ = ["Case", "Finding", "doctor_page", "examine", "read_case", "text_table"]
