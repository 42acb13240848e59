"""The process that removes a kind cluster when its owner is gone, however the owner ends.

``python guard.py FOLDER FD COMMAND…`` goes into the background, writes its number to FOLDER/guard.pid, waits until the
process behind the pidfd FD has ended (pidfd_open(2)), and runs COMMAND. It uses the standard library only.
"""

import os
import select
import sys
from pathlib import Path


def _main(folder: str, watch: int, command: list[str]) -> int:
    ready, answer = os.pipe()
    if os.fork():
        os.close(answer)
        return 0 if os.read(ready, 1) else 1
    os.close(ready)
    os.setsid()
    os.chdir("/")
    Path(folder, "guard.pid.new").write_text(str(os.getpid()))
    Path(folder, "guard.pid.new").rename(Path(folder, "guard.pid"))
    os.write(answer, b"1")
    os.close(answer)
    select.select([watch], [], [])
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
