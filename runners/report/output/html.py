"""report.html: one file with everything in it."""

import base64
import re
from functools import partial
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from runners.report.plots import Plot
from runners.report.report import Report
from runners.report.sections.comparison.answer import MARGINS_SHOWN

TEMPLATE = "page.html"


def render(report: Report, *, pictures: bool = True) -> str:
    """Return the page as HTML text without any link to the outside; the pictures are those written in plots/."""
    loader = PackageLoader("runners.report.output", ".")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.filters["inline"] = inline
    templates.filters["data_uri"] = partial(_data_uri, report.folder / "plots")
    page = templates.get_template(TEMPLATE)
    return page.render(report=report, answer=report.answer, margins_shown=MARGINS_SHOWN, pictures=pictures)


def inline(text: str) -> Markup:
    """Mark **strong** words and `code` in a text, and escape everything else."""
    strong = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", strong))


def _data_uri(folder: Path, plot: Plot) -> str:
    svg = (folder / f"{plot.name}.svg").read_bytes()
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()
