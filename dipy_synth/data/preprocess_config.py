"""How scans are prepared: brain, bias field, alignment, intensities, grid."""

from dataclasses import dataclass, fields

from dipy_synth.data.brain_extraction import EXTRACTORS
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid, model_grid

CHOICES = {
    "brain": ("auto", "given", *EXTRACTORS),
    "align": ("rigid", "affine", "none"),
    "scaling": ("percentile", "minmax"),
    "order": (1, 3),
    "regrid": ("grid", "dipy"),
}
# Resampling: its default grid.
GRIDS = {"grid": Grid(), "dipy": Grid((128,) * 3, (2.0,) * 3, (0.0,) * 3)}


@dataclass(frozen=True)
class PreprocessConfig:
    """Preprocessing of every scan of a cohort.

    Parameters
    ----------
    brain : {"auto", "given", "nonzero", "none", "evac", "synthseg", "deepbet"}
        Source of the brain mask, see `dipy_synth.data.brain_extraction.find_brain`.
    bias : bool, optional
        Correct the bias field by N4.
    align : {"rigid", "affine", "none"}, optional
        Alignment to MNI152. "rigid" keeps sizes; "none" centres the grid on the
        brain in its native space.
    scaling : {"percentile", "minmax"}, optional
        Intensities to [0, 1] by percentiles of the brain, or by its extremes.
    percentiles : tuple of float, (2,), optional
        The percentiles, in 0 to 100.
    order : {3, 1}, optional
        Cubic (clipped to the native range) or linear interpolation.
    regrid : {"grid", "dipy"}, optional
        "grid" interpolates at the voxels of the grid. "dipy" resamples as DIPY's
        networks do, by `dipy.nn.utils.transform_img`, see
        `dipy_synth.data.transform_img.transform_t1`, without alignment.
    grid : Grid, optional
        The grid; by default 80 x 96 x 80 voxels of 2 mm, and 128 x 128 x 128 of 2 mm
        for "dipy".

    Raises
    ------
    InputError
        If a value is not among the choices, or two exclude each other.
    """

    brain: str = "auto"
    bias: bool = True
    align: str = "rigid"
    scaling: str = "percentile"
    percentiles: tuple[float, float] = (0.5, 99.5)
    order: int = 3
    regrid: str = "grid"
    grid: Grid | None = None

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} {getattr(self, name)!r}: expected one of "
                    f"{', '.join(map(str, choices))}"
                )
        percentiles = tuple(float(value) for value in self.percentiles)
        if len(percentiles) != 2 or not 0 <= percentiles[0] < percentiles[1] <= 100:
            raise InputError(
                f"percentiles {percentiles}: expected two rising numbers, 0 to 100"
            )
        if self.regrid == "dipy" and self.align != "none":
            raise InputError(
                f"regrid='dipy' with align={self.align!r}: transform_img places each "
                "volume by its own field of view, without alignment; "
                "expected align='none', or regrid='grid', which aligns on a grid of "
                "any shape"
            )
        object.__setattr__(self, "percentiles", percentiles)
        object.__setattr__(self, "grid", self.grid or GRIDS[self.regrid])

    def to_config(self):
        """Return the configuration as a dict of JSON types.

        Returns
        -------
        dict
        """
        config = {f.name: getattr(self, f.name) for f in fields(self)}
        config.update(percentiles=list(self.percentiles), grid=self.grid.to_config())
        return config

    @classmethod
    def from_config(cls, config):
        """Build the configuration from the dict of `to_config`.

        Parameters
        ----------
        config : dict
            What `to_config` returned.

        Returns
        -------
        PreprocessConfig
        """
        known = {f.name for f in fields(cls)}
        if not isinstance(config, dict) or not set(config) <= known:
            raise InputError(
                f"preprocessing {config!r}: expected keys among {sorted(known)}"
            )
        config = dict(config)
        if isinstance(config.get("grid"), dict):
            config["grid"] = Grid.from_config(config["grid"])
        return cls(**config)

    @classmethod
    def of_model(cls, config, *, brain="auto"):
        """Build the configuration that the cohort of a model was prepared with.

        Parameters
        ----------
        config : dict
            Configuration of the model; where it does not record the preprocessing, the
            default is used on its grid.
        brain : str, optional
            Source of the brain masks.

        Returns
        -------
        PreprocessConfig

        Raises
        ------
        InputError
            If the model is one of images.
        """
        known = config.get("preprocessing") or {}
        return cls.from_config({**known, "grid": model_grid(config), "brain": brain})
