"""What a reader of the workbench's page should know about the case that it shows, and what the data knows of it."""

from sellarec_lab.prompts import KINDS


def truth(bench) -> float | None:
    """The true P(like) of a `Workbench`'s case, where the data knows it and no title or token is borrowed."""
    case, known = bench.case, bench.data.truth
    borrowed = case.title is not None or case.owner is not None
    return None if known is None or borrowed else float(known[case.user_id, case.item_id])


def notes(bench) -> list[str]:
    """A line a thing, for a `Workbench`."""
    case, lookup = bench.case, bench.lookup
    said = [*_titles(bench)]
    if case.title is None and case.item_id not in lookup.trained_items:
        said.append("the film has no row in train: <Item_ID> was never trained")
    if case.user_id not in lookup.trained_users:
        said.append("the user has no row in train: <User_ID> was never trained")
    if off := [KINDS[k].shown for k in case.off if k in bench.kinds]:
        said.append(f"switched off: {', '.join(off)}")
    if case.owner is not None:
        said.append(f"<User_ID> is that of user {lookup.name(case.owner)} (id {case.owner})")
    return [*said, *_history(bench)]


def _titles(bench) -> list[str]:
    """New titles, what they leave out, and which ones may have been meant."""
    case = bench.case
    gone = [KINDS[kind].shown for kind in case.without_vector if kind in bench.kinds]
    said = []
    if case.title is not None:
        left_out = [shown for shown in gone if shown != KINDS["taste"].shown]
        said.append(f"a free title: no vector belongs to it{_left_out(left_out)}")
    if case.new_titles:
        new, taste = ", ".join(f"“{t}”" for t in case.new_titles), [s for s in gone if s == KINDS["taste"].shown]
        said.append(f"new in the history, as text alone: {new}{_left_out(taste)}")
    near = {title: bench.lookup.meant(title) for title in (*case.new_titles, case.title) if title is not None}
    return said + [f"no film is called “{title}”: {question}" for title, question in near.items() if question]


def _left_out(tokens: list[str]) -> str:
    return f", so {' and '.join(tokens)} {'are' if len(tokens) > 1 else 'is'} left out" if tokens else ""


def _history(bench) -> list[str]:
    case = bench.case
    if case.told != bench.untouched.told:
        return ["the history was edited"]
    if bench.lookup.moment(case.user_id, case.item_id) is not None:
        return ["history as of the moment when the user rated this film; later likes are not in it"]
    return []
