"""Compare the networks' speed and memory with MONAI's of equal size.

    python benchmarks/compare_monai.py [--threads 2] [--repeats 9] > table.md

prints markdown: medians of a forward pass and of a training step (batch 1, float32),
ours and MONAI's, their ratios, and the peak memory. A step is the same on both sides,
and what a run of ours does: AdamW, gradients clipped, a moving average of the weights.
Every row is one run with two processes, one for each network, that take turns: what
else the machine does hits both alike. A GPU is used where the framework finds one.
Needs torch, monai and einops.
"""

import argparse
from datetime import date
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context
import os
import platform
import resource
import statistics
import sys
import time

import numpy as np

CHANNELS, LAYERS, CODES, WIDTH = (32, 64), 3, 256, 32  # of the autoencoders
WIDTHS, BLOCKS, ATTENTION = (64, 128, 128), 2, (False, False, True)  # of the U-Nets
RATE, DECAY, CLIP, AVERAGE = 1e-4, 1e-4, 1.0, 0.999
PAUSE = 0.3  # seconds between turns: threads of the other process stop spinning
TASKS = (
    ("autoencoder", (64, 64, 64)),
    ("autoencoder", (80, 96, 80)),
    ("unet", (20, 24, 20, 16)),
)


def main():
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeats", type=int, default=9, help="turns that count")
    parser.add_argument("--only", choices=("autoencoder", "unet"))
    options = parser.parse_args()
    need_monai()
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        os.environ[name] = str(options.threads)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"
    print(_preface(options))
    for what, shape in TASKS:
        if options.only in (None, what):
            for mode in ("forward", "training step"):
                print(row(what, shape, mode, options), flush=True)


def need_monai():
    """End with a line that names what is not installed, if something is not."""
    names = ("torch", "monai", "einops")
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)} (pip install {' '.join(names)})")


def _preface(options):
    names = ("dipy_synth", "keras", "tensorflow", "monai", "torch", "numpy")
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    columns = (
        "network",
        "shape",
        "what",
        "parameters, M, ours / MONAI",
        "ours, s",
        "MONAI, s",
        "ours / MONAI",
        "ours, peak MiB (of it the network)",
        "MONAI, peak MiB (of it the network)",
        "ours / MONAI (network)",
    )
    return "\n".join(
        [
            f"{date.today()}, {_processor()}, {platform.system()}, {options.threads} "
            f"threads, medians of {options.repeats}; {versions}",
            "",
            f"| {' | '.join(columns)} |",
            f"|{' --- |' * len(columns)}",
        ]
    )


def _version(name):
    if name == "dipy_synth":
        from dipy_synth import __version__

        return __version__
    return version(name)


def _processor():
    """Name the processor, as Linux does."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            found = [line for line in stream if line.startswith("model name")]
    except OSError:
        found = []
    return found[0].split(":")[1].strip() if found else platform.machine()


def row(what, shape, mode, options):
    """Measure one network in one mode, both libraries' in turns: a row of the table."""
    context = get_context("spawn")
    pipes, processes = [], []
    for library in LIBRARIES:
        here, there = context.Pipe()
        job = (there, library, what, shape, mode, options.threads)
        processes.append(context.Process(target=serve, args=job, daemon=True))
        processes[-1].start()
        there.close()  # so that a child that dies is noticed, not waited for
        pipes.append(here)
    sizes = [pipe.recv() for pipe in pipes]
    seconds = [[], []]
    for _ in range(options.repeats):
        for pipe, times in zip(pipes, seconds):
            time.sleep(PAUSE)
            pipe.send("go")
            times.append(pipe.recv())
    for pipe in pipes:
        pipe.send("end")
    memory = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    return _row(what, shape, mode, sizes, seconds, memory)


def _row(what, shape, mode, sizes, seconds, memory):
    ours, theirs = (statistics.median(times) for times in seconds)
    cells = [
        what,
        "x".join(map(str, shape)),
        mode,
        " / ".join(f"{size / 1e6:.2f}" for size in sizes),
        f"{ours:.3f}",
        f"{theirs:.3f}",
        f"{ours / theirs:.2f}",
        *(f"{peak:.0f} ({own:.0f})" for peak, own in memory),
        f"{memory[0][1] / memory[1][1]:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def serve(pipe, library, what, shape, mode, threads):
    """Make one network; then time a step each time the pipe asks for one."""
    start, memory = LIBRARIES[library]
    start(threads)
    before = memory()
    step, size = MAKERS[library, what](shape, mode)
    for _ in range(2):  # compilation, allocation
        step()
    pipe.send(size)
    while pipe.recv() == "go":
        began = time.perf_counter()
        step()
        pipe.send(time.perf_counter() - began)
    peak = memory()
    pipe.send((peak, max(peak - before, 1)))


def _peak_of_process():
    """Return the peak memory of this process: MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _inputs(what, shape):
    """Draw what a network is called on, and what it is to give: channels last."""
    rng = np.random.default_rng(0)
    shape = (*shape, 1) if what == "autoencoder" else shape
    return [rng.uniform(-1, 1, (1, *shape)).astype("float32") for _ in range(2)]


# ---- ours


def start_keras(threads):
    """Load Keras; TensorFlow has read the number of threads from the environment."""
    import keras

    keras.ops.zeros((1,))


def keras_memory():
    """Return the peak of the GPU, where there is one, or of the process: MiB."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    return _peak_of_process()


def our_autoencoder(shape, mode):
    """Make our network and its step."""
    from dipy_synth.networks.conv_autoencoders import ResidualAutoencoder

    codebook = {"name": "vq", "codes": CODES, "width": WIDTH}
    model = ResidualAutoencoder(
        shape, channels=CHANNELS, blocks=LAYERS, quantizer=codebook
    )
    images, _ = _inputs("autoencoder", shape)
    model.quantizer.start(model.encode(images), seed=0)  # else latents pass unquantised
    return _keras_step(model, mode, images, images)


def our_unet(shape, mode):
    """Make our U-Net and its step."""
    from dipy_synth.networks.unet import UNet

    model = UNet(shape, widths=WIDTHS, blocks=BLOCKS, attention=ATTENTION)
    latents, target = _inputs("unet", shape)
    inputs = {
        "latents": latents,
        "noise_level": np.zeros(1, "float32"),
        "conditions": np.zeros((1, 0), "float32"),
    }
    return _keras_step(model, mode, inputs, target)


def _keras_step(model, mode, inputs, target):
    from dipy_synth.training.optimizer import AveragingAdamW

    optimizer = AveragingAdamW(
        RATE, weight_decay=DECAY, global_clipnorm=CLIP, average=AVERAGE
    )
    model.compile(optimizer=optimizer, loss="mse")
    if mode != "forward":
        optimizer.build(model.trainable_variables)
    size = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    if mode == "forward":
        return lambda: model.predict_on_batch(inputs), size
    return lambda: model.train_on_batch(inputs, target), size


# ---- MONAI's


def start_torch(threads):
    """Load torch and MONAI."""
    import monai.networks.nets  # noqa: F401
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)


def torch_memory():
    """Return the peak of the GPU, where there is one, or of the process: MiB."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return _peak_of_process()


def monai_vqvae(rank=3):
    """Make MONAI's VQ-VAE: two downsamplings, as many residual layers as ours."""
    from monai.networks.nets import VQVAE

    return VQVAE(
        spatial_dims=rank,
        in_channels=1,
        out_channels=1,
        channels=CHANNELS,
        num_res_layers=LAYERS,
        num_res_channels=CHANNELS,
        downsample_parameters=((2, 4, 1, 1),) * 2,
        upsample_parameters=((2, 4, 1, 1, 0),) * 2,
        num_embeddings=CODES,
        embedding_dim=WIDTH,
        ddp_sync=False,
    )


def monai_autoencoder(shape, mode):
    """Make MONAI's network and its step."""
    import torch

    images, _ = _inputs("autoencoder", shape)
    (images,) = _tensors(images)

    def loss(model):
        decoded, commitment = model(images)
        return torch.nn.functional.l1_loss(decoded, images) + commitment

    return _torch_step(monai_vqvae(), mode, (images,), loss)


def monai_denoiser(shape, widths=WIDTHS, blocks=BLOCKS, attention=ATTENTION, groups=32):
    """Make MONAI's U-Net: for latents of a shape, with as many levels as ours."""
    from monai.networks.nets import DiffusionModelUNet

    return DiffusionModelUNet(
        spatial_dims=len(shape) - 1,
        in_channels=shape[-1],
        out_channels=shape[-1],
        channels=widths,
        num_res_blocks=blocks,
        attention_levels=attention,
        num_head_channels=32,
        norm_num_groups=groups,
    )


def monai_unet(shape, mode):
    """Make MONAI's U-Net and its step."""
    import torch

    model = monai_denoiser(shape)
    latents, target = _tensors(*_inputs("unet", shape))
    inputs = (latents, torch.full((1,), 500, device=latents.device))

    def loss(model):
        return torch.nn.functional.mse_loss(model(*inputs), target)

    return _torch_step(model, mode, inputs, loss)


def _device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _tensors(*arrays):
    """Move the channels of tensors first."""
    import torch

    moved = (np.ascontiguousarray(np.moveaxis(a, -1, 1)) for a in arrays)
    return [torch.from_numpy(a).to(_device()) for a in moved]


def _torch_step(model, mode, inputs, loss):
    import torch

    model = model.to(_device()).train(mode != "forward")
    size = sum(p.numel() for p in model.parameters() if p.requires_grad)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    update = torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)
    if mode != "forward":
        average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=update)

    def forward():
        with torch.inference_mode():
            answer = model(*inputs)
        (answer[0] if isinstance(answer, tuple) else answer).cpu()

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss(model)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        average.update_parameters(model)
        value.item()

    return forward if mode == "forward" else step, size


LIBRARIES = {"ours": (start_keras, keras_memory), "monai": (start_torch, torch_memory)}
MAKERS = {
    ("ours", "autoencoder"): our_autoencoder,
    ("ours", "unet"): our_unet,
    ("monai", "autoencoder"): monai_autoencoder,
    ("monai", "unet"): monai_unet,
}


if __name__ == "__main__":
    main()
