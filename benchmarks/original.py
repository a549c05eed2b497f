"""Why noise? One cause at a time, and all together, on axial slices of brains.

    python benchmarks/original.py PREPARED --out_dir OUT

trains every row of `AUTOENCODERS` and `DIFFUSION`, prints two tables in rst and draws
OUT/why_noise.png. What OUT holds already is not trained again, and a run that was
stopped goes on. What the package does not offer, since it is wrong, is in faults.py.
"""

import argparse
from dataclasses import asdict, dataclass
from datetime import date
import os
from pathlib import Path
import platform
import time

from faults import make_unet, sample_clipped
from measure_model import codes_of_brains, comparison
import numpy as np
from scipy import ndimage

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.image_cohort import ArrayCohort
from dipy_synth.diffusion.guidance import guided_denoiser
from dipy_synth.diffusion.latents import Latents
from dipy_synth.diffusion.noise import NoiseStreams
from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.diffusion.pairs import NoisyPairs
from dipy_synth.diffusion.samplers import sample_ddpm, sample_heun
from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow
from dipy_synth.metrics.array_checks import block_mean
from dipy_synth.metrics.comparison import METRICS, compare, noise_like
from dipy_synth.metrics.features import VoxelPCA
from dipy_synth.metrics.sharpness import high_frequency_power
from dipy_synth.networks.quantizer import usage
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.training import TrainingSettings, train
from dipy_synth.training.train_denoiser import measure_latents
from dipy_synth.utils.files import atomic_path, read_json, write_json

PLANES = slice(38, 44)  # axial, through the thalamus: 3 to 13 mm in MNI space
HALVED = 2  # pixels of 4 mm: what a small machine trains in a minute
EPOCHS = 5  # of batches of 5 slices; other batches get as many steps
LEVELS = {"name": "fsq", "levels": (63, 31, 31, 31)}  # 4 numbers for 16 pixels
AUTOENCODERS = {
    "default": {"quantizer": LEVELS},
    "plain": {"preset": "plain"},
    "plain, no weights": {"preset": "plain", "background_weight": 1.0},
    "plain, batch 12": {"preset": "plain", "batch_size": 12},
    "residual": {"preset": "residual"},
    "residual, no weights": {"preset": "residual", "background_weight": 1.0},
    "residual, batch 12": {"preset": "residual", "batch_size": 12},
}
STEPS, CALLS, SAMPLES, SHOWN = 684, 100, 96, 6
POWER = "high_frequency_power_of_real"
COLUMNS = ("fid", "kid", "power", "whole", "variety", "minutes")


@dataclass(frozen=True)
class Row:
    """One way to train a latent diffusion model and to sample from it."""

    chain: int = 0  # T of linear betas with eps-prediction; 0: rectified flow
    latents: str = "default"  # of which autoencoder
    normalized: bool = True
    prediction: str = "velocity"  # of the flow
    unfold: int = 1
    norm: str = "layer"
    average: float = 0.999
    batch_size: int = 12
    seed: int = 0
    clip: bool = False  # the mean of every step, to [-1, 1]
    calls: int = CALLS  # of the network when sampling; all T where that is less

    @property
    def run(self):
        """Name of the network: rows that differ in sampling alone share one."""
        options = {k: v for k, v in asdict(self).items() if k not in ("clip", "calls")}
        return "_".join(f"{k}-{v}" for k, v in options.items())

    @property
    def schedule(self):
        """The schedule it is trained with."""
        if self.chain:
            return DiscreteDiffusion(steps=self.chain)
        if self.preconditioned:
            return RectifiedFlow(times="log_snr", prediction=self.prediction)
        return RectifiedFlow(spacing="time")

    @property
    def preconditioned(self):
        """Whether the network predicts the residual of the best linear estimate."""
        return self.prediction == "preconditioned"


ALL = {"normalized": False, "norm": "batch", "average": 0.0, "clip": True}
DIFFUSION = {
    "flow": Row(),
    "flow, preconditioned": Row(prediction="preconditioned"),
    "flow, preconditioned, unfolded": Row(prediction="preconditioned", unfold=2),
    "noise prediction, T = 1000": Row(1000),
    "noise prediction, T = 300": Row(300),
    "noise prediction, T = 200": Row(200),
    "T = 1000, mean clipped": Row(1000, clip=True),
    "T = 300, mean clipped": Row(300, clip=True),
    "T = 200, mean clipped": Row(200, clip=True),
    "flow, latents not normalised": Row(normalized=False),
    "flow, BatchNorm": Row(norm="batch"),
    "T = 300, latents not normalised": Row(300, normalized=False),
    "T = 300, BatchNorm": Row(300, norm="batch"),
    "all at once, T = 300": Row(300, **ALL),
    "residual latents, flow": Row(latents="residual"),
    "residual latents, all at once, T = 300": Row(300, latents="residual", **ALL),
}


@dataclass(frozen=True)
class Slices(ArrayCohort):
    """Axial slices, split as the brains they are of: `held_out` (n,) tells them."""

    held_out: np.ndarray | None = None

    symmetric = True

    @classmethod
    def of(cls, prepared):
        """Cut the slices of a prepared cohort."""
        cohort = Cohort.load(prepared)
        planes = np.moveaxis(cohort.volumes()[..., PLANES], -1, 1)
        held_out = np.repeat(cohort.where("validation"), planes.shape[1])
        images = block_mean(planes.reshape(-1, *planes.shape[2:]), HALVED)
        return cls(cohort.root, images.astype("float16"), held_out=held_out)

    @property
    def _validates(self):
        return self.held_out


def train_autoencoder(cohort, choice, run_dir):
    """Train an autoencoder, or go on, or read it back."""
    choice = {"preset": "default", "batch_size": 5, **choice}
    batch_size, preset = choice.pop("batch_size"), choice.pop("preset")
    slices = int(cohort.where("train").sum())
    each = -(-slices // batch_size)
    settings = TrainingSettings(
        epochs=round(EPOCHS * -(-slices // 5) / each),
        batch_size=batch_size,
        learning_rate=1e-3,
    )
    vqvae = VQVAE(None)
    if (run_dir / "model" / "config.json").is_file():
        vqvae.load_model_weights(run_dir / "model")
        return vqvae
    options = {"run_dir": run_dir, "settings": settings, "preset": preset}
    vqvae.fit(cohort, crop=1, network=choice, **options)
    return vqvae


def measure_autoencoder(cohort, vqvae):
    """Compute its metrics on slices of held-out subjects."""
    held_out = np.asarray(cohort.volumes("validation"), "float32")
    decoded = vqvae.reconstruct(held_out, batch_size=24)
    sizes = vqvae.network.quantizer.sizes
    used, perplexity = usage(codes_of_brains(vqvae, held_out), sizes)
    found = comparison(held_out, decoded)
    return {**found, "codes_used": used, "perplexity": perplexity}


def encode(cohort, vqvae, path):
    """Return the latents of the training slices and their mirror images, cached."""
    if not path.is_file():
        slices = np.asarray(cohort.volumes("train"), "float32")
        both = np.concatenate([slices, slices[:, ::-1]])
        with atomic_path(path) as temporary:
            np.save(temporary, vqvae.encode(both, batch_size=24))
    return np.load(path)


def normalizer_of(row, latents, network, vqvae):
    """Return the normalizer of latents, or the identity."""
    if row.preconditioned:
        shifts = np.zeros((len(latents), network.rank), int)
        return measure_latents(Latents(latents, shifts, 1), network, vqvae.network)
    if row.normalized:
        return LatentNormalizer.fit(latents)
    shape = latents.shape[1:]
    return LatentNormalizer(np.zeros(shape), np.eye(shape[-1]), np.ones(shape))


def denoiser(row, latents, vqvae, run_dir):
    """Train the network of a row, or read it back."""
    steps = -(-len(latents) // row.batch_size)
    settings = TrainingSettings(
        epochs=max(1, round(STEPS / steps)),
        batch_size=row.batch_size,
        learning_rate=2e-3,
        average=row.average,
        seed=row.seed,
    )
    options = {"unfold": row.unfold, "patch": vqvae.network.factor}
    network = make_unet(latents.shape[1:], row.norm, settings, **options)
    data = NoisyPairs(
        latents,
        np.zeros((len(latents), 0)),
        row.schedule,
        normalizer=normalizer_of(row, latents, network, vqvae),
        batch_size=row.batch_size,
        seed=row.seed,
    )
    about = {"row": row.run}
    train(network, data, run_dir=run_dir, settings=settings, about=about)
    return network


def generate(row, network, latents, vqvae):
    """Sample slices (SAMPLES, *shape) in [0, 1] at fixed seeds."""
    flow = not row.chain
    clipped = sample_clipped if row.clip else sample_ddpm
    nothing = np.zeros((SAMPLES, 0), "float32")
    normalizer = normalizer_of(row, latents, network, vqvae)
    denoise = guided_denoiser(
        network.predict_on_batch,
        row.schedule,
        nothing,
        variance=normalizer.variance if row.preconditioned else 1.0,
    )
    streams = NoiseStreams(0, range(SAMPLES), network.shape)
    times = row.schedule.sampling_times(12 if flow else min(row.calls, row.chain))
    sampler = sample_heun if flow else clipped
    made = sampler(denoise, streams.start(), times, row.schedule, draw=streams.at_step)
    made = normalizer.restore(made)
    return vqvae.decode(np.nan_to_num(made), batch_size=24)


class Evaluator:
    """Metrics of generated slices, beside those of real ones never trained on."""

    def __init__(self, cohort):
        train, self.real = (
            np.asarray(cohort.volumes(side), "float32")
            for side in ("train", "validation")
        )
        self.features = VoxelPCA(train, components=12, factor=1)
        self.anywhere = ndimage.binary_dilation((train > 0).any(axis=0), iterations=2)
        self.power = np.mean([high_frequency_power(image) for image in self.real])
        self.noise = self.features(noise_like(self.real))

    def __call__(self, images):
        """Compute the metrics by name."""
        chosen = {name: METRICS[name] for name in ("fid", "kid")}
        real, made = self.features(self.real), self.features(images)
        found = compare(real, made, self.noise, metrics=chosen)
        power = np.mean([high_frequency_power(image) for image in images])
        return {
            **{metric.name: metric.normalized for metric in found},
            "power": float(power / self.power),
            "whole": float(np.mean([self.is_whole(image) for image in images])),
            "variety": float(images.std(axis=0).mean() / self.real.std(axis=0).mean()),
        }

    def is_whole(self, image):
        """Return whether there is one component, and no other foreground."""
        bright = image > 0.12
        pieces = np.bincount(ndimage.label(bright)[0].ravel())[1:]
        one = len(pieces) and pieces.max() >= 0.95 * pieces.sum()
        return bool(one and bright[~self.anywhere].mean() <= 0.01)


def minutes_of(run_dir):
    """Return the duration of the training in minutes, by its history."""
    table = np.genfromtxt(run_dir / "history.csv", delimiter=",", names=True)
    return float(np.sum(table["seconds"])) / 60


def autoencoder_row(cohort, name, out):
    """Train and measure an autoencoder, unless that is done: gives it and metrics."""
    run_dir = out / name.replace(", ", "-").replace(" ", "_")
    vqvae = train_autoencoder(cohort, AUTOENCODERS[name], run_dir)
    path = run_dir / "measures.json"
    if not path.is_file():
        minutes = {"minutes": minutes_of(run_dir)}
        write_json(path, measure_autoencoder(cohort, vqvae) | minutes)
    return vqvae, read_json(path)


def diffusion_row(row, vqvae, latents, evaluator, out):
    """Train, sample and measure, unless that is done: gives slices and metrics."""
    run_dir = out / row.run
    stem = f"samples{'-clipped' if row.clip else ''}-{row.calls}"
    path, metrics_file = run_dir / f"{stem}.npy", run_dir / f"{stem}.json"
    if not path.is_file():
        network = denoiser(row, latents, vqvae, run_dir)
        started = time.perf_counter()
        images = generate(row, network, latents, vqvae)
        print(
            f"{row.run}: sampled in {time.perf_counter() - started:.0f} s", flush=True
        )
        with atomic_path(path) as temporary:
            np.save(temporary, images.astype("float16"))
    images = np.load(path).astype("float32")
    if not metrics_file.is_file():
        write_json(metrics_file, evaluator(images) | {"minutes": minutes_of(run_dir)})
    return images, read_json(metrics_file)


def table(head, rows):
    """Format a table in rst."""
    rows = [
        head,
        *([f"{x:.2f}" if isinstance(x, float) else x for x in r] for r in rows),
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    rule = " ".join("=" * n for n in widths)
    lines = [" ".join(c.ljust(n) for c, n in zip(r, widths)).rstrip() for r in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def draw(path, strips):
    """Draw samples, a strip a row with its name: a PNG of 16 greys."""
    from PIL import Image
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.78 * -(-len(strips) // 2)), layout="constrained")
    axes = figure.subplots(-(-len(strips) // 2), 2).T.ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, (name, images) in zip(axes, strips.items()):
        planes = [image.T[::-1] for image in images[:SHOWN]]
        ax.imshow(np.hstack(planes), cmap="gray", vmin=0, vmax=1)
        ax.set_title(name, fontsize=7, loc="left", pad=2)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
        with Image.open(temporary) as image:
            small = image.convert("L").quantize(16)
        small.save(temporary, format="png", optimize=True)


def main():
    """Read the arguments, train, measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("--out_dir", type=Path, default=Path("why_noise"))
    options = parser.parse_args()
    cohort, out = Slices.of(options.prepared), options.out_dir
    evaluator = Evaluator(cohort)
    print(f"{date.today()}, {platform.machine()}, {os.cpu_count()} CPU cores\n")
    known, rows = {}, []
    for name in AUTOENCODERS:
        known[name], found = autoencoder_row(cohort, name, out)
        psnr, power = (found[k] for k in ("psnr_in_brain_db", POWER))
        metrics = (psnr["mean"], power, found["perplexity"], found["minutes"])
        rows.append([name, *map(float, metrics)])
    print(table(["autoencoder", "PSNR dB", "power", "perplexity", "minutes"], rows))
    strips, rows = {"real, never trained on": evaluator.real[::6]}, []
    for name, row in DIFFUSION.items():
        vqvae = known[row.latents]
        latents = encode(cohort, vqvae, out / f"latents-{row.latents}.npy")
        strips[name], found = diffusion_row(row, vqvae, latents, evaluator, out)
        rows.append([name, *(float(found[k]) for k in COLUMNS)])
    print(table(["latent diffusion", *COLUMNS], rows))
    draw(out / "why_noise.png", strips)


if __name__ == "__main__":
    main()
