"""Put a trained model where the package ships it: fp16 weights and a card.

    python benchmarks/bundle_model.py WORK FOLDER

WORK is what make_ixi_2mm.sh filled. Metrics in the card are read from
WORK/measured/measures.json and WORK/evaluation/evaluation.json, none is typed in.
"""

import argparse
from pathlib import Path
import textwrap

from runs import history, minutes

from dipy_synth.nn.ldm import LDM
from dipy_synth.utils.files import read_json

CARD = """# {name}

A latent diffusion model of T1 brains on a {shape} grid of {size} mm voxels,
aligned to MNI152, with age and sex as conditions. Read the metrics before you rely on
it.

- **Data**: {n_train} of {n_all} subjects of IXI (Hammersmith Hospital, 3 T), ages
  {low:.0f} to {high:.0f}. [IXI](https://brain-development.org/ixi-dataset/) is
  published under CC BY-SA 3.0; so are these weights, with credit to the IXI project.
{made}
- **Measured** by `benchmarks/measure_model.py` on the {n_held_out} validation subjects,
  whom no part of the model has seen, on {hardware} ({date}), sampling with
  {sampling}:

{table}

- **Evaluated** by `dipy_evaluate_mri --features predictor` on {n} samples, one for
  each validation subject with that subject's age and sex:

{findings}

- **What one sees** beside real brains (`doc/real_and_synthetic.png`): {seen}
- **What it is not**: validated for any clinical or statistical use. It has been trained
  for a short time on few subjects.
- **Contents**: `config.json` (networks, grid, salted hashes of the subjects of either
  side of the split, conditions with their rounded ranges, recommended sampling),
  `weights-*.npz` and `guide-*.npz` (float16 arrays) and `qc_filter-*.npz` (acceptance
  ranges for `dipy_synth_mri --gate`; no training brain at any resolution); nothing in
  this folder can run code.
"""


SEEN = """outline,
  hemispheres, ventricles, corpus callosum, white matter, cerebellum and stem are in
  place; gyri and sulci can be followed in all three planes, as sharp as real ones, and
  the fissure between the hemispheres is whole. Still off: the cortex is paler than a
  real one and sulci are shorter, between the hemispheres the cortex is patchy and dark,
  folia of the cerebellum are blurred, and the outline is a little ragged."""


def main():
    """Read the arguments, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    ldm = LDM(options.work / "ldm")
    ldm.save(options.folder, dtype="float16", card=card(ldm, options))


def card(ldm, options):
    """Fill the card with what the run recorded."""
    measured = read_json(options.work / "measured" / "measures.json")
    evaluated = read_json(options.work / "evaluation" / "evaluation.json")
    split, grid = ldm.config["split"], ldm.config["grid"]
    age = next(c for c in ldm.schema.columns if c.name == "age")
    return CARD.format(
        name=options.folder.name,
        shape="x".join(str(n) for n in grid["shape"]),
        size=grid["voxel_size"][0],
        n_train=len(split["train"]),
        n_held_out=len(split["validation"]),
        n_all=len(split["train"]) + len(split["validation"]),
        low=age.low,
        high=age.high,
        hardware=measured["hardware"],
        date=measured["date"],
        sampling=", ".join(f"{k} {v}" for k, v in ldm.config["sampling"].items()),
        table=_table(measured),
        n=evaluated["about"]["synthetic"]["n"],
        findings="\n".join(map(_finding, evaluated["findings"])),
        seen=SEEN,
        made=_made(options.work),
    )


def _made(work):
    """Describe the runs at hand, and the models that they started from."""
    about = read_json(work / "ldm" / "settings.json")["about"]
    own = f"autoencoder of the earlier model {about['autoencoder'][:12]}"
    if (work / "vqvae").exists():
        own = f"autoencoder {_run(work / 'vqvae')}"
    if (work / "decoder").exists():
        own += f", its decoder {_run(work / 'decoder')} more"
    start = "from random weights"
    if "initial" in about:
        start = f"from the earlier model {about['initial'][:12]} (`--initial`)"
    words = (
        f"- **Made by** the commands of `benchmarks/make_ixi_2mm.sh`: {own}, U-Net "
        f"{_run(work / 'ldm')} {start}, guide {_run(work / 'ldm' / 'guide')}. What was "
        "tried: `doc/benchmarks/denoiser.rst`."
    )
    return textwrap.fill(words, 88, subsequent_indent="  ")


def _run(folder):
    rows = history(folder)
    n = len(rows)
    return f"{n} epoch{'s' * (n != 1)} ({minutes(rows):.0f} minutes)"


def _table(measured):
    """Lay the metrics out, one a row."""
    lines = ["| metric | value |", "| --- | --- |"]
    for group in ("reconstruction", "generation"):
        for name, value in measured[group].items():
            lines.append(f"| {group}: {name.replace('_', ' ')} | {_formatted(value)} |")
    return "\n".join(lines)


def _finding(found):
    """Lay a finding out as an item of a list."""
    return textwrap.fill(
        f"- {found['words']}", 88, initial_indent="  ", subsequent_indent="    "
    )


def _formatted(value):
    if isinstance(value, dict):
        return f"{value['mean']} ± {value['sd']}"
    return value if isinstance(value, int) else round(value, 3)


if __name__ == "__main__":
    main()
