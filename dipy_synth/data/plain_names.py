"""Choice of T1 scans among files of any name, by the words in their names."""

import os
import re

from dipy_synth.data.records import entities, labels, stem
from dipy_synth.utils.files import read_optional_object

# Other contrasts and modalities; a T1 before one of them wins (T1_to_T2).
CONTRASTS = set(
    "t2 t2w t2star t2s flair bold fmri func epi dwi dti adc swi swan asl cbf perf pwi "
    "pdw pdt2 mra tof angio phasediff fieldmap magnitude localizer scout sbref "
    "task resting dir qsm mtr t1map t2map r1map r2star t2starw spectroscopy "
    "t1c t1ce t1gd t2f dixon suv suvr".split()
)
# Derivatives of a scan that are no scans.
DERIVED = set(
    "mask brainmask seg segmentation seg8 aseg aparc dseg probseg label labels parc "
    "parcellation roi rois lesion lesions tissue tissues atlas pve pveseg wmh wmparc "
    "warp warped xfm jacobian displacement deformation biasfield prob probability "
    "ribbon thickness curv overlay edges".split()
)
# Words that may also be initials or a diagnosis: they count only where another file
# has the same name but for that last word.
AMBIGUOUS = set("pd fa md rd ad gm wm csf ct pet b0 b1 rest inv1 inv2 swi bet".split())
# Folders of masks and other contrasts, besides those that are named by such words.
FOLDERS = set("masks segs segmentations labelstr labelsts rest".split())
T1 = set("t1 t1w t1n t1weighted mprage mp2rage spgr bravo tfe ffe mpr fspgr".split())
# Processing of a scan; the unprocessed scan is preferred.
PROCESSED = set(
    "brain bet stripped skullstripped ss n4 corrected biascorr biascorrected restore "
    "reg registered mni norm normalized normalised defaced deface preproc preprocessed "
    "masked gfc orig raw reoriented ras copy resampled denoised cropped "
    "unbiased".split()
)
SERIES = ("SeriesDescription", "ProtocolName")  # in the JSON file of a scan
TEMPLATES = set("mni152 icbm152 colin27 ch2 template".split())  # first, or after mni
LAST_WORD = re.compile(r"(.*)(?:^|[_\-. ]|(?<=[a-z])(?=T1))([A-Za-z0-9]+)")
# Prefixes of SPM and CAT12, of files beside the one they are made of, or below it.
SPM = re.compile(r"(?:m0?|mi|r|w|s\d*|i?y_|u_|c[1-6]|p[0-6]|BiasField_)+")


def words(name):
    """Return the words of a file name, in lower case: list of str."""
    name = re.sub(r"([a-z])(T[12])(?![0-9])", r"\1_\2", name)  # annaT1
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def is_mask(path):
    """Return whether a file is a mask, by its name: bool."""
    return stem(path).lower().endswith("mask")


def choose_scans(paths, *, keep=()):
    """Choose the T1 scans among files of any name; those in `keep` are scans.

    Return one scan per person and folder, or per subject and session where a name has
    them, and the other files by the reason that they are left out.
    """
    keep, left_out, groups = set(keep), {}, {}
    names = {(path.parent, stem(path)) for path in paths}
    starts, kind = {}, _kinds_of_folders(paths)
    for path in paths:
        starts.setdefault((path.parent, _start(path)), set()).add(stem(path))
    for path in paths:
        why = "" if path in keep else _not_t1(path, names, starts) or kind[path]
        if why:
            left_out.setdefault(why, []).append(path)
        else:
            groups.setdefault(_person(path), []).append(path)
    for path in _named_after([p for group in groups.values() for p in group]):
        if path not in keep:
            left_out.setdefault("named after another scan", []).append(path)
            groups[_person(path)].remove(path)
    scans = []
    for group in filter(None, groups.values()):
        group = sorted(group, key=_processing)
        kept = [path for path in group if path in keep] or group[:1]
        scans += kept
        others = [path for path in group if path not in kept]
        if others:
            left_out.setdefault("another version of a scan", []).extend(others)
    return sorted(scans), left_out


def other_series(paths):
    """Return the files whose sidecars name another contrast: dict of Path to word.

    The JSON file that dcm2niix writes beside a scan has its ``SeriesDescription`` and
    ``ProtocolName``.
    """
    found = {}
    for path in paths:
        sidecar = read_optional_object(path.with_name(f"{stem(path)}.json"))
        series = [str(sidecar.get(key, "")) for key in SERIES]
        if word := _kind_of(words(" ".join([stem(path), *series]))):
            found[path] = f"{word} by its JSON"
    return found


def _kind_of(found):
    """Return the word of another contrast, or "" with one of T1."""
    return next((w for w in found if w in CONTRASTS), "") * T1.isdisjoint(found)


def _start(path):
    """Return the words of a name but the last, less those of T1."""
    return tuple(word for word in words(stem(path))[:-1] if word not in T1)


def _named_after(paths):
    """List files named after a scan of their folder: dixon of anna_dixon, anna_T1.

    The scan may also lie in the folder above. Those whose own names end in T1, or in a
    number alone, are scans all the same.
    """
    marked = {}
    for path in paths:
        own = words(stem(path))
        has_t1 = not T1.isdisjoint(own)
        for start in {tuple(own), _before_t1(path)}:
            key = (path.parent, start)
            marked[key] = marked.get(key, False) or has_t1
    return [path for path in paths if _is_named_after(path, marked)]


def _is_named_after(path, marked):
    """Return whether a name begins with that of a scan: bool."""
    own, base = words(stem(path)), words(person(path))
    if "sub" in entities(path) or not T1.isdisjoint(own[len(base) :]):
        return False
    least = next((i + 1 for i, word in enumerate(own) if word in T1), 0)
    for n in range(least, len(base)):
        start = tuple(base[:n])
        has_t1, above = (marked.get((folder, start)) for folder in _places(path))
        has_t1 = has_t1 if not (n and above) else True
        numbered = all(word.isdigit() for word in base[n:])
        if has_t1 or (has_t1 is False and n and not numbered):
            return True
    return False


def _before_t1(path):
    """Return the words of a name before T1, or less those of processing: tuple."""
    own = words(stem(path))
    first = next((i for i, word in enumerate(own) if word in T1), 0)
    return tuple(own[:first] or words(person(path)))


def _kinds_of_folders(paths):
    """Return the word that marks the folder of each file as another kind's: dict.

    Those above all files do not count, nor do folders of what has T1 in its name.
    """
    root = os.path.commonpath([p.parent for p in paths]) if paths else ""
    folders = {path.parent: "" for path in paths}
    for folder in folders:
        telling = [
            "" if word in T1 else f"in {part}"
            for part in reversed(folder.relative_to(root).parts)
            for word in words(part)
            if word in T1 | CONTRASTS | FOLDERS or _is_derived(word)
        ]
        folders[folder] = (telling or [""])[0]
    return {
        path: folders[path.parent] if T1.isdisjoint(words(stem(path))) else ""
        for path in paths
    }


def _is_derived(word):
    return word in DERIVED or word.endswith(("mask", "seg"))


def _not_t1(path, names, starts):
    """Return the word of a name that marks another kind of file; "" if none."""
    found = words(stem(path))
    if TEMPLATES & {*found[:1], *(found[1:2] if found[:1] == ["mni"] else ())}:
        return "template"
    if (part := entities(path).get("part", "mag")) != "mag":
        return f"part-{part}"
    for word in found:
        if _is_derived(word):
            return word
    for word in found:
        if word in T1:
            break
        if word in CONTRASTS:
            return word
    else:
        siblings = starts.get((path.parent, _start(path)), set()) - {stem(path)}
        alone = (path.parent, stem(path)[: -len(found[-1]) - 1]) if found else None
        if found and found[-1] in AMBIGUOUS and (siblings or alone in names):
            return found[-1]
    return "made by SPM" * _is_of_spm(path, names)


def _is_of_spm(path, names):
    """Return whether a name is that of a scan, with prefixes of SPM: bool."""
    name = stem(path)
    ends = [n for n in range(1, len(name)) if SPM.fullmatch(name, 0, n)]
    return any((folder, name[n:]) in names for n in ends for folder in _places(path))


def _places(path):
    """Return the folders whose scans a file may be made of: its own, and above."""
    return path.parent, path.parent.parent


def person(path):
    """Return a file's name without T1, brain and the like at its end: str."""
    name = stem(path)
    while name:
        found = LAST_WORD.fullmatch(name)
        if not found or found[2].lower() not in T1 | PROCESSED:
            return name
        name = found[1]
    return ""


def _person(path):
    """Return the part of the name that versions of one scan share."""
    names = labels(path)
    if "sub" in entities(path):
        return names["sub"], names.get("ses"), names.get("run")
    return path.parent, person(path)


def _processing(path):
    """Return the sort key of the versions of a scan: the least processed first."""
    found = words(stem(path))
    return sum(word in PROCESSED for word in found), len(found), path.name
