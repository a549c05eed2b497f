"""Train a guide, the weaker network of autoguidance, for a model without one.

    python benchmarks/add_guide.py PREPARED MODEL RUN_DIR FOLDER [--epochs 2]

It is trained as `LDM.fit` trains it, on latents of MODEL; RUN_DIR keeps them, and
resumes. FOLDER gets the model with its guide, in float16.
"""

import argparse
from pathlib import Path

from dipy_synth.data.cohort import fingerprint, open_cohort, rows_of
from dipy_synth.data.split import SPLITS
from dipy_synth.diffusion.sampling_settings import DEFAULT_SAMPLING
from dipy_synth.networks.presets import UNET_PRESETS
from dipy_synth.nn.ldm import LDM
from dipy_synth.training import TrainingSettings, building, train
from dipy_synth.training.train_denoiser import (
    GUIDE,
    describe_training,
    encode_splits,
    guide_settings,
    make_guide,
    make_pairs,
    measure_latents,
)


def main():
    """Read the arguments, train, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("prepared", "model", "run_dir", "folder"):
        parser.add_argument(name)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    ldm, cohort = LDM(options.model), open_cohort(options.prepared)
    ldm.guide = train_guide(ldm, cohort, options)
    defaults = ("autoguidance", "autoguidance_interval")
    ldm.config["sampling"] |= {name: DEFAULT_SAMPLING[name] for name in defaults}
    print(ldm.save(options.folder, dtype="float16"))


def train_guide(ldm, cohort, options):
    """Train a guide as `LDM.fit` does: UNet."""
    preset, run_dir = UNET_PRESETS[options.preset], Path(options.run_dir)
    settings = TrainingSettings(**preset["training"])
    latents = encode_splits(cohort, ldm.vqvae, ldm.schema, run_dir)
    rows = {split: rows_of(cohort, split) for split in SPLITS}
    pairs = make_pairs(latents, rows, ldm, settings, crop=preset["crop"])
    with building(settings):
        guide = make_guide(ldm.network)
    measure_latents(latents["train"], [guide], ldm.vqvae.network)
    train(
        guide,
        pairs[0],
        validation=pairs[1],
        run_dir=run_dir / GUIDE,
        settings=guide_settings(settings, options.epochs),
        about=describe_training(
            ldm, ldm, cohort=fingerprint(cohort, ldm.schema.names), crop=preset["crop"]
        ),
    )
    return guide


if __name__ == "__main__":
    main()
