"""The optional extensions (`[tool.setuptools-rust]` in pyproject.toml); all else is said there, too."""

from __future__ import annotations

from pathlib import Path

from setuptools import setup
from setuptools_rust import build_rust


class BuildRustAnew(build_rust):  # type: ignore[misc]  # untyped
    """Builds the extensions, and leaves none of an earlier build where one can't be built.

    setuptools would take it out of `build/`, or leave it in the tree, and say nothing.
    """

    def run(self) -> None:
        """Remove what is to be built, then build it."""
        self.get_finalized_command("build_ext").inplace = self.inplace
        for extension in self.extensions:
            Path(self.get_dylib_ext_path(extension, extension.name)).unlink(missing_ok=True)
        super().run()


setup(cmdclass={"build_rust": BuildRustAnew})
