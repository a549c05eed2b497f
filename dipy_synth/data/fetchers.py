"""Public T1 datasets: addresses, terms and download.

Addresses, sizes and checksums are as recorded by public projects; they were not
verified here. A download of another size or checksum is refused, with both in the
error.
"""

from dataclasses import dataclass
import os
from pathlib import Path
import re
import shutil

from dipy.utils.logging import logger

from dipy_synth.data.download import FetchError, RemoteFile, download, unpack
from dipy_synth.errors import InputError
from dipy_synth.utils.files import read_object, write_json
from dipy_synth.utils.lock import folder_lock

_RECEIPT = "source.json"  # written into a folder that is complete
_IXI = "biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"


@dataclass(frozen=True)
class Source:
    """A dataset to download, or one that needs a registration.

    Parameters
    ----------
    name, title : str
        Name on the command line, and title.
    home : str
        Web page: terms, registration, documentation.
    licence, credit : str
        Terms in a few words, and citation.
    folder : str
        The folder it is unpacked to.
    volumes : int
        Number of ``.nii.gz`` files when complete.
    archive : RemoteFile, optional
        The tar archive; None if the data need a registration.
    extras : tuple of RemoteFile, optional
        Small extra files. A failure to download one is a warning.
    """

    name: str
    title: str
    home: str
    licence: str
    credit: str
    folder: str
    volumes: int
    archive: RemoteFile | None = None
    extras: tuple[RemoteFile, ...] = ()


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="nfbs",
            title="NFBS: 125 T1 heads at 1 mm with brains and hand-corrected masks",
            home="http://preprocessed-connectomes-project.org/NFB_skullstripped",
            licence="terms of use on the home page; not stated in the archive",
            credit="Puccio et al., GigaScience 5 (2016), 10.1186/s13742-016-0150-5",
            folder="NFBS_Dataset",
            volumes=375,
            archive=RemoteFile(
                name="NFBS_Dataset.tar.gz",
                urls=(
                    "https://fcp-indi.s3.amazonaws.com/data/Projects/RocklandSample/"
                    "NFBS_Dataset.tar.gz",
                ),
                size=1_751_464_473,
                md5="06c467ac9ab6cbdb8185e6643879721d",
            ),
        ),
        Source(
            name="ixi",
            title="IXI: 581 T1 heads of three London hospitals, 1.5 and 3 T",
            home="https://brain-development.org/ixi-dataset",
            licence="CC BY-SA 3.0",
            credit="IXI dataset, brain-development.org",
            folder="IXI-T1",
            volumes=581,
            archive=RemoteFile(
                name="IXI-T1.tar",
                urls=(f"https://{_IXI}/IXI-T1.tar", f"http://{_IXI}/IXI-T1.tar"),
                md5="34901a0593b41dd19c1a1f746eac2d58",
            ),
            extras=(
                RemoteFile(  # age and sex
                    name="IXI.xls",
                    urls=(f"https://{_IXI}/IXI.xls", f"http://{_IXI}/IXI.xls"),
                    md5="066002afe250e4375d132266fcfceac5",
                ),
            ),
        ),
        Source(
            name="cc359",
            title="Calgary-Campinas-359: T1 heads, three vendors, 1.5 and 3 T, masks",
            home="https://sites.google.com/view/calgary-campinas-dataset/home",
            licence="on registration; terms on the home page",
            credit="Souza et al., NeuroImage 170 (2018) 482-494",
            folder="CC359",
            volumes=718,
        ),
    )
}


def fetch_t1(source, out_dir=None, *, force=False, keep_archive=False, **options):
    """Fetch a public T1 dataset; do nothing where it is complete.

    Parameters
    ----------
    source : str or Source
        A name in `SOURCES`, or another source.
    out_dir : str or Path, optional
        Parent of its folder. By default DIPY's data folder: ``$DIPY_HOME``, or
        ``.dipy`` in the home folder.
    force : bool, optional
        Replace an existing folder, once the new one is complete.
    keep_archive : bool, optional
        Keep the archive after it is unpacked.
    **options
        Options of `dipy_synth.data.download.download`, such as ``retries``.

    Returns
    -------
    Path
        The folder with the data; its ``source.json`` has origin and licence.

    Raises
    ------
    InputError
        If the name is unknown, the folder is incomplete, or the data need a
        registration; the message then has the steps and what is missing.
    FetchError
        If a download or its archive fails; run again to resume.
    """
    source = _find(source)
    home = os.environ.get("DIPY_HOME") or Path.home() / ".dipy"
    root = Path(out_dir or home)
    folder = root / source.folder
    if source.archive is None:
        return _check_manual(source, folder)
    with folder_lock(root / f".fetch-{source.name}"):
        if folder.exists() and not force:
            return _check_folder(source, folder, options)
        _fetch(source, root, folder, options)
        if not keep_archive:
            (root / source.archive.name).unlink()
    logger.info(f"{source.name}: complete in {folder}")
    return folder


def _fetch(source, root, folder, options):
    """Download and unpack a dataset."""
    logger.info(f"{source.title}\nhome: {source.home}\nlicence: {source.licence}")
    logger.info(f"please cite: {source.credit}")
    size = source.archive.size
    logger.info(f"size: {f'{size / 1e9:.2f} GB' if size else 'unknown'}")
    # The volumes are compressed one by one: unpacked they are as large as packed.
    archive = download(source.archive, root, room=1.05, **options)
    _install(source, archive, folder, options)


def _find(source):
    if isinstance(source, Source):
        return source
    if source not in SOURCES:
        known = ", ".join(SOURCES)
        raise InputError(f"{source}: no such dataset; expected one of {known}")
    return SOURCES[source]


def _count(folder):
    return sum(1 for _ in folder.rglob("*.nii.gz"))


def _check_folder(source, folder, options):
    """Return a complete folder; refuse an incomplete one.

    Extra files that are missing are downloaded again.
    """
    receipt, found = folder / _RECEIPT, _count(folder)
    expected = source.volumes
    if receipt.exists():
        expected = read_object(receipt, needed={"Volumes": int})["Volumes"]
    if found != expected:
        raise InputError(
            f"{folder}: holds {found} .nii.gz files, expected {expected}; move it "
            "away, or have it replaced (force)"
        )
    for extra in source.extras:
        if not (folder / extra.name).exists():
            _add_extra(extra, folder, options)
    logger.info(f"{source.name}: complete in {folder}, nothing to do")
    return folder


def _install(source, archive, folder, options):
    """Unpack beside the folder, then rename: it is complete or absent."""
    fresh = folder.with_name(f".tmp-{folder.name}")
    try:
        unpack(archive, fresh, progress=options.get("progress", True))
        inner = fresh / folder.name  # an archive may contain the folder, or only files
        content = inner if inner.is_dir() else fresh
        for extra in source.extras:
            _add_extra(extra, content, options)
        _write_receipt(source, content)
        _replace(content, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _add_extra(extra, folder, options):
    try:
        download(extra, folder, **options)
    except FetchError as error:
        (folder / f"{extra.name}.part").unlink(missing_ok=True)
        logger.warning(f"{error} The images are there without it.")


def _write_receipt(source, folder):
    found = _count(folder)
    if found != source.volumes:
        logger.warning(
            f"{source.archive.name}: {found} .nii.gz files, expected {source.volumes}"
        )
    receipt = {
        "Name": source.title,
        "Home": source.home,
        "License": source.licence,
        "HowToAcknowledge": source.credit,
        "URL": source.archive.urls[0],
        "MD5": source.archive.md5,
        "Volumes": found,
    }
    write_json(folder / _RECEIPT, receipt)


def _replace(fresh, folder):
    old = folder.with_name(f".old-{folder.name}")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


# --- Calgary-Campinas-359, which needs a registration ------------------------------

_CC359_NAME = re.compile(r"(CC\d{4})_[a-z]+_\d+_\d+_[MF](_[a-z_]+)?\.nii\.gz", re.I)


def check_cc359(folder):
    """List the present and missing files of Calgary-Campinas-359 in a folder.

    Images are named as ``CC0001_philips_15_55_M.nii.gz``, masks have a further word
    (``_staple``); both may be at any depth. Return a dict of lists: the subjects
    (``CC0001``) with ``images``, ``masks``, ``missing images`` or ``missing masks`` (of
    an image that is there), and archives that are still ``packed``.
    """
    paths = sorted(Path(folder).rglob("*"))
    found = [match for p in paths if (match := _CC359_NAME.fullmatch(p.name))]
    images = sorted({match[1] for match in found if match[2] is None})
    masks = sorted({match[1] for match in found if match[2] is not None})
    everyone = [f"CC{number:04d}" for number in range(1, 360)]
    archives = (".zip", ".tar", ".tgz", ".tar.gz")
    return {
        "images": images,
        "masks": masks,
        "missing images": [s for s in everyone if s not in images],
        "missing masks": [s for s in images if s not in masks],
        "packed": [p.name for p in paths if p.name.lower().endswith(archives)],
    }


def _check_manual(source, folder):
    """Return a folder that was downloaded by hand; refuse an incomplete one."""
    found = check_cc359(folder)
    there = f"{len(found['images'])} images and {len(found['masks'])} masks found"
    for name in ("missing images", "missing masks", "packed"):
        if values := found[name]:
            text = ", ".join(values[:5]) + ", ..." * (len(values) > 5)
            there += f"; {name}: {len(values)} ({text})"
    if found["missing images"] or found["missing masks"]:
        raise InputError(
            f"{source.name}: not for download without registration. Register at "
            f"{source.home}, download the original images and the skull-stripping "
            f"masks (STAPLE), unpack both into {folder}, and run this again to see "
            f"what is missing. Now there: {there}"
        )
    logger.info(f"{source.name}: {there} in {folder}; {source.licence}")
    return folder
