"""What pyproject.toml has no words for: a wheel that also takes ``gunicorn.conf.py`` along, beside ``wsgi.py``.

No module may be called so, hence it is in no list of modules.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CONFIGURATION = "gunicorn.conf.py"


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_file(CONFIGURATION, str(Path(self.build_lib, CONFIGURATION)))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), str(Path(self.build_lib, CONFIGURATION))]

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), CONFIGURATION]


setup(cmdclass={"build_py": BuildPy})
