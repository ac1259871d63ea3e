"""Command line, for those without a notebook: ``python -m sellarec_lab run | compare | lcrec | kg | search |
doctor | world``."""

import argparse
import sys
from pathlib import Path


def _world(args: argparse.Namespace) -> None:
    from sellarec_lab import llm, world
    from sellarec_lab.config import MiniLMConfig

    folder = Path(args.folder)
    print(f"building the embedded world in {folder} from seed {args.seed}")
    world.build(folder, args.seed)
    if not args.tables_only:
        films = world.films_of(args.seed)
        mini = MiniLMConfig() if args.steps is None else MiniLMConfig(steps=args.steps)
        llm.pretrain(mini, lambda n, part: list(world.documents(films, mini.seed, n, part)), folder / "mini-llm")


def _preset(args: argparse.Namespace):
    """The preset of a command, with what its options change."""
    from sellarec_lab.config import preset

    other = {"backbone__name": args.llm, "backbone__pretraining": None} if args.llm else {}
    other |= {"kg__root": args.graph} if args.graph else {}
    return preset(args.preset, seed=args.seed, artifacts=args.artifacts, **other)


def _run(args: argparse.Namespace) -> None:
    from sellarec_lab import report

    cfg = _preset(args)
    report.run(cfg, args.data, args.seeds, notebooks=args.notebooks and cfg.dataset == "tiny")


def _compare(args: argparse.Namespace) -> int:
    import shlex

    from sellarec_lab import report
    from sellarec_lab.compare import METHODS, TITLES
    from sellarec_lab.config import faster

    if args.list:
        for name, method in METHODS.items():
            print(f"{name:<24} {method.group:<14} {TITLES[name]}")
        return 0
    cfg = _preset(args)
    if args.fast:
        cfg = faster(cfg, f"{cfg.name}-fast")
        args.rank_users = min(args.rank_users, 10)
        print("--fast: a few rows and epochs, to check that everything runs; the numbers mean nothing")
    named = args.models.split(",")
    models = [*dict.fromkeys([*named, args.against])] if named[0] in METHODS else args.models
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
    from sellarec_lab import report

    report.search(_preset(args), args.data, args.models.split(","), args.workers, args.target)


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sellarec_lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--preset", default="tiny")
    shared.add_argument("--data", help="folder or zip of the data set, where it does not ship with the lab")
    shared.add_argument("--llm", help="another language model than the preset's: a hub id or a folder")
    shared.add_argument("--graph", help="folder or archive of the preset's knowledge graph, for rows that read one")
    shared.add_argument("--seeds", type=int, default=1, help="how many seeds every model is trained with")
    shared.add_argument("--seed", type=int, default=0, help="the first seed")
    shared.add_argument("--artifacts", default="artifacts")
    says = "train and score every model, execute the notebooks, write the report"
    run = commands.add_parser("run", help=says, parents=[shared])
    run.add_argument("--no-notebooks", dest="notebooks", action="store_false")
    run.set_defaults(do=_run)
    for name, says, against in (
        ("compare", "every method on one protocol; resumable", "sella"),
        ("lcrec", "what comes next: LC-Rec beside what it is measured by, over the whole catalogue", "lcrec"),
        ("kg", "what is linked: a student of one knowledge graph beside what it is measured by", "kg-student"),
    ):
        table = commands.add_parser(name, help=says, parents=[shared])
        table.add_argument("--models", default="all", help="all, core, a group, or names with commas (see --list)")
        table.add_argument("--ablation-seeds", type=int, default=1, help="how many of them at most for ablations")
        table.add_argument("--against", default=against, help="the model that all others are compared with")
        table.add_argument("--workers", type=int, help="models trained at a time; by default one a core")
        table.add_argument("--cluster", help="address of a Dask scheduler; its workers train instead")
        table.add_argument("--fast", action="store_true", help="a few rows, epochs and users: checks that all runs")
        table.add_argument("--into", type=Path, help="a markdown file whose section <command>:<preset> is replaced")
        table.add_argument("--list", action="store_true", help="name all methods and stop")
        table.set_defaults(do=_compare, rank_users=0)
        if name == "kg":
            table.add_argument("--target", default="", help="the graph to re-train for; by default the first")
        if name == "compare":  # the other ranks for everybody
            table.add_argument("--rank-users", type=int, default=100, help="rank the whole catalogue for so many users")
    says = "eight settings a method, judged on valid: the same effort for all"
    search = commands.add_parser("search", help=says, parents=[shared])
    search.add_argument("--models", required=True, help="names with commas (see compare --list)")
    search.add_argument("--target", default="", help="for methods that rank links: the graph; by default the first")
    search.add_argument("--workers", type=int, help="settings tried at a time; by default one a core")
    search.set_defaults(do=_search)
    commands.add_parser("doctor", help="versions, device, what will run and why").set_defaults(do=_doctor)
    weights = commands.add_parser("weights", help="fetch a ready language model ahead of its first use")
    weights.add_argument("name", help="smollm2, or a .gguf file of your own")
    weights.set_defaults(do=_weights)
    world = commands.add_parser("world", help="rebuild the embedded world: tables, truth, mini-LLM")
    world.add_argument("--folder", default="data/tiny")
    world.add_argument("--seed", type=int, default=7)
    world.add_argument("--tables-only", action="store_true", help="leave the mini-LLM alone")
    world.add_argument("--steps", type=int, help="shorter pre-training, for a try")
    world.set_defaults(do=_world)
    return parser


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    args.typed = sys.argv[1:] if arguments is None else arguments
    return args.do(args) or 0


if __name__ == "__main__":
    sys.exit(main())
