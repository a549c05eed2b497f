"""A synthetic cohort on disk: volumes, sidecars, tables and a picture."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from dipy.utils.logging import logger
from tqdm import tqdm

from dipy_synth import __version__
from dipy_synth.data.images import read_volume, write_volume
from dipy_synth.errors import InputError
from dipy_synth.files import read_json, write_json, write_table
from dipy_synth.grid import Grid
from dipy_synth.pictures import save_montage


@dataclass(frozen=True)
class Request:
    """What a synthetic cohort is to be; two equal requests give equal volumes.

    Attributes
    ----------
    seed : int
        Seed of the noise.
    conditions : dict
        Values asked for, such as ``{"age": 70, "sex": "F"}``.
    steps : int or None
        Steps of the sampler; None takes what the model recommends.
    sampler : str or None
        The sampler; likewise.
    guidance : float or None
        Weight of the conditions; likewise.
    """

    seed: int = 0
    conditions: dict = field(default_factory=dict)
    steps: int | None = None
    sampler: str | None = None
    guidance: float | None = None

    def completed(self, advice):
        """Fill what was left open with a model's recommended sampling (dict)."""
        values = asdict(self)
        return Request(
            **{k: advice.get(k) if v is None else v for k, v in values.items()}
        )

    def to_config(self):
        """Tell the request as the sidecars do: CamelCase keys, JSON values."""
        return {name.capitalize(): value for name, value in asdict(self).items()}


def synthesize_cohort(ldm, out_dir, *, n=1, request=None, batch_size=1, force=False):
    """Generate volumes straight to disk, or go on where a run was stopped.

    A volume that is there is kept, a missing one is made; the result is that of an
    uninterrupted run. No more than a batch of volumes is in memory.

    Parameters
    ----------
    ldm : LDM
        A model with weights.
    out_dir : str or Path
        Folder of the cohort, a BIDS derivative.
    n : int, optional
        Volumes wanted. Asking for more later adds to those that are there.
    request : Request, optional
        What they are to be.
    batch_size : int, optional
        Volumes at a time.
    force : bool, optional
        Replace a cohort that was made by another request or model.

    Returns
    -------
    list of Path
        The volumes, ``sub-synth<number>_desc-synthetic_T1w.nii.gz``, float32 in
        [0, 1] with the background exactly 0.

    Raises
    ------
    InputError
        If the folder holds something else, or the request cannot be met.
    """
    out_dir, request = Path(out_dir), (request or Request())
    if n < 1:
        raise InputError(f"n_samples {n}: expected at least 1")
    request = request.completed(ldm.config["sampling"])
    told = {"ModelHash": ldm.config["weights_sha256"], **request.to_config()}
    _claim(out_dir, told, ldm, force=force)
    paths = [_volume_path(out_dir, number) for number in range(n)]
    missing = [i for i, path in enumerate(paths) if not path.exists()]
    if len(missing) < n:
        logger.info("%s: %d of %d volumes are there", out_dir, n - len(missing), n)
    _make(ldm, missing, paths, request, told, batch_size)
    _write_tables(out_dir, request)
    shown = [read_volume(path)[0] for path in paths[:8]]
    save_montage(out_dir / "mid-slices.png", [shown])
    return paths


def _sampling(request):
    names = ("steps", "sampler", "guidance")
    return {name: getattr(request, name) for name in names}


def _make(ldm, missing, paths, request, told, batch_size):
    """Generate the missing volumes, batch by batch of consecutive numbers."""
    affine = Grid.from_config(ldm.config["grid"]).affine
    with tqdm(total=len(missing), unit="volume", desc="synthetic brains") as bar:
        for numbers in _runs(missing, batch_size):
            volumes = ldm.generate(
                len(numbers),
                seed=request.seed,
                first=numbers[0],
                conditions=request.conditions,
                batch_size=batch_size,
                progress=False,
                **_sampling(request),
            )
            for number, volume in zip(numbers, volumes):
                _write(paths[number], volume, affine, {**told, "SampleNumber": number})
            bar.update(len(numbers))


def _runs(numbers, longest):
    """Cut rising numbers into runs of consecutive ones, of a largest length."""
    run = []
    for number in numbers:
        if run and (number != run[-1] + 1 or len(run) == longest):
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _write(path, volume, affine, told):
    """Write a volume and its sidecar; the volume last, since it marks completion."""
    sidecar = {"Synthetic": True, "DipySynthVersion": __version__, **told}
    write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)
    write_volume(path, volume, affine)


def _volume_path(out_dir, number):
    subject = f"sub-synth{number + 1:05d}"
    return out_dir / subject / "anat" / f"{subject}_desc-synthetic_T1w.nii.gz"


def _claim(out_dir, told, ldm, *, force):
    """Make the folder this request's own, or refuse if it is another's."""
    path = out_dir / "dataset_description.json"
    if path.exists():
        found = read_json(path).get("DipySynth")
        if found == told:
            return
        if not force:
            raise InputError(
                f"{out_dir}: holds {_difference(found, told)}. Use the same request to "
                "add to it, another --out_dir, or --force to replace it."
            )
        for old in out_dir.glob("sub-synth*/anat/sub-synth*_desc-synthetic_T1w.*"):
            old.unlink()
    elif out_dir.is_dir() and any(out_dir.glob("sub-*")):
        raise InputError(f"{out_dir}: holds subjects of another data set")
    _describe(path, told, ldm)


def _difference(found, told):
    if found is None:
        return "another data set"
    parts = [
        f"{key} {found.get(key)} (asked for: {value})"
        for key, value in told.items()
        if found.get(key) != value
    ]
    return "a cohort made by another request: " + ", ".join(parts)


def _describe(path, told, ldm):
    """Write the BIDS description of the cohort."""
    content = {
        "Name": "Synthetic T1 brain MRI",
        "BIDSVersion": "1.10.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "dipy_synth", "Version": __version__}],
        "DipySynth": told,
    }
    licence = ldm.config.get("license")
    if licence:
        content["License"] = licence
    write_json(path, content)


def _write_tables(out_dir, request):
    """Write participants.tsv from what is there."""
    found = sorted(out_dir.glob("sub-synth*/anat/*_desc-synthetic_T1w.nii.gz"))
    rows = [{"participant_id": path.parts[-3], **request.conditions} for path in found]
    write_table(out_dir / "participants.tsv", rows)
