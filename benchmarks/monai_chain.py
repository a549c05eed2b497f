"""MONAI's latent diffusion: its U-Net and its chain, trained as a run of ours was."""

import math
import time

from compare_monai import monai_denoiser
import numpy as np
from runs import history, minutes

from dipy_synth.diffusion.normalizer import LatentNormalizer
from dipy_synth.utils.files import atomic_path, read_json


def train(run, prediction, path):
    """Train MONAI's U-Net for as many steps as ours, or go on: its averaged weights."""
    import torch
    from torch.optim.swa_utils import AveragedModel

    asked = read_json(run / "settings.json")
    network, training = asked["network"], asked["training"]
    torch.manual_seed(training["seed"])
    arguments = {name: network[name] for name in ("widths", "blocks", "attention")}
    model = monai_denoiser(network["shape"], **arguments, groups=8)
    average = AveragedModel(model, multi_avg_fn=averaging(training["average"]))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=0.0, weight_decay=training["weight_decay"]
    )
    state = {"model": model, "average": average, "optimizer": optimizer}
    epoch, spent = load(path, state)
    latents = np.load(run / "latents-train.npy", mmap_mode="r")
    x0 = LatentNormalizer.fit(latents).normalize(np.asarray(latents))
    while epoch < training["epochs"]:
        started = time.perf_counter()
        loss = train_epoch(state, prediction, x0, epoch, training)
        epoch, spent = epoch + 1, spent + time.perf_counter() - started
        with atomic_path(path) as temporary:
            states = {name: one.state_dict() for name, one in state.items()}
            torch.save({"epoch": epoch, "seconds": spent, **states}, temporary)
        print(f"epoch {epoch}, loss {loss:.4f}, {spent:.0f} s", flush=True)
    steps = epoch * math.ceil(len(x0) / training["batch_size"])
    print(
        f"{steps} steps of {training['batch_size']} ({training['precision']}) in "
        f"{spent / 60:.1f} minutes; ours in {minutes(history(run)):.1f}. "
        f"{sum(p.numel() for p in model.parameters()):,} weights."
    )
    return average.eval()


def averaging(longest):
    """Return the update of the EMA, with the warm-up of ours."""
    import torch

    def update(averages, weights, count):
        momentum = min(longest, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averages, weights, 1 - momentum)

    return update


def load(path, state):
    """Put a stopped training where it was: its epochs and seconds."""
    import torch

    if not path.exists():
        return 0, 0.0
    stored = torch.load(path, weights_only=True)
    for name, one in state.items():
        one.load_state_dict(stored[name])
    return stored["epoch"], stored["seconds"]


def train_epoch(state, prediction, x0, epoch, training):
    """Train once on all latents, in an order and with noise of the epoch alone."""
    from monai.inferers import DiffusionInferer
    import torch

    model, average, optimizer = state.values()
    chain = scheduler("ddpm", prediction)
    inferer, losses, size = DiffusionInferer(chain), [], training["batch_size"]
    order = np.random.default_rng([training["seed"], epoch]).permutation(len(x0))
    torch.manual_seed(1000 * training["seed"] + epoch)
    steps = math.ceil(len(x0) / size)
    model.train()
    for step in range(steps):
        images = tensor(x0[order[step * size : (step + 1) * size]])
        noise = torch.randn_like(images)
        times = torch.randint(0, chain.num_train_timesteps, (len(images),))
        with half(training["precision"] == "mixed_bfloat16"):
            found = inferer(images, model, noise, times)
        target = noise
        if prediction == "v_prediction":
            target = chain.get_velocity(images, noise, times)
        loss = torch.nn.functional.mse_loss(found.float(), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), training["clip_norm"])
        optimizer.param_groups[0]["lr"] = rate(epoch * steps + step, steps, training)
        optimizer.step()
        average.update_parameters(model)
        losses.append(loss.item())
    return np.mean(losses)


def rate(step, steps, training):
    """Return our learning rate: a linear rise, then a cosine down to a fiftieth."""
    updates = steps * training["epochs"]
    rise = max(1, math.ceil(training["warmup"] * updates))
    if step < rise:
        return training["learning_rate"] * step / rise
    share = (step - rise) / max(1, updates - rise)
    return training["learning_rate"] * (0.51 + 0.49 * math.cos(math.pi * share))


def half(wanted):
    """Return a context in which PyTorch multiplies in bfloat16, if wanted."""
    import torch

    return torch.autocast("cpu", torch.bfloat16, enabled=wanted)


def tensor(latents):
    """Move the channels of a tensor first."""
    import torch

    moved = np.ascontiguousarray(np.moveaxis(latents, -1, 1), dtype="float32")
    return torch.from_numpy(moved)


def scheduler(name, prediction):
    """Make MONAI's scheduler of a chain of 1000 steps, with its default betas."""
    from monai.networks import schedulers

    kinds = {"ddpm": schedulers.DDPMScheduler, "ddim": schedulers.DDIMScheduler}
    clipped = prediction == "epsilon"  # to [-1, 1], as by default
    return kinds[name](prediction_type=prediction, clip_sample=clipped)


def theirs(model, name, steps, prediction):
    """Return a function of noise streams to latents, by the first calls if so many."""
    from monai.inferers import DiffusionInferer
    import torch

    def make(streams, *, calls=None):
        chain = scheduler(name, prediction)
        chain.set_timesteps(steps)
        chain.timesteps = chain.timesteps[:calls]
        torch.manual_seed(streams.numbers[0])  # of the noise on the way
        noise, sample = tensor(streams.start()), DiffusionInferer(chain).sample
        with half(True):
            latents = sample(noise, model, chain, verbose=False)
        return np.moveaxis(latents.float().numpy(), 1, -1)

    return make
