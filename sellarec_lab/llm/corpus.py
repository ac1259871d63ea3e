"""Texts for a mini-LLM that is pre-trained on a catalogue: titles, kinds, descriptions, who-likes-what of train."""

import numpy as np
import pandas as pd

_FILMS = ("{title} is a {kinds} film.", "Film: {title}. Genre: {kinds}.", "Marks of {title}: {kinds}.")
_THINGS = ("{title} belongs to {kinds}.", "Item: {title}. Kind: {kinds}.", "{title}: {about}", "{about} It is {title}.")
_TOLD = 60  # most words of a description


class CatalogueCorpus:
    """Draws texts from a catalogue and from the positive rows of train; neither valid nor test rows, nor any negative,
    are read. Of items: ``title`` and, where they are there, ``genres`` joined by ``|``; otherwise ``categories`` joined
    by commas, and ``description``.

    Three kinds: statements about an item; talk of an invented fan of some genres, who says yes or no to items; lists
    of items that one user of train liked, in random order.
    """

    def __init__(self, items: pd.DataFrame, train: pd.DataFrame, seed: int):
        self.titles = items["title"].to_numpy()
        column, mark = ("genres", "|") if "genres" in items else ("categories", ", ")
        kinds = items[column] if column in items else pd.Series("", index=items.index)
        flags = kinds.str.get_dummies(mark)
        self.kinds, self.names = flags.to_numpy(dtype=float), [name.lower() for name in flags.columns]
        about = items["description"] if "description" in items else pd.Series("", index=items.index)
        self.about = [" ".join(text.split()[:_TOLD]) for text in about]
        self.articles = _FILMS if column == "genres" else _THINGS
        rows = train[train["label"] == 1]
        self.liked = [group.to_numpy() - 1 for _, group in rows.groupby("user_id")["item_id"] if len(group) > 2]
        self.seed = seed

    def documents(self, count: int, progress: float) -> list[str]:
        """``count`` texts; ``progress`` in [0, 1] moves the mix from statements to talk."""
        rng = np.random.default_rng([self.seed, int(progress * 1_000_000)])
        statements = (0.65 - 0.3 * progress) if self.names else 0.0
        talk = statements + (0.25 if self.names else 0.0)
        draws = rng.random(count)
        kinds = np.searchsorted([statements, talk], draws, side="right")
        write = (self._statement, self._talk, self._list)
        return [write[kind](rng) for kind in kinds]

    def _statement(self, rng: np.random.Generator) -> str:
        item = rng.integers(len(self.titles))
        kinds = ", ".join(self.names[k] for k in np.flatnonzero(self.kinds[item]))
        article = self.articles[rng.integers(len(self.articles))]
        return article.format(title=self.titles[item], kinds=kinds, about=self.about[item] or kinds)

    def _talk(self, rng: np.random.Generator) -> str:
        """Favourites by title or taste in words, then offers with the fan's answer."""
        loved = rng.choice(len(self.names), min(len(self.names), rng.integers(1, 4)), replace=False)
        score = self.kinds[:, loved].sum(1)
        yes, no = np.flatnonzero(score > 0), np.flatnonzero(score == 0)
        if not len(yes) or not len(no):
            return self._statement(rng)
        if rng.random() < 0.5:
            head = "Taste: " + " ".join(self.names[g] for g in loved) + ". "
        else:
            head = "Favourites: " + ", ".join(self.titles[rng.choice(yes, rng.integers(3, 8))]) + ". "
        offers = []
        for _ in range(4):
            like = rng.random() < 0.5
            offers.append(f"Offer: {self.titles[rng.choice(yes if like else no)]}? {'Yes' if like else 'No'}.")
        return head + " ".join(offers)

    def _list(self, rng: np.random.Generator) -> str:
        """Liked by one user: so titles that go together stand together."""
        liked = self.liked[rng.integers(len(self.liked))]
        chosen = rng.choice(liked, min(len(liked), 9), replace=False)
        titles = self.titles[chosen]
        return f"Favourites: {', '.join(titles[:-1])}. Offer: {titles[-1]}? Yes."
