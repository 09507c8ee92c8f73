"""The notebooks of the documentation, executed. As a program, it executes them again and keeps their outputs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tests.support import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def execute(path: Path, folder: Path) -> Any:
    """Returns a notebook with new outputs.

    Args:
        path: The notebook, which is not changed.
        folder: Working directory of its kernel.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    options: dict[str, Any] = {"timeout": 100, "kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    return NotebookClient(notebook, resources=resources, **options).execute()


def main() -> None:
    import nbformat

    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["RBFLEX_EVO_CACHE"] = str(Path(folder) / "cache")
            notebook = execute(path, Path(folder))
        # What depends on the machine is of no use to a reader.
        notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}}
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
