"""Settings of a sampler: completed by a model's defaults, and checked."""

from dataclasses import replace
import json

import numpy as np
import pytest

from dipy_synth.diffusion.samplers import sample_ddim, sample_dpmpp_2m, sample_euler
from dipy_synth.diffusion.sampling_settings import DEFAULT_SAMPLING, SamplingSettings
from dipy_synth.errors import InputError

DEFAULTS = {
    "steps": 9,
    "sampler": "euler",
    "guidance": 1.5,
    "guidance_rescale": 0.7,
    "guidance_interval": (0.2, 5),
    "autoguidance": 1.2,
    "autoguidance_interval": (0.3, 4),
}


def test_defaults_complete_what_is_none():
    filled = SamplingSettings().completed(DEFAULTS)
    assert filled.to_config() == {
        **DEFAULTS,
        "guidance_interval": [0.2, 5],
        "autoguidance_interval": [0.3, 4],
        "eta": None,
    }
    assert filled.function is sample_euler
    kept = SamplingSettings(guidance=0.0, sampler=len).completed(DEFAULTS)
    assert (kept.guidance, kept.function, kept.steps) == (0.0, len, 9)
    everywhere = {**DEFAULTS, "guidance_interval": None}
    assert SamplingSettings().completed(everywhere).guidance_interval is None


def test_autoguidance_has_an_interval_where_it_acts():
    """Cohorts without it go on, whether the option is there or not."""
    plain = SamplingSettings(steps=9, sampler="euler")
    without, off = plain.to_config(), SamplingSettings(autoguidance=1.0)
    assert off.completed(without) == plain.completed(without)
    assert off.completed(DEFAULTS) == replace(
        SamplingSettings().completed(DEFAULTS),
        autoguidance=1.0,
        autoguidance_interval=None,
    )
    given = SamplingSettings(autoguidance=1.3).completed(plain.to_config())
    assert given.autoguidance_interval == DEFAULT_SAMPLING["autoguidance_interval"]
    assert plain.completed({}) == plain
    for scale, defaults in ((1.0, DEFAULTS), (None, plain.to_config())):
        useless = SamplingSettings(autoguidance=scale, autoguidance_interval=(0.5, 2))
        with pytest.raises(InputError, match="without autoguidance"):
            useless.completed(defaults)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"autoguidance": 1},
        {"autoguidance": 3.0},
        {"sampler": "ddim"},
        {"sampler": "ddim", "eta": 0.5},
    ],
)
def test_to_complete_settings_again_changes_nothing(given):
    """A cohort completes its request, and then the model what it is given."""
    once = SamplingSettings(**given).completed(DEFAULTS)
    assert once.completed(DEFAULTS) == once


def test_defaults_of_a_new_model_are_complete_and_json():
    filled = SamplingSettings().completed(DEFAULT_SAMPLING).to_config()
    assert json.loads(json.dumps(filled)) == {**DEFAULT_SAMPLING, "eta": None}


@pytest.mark.parametrize(
    "wrong",
    [
        *({"steps": value} for value in (0, 2.5, "x", True, np.nan)),
        *({"sampler": value} for value in ("magic", 3, ["euler"])),
        *(
            {name: value}
            for name in ("guidance", "autoguidance")
            for value in ("x", np.nan, np.inf, [1.0])
        ),
        *({"autoguidance": value} for value in (-0.1, 11)),
        *({"guidance_rescale": value} for value in (2, -0.1, "half", np.nan)),
        *(
            {name: value}
            for name in ("guidance_interval", "autoguidance_interval")
            for value in ((2, 1), (1,), (-1, 1), (1, np.inf), "ab", "12", 3, (1, "b"))
        ),
        *({"eta": value, "sampler": "ddim"} for value in (1.5, -0.1, "x", np.nan)),
        {"eta": 0.5, "sampler": "heun"},
    ],
)
def test_a_wrong_value_is_refused_in_one_line(wrong):
    (name, *_) = wrong
    with pytest.raises(InputError, match=f"^{name} .*expected") as raised:
        SamplingSettings(**wrong)
    assert "\n" not in str(raised.value)


def test_numbers_of_numpy_are_numbers():
    settings = SamplingSettings(steps=np.int64(3), guidance=np.float32(2))
    assert settings.steps == 3 and settings.guidance == 2


def test_eta_belongs_to_two_samplers():
    defaults = {**DEFAULTS, "sampler": "ddim"}

    def function(defaults=defaults, **given):
        return SamplingSettings(**given).completed(defaults).function

    assert function(eta=0.5).keywords == {"eta": 0.5}
    assert function(eta=0.5).func is sample_ddim
    assert function() is sample_ddim
    noisy = {**defaults, "eta": 0.3}
    assert function(noisy).keywords == {"eta": 0.3}
    assert function(noisy, sampler="euler") is sample_euler
    sde = function(eta=0.5, sampler="sde_dpmpp_2m")
    assert sde.func is sample_dpmpp_2m and sde.keywords == {"eta": 0.5}
    assert function(sampler="sde_dpmpp_2m").keywords == {"eta": 1.0}
    with pytest.raises(InputError, match="with sampler ddim or sde_dpmpp_2m"):
        function({**defaults, "sampler": "heun"}, eta=0.5)
    with pytest.raises(InputError, match="with sampler ddim or sde_dpmpp_2m"):
        function(eta=0.5, sampler=sample_euler)
