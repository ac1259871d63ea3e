"""Sequences in the layout of LC-Rec (arXiv 2311.09049), which most work on generative recommendation shares.

`NAME.inter.json` holds {user: [item, ...]}, oldest first, and `NAME.item.json` {item: {title, description,
brand, categories}}; ids are whole numbers from 0. `NAME.item2id` and `NAME.user2id`, if there, give the
shop's own ids: own id, tab, number.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from sellarec_lab.data.errors import problem
from sellarec_lab.data.files import given, only_one, opened_zip
from sellarec_lab.data.interactions import Interactions
from sellarec_lab.data.sequences import first_of_each_pair, long_enough, sequence_data
from sellarec_lab.data.steps import Step, counted
from sellarec_lab.data.texts import item_table, untitled

MEMBERS = ("inter.json", "item.json", "item2id", "user2id")
_AGAIN = "Get the published files again."


def load_lcrec(root: str | Path | None = None, *, titles_from_ids: bool = False) -> Interactions:
    """Read `NAME.inter.json` and `NAME.item.json`, split by leave-one-out; the data set is called NAME in lower case.

    Each user's last item is test, the one before it valid, the rest train; the label is 1 everywhere. The
    files hold no times: `timestamp` is the position in the published sequence (0, 1, ...), and a history is
    all that came before. What can't be used is left out and counted in `steps`: of an item twice in one
    sequence the later ones, then users with fewer than 3 items, then items that no one meets. Ids follow
    the published numbers; where no item is left out, item_id is that number plus 1.

    Texts are cleaned: entities unescaped, tags stripped. An empty title is replaced by the item's external id.

    Args:
        root: the zip, a folder that holds one, or the unpacked folder.
        titles_from_ids: let items without any text (no item.json, or not listed there) be called by their
            external id; without it they are an error.

    Raises:
        DataError: a file is missing, damaged or not in this layout; an item has no text; no user is left.
    """
    name, raw = _read_members(given(root, "lc-rec", "a zip or folder with NAME.inter.json"))
    rows, steps = _filtered(_rows(f"{name}.inter.json", raw["inter.json"]), name)
    user_codes, users = pd.factorize(rows["user_id"])
    item_codes, numbers = pd.factorize(rows["item_id"], sort=True)
    items, note = _items(name, raw, numbers.tolist(), titles_from_ids)
    rows = rows.assign(user_id=user_codes + 1, item_id=item_codes + 1)
    steps.append(counted("items that someone met", rows, note))
    users = _external(f"{name}.user2id", raw.get("user2id"), users.tolist())
    return sequence_data(name.lower(), rows, items, users, steps)


def _read_members(root: Path) -> tuple[str, dict[str, bytes]]:
    """NAME, and the files that are there by their endings."""
    if root.is_dir():
        found = sorted([*root.glob("*.inter.json"), *root.glob("*/*.inter.json")])
        if found:
            return _read_folder(only_one("NAME.inter.json", root, found))
        root = only_one("NAME.inter.json or one zip", root, sorted(root.glob("*.zip")))
    with opened_zip(root, _AGAIN) as archive:
        names = archive.namelist()
        inter = only_one("member NAME.inter.json", root, [name for name in names if name.endswith(".inter.json")])
        start = inter.removesuffix("inter.json")
        members = {ending: archive.read(start + ending) for ending in MEMBERS if start + ending in names}
    return Path(inter).name.removesuffix(".inter.json"), members


def _read_folder(inter: Path) -> tuple[str, dict[str, bytes]]:
    name = inter.name.removesuffix(".inter.json")
    paths = {ending: inter.with_name(f"{name}.{ending}") for ending in MEMBERS}
    return name, {ending: path.read_bytes() for ending, path in paths.items() if path.is_file()}


def _filtered(rows: pd.DataFrame, name: str) -> tuple[pd.DataFrame, list[Step]]:
    once = first_of_each_pair(rows)
    kept = long_enough(once, f"{name}.inter.json")
    words = ("as published", "first of each (user, item)", "users with 3 items or more")
    return kept, [counted(step, table) for step, table in zip(words, (rows, once, kept), strict=True)]


def _rows(file: str, raw: bytes) -> pd.DataFrame:
    """One row an item of a sequence: `user_id` and `item_id` as published, `timestamp` its position."""
    rows = []
    for user, items in _object(file, raw).items():
        if not isinstance(items, list):
            raise problem(f"{file}, user {user!r}", "a list of items", repr(items)[:80], _AGAIN)
        rows += [(user, _number(f"{file}, user {user!r}, position {n}", item), n) for n, item in enumerate(items)]
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


def _items(name: str, raw: dict[str, bytes], numbers: list[int], titles_from_ids: bool) -> tuple[pd.DataFrame, str]:
    """The table of the items that someone met, and what there is to say about it."""
    file = f"{name}.item.json"
    records = _object(file, raw.get("item.json", b"{}"))
    records = {_number(file, item): _record(file, item, record) for item, record in records.items()}
    unlisted = [number for number in numbers if number not in records]
    if unlisted and not titles_from_ids:
        found = f"none of item {unlisted[0]}" if "item.json" in raw else "no such file"
        do = "Add it, or pass titles_from_ids=True to call items without text by their id."
        raise problem(file, "the text of every item", found, do)
    ids = _external(f"{name}.item2id", raw.get("item2id"), [str(number) for number in numbers])
    table = item_table(ids, [records.get(number, {}) for number in numbers])
    unmet = len(records.keys() - set(numbers))
    return table, "; ".join(filter(None, [untitled(table), f"{unmet} that nobody met left out" if unmet else ""]))


def _external(file: str, raw: bytes | None, numbers: list[str]) -> list[str]:
    """The shop's own ids by the lines "own id, tab, number"; without such a file the numbers themselves."""
    if raw is None:
        return numbers
    own = {}
    for line, text in enumerate(raw.decode("utf-8", "replace").rstrip("\n").split("\n"), 1):
        fields = text.rstrip("\r").split("\t")
        if len(fields) != 2 or fields[1] in own:
            raise problem(f"{file}, line {line}", "id, tab, number, each number once", repr(text[:80]), _AGAIN)
        own[fields[1]] = fields[0]
    missing = [number for number in numbers if number not in own]
    if missing or len(set(own.values())) < len(own):
        found = f"none for {missing[0]}" if missing else "one id for two numbers"
        raise problem(file, "an id of its own for every number", found, _AGAIN)
    return [own[number] for number in numbers]


def _object(file: str, raw: bytes) -> dict[str, Any]:
    """The JSON object of the file; no key twice, since the parser would keep but the last."""
    try:
        pairs = json.loads(raw, object_pairs_hook=lambda pairs: _once(file, pairs))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise problem(file, "a JSON object", error, _AGAIN) from error
    if not isinstance(pairs, dict):
        raise problem(file, "a JSON object", type(pairs).__name__, _AGAIN)
    return pairs


def _once(file: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key in found if sum(key == other for other, _ in pairs) > 1)
        raise problem(file, "each key once", f"{twice!r} twice", _AGAIN)
    return found


def _number(where: str, item: Any) -> int:
    if isinstance(item, bool) or not (isinstance(item, int) or (isinstance(item, str) and item.isdecimal())):
        raise problem(where, "a whole number for an item", repr(item)[:80], "Number the items from 0.")
    return int(item)


def _record(file: str, item: str, record: Any) -> dict:
    if not isinstance(record, dict) or not isinstance(record.get("title"), str):
        do = f"{_AGAIN} An empty title is fine."
        raise problem(f"{file}, item {item!r}", "an object with a text 'title'", repr(record)[:80], do)
    return record
