"""Put a trained predictor where the package ships it, with a card.

    python benchmarks/bundle_predictor.py PREPARED RUN FOLDER

The card's metrics are measured here, on the validation subjects of PREPARED, beside a
ridge regression on principal components of the voxels; none is typed in.
"""

import argparse
from datetime import date
from pathlib import Path

import numpy as np
from runs import hardware, history, minutes

from dipy_synth.data.cohort import Cohort
from dipy_synth.metrics.conditioning import (
    RidgePredictor,
    follows_category,
    follows_number,
)
from dipy_synth.metrics.features import VoxelPCA
from dipy_synth.nn.predictor import CovariatePredictor

CARD = """# {name}

A small network that reads {columns} from T1 brains on a {shape} grid of {size} mm
voxels, aligned to MNI152, and gives {features} features to compare cohorts by (FID,
KID). It is for the evaluation of synthetic brains only.

- **Data**: {n_train} of {n_all} subjects of IXI (Hammersmith Hospital, 3 T).
  [IXI](https://brain-development.org/ixi-dataset/) is published under CC BY-SA 3.0; so
  are these weights, with credit to the IXI project.
- **Made by** `benchmarks/make_ixi_2mm.sh` with `dipy_train_predictor`: {epochs} epochs
  in {minutes:.0f} minutes, the one with the least validation loss being kept.
- **How**: amounts of {levels} levels of brightness in blocks of {block} voxels, their
  principal components, and a correction by convolutions.
- **Measured** on the validation subjects, whom it was not trained on; they chose the
  epoch. On {hardware} ({date}). Beside it a ridge regression on {components} principal
  components of the voxels (`VoxelPCA`, `RidgePredictor`), trained on the same subjects;
  by chance is the mean over shuffles.

{table}

- **What it is not**: validated for any clinical use, or a measure of a person's brain
  age. The accuracy for sex has a standard error of about 0.08. Brains of other
  scanners, or prepared otherwise, may be read wrongly.
- **Contents**: `config.json` (network, grid, columns with their rounded ranges, salted
  hashes of the subjects of either side of the split) and `weights-*.npz` (float16
  arrays); nothing in this folder can run code.
"""
COMPONENTS = 32


def main():
    """Read the arguments, measure, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("prepared", "run", "folder"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    predictor, cohort = CovariatePredictor(options.run), Cohort.load(options.prepared)
    predictor.save(options.folder, card=card(predictor, cohort, options))


def card(predictor, cohort, options):
    """Fill the card with what the run recorded, and what is measured."""
    epochs = history(options.run)
    split, network = predictor.config["split"], predictor.network
    return CARD.format(
        name=options.folder.name,
        columns=" and ".join(predictor.schema.names),
        shape="x".join(str(n) for n in cohort.shape),
        size=cohort.grid.voxel_size[0],
        features=network.n_features,
        n_train=len(split["train"]),
        n_all=len(split["train"]) + len(split["validation"]),
        epochs=len(epochs),
        minutes=max(1, minutes(epochs)),
        levels=network.levels,
        block=network.shrink * network.block,
        hardware=hardware(),
        date=date.today().isoformat(),
        components=COMPONENTS,
        table=table(predictor.evaluate(cohort), regression(predictor, cohort)),
    )


def regression(predictor, cohort):
    """Predict the same columns of the same subjects by ridge regression."""
    extractor = VoxelPCA(cohort.volumes("train"), components=COMPONENTS)
    sides = ("train", "validation")
    features = {side: extractor(cohort.volumes(side)) for side in sides}
    rows = {
        side: predictor.schema.encode(
            [row for row, kept in zip(cohort.rows, cohort.where(side)) if kept]
        )
        for side in sides
    }
    found = {}
    for i, column in enumerate(predictor.schema.columns):
        known = {side: ~np.isnan(rows[side][:, i]) for side in sides}
        values = {
            side: np.asarray(column.decode(rows[side][known[side], i]))
            for side in sides
        }
        predictor = RidgePredictor(features["train"][known["train"]], values["train"])
        given = predictor(features["validation"][known["validation"]])
        follows = follows_category if column.categories else follows_number
        found[column.name] = follows(values["validation"], given)
    return found


def table(predicted, regressed):
    """Write the table of metrics, one a row."""
    lines = [
        "| metric | predictor | regression | by chance | n |",
        "| - | - | - | - | - |",
    ]
    names = {"r": "correlation", "mae": "mean absolute error", "accuracy": "accuracy"}
    for column, found in predicted.items():
        for name in names.keys() & vars(found).keys():
            values = [getattr(found, name), getattr(regressed[column], name)]
            values.append(getattr(found, f"control_{name}"))
            cells = " | ".join(f"{value:.2f}" for value in values)
            lines.append(f"| {column}: {names[name]} | {cells} | {found.n} |")
    return "\n".join([*lines[:2], *sorted(lines[2:])])


if __name__ == "__main__":
    main()
