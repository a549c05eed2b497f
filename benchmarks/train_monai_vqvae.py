"""Train MONAI's VQ-VAE on a prepared cohort, and measure it as ours is measured.

    python benchmarks/train_monai_vqvae.py PREPARED --minutes 18 --out_dir OUT

Two halvings, channels 32 and 64, a codebook of 256 x 32 kept as moving averages, L1
loss, Adam at 1e-4, float32. It sees the same volumes as ours (flips included), whole
ones where ours sees parts, for the given wall time, and its output is cleaned of specks
as ours is. Writes OUT/measures.json, in the
format of measure_model.py, and OUT/real_and_decoded.png. Needs torch, monai and einops.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import argparse  # noqa: E402
from datetime import date  # noqa: E402
from pathlib import Path  # noqa: E402
import platform  # noqa: E402
import time  # noqa: E402

from compare_monai import monai_vqvae, need_monai  # noqa: E402
import numpy as np  # noqa: E402


def main():
    """Read the arguments, train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prepared")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out_dir", type=Path, default=Path("monai_vqvae"))
    options = parser.parse_args()
    need_monai()
    from measure_model import comparison
    import torch

    from dipy_synth.data.cohort import Cohort
    from dipy_synth.utils.files import write_json
    from dipy_synth.utils.montage import save_montage

    torch.manual_seed(options.seed)
    cohort = Cohort.load(options.prepared)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = monai_vqvae(len(cohort.grid.shape)).to(device)
    training = train(model, cohort.volumes("train"), options, device)
    held_out = np.asarray(cohort.volumes("validation"), "float32")
    decoded = decode(model, held_out, device)
    measures = {
        "date": date.today().isoformat(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores, {device}",
        "training": training,
        "reconstruction": comparison(held_out, decoded),
    }
    write_json(options.out_dir / "measures.json", measures)
    save_montage(
        options.out_dir / "real_and_decoded.png",
        [held_out[:6], decoded[:6]],
        titles=["real, never trained on", "MONAI's VQ-VAE"],
        columns=6,
    )
    print(measures)


def train(model, volumes, options, device):
    """Train for the wall time; return steps and the last hundred steps' mean loss."""
    import torch

    from dipy_synth.data.augment import Augmentation
    from dipy_synth.data.dataset import VolumeDataset

    data = VolumeDataset(
        volumes,
        batch_size=options.batch_size,
        augment=Augmentation(flip=0.5),
        seed=options.seed,
    )
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=1e-4), []
    model.train()
    end = time.perf_counter() + 60 * options.minutes
    while time.perf_counter() < end:
        for index in range(len(data)):
            images = _tensor(data[index], device)
            decoded, commitment = model(images)
            loss = torch.nn.functional.l1_loss(decoded, images)
            optimizer.zero_grad(set_to_none=True)
            (loss + commitment).backward()
            optimizer.step()
            losses.append(loss.item())
            if time.perf_counter() >= end:
                break
        data.on_epoch_end()
        print(f"{len(losses)} steps, L1 {np.mean(losses[-100:]):.4f}", flush=True)
    return {
        "minutes": options.minutes,
        "steps": len(losses),
        "batch_size": options.batch_size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "l1": float(np.mean(losses[-100:])),
    }


def decode(model, volumes, device):
    """Reconstruct volumes (n, *shape) in [0, 1], one at a time."""
    import torch

    from dipy_synth.networks.conversion import from_network

    model.eval()
    decoded = []
    with torch.inference_mode():
        for volume in volumes:
            images = _tensor(volume[None, ..., None] * 2 - 1, device)
            answer = model(images)[0].cpu().numpy()
            decoded.append(from_network(np.moveaxis(answer, 1, -1))[0])
    return np.stack(decoded)


def _tensor(images, device):
    """Move the channels of a tensor first."""
    import torch

    moved = np.ascontiguousarray(np.moveaxis(images, -1, 1), dtype="float32")
    return torch.from_numpy(moved).to(device)


if __name__ == "__main__":
    main()
