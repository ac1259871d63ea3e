"""Markdown of a notebook as html that needs no network: formulas drawn by the browser itself, headings with ids that
stand once, links that lead somewhere."""

import html
import re
from collections.abc import Callable
from typing import NamedTuple

from math_core import LatexError, LatexToMathML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

_TEX = LatexToMathML(fancy_error=False)
_LINK = re.compile(r"""(<(?:a|img)\b[^>]*?\b(?:href|src)=)(["'])(.*?)\2""", re.IGNORECASE | re.DOTALL)
_TAG = re.compile("<[^>]+>")


class Heading(NamedTuple):
    """A heading as a contents list needs it."""

    level: int
    text: str
    anchor: str


class Prose:
    """The markdown of one page.

    Attributes:
        headings: those met so far, in order; none shares its anchor with another.
    """

    def __init__(self, moved: Callable[[str], str] = str):
        """``moved`` says where a link of the notebook leads from the page: an address in, an address out."""
        self.headings: list[Heading] = []
        self._moved = moved

    def html(self, source: str) -> str:
        """Markdown as html.

        Raises:
            ValueError: a formula that does not convert.
        """
        made = MarkdownWithMath(_Renderer(self)).render(source)
        return _LINK.sub(lambda m: f"{m[1]}{m[2]}{self._led(m[3])}{m[2]}", made)

    def head(self, level: int, inner: str) -> str:
        """A heading's html, noted for the contents list; its anchor is the one that Jupyter gives it."""
        text = html.unescape(_TAG.sub("", inner)).strip()
        anchor, taken = text.replace(" ", "-"), {heading.anchor for heading in self.headings}
        again = sum(re.sub(r"~\d+$", "", name) == anchor for name in taken)
        anchor = f"{anchor}~{again + 1}" if again else anchor
        self.headings.append(Heading(level, text, anchor))
        return f'<h{level} id="{html.escape(anchor)}">{inner}</h{level}>\n'

    def _led(self, address: str) -> str:
        return html.escape(self._moved(html.unescape(address)))


class _Renderer(IPythonRenderer):
    """nbconvert's own, but for formulas and headings."""

    def __init__(self, prose: Prose):
        super().__init__(escape=False)
        self._prose = prose

    def heading(self, text: str, level: int, **attributes) -> str:
        return self._prose.head(level, text)

    def block_math(self, body: str) -> str:
        return formula(body, block=True)

    def inline_math(self, body: str) -> str:
        return formula(body)

    def latex_environment(self, name: str, body: str) -> str:
        return formula(rf"\begin{{{name}}}{body}\end{{{name}}}", block=True)


def formula(tex: str, block: bool = False) -> str:
    """TeX as MathML, which browsers draw without a script.

    Raises:
        ValueError: it is no TeX, or a command that MathML can't say.
    """
    try:
        return _TEX.convert_with_local_state(tex.strip(), displaystyle=block)
    except LatexError as error:
        raise ValueError(
            f"the formula {tex.strip()!r} can't be drawn: {error} Write it with other commands; "
            r"a dollar that starts no formula is written \$"
        ) from error
