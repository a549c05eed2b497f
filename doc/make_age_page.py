"""Make doc/ages.html: one noise, sampled at ages from 20 to 80, for either sex.

    python doc/make_age_page.py [--model MODEL] [--prepared PREPARED]

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
from dipy_synth.nn.ldm import LDM
from dipy_synth.report.drawing import data_uri
from dipy_synth.utils.files import write_text
from dipy_synth.utils.labels import labels_on_side
from dipy_synth.utils.montage import mid_slices

AGES, SEXES = (20, 30, 40, 50, 60, 70, 80), ("F", "M")
PLANES = ("sagittal", "coronal", "axial")

PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>One synthetic brain from 20 to 80 years</title>
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
<h1>One synthetic brain from 20 to 80 years</h1>
<p>The same noise, sampled by the model <code>$model</code> of dipy_synth $version at
another age or sex. All else is equal.</p>
<div class="controls">
<label>Age <input id="age" type="range" min="0" max="$last" value="3"
  aria-describedby="years"></label>
<output id="years" for="age">50 years</output>
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
    parser.add_argument("--model", default="ixi-2mm")
    parser.add_argument("--prepared", help="prepared cohort with a real brain to show")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "ages.html")
    options = parser.parse_args()
    ldm = LDM(options.model)
    pictures = {sex: [] for sex in SEXES}
    for sex in SEXES:
        for age in AGES:
            (volume,) = ldm.generate(
                numbers=[0],
                seed=options.seed,
                steps=options.steps,
                conditions={"age": age, "sex": sex},
            )
            pictures[sex].append([data_uri(plane) for plane in mid_slices(volume)])
            print(f"{sex} {age}", flush=True)
    page = PAGE.substitute(
        model=escape(options.model),
        version=escape(ldm.config["version"]),
        last=len(AGES) - 1,
        planes=_images(pictures["F"][3], "synthetic"),
        real=_real(options.prepared, ldm.config["split"]) if options.prepared else "",
        seed=options.seed,
        steps=options.steps,
        pictures=json.dumps(pictures),
        ages=json.dumps(AGES),
    )
    write_text(options.out, page)


def _images(sources, words):
    return "".join(
        f'<img data-plane="{plane}" alt="{words}, {plane} plane" src="{source}">'
        for plane, source in zip(PLANES, sources)
    )


def _real(prepared, split):
    """Show the brain, of those that the model has not seen, nearest to 50 years."""
    cohort = Cohort.load(prepared)
    held_out = {*labels_on_side(split, cohort.subjects, "validation")}
    rows = [*zip(cohort.subjects, cohort.rows)]
    known = [i for i, (s, row) in enumerate(rows) if s in held_out and row.get("age")]
    number = min(known, key=lambda i: abs(float(cohort.rows[i]["age"]) - 50))
    volume = np.asarray(cohort.volumes()[number], "float32")
    pictures = [data_uri(plane) for plane in mid_slices(volume)]
    row = cohort.rows[number]
    sex = {"F": "female", "M": "male"}.get(row["sex"], "sex not known")
    words = f"a real brain, {float(row['age']):.0f} years, {sex}"
    return (
        f"<h2>Beside it: {escape(words)}, on which nothing was trained</h2>"
        f'<div class="planes">{_images(pictures, "real")}</div>'
    )


if __name__ == "__main__":
    main()
