"""Diagnostics of a latent diffusion model: checks of known causes of noise."""

from dipy_synth.diagnostics.checks import run_checks
from dipy_synth.diagnostics.context import DiagnosticContext
from dipy_synth.diagnostics.diagnostics_page import diagnosis_folder, diagnostics_page
from dipy_synth.diagnostics.reading import describe_request, read_context
from dipy_synth.diagnostics.results import CheckResult, text_table

__all__ = [
    "DiagnosticContext",
    "CheckResult",
    "describe_request",
    "diagnosis_folder",
    "diagnostics_page",
    "run_checks",
    "read_context",
    "text_table",
]
