"""``nas agents``: other machines as devices. ``nas agent``: this machine as a device of a server."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from service.commands.output import (
    SERVER,
    AsJson,
    Server,
    clean,
    connect,
    err,
    out,
    print_json,
    print_table,
    problems_to_exit,
)

COLUMNS = ("name", "state", "hardware", "runtime", "runtime_version", "threads", "last_seen_at", "reason")
Name = Annotated[str, typer.Argument(help="Name of the agent, and of its device.")]
app = typer.Typer(name="agents", help="List, enroll and trust device agents.", invoke_without_command=True)


@app.callback()
def agents(context: typer.Context, as_json: AsJson = False, server: Server = SERVER) -> None:
    """List device agents."""
    if context.invoked_subcommand is not None:
        return
    with problems_to_exit(), connect(server) as client:
        found = list(client.agents())
        if as_json:
            print_json(found)
        else:
            print_table(COLUMNS, [[agent[column] for column in COLUMNS] for agent in found])


@app.command()
def enroll(
    name: Name,
    minutes: Annotated[float, typer.Option(help="How long the code can be used.")] = 10.0,
    as_json: AsJson = False,
    server: Server = SERVER,
) -> None:
    """Make a one-time code with which a machine becomes this agent."""
    with problems_to_exit(), connect(server) as client:
        answer = client.agent_code(name, ttl_s=60 * minutes)
    if as_json:
        print_json(answer)
        return
    err.print(f"run this on the machine, within {minutes:g} minutes and once:")
    out.print(f"nas-agent --server {clean(server)} --code {answer['code']}", markup=False)


@app.command()
def lift(name: Name, as_json: AsJson = False, server: Server = SERVER) -> None:
    """Lift an agent's quarantine: it gets tasks again, its suspect results stay unused."""
    with problems_to_exit(), connect(server) as client:
        _show(client.agent_action(name, "lift"), as_json=as_json)


@app.command()
def revoke(name: Name, as_json: AsJson = False, server: Server = SERVER) -> None:
    """End an agent's token at once; what it has measured stays."""
    with problems_to_exit(), connect(server) as client:
        _show(client.agent_action(name, "revoke"), as_json=as_json)


def agent(context: typer.Context) -> None:
    """Make this machine a device of a server (see: nas agent --help)."""
    main = import_module("predictors.agent.__main__").main  # loads onnxruntime
    raise typer.Exit(main(context.args))


def _show(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        out.print(f"agent {clean(answer['name'])} is {answer['state']}", markup=False)
