"""`serverless-mlperf status`."""

import typer

from serverless_mlperf.commands.standing import Platform, Profile, Project, Region, check_stands


def status(platform: Platform = None, profile: Profile = None, region: Region = None, project: Project = None) -> None:
    """Say what of a project stands on AWS, and what it costs while it is idle."""
    from serverless_mlperf.platforms.aws.inventory import take_inventory
    from serverless_mlperf.platforms.aws.session import open_session
    from serverless_mlperf.platforms.aws.spec import PROJECT, check_project

    check_stands(platform)
    name = check_project(project or PROJECT)
    aws = open_session(profile, region)
    typer.echo(aws.shown)
    for line in take_inventory(aws, name).lines():
        typer.echo(line)
