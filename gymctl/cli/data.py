"""``gymctl data prepare``, also by the names that NeMo Gym has for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gymctl.cli.help import DATA, command_group
from gymctl.cli.options import Configuration, GymRoot
from gymctl.datasets.options import DataSource, InvalidRows, Mode, RowRelease

if TYPE_CHECKING:
    from gymctl.datasets.declarations import DataConfig
    from gymctl.datasets.prepare_report import PrepareReport

commands = command_group("data", "Prepare, check, split and mix rows before a run.")
collation = command_group("dataset", "Prepare data sets, with NeMo Gym's command names.", is_hidden=True)

# ng_prepare_data's spelling -> the name of the option here, and the type of its value.
_UPSTREAM: Mapping[str, tuple[str, type]] = {
    "mode": ("mode", str),
    "output_dirpath": ("output_dir", str),
    "should_download": ("download", bool),
    "data_source": ("source", str),
    "overwrite_metrics_conflicts": ("update_metrics", bool),
}
_UPSTREAM_COMMANDS = ("ng_prepare_data", "nemo_gym_prepare_data", "collate")

ModeOption = Annotated[
    Mode | None, typer.Option("--mode", help="Which data sets to prepare. Required.", show_default=False)
]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output-dir", "-o", help="Directory for the prepared files. Required.", show_default=False),
]
Like = Annotated[
    RowRelease | None,
    typer.Option(
        "--like", help="Write files exactly as this NeMo Gym release does.", show_default="rows for all releases"
    ),
]
Invalid = Annotated[InvalidRows, typer.Option("--invalid", help="How to handle rows that no agent accepts.")]
UpdateMetrics = Annotated[
    bool, typer.Option("--update-metrics", help="Accept metrics that differ from an earlier run.")
]
MappingOption = Annotated[
    Path | None, typer.Option("--mapping", help="YAML file that converts rows of other shapes.", show_default=False)
]
Sidecars = Annotated[
    bool, typer.Option("--sidecars", help="Also write prepared rows and metrics next to each data set.")
]
Download = Annotated[bool, typer.Option("--download", help="Fetch missing data sets.")]
Source = Annotated[
    DataSource | None,
    typer.Option("--source", help="Registry to use for data sets that are in both.", show_default="huggingface"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the sub-commands."""
    app.add_typer(_whole_group(), rich_help_panel=DATA)
    app.add_typer(collation)


@cache
def _whole_group() -> typer.Typer:
    """The group with the commands of the other modules, which are added once however often it is registered."""
    from gymctl.cli import data_check, data_rows

    for module in (data_check, data_rows):
        module.register(commands)
    return commands


@commands.command()
def prepare(
    context: typer.Context,
    configuration: Configuration = None,
    mode: ModeOption = None,
    output_dir: OutputDir = None,
    like: Like = None,
    invalid: Invalid = InvalidRows.REFUSE,
    update_metrics: UpdateMetrics = False,
    mapping: MappingOption = None,
    sidecars: Sidecars = False,
    download: Download = False,
    source: Source = None,
    gym_root: GymRoot = None,
    as_json: AsJson = False,
) -> None:
    """Prepare the data sets of a configuration for training, as NeMo Gym does.

    \b
    Examples:
      gymctl data prepare stack.yaml --mode train_preparation --output-dir data/prepared
      gymctl data prepare stack.yaml --mode example_validation -o out --invalid drop --like 0.7
      gymctl ng_prepare_data "+config_paths=[stack.yaml]" +output_dirpath=data/prepared +mode=train_preparation
    """  # noqa: D301 - \b has click leave the lines below it as they are
    configuration, values = split_arguments(configuration or [])
    options = {
        "mode": mode,
        "output_dir": output_dir,
        "download": download or None,
        "source": source,
        "update_metrics": update_metrics or None,
    }
    values |= {name: value for name, value in options.items() if value is not None}
    declared = _Declared(configuration, like, gym_root, os.environ)
    with_sidecars = sidecars or context.info_name in _UPSTREAM_COMMANDS
    report = _prepare(declared, values, invalid, mapping, sidecars=with_sidecars)
    _print_report(report, as_json=as_json)


@collation.command()
def collate(
    context: typer.Context,
    configuration: Configuration = None,
    config: Annotated[list[str] | None, typer.Option("--config", help="YAML file; may be repeated.")] = None,
    resources_server: Annotated[
        list[str] | None, typer.Option("--resources-server", help="NAME or NAME/CONFIG; may be repeated.")
    ] = None,
    model_type: Annotated[
        str | None, typer.Option("--model-type", help="NAME or NAME/CONFIG of a model server.")
    ] = None,
    search_dir: Annotated[
        list[str] | None, typer.Option("--search-dir", help="Directory to look for files in; may be repeated.")
    ] = None,
    mode: ModeOption = None,
    output_dir: OutputDir = None,
    like: Like = None,
    invalid: Invalid = InvalidRows.REFUSE,
    update_metrics: UpdateMetrics = False,
    download: Download = False,
    source: Source = None,
    as_json: AsJson = False,
) -> None:
    """Prepare data sets, with the options of NeMo Gym's 'gym dataset collate'."""
    paths = list(config or [])
    paths += [named_config("resources_servers", name) for name in resources_server or ()]
    paths += [named_config("responses_api_models", name) for name in filter(None, [model_type])]
    roots = [*(search_dir or ()), os.environ.get("NEMO_GYM_EXTRA_ROOTS", "")]
    os.environ["NEMO_GYM_EXTRA_ROOTS"] = os.pathsep.join(filter(None, roots))
    prepare(
        context,
        configuration=[*paths, *(configuration or [])],
        mode=mode,
        output_dir=output_dir,
        like=like,
        invalid=invalid,
        update_metrics=update_metrics,
        download=download,
        source=source,
        as_json=as_json,
    )


def named_config(kind: str, name: str) -> str:
    """The configuration of a server by its name, or by NAME/CONFIG."""
    server, _, file = name.partition("/")
    return f"{kind}/{server}/configs/{file or server}.yaml"


@dataclass(frozen=True)
class _Declared:
    """Where declarations are read from."""

    configuration: Sequence[str]
    like: RowRelease | None
    gym_root: Path | None
    environ: Mapping[str, str]

    def load(self, mode: Mode | None) -> DataConfig:
        """The declarations as they are on disk now; all of them when ``mode`` is None."""
        from gymctl.datasets.declarations import load_declarations

        return load_declarations(
            self.configuration,
            cwd=Path.cwd(),
            environ=self.environ,
            mode=mode,
            release=self.like,
            gym_root=self.gym_root,
        )


def _prepare(
    declared: _Declared, values: Mapping[str, Any], invalid: InvalidRows, mapping: Path | None, *, sidecars: bool
) -> PrepareReport:
    from gymctl.datasets.mapping import MappingFile, read_mapping
    from gymctl.datasets.preparation import prepare as prepare_data
    from gymctl.datasets.prepare_report import PrepareOptions
    from gymctl.errors import InputError

    for name, example in (("mode", "--mode train_preparation"), ("output_dir", "--output-dir data/prepared")):
        if values.get(name) is None:
            raise InputError(f"--{name.replace('_', '-')} is missing", f"add {example}")
    mode = Mode(values["mode"])
    config = _fetched(declared, mode, values)
    if not config.declarations:
        _end_without_data(declared, mode)
    return prepare_data(
        config,
        PrepareOptions(
            mode=mode,
            output=Path(values["output_dir"]),
            release=declared.like,
            invalid=invalid,
            update_metrics=bool(values.get("update_metrics")),
            mapping=read_mapping(mapping, Path.cwd()) if mapping else MappingFile(),
            sidecars=Path.cwd() if sidecars else None,
        ),
    )


def _fetched(declared: _Declared, mode: Mode, values: Mapping[str, Any]) -> DataConfig:
    """The declared data sets; missing ones are fetched first when that was asked for."""
    from gymctl.datasets.downloads import access_of, fetch_missing

    config = declared.load(mode)
    if not values.get("download") or all(item.file is not None for item in config.declarations):
        return config
    source = DataSource(values.get("source") or DataSource.HUGGINGFACE)
    for path in fetch_missing(config.declarations, access_of(config.settings, os.environ, source), Path.cwd()):
        typer.echo(f"fetched {path.relative_to(Path.cwd())}", err=True)
    return declared.load(mode)


def _end_without_data(declared: _Declared, mode: Mode) -> None:
    """End well when data sets of other types are declared, as NeMo Gym does; otherwise the caller refuses."""
    types = sorted({item.entry.type.value for item in declared.load(None).declarations})
    if types:
        types_in_scope = " or ".join(", ".join(mode.types).rsplit(", ", 1))
        text = f"no data set of type {types_in_scope} is declared (declared: {', '.join(types)}); nothing was written"
        typer.echo(f"note: {text}", err=True)
        raise typer.Exit(0)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Arguments that are configuration, and NeMo Gym's options among them by the names that they have here.

    Raises:
        InputError: an option has a value of the wrong type.
    """
    from gymctl.config.sources.overrides import looks_like_override, parse_override
    from gymctl.errors import InputError

    configuration: list[str] = []
    values: dict[str, Any] = {}
    for argument in arguments:
        key = argument.lstrip("+").partition("=")[0]
        if key == "task_data_validation":
            raise InputError(f"{argument}: rows are not checked while they are prepared", "use gymctl data check")
        if key not in _UPSTREAM or not looks_like_override(argument):
            configuration.append(argument)
            continue
        name, kind = _UPSTREAM[key]
        value = parse_override(argument).value
        if type(value) is not kind:
            raise InputError(f"{argument}: expected {'true or false' if kind is bool else 'text'}")
        values[name] = value
    _check_choices(values)
    return configuration, values


def _check_choices(values: Mapping[str, Any]) -> None:
    from gymctl.errors import InputError

    for name, choices in (("mode", list(Mode)), ("source", list(DataSource))):
        if name in values and values[name] not in choices:
            raise InputError(f"{name} is {values[name]!r}", f"it must be {' or '.join(choices)}")


def _print_report(report: PrepareReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report.to_json()))
        return
    for line in report.invalid:
        typer.echo(f"note: {line}", err=True)
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)
    for kind, path in report.files.items():
        typer.echo(f"{kind}: {report.summary(kind)} -> {path}")
