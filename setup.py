"""Maps the rooms at the top level into the package `rbflex_evo`; everything else is in setup.cfg."""

from setuptools import find_packages, setup

ROOMS = ["engine", "fitness", "spaces", "strategies"]

setup(
    packages=[
        "rbflex_evo",
        "rbflex_evo.configs",
        *(f"rbflex_evo.{package}" for package in find_packages(include=[f"{room}*" for room in ROOMS])),
    ],
    package_dir={"rbflex_evo": "rbflex_evo", **{f"rbflex_evo.{folder}": folder for folder in [*ROOMS, "configs"]}},
)
