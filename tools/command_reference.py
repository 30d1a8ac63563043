"""Write, or check, `docs/commands.md`: every command and option as the command line itself describes them.

python tools/command_reference.py            # write
python tools/command_reference.py --check    # exit status 1 if the page is not what would be written
"""

from collections.abc import Iterator
from pathlib import Path
import sys
from typing import Any, Final

import typer

from serverless_mlperf.cli import app

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "commands.md"
HEAD: Final = """# Commands

Made from the command line's own descriptions by `tools/command_reference.py`; a test holds it to them.
Exit status: 0 measured (the verdict
is printed), 1 something was lost or failed, 2 bad input, 130 Ctrl-C.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_sections(typer.main.get_command(app), "serverless-mlperf"))


# Commands and parameters are those of the click that typer carries with it, which it does not name to others.
def _sections(command: Any, name: str) -> Iterator[str]:
    for child in sorted(getattr(command, "commands", ())):
        yield from _sections(command.commands[child], f"{name} {child}")
    if hasattr(command, "commands"):
        return
    context = command.context_class(command, info_name=name)
    yield f"\n## `{' '.join([name, *command.collect_usage_pieces(context)])}`\n\n{_sentence(command.help)}\n"
    rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
    if rows:
        yield "\n| option | meaning |\n|---|---|\n" + "".join(rows)


def _row(parameter: Any, context: Any) -> str | None:
    record = parameter.get_help_record(context)
    if record is None or "--help" in parameter.opts:
        return None
    names, text = record
    return f"| `{names}` | {_sentence(text)} |\n"


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def main() -> int:
    """Write or check; the exit status."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    sys.stderr.write(f"error: {PAGE} is not what the commands say; run `python tools/command_reference.py`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
