"""Command line, for those without a notebook: ``python -m sellarec_lab run | compare | lcrec | kg | search | doctor |
weights | world``. What went wrong is one sentence; ``--debug`` before the command shows where it did."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SHIPPED = "data/tiny"
_SAID = (ValueError, OSError, RuntimeError, ImportError, MemoryError, FloatingPointError)  # one sentence says them


def _world(args: argparse.Namespace) -> None:
    from sellarec_lab import llm, world
    from sellarec_lab.config import MiniLMConfig

    _check_world(args)
    folder = Path(args.folder)
    print(f"building the embedded world in {folder} from seed {args.seed}")
    world.build(folder, args.seed)
    if not args.tables_only:
        films = world.films_of(args.seed)
        mini = MiniLMConfig() if args.steps is None else MiniLMConfig(steps=args.steps)
        llm.pretrain(mini, lambda n, part: list(world.documents(films, mini.seed, n, part)), folder / "mini-llm")


def _check_world(args: argparse.Namespace) -> None:
    """Another world than the shipped one is never written over it unasked."""
    from sellarec_lab import world

    odd = [name for name, yes in (("--seed", args.seed != world.SEED), ("--steps", args.steps is not None)) if yes]
    if odd and Path(args.folder) == Path(_SHIPPED):
        raise ValueError(f"{' and '.join(odd)} would replace the world in {_SHIPPED} by another; give --folder as well")


def _preset(args: argparse.Namespace):
    """The preset of a command, with what its options change."""
    from sellarec_lab.config import preset

    other = {"backbone__name": args.llm, "backbone__pretraining": None} if args.llm else {}
    other |= {"kg__root": args.graph} if args.graph else {}
    other |= dict(getattr(args, "set", ()))
    return preset(args.preset, seed=args.seed, artifacts=args.artifacts, **other)


def _run(args: argparse.Namespace) -> None:
    from sellarec_lab import report

    cfg = _preset(args)
    report.run(cfg, args.data, args.seeds, notebooks=args.notebooks and cfg.dataset.startswith("tiny"))


def _compare(args: argparse.Namespace) -> int:
    import shlex

    from sellarec_lab import compare, report
    from sellarec_lab.compare import METHODS, TITLES
    from sellarec_lab.config import faster

    if args.list:
        for name, method in METHODS.items():
            print(f"{name:<24} {method.group:<14} {TITLES[name]}")
        return 0
    cfg, models = _preset(args), compare.named(args.models)
    compare.method(args.against)
    if args.fast:
        cfg = faster(cfg, f"{cfg.name}-fast")
        print("--fast: a few rows and epochs, to check that everything runs; the numbers mean nothing")
    models = models if isinstance(models, str) else [*dict.fromkeys([*models, args.against])]
    command = "python -m sellarec_lab " + shlex.join(args.typed)
    results = report.bench(
        cfg, args.data, models, args.seeds, args.workers, args.against, command, args.into, args.rank_users,
        ask=_asked(args), ablation_seeds=args.ablation_seeds, cluster=args.cluster,
    )  # fmt: skip
    return int(results["value"].isna().any())


def _asked(args: argparse.Namespace):
    """What the command's table asks."""
    from sellarec_lab import report

    if args.command == "kg":
        return report.links(args.target)
    return report.NEXT_ITEMS if args.command == "lcrec" else report.RATINGS


def _search(args: argparse.Namespace) -> None:
    from sellarec_lab import compare, report

    chosen = compare.named(args.models)
    if isinstance(chosen, str) or (odd := [name for name in chosen if name not in compare.GRIDS]):
        found = chosen if isinstance(chosen, str) else ", ".join(odd)
        raise ValueError(f"--models {found}: no settings are known to search; take of {', '.join(compare.GRIDS)}")
    report.search(_preset(args), args.data, chosen, args.workers, args.target)


def _weights(args: argparse.Namespace) -> None:
    from sellarec_lab import llm

    if args.name not in llm.READY and not args.name.endswith(".gguf"):
        raise ValueError(f"no ready model {args.name!r}; known: {', '.join(llm.READY)}, or a .gguf file of your own")
    folder, source = llm.place(args.name)
    print(f"{args.name}: {folder}\nfrom {source}")


def _doctor(args: argparse.Namespace) -> None:
    import psutil

    from sellarec_lab import llm, runtime
    from sellarec_lab.config import PRESETS

    for name, version in runtime.versions().items():
        print(f"{name:<13} {version}")
    print(f"{'memory':<13} {psutil.virtual_memory().total / 2**30:.0f} GiB, {psutil.cpu_count()} cores\n")
    for cfg in PRESETS.values():
        print(runtime.describe(cfg), end="\n\n")
    lm = llm.load(PRESETS["tiny"].backbone)
    print(f"embedded mini-LLM loads: {llm.quantised_layers(lm.model)} layers in 4 bits, width {lm.width}")


def _whole(least: int) -> Callable[[str], int]:
    """An argument that is a whole number of at least this."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return value

    return read


def _setting(text: str) -> tuple[str, Any]:
    """An argument FIELD=VALUE: a field's path in the preset, and a value as json has it, or else a word."""
    path, given, value = text.partition("=")
    if not (path and given):
        raise argparse.ArgumentTypeError(f"expected FIELD=VALUE, as tuning__loop__rows=5000, got {text!r}")
    try:
        return path, json.loads(value)
    except json.JSONDecodeError:
        return path, value


def _shared() -> argparse.ArgumentParser:
    """Options that most commands have."""
    from sellarec_lab.config import PRESETS

    shared = argparse.ArgumentParser(add_help=False)
    add = shared.add_argument
    add("--preset", default="tiny", help=f"one name for all settings: {', '.join(PRESETS)}")
    add("--data", help="folder or zip of the data set, where it does not ship with the lab")
    add("--llm", help="another language model than the preset's: smollm2, a hub id, a folder or a .gguf")
    add("--graph", help="folder or archive of the preset's knowledge graph, for rows that read one")
    add("--seeds", type=_whole(1), default=1, help="how many seeds every model is trained with")
    add("--seed", type=_whole(0), default=0, help="the first seed")
    add("--artifacts", default="artifacts", help="folder that results and finished stages are kept in")
    return shared


def _tables(commands: argparse._SubParsersAction, shared: argparse.ArgumentParser) -> None:
    """The commands that fill a table."""
    field = "a field of the preset, such as backbone__dtype=bfloat16; may stand several times"
    for name, says, against in (
        ("compare", "every method on one protocol; resumable", "sella"),
        ("lcrec", "what comes next: LC-Rec beside what it is measured by, over the whole catalogue", "lcrec"),
        ("kg", "what is linked: a student of one knowledge graph beside what it is measured by", "kg-student"),
    ):
        table = commands.add_parser(name, help=says, parents=[shared])
        add = table.add_argument
        add("--set", type=_setting, action="append", default=[], metavar="FIELD=VALUE", help=field)
        add("--models", default="all", help="all, core, a group, or names with commas (see --list)")
        add("--ablation-seeds", type=_whole(1), default=1, help="how many of the seeds at most for ablations")
        add("--against", default=against, help=f"the model that all others are compared with ({against})")
        add("--workers", type=_whole(1), help="models trained at a time; by default one a core")
        add("--cluster", help="address of a Dask scheduler; its workers train instead")
        add("--fast", action="store_true", help="a few rows, epochs and users: checks that all runs")
        add("--into", type=Path, help="a markdown file whose section <command>:<preset> is replaced")
        add("--list", action="store_true", help="name all methods and stop")
        table.set_defaults(do=_compare, rank_users=0)
        if name == "kg":
            add("--target", default="", help="the graph to re-train for; by default the first")
        if name == "compare":  # the other ranks for everybody
            says = "rank the whole catalogue for so many users; by default as many as the preset says"
            add("--rank-users", type=_whole(0), default=None, help=says)


def _parser() -> argparse.ArgumentParser:
    from sellarec_lab import __version__

    parser = argparse.ArgumentParser(prog="python -m sellarec_lab", description=__doc__)
    parser.add_argument("--version", action="version", version=f"sellarec_lab {__version__}")
    parser.add_argument("--debug", action="store_true", help="where an error arose, line by line")
    commands, shared = parser.add_subparsers(dest="command", required=True), _shared()
    says = "train and score every model, execute the notebooks, write the report"
    run = commands.add_parser("run", help=says, parents=[shared])
    run.add_argument("--no-notebooks", dest="notebooks", action="store_false", help="leave notebooks and page alone")
    run.set_defaults(do=_run)
    _tables(commands, shared)
    says = "eight settings a method, judged on valid: the same effort for all"
    search = commands.add_parser("search", help=says, parents=[shared])
    search.add_argument("--models", required=True, help="names with commas (see compare --list)")
    search.add_argument("--target", default="", help="for methods that rank links: the graph; by default the first")
    search.add_argument("--workers", type=_whole(1), help="settings tried at a time; by default one a core")
    search.set_defaults(do=_search)
    commands.add_parser("doctor", help="versions, device, what will run and why").set_defaults(do=_doctor)
    weights = commands.add_parser("weights", help="fetch a ready language model ahead of its first use")
    weights.add_argument("name", help="smollm2, or a .gguf file of your own")
    weights.set_defaults(do=_weights)
    world = commands.add_parser("world", help="rebuild the embedded world: tables, truth, mini-LLM")
    world.add_argument("--folder", default=_SHIPPED, help=f"where it is written ({_SHIPPED})")
    world.add_argument("--seed", type=_whole(0), default=7, help="of the world; 7 is the shipped one")
    world.add_argument("--tables-only", action="store_true", help="leave the mini-LLM alone")
    world.add_argument("--steps", type=_whole(1), help="shorter pre-training, for a try")
    world.set_defaults(do=_world)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what goes wrong is raised."""
    args = _parser().parse_args(arguments)
    args.typed = sys.argv[1:] if arguments is None else arguments
    return args.do(args) or 0


def entry() -> int:
    """Run the command that was typed; what goes wrong is said in one sentence, and the exit status is 2."""
    from sellarec_lab import runtime

    runtime.stopping.listen()
    try:
        return main()
    except _SAID as error:
        if "--debug" in sys.argv:
            raise
        told = " ".join(str(error).split()) or type(error).__name__
        print(f"\n{told}\n(--debug before the command shows where this arose)", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what was finished is kept, and the same command goes on from there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(entry())
