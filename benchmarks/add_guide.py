"""Train a guide, the weaker network of autoguidance, for a model without one.

    python benchmarks/add_guide.py PREPARED MODEL RUN_DIR FOLDER [--epochs 2]

It is trained as `LDM.fit` trains it, on latents of MODEL; RUN_DIR keeps them, and
resumes. FOLDER gets the model with its guide, in float16.
"""

import argparse
from pathlib import Path

from dipy_synth.data.cohort import open_cohort, rows_of
from dipy_synth.networks.presets import UNET_PRESETS
from dipy_synth.nn.ldm import GUIDE, LDM
from dipy_synth.training import TrainingSettings, building, train
from dipy_synth.training.train_denoiser import (
    encode_splits,
    guide_settings,
    make_guide,
    make_pairs,
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
    preset, run_dir = UNET_PRESETS[options.preset], Path(options.run_dir)
    settings = TrainingSettings(**preset["training"])
    shorter = guide_settings(settings, options.epochs)
    latents = encode_splits(cohort, ldm.vqvae, ldm.schema, run_dir)
    training = {"training": True, "crop": preset["crop"], "dropout": 0.12}
    pairs = {
        side: make_pairs(latents[side], rows_of(cohort, side), ldm, settings, **more)
        for side, more in (("train", training), ("validation", {}))
    }
    with building(settings):
        guide = make_guide(ldm.network)
    mean, variance = (
        ldm.normalizer.mean @ ldm.normalizer.matrix,
        ldm.normalizer.variance,
    )
    _, basis = ldm.vqvae.network.patch_basis() or (None, None)
    guide.unfolding.set_statistics(mean, variance, basis=basis)
    train(
        guide,
        pairs["train"],
        validation=pairs["validation"],
        run_dir=run_dir / GUIDE,
        settings=shorter,
    )
    ldm.guide = guide
    print(ldm.save(options.folder, dtype="float16"))


if __name__ == "__main__":
    main()
