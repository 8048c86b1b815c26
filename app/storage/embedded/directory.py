"""What the embedded server keeps on the disk: `DATA_DIR/postgres`, its lock, and what a killed service left in it.

postgres/
├── lock         held by flock while a service uses the directory; its content is the holder's process id
├── cluster/     Postgres's own data directory (initdb makes it as cluster.new, so a half-made one is never used)
├── run/         the socket, unless the path is too long for one
├── socket       where the socket is instead
├── log/         one file for each day of the week, overwritten a week later
├── start.log    what Postgres said before it opened its log
└── *.conf       who may connect, written anew at each start and once more when the service takes over
"""

import fcntl
import os
import re
import shutil
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from app.storage.embedded.errors import DataDirectoryInUse, EmbeddedPostgresError
from app.storage.embedded.identity import Identity

# sockaddr_un.sun_path has 108 bytes on Linux and 104 on macOS, with the ending zero; "/.s.PGSQL.5432" takes 14.
LONGEST_SOCKET_DIRECTORY = 104 - 1 - 14
# A comma parts two directories in Postgres's setting, a colon host and port in a URL.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./+@=-]+")
# A fast shutdown writes a checkpoint; what takes longer is killed, and recovered from the write-ahead log.
FAST_SHUTDOWN_S = 30.0


@dataclass(frozen=True)
class DirectoryLock:
    """The flock on the data directory. The kernel releases it with the process, so kill -9 leaves none behind."""

    descriptor: int

    @classmethod
    def take(cls, path: Path, data_dir: Path) -> "DirectoryLock":
        """Takes the lock at once. Raises DataDirectoryInUse, OSError."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise DataDirectoryInUse(data_dir, int(holder) if holder.isdigit() else None) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Lets the next one in. The file stays: removing it would let two hold two different files of this name."""
        os.truncate(self.descriptor, 0)
        os.close(self.descriptor)


class ServerDirectory:
    """The folder of one embedded server. All of it is owned by the account that Postgres runs as."""

    def __init__(self, data_dir: Path, major: int) -> None:
        self.data_dir = data_dir.absolute()
        self.root = self.data_dir / "postgres"
        self.cluster = self.root / "cluster"
        self.new_cluster = self.root / "cluster.new"
        self.log = self.root / "log"
        self.start_log = self.root / "start.log"
        self._major = major
        self._names = self.root / "names.conf"
        self._socket_note = self.root / "socket"
        self._lock: DirectoryLock | None = None

    def open(self) -> None:
        """Makes the folder and takes its lock. Raises DataDirectoryInUse, EmbeddedPostgresError, OSError."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        self._lock = DirectoryLock.take(self.root / "lock", self.data_dir)
        self._check_version()

    def close(self) -> None:
        """Removes the socket's folder and releases the lock. Does nothing where the lock is not ours."""
        if self._lock is not None:
            self._remove_socket_directory()
            self._lock.release()
            self._lock = None

    def _check_version(self) -> None:
        try:
            found = (self.cluster / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return
        if found != str(self._major):
            raise EmbeddedPostgresError(
                f"The data directory {self.data_dir} was made by Postgres {found}, this release brings {self._major}: "
                f"move its data over with pg_dump of that version, or set another data directory."
            )

    def hand_over(self, identity: Identity) -> None:
        """Gives the files to the account that the server runs as, where they are another's (root's choice changed)."""
        self.log.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(self.new_cluster, ignore_errors=True)
        if os.geteuid() != 0:
            return
        for folder in (self.root, self.log, self.cluster):
            if folder.exists() and (folder.stat().st_uid, folder.stat().st_gid) != identity.owner:
                _own_all(folder, identity.owner)

    def socket_directory(self, identity: Identity) -> Path:
        """A folder that nobody but the server's account (and root) can enter, short enough for a socket's path."""
        self._remove_socket_directory()
        run = self.root / "run"
        # A killed server's socket has a lock file of its own, which names a process id that may be anybody's now.
        shutil.rmtree(run, ignore_errors=True)
        if len(os.fsencode(run)) > LONGEST_SOCKET_DIRECTORY or not _PLAIN_PATH.fullmatch(str(run)):
            run = Path(tempfile.mkdtemp(prefix="task-executor-"))
            self._socket_note.write_text(str(run))
        run.mkdir(mode=0o700, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(run, *identity.owner)
        return run

    def _remove_socket_directory(self) -> None:
        """Removes the socket's folder outside of the data directory, this start's or a killed one's."""
        try:
            noted = Path(self._socket_note.read_text())
        except FileNotFoundError:
            return
        shutil.rmtree(noted, ignore_errors=True)
        self._socket_note.unlink()

    def write_access_rules(self, identity: Identity, *roles: str) -> tuple[Path, Path]:
        """Writes pg_hba.conf and pg_ident.conf: the service's own account over the socket, in these roles only.

        Peer authentication: the kernel vouches for the account at the other end, so there is no password to keep.
        """
        rules, names = self.root / "access.conf", self._names
        rules.write_text("local all all peer map=service\n")
        names.write_text("".join(f'service "{identity.client}" {role}\n' for role in roles))
        if os.geteuid() == 0:
            for file in (rules, names):
                os.chown(file, *identity.owner)
        return rules, names

    def admits_only(self, role: str) -> bool:
        """Whether this role, and no other, may connect."""
        try:
            lines = self._names.read_text().splitlines()
        except FileNotFoundError:
            return False
        return [line.split()[-1] for line in lines] == [role]

    def is_ready(self, process_id: int) -> bool:
        """Whether the postmaster of this process id says that it takes connections (line 8 of postmaster.pid)."""
        lines = self._postmaster_lines()
        return lines[:1] == [str(process_id)] and lines[7:8] == ["ready"]

    def socket_in_use(self) -> Path | None:
        """Where the server that runs now listens (line 5 of postmaster.pid); None where none is ready."""
        lines = self._postmaster_lines()
        return Path(lines[4]) if lines[7:8] == ["ready"] else None

    def _postmaster(self) -> int | None:
        lines = self._postmaster_lines()
        return int(lines[0]) if lines and lines[0].isdigit() else None

    def _postmaster_lines(self) -> list[str]:
        try:
            content = (self.cluster / "postmaster.pid").read_text()
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [line.strip() for line in content.splitlines()]

    def complaints(self) -> str:
        """What Postgres has said since the last start: before it opened its log, and in it."""
        texts = [self.start_log.read_text(errors="replace")]
        started = self.start_log.stat().st_mtime
        # A log file may hold a week's lines; the end of it tells why it stopped.
        texts += [_tail(file) for file in sorted(self.log.glob("*.log")) if file.stat().st_mtime >= started]
        return "\n".join(text.strip() for text in texts)

    def end_leftovers(self) -> None:
        """Waits for the server of a killed service to be gone, and ends it where it lingers. Blocks.

        The lock is held, so no service uses them. Only then is a postmaster.pid certainly a dead one's, even where
        its process id has been given to somebody else since (usual in containers), and removed.
        """
        processes = self._processes()
        for process in processes:
            # To the postmaster only: to others of Postgres's processes SIGINT means other things.
            if process.pid == self._postmaster():
                _signal(process, signal.SIGINT)
        self.end_processes(patience_s=FAST_SHUTDOWN_S)
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)

    def end_processes(self, patience_s: float) -> None:
        """Gives this server's processes so long to end by themselves and kills the rest. Blocks, 10 s longer at most.

        After the postmaster's death the others end by themselves, but one in a long statement takes its time.
        """
        _, lingering = psutil.wait_procs(self._processes(), timeout=patience_s)
        for process in lingering:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(lingering, timeout=10)

    def _processes(self) -> list[psutil.Process]:
        """Every process of this cluster; each of Postgres's processes works in its data directory."""
        return [process for process in psutil.process_iter(["name"]) if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.info["name"] != "postgres":
            return False
        try:
            return Path(process.cwd()) == self.cluster.resolve()
        except psutil.AccessDenied:
            return self._is_named_by(process)
        except psutil.NoSuchProcess:
            return False

    def _is_named_by(self, process: psutil.Process) -> bool:
        """By the command line, which only the postmaster shows; the others end when it does."""
        try:
            return str(self.cluster) in process.cmdline()
        except psutil.Error:
            return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _own_all(folder: Path, owner: tuple[int, int]) -> None:
    for path, _, files in os.walk(folder):
        os.chown(path, *owner)
        for name in files:
            os.chown(Path(path, name), *owner, follow_symlinks=False)


def _tail(file: Path, size: int = 8192) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - size))
        return stream.read().decode(errors="replace")
