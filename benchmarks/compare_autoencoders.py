"""Train autoencoders on a prepared cohort for the same time each, and compare them.

    python benchmarks/compare_autoencoders.py PREPARED --minutes 4 --out_dir OUT

prints a markdown table: what each of `ROWS` makes of validation subjects after about
the same minutes of training, in whole epochs. A row that OUT holds already is not
trained again; OUT/monai/measures.json, which train_monai_vqvae.py writes, becomes a
row too.
"""

import argparse
from dataclasses import replace
from datetime import date
import os
from pathlib import Path
import platform
import time

from measure_model import reconstruction
import numpy as np

from dipy_synth.data.augment import crop_shape
from dipy_synth.data.cohort import Cohort
from dipy_synth.networks.architectures import make_autoencoder
from dipy_synth.networks.presets import PRESETS
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.training import TrainingSettings, building
from dipy_synth.training.optimizer import make_optimizer
from dipy_synth.utils.files import read_json, write_json

LEVELS = (63, *[31] * 3, *[15] * 28)  # of the first 8, 16 or 32 principal components
ROWS = {
    "default, 8 numbers": {"quantizer": {"name": "fsq", "levels": LEVELS[:8]}},
    "default, 16 numbers": {},
    "default, 32 numbers": {"quantizer": {"name": "fsq", "levels": LEVELS}},
    "residual": {"preset": "residual"},
    "plain": {"preset": "plain"},
}
METRICS = (
    "psnr_in_brain_db",
    "ssim_in_brain",
    "high_frequency_power_of_real",
    "codes_used",
    "perplexity_of_codes",
)


def main():
    """Read the arguments, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--out_dir", type=Path, default=Path("autoencoders"))
    options = parser.parse_args()
    cohort = Cohort.load(options.prepared)
    for name, choice in ROWS.items():
        path = options.out_dir / name.replace(", ", "-").replace(" ", "_")
        if not (path / "measures.json").is_file():
            write_json(path / "measures.json", measure(cohort, choice, path, options))
        print_row(name, read_json(path / "measures.json"))
    monai = options.out_dir / "monai" / "measures.json"
    if monai.is_file():
        print_row("MONAI's VQVAE", read_json(monai))


def measure(cohort, choice, run_dir, options):
    """Train one row for its minutes; give what measure_model.py gives, and how."""
    choice = dict(choice)
    preset = choice.pop("preset", "default")
    training = {**PRESETS[preset]["training"], "batch_size": 2, "learning_rate": 5e-4}
    settings = TrainingSettings(**{**training, "precision": options.precision})
    config = {"shape": cohort.shape, **PRESETS[preset]["network"], **choice}
    seconds = seconds_per_epoch(cohort, config, PRESETS[preset]["crop"], settings)
    settings = replace(settings, epochs=max(1, round(60 * options.minutes / seconds)))
    vqvae, started = VQVAE(None), time.perf_counter()
    chosen = {"settings": settings, "preset": preset, "force": True}
    vqvae.fit(cohort, run_dir=run_dir, network=choice, **chosen)
    minutes = (time.perf_counter() - started) / 60
    train, held_out = (
        np.asarray(cohort.volumes(side), "float32") for side in ("train", "validation")
    )
    decoded = vqvae.reconstruct(held_out)
    return {
        "date": date.today().isoformat(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores",
        "training": {"minutes": round(minutes, 1), "epochs": settings.epochs},
        "reconstruction": reconstruction(vqvae, train, held_out, decoded),
    }


def seconds_per_epoch(cohort, config, crop, settings):
    """Time some steps of a network that is then thrown away."""
    with building(settings):
        network = make_autoencoder(config)
    network.compile(make_optimizer(settings, batches=100))
    shape = crop_shape(cohort.shape, crop, multiple=network.factor)
    parts = np.prod(cohort.shape) // np.prod(shape)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (settings.batch_size, *shape, 1)).astype("float32")
    times = []
    for _ in range(7):
        started = time.perf_counter()
        network.train_on_batch(images)
        times.append(time.perf_counter() - started)
    steps = parts * cohort.where("train").sum() / settings.batch_size
    return float(steps * np.median(times[2:]))


def print_row(name, measures):
    """Print a row of the table; the first one with its head."""
    if name == next(iter(ROWS)):
        print(f"{measures['date']}, {measures['hardware']}\n")
        print("| autoencoder | minutes | " + " | ".join(METRICS) + " |")
        print("|" + " --- |" * (2 + len(METRICS)))
    found = measures["reconstruction"]
    minutes = str(measures["training"]["minutes"])
    cells = [name, minutes, *(_cell(found.get(metric)) for metric in METRICS)]
    print(f"| {' | '.join(cells)} |", flush=True)


def _cell(value):
    if isinstance(value, dict):
        return f"{value['mean']:.3f} ± {value['sd']:.3f}"
    return "" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
