"""Hard use: commands that are killed, commands that meet, inputs that are broken.

``python benchmarks/hard_use.py WORK --kills 20 --writers 20 --inputs 10000``

- kills: each command is killed (SIGKILL) at a random moment, by its processor time, and
  run again, until it has ended; what it leaves is compared, byte by byte, with that of
  a run nobody killed.
- writers: each command is started twice at once for one folder.
- inputs: headers, tables, requests and model folders, each broken at random by a seeded
  generator. Each is read, or refused by an `InputError`; anything else is a failure.
"""

import argparse
from collections import Counter
import copy
import hashlib
import json
import logging
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
import time

import nibabel as nib
import numpy as np

from dipy_synth.conditions import Column, ConditionSchema
from dipy_synth.data.nifti import read_scan
from dipy_synth.errors import InputError
from dipy_synth.phantom import make_phantom
from dipy_synth.store import config_hash, read_config
from dipy_synth.synthesis.request import Request, read_matched_participants
from dipy_synth.utils.files import write_json
from dipy_synth.utils.tables import read_table, write_table

SHAPE, VOXEL = (20, 24, 20), 8.0
CELLS = ["", "n/a", "NaN", "inf", "-1", "999", "25,5", '"', "é", "\t", "\n", "0x1F"]
VALUES = [None, -1, 0, 1e400, "", "x", [], {}, [None], True, 2**70]
SCHEMA = ConditionSchema(
    (Column("age", low=20, high=80), Column("sex", "category", categories=("F", "M")))
)


def main():
    """Read the arguments, run each part, print its results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    for name in ("kills", "writers", "inputs"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="commands, such as preprocess")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(options.seed)
    logging.disable(logging.WARNING)  # nibabel's, of each broken header
    if options.inputs:
        print(text_of(break_inputs(options.work / "inputs", options.inputs, rng)))
    if options.kills or options.writers:
        for name, words, seconds in prepare_commands(options.work, options.only):
            print(f"{name}: {seconds:.0f} s of processor without a kill", flush=True)
            if options.kills:
                same, kills = kill(options.work, name, words, seconds, options, rng)
                print(f"  {same} of {options.kills} ended alike, after {kills} kills")
            if options.writers:
                print(f"  two writers: {meet(options.work, name, words, options)}")


# Commands -----------------------------------------------------------------------------


def prepare_commands(work, only=None):
    """Run each command once, and yield its name, its words and its seconds."""
    scans = write_scans(work / "scans", 8)
    commands = {
        "preprocess": [scans, "--align", "none", "--no_bias", "--voxel_size", "8"],
        "train_predictor": [work / "preprocess", *"--epochs 4 --batch_size 2".split()],
        "train_vqvae": [work / "preprocess", *"--epochs 4 --channels 8 8".split()],
        "train_ldm": [
            work / "preprocess",
            work / "train_vqvae",
            *"--epochs 4 --widths 8 8 8 --conditions age sex".split(),
        ],
        "synth": ["--model", work / "train_ldm", *"--n_samples 6 --steps 2".split()],
    }
    last = max(([*commands].index(name) for name in only or ()), default=4)
    commands = dict([*commands.items()][: last + 1])  # each needs those before it
    names = {"preprocess": "dipy_preprocess_t1", "synth": "dipy_synth_mri"}
    for name, words in commands.items():
        words = [names.get(name, f"dipy_{name}"), *map(str, words)]
        before = os.times()
        done = finish(start(words, work / name))
        if done[0]:
            raise SystemExit(f"{name}: status {done[0]}\n{done[1]}")
        if not only or name in only:
            used = np.subtract(os.times(), before)
            yield name, words, used[2] + used[3]  # processor time of children


def write_scans(root, n):
    """Write phantoms as a BIDS folder, once."""
    for i in range(n):
        name = f"sub-{i:02d}"
        path = root / name / "anat" / f"{name}_T1w.nii.gz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            phantom = make_phantom(i, shape=SHAPE, voxel_size=VOXEL)
            data = (phantom.data * 1000).astype("int16")
            nib.save(nib.Nifti1Image(data, phantom.affine), path)
    rows = [
        {"participant_id": f"sub-{i:02d}", "age": 20 + 5 * i, "sex": "FM"[i % 2]}
        for i in range(n)
    ]
    write_json(
        root / "dataset_description.json", {"Name": "P", "BIDSVersion": "1.10.0"}
    )
    write_table(root / "participants.tsv", rows)
    return root


def start(words, out_dir):
    """Start a command."""
    code = (
        f"import sys; sys.argv = {words!r}; from dipy_synth.workflows.cli import run; "
    )
    command = [sys.executable, "-c", f"{code}sys.exit(run())", "--out_dir", out_dir]
    command[2] = command[2].replace("; from", "+ sys.argv[1:]; from", 1)
    output = tempfile.TemporaryFile("w+")
    return subprocess.Popen(command, stdout=output, stderr=output), output


def finish(started):
    """Wait for a command: its exit status and its output."""
    process, output = started
    status = process.wait()
    output.seek(0)
    return status, output.read()


def kill_after(started, seconds):
    """Kill a command that has used so much processor time: whether it was killed."""
    process, _ = started
    while process.poll() is None:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")")[1].split()
        ticks = int(fields[11]) + int(fields[12])  # in user mode, in system mode
        if ticks >= seconds * os.sysconf("SC_CLK_TCK"):
            process.kill()
            process.wait()
            return True
        time.sleep(0.02)
    return False


def digest(root):
    """Hash what a command is run for: file to hash; not logs, states and curves."""
    kept = ("*.nii.gz", "sub-*/**/*.json", "*.tsv", "model/*")
    paths = sorted({path for pattern in kept for path in root.rglob(pattern)})
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file() and ".cache" not in path.parts
    }


def kill(work, name, words, seconds, options, rng):
    """Kill a command again and again: how often it ended alike, and the kills."""
    same, kills, out_dir = 0, 0, work / f"{name}-killed"
    for _ in range(options.kills):
        shutil.rmtree(out_dir, ignore_errors=True)
        for _ in range(3):
            if not kill_after(start(words, out_dir), rng.uniform(0.3, 1.0) * seconds):
                break
            kills += 1
        status, output = finish(start(words, out_dir))
        alike = digest(out_dir) == digest(work / name)
        same += alike and not status
        if not alike or status:
            print(f"  {name}: status {status}: {output.splitlines()[-1:]}", flush=True)
    return same, kills


def meet(work, name, words, options):
    """Start a command twice at once: text that counts what came of it."""
    found, out_dir = Counter(), work / f"{name}-met"
    for _ in range(options.writers):
        shutil.rmtree(out_dir, ignore_errors=True)
        answers = [finish(p) for p in [start(words, out_dir) for _ in range(2)]]
        refused = sum("is writing here" in output for _, output in answers)
        statuses = sorted(status for status, _ in answers)
        alike = digest(out_dir) == digest(work / name)
        found[f"statuses {statuses}, {refused} refused, alike {alike}"] += 1
    return dict(found)


# Inputs -------------------------------------------------------------------------------


def break_inputs(root, n, rng):
    """Break inputs and read them.

    Parameters
    ----------
    root : Path
        A folder for them.
    n : int
        How many, over all kinds.
    rng : numpy.random.Generator
        What breaks them.

    Returns
    -------
    dict of str to Counter
        Kind of input to how many were read, were refused, or failed in which way.
    """
    root.mkdir(parents=True, exist_ok=True)
    kinds = {
        "header": broken_header,
        "table": broken_table,
        "request": broken_request,
        "model": broken_model,
    }
    found = {name: Counter() for name in kinds}
    for number in range(n):
        name = [*kinds][number % len(kinds)]
        try:
            kinds[name](root, rng)
            found[name]["read"] += 1
        except InputError as error:
            found[name]["refused" if str(error) else "refused without words"] += 1
        except Exception as error:
            found[name][f"failed: {type(error).__name__}: {error}"[:100]] += 1
    return found


def broken_header(root, rng):
    """Read a NIfTI file of which some bytes of the header are others."""
    path = root / "scan.nii"
    data = np.arange(24, dtype="int16").reshape(2, 3, 4)
    content = bytearray(nib.Nifti1Image(data, np.eye(4)).to_bytes())
    for place in rng.integers(0, 352, rng.integers(1, 5)):
        content[place] = rng.integers(256)
    path.write_bytes(
        content[: rng.integers(300, 401)] if rng.random() < 0.1 else content
    )
    read_scan(path)


def broken_table(root, rng):
    """Read a table in which some cells are others, as participants to match."""
    names = ["participant_id", "age", "sex"]
    rows = [[f"sub-{i}", str(20 + i), "FM"[i % 2]] for i in range(4)]
    cells = [names, *rows]
    for _ in range(rng.integers(1, 4)):
        row = cells[rng.integers(len(cells))]
        row[rng.integers(len(row))] = str(rng.choice(CELLS))
    content = "\n".join("\t".join(row) for row in cells).encode()
    if rng.random() < 0.1:
        content = content.replace(b"a", bytes([rng.integers(128, 256)]), 1)
    path = root / "participants.tsv"
    path.write_bytes(content)
    read_table(path)
    read_matched_participants(path, SCHEMA)


def broken_request(root, rng):
    """Parse conditions and a sweep made of parts of such."""
    parts = ["age", "sex", "=", ":", ",", "20", "90", "F", "-", "nan", "", " ", "1e999"]
    sound = ["age=20", "sex=F", "age=20:80:3", "sex=F,M", "age=30,40"]
    word = str(rng.choice(sound)) if rng.random() < 0.7 else ""
    if rng.random() < 0.7:
        word += "".join(rng.choice(parts, rng.integers(1, 5)))
    conditions = SCHEMA.parse([word]) if rng.random() < 0.5 else {}
    sweep = SCHEMA.parse_sweep([word]) if not conditions else {}
    Request(conditions=conditions, sweep=sweep).count(int(rng.integers(-1, 3)))


def broken_model(root, rng):
    """Read a model's configuration in which some values are others."""
    sound = {
        "format": 2,
        "kind": "vqvae",
        "grid": {"shape": [2, 2, 2], "voxel_size": [1, 1, 1], "center": [0, 0, 0]},
        "split": {"salt": "", "train": [], "validation": []},
        "networks": {"autoencoder": {}},
        "weights_sha256": "0" * 64,
    }
    config = copy.deepcopy({**sound, "config_sha256": config_hash(sound)})
    key = str(rng.choice([*config]))
    if rng.random() < 0.3:
        del config[key]
    else:
        config[key] = VALUES[rng.integers(len(VALUES))]
    text = json.dumps(config)
    if rng.random() < 0.2:
        text = text[: rng.integers(len(text))]
    (root / "config.json").write_text(text)
    read_config(root, kinds=("vqvae",))
    unchanged = config == {**sound, "config_sha256": config_hash(sound)}
    if not unchanged:
        raise AssertionError(f"a changed {key} was read")


def text_of(found):
    """Write what `break_inputs` found, a line a kind."""
    return "\n".join(f"{name}: {dict(counts)}" for name, counts in found.items())


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
