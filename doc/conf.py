"""Sphinx configuration: ``sphinx-build doc doc/_build`` runs the gallery too."""

from functools import partial
from pathlib import Path
import re
import sys

from dipy_synth import __version__

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
from own_methods import own_methods  # noqa: E402

project = "dipy_synth"
copyright = "dipy_synth developers"
version = release = __version__
extensions = [
    "commands",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinxcontrib.bibtex",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
bibtex_bibfiles = ["references.bib"]
html_extra_path = ["ages.html"]
html_static_path = ["_static"]
html_css_files = ["names.css"]
html_theme = "pydata_sphinx_theme"
html_sidebars = {"*": []}  # pages at the top have no pages below them
html_title = f"dipy_synth {__version__}"
html_theme_options = {
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_nav_level": 2,
}
default_role = "py:obj"  # a name in single backticks links to its page
autosummary_context = {"own_methods": partial(own_methods)}  # Sphinx takes no function
numpydoc_show_class_members = False
autodoc_inherit_docstrings = False  # those of Keras are no reStructuredText
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "within_subsection_order": "gallery_order.TeachingOrder",
}
exclude_patterns = ["_build", "examples"]


def escape_shapes(app, what, name, obj, options, lines):
    """Keep the star of shapes such as (n, *spatial) from being read as emphasis."""
    star = re.compile(r"(``.*?``)|(?:(?<=, )|(?<=\())\*(?=\w)")
    lines[:] = [star.sub(lambda found: found[1] or r"\*", line) for line in lines]


def setup(app):
    """Have Sphinx call what is defined here."""
    app.connect("autodoc-process-docstring", escape_shapes)
