"""Template of the evaluation page, and its additional style."""

from string import Template

MORE_STYLE = """
:root { --real: #1f5f8b; --synthetic: #c05621; --good: #2e7d32; --pass: #e4efe4; }
@media (prefers-color-scheme: dark) { :root { --real: #7db8de; --synthetic: #f0a26b;
  --good: #81c784; --pass: #24352a; } }
.answers td { vertical-align: top; padding-top: .5rem; padding-bottom: .5rem; }
.answers td:first-child { white-space: nowrap; font-weight: 600; }
@media (max-width: 40rem) { .answers td { display: block; padding: 0 0 .3rem;
    border: 0; } .answers td:last-child { border-bottom: 1px solid var(--line); }
  .answers tr:first-child { display: none; } }
.chip { display: inline-block; padding: 0 .6em; border-radius: 1em; font-weight: 600;
  white-space: nowrap; border: 1px solid; font-size: .88rem; }
.chip.yes { color: var(--good); } .chip.no { color: var(--outlier); }
.chip.open { color: var(--soft); }
.key b { font-weight: 600; } .key .real { color: var(--real); }
.key .synthetic { color: var(--synthetic); }
h3 { margin: 1rem 0 .4rem; font-size: 1rem; }
img.mosaic { display: block; width: 100%; background: #000; margin-bottom: 2px; }
.pair { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; break-inside: avoid; }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.chart text { font-size: 9px; fill: var(--soft); text-anchor: middle; }
.chart text.up { text-anchor: end; } .chart text.name { font-size: 10px; }
.chart .tick, .place .tick, .place .axis { stroke: var(--line); stroke-width: .7;
  fill: none; }
circle.real { fill: var(--real); fill-opacity: .55; }
circle.synthetic { fill: var(--synthetic); fill-opacity: .6; }
.strip circle.real { fill: var(--real); fill-opacity: .5; }
.strip circle.synthetic { fill: var(--synthetic); fill-opacity: .55; }
.line { fill: none; stroke-width: 1.6; } .line.real { stroke: var(--real); }
.line.synthetic { stroke: var(--synthetic); }
.band { fill-opacity: .18; } .band.real { fill: var(--real); }
.band.synthetic { fill: var(--synthetic); }
.passes { fill: var(--pass); }
.place { width: 9rem; } .place .reach { stroke: var(--synthetic); stroke-width: 2; }
.bands td { vertical-align: middle; } .bands .strip { width: 16rem; }
.cards .slices + .slices { margin-top: 3px; }
.viewer .planes { display: grid; grid-template-columns: 6fr 5fr 5fr; gap: 4px;
  align-items: center; background: #000; padding: 4px; border-radius: 5px; }
.viewer { display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
.viewer canvas { width: 100%; display: block; cursor: crosshair; touch-action: none;
  image-rendering: auto; }
.viewer .sliders { grid-column: 1 / -1; margin: 0; display: flex; gap: .4rem 1.5rem;
  flex-wrap: wrap; max-width: none; }
.viewer select { max-width: 22rem; margin-bottom: .3rem; }
@media print { :root { --real: #1f5f8b; --synthetic: #c05621; --good: #2e7d32;
    --pass: #e4efe4; } .pair { grid-template-columns: 1fr 1fr; }
  .charts { grid-template-columns: 1fr 1fr; } img { print-color-adjust: exact; } }
"""

EVALUATION_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Evaluation: $title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="soft">$summary</p>
</header>

<h2>Is it any good?</h2>
<div class="wide"><table class="answers">
<tr><th>Question</th><th>Answer</th><th>Reason</th></tr>
$answers
</table></div>
<p class="soft key">Colours: <b class="real">real</b> and
<b class="synthetic">synthetic</b> volumes.</p>

<h2>Sample volumes</h2>
<p class="soft">Evenly spaced volumes of each cohort, not selected, all at the same
world coordinates; real ones above, synthetic ones below. The patient's left is on the
left.</p>
$mosaics

<h2>Viewer</h2>
<p class="soft screen">Click, drag, or use the sliders: both sides show the same
coordinates.</p>
$viewer
$sprites

<h2>Mean and standard deviation</h2>
$means

<h2>Alike: metrics of distribution</h2>
<p>Each metric of all volumes with its 95 % interval; then, with the same number of
volumes on either side, its value for other real volumes (floor) and for noise
(ceiling); then the position of synthetic volumes between the two: 0 is real against
real, 1 is noise.</p>
$metrics
<ul class="soft">$warnings</ul>

<h2>Texture of the cortex</h2>
<p>Texture is the Fréchet distance of features of blocks of 16 mm. AUC is that of a
classifier of real and synthetic brains, or of single blocks, on left-out volumes: 0.5
is chance, 1 a perfect separation. The distance of histograms is in units of the
intensity range. Power is relative to real brains, in bands of the Nyquist frequency:
less than 1 is blur, more is noise. Blotches are real brains with shuffled phases of one
frequency band: with the power of real ones, but without folds.</p>
$texture

<h2>Not noise: each volume beside real brains</h2>
<p>The shaded band is the acceptance range, fitted to $n_real real volumes. Dots above
are real volumes, below synthetic ones.</p>
<div class="wide"><table class="bands">
<tr><th>Metric</th><th></th><th class="n">real</th><th class="n">synthetic</th>
<th class="n">passes</th><th class="n">fail</th></tr>
$bands
</table></div>
$failed

<h2>Curves</h2>
<div class="charts">$charts</div>

<h2>Not copied: nearest training volumes</h2>
$copies

<h2>Methods</h2>
$how

<h2>For the methods section of a paper</h2>
$methods
<footer>$footer</footer>
<script>$script</script>
</body>
</html>
""")
