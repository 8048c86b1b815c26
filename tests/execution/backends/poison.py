"""Task types that do the worst that a handler can do. They run in children only."""

import contextlib
import ctypes
import itertools
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from app.task_types import TaskContext, task_type
from tests.execution.backends.handlers import AnyObject

MIB = 1024 * 1024


@task_type("segfault", parameters=AnyObject)
def segfault(_parameters: AnyObject, _context: TaskContext) -> None:
    """Reads what is not there."""
    ctypes.string_at(0)


@task_type("exit", parameters=AnyObject)
def exit_(parameters: AnyObject, _context: TaskContext) -> None:
    """Ends the process without a word."""
    os._exit(parameters.root.get("code", 3))


@task_type("killed", parameters=AnyObject)
def killed(_parameters: AnyObject, _context: TaskContext) -> None:
    """Ends as the kernel ends what takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


@task_type("spin", parameters=AnyObject)
def spin(_parameters: AnyObject, context: TaskContext) -> None:
    """Never lets go of the interpreter."""
    context.progress(0.1)
    while True:
        pass


@task_type("spin_in_c", parameters=AnyObject)
def spin_in_c(_parameters: AnyObject, context: TaskContext) -> None:
    """The same inside of one call, where no signal handler of Python runs."""
    context.progress(0.1)
    sum(itertools.repeat(1))


@task_type("deaf", parameters=AnyObject)
def deaf(_parameters: AnyObject, context: TaskContext) -> None:
    """Ignores every signal that can be ignored."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN)
    context.progress(0.1)
    threading.Event().wait()


@task_type("stopped", parameters=AnyObject)
def stopped(_parameters: AnyObject, context: TaskContext) -> None:
    """Stops itself, as a debugger or an operator may."""
    context.progress(0.1, pid=os.getpid())
    os.kill(os.getpid(), signal.SIGSTOP)


def sleeper(*, new_session: bool) -> int:
    """A grandchild that sleeps for an hour; its process id."""
    return subprocess.Popen(["sleep", "3600"], start_new_session=new_session).pid


@task_type("grandchildren", parameters=AnyObject)
def grandchildren(parameters: AnyObject, context: TaskContext) -> None:
    """Starts processes in its own and in another session, one of them a daemon, and waits or returns."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        # The classic daemon: a new session, and the parent gone.
        os.setsid()
        daemon = sleeper(new_session=True)
        os.write(writer, str(daemon).encode())
        os._exit(0)
    daemon = int(os.read(reader, 100))
    context.progress(0.1, pids=[os.getpid(), sleeper(new_session=False), sleeper(new_session=True), daemon])
    if parameters.root["then"] == "wait":
        threading.Event().wait()
    if parameters.root["then"] == "die":
        os._exit(9)


@task_type("forked_return", parameters=AnyObject)
def forked_return(_parameters: AnyObject, _context: TaskContext) -> str:
    """Forks, and both processes return."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    return "parent" if pid else "child"


@task_type("forked_progress", parameters=AnyObject)
def forked_progress(_parameters: AnyObject, context: TaskContext) -> int:
    """Reports progress from a forked process; 1 where that was refused."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        context.progress(0.5)
    except RuntimeError:
        os._exit(1)
    os._exit(0)


@task_type("left_thread", parameters=AnyObject)
def left_thread(_parameters: AnyObject, _context: TaskContext) -> int:
    """Leaves a thread behind."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return os.getpid()


@task_type("allocate", parameters=AnyObject)
def allocate(parameters: AnyObject, context: TaskContext) -> int:
    """Takes memory at once or bit by bit, and holds it for as long as it is told."""
    held = [bytearray(parameters.root["chunk_mb"] * MIB) for _ in range(parameters.root["chunks"])]
    if parameters.root.get("wait"):
        context.progress(0.1)
        threading.Event().wait()
    return len(held)


@task_type("allocate_in_forks", parameters=AnyObject)
def allocate_in_forks(parameters: AnyObject, _context: TaskContext) -> None:
    """Takes memory in forked processes, each of which stays below the limit."""
    for _ in range(parameters.root["forks"]):
        if os.fork() == 0:
            held = bytearray(parameters.root["each_mb"] * MIB)
            threading.Event().wait()
            del held
    threading.Event().wait()


@task_type("share_in_forks", parameters=AnyObject)
def share_in_forks(parameters: AnyObject, context: TaskContext) -> None:
    """Takes memory once and shares it with forked processes, which waits until it is cancelled."""
    held = bytearray(parameters.root["mb"] * MIB)
    pids = []
    for _ in range(parameters.root["forks"]):
        pid = os.fork()
        if pid == 0:
            threading.Event().wait()
        pids.append(pid)
    context.progress(0.1)
    # Long enough for several samples of the watch; ends by itself.
    context.cancellation.wait(0.5)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    del held


@task_type("flood_progress", parameters=AnyObject)
def flood_progress(parameters: AnyObject, context: TaskContext) -> None:
    """Reports progress without measure; then perhaps waits."""
    calls = parameters.root["calls"]
    for call in range(calls):
        context.progress((call + 1) / calls, call=call)
    if parameters.root.get("wait"):
        threading.Event().wait()


@task_type("flood_output", parameters=AnyObject)
def flood_output(parameters: AnyObject, _context: TaskContext) -> None:
    """Prints without measure."""
    for _ in range(parameters.root["lines"]):
        sys.stdout.write("spam " * 20 + "\n")


@task_type("close_output", parameters=AnyObject)
def close_output(_parameters: AnyObject, _context: TaskContext) -> None:
    """Closes its standard output and error, both ways."""
    sys.stdout.close()
    os.close(1)
    os.close(2)


@task_type("close_everything", parameters=AnyObject)
def close_everything(parameters: AnyObject, _context: TaskContext) -> None:
    """Closes every descriptor, the channel's too; then perhaps waits."""
    os.closerange(0, 1000)
    if parameters.root.get("wait"):
        threading.Event().wait()


@task_type("forge", parameters=AnyObject)
def forge(parameters: AnyObject, _context: TaskContext) -> None:
    """Writes what it likes into the channel, then waits."""
    for link in list(Path("/proc/self/fd").iterdir()):
        try:
            channel = socket.socket(fileno=os.dup(int(link.name)))
        except OSError:
            continue
        if channel.family == socket.AF_UNIX:
            channel.sendall(bytes.fromhex(parameters.root["bytes_hex"]))
            channel.detach()
    threading.Event().wait()


@task_type("sneaky", parameters=AnyObject)
def sneaky(_parameters: AnyObject, _context: TaskContext) -> None:
    """Changes what the next attempt in the same process would see."""
    os.environ["SNEAKY"] = "1"
    os.environ.pop("PATH", None)
    os.chdir("/")
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    sys.stdout = None


def _descriptors() -> list[str]:
    found = []
    for link in list(Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(FileNotFoundError):  # the one by which the folder was listed
            found.append(str(link.readlink()))
    return sorted(found)


@task_type("look_around", parameters=AnyObject)
def look_around(_parameters: AnyObject, _context: TaskContext) -> dict[str, Any]:
    """What a handler sees of its surroundings."""
    return {
        "pid": os.getpid(),
        "session": os.getsid(0) == os.getpid(),
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "cpus": sorted(os.sched_getaffinity(0)),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "stdin": sys.stdin.read(),
        "descriptors": _descriptors(),
        "stdout": sys.stdout is not None,
        "path": sys.path,
    }


@task_type("burn", parameters=AnyObject)
def burn(_parameters: AnyObject, _context: TaskContext) -> None:
    """Uses 0.1 s of CPU, and as much again in a process that it starts."""
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.1: pass"], check=True)
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
