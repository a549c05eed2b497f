"""HTML pages: quality of a prepared cohort, and results of an evaluation."""

from dipy_synth.report.measures import QualityRow, measure_quality
from dipy_synth.report.page import quality_page

__all__ = ["QualityRow", "measure_quality", "quality_page"]
