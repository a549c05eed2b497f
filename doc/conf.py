"""Sphinx configuration: ``sphinx-build doc doc/_build`` runs the gallery too."""

import re

from dipy_synth import __version__

project = "dipy_synth"
copyright = "dipy_synth developers"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
html_theme = "pydata_sphinx_theme"
numpydoc_show_class_members = False
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
}
exclude_patterns = ["_build", "examples"]


def escape_shapes(app, what, name, obj, options, lines):
    """Keep the star of shapes such as (n, *spatial) from being read as emphasis."""
    star = re.compile(r"(``.*?``)|\*(?=\w+\))")
    lines[:] = [star.sub(lambda found: found[1] or r"\*", line) for line in lines]


def setup(app):
    """Have Sphinx call what is defined here."""
    app.connect("autodoc-process-docstring", escape_shapes)
