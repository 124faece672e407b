"""report.html: one file with everything in it."""

import base64
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from runners.report.headline import headlines
from runners.report.plots import Plot
from runners.report.sections import sections

if TYPE_CHECKING:
    from runners.report.build import Report

TEMPLATE = "page.html"


def render(report: "Report") -> str:
    """The page as HTML text, with no link to anything outside it."""
    templates = Environment(
        loader=PackageLoader("runners.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    plots = report.folder / "plots"
    templates.filters["inline"], templates.filters["data_uri"] = inline, partial(_data_uri, plots)
    return templates.get_template(TEMPLATE).render(
        title=title(report),
        headlines=headlines(report.comparisons),
        control=report.control,
        notices=report.notices,
        sections=sections(report),
    )


def title(report: "Report") -> str:
    """What the study is called."""
    return f"Level Field: {' against '.join(str(c) for c in report.study.plan.contenders)}"


def inline(text: str) -> Markup:
    """Text with its **strong** words and `code`, all else escaped."""
    strong = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", strong))


def _data_uri(folder: Path, plot: Plot) -> str:
    drawn = (folder / f"{plot.name}.svg").read_bytes()
    return "data:image/svg+xml;base64," + base64.b64encode(drawn).decode()
