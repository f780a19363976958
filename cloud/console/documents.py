"""The documents that the pages point to, served here: the wire format, and what Sigfox makes of it."""

import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup, escape

from cloud.console import desk
from cloud.console.desk import See
from cloud.words import N_

FOLDER = Path(__file__).parents[2] / "docs"
NAMES = ("wire-format", "sigfox")

router = APIRouter(prefix="/docs")


@router.get("/{name}")
def show(request: Request, session: See, name: str) -> Response:
    path = FOLDER / f"{name}.md"
    if name not in NAMES or not path.is_file():
        raise HTTPException(404, N_("There is no document %(name)s here.", name=name[:40]))
    title, html, headings = _read(path, path.stat().st_mtime_ns)
    return desk.render(request, "console/document.html", title=title, html=html, headings=headings)


@cache
def _read(path: Path, _changed: int) -> tuple[str, Markup, list[tuple[str, str]]]:
    """The title, the text as HTML, and its headings with their anchors."""
    # Without HTML of the document's own, which the strict policy would not let run either.
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(path.read_text())
    title, headings = path.stem, []
    for token, inside in pairwise(tokens):
        if token.type != "heading_open":
            continue
        text = "".join(part.content for part in inside.children or ())
        if token.tag == "h1":
            title = text
        else:
            token.attrSet("id", slug(text))
            headings.append((slug(text), text))
    for token in tokens:
        _lead_home(token)
    markdown.add_render_rule("code_block", _scrolling)
    body = tokens[3:] if tokens and tokens[0].tag == "h1" else tokens
    return title, Markup(markdown.renderer.render(body, markdown.options, {})), headings  # noqa: S704  its HTML is off


def _scrolling(_renderer: object, tokens: Sequence[Token], at: int, *_: object) -> str:
    """Code that is wider than the screen scrolls by itself, by the keyboard too."""
    return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'


def slug(heading: str) -> str:
    """
    >>> slug("Uplink, 12 bytes")
    'uplink-12-bytes'
    """
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def _lead_home(token: Token) -> None:
    """Links between the documents that are here stay links; of others only the words stay."""
    kept: list[Token] = []
    leads = True
    for part in token.children or ():
        if part.type == "link_open":
            file, _, anchor = str(part.attrGet("href") or "").partition("#")
            name = file.removesuffix(".md")
            if leads := not file or name in NAMES:
                part.attrSet("href", (f"/docs/{name}" if file else "") + (f"#{anchor}" if anchor else ""))
        if leads or part.type not in ("link_open", "link_close"):
            kept.append(part)
    if token.children:
        token.children = kept
