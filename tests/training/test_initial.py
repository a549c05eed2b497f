"""Starting a latent diffusion model from another one."""

import re

import numpy as np
import pytest

from dipy_synth.diffusion.schedules import DiscreteDiffusion, RectifiedFlow
from dipy_synth.errors import InputError
from dipy_synth.nn.ldm import LDM
from dipy_synth.nn.vqvae import VQVAE
from dipy_synth.training import TrainingSettings

ONE = TrainingSettings(epochs=1, batch_size=2, learning_rate=1e-9)
SMALL = {"widths": (8, 16), "blocks": 1, "attention": (False, True)}


@pytest.fixture(scope="module")
def vqvaes(prepared_folder, tmp_path_factory):
    """Two autoencoders of the same shape that differ by their weights."""
    runs, vqvae = [tmp_path_factory.mktemp(f"vqvae{n}") for n in (0, 1)], VQVAE(None)
    options = {"settings": TrainingSettings(epochs=1, batch_size=2)}
    options["network"] = {"channels": (8, 8), "blocks": 1}
    vqvae.fit(prepared_folder, run_dir=runs[0], **options)
    vqvae.network.set_weights([1.01 * w for w in vqvae.network.get_weights()])
    vqvae.save(runs[1] / "model")
    return runs


@pytest.fixture(scope="module")
def first(prepared_folder, vqvaes, tmp_path_factory):
    run = tmp_path_factory.mktemp("first")
    settings = TrainingSettings(epochs=2, batch_size=2, learning_rate=1e-3)
    options = {"run_dir": run, "settings": settings, "conditions": ("age",)}
    LDM(None).fit(prepared_folder, vqvaes[0], **options, network=SMALL)
    return run


def test_a_model_starts_where_the_other_ended_with_its_own_training_times(
    prepared_folder, vqvaes, first, tmp_path
):
    other = RectifiedFlow(
        prediction="preconditioned", times="log_snr", noise_range=(0.1, 3.0)
    )
    options = {"run_dir": tmp_path, "settings": ONE, "schedule": other}
    LDM(None).fit(prepared_folder, vqvaes[0], initial=first, **options)
    begun, ended = LDM(tmp_path), LDM(first)
    for one, first_one in ((begun.network, ended.network), (begun.guide, ended.guide)):
        pairs = zip(one.get_weights(), first_one.get_weights(), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert begun.schema.to_config() == ended.schema.to_config()
    assert begun.schedule.to_config() == other.to_config()
    # the run does not go on without the model that it began from
    options |= {"conditions": ("age",), "network": SMALL}
    with pytest.raises(InputError, match="about.initial"):
        LDM(None).fit(prepared_folder, vqvaes[0], **options)


def test_a_schedule_that_asks_something_else_of_the_network_is_refused(
    prepared_folder, vqvaes, first, tmp_path
):
    options = {"run_dir": tmp_path / "v", "schedule": DiscreteDiffusion()}
    with pytest.raises(InputError, match="schedule"):
        LDM(None).fit(prepared_folder, vqvaes[0], initial=first, **options)


def test_subjects_that_the_first_model_saw_are_reported(
    prepared_folder, vqvaes, first, tmp_path, caplog, monkeypatch
):
    """Trained before, held out now: the held-out metrics would be too good."""

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("dipy_synth.nn.ldm.reserve_runs", stop)
    initial, message = LDM(first), "validation subjects .* have names on which"
    split = initial.config["split"]
    for seen in ([], split["validation"][:1]):
        split["train"] += seen
        options = {"run_dir": tmp_path, "settings": ONE, "initial": initial}
        with caplog.at_level("WARNING", "dipy"), pytest.raises(KeyboardInterrupt):
            LDM(None).fit(prepared_folder, vqvaes[0], **options)
        assert bool(re.search(message, caplog.text)) == bool(seen)


def test_a_model_of_another_autoencoder_is_refused(
    prepared_folder, vqvaes, first, tmp_path
):
    options = {"run_dir": tmp_path / "run", "settings": ONE, "initial": first}
    with pytest.raises(InputError, match="latents are of another autoencoder"):
        LDM(None).fit(prepared_folder, vqvaes[1], **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conditions": ("sex",)}, "conditions sex"),
        ({"network": {"widths": (8, 8)}}, "widths"),
    ],
)
def test_what_the_model_brings_cannot_be_chosen(
    prepared_folder, vqvaes, first, tmp_path, arguments, message
):
    with pytest.raises(InputError, match=message):
        LDM(None).fit(
            prepared_folder, vqvaes[0], run_dir=tmp_path, initial=first, **arguments
        )
