"""Where links of the checkout's texts lead from the pages of a report."""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


class Site:
    """The pages in one folder, and the texts they are made from.

    Attributes:
        pages: source, as absolute path -> file name of its page. Grows where a text links to markdown of the checkout,
            which then gets a page of its own, so that its anchors work.
    """

    def __init__(self, folder: Path, sources: Iterable[Path], root: Path, texts: bool = True):
        """``folder`` is where the pages lie, ``root`` the checkout; without ``texts`` markdown gets no page."""
        self.folder, self.root, self.texts = folder.resolve(), root.resolve(), texts
        self.pages = {source.resolve(): f"{source.stem}.html" for source in sources}

    def moved(self, address: str, source: Path) -> str:
        """An address as it stands in ``source``, as it must stand in that text's page."""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or not parts.path:
            return address
        target = (source.resolve().parent / unquote(parts.path)).resolve()
        if self.texts and target.suffix == ".md" and target.is_file() and target.is_relative_to(self.root):
            name = "-".join(target.relative_to(self.root).with_suffix("").parts)
            self.pages.setdefault(target, f"{name}.html")
        place = self.pages.get(target) or Path(os.path.relpath(target, self.folder)).as_posix()
        return quote(place) + (f"#{parts.fragment}" if parts.fragment else "")
