"""Command line, for those without a notebook: ``python -m sellarec_lab run | doctor | world``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def _world(args: argparse.Namespace) -> int:
    from sellarec_lab import llm, world
    from sellarec_lab.config import MiniLMConfig

    folder = Path(args.folder)
    print(f"building the embedded world in {folder} from seed {args.seed}")
    world.build(folder, args.seed)
    if not args.tables_only:
        films = world.films_of(args.seed)
        settings = MiniLMConfig() if args.steps is None else MiniLMConfig(steps=args.steps)
        llm.pretrain(
            settings,
            lambda count, progress: list(world.documents(films, settings.seed, count, progress)),
            folder / "mini-llm",
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sellarec_lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    world = commands.add_parser("world", help="rebuild the embedded world: tables, truth, mini-LLM")
    world.add_argument("--folder", default="data/tiny")
    world.add_argument("--seed", type=int, default=7)
    world.add_argument("--tables-only", action="store_true", help="leave the mini-LLM alone")
    world.add_argument("--steps", type=int, help="shorter pre-training, for a try")
    world.set_defaults(do=_world)
    return parser


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    return args.do(args)


if __name__ == "__main__":
    sys.exit(main())
