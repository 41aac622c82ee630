"""How the site is built: `make docs`."""

from typing import Annotated, get_args, get_origin

from jaxssl.version import __version__

project = "jaxssl"
author = "the jaxssl authors"
copyright = author
release = __version__


def without_annotations(app, function, bound):
    """Leave out of the types what is said to the command line alone."""
    hints = getattr(function, "__annotations__", {})
    for name, hint in hints.items():
        if get_origin(hint) is Annotated:
            hints[name] = get_args(hint)[0]


def without_aliases(app, what, name, member, skip, options):
    """Leave out the fields of named tuples, which are among the parameters already."""
    return True if (member.__doc__ or "").startswith("Alias for field number") else None


def setup(app):
    app.connect("autodoc-before-process-signature", without_annotations)
    app.connect("autodoc-skip-member", without_aliases)


extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_typehints = "description"
autodoc_preserve_defaults = True
exclude_patterns = ["_build"]

smartquotes = False  # a flag of a command is not set in dashes

html_theme = "furo"
html_title = f"jaxssl {__version__}"
html_copy_source = False
html_show_sphinx = False
