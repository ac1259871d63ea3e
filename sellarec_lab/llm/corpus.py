"""Texts for a mini-LLM that is pre-trained on a catalogue: its titles, years and genres, who-likes-what of train."""

import numpy as np
import pandas as pd

_ARTICLES = ("{title} is a {genres} film.", "Film: {title}. Genre: {genres}.", "Marks of {title}: {genres}.")


class CatalogueCorpus:
    """Draws texts from a catalogue (``title`` and, where there is one, ``genres`` joined by ``|``) and from the
    positive rows of train. Neither valid nor test rows, nor any negative, are read.

    Three kinds: statements about an item; talk of an invented fan of some genres, who says yes or no to items; lists
    of items that one user of train liked, in random order.
    """

    def __init__(self, items: pd.DataFrame, train: pd.DataFrame, seed: int):
        self.titles = items["title"].to_numpy()
        genres = items["genres"] if "genres" in items else pd.Series("", index=items.index)
        flags = genres.str.get_dummies("|")
        self.genres, self.names = flags.to_numpy(dtype=float), [name.lower() for name in flags.columns]
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
        genres = ", ".join(self.names[g] for g in np.flatnonzero(self.genres[item]))
        return _ARTICLES[rng.integers(len(_ARTICLES))].format(title=self.titles[item], genres=genres)

    def _talk(self, rng: np.random.Generator) -> str:
        """Favourites by title or taste in words, then offers with the fan's answer."""
        loved = rng.choice(len(self.names), min(len(self.names), rng.integers(1, 4)), replace=False)
        score = self.genres[:, loved].sum(1)
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
