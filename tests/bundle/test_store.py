"""The store of parts: keys, what is made again, two builds at once, interruptions, a full disk, damage."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from podium.bundle.commands import DiskFull
from podium.bundle.store import Job, Part, Store
from podium.errors import PodiumError, WaitedTooLong
from podium.waiting import wait_until

made: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    made.clear()


def make(job: Job) -> str:
    """Write a file that says what it was made from."""
    made.append(job.part.name)
    before = [(job.need(need.name) / "content").read_text() for need in job.part.needs]
    (job.out / "content").write_text(f"{job.part.pins}{before}")
    return "the test"


def part(name: str, *needs: Part, pins: object = 0, files: tuple[Path, ...] = ()) -> Part:
    return Part(name, f"making {name}", make, pins=pins, needs=needs, files=files)


def graph(low: object = 0, left: object = 0) -> Part:
    """top stands on left and right, and both stand on low."""
    bottom = part("low", pins=low)
    return part("top", part("left", bottom, pins=left), part("right", bottom))


def run(script: str, store: Store) -> subprocess.Popen[str]:
    """Run a Python script of its own process, with ``store`` and what this module imports."""
    head = f"""
        import os, resource, sys, time
        from pathlib import Path
        from podium.bundle.store import Part, Store
        store = Store(Path({str(store.root)!r}))
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_everything_is_made_once_after_what_it_needs(store: Store) -> None:
    path = store.build(graph(), quiet=True)
    assert sorted(made) == ["left", "low", "right", "top"]
    assert (made[0], made[-1]) == ("low", "top")
    assert path == store.path(graph())
    assert "the test" in (path / "part.json").read_text()


def test_the_second_run_costs_nothing(store: Store) -> None:
    store.build(graph(), quiet=True)
    made.clear()
    began = time.monotonic()
    store.build(graph(), quiet=True)
    assert made == []
    assert time.monotonic() - began < 0.1


def test_a_changed_part_is_made_again_with_what_stands_on_it(store: Store) -> None:
    store.build(graph(), quiet=True)
    made.clear()
    changed = store.build(graph(left=1), quiet=True)
    assert sorted(made) == ["left", "top"]
    assert (changed / "content").read_text() != (store.path(graph()) / "content").read_text()


def test_nothing_is_made_for_a_part_that_is_there(store: Store) -> None:
    store.build(graph(), quiet=True)
    made.clear()
    shutil.rmtree(store.path(part("low", pins=0)))
    store.build(graph(), quiet=True)
    store.build(part("other", graph()), quiet=True)
    assert made == ["other"]


def test_a_key_comes_from_everything_that_decides_the_content(tmp_path: Path) -> None:
    file = tmp_path / "recipe" / "file"
    file.parent.mkdir()
    file.write_text("a")

    def key(**options: object) -> str:
        return replace(part("one", files=(file.parent,)), **options).key

    first = key()
    assert first == key(what="other words", cost=99, size=99, make=lambda job: "")
    others = {key(name="two"), key(version="1"), key(pins=1), key(needs=(part("low"),))}
    file.write_text("b")
    others.add(key())
    file.chmod(0o755)
    others.add(key())
    file.rename(file.with_name("other"))
    others.add(key())
    assert len(others | {first}) == 8


def test_damage_is_seen_and_mended(store: Store) -> None:
    for damage in (
        lambda path: (path / "content").write_text("cut"),
        lambda path: (path / "content").unlink(),
        lambda path: (path / "more").write_text(""),
        lambda path: (path / "part.json").write_text("{"),
        lambda path: (path / "part.json").unlink(),
    ):
        path = store.build(part("one"), quiet=True)
        damage(path)
        assert store.facts(part("one")) is None
        store.build(part("one"), quiet=True)
        assert (path / "content").read_text() == "0[]"
        assert {file.name for file in path.iterdir()} == {"content", "part.json"}


def test_a_part_keeps_its_worth_in_a_layer_of_an_image_which_rounds_times_to_seconds(store: Store) -> None:
    content = store.build(part("one"), quiet=True) / "content"
    changed = content.stat().st_mtime_ns
    os.utime(content, ns=(changed, changed // 10**9 * 10**9))
    assert store.facts(part("one"))
    os.utime(content, ns=(changed, changed + 10**9))
    assert store.facts(part("one")) is None


def test_a_part_that_fails_leaves_nothing_and_keeps_the_others(store: Store) -> None:
    def fail(job: Job) -> str:
        (job.out / "half").write_text("")
        job.scratch.mkdir()
        job.run("sh", "-c", "echo some words; exit 3", limit=5)
        return ""

    low = part("low")
    bad = replace(part("bad", low), make=fail)
    with pytest.raises(PodiumError, match=r"Making bad failed with exit code 3:\nsome words"):
        store.build(part("top", bad), quiet=True)
    assert made == ["low"]
    assert [path.name for path in (store.root / "parts").iterdir()] == [store.path(low).name]
    assert list((store.root / "tmp").iterdir()) == []


def test_one_failure_stops_the_rest(store: Store) -> None:
    def fail(job: Job) -> str:
        job.run("false", limit=5)
        return ""

    def last(job: Job) -> str:
        job.run("sleep", "60", limit=99)
        return ""

    began = time.monotonic()
    with pytest.raises(PodiumError, match="Making bad failed"):
        store.build(part("top", replace(part("slow"), make=last), replace(part("bad"), make=fail)), quiet=True)
    assert time.monotonic() - began < 10


def test_a_program_has_a_limit(store: Store) -> None:
    slow = replace(part("slow"), make=lambda job: job.run("sh", "-c", "echo started; sleep 60", limit=0.3))
    with pytest.raises(WaitedTooLong, match=r"(?s)Making slow was not done after 0.3 s.*started"):
        store.build(slow, quiet=True)


def test_two_builds_at_once_share_one_attempt(store: Store) -> None:
    script = """
        def make(job):
            print("made", flush=True)
            time.sleep(1)
            (job.out / "content").write_text("x")
            return "the test"
        print(store.build(Part("slow", "making it slowly", make)))
    """
    both = [run(script, store), run(script, store)]
    results = [process.communicate(timeout=20) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(output.count("made") for output, _ in results) == 1
    assert any("waiting for another build to finish slow" in errors for _, errors in results)
    assert len(list((store.root / "parts").iterdir())) == 1


def test_killed_leaves_nothing_running_and_the_next_build_continues(store: Store, tmp_path: Path) -> None:
    script = f"""
        def make(job):
            steps = job.work / "steps"
            if not steps.exists():
                (job.out / "half").write_text("x")
                steps.write_text("first")
                job.run("sh", "-c", "sleep 300 & echo $! > {tmp_path}/child; wait", limit=300)
            (job.out / "content").write_text(steps.read_text() + " second")
            return "the test"
        print(store.build(Part("long", "making it long", make)))
    """
    child = tmp_path / "child"
    first = run(script, store)
    wait_until(lambda: child.exists() and child.read_text(), "the program that the build runs", 10)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate(timeout=10)
    wait_until(lambda: not _alive(int(child.read_text())), "the build's programs to end", 10)

    second = run(script, store)
    output, errors = second.communicate(timeout=20)
    assert second.returncode == 0, errors
    assert [path.name for path in sorted(Path(output.strip()).iterdir())] == ["content", "part.json"]
    assert (Path(output.strip()) / "content").read_text() == "first second"
    assert list((store.root / "tmp").iterdir()) == list((store.root / "work").iterdir()) == []


def test_interrupt_ends_the_programs_at_once(store: Store, tmp_path: Path) -> None:
    script = f"""
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
        def make(job):
            job.run("sh", "-c", "echo $$ > {tmp_path}/child; sleep 300", limit=300)
        store.build(Part("long", "making it long", make))
    """
    child = tmp_path / "child"
    build = run(script, store)
    wait_until(lambda: child.exists() and child.read_text(), "the program that the build runs", 60)
    build.send_signal(signal.SIGINT)
    _, errors = build.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    wait_until(lambda: not _alive(int(child.read_text())), "the build's programs to end", 60)
    assert list((store.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("writer", ["(job.out / 'x').write_bytes(bytes(1 << 20))", "job.run('sh', '-c', DD, limit=9)"])
def test_no_room(writer: str, store: Store) -> None:
    """RLIMIT_FSIZE stands for the full disk: it needs no privileges, and Python and programs meet it alike."""
    script = f"""
        import signal
        from podium.bundle.commands import DiskFull
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        DD = "trap '' XFSZ; cd " + str(store.root) + "; dd if=/dev/zero of=tmp/large/large bs=1M count=1"
        def small(job):
            (job.out / "content").write_text("x")
            return "the test"
        def large(job):
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
            {writer}
        low = Part("low", "making low", small)
        try:
            store.build(Part("large", "making large", large, needs=(low,), size=123))
        except DiskFull as error:
            print(error)
        print(store.facts(low)["source"])
    """
    output, errors = run(script, store).communicate(timeout=20)
    assert f"There is not enough room in {store.root}: 123 MB are needed for large" in output, errors
    assert "What is finished is kept" in output
    assert "the test" in output
    assert list((store.root / "tmp").iterdir()) == []
    assert len(list((store.root / "parts").iterdir())) == 1


def test_room_is_looked_for_before_anything_is_begun(store: Store) -> None:
    with pytest.raises(DiskFull, match="1000000001 MB are needed for low, huge,"):
        store.build(replace(part("huge", part("low")), size=1e9), quiet=True)
    assert made == []


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
