"""The results of an evaluation, and their description in JSON types."""

from dataclasses import asdict, dataclass, is_dataclass

import numpy as np

from dipy_synth.evaluation.downstream import Downstream
from dipy_synth.metrics.conditioning import Trend
from dipy_synth.metrics.differences import VolumeDifference
from dipy_synth.metrics.diversity import Similarity
from dipy_synth.metrics.verdicts import AcceptanceRanges

_OF_REAL_SUBJECTS = ("real_known", "real_predicted")  # values of each, not written


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Parameters
    ----------
    about : dict
        Cohorts, extractor and notes, in JSON types.
    distribution : dict of str to tuple of Comparison
        Kind of noise at the ceiling to metrics.
    texture : dict of str to tuple of Comparison
        Metrics of texture; ceilings are blotches, and noise.
    ranges : AcceptanceRanges
        Acceptance ranges, with the metrics of real brains.
    verdicts : tuple of Verdict, (n,)
        Verdicts on the synthetic volumes.
    diversity : dict of str to Similarity
        Similarity within "real" and "synthetic".
    copies : dict of str to CopyAudit
        Audits by "voxels" and "fingerprints"; empty without training volumes.
    identical : tuple of tuple (str, str)
        Synthetic volumes equal to training volumes, value by value, and which.
    asked : tuple of Followed
        Adherence to the requested conditions.
    ageing : Trend or None
        Trend of the ventricle volume with age.
    regions : tuple of VolumeDifference
        Grey matter by region; empty without tissues.
    labels : tuple of VolumeDifference
        Labels of the label maps of both cohorts; empty without maps.
    findings : tuple of Finding
        The findings, in words.
    downstream : tuple of Downstream, optional
        What the synthetic volumes are worth for training predictors.
    """

    about: dict
    distribution: dict
    texture: dict
    ranges: AcceptanceRanges
    verdicts: tuple
    diversity: dict[str, Similarity]
    copies: dict
    identical: tuple
    asked: tuple
    ageing: Trend | None
    regions: tuple[VolumeDifference, ...]
    labels: tuple[VolumeDifference, ...]
    findings: tuple
    downstream: tuple[Downstream, ...] = ()

    def to_config(self, *, show_nearest=False):
        """Describe it in JSON's own types, without arrays of volumes.

        Parameters
        ----------
        show_nearest : bool, optional
            Name the training volumes that synthetic ones are equal or nearest to.

        Returns
        -------
        dict
        """
        ranges = {
            "n": self.ranges.n,
            "limits": self.ranges.limits,
            "real": self.ranges.real,
            "left_out": self.ranges.left_out,
        }
        content = {
            "about": self.about,
            "findings": self.findings,
            "distribution": self.distribution,
            "texture": self.texture,
            "not_noise": {"ranges": ranges, "verdicts": self.verdicts},
            "diversity": self.diversity,
            "copies": {
                name: _described(audit, show_nearest)
                for name, audit in self.copies.items()
            },
            "identical": self.identical
            if show_nearest
            else [name for name, _ in self.identical],
            "asked": [
                {k: v for k, v in asdict(one).items() if k not in _OF_REAL_SUBJECTS}
                for one in self.asked
            ],
            "ageing": self.ageing,
            "regions": self.regions,
            "labels": self.labels,
            "downstream": self.downstream,
        }
        return plain(content)


def _described(audit, show_nearest):
    """Return an audit as a dict, without the nearest training volumes if not shown."""
    config = {**asdict(audit), "void": audit.void, "copies": audit.copies}
    for side in ("samples", "held_out") if not show_nearest else ():
        del config[side]["index"]
    return config


def plain(value):
    """Convert arrays and the like to JSON types; None where not finite."""
    if is_dataclass(value):
        value = asdict(value)
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
