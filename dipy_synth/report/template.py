"""Templates and style of self-contained HTML pages."""

from datetime import date
from html import escape
from string import Template

from dipy_synth import __version__

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #fff; --ink: #1c1e21;
  --soft: #62676e; --line: #dcd9d3; --accent: #1f5f8b; --outlier: #b3261e;
  --doubt: #8a5a00; --good: #2c6e49;
  --tint: #fbeceb; --bar: #a9bfce; }
@media (prefers-color-scheme: dark) { :root { --paper: #131517; --card: #1b1e21;
  --ink: #e6e5e2; --soft: #9aa0a8; --line: #33373c; --accent: #7db8de;
  --outlier: #ff8a80; --doubt: #e0b04a; --good: #7fc79c;
  --tint: #3a2422; --bar: #4d6576; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 74rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.2rem; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.outlier, .fail { color: var(--outlier); font-weight: 600; }
.warn { color: var(--doubt); font-weight: 600; }
.right { color: var(--good); }
.verdict { white-space: nowrap; }
.pictures img { display: block; width: 9rem; image-rendering: pixelated; }
.pictures th { white-space: nowrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; font-size: .88rem; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.name { white-space: nowrap; }
.checks td.why { min-width: 14rem; }
.top { display: grid; gap: 1.2rem 2.5rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
.strips { display: grid; gap: .3rem 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.strips b { font-weight: 600; }
.cards { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .7rem .8rem; break-inside: avoid; scroll-margin-top: 1rem; min-width: 0; }
article:target { outline: 2px solid var(--accent); }
article h3 { margin: 0 0 .4rem; font-size: 1rem; display: flex; gap: .2rem .6rem;
  flex-wrap: wrap; align-items: baseline; overflow-wrap: anywhere; }
article h3 span { font-weight: 400; font-size: .86rem; color: var(--soft); }
.low { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 1rem;
  margin-top: .5rem; align-items: end; font-size: .86rem; }
.low td { padding: .1rem .5rem .1rem 0; white-space: nowrap; }
.low tr:last-child td { border: 0; }
svg { display: block; width: 100%; height: auto; }
.slices { background: #000; border-radius: 5px; padding: 2%; }
.outline { fill: none; stroke: #ffb300; stroke-width: 1; opacity: .85;
  vector-effect: non-scaling-stroke; }
body:has(#outlines:not(:checked)) .outline { display: none; }
.histogram { height: 4.6rem; }
.histogram .own { fill: var(--bar); }
.histogram .mean { fill: none; stroke: var(--ink); stroke-width: 1.2; }
#mean-histogram { vector-effect: non-scaling-stroke; }
.strip circle { fill: var(--accent); fill-opacity: .3; }
.strip circle.outlier { fill: var(--outlier); fill-opacity: .9; }
.strip .axis, .strip .tick { stroke: var(--soft); stroke-width: .7; }
.hidden { position: absolute; width: 0; height: 0; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .86rem; }
@media print { :root { color-scheme: light; --paper: #fff; --card: #fff; --ink: #000;
    --soft: #555; --line: #bbb; --accent: #1f5f8b; --outlier: #b3261e; --bar: #a9bfce; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .cards { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .screen { display: none; }
  svg, .slices { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

_FRAME = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
<footer>$footer</footer>
</body>
</html>
""")


def whole_page(title, body, *, more=""):
    """Compose a page from its body.

    Parameters
    ----------
    title : str
        Title of the window; plain text.
    body : str
        HTML.
    more : str, optional
        Further text of the footer; plain text.

    Returns
    -------
    str
    """
    footer = f"Written by dipy_synth {__version__} on {date.today().isoformat()}. "
    words = {"title": escape(title), "footer": escape(footer + more)}
    return _FRAME.substitute(style=STYLE, body=body, **words)


QUALITY = Template("""<svg class="hidden" aria-hidden="true"><defs>
<path id="mean-histogram" d="$mean_histogram"/></defs></svg>
<header>
<h1>$title</h1>
<p class="soft">$summary</p>
</header>

<h2>$verdict</h2>
<p>$explanation</p>
<div class="wide"><table class="checks">
<tr><th>Volume</th><th class="n">Score</th><th>Unusual</th>
$columns_head<th>Split</th></tr>
$outliers
</table></div>

<h2>Distribution of the metrics</h2>
<div class="strips">$strips</div>
<p class="soft">One dot a volume; the middle tick is the median, the outer ones are
$limit robust standard deviations from it (median absolute deviation, scaled).</p>

<h2>The cohort</h2>
<div class="top">
<div>$mean_brain
<p class="soft">Mean of all volumes, and the outline of where at least half of them have
brain. Sagittal, coronal, axial; the patient's left is on the left.</p></div>
<div class="wide">$facts</div>
</div>
$people

<h2>All volumes by outlier score</h2>
<p class="soft">Volume: the brain mask's, in native space, in mL. Correlation: with the
mean of all other volumes, brains brought to one size, in blocks of 4 mm. Symmetry: the
correlation with its mirror image. Histogram distance: the Wasserstein-1 distance of the
intensities in the brain (filled) from those of all other volumes (line: the cohort's
mean), in units of the range. Tilt: the angle between the native head (by its alignment)
and the mean orientation of the cohort's heads. Beside each, its distance from the
cohort's median in robust standard deviations.</p>
<p class="screen"><label><input type="checkbox" id="outlines" checked> Outline of the
brain mask</label></p>
<div class="cards">
$cards
</div>""")

CARD = Template("""<article id="$anchor">
<h3>$name <span>$about</span></h3>
$slices
<div class="low"><table>$metrics</table>
<svg class="histogram" role="img" aria-label="Intensities in the brain of $name"
viewBox="0 0 $bins 20" preserveAspectRatio="none"><path class="own" d="$histogram"/>
<use class="mean" href="#mean-histogram"/></svg></div>
</article>
""")
