"""The commands. They parse, call `fullfield.recipes`, and print; nothing is computed here.

Every command imports what it needs in its body, so that `fullfield --help` answers at once.

Exit codes: 0 done and calibrated; 2 the user can mend it (one line says how); 3 the calibration failed; 130 stopped by Ctrl-C.
"""

import pathlib
import shlex
import sys
from typing import Annotated

import typer


USER_ERROR, NOT_CALIBRATED, STOPPED = 2, 3, 130
WIDE = 140  # characters of a line in a file or a pipe, which have no edge that names would have to be folded at
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Field-level inference for cosmology: from a forward model to a trusted posterior.",
)


What = Annotated[str, typer.Argument(metavar="RECIPE|CONFIG.YAML", help="Name of a recipe, or a configuration file.")]
Directory = Annotated[pathlib.Path, typer.Argument(metavar="DIR", help="Directory of a run.")]
Scale = Annotated[str | None, typer.Option(metavar="smoke|laptop|paper", help="Preset of a recipe.", show_default="laptop")]
Observation = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Observed data (.npy), or published-mock for that of the lensing recipe; simulated if not given.",
        show_default=False,
    ),
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")]


@app.command("list")
def list_recipes() -> None:
    """List the recipes, with their scales and rough cost."""
    from fullfield.cli.tables import recipes_table

    _print(recipes_table())


@app.command()
def run(
    what: What,
    output: Annotated[
        pathlib.Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Run directory.  [default: runs/RECIPE-SCALE]", show_default=False),
    ] = None,
    scale: Scale = None,
    observation: Observation = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", show_default="0")] = None,
    set_: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in DIR.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the run in DIR.")] = False,
) -> None:
    """Simulate, compress, infer, calibrate and report."""
    from fullfield.cli.run import configure, default_directory, execute

    recipe, configuration = configure(what, _given(scale=scale, observation=observation, seed=seed), set_ or [])
    directory = output or default_directory(what, configuration)
    verdict = execute(recipe, configuration, directory, resume=resume, force=force, command=_command())
    if verdict == "fail":
        raise typer.Exit(NOT_CALIBRATED)


@app.command()
def check(what: What, scale: Scale = None, observation: Observation = None, set_: Set = None) -> None:
    """Validate a configuration, build every stage on shapes alone, print what a run would cost; run nothing."""
    from fullfield.cli.run import configure
    from fullfield.cli.tables import plan_table
    from fullfield.recipes import RunConfiguration
    from fullfield.recipes.plan import plan

    recipe, configuration = configure(what, _given(scale=scale, observation=observation), set_ or [])
    built = recipe.build(configuration)
    _print(
        plan_table(
            recipe, configuration, plan(built, configuration) if isinstance(configuration, RunConfiguration) else built.plan()
        )
    )


@app.command()
def show(directory: Directory) -> None:
    """Print the verdict and the numbers of a finished run."""
    from fullfield.cli.tables import report_table
    from fullfield.report import read_report

    _print(report_table(read_report(directory / "report.json")))


@app.command()
def cite(directory: Directory) -> None:
    """Print BibTeX of the papers behind the methods that ran."""
    from fullfield.recipes.rundir import read_citations

    typer.echo(read_citations(directory), nl=False)


@app.command()
def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which benchmarks; all if none is named.")
    ] = None,
    output: Annotated[
        pathlib.Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write the rows as JSON.")
    ] = None,
) -> None:
    """Measure the package against its peers, on one core; a peer that is not installed is not measured."""
    from fullfield.cli.bench import run_benchmarks

    run_benchmarks(names or [], output)


def main() -> None:
    """Entry point of the command: errors a user can mend become one line and exit code 2."""
    try:
        app()
    except KeyboardInterrupt:
        _complain("stopped.")
        sys.exit(STOPPED)
    except OSError as error:
        _complain(f"{error.filename or 'disk'}: {error.strerror or error}")
        sys.exit(USER_ERROR)
    except Exception as error:
        from fullfield._core import FullfieldError

        if not isinstance(error, FullfieldError):
            raise
        _complain(str(error))
        sys.exit(USER_ERROR)


def _given(**options: object) -> dict[str, object]:
    return {key: value for key, value in options.items() if value is not None}


def _command() -> str:
    return shlex.join(["fullfield", *sys.argv[1:]])


def _print(renderable: object) -> None:
    from rich.console import Console

    console = Console()
    (console if console.is_terminal else Console(width=max(console.width, WIDE))).print(renderable)


def _complain(text: str) -> None:
    typer.echo(f"{typer.style('fullfield:', fg='red', bold=True)} {text}", err=True)
