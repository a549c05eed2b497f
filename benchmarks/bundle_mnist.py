"""Put a trained model of digits where the package ships it, with a card.

    python benchmarks/bundle_mnist.py IMAGES WORK FOLDER

WORK is what make_mnist.sh filled. The float16 model is measured as it will be read, as
its recommended sampling makes digits; no number of the card is typed in.
"""

import argparse
from datetime import date
from pathlib import Path

from mnist import compared, generate, measure
import numpy as np
from runs import hardware, history, minutes

from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.predictor import CovariatePredictor

N = 500
SAMPLING = {
    "sampler": "sde_dpmpp_2m",
    "steps": 24,
    "guidance": 2.0,
    "guidance_rescale": 0.0,
    "guidance_interval": None,
    "autoguidance": None,
    "autoguidance_interval": None,
}
CARD = """# {name}

A latent diffusion model of handwritten digits, 28x28, by class (`label`, 0 to 9): a
small model to try commands on, and a check that both halves work.

- **Data**: {n_train} of {n_all} digits of MNIST (Yann LeCun and Corinna Cortes), which
  is under [CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/); so are these
  weights, with credit to them.
- **Made by** the commands of `benchmarks/make_mnist.sh`: {autoencoder}, U-Net
  {epochs} epochs ({minutes:.0f} minutes), on one core beside other work.
- **Measured** by `benchmarks/bundle_mnist.py` on {n} samples of these float16 weights,
  a tenth of each class, made with {sampling}, beside as many held-out digits, on
  {hardware} ({date}). FID and IS are of the features and probabilities of a predictor
  that was trained on the same training digits; FID is from {n} other held-out digits.

{table}

- **What it is not**: a model of all handwriting; it has seen {n_train} digits, and no
  copy audit was made.
- **Contents**: `config.json` (networks, salted hashes of the digits of either side of
  the split, conditions, recommended sampling) and `weights-*.npz` (float16 arrays);
  nothing in this folder can run code.
"""


def main():
    """Read the arguments, write the folder, measure it, write its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("images", "work", "folder"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    ldm = LDM(options.work / "flow")
    ldm.config["license"] = "CC BY-SA 3.0"
    ldm.config["sampling"] = SAMPLING
    small = LDM(ldm.save(options.folder, dtype="float16"))
    small.save(options.folder, dtype="float16", card=card(small, options))


def card(ldm, options):
    """Fill the card with what the run recorded, and what is measured."""
    split, defaults = ldm.config["split"], ldm.config["sampling"]
    rows, known = history(options.work / "flow"), options.work / "vqvae"
    autoencoder = "the autoencoder of the earlier model"
    if known.exists():
        autoencoder = f"autoencoder {len(history(known))} epochs"
    return CARD.format(
        name=options.folder.name,
        n_train=len(split["train"]),
        n_all=len(split["train"]) + len(split["validation"]),
        n=N,
        sampling=", ".join(f"{k} {v}" for k, v in defaults.items()),
        hardware=hardware(),
        date=date.today().isoformat(),
        table=table(ldm, options),
        autoencoder=autoencoder,
        epochs=len(rows),
        minutes=minutes(rows),
    )


def table(ldm, options):
    """Measure samples of the bundled weights: a table, one row a kind of image."""
    predictor, cohort = (
        CovariatePredictor(options.work / "predictor"),
        ArrayCohort.load(options.images),
    )
    reference, pairs = compared(cohort, ldm, N)
    images, labels = generate(ldm, N)
    digits = images / np.float32(255), labels
    pairs = {"digits requested by class": digits, **pairs}
    lines = ["| | FID | IS | read as asked |", "| - | - | - | - |"]
    for name, pair in pairs.items():
        found = measure(predictor, *pair, reference)
        share = found["accuracy"]
        shown = "" if share is None else f"{100 * share:.1f} %"
        lines.append(f"| {name} | {found['fid']:.2f} | {found['is']:.2f} | {shown} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
