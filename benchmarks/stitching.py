"""What stitching buys: an ablation of the stitches, and the front of three family anchors.

    python -m benchmarks.stitching ablation --json FILE
    python -m benchmarks.stitching front --data cifar10:PATH --folder FOLDER --json FILE

``ablation`` starts the stitches in four ways between the same anchors, trained alone, and
compares accuracy before and after joint training and the ranking of routes against networks of
those routes trained alone. ``front`` compares the routes with the anchors alone by measured
latency. Both continue where they were stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.stitching_parts.ablation import ablation
from benchmarks.stitching_parts.front import front


def main() -> None:
    """Run one of the two and write its JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ablation")
    one.add_argument("--data", default="digits")
    one.add_argument("--space", default="stitched2-tiny")
    one.add_argument("--seeds", type=int, default=3)
    one.add_argument("--epochs", type=int, default=100, help="of each anchor and then of all routes")
    one.add_argument("--anchor-fraction", type=float, default=0.3)
    one.add_argument("--routes", type=int, default=40, help="scored in each supernet")
    one.add_argument("--alone", type=int, default=12, help="of these trained alone, as the truth")
    one.add_argument("--limit", type=int, default=400, help="images of each split")
    two = commands.add_parser("front")
    two.add_argument("--data", required=True)
    two.add_argument("--space", default="stitched2-cifar-r24")
    two.add_argument("--epochs", type=int, default=8)
    two.add_argument("--anchor-fraction", type=float, default=0.625)
    two.add_argument("--routes", type=int, default=60, help="measured and scored")
    two.add_argument("--limit", type=int, help="images of each split")
    two.add_argument(
        "--frozen", choices=("none", "anchors"), default="anchors", help="while routes are trained"
    )
    two.add_argument("--seed", type=int, default=0)
    for command in (one, two):
        command.add_argument("--folder", type=Path, required=True, help="what a stopped run continues from")
        command.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    match arguments.command:
        case "ablation":
            ablation(arguments)
        case "front":
            front(arguments)


if __name__ == "__main__":
    main()
