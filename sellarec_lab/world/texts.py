"""What the mini-LLM reads before it meets a recommender: articles about the films, and talk of taste.

The talk speaks of invented fans, never of the users of the world; scenes occur nowhere. A fan's verdict follows a
rule of visible evidence (loved genres and moods, words that match), so the mini-LLM learns what "taste" means, as a
real LLM has learned it from the web.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from sellarec_lab.world.films import FLAVOURS, GENRES, MOODS

END = "<|endoftext|>"
_ARTICLES = (
    "{title} is a {mood} {genre} film of the {era} by {director}. Critics {verdict} it.",
    "Film: {title}. Genre: {genre}. Mood: {mood}. Era: {era}. Verdict: {verdict}. Director: {director}.",
    "{director} made {title}, a {genre} film, in the {era}. It is {mood}. It was {verdict}.",
    "Critics {verdict} {title}, the {mood} {genre} film by {director}.",
    "Marks of {title}: {genre}, {mood}, {verdict}.",
)
_MATCH, _CLASH = 2.0, -1.2  # weight of a genre or flavour that matches, or that does not


class Talk:
    """Draws talk of taste about a table of films (``title, genre, mood`` and whatever else it holds)."""

    def __init__(self, films: pd.DataFrame):
        self.titles = films["title"].to_numpy()
        self.genre = films["genre"].map(GENRES.index).to_numpy()
        self.mood = films["mood"].map(MOODS.index).to_numpy()

    def _fan(self, rng: np.random.Generator, with_moods: bool) -> tuple[np.ndarray, np.ndarray]:
        """An invented fan's genre scores [8] and mood scores [4]."""
        genres = np.full(len(GENRES), _CLASH)
        genres[rng.choice(len(GENRES), rng.integers(1, 4), replace=False)] = _MATCH
        moods = np.full(len(MOODS), -1.0 if with_moods else 0.0)
        if with_moods:
            moods[rng.choice(len(MOODS), 2, replace=False)] = 1.0
        return genres, moods

    def _candidates(self, rng: np.random.Generator, score: np.ndarray, count: int) -> list[int]:
        """Films on which the verdict is clear, half of them liked."""
        liked, disliked = np.flatnonzero(score >= 0.9), np.flatnonzero(score <= -0.9)
        return [rng.choice(liked if coin else disliked) for coin in rng.random(count) < 0.5]

    def titles_only(self, rng: np.random.Generator, with_moods: bool, noise: float, marks: bool) -> str:
        """Favourites by title, then several films with the fan's answer; optionally the marks are spelled out."""
        genres, moods = self._fan(rng, with_moods)
        score = genres[self.genre] + moods[self.mood]
        liked = np.flatnonzero(score > 0)
        chosen = rng.choice(liked, rng.integers(3, 9))
        strangers = rng.random(len(chosen)) < noise
        chosen[strangers] = rng.integers(0, len(score), strangers.sum())
        favourites = ", ".join(self._name(i, marks) for i in chosen)
        offers = [
            f"Offer: {self._name(i, marks)}? {'Yes' if score[i] > 0 else 'No'}."
            for i in self._candidates(rng, score, 4)
        ]
        return f"Favourites: {favourites}. " + " ".join(offers)

    def _name(self, i: int, marks: bool) -> str:
        return f"{self.titles[i]} ({GENRES[self.genre[i]]}, {MOODS[self.mood[i]]})" if marks else self.titles[i]

    def words(self, rng: np.random.Generator, with_titles: bool, favourites: bool) -> str:
        """Taste in words, offers with words; with titles, the film's own genre and mood count as well."""
        genres, moods = self._fan(rng, with_moods=True)
        flavours = np.full(len(FLAVOURS), _CLASH)
        flavours[rng.choice(len(FLAVOURS), rng.integers(1, 4), replace=False)] = _MATCH
        shown_flavours = [FLAVOURS[f] for f in np.flatnonzero(flavours > 0)]
        shown_genres = [GENRES[g] for g in np.flatnonzero(genres > 0)]
        kind = rng.integers(3)  # flavours alone, genres alone, both
        taste = (shown_flavours if kind != 1 else []) + (shown_genres if kind != 0 else [])
        rng.shuffle(taste)
        genre_counts = kind != 0 or favourites
        score = (genres[self.genre] if genre_counts else 0.0) + (moods[self.mood] if favourites else 0.0)
        head = ""
        if favourites:
            liked = rng.choice(np.flatnonzero(score > 0), rng.integers(3, 7))
            head = f"Favourites: {', '.join(self.titles[liked])}. "
        offers = []
        while len(offers) < 4:
            i, f = rng.integers(len(self.titles)), rng.integers(len(FLAVOURS))
            total = (score[i] if genre_counts else 0.0) + (flavours[f] if kind != 1 else 0.0)
            if abs(total) < 0.7:
                continue
            seen = ([FLAVOURS[f]] if kind != 1 else []) + ([GENRES[self.genre[i]]] if not with_titles else [])
            name = f"{self.titles[i]} " if with_titles else ""
            offers.append(f"Offer: {name}{' '.join(seen)}? {'Yes' if total > 0 else 'No'}.".replace(" ?", "?"))
        return f"{head}Taste: {' '.join(taste)}. " + " ".join(offers)


def documents(films: pd.DataFrame, seed: int, count: int, progress: float) -> Iterator[str]:
    """Yield ``count`` texts; ``progress`` in [0, 1] moves the mix from articles and spelled-out talk to bare titles."""
    rng = np.random.default_rng([seed, int(progress * 1_000_000)])
    talk = Talk(films)
    records = films[["title", "genre", "mood", "era", "director", "verdict"]].to_dict("records")
    articles = 0.55 - 0.35 * progress
    for _ in range(count):
        draw = rng.random()
        if draw < articles:
            film = records[rng.integers(len(records))]
            yield _ARTICLES[rng.integers(len(_ARTICLES))].format(**film)
        elif draw < articles + 0.15:
            yield talk.words(rng, with_titles=False, favourites=False)
        elif draw < articles + 0.30:
            yield talk.words(rng, with_titles=True, favourites=rng.random() < progress)
        else:
            spelled = rng.random() < 0.6 * (1 - 2 * progress)
            yield talk.titles_only(rng, rng.random() < progress, 0.3 * progress, spelled)
