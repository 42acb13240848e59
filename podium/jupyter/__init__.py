"""Podium in JupyterLab: the cluster of a notebook server, its handlers, the start page, magics and submissions."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

CONFIG = Path(__file__).parent / "config"
"""A folder for ``JUPYTER_CONFIG_PATH``: it turns the server extension on, and announcements off, for JupyterLab would
ask each learner about news, over the lesson's text
(https://jupyterlab.readthedocs.io/en/stable/user/announcements.html). Off, too, is nbgrader's *Validate*, which would
stand above every notebook, lessons included, and hold up the whole server until the last cell has ended."""

SHARE = Path(__file__).parent / "share"
"""A folder for ``JUPYTER_PATH``: the extension of JupyterLab, and the Python kernel with Podium's magics."""

COURSE = Path("course")
"""The folder of the lessons, as it lies in the folder that is served."""

START_PAGE = "00-start-here.ipynb"
"""The notebook beside the lessons that says where a learner is."""


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "podium.jupyter"}]


def _load_jupyter_server_extension(server: "ServerApp") -> None:
    from podium.jupyter import server as extension

    extension.load(server)
