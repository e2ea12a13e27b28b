"""What takes seconds to load is loaded when it is needed: not for help, nor for the packages' names."""

import subprocess
import sys

import pytest

import sam2_engine
import sam2_plugins
from sam2_plugins.cli import app as cli

LOADED = "import sys; print(*sorted({'torch', 'numpy', 'scipy', 'rich'} & sys.modules.keys()))"


@pytest.mark.parametrize(
    "does",
    [
        "import sam2_engine, sam2_plugins, sam2_engine.errors",
        "from sam2_plugins.cli.app import main; main(['--help'])",
        "from sam2_plugins.cli.app import main; main(['--version'])",
    ],
)
def test_help_and_names_take_no_pytorch(does: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{does}; {LOADED}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("name", cli._COMMANDS)
def test_help_says_of_a_command_what_it_says_itself(name: str) -> None:
    assert cli.load_command(name).get_short_help_str(1000) == cli._COMMANDS[name][1]


@pytest.mark.parametrize("package", [sam2_engine, sam2_plugins])
def test_names_of_packages(package: object) -> None:
    assert set(package.__all__) <= set(dir(package))  # type: ignore[attr-defined]
    for name in package.__all__:  # type: ignore[attr-defined]
        assert getattr(package, name) is not None
    assert sam2_engine.frames.open_frames is sam2_engine.open_frames
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_command_that_is_misspelled(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trak", "x"]) == 2
    assert "Did you mean 'track', 'train'? See" in capsys.readouterr().err
