"""The kernels of a lab: streams, signals, status and files go in and out as if the command had run outside."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pytest_calico_ipip.lab.errors import LabError, LabUsageError
from pytest_calico_ipip.lab.kernel import frames, memory, paths, rundir
from pytest_calico_ipip.lab.kernel.cpu import claim_cpu
from pytest_calico_ipip.lab.kernel.job import Window

REPOSITORY = Path(__file__).parents[2]
BARE = ("--nodes", "0", "--kernel", "uml")  # a guest, namespaces in it, and no cluster


# --- parts ---------------------------------------------------------------------------------------


def test_frames_survive_any_cutting() -> None:
    """Frames come out whole and in order, however the bytes were cut on their way."""
    sent = [(frames.DATA, b"x" * 4096), (frames.DATA, b""), (frames.SIGNAL, b"\x02"), (frames.WINDOW, b"\0\x18\0\x50")]
    stream = b"".join(frames.frame(kind, payload) for kind, payload in sent)
    for size in (1, 2, 3, 1000, len(stream)):
        reader = frames.Frames()
        got = [pair for at in range(0, len(stream), size) for pair in reader.feed(stream[at : at + size])]
        assert got == sent


def test_window_for_the_current_directory(tmp_path: Path) -> None:
    """The directory that the user is in is open to the lab, also below /tmp."""
    assert Window(str(tmp_path), str(tmp_path.resolve()), writable=True) in paths.windows(str(tmp_path), [], "")


def test_named_by_the_command(tmp_path: Path) -> None:
    """What the command names is open to the lab, as `--option=/path` too; programs, /proc and its own /run are not."""
    report = tmp_path / "later" / "report.xml"
    for argument in (str(report), f"--junitxml={report}"):
        assert Window(str(tmp_path), str(tmp_path.resolve()), writable=True) in paths.windows("/", [], "", [argument])
    others = ["/usr/bin/env", "/proc/self/status", "/run/lock", "/", "--color=yes", "a=b"]
    assert paths.windows("/", [], "", others) == paths.windows("/", [], "")


def test_window_for_a_file_is_its_directory(tmp_path: Path) -> None:
    """A named file, there or not yet, opens the nearest directory that exists."""
    (tmp_path / "there").touch()
    for name in ("there", "new", "new/deep/file.xml"):
        found = paths.windows("/", [str(tmp_path / name)], "")
        assert [window.path for window in found if window.writable] == [str(tmp_path)]


def test_window_through_a_link(tmp_path: Path) -> None:
    """A directory that is named through a symbolic link is open under both names."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (window,) = [w for w in paths.windows("/", [str(tmp_path / "link")], "") if w.writable]
    assert (window.path, window.real) == (str(tmp_path / "link"), str((tmp_path / "real").resolve()))


def test_windows_do_not_nest(tmp_path: Path) -> None:
    """What an open directory shows anyway gets no window of its own."""
    (tmp_path / "inner").mkdir()
    found = paths.windows(str(tmp_path), [str(tmp_path / "inner")], str(tmp_path / "inner"))
    assert [window.path for window in found if paths.is_below(window.path, str(tmp_path))] == [str(tmp_path)]


@pytest.mark.parametrize("cwd", ["/proc/self", "/sys", "/dev", "/run"])
def test_refused_directories(cwd: str) -> None:
    """A directory of the machine's kernel, or its /run, cannot be shown: refused before anything starts."""
    with pytest.raises(LabUsageError, match=re.escape(cwd)):
        paths.windows(cwd, [], "")


def test_programs_below_tmp_are_visible(tmp_path: Path) -> None:
    """A directory of the PATH below /tmp can be read in the lab, and not written to."""
    (tmp_path / "bin").mkdir()
    found = paths.windows("/", [], f"/usr/bin:{tmp_path}/bin:{tmp_path}/missing")
    assert Window(f"{tmp_path}/bin", str((tmp_path / "bin").resolve()), writable=False) in found


def test_a_directory_that_the_user_may_not_see_is_left_out(tmp_path: Path) -> None:
    """A directory of root in somebody's PATH, or named in his command, is no reason to refuse him a lab."""
    secret = tmp_path / "secret" / "bin"
    secret.mkdir(parents=True)
    secret.parent.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:  # who may see everything
            os.seteuid(65534)
        found = paths.windows("/", [], str(secret), [f"--report={secret}/report.xml"])
    finally:
        os.seteuid(user)
        secret.parent.chmod(0o700)
    assert str(secret) not in [window.path for window in found]


def test_memory_wants_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file system with enough room for the guest's memory is a sentence that names each of them."""
    with pytest.raises(LabError, match=r"/dev/shm has \d+ MB left.*\nSet TMPDIR"):
        memory.memory_directory(1 << 40, {})


def test_memory_goes_elsewhere_when_shm_is_small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where /dev/shm is too small (64 MB in a Docker container), TMPDIR holds the memory."""
    refusal = memory._refusal
    monkeypatch.setattr(
        memory, "_refusal", lambda path, size: "has 64 MB left" if str(path) == "/dev/shm" else refusal(path, size)
    )
    assert memory.memory_directory(64, {"TMPDIR": str(tmp_path)}) == tmp_path


def test_memory_is_for_two_runs_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for is taken as it is; where the reserve has no room there is none."""
    room = 10_000

    def directory(megabytes: int, _: object) -> Path:
        if megabytes > room:
            raise LabError("no room", "make some")
        return Path("/dev/shm")

    monkeypatch.setattr(memory, "memory_directory", directory)
    roomy, asked = memory.guest_memory(5, 0, {}), memory.guest_memory(5, 400, {})
    assert (asked.megabytes, asked.reserve) == (400, 0)
    assert roomy.reserve > 0
    room = roomy.megabytes - 1
    assert memory.guest_memory(5, 0, {}).megabytes == roomy.megabytes - roomy.reserve
    room = 100
    with pytest.raises(LabError, match="no room"):
        memory.guest_memory(5, 0, {})


def test_claims_spread() -> None:
    """Labs at the same time get different processors, as long as there are any; then they share."""
    cpus = sorted(os.sched_getaffinity(0))
    claims = [claim_cpu() for _ in range(len(cpus))]
    try:
        others = 3 * len(cpus)  # labs that may be running here at the same time
        assert {claim.cpu for claim in claims} <= set(cpus)
        claims += [claim_cpu() for _ in range(others)]
        assert {claim.cpu for claim in claims} == set(cpus)
    finally:
        for claim in claims:
            claim.release()


def test_run_directory_of_a_dead_owner_is_removed(tmp_path: Path) -> None:
    """The next run removes what a killed one left, and nothing that has an owner or was kept for a person."""
    with rundir.RunDirectory(tmp_path) as living:
        dead = tmp_path / f"{rundir._PREFIX}dead"
        dead.mkdir()
        (dead / "owner").touch()
        kept = tmp_path / f"{rundir._PREFIX}kept"
        kept.mkdir()
        (kept / "owner").touch()
        (kept / "failed").touch()
        stranger = tmp_path / "calico-ipip-lab-notes"
        stranger.mkdir()
        rundir.remove_stale(tmp_path)
        assert set(tmp_path.iterdir()) == {living.path, kept, stranger}
    assert not living.path.exists()


# --- a whole guest -------------------------------------------------------------------------------


def lab(*words: str) -> list[str]:
    """The command line of a lab with this Python."""
    return [sys.executable, "-m", "pytest_calico_ipip.lab", *words]


def run(command: Sequence[str], *options: str, **how: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a bare guest."""
    arguments = {"stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60, "cwd": REPOSITORY} | how
    return subprocess.run(lab("run", *BARE, *options, "--", *command), **arguments)


@pytest.mark.lab
def test_memory_is_kept_free_until_processes_need_it() -> None:
    """Files that were read do not fill all of it; a process that takes much is given all of it."""
    kept, taken = "cat /proc/sys/vm/min_free_kbytes", "x = b'x' * (300 << 20); import time; time.sleep(2)"
    done = run(["sh", "-ec", f"{kept}; {shlex.quote(sys.executable)} -c {shlex.quote(taken)}; {kept}"])
    before, after = map(int, done.stdout.split())
    assert before > 100 * 1024 > 20 * 1024 > after


def wait_for(what: Callable[[], object], why: str, seconds: float = 20) -> None:
    """Wait until `what` is true."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"not within {seconds} s: {why}"
        time.sleep(0.02)


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found |= {child} | descendants(child)
    return found


def argv(pid: int) -> list[bytes]:
    """A process's command line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of the test's own, for the runs' directories."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a command in a bare guest and wait until it says "up"; it is ended after the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(script: str, *options: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            lab("run", *BARE, *options, "--", "sh", "-c", script),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        processes.append(process)
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], 30)
        assert ready, "the command did not start within 30 s"
        line = process.stdout.readline()
        assert line == b"up\n", process.communicate()
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.lab
class TestStatus:
    """The exit status is the command's."""

    @pytest.mark.parametrize(
        ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("exit 125", 125), ("kill -TERM $$", 143)]
    )
    def test_of_the_command(self, script: str, status: int, temporary: Path) -> None:
        """A status comes out as it is, a signal as 128 + its number; nothing is left in the temporary directory."""
        done = run(["sh", "-c", script])
        assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")
        assert list(temporary.iterdir()) == []

    def test_of_a_missing_command(self) -> None:
        """A command that is not there is 127 and a sentence, as in a shell."""
        done = run(["no-such-program"])
        assert done.returncode == 127
        assert done.stderr == b"calico-ipip-lab: no-such-program: command not found\n"

    def test_of_a_guest_that_dies(self, temporary: Path) -> None:
        """A guest that ends before its command is 125, and the kernel's log is shown and kept."""
        done = run(["sh", "-c", "echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger; sleep 20"])
        assert done.returncode == 125
        assert b"guest kernel ended" in done.stderr
        assert b"panic" in done.stderr.lower()
        (kept,) = temporary.iterdir()
        assert str(kept).encode() in done.stderr

    def test_without_user_mode_linux(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine without the kernel is told which package to install."""
        monkeypatch.setenv("CALICO_IPIP_LAB_UML", "/no/such/linux.uml")
        done = run(["true"])
        assert done.returncode == 125
        assert b"apt-get install user-mode-linux" in done.stderr


@pytest.mark.lab
class TestStreams:
    """Standard input, output and error are the command's own."""

    def test_output_is_clean(self) -> None:
        """100 kB of every byte value come out unchanged on both streams, and apart."""
        data = bytes(range(256)) * 400
        script = "import sys; d = bytes(range(256)) * 400; sys.stdout.buffer.write(d); sys.stderr.buffer.write(d[::-1])"
        done = run([sys.executable, "-c", script])
        assert done.returncode == 0
        assert done.stdout == data
        assert done.stderr == data[::-1]

    def test_input_is_clean(self) -> None:
        """300 kB of every byte value go in unchanged, and end."""
        data = bytes(range(256)) * 1200
        done = run(["cat"], stdin=None, input=data)
        assert done.stdout == data

    def test_input_that_nobody_reads(self) -> None:
        """A command that ends without reading its input ends the lab."""
        done = run(["true"], stdin=None, input=b"x" * 300_000)
        assert done.returncode == 0

    def test_pipes_are_no_terminals(self) -> None:
        """Outside of a terminal the command has none."""
        assert run(["sh", "-c", "test -t 0 || test -t 1 || test -t 2 || echo none"]).stdout == b"none\n"

    def test_slow_reader(self) -> None:
        """A reader that takes its time gets everything."""
        with subprocess.Popen(
            lab("run", *BARE, "--", "head", "-c", "300000", "/dev/zero"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        ) as process:
            assert process.stdout is not None
            size = 0
            while data := os.read(process.stdout.fileno(), 20_000):
                size += len(data)
                time.sleep(0.01)
        assert size == 300_000

    def test_reader_that_leaves(self) -> None:
        """When nobody reads its output any more, the command gets SIGPIPE."""
        with subprocess.Popen(
            lab("run", *BARE, "--", "yes"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=REPOSITORY
        ) as process:
            assert process.stdout is not None
            assert os.read(process.stdout.fileno(), 2) == b"y\n"
            process.stdout.close()
            assert process.wait(30) == 128 + signal.SIGPIPE


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(REPOSITORY)
            os.execv(argv[0], argv)
        self.shown = b""
        self._seen = 0

    def expect(self, text: bytes, seconds: float = 30) -> None:
        """Wait until the terminal shows `text`, after what was expected before."""
        until = time.monotonic() + seconds
        while text not in self.shown[self._seen :]:
            ready, _, _ = select.select([self.descriptor], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"not shown within {seconds} s: {text!r}; but: {self.shown!r}"
            self.shown += os.read(self.descriptor, 4096)
        self._seen = self.shown.index(text, self._seen) + len(text)

    def type(self, text: bytes) -> None:
        """Press keys."""
        os.write(self.descriptor, text)

    def end(self) -> int:
        """The exit status, once the command has ended by itself."""
        try:
            while data := os.read(self.descriptor, 4096):
                self.shown += data
        except OSError:  # EIO: the last process has left the terminal
            pass
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.mark.lab
class TestTerminal:
    """On a terminal the command has a terminal."""

    def test_size_and_keys(self) -> None:
        """It is one on all three streams, has the size of the user's, follows it, and takes lines from the keyboard."""
        import fcntl
        import struct
        import termios

        script = "test -t 0 && test -t 1 && test -t 2 && echo three; echo go; read x; stty size; echo got $x; exit 4"
        terminal = Terminal(lab("run", *BARE, "--", "sh", "-c", script))
        terminal.expect(b"three\r\ngo")
        fcntl.ioctl(terminal.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 43, 132, 0, 0))
        terminal.type(b"hello\n")
        terminal.expect(b"43 132\r\ngot hello")
        assert terminal.end() == 4

    def test_keys_typed_while_it_boots(self) -> None:
        """What is typed before the command runs, a whole line or a part of one, is read by it."""
        terminal = Terminal(lab("run", *BARE, "--", "sh", "-c", "read x; read y; echo got $x and $y; exit 3"))
        wait_for(lambda: len(descendants(terminal.pid)) > 1, "a guest")
        terminal.type(b"early\nla")
        wait_for(lambda: self._is_raw(terminal), "the command")
        terminal.type(b"te\n")
        terminal.expect(b"got early and late")
        assert terminal.end() == 3

    @staticmethod
    def _is_raw(terminal: Terminal) -> bool:
        import termios

        return not termios.tcgetattr(terminal.descriptor)[3] & termios.ICANON

    def test_interrupt(self) -> None:
        """Ctrl-C interrupts the command, which may clean up and choose its own status."""
        script = "trap 'echo cleaned; exit 9' INT; echo go; while :; do sleep 0.1; done"
        terminal = Terminal(lab("run", *BARE, "--", "sh", "-c", script))
        terminal.expect(b"go")
        terminal.type(b"\x03")
        terminal.expect(b"cleaned")
        assert terminal.end() == 9

    def test_interrupt_while_starting(self, temporary: Path) -> None:
        """Ctrl-C before the command has started ends the lab with 130 and leaves nothing."""
        terminal = Terminal(lab("run", *BARE, "--", "sleep", "20"))
        wait_for(lambda: len(descendants(terminal.pid)) > 1, "a guest")
        terminal.type(b"\x03")
        assert terminal.end() == 130
        assert list(temporary.iterdir()) == []

    def test_shell_with_job_control(self) -> None:
        """`shell` is an interactive shell, in which Ctrl-Z and fg work."""
        terminal = Terminal(lab("shell", *BARE))
        terminal.expect(b"# ")
        terminal.type(b"echo st''art; sleep 30; echo th''en\n")
        terminal.expect(b"start")
        time.sleep(0.3)  # the shell has to start its sleep, which shows nothing
        terminal.type(b"\x1a")
        terminal.expect(b"Stopped")
        terminal.type(b"kill %1; exit 5\n")
        terminal.type(b"exit 6\n")  # the first one may warn of stopped jobs
        assert terminal.end() in (5, 6)

    def test_terminal_that_goes_away(self, temporary: Path) -> None:
        """When the terminal is closed, the lab ends."""
        terminal = Terminal(lab("shell", *BARE))
        terminal.expect(b"# ")
        everybody = descendants(terminal.pid)
        os.close(terminal.descriptor)
        os.waitpid(terminal.pid, 0)
        wait_for(lambda: not any(map(is_alive, everybody)), "the guest's end")
        assert list(temporary.iterdir()) == []

    def test_settings_come_back(self) -> None:
        """The terminal is as it was before."""
        inner = " ".join(lab("run", *BARE, "--", "true"))
        terminal = Terminal(["/bin/sh", "-c", f"stty -g; {inner}; stty -g"])
        assert terminal.end() == 0
        before, after = terminal.shown.split()
        assert before == after


@pytest.mark.lab
class TestEnd:
    """However a lab ends, nothing of it stays."""

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signals_are_passed_on(
        self, number: signal.Signals, started: Callable[..., subprocess.Popen[bytes]], temporary: Path
    ) -> None:
        """A signal to the lab is a signal to the command, whose status comes out."""
        name = number.name.removeprefix("SIG")
        process = started(f"trap 'echo cleaned; exit 9' {name}; sleep 60 & echo up; wait")
        everybody = descendants(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (9, b"cleaned\n", b"")
        assert not any(map(is_alive, everybody))
        assert list(temporary.iterdir()) == []

    def test_killed(self, started: Callable[..., subprocess.Popen[bytes]], temporary: Path) -> None:
        """After a SIGKILL of the lab no process lives on, no memory is held, and the next run removes its directory."""
        before = set(os.listdir("/dev/shm"))
        process = started("echo up; sleep 60")
        everybody = descendants(process.pid)
        assert everybody
        process.kill()
        wait_for(lambda: not any(map(is_alive, everybody)), "the guest's end")
        assert set(os.listdir("/dev/shm")) <= before
        assert run(["true"]).returncode == 0
        assert list(temporary.iterdir()) == []

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    @pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 0.9])
    def test_ended_while_booting(self, number: signal.Signals, share: float, temporary: Path) -> None:
        """Whenever a lab is ended or killed during its boot, it ends soon and no process of its guest lives on."""
        begun = time.monotonic()
        assert run(["true"]).returncode == 0
        whole = time.monotonic() - begun
        with subprocess.Popen(
            lab("run", *BARE, "--", "sleep", "60"), stdin=subprocess.DEVNULL, cwd=REPOSITORY, start_new_session=True
        ) as process:
            time.sleep(share * whole)  # a moment of the boot is what is tested: there is no condition to wait for
            everybody = descendants(process.pid)
            process.send_signal(number)
            process.wait(10)
        wait_for(lambda: not any(map(is_alive, everybody)), "the guest's end")

    def test_background_processes(self) -> None:
        """What the command leaves running ends with it."""
        begun = time.monotonic()
        done = run(["sh", "-c", "sleep 60 & setsid sleep 60 & echo left"])
        assert done.stdout == b"left\n"
        assert time.monotonic() - begun < 30


@pytest.mark.lab
class TestFiles:
    """The user's files are the machine's own; everything else is out of reach."""

    def test_current_directory(self, tmp_path: Path) -> None:
        """The command runs where the user is, also below /tmp, and what it writes is there afterwards."""
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        done = run(["sh", "-c", "pwd; echo new > file"], cwd=tmp_path, env=environment)
        assert done.stdout.decode().strip() == os.path.realpath(tmp_path)
        assert (tmp_path / "file").read_text() == "new\n"
        assert (tmp_path / "file").stat().st_uid == os.getuid()

    def test_named_path(self, tmp_path: Path) -> None:
        """--writable opens another path; its neighbours do not exist in the lab."""
        (tmp_path / "open").mkdir()
        (tmp_path / "shut").mkdir()
        script = f"echo new > {tmp_path}/open/file; ls {tmp_path}"
        done = run(["sh", "-c", script], "--writable", f"{tmp_path}/open/file")
        assert (done.stdout, done.stderr) == (b"open\n", b"")
        assert (tmp_path / "open" / "file").read_text() == "new\n"

    def test_elsewhere(self) -> None:
        """The rest of the machine's files can be read, and not written to; /tmp and /run are the lab's own."""
        name = f"probe-{os.getpid()}"
        script = f"touch /usr/{name} || touch /tmp/{name} /run/{name} /var/tmp/{name} && echo private"
        done = run(["sh", "-c", script])
        assert b"Read-only file system" in done.stderr
        assert done.stdout == b"private\n"
        assert not any(Path(directory, name).exists() for directory in ("/usr", "/tmp", "/run", "/var/tmp"))

    def test_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command has the user's environment, a home in the lab, and no proxy or agent of the machine's."""
        monkeypatch.setenv("MY_SETTING", "kept ✓")
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example")
        monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
        lines = run(["env"]).stdout.decode().splitlines()
        values = dict(line.split("=", 1) for line in lines if "=" in line)
        assert values["MY_SETTING"] == "kept ✓"
        assert values["CALICO_IPIP_LAB"] == "1"
        assert values["HOME"] == "/run/calico-ipip-lab/home"
        assert values["KUBECONFIG"] == "/run/calico-ipip-lab/kubeconfig"
        assert values["TMPDIR"] == "/run/tmp"
        assert not {"HTTPS_PROXY", "SSH_AUTH_SOCK"} & values.keys()


@pytest.mark.lab
class TestGuest:
    """The guest is a Linux with IPIP, as small and as fast as it can be."""

    def test_ipip(self) -> None:
        """It makes an ipip link, whatever the machine's kernel can."""
        done = run(
            ["sh", "-c", "ip link add test0 type ipip local 192.0.2.1 remote 192.0.2.2 && ip -d link show test0"]
        )
        assert b"ipip" in done.stdout

    def test_modules_load_themselves(self) -> None:
        """A module that nobody asked for is loaded when a command needs it."""
        script = "ip link add test0 type vxlan id 7 dstport 4789 && ip -d link show test0"
        assert b"vxlan id 7" in run(["sh", "-c", script]).stdout

    def test_ready_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The times are told on request, and the nodes could be built after at most 2 s (10 s on a busy machine)."""
        monkeypatch.setenv("CALICO_IPIP_LAB_TIMES", "1")
        seconds = []
        for _ in range(3):
            found = re.search(rb"\(kernel ([\d.]+)", run(["true"]).stderr)
            assert found
            seconds.append(float(found[1]))
        busy = os.getloadavg()[0] > 0.5 * len(os.sched_getaffinity(0))
        assert min(seconds) < (10 if busy else 2)

    def test_two_labs_use_two_processors(self) -> None:
        """A guest is pinned to one processor, and a second one to another, where there is another."""
        # claims are seen in one network namespace: in a new one, no other lab of this machine has any
        private = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-current-user", "--net"]
        one = shlex.join(lab("run", *BARE, "--", "sh", "-c", "echo up; sleep 60"))
        with subprocess.Popen(
            [*private, "sh", "-c", f"{one} & {one} & wait"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
        ) as process:
            assert process.stdout is not None
            assert [process.stdout.readline() for _ in range(2)] == [b"up\n", b"up\n"]
            wrappers = [pid for pid in descendants(process.pid) if b"pytest_calico_ipip.lab" in argv(pid)]
            pinned = [os.sched_getaffinity(pid) for pid in descendants(process.pid) if argv(pid)[0].endswith(b"uml")]
            for pid in wrappers:
                os.kill(pid, signal.SIGTERM)
        assert len(wrappers) == 2
        assert all(len(cpus) == 1 for cpus in pinned)
        assert len(set().union(*pinned)) == min(2, len(os.sched_getaffinity(0)))

    def test_clock(self) -> None:
        """Its clock is the machine's."""
        before = time.time()
        inside = float(run(["date", "+%s.%N"]).stdout)
        assert before - 0.5 < inside < time.time() + 0.5


@pytest.mark.lab
class TestOrdinaryUser:
    """No root is needed."""

    @pytest.fixture
    def package(self) -> Iterator[Path]:
        """A copy of the package that every user can read."""
        directory = Path(tempfile.mkdtemp(prefix="everybody-"))
        directory.chmod(0o755)
        shutil.copytree(REPOSITORY / "pytest_calico_ipip", directory / "pytest_calico_ipip")
        subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
        yield directory
        shutil.rmtree(directory)

    @pytest.fixture
    def python(self) -> str:
        """A Python 3.10 or later that every user can run."""
        for found in (sys.executable, "/usr/bin/python3"):
            ways = [
                Path(os.path.realpath(found)),
                *Path(os.path.realpath(found)).parents,
                *Path(found).absolute().parents,
            ]
            if all(way.stat().st_mode & 0o001 for way in ways):
                return found
        pytest.fail("no Python here can be run by an ordinary user; install python3 (Debian's)")

    @pytest.fixture
    def workplace(self) -> Iterator[Path]:
        """A directory of the ordinary user's own."""
        directory = Path(tempfile.mkdtemp(prefix="nobody-"))
        if os.geteuid() == 0:
            shutil.chown(directory, "nobody")
        yield directory
        shutil.rmtree(directory)

    def test_guest(self, package: Path, python: str, workplace: Path) -> None:
        """An ordinary user boots a guest, is root in it, makes an ipip link, and owns what was written."""
        words = [
            "env",
            f"PYTHONPATH={package}",
            "HOME=/nonexistent",
            python,
            "-m",
            "pytest_calico_ipip.lab",
            "run",
            *BARE,
        ]
        as_user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        script = "id -u; ip link add test0 type ipip local 192.0.2.1 remote 192.0.2.2 && echo new > file; exit 3"
        done = subprocess.run(
            [*as_user, *words, "--", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=workplace,
            timeout=60,
        )
        assert (done.stderr, done.returncode, done.stdout) == (b"", 3, b"0\n")
        assert (workplace / "file").stat().st_uid == workplace.stat().st_uid

    def test_host_path(self, package: Path, python: str) -> None:
        """Where the kernel has ipip, `auto` takes the host path for an ordinary user too, who can become others."""
        script = f"""
            echo nobody:100000:65536 > /run/ids
            mount --bind /run/ids /etc/subuid; mount --bind /run/ids /etc/subgid
            mkdir -m 777 /tmp/work; cd /tmp/work; echo outside > /tmp/outside
            setpriv --reuid nobody --regid nogroup --clear-groups env PYTHONPATH={package} HOME=/nonexistent \\
                {python} -m pytest_calico_ipip.lab run --nodes 0 -- sh -c '
                    id -u; ip link add test0 type ipip local 192.0.2.1 remote 192.0.2.2 &&
                    ls /tmp | grep -x -e outside -e work
                    setpriv --reuid 1000 id -u; echo new > file; exit 3'
            echo $?; stat -c %U file; ls /tmp | grep -x -e outside -e work; ip link show test0
        """
        done = run(["sh", "-c", script], "--writable", str(package))
        lines = done.stdout.decode().splitlines()
        assert lines == ["0", "work", "1000", "3", "nobody", "outside", "work"]
        assert b'"test0" does not exist' in done.stderr


@pytest.mark.lab
class TestHost:
    """The host path, tried in a guest, where there is ipip."""

    def nested(self, script: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        """Run a lab in namespaces of a guest's kernel."""
        return run([*lab("run", "--nodes", "0", "--kernel", "host", *options, "--"), "sh", "-c", script])

    def test_streams_and_status(self) -> None:
        """Status and streams are the command's there, too."""
        done = self.nested("cat; echo error >&2; test -t 1 || exit 7")
        assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"error\n")

    def test_private(self) -> None:
        """Its network, processes, host name and /tmp are its own."""
        script = "hostname inner; ls /tmp /sys/class/net; ps -e -o pid= | wc -l"
        done = self.nested(script)
        assert done.returncode == 0
        assert b"lo\n" in done.stdout
        assert int(done.stdout.split()[-1]) < 8

    def test_refused(self) -> None:
        """Where the kernel has no ipip, `--kernel host` says so with 125, and what to do."""
        script = 'echo /bin/false > /proc/sys/kernel/modprobe; rmmod ipip; exec "$@"'
        inner = lab("run", "--nodes", "0", "--kernel", "host", "--", "true")
        done = run(["sh", "-c", script, "sh", *inner])
        assert done.returncode == 125
        assert b"this kernel cannot carry a lab" in done.stderr
        assert b"--kernel uml" in done.stderr

    def test_interrupt(self) -> None:
        """Ctrl-C reaches the command, and the terminal is given back."""
        inner = shlex.join(lab("run", "--nodes", "0", "--kernel", "host", "--", "sh", "-c", "echo up; sleep 60"))
        terminal = Terminal(lab("run", *BARE, "--", "bash", "-c", f"{inner}; echo status $?; read x; echo got $x"))
        terminal.expect(b"up")
        terminal.type(b"\x03")
        terminal.expect(b"status 130")
        terminal.type(b"hello\n")
        terminal.expect(b"got hello")
        assert terminal.end() == 0
