"""Noise per sample, and guidance, in closed form."""

import numpy as np

from dipy_synth.diffusion.schedules import RectifiedFlow
from dipy_synth.nn.sampling import NoiseStreams, guided_denoiser


def test_noise_belongs_to_seed_and_number():
    together = NoiseStreams(1, (3, 4), (5, 2))
    alone = NoiseStreams(1, (4,), (5, 2))
    np.testing.assert_array_equal(together.start()[1], alone.start()[0])
    np.testing.assert_array_equal(together.at_step(2)[1], alone.at_step(2)[0])
    drawn = [together.start(), together.at_step(0), together.at_step(1)]
    drawn.append(NoiseStreams(2, (3, 4), (5, 2)).start())
    flat = np.concatenate([noise.reshape(2, -1) for noise in drawn])
    assert len(np.unique(flat[:, 0])) == len(flat)


def test_guidance_moves_past_what_the_conditions_say():
    calls = []

    def constant(inputs):
        calls.append(inputs["time"].tolist())
        asked = not np.isnan(inputs["conditions"]).all()
        return np.full_like(inputs["latents"], 3.0 if asked else 1.0)

    state = np.zeros((1, 4, 4, 2), "float32")
    wanted = np.array([[0.5, 1.0]], "float32")
    for conditions, guidance, velocity, times in (
        (wanted, 1.0, 3.0, 1),
        (wanted, 2.0, 5.0, 2),
        (wanted * np.nan, 2.0, 1.0, 1),
    ):
        calls.clear()
        denoise = guided_denoiser(constant, RectifiedFlow(), conditions, guidance)
        np.testing.assert_allclose(denoise(state, 0.5), -0.5 * velocity)
        assert calls == [[0.5]] * times
