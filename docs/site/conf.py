"""The site: `make site` (CONTRIBUTING.md, "The site"). Every source stays where it is.

Pages are README.md (the start page), the chapters with their committed outputs, exercises and solutions, all pages of
docs/, figures/ and data/, and a reference made from docstrings. Nothing is executed and nothing is downloaded.
"""

import os
import re
import shutil
import sys
from pathlib import Path

import latex2mathml.converter
from docutils import nodes
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util import logging

sys.path.insert(0, str(Path(__file__).parent))
import colab
from contents import HERE, INTERFACES, METHOD, NAVIGATION, PAGE_OF, ROOT, modules
from docstrings import from_markdown

LOG = logging.getLogger(__name__)

project = "MMM"
html_title = "MMM: text to 3D human motion"
copyright = "the authors of this project, MIT licence; data and models have their own (start page)"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = [
    *("README.md", "CONTRIBUTING.md", "docs/*.md", f"{HERE}/*.md", "docs/api/*.rst"),
    *("notebooks/*.ipynb", "notebooks/exercises/*.ipynb", "notebooks/solutions/*.ipynb"),
    *("data/README.md", "data/pretrained/**/README.md", "figures/**.md"),
]
exclude_patterns = [".*", "build", "runs", "mmm", "tests", "data/[!pR]*", "docs/demo", "docs/examples"]

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
highlight_language = "bash"  # of indented blocks; all others name theirs
pygments_style = "friendly"
smartquotes = False  # an option of the command line keeps its two hyphens

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
myst_url_schemes = {"http": None, "https": None, "mailto": None, "site": "{{path}}"}  # site: what is no page

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
maximum_signature_line_length = 90
# The letters of a shape ("b tokens") are no names of Python, and an indented block need not be code of it.
suppress_warnings = ["ref.python", "misc.highlighting_failure"]
SECTIONS = Config(napoleon_use_ivar=True, napoleon_use_rtype=False, napoleon_numpy_docstring=False)

PUBLISHED = "/OWNER/" not in colab.REPOSITORY
if PUBLISHED:
    html_theme_options = {"source_repository": colab.REPOSITORY, "source_branch": "main"}


def write_reference(app) -> None:
    """docs/api: a page for every part of the package, and two pages that list them."""
    folder = ROOT / "docs/api"
    folder.mkdir(exist_ok=True)
    pages = {}
    for ring, title, parts in (("method", "The method", METHOD), ("interfaces", "Interfaces", INTERFACES)):
        listed = "\n".join(f"   {part}" for part in parts)
        pages[ring] = f"{title}\n{'=' * len(title)}\n\n.. toctree::\n   :maxdepth: 2\n\n{listed}\n"
        for part, names in parts.items():
            blocks = [
                f"{m}\n{'-' * len(m)}\n\n.. automodule:: {m}\n   :members:\n   :ignore-module-all:\n"
                for m in modules(names)
            ]
            pages[part] = "\n".join([f"{part}\n{'=' * len(part)}\n", *blocks])
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.is_file() or path.read_text("utf-8") != text:  # unchanged pages are not built again
            path.write_text(text, "utf-8")


DEMO = (
    ROOT / "docs/demo/dist"
)  # the page that `make demo-build` writes: where there is one, the site shows it as demo/
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s\"\\]+)(#[^)\s\"\\]*)?\)")


def site_target(path: Path) -> Path | None:
    """Where the site shows a file or folder of the repository that is no page itself; None if it is one, or a file
    to download."""
    places = {"notebooks/exercises": "exercises.md", "notebooks/solutions": "solutions.md"}
    places |= {"notebooks/mmm_in_one_file.py": "one_file.md"}
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    if name in places:
        return ROOT / HERE / places[name]
    if path.is_dir() and (path / "README.md").is_file():
        return path / "README.md"
    if path.is_dir() and name.startswith("figures/"):
        return ROOT / HERE / "details.md"
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    if module in PAGE_OF:
        return ROOT / "docs/api" / f"{PAGE_OF[module]}.rst"
    return None


def adapt(app, docname: str, source: list[str]) -> None:
    """Make a page of the repository one of the site: the navigation, links to code and folders, links to Colab."""
    text = source[0]
    folder = app.env.doc2path(docname).parent

    def link(match: re.Match) -> str:
        target = site_target(Path(os.path.normpath(folder / match[1])))
        return f"]({os.path.relpath(target, folder)})" if target else match[0]

    text = LINK.sub(link, text)
    # a picture from elsewhere becomes words, and the words go where the project has no address yet
    text = colab.BADGE.sub(r"[Open in Colab](\1)" if PUBLISHED else "", text)
    if docname == "docs/DEMO" and DEMO.is_dir():
        text = text.replace("\n", "\n\n[Open the page](site:../demo/index.html)\n", 1)
    if docname.endswith("/instructions"):
        text = f"# Instructions of the readers\n\n{text}"  # what was sent to them has no title
    if docname == root_doc:
        for caption, entries in NAVIGATION.items():
            listed = "\n".join(f"/{entry}" for entry in entries)
            text += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {caption}\n\n{listed}\n```\n"
    source[0] = text


def docstring(app, what: str, name: str, obj, options, lines: list[str]) -> None:
    """Docstrings are plain Markdown with Google's sections."""
    lines[:] = from_markdown(lines)
    if what not in ("data", "attribute"):  # there Google's style takes the words before a colon for a type
        lines[:] = GoogleDocstring(lines, SECTIONS, app, what, name, obj, options).lines()
    lines[:] = [line.replace("jaxtyping.", "") for line in lines]


def skip(app, what: str, name: str, obj, default: bool, options) -> bool | None:
    """Leave out what classes inherit or get from libraries."""
    foreign = callable(obj) and not (getattr(obj, "__module__", None) or "mmm").startswith("mmm")
    return True if foreign else None


def mathml(self, node) -> None:
    """An equation as MathML, which browsers show without a script: the site needs no network."""
    block = not isinstance(node, nodes.math)
    # Two things that the library lacks: arg, and the sizes of brackets that are commands (browsers stretch brackets).
    latex = node.astext().replace(r"\arg", r"\operatorname{arg}")
    latex = re.sub(r"\\[bB]ig+[lr]?(?=\\)", "", latex)
    text = latex2mathml.converter.convert(latex, display="block" if block else "inline")
    if unknown := re.findall(r"\\\w+", text):
        LOG.warning("LaTeX that becomes no MathML: %s in %s", ", ".join(unknown), latex, location=node)
    if block:
        # Where no font for mathematics is installed, browsers leave sums and products as small as letters.
        large = r'<mo largeop="false" style="font-size:1.5em">\1</mo>'
        text = re.sub("<mo>(&#x022(?:11|0F);)</mo>", large, text)
        text = f'<div class="math">{text}</div>'
    self.body.append(text)
    raise nodes.SkipNode


def finish(app, exception) -> None:
    """The start page under the name that servers look for, and the browser demo beside the pages."""
    if exception is None:
        shutil.copyfile(app.outdir / f"{root_doc}.html", app.outdir / "index.html")
        if DEMO.is_dir():
            shutil.copytree(DEMO, app.outdir / "demo", dirs_exist_ok=True)


def setup(app) -> None:
    app.add_html_math_renderer("mathml", (mathml, None), (mathml, None))
    app.connect("builder-inited", write_reference)
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("autodoc-skip-member", skip)
    app.connect("build-finished", finish)
