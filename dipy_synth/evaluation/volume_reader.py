"""Reading of one volume to evaluate: its unit, its axes, and its way to the grid."""

from nibabel import orientations
from nibabel.affines import apply_affine
import numpy as np

from dipy_synth.data.brain_extraction import POSSIBLE, volume_of
from dipy_synth.data.headers import TOLERANCE, affine_distance
from dipy_synth.data.intensities import background_values
from dipy_synth.data.nifti import check_headers, read_volume
from dipy_synth.data.operations import resample
from dipy_synth.errors import InputError
from dipy_synth.grid import Grid, times
from dipy_synth.metrics.array_checks import THRESHOLD

OTHER_UNIT = 10.0  # noise about [0, 1] is below, intensities of a scanner are above
MARGIN, MOST_CUT = 0.05, 0.1  # beyond [0, 1], and the fraction of voxels that may lie
KEPT = 0.98  # least fraction of a volume's foreground on the other grid


class VolumeReader:
    """Reader of files on one grid, by default that of the first, with notes."""

    def __init__(self, grid, *, assumed=None, noise=False):
        self.grid, self._assumed, self._noise = grid, assumed, noise
        self._cut, self._moved, self._headers = [], [], []

    def __call__(self, path):
        data, affine = read_volume(path)
        if self._assumed is None and (found := check_headers(path)):
            self._headers.append(f"{path}: {'; '.join(found)}")
        if self._assumed is not None:
            if data.shape != self._assumed.shape:
                raise InputError(
                    f"{path}: shape {data.shape}, expected {self._assumed.shape}"
                )
            affine = self._assumed.affine
        data = self._checked(path, data)
        data, affine = _to_ras(data, affine)
        if self.grid is None:
            self.grid = _grid_of(path, data.shape, affine)
        apart = affine_distance(self.grid.shape, affine, self.grid.affine)
        tolerance = TOLERANCE * min(self.grid.voxel_size)
        if data.shape != self.grid.shape or apart > tolerance:
            data = self._moved_to_grid(path, data, affine)
        return data.astype("float16")

    def notes(self):
        """Changes of volumes when read: tuple of str."""
        notes = ()
        if self._headers:
            notes += (
                f"{len(self._headers)} volumes have contradictions or gaps in their "
                f"headers; the first, {self._headers[0]}",
            )
        if self._moved:
            notes += (
                f"{len(self._moved)} volumes, the first {self._moved[0]}, lie on "
                f"another grid and were resampled to {times(self.grid.shape)} voxels "
                f"of {times(self.grid.voxel_size)} mm",
            )
        if self._cut:
            path, low, high = self._cut[0]
            notes += (
                f"{len(self._cut)} volumes have values outside of [0, 1], which were "
                f"clipped; the first, {path}, goes from {low:.3g} to {high:.3g}",
            )
        return notes

    def _checked(self, path, data):
        """Refuse volumes that are not in [0, 1]; clip values a little outside."""
        if not np.isfinite(data).all():
            raise InputError(
                f"{path}: {np.count_nonzero(~np.isfinite(data))} voxels are NaN or "
                "infinite; expected values in [0, 1]"
            )
        low, high = float(data.min()), float(data.max())
        if low == high:
            raise InputError(f"{path}: all voxels are {low:g}; expected a volume")
        if max(-low, high) > OTHER_UNIT or high <= THRESHOLD:
            raise InputError(
                f"{path}: values from {low:g} to {high:g}; expected [0, 1] "
                "(dipy_preprocess_t1 prepares scans)"
            )
        if not self._noise:
            _check_unit(path, data)
        if low < -1e-6 or high > 1 + 1e-6:
            self._cut.append((path, low, high))
        return data.clip(0, 1)

    def _moved_to_grid(self, path, data, affine):
        """Resample a volume; refuse one whose brain is not on the grid."""
        where = (
            f"{path}: shape {data.shape}, affine {_in_a_line(affine)}; the real "
            f"volumes' is {self.grid.shape}, {_in_a_line(self.grid.affine)}"
        )
        mask = data > THRESHOLD
        matrix, volume = self.grid.voxel_map(affine), volume_of(mask, affine)
        if volume < POSSIBLE[0]:
            raise InputError(
                f"{where}. On that grid it has {volume:.3g} mL; expected a brain of "
                f"{POSSIBLE[0]:.0f} mL or more: are the voxel sizes right?"
            )
        if _share_on(self.grid, mask, matrix) < KEPT:
            raise InputError(
                f"{where}. Most of it would be lost on that grid; expected volumes on "
                "one grid, or in one world space"
            )
        moved, _ = resample(data, mask, matrix, self.grid.shape, order=1)
        self._moved.append(path)
        return moved


def _check_unit(path, data):
    """Refuse a brain most of which is clipped, or whose background is not 0."""
    there = data[data != 0]
    cut = np.mean((there < -MARGIN) | (there > 1 + MARGIN))
    if cut > MOST_CUT:
        raise InputError(
            f"{path}: values from {data.min():.3g} to {data.max():.3g}, {cut:.0%} of "
            "them outside of [0, 1]; expected [0, 1], the background 0"
        )
    background = background_values(data)
    if background and background[0] > THRESHOLD:
        raise InputError(
            f"{path}: a background of {background[0]:.3g}; expected 0, and the brain "
            "in [0, 1]"
        )


def _to_ras(data, affine):
    """Permute and flip axes to RAS."""
    order = orientations.io_orientation(affine)
    turned = orientations.apply_orientation(data, order)
    return turned, affine @ orientations.inv_ornt_aff(order, data.shape)


def _grid_of(path, shape, affine):
    """Return the grid of a volume whose axes are those of the world."""
    sizes = np.diag(affine)[:3]
    if np.abs(affine[:3, :3] - np.diag(sizes)).max() > 1e-3 * sizes.min():
        raise InputError(
            f"{path}: affine {_in_a_line(affine)} is oblique; expected axes along "
            "those of the world (dipy_preprocess_t1 prepares scans)"
        )
    middle = apply_affine(affine, (np.array(shape) - 1) / 2)
    return Grid(shape, tuple(sizes), tuple(middle))


def _share_on(grid, mask, matrix):
    """Compute the fraction of a mask on a grid; `matrix` maps grid to mask voxels."""
    places = np.argwhere(mask)
    if not len(places):
        return 0.0
    found = apply_affine(np.linalg.inv(matrix), places)
    inside = (found > -1) & (found < np.array(grid.shape))
    return float(inside.all(axis=1).mean())


def _in_a_line(affine):
    rows = (" ".join(f"{v:.4g}" for v in row) for row in affine[:3])
    return f"[{'; '.join(rows)}]"
