"""From the command line's words to a run."""

import os
import pathlib
import shlex
from collections.abc import Mapping, Sequence

import jax
from rich.console import Console
from rich.markup import escape

from fullfield._core import ConfigurationError, nearest, write_atomically
from fullfield.cli.progress import ProgressBars
from fullfield.cli.tables import verdict_table
from fullfield.recipes import Recipe, RECIPES, run_pipeline, run_study, RunConfiguration
from fullfield.recipes.configuration import Configuration, load_settings
from fullfield.recipes.rundir import create, replace, resume as resume_run, RunDirectory


def configure(what: str, given: Mapping[str, object], overrides: Sequence[str]) -> tuple[Recipe, Configuration]:
    """Resolve what the user typed: the name of a recipe, or a configuration file.

    Args:
        what: name or file.
        given: settings that have an option of their own.
        overrides: `key.sub=value` texts.

    Raises:
        ConfigurationError: the name is neither, or a setting is unknown or impossible.
    """
    path = pathlib.Path(what)
    if what in RECIPES:
        return RECIPES[what], RECIPES[what].configure(_absolute(given), overrides)
    if path.suffix not in (".yaml", ".yml") and not path.exists():
        raise ConfigurationError(
            what, expected="a recipe or a configuration file", got="neither", remedy=nearest(what, RECIPES)
        )
    if path.is_dir():
        path = path / "config.yaml"
    settings = load_settings(path)
    if "scale" in given and given["scale"] != settings.get("scale", "laptop"):
        raise ConfigurationError(
            "--scale", expected=f"none, or what {path} says ({settings.get('scale', 'laptop')})", got=repr(given["scale"]),
            remedy="Presets apply to recipes; name the recipe, or edit the file.",
        )  # fmt: skip
    if "recipe" not in settings:
        raise ConfigurationError(str(path), expected="a setting `recipe`", got="none", remedy=f"Known: {', '.join(RECIPES)}.")
    if settings["recipe"] == "custom":
        raise ConfigurationError(
            "recipe", expected="one that the command knows", got="'custom', a run that was started from Python",
            remedy="Continue it there: run_pipeline(problem, configuration, directory, resume=True).",
        )  # fmt: skip
    recipe = RECIPES[str(settings["recipe"])]
    return recipe, recipe.configure({**settings, **_absolute(given)}, overrides)


def default_directory(what: str, configuration: Configuration) -> pathlib.Path:
    """Where a run goes if the user does not say: the directory that its configuration file lies in if that is a run."""
    parent = pathlib.Path(what) if pathlib.Path(what).is_dir() else pathlib.Path(what).parent
    if what not in RECIPES and (parent / "checkpoints").is_dir():
        return parent
    return pathlib.Path("runs") / f"{configuration.recipe}-{configuration.scale}"


def execute(
    recipe: Recipe, configuration: Configuration, path: pathlib.Path, *, resume: bool, force: bool, command: str
) -> str:
    """Run a recipe and print its verdict.

    Returns:
        The verdict, "pass", "warn" or "fail".
    """
    console = Console()
    use_compilation_cache()
    # Before anything is written: a wrong observation leaves no directory behind.
    built = recipe.build(configuration)
    if resume and not path.exists():
        console.print(f"Nothing to resume in {escape(str(path))}: this run starts.", highlight=False)
    directory = _open(path, configuration, resume=resume, force=force)
    first = directory.checkpoint("command.txt")
    if not first.exists():
        with write_atomically(first) as file:
            file.write(command.encode())
    try:
        with ProgressBars(console) as progress:
            told = {"command": first.read_text(), "summary": recipe.summary, "citations": recipe.citations}
            if isinstance(configuration, RunConfiguration):
                report = run_pipeline(built, configuration, directory, progress=progress, **told).report
            else:
                report = run_study(built, configuration, directory, progress=progress, **told)
    except KeyboardInterrupt:
        again = shlex.join(["fullfield", "run", str(path / "config.yaml"), "--resume"])
        console.print(f"\nStopped; nothing is lost. Continue with: [bold]{escape(again)}[/]", highlight=False, soft_wrap=True)
        raise
    console.print(verdict_table(report, recipe.headline, recipe.grid))
    console.print(f"All numbers: [bold]fullfield show {escape(shlex.quote(str(path)))}[/]", highlight=False, soft_wrap=True)
    console.print(f"Report: [bold]{escape(str(directory.page))}[/]", highlight=False, soft_wrap=True)
    return report.verdict


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache directory, so that the second run starts at once."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "fullfield" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _open(path: pathlib.Path, configuration: Configuration, *, resume: bool, force: bool) -> RunDirectory:
    if resume and force:
        raise ConfigurationError("--resume, --force", expected="one of them", got="both")
    if resume:
        return resume_run(path, configuration)
    return replace(path, configuration) if force else create(path, configuration)


def _absolute(given: Mapping[str, object]) -> dict[str, object]:
    # A run may be continued from another working directory; what is no file may be a name that the recipe knows.
    settings = dict(given)
    file = pathlib.Path(str(settings.get("observation", "")))
    if file.is_file():
        settings["observation"] = str(file.resolve())
    return settings
