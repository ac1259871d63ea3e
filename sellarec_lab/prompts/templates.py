"""Templates as data: pieces in order, each with at most one field."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """Pieces of the user's turn with the fields {history}, {disliked}, {title} and the kinds of soft tokens; the two
    answers."""

    pieces: tuple[str, ...]
    system: str = ""
    answers: tuple[str, str] = ("Yes", "No")  # first the answer that means "like"
    joiner: str = ", "
    describe: str = "Offer: {title}"  # the text whose last hidden state stands for an item (stage 2a)


TEMPLATES = {
    "tiny": Template(  # the mini-LLM's words carry their leading space, so no space stands before a slot
        (
            "{prompt}",
            "Favourites: {history}. ",
            "Dislikes: {disliked}. ",
            "Taste:{user}. ",
            "History:{taste}. ",
            "Offer: {title}",
            "{item}",
            "{warm}",
            "?",
        ),
        describe="Marks of {title}:",
    ),
    "paper": Template(
        (
            "{prompt}",
            "Favourites: {history}\n",
            "Dislikes: {disliked}\n",
            "Feature of the user: {user}\n",
            "Feature of the favourites: {taste}\n",
            "Feature of the candidate: {item}",
            "{warm}",
            "\nCandidate: {title}",
        ),
        system=(
            "You judge what a person will enjoy. You are given titles that the person rated highly, features of the "
            "person and of a candidate where they are known, and the candidate's title. Will the person enjoy the "
            "candidate? Answer with one word, Yes or No."
        ),
        joiner="; ",
        describe="Movie: {title}",
    ),
}


def template(name: str) -> Template:
    """A template by its name.

    Raises:
        ValueError: there is none; lists the known ones.
    """
    if name not in TEMPLATES:
        raise ValueError(f"prompt__template: unknown template {name!r}; known: {', '.join(TEMPLATES)}")
    return TEMPLATES[name]
