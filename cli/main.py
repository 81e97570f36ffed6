"""The command `consil`: its groups, and the one place where a failure becomes a line and an exit code."""

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from cli.errors import UserError
from cli.output import printable

_FULL: Final = frozenset({errno.EDQUOT, errno.EFBIG, errno.ENOSPC})

GROUPS: Final = {
    "key": ("cli.key", "Make, keep and use keys."),
    "node": ("cli.node", "Run a node."),
    "chainspec": ("cli.chainspec", "Build and check chain specifications."),
    "testnet": ("cli.testnet", "Run a local network of real nodes, and break it."),
    "tx": ("cli.tx", "Sign and submit transactions."),
    "query": ("cli.query", "Ask a node about accounts, blocks, events and storage."),
    "model": ("cli.model", "Convert models to exact form, prove, register and run them."),
    "infer": ("cli.infer", "Request attested answers of a model, and check them."),
    "light": ("cli.light", "Follow the chain and check answers without trusting a node."),
}
"""Name of each group, its module, and its help; kept here so that `consil --help` imports none of them."""


class Root(TyperGroup):
    """`consil` itself."""

    def main(self, *_: Any, **options: Any) -> NoReturn:
        """Run one command and exit: 0 done, 1 refused or failed, 2 wrong usage."""
        given: Sequence[str] | None = options.get("args")
        arguments = list(sys.argv[1:] if given is None else given)
        options |= {"args": arguments, "prog_name": "consil", "standalone_mode": False}
        try:
            code = super().main(**options)
        except UserError as error:
            code = _report(str(error), 1)
        except TyperException as error:
            code = _report_usage(error)
        except typer.Abort:
            code = _report("declined; nothing was done", 1)
        except Exception as error:  # noqa: BLE001 - the boundary: whatever we did wrong, the user gets one line
            if "--debug" in arguments:
                traceback.print_exc()
            code = _report(_of_the_system(error) or _of_our_own(error), 1)
        sys.exit(code)


def _report(line: str, code: int) -> int:
    typer.echo(f"error: {printable(' '.join(line.split()))}", err=True)
    return code


def _of_the_system(error: Exception) -> str:
    """What the system would not do, if that is all that went wrong."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}; check the path, and whether you may use it"
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"cannot write: {error.strerror}; make room"
    return ""


def _of_our_own(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"consil itself failed ({text}); add --debug after consil, and report what it prints"


def _report_usage(error: TyperException) -> int:
    """The reason on one line; a group without a command gets its help instead."""
    context: typer.Context | None = getattr(error, "ctx", None)
    message = error.format_message().rstrip(".")
    if context is None:
        return _report(message, error.exit_code)
    if "\n" in message:
        typer.echo(message, err=True)
        return error.exit_code
    return _report(f"{message}; see `{context.command_path} --help`", error.exit_code)


def _load_later(module: str) -> type[TyperGroup]:
    """A group whose commands are imported when they are first looked at."""

    @cache
    def loaded() -> TyperGroup:
        return typer.main.get_group(importlib.import_module(module).app)

    class Group(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return loaded().list_commands(ctx)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            self.commands = loaded().commands  # what a mistyped name is compared with
            return loaded().get_command(ctx, cmd_name)

    return Group


app = typer.Typer(
    cls=Root,
    rich_markup_mode=None,  # plain help starts twice as fast
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A chain whose validators run the same AI models and sign the same bits.",
    epilog=(
        "\b\nExamples:\n"
        "  consil testnet up                      four validators on this machine\n"
        "  consil tx transfer //Bob 1.5 --from //Alice --wait\n"
        "  consil query account //Bob\n"
        "\b\nExit codes: 0 done, 1 refused or failed, 2 wrong usage."
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"consil {version('consilience')}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="On a failure of consil itself, show where it happened.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """What stands between `consil` and the group."""


for _name, (_module, _help) in GROUPS.items():
    app.add_typer(
        typer.Typer(cls=_load_later(_module), help=_help, no_args_is_help=True, rich_markup_mode=None),
        name=_name,
    )


def main() -> None:
    """Run the command that the process was started with. What nobody listens to is thrown away."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    app()
