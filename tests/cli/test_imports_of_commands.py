"""Each module of commands can be imported by itself, in any order."""

import subprocess
import sys

import pytest

from stereo3d.cli.parameters import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_module_of_commands_is_imported_first(family):
    code = f"import stereo3d.cli.{family}; from stereo3d.cli.parameters import cli; assert len(cli.commands) > 5"
    subprocess.run([sys.executable, "-c", code], check=True)
