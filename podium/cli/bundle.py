"""``podium bundle``: make, get and show what the embedded backend runs."""

import argparse
import json
import sys
from pathlib import Path

from podium import bundle


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``podium bundle`` to the command line."""
    top = commands.add_parser("bundle", help="make, get or show the embedded backend's kernel, programs and node disk")
    actions = top.add_subparsers(required=True, metavar="ACTION", parser_class=type(top))
    build = actions.add_parser("build", help="make the bundle, or what is missing of it")
    build.add_argument("--archive", type=Path, metavar="FILE", help="also write it as one file, for `fetch`")
    build.set_defaults(run=_build)
    fetch = actions.add_parser("fetch", help="get a prebuilt bundle")
    fetch.add_argument("url", nargs="?", metavar="URL", help="where its archive is (default: PODIUM_BUNDLE_URL)")
    fetch.set_defaults(run=_fetch)
    image = actions.add_parser("kind-image", help="make the kind backend's node image, with no registry, and load it")
    image.add_argument("--archive", type=Path, metavar="FILE", help="also write it as one file, for `docker load`")
    image.set_defaults(run=_kind_image)
    status = actions.add_parser("status", help="show each part, its version and where it came from")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=_status)


def _build(arguments: argparse.Namespace) -> int:
    made = bundle.build(arguments.archive)
    print(f"The bundle is in {made.path}")
    if arguments.archive:
        print(f"Its archive is {arguments.archive}, {arguments.archive.stat().st_size / 1e6:.0f} MB")
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    print(f"The bundle is in {bundle.fetch(arguments.url).path}")
    return 0


def _kind_image(arguments: argparse.Namespace) -> int:
    print(bundle.make_kind_image(arguments.archive))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    found = bundle.status()
    if arguments.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        for part in found["parts"]:
            print(f"{part['name']:<30} {part['version']:<18} {part.get('source', 'not there yet')}")
        state = f"complete, {found['source']}" if found["complete"] else "not complete: `podium bundle build` makes it"
        print(f"{'bundle':<30} {found['key']:<18} {state}")
        print(f"{'in':<30} {found['path']}")
    return 0 if found["complete"] else 1
