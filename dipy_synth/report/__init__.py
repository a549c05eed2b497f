"""Pages to read: what a cohort looks like, and which of its volumes are outliers."""

from dipy_synth.report.measures import QualityRow, measure_quality
from dipy_synth.report.page import quality_page

__all__ = ["QualityRow", "measure_quality", "quality_page"]
