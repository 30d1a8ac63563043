"""`serverless-mlperf destroy`."""

import typer

from serverless_mlperf.commands.asking import check_can_ask, is_agreed
from serverless_mlperf.commands.standing import Platform, Profile, Project, Region, Yes, check_stands


def destroy(
    platform: Platform = None,
    yes: Yes = False,
    profile: Profile = None,
    region: Region = None,
    project: Project = None,
) -> None:
    """Remove everything of a project: stack, buckets with all objects, logs; exit status 1 if anything is left."""
    from serverless_mlperf.platforms.aws.removal import Remover
    from serverless_mlperf.platforms.aws.session import open_session
    from serverless_mlperf.platforms.aws.spec import PROJECT, check_project

    check_stands(platform)
    name = check_project(project or PROJECT)
    check_can_ask(yes)
    aws = open_session(profile, region)
    typer.echo(aws.shown)
    if not is_agreed(f"destroy {name} with all its objects and logs?", yes):
        typer.echo("nothing was removed")
        raise typer.Exit(1)
    removal = Remover(aws, name, typer.echo).destroy()
    if removal.left:
        typer.echo(f"left of {name}:", err=True)
        for line in removal.left:
            typer.echo(f"  {line}", err=True)
        raise typer.Exit(1)
    typer.echo(f"nothing of {name} is left" if removal.found else f"there was nothing of {name}")
