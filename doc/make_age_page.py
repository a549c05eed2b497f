"""Make doc/ages.html: one noise, sampled at several ages, for either sex.

    dipy_synth_mri --sweep age=20:80:7 sex=F,M --out_dir AGES
    python doc/make_age_page.py AGES [--prepared PREPARED]

With a prepared cohort a real brain stands beside it, of the subjects that the model has
not seen the one next to 50 years. The page stands alone: no other file, no network.
"""

import argparse
from html import escape
import json
from pathlib import Path
from string import Template

import numpy as np

from dipy_synth.data.cohort import Cohort
from dipy_synth.data.nifti import read_volume
from dipy_synth.report.drawing import data_uri
from dipy_synth.store import read_config
from dipy_synth.utils.files import read_json, write_text
from dipy_synth.utils.labels import labels_on_side
from dipy_synth.utils.montage import mid_slices

PLANES = ("sagittal", "coronal", "axial")
NAMES = {"F": "female", "M": "male"}

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>One synthetic brain from $first to $oldest years</title>
<style>
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 1rem 0 .3rem; }
.planes { display: grid; grid-template-columns: 96fr 80fr 80fr; gap: 4px;
  background: #000; padding: 4px; align-items: center; }
.planes img { width: 100%; display: block; }
.controls { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; align-items: center; }
.controls input[type=range] { width: min(60vw, 22rem); }
fieldset { border: 0; padding: 0; margin: 0; }
output { font-weight: 600; }
</style>
</head>
<body>
<main>
<h1>One synthetic brain from $first to $oldest years</h1>
<p>The same noise, sampled by the model <code>$model</code> of dipy_synth $version at
another age or sex. All else is equal.</p>
<div class="controls">
<label>Age <input id="age" type="range" min="0" max="$last" value="$middle"
  aria-describedby="years"></label>
<output id="years" for="age">$age years</output>
<fieldset><legend hidden>Sex</legend>
<label><input type="radio" name="sex" value="F" checked> female</label>
<label><input type="radio" name="sex" value="M"> male</label></fieldset>
</div>
<h2>Synthetic</h2>
<div class="planes" id="synthetic">$planes</div>
$real
<p>The patient's left is on the left. Voxels of 2 mm. Made by
<code>python doc/make_age_page.py</code>, seed $seed, $steps steps. Training data and
the real brain: <a href="https://brain-development.org/ixi-dataset/">IXI</a>,
CC BY-SA 3.0.</p>
</main>
<script>
const pictures = $pictures, ages = $ages;
const age = document.getElementById("age"), years = document.getElementById("years");
const images = document.querySelectorAll("#synthetic img");
function show() {
  const sex = document.querySelector("input[name=sex]:checked").value;
  const words = ages[age.value] + " years";
  years.textContent = words;
  age.setAttribute("aria-valuetext", words);
  pictures[sex][age.value].forEach((source, i) => {
    images[i].src = source;
    images[i].alt = images[i].dataset.plane + " plane, " + words + ", " + sex;
  });
}
document.querySelectorAll("input").forEach(i => i.addEventListener("input", show));
show();
</script>
</body>
</html>
""")


def main():
    """Read the arguments, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path, help="a sweep of age and sex, one sample")
    parser.add_argument("--prepared", help="prepared cohort with a real brain to show")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "ages.html")
    options = parser.parse_args()
    pictures, sidecar = _sweep(options.cohort)
    ages = sorted(pictures["F"])
    page = PAGE.substitute(
        model=escape(sidecar["Model"]["Name"]),
        version=escape(sidecar["Model"]["Version"]),
        first=ages[0],
        oldest=ages[-1],
        last=len(ages) - 1,
        middle=len(ages) // 2,
        age=ages[len(ages) // 2],
        planes=_images(pictures["F"][ages[len(ages) // 2]], "synthetic"),
        real=_real(options.prepared, sidecar["Model"]["Name"])
        if options.prepared
        else "",
        seed=sidecar["Seed"],
        steps=sidecar["Steps"],
        pictures=json.dumps(
            {s: [of[age] for age in ages] for s, of in pictures.items()}
        ),
        ages=json.dumps(ages),
    )
    write_text(options.out, page)


def _sweep(folder):
    """Read the slices of a sweep by sex and age: dict of dict; and a sidecar."""
    pictures = {sex: {} for sex in NAMES}
    for path in sorted(folder.glob("sub-*/anat/*_desc-synthetic_T1w.nii.gz")):
        sidecar = read_json(path.with_name(path.name.replace(".nii.gz", ".json")))
        asked = sidecar["Conditions"]
        planes = mid_slices(read_volume(path)[0])
        pictures[asked["sex"]][asked["age"]] = [data_uri(plane) for plane in planes]
    return pictures, sidecar


def _images(sources, words):
    return "".join(
        f'<img data-plane="{plane}" alt="{words}, {plane} plane" src="{source}">'
        for plane, source in zip(PLANES, sources)
    )


def _real(prepared, model):
    """Show the brain, of those that the model has not seen, nearest to 50 years."""
    cohort = Cohort.load(prepared)
    split = read_config(model, kinds=("ldm",))[1]["split"]
    held_out = {*labels_on_side(split, cohort.subjects, "validation")}
    rows = [*zip(cohort.subjects, cohort.rows)]
    known = [i for i, (s, row) in enumerate(rows) if s in held_out and row.get("age")]
    number = min(known, key=lambda i: abs(float(cohort.rows[i]["age"]) - 50))
    volume = np.asarray(cohort.volumes()[number], "float32")
    pictures = [data_uri(plane) for plane in mid_slices(volume)]
    row = cohort.rows[number]
    sex = NAMES.get(row["sex"], "sex not known")
    words = f"a real brain, {float(row['age']):.0f} years, {sex}"
    return (
        f"<h2>Beside it: {escape(words)}, on which nothing was trained</h2>"
        f'<div class="planes">{_images(pictures, "real")}</div>'
    )


if __name__ == "__main__":
    main()
