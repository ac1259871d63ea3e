"""Films of the embedded world: what can be read about them, and what cannot.

Every film has attributes that its articles state (genre, mood, era, director, verdict), a title that only hints at
the genre, and a *scene* that no text mentions. Scenes exist in the interactions alone.
"""

import numpy as np
import pandas as pd

GENRES = ("crime", "comedy", "romance", "horror", "western", "space", "war", "musical")
MOODS = ("dark", "tender", "playful", "solemn")
ERAS = ("fifties", "seventies", "nineties", "tens")
VERDICTS = ("praised", "panned")
FLAVOURS = ("amber", "cobalt", "velvet", "copper", "linen", "saffron", "granite", "cedar")
N_SCENES = 4

_ADJECTIVES = (
    "Silent Golden Broken Distant Hollow Crimson Gentle Restless Frozen Burning Hidden Endless Lonely Bright Bitter "
    "Wild Quiet Faded Lucky Stolen Secret Falling Rising Empty Savage Velveteen Northern Southern Second Last First "
    "Blue White Black Green Scarlet Silver Iron Paper Glass Wooden Narrow Open Lost Sleepless Winter Summer Autumn "
    "Midnight Early"
).split()
_NOUNS = {  # the first eight rows hint at a genre, in the order of GENRES
    "crime": "Alibi Ransom Detective Heist Verdict",
    "comedy": "Neighbour Banquet Parrot Holiday Mixup",
    "romance": "Kiss Letter Wedding Sweetheart Promise",
    "horror": "Crypt Scream Cellar Phantom Curse",
    "western": "Saddle Sheriff Canyon Stagecoach Outlaw",
    "space": "Orbit Comet Starship Moonbase Signal",
    "war": "Trench Regiment Convoy Armistice Bunker",
    "musical": "Melody Chorus Piano Waltz Serenade",
    "": "River Garden Mirror Road Window Harbor Station Island Bridge Tower Mountain Door Street Lantern Forest Clock "
    "Shadow Field Market Shore Valley Staircase Orchard Journey",
}
_FIRST = "Ada Bela Carlo Dora Emil Freda Gino Hanna Igor Jutta".split()
_LAST = "Voss Marek Lind Okafor Reyes Tanaka Duval Novak Berg Costa".split()

HINT_SHARE = 0.4  # share of titles whose noun hints at the genre
DIRECTOR_FOCUS = 0.7  # chance that a director stays in the own genre


def make_films(rng: np.random.Generator, n_films: int, late_share: float, late_window: tuple[int, int]) -> pd.DataFrame:
    """Draw the films.

    Returns a DataFrame indexed by ``item_id`` (1..n_films) with ``title, genre, mood, director, era, verdict`` (what
    articles state), and ``scene, popularity, release`` (what only the generator knows; ``release`` in days).
    """
    directors = rng.permutation([f"{a} {b}" for a in _FIRST for b in _LAST])[:32]
    focus = np.arange(len(directors)) % len(GENRES)
    genre = rng.permutation(np.arange(n_films) % len(GENRES))
    titles = _titles(rng, genre)
    own = [directors[focus == g] for g in range(len(GENRES))]
    stays = rng.random(n_films) < DIRECTOR_FOCUS
    director = [rng.choice(own[g]) if stay else rng.choice(directors) for g, stay in zip(genre, stays, strict=True)]
    late = rng.random(n_films) < late_share
    release = np.where(late, rng.integers(*late_window, n_films), 0)
    return pd.DataFrame(
        {
            "title": titles,
            "genre": np.array(GENRES)[genre],
            "mood": rng.choice(MOODS, n_films),
            "director": director,
            "era": rng.choice(ERAS, n_films),
            "verdict": rng.choice(VERDICTS, n_films),
            "scene": rng.permutation(np.arange(n_films) % N_SCENES),
            "popularity": np.exp(rng.normal(0.0, 0.6, n_films)),
            "release": release,
        },
        index=pd.RangeIndex(1, n_films + 1, name="item_id"),
    )


def _titles(rng: np.random.Generator, genre: np.ndarray) -> list[str]:
    """Unique two-word titles; a share of the nouns hints at the genre."""
    nouns = {key: words.split() for key, words in _NOUNS.items()}
    titles: list[str] = []
    for g in genre:
        pool = nouns[GENRES[g]] if rng.random() < HINT_SHARE else nouns[""]
        while (title := f"{rng.choice(_ADJECTIVES)} {rng.choice(pool)}") in titles:
            continue
        titles.append(title)
    return titles
