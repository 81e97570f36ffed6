"""Options of a node about the engine that runs its models."""

from pathlib import Path
from typing import Annotated

import typer

from inference.engines.kinds import EngineKind, address_of
from inference.process import WorkerSettings

Engine = Annotated[
    EngineKind,
    typer.Option(help="What runs models; auto tries onnxruntime in float32 and int8, and takes the faster."),
]
EngineUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="The model server of --engine remote: http://HOST:PORT.")
]
EngineRepository = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where that server loads models from, to give it those it lacks."),
]


def worker_settings(kind: EngineKind, url: str | None, repository: Path | None) -> WorkerSettings:
    """What the options say. Raises typer.BadParameter if they do not go together."""
    if kind is not EngineKind.REMOTE:
        if url is not None or repository is not None:
            raise typer.BadParameter("only --engine remote has a server", param_hint="--engine-url")
        return WorkerSettings(engine=kind)
    if url is None:
        raise typer.BadParameter("name the model server", param_hint="--engine-url")
    try:
        address_of(url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--engine-url") from None
    where = () if repository is None else (str(repository.expanduser().absolute()),)
    return WorkerSettings(engine=kind, arguments=(url, *where))
