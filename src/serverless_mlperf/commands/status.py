"""`serverless-mlperf status`."""

import typer

from serverless_mlperf.commands.formats import AsCsv, AsJson, check_formats, echo_document, echo_rows
from serverless_mlperf.commands.standing import Platform, Profile, Project, Region, check_stands


def status(
    platform: Platform = None,
    profile: Profile = None,
    region: Region = None,
    project: Project = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Say what of a project stands on AWS, and what it costs while it is idle."""
    from serverless_mlperf.platforms.aws.inventory import take_inventory
    from serverless_mlperf.platforms.aws.session import open_session
    from serverless_mlperf.platforms.aws.spec import PROJECT, check_project

    check_formats(as_json, as_csv)
    check_stands(platform)
    name = check_project(project or PROJECT)
    aws = open_session(profile, region)
    typer.echo(aws.shown, err=as_json or as_csv)
    found = take_inventory(aws, name)
    if as_json:
        return echo_document(found.to_dict())
    if as_csv:
        return echo_rows(found.rows())
    for line in found.lines():
        typer.echo(line)
    return None
