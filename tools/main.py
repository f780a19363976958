"""The command line `domino`: where cloud, simulator and firmware meet."""

import sys

import typer

from tools import board, buttons, demo, serve, stamps, tokens, uplinks

app = typer.Typer(
    name="domino",
    help="From the press of a button in a letterbox to a stamped parcel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("serve")(serve.command)
app.command("demo")(demo.command)
app.command("migrate")(serve.migrate)
app.add_typer(buttons.app, name="button")
app.add_typer(board.app, name="board")
app.add_typer(uplinks.app, name="uplink")
app.add_typer(stamps.app, name="stamp")
app.add_typer(tokens.app, name="token")


def main() -> None:
    """Run the command line; what a command raises of `Failure` becomes one line on standard error and its exit code."""
    from tools.terminal import Failure

    try:
        app()
    except Failure as failure:
        print(f"domino: {failure}", file=sys.stderr)
        sys.exit(failure.exit_code)


if __name__ == "__main__":
    main()
