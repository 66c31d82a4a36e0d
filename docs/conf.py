"""How the pages are built: Sphinx, furo and MyST, from this folder and the docstrings."""

import re
import sys
import tempfile
import typing
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.metadata import version as version_of
from pathlib import Path

project = "freedom-middleware"
author = copyright = "The freedom-middleware authors"
release = version = version_of("freedom-middleware")

# sphinx.ext.intersphinx is left out: the pages must build without a network.
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Lists of names and what they are, where one line may tell of several names.
napoleon_custom_sections = [("Touches", "params_style"), ("Attributes", "params_style")]
napoleon_use_param = False

nitpicky = True
nitpick_ignore = [
    # A NamedTuple keeps the annotations of its fields as text, and knows no module for it.
    ("py:class", "WSGIApplication"),
    ("py:class", "Environ"),
    ("py:class", "Path"),
    # Of a dataclass too; and a text is cut at its commas.
    ("py:class", "dict[str"),
    ("py:class", "collections.abc.Callable[[]"),
    # What a guarded body looks like from inside, for type checkers only.
    ("py:class", "freedom_middleware.dropped.Claim"),
]
nitpick_ignore_regex = [
    # Other people's names: without intersphinx there is nothing to link them to.
    (r"py:.*", r"(?!freedom_middleware\.)\w+(\.\w+)+"),
]

html_theme = "furo"
html_title = "freedom-middleware"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
# Prompts and output are not copied, so that a session can be pasted into an interpreter.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


# The package imports the names in its annotations for type checkers only, and most of it
# not even ``typing``.  Sphinx wants to know what they stand for, so it is told that it is a
# type checker while it imports what it documents.
def import_as_type_checkers_do(modules):
    """Import *modules* with ``TYPE_CHECKING`` true, whoever defines it."""
    compile_source = SourceFileLoader.source_to_code

    def source_to_code(loader, data, path, **options):
        if loader.name.startswith("freedom_middleware"):
            data = data.replace(b"TYPE_CHECKING = False", b"TYPE_CHECKING = True")
        return compile_source(loader, data, path, **options)

    with tempfile.TemporaryDirectory() as sys.pycache_prefix:  # or it is not compiled anew
        SourceFileLoader.source_to_code = source_to_code
        typing.TYPE_CHECKING = True
        for module in modules:
            import_module(module)
        typing.TYPE_CHECKING = False
        SourceFileLoader.source_to_code = compile_source
    sys.pycache_prefix = None


reference = Path(__file__).with_name("reference.md").read_text(encoding="utf-8")
import_as_type_checkers_do(re.findall(r"automodule:: (\S+)", reference))


def keep_colons(app, what, name, obj, options, lines):
    """Keep napoleon from taking the text before a colon for the type of a constant."""
    if what in ("attribute", "data", "property"):
        lines.insert(0, "\\ ")  # an escaped space: nothing, to a reader


def setup(app):
    """Run before napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", keep_colons, priority=400)
