"""`serverless-mlperf clean`."""

from typing import Annotated

import typer


def clean(
    everything: Annotated[bool, typer.Option("--all", help="Caches and leftovers; the default.")] = False,
    cache: Annotated[bool, typer.Option("--cache", help="Built models, packages, data sets, runtimes.")] = False,
    leftovers: Annotated[bool, typer.Option("--leftovers", help="What crashes have left.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", "--dry_run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove the caches and what crashes have left; refused while an experiment runs."""
    from serverless_mlperf.cleaning import clean as remove

    everything = everything or not (cache or leftovers)
    remove(cache=cache or everything, leftovers=leftovers or everything, dry_run=dry_run, say=typer.echo)
