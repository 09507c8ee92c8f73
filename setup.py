"""Maps the rooms at the top level into the package `rbflex_evo`; everything else is in setup.cfg."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOMS = ["engine", "fitness", "spaces", "strategies"]

# A package index shows neither files nor pictures of the repository, so relative links become their text.
README = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
DESCRIPTION = re.sub(r"!?\[([^\]]*)\]\((?!https?://)[^)]*\)", r"\1", README)

setup(
    long_description=DESCRIPTION,
    packages=[
        "rbflex_evo",
        "rbflex_evo.configs",
        *(f"rbflex_evo.{package}" for package in find_packages(include=[f"{room}*" for room in ROOMS])),
    ],
    package_dir={"rbflex_evo": "rbflex_evo", **{f"rbflex_evo.{folder}": folder for folder in [*ROOMS, "configs"]}},
)
