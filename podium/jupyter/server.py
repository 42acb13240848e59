"""The extension of the notebook server: it keeps the cluster, and tells JupyterLab of it."""

import asyncio
import json
import os
import shutil
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import ensure_async, url_path_join
from tornado import web
from traitlets import Bool, Int
from traitlets.config import Configurable

from podium.cluster import DEFAULT_NAME
from podium.errors import PodiumError, UsageError
from podium.jupyter import COURSE, START_PAGE, submission
from podium.jupyter.keeper import Keeper

BASHRC = Path(__file__).parent / "bashrc"


class Podium(Configurable):
    """What can be configured, as in ``--Podium.start=True``."""

    start = Bool(False, help="Start the cluster with the server.").tag(config=True)
    nodes = Int(2, help="How many nodes a cluster gets that is started here.").tag(config=True)


def load(server: ServerApp) -> None:
    """Add the handlers, and start the cluster if that is configured."""
    settings = Podium(parent=server)
    keeper = Keeper(os.environ.get("PODIUM_CLUSTER") or DEFAULT_NAME, settings.nodes)
    base, about = server.web_app.settings["base_url"], {"keeper": keeper}
    server.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, "podium/cluster"), ClusterHandler, about),
            (url_path_join(base, "podium/submission"), SubmissionHandler),
        ],
    )
    _give_terminals_completion(server)
    if (Path(server.root_dir) / COURSE / START_PAGE).is_file():
        server.web_app.settings.setdefault("page_config_data", {})["podiumStartPage"] = str(COURSE / START_PAGE)
    if settings.start:
        with suppress(PodiumError):  # there is nothing to run it with: the start will say so
            keeper.lend()
        keeper.begin("start")


def _give_terminals_completion(server: ServerApp) -> None:
    """Let bash read our file. No login shell: that would set PATH anew, and kubectl would be gone from it."""
    terminals = server.web_app.settings.get("terminal_manager")
    if terminals and "shell_command" not in server.terminado_settings:
        shell = os.environ.get("SHELL") or shutil.which("bash") or "sh"
        options = ["--rcfile", str(BASHRC)] if Path(shell).name == "bash" else []
        terminals.shell_command = [shell, *options]


class ClusterHandler(APIHandler):
    """``GET`` says how the cluster is; ``POST {"do": "start"}``, ``reset`` or ``stop`` begins to do that."""

    _track_activity = False  # a page that asks by itself keeps no server from being culled

    def initialize(self, keeper: Keeper) -> None:
        """Called by Tornado."""
        self.keeper = keeper

    @web.authenticated
    async def get(self) -> None:
        """What :meth:`Keeper.state` says."""
        self.finish(json.dumps(await asyncio.to_thread(self.keeper.state)))

    @web.authenticated
    async def post(self) -> None:
        """Begin, and answer with the state; 409 if something else is being done."""
        asked: Any = self.get_json_body()
        try:
            self.keeper.begin(asked.get("do", "") if isinstance(asked, dict) else "")
        except UsageError as error:
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, str(error), reason=error.what) from error
        except PodiumError as error:
            raise web.HTTPError(HTTPStatus.CONFLICT, str(error), reason=error.what) from error
        self.set_status(HTTPStatus.ACCEPTED)
        await self.get()


class SubmissionHandler(APIHandler):
    """``GET ?path=NOTEBOOK&student=NAME``: a lab as the one file that an instructor collects."""

    @web.authenticated
    async def get(self) -> None:
        """The file, for download."""
        path, student = self.get_query_argument("path"), self.get_query_argument("student")
        model = await ensure_async(self.contents_manager.get(path, content=True, type="notebook"))
        try:
            name, packed = submission.pack(model["name"], model["content"], student)
        except UsageError as error:
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, str(error), reason=error.what) from error
        self.set_header("Content-Type", "application/zip")
        self.set_attachment_header(name)
        self.finish(packed)
