"""Settings that setup.cfg cannot hold: all packages that there are, and the configs as one more."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["lightning_dd*"]), "lightning_dd.configs"])
