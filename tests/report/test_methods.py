"""The paragraph for a paper: what records say, and nothing that they do not."""

from types import SimpleNamespace

from dipy_synth.report.methods import methods_text
from dipy_synth.utils.files import write_json

GRID = {"shape": [80, 96, 80], "voxel_size": [2.0, 2.0, 2.0]}
RECORD = {
    "ModelHash": "0123456789abcdef",
    "Seed": 3,
    "Steps": 64,
    "Sampler": "sde_dpmpp_2m",
    "Guidance": 1.5,
    "GuidanceInterval": [0.3, 1000.0],
    "GuideHash": "fedcba9876543210",
    "Autoguidance": 1.3,
    "AutoguidanceInterval": [0.5, 5.0],
    "QCFilter": None,
}


def evaluation(train=None):
    side = {"n": 28, "grid": GRID}
    about = {"real": side, "synthetic": {**side, "n": 30}, "train": train}
    about["extractor"] = {"name": "predictor"}
    finding = SimpleNamespace(question="diverse", words="as diverse as real ones")
    about["reader"] = "predictor"
    parts = {"asked": (), "ageing": None, "downstream": ()}
    return SimpleNamespace(about=about, findings=[finding], **parts)


def described(folder, record):
    made = [{"Name": "dipy_synth", "Version": "0.1.0"}]
    content = {"GeneratedBy": made, "Model": {"Name": "ixi-2mm"}, "DipySynth": record}
    write_json(folder / "dataset_description.json", content)
    return folder


def test_the_paragraph_says_what_was_done_and_cites_it(tmp_path):
    text, works = methods_text(evaluation(), described(tmp_path, RECORD))
    for words in (
        "by dipy_synth 0.1.0",
        "the model ixi-2mm (weights 0123456789ab, guide fedcba987654)",
        "SDE-DPM-Solver++(2M) (Lu et al., 2022) with 64 steps and seed 3",
        "a scale of 1.5 between noise-to-signal ratios of 0.3 and 1000",
        "Autoguidance (Karras et al., 2024) from a smaller network, projected",
        "a scale of 1.3 between noise-to-signal ratios of 0.5 and 5",
        "30 synthetic volumes (80 × 96 × 80 voxels of 2 × 2 × 2 mm)",
        "28 real volumes",
        "Diverse: as diverse as real ones.",
    ):
        assert words in text
    assert "training volumes" not in text and "drawn again" not in text
    assert any(work.startswith("Lu et al. (2022)") for work in works)
    for cited in ("Ho and Salimans (2022)", "Karras et al. (2024)", "Sadat et al."):
        assert any(work.startswith(cited) for work in works)
    assert not any(work.startswith("Song") for work in works)


def test_intervals_and_readers_are_those_that_were_used(tmp_path):
    found = evaluation({"n": 114})
    text, works = methods_text(found, tmp_path)
    assert "delete-half jackknife (Shao and Wu, 1989)" in text
    assert "acceptance ranges" in text and "fitted to the 28 real volumes" in text
    assert "bootstrap" not in text and "predicted" not in text
    assert any(work.startswith("Shao and Wu (1989)") for work in works)
    assert not any(work.startswith("Esteban") for work in works)
    found.asked = [SimpleNamespace(column="age"), SimpleNamespace(column="sex")]
    found.ageing = object()
    found.downstream = [SimpleNamespace(metric="age_mae")]
    text, works = methods_text(found, tmp_path)
    assert "(age and sex) were predicted from the volumes by a network" in text
    assert any(work.startswith("Esteban et al. (2017)") for work in works)
    assert "Predictors of age (ridge regression) were trained" in text
    found.about["reader"] = "ridge regression, prepared"
    text, _ = methods_text(found, tmp_path)
    assert "by ridge regression on" in text and "fitted to the training vol" in text


def test_what_was_not_done_is_not_said(tmp_path):
    record = {
        **RECORD,
        "Guidance": 1.0,
        "Autoguidance": 1.0,
        "QCFilter": {"sha256": "0"},
    }
    text, works = methods_text(evaluation({"n": 114}), described(tmp_path, record))
    assert "guid" not in text and "were drawn again" in text
    assert "among 114 training volumes" in text
    assert not any("Salimans" in work for work in works)
    text, _ = methods_text(evaluation(), tmp_path / "of-another-tool")
    assert text.startswith("30 synthetic volumes")
