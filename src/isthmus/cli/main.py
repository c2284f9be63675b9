"""The command's root. Each command's module is imported when the command is run, so that `isthmus --help` is quick."""

import importlib
import sys

import click

from isthmus import __version__

COMMANDS = {  # name -> (module, its click command)
    "up": ("isthmus.cli.platform", "up"),
    "down": ("isthmus.cli.platform", "down"),
    "status": ("isthmus.cli.platform", "status"),
    "import": ("isthmus.cli.imports", "import_"),
    "image": ("isthmus.cli.images", "image"),
    "console": ("isthmus.cli.consoles", "console"),
    "vnc": ("isthmus.cli.consoles", "vnc"),
    "ssh": ("isthmus.cli.consoles", "ssh"),
}
INTERNAL = 70  # EX_SOFTWARE: our fault, with a traceback


class LazyGroup(click.Group):
    """A group that imports its commands when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table: the order in which a person meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="isthmus")
def isthmus() -> None:
    """One Kubernetes control plane for virtual machines and containers, and the way off VMware onto it."""


def main() -> None:
    """Run the command. Bad input ends with exit code 2 and one message, never a traceback."""
    try:
        sys.exit(isthmus(standalone_mode=False))  # the code of click's Exit; None is 0
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
