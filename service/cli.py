"""``nas``: the command line. Loads neither torch nor ray, except for ``nas verify``."""

from __future__ import annotations

import typer

from service.commands import agents, demo, imports, jobs, results, serve
from service.commands import study as study_command

app = typer.Typer(
    name="nas",
    help="Hardware-aware neural architecture search as a service.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    serve.serve,
    serve.worker,
    jobs.train,
    jobs.distill_anchors,
    imports.import_supernet,
    jobs.profile,
    jobs.search,
    results.front,
    results.best,
    study_command.study,
    jobs.extract,
    jobs.fidelity,
    results.verify,
    jobs.jobs,
    results.devices,
    serve.openapi,
    demo.demo,
):
    app.command()(command)
app.add_typer(agents.app)
app.command(
    add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)(agents.agent)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
