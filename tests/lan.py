"""Several machines on one: network namespaces that a bridge joins, which can be cut off from each other.

Each namespace is held by a shell that does the setting up and reads what to do from us. The namespaces have no names, so nothing is left
of them when their last process is gone; and when we are gone, however that came, each shell kills what lives in its namespace.

Root makes them as they are. Others make them in namespaces of users, where the system lets them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SWITCH = "10.77.0.1"
"""Where the services are that all machines share: at the bridge itself."""

OUTSIDE = "10.78.0.1"
"""Where the world is that all machines reach by another cable, which nobody cuts."""

_TOOLS = ("unshare", "nsenter", "ip", "bridge")
_ANSWER_SECONDS = 20.0
_FORWARD = Path(__file__).with_name("forwarding.py")

_HOLD = """
own=$(readlink /proc/$$/ns/net)
while read -r line; do eval "$line" </dev/null >&2; echo "$?"; done
for round in 1 2 3; do
    for each in /proc/[0-9]*; do
        pid=${each#/proc/}
        [ "$pid" = "$$" ] || [ "$(readlink "$each/ns/net" 2>/dev/null)" != "$own" ] || kill -9 "$pid"
    done
    sleep 0.05
done
"""


class NoNamespacesError(Exception):
    """This system lets us make no network namespaces; the message says why."""


@cache
def obstacle() -> str | None:
    """Why this system lets us make no networks of our own; None: it does."""
    try:
        with _namespace():
            return None
    except NoNamespacesError as error:
        return f"it lets us make no network namespace: {error}"


@dataclass
class Namespace:
    """One that lives, and the shell that holds it."""

    shell: subprocess.Popen[str]
    enter: tuple[str, ...]
    """Put before a command, it runs there."""

    def run(self, line: str) -> None:
        """Have the shell run a line."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(line.replace("\n", " ") + "\n")
        self.shell.stdin.flush()
        code = self.shell.stdout.readline().strip()
        assert code == "0", (line, code)

    def forward(self, stack: ExitStack, port: int, host: str = "127.0.0.1") -> int:
        """A port of our own loopback that leads to a port in there, until the stack is closed."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            line = [sys.executable, "-P", str(_FORWARD), str(listener.fileno()), host, str(port)]
            process = subprocess.Popen(
                [*self.enter, *line],
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                env={"PATH": os.environ["PATH"]},
            )
            stack.callback(_end, process)
            return int(listener.getsockname()[1])


@dataclass
class Machine:
    """One of the machines, and its cable."""

    name: str
    address: str
    inside: Namespace
    switch: Namespace
    ends: ExitStack
    forwarded: dict[int, int] = field(default_factory=dict)

    @property
    def enter(self) -> tuple[str, ...]:
        """Put before a command, it runs on this machine."""
        return self.inside.enter

    def url(self, port: int) -> str:
        """An address of ours that leads to a port of its loopback, whether its cable is cut or not."""
        if port not in self.forwarded:
            self.forwarded[port] = self.inside.forward(self.ends, port)
        return f"http://127.0.0.1:{self.forwarded[port]}"

    def fall_silent(self) -> None:
        """Nothing comes through any more, and nobody is told: neither a reset, nor an unreachable host."""
        self.switch.run(f"bridge link set dev to-{self.name} state 0")

    def speak(self) -> None:
        """End the silence."""
        self.switch.run(f"bridge link set dev to-{self.name} state 3")

    def pull_cable(self) -> None:
        """Its own interface goes down: it is told at once that there is no way to anybody; the others are told nothing."""
        self.inside.run("ip link set eth0 down")

    def plug_in(self) -> None:
        """It is on the network again, at the same address."""
        self.inside.run(f"ip link set eth0 up && ip neigh replace {SWITCH} lladdr {_mac(1)} dev eth0 nud permanent")

    def mend(self) -> None:
        """Whatever was cut is whole again."""
        self.plug_in()
        self.speak()


@dataclass
class Lan:
    """The bridge, with what all share, and the machines."""

    switch: Namespace
    machines: tuple[Machine, ...]
    ends: ExitStack


@contextmanager
def lan(*names: str) -> Iterator[Lan]:
    """Machines of these names on one bridge, until the block ends; then whatever runs on them is killed.

    Raises NoNamespacesError.
    """
    with ExitStack() as stack:
        switch = stack.enter_context(_namespace())
        switch.run("ip link add br0 type bridge mcast_snooping 0")
        switch.run(f"ip link set br0 address {_mac(1)} up && ip addr add {SWITCH}/24 dev br0")
        switch.run(
            f"ip link add br1 type bridge mcast_snooping 0 && ip link set br1 up && ip addr add {OUTSIDE}/24 dev br1"
        )
        machines = []
        for number, name in enumerate(names, 2):
            inside = stack.enter_context(_namespace(switch))
            address = SWITCH.rpartition(".")[0] + f".{number}"
            there = f"address {_mac(number)} netns {inside.shell.pid}"
            switch.run(f"ip link add to-{name} type veth peer name eth0 {there} && ip link set to-{name} master br0 up")
            switch.run(
                f"ip link add out-{name} type veth peer name eth1 {there} && ip link set out-{name} master br1 up"
            )
            inside.run(f"ip addr add {OUTSIDE.rpartition('.')[0]}.{number}/24 dev eth1 && ip link set eth1 up")
            # Who is where is known for good: a network of more than one cable does not tell either that somebody is gone.
            switch.run(f"ip neigh add {address} lladdr {_mac(number)} dev br0 nud permanent")
            inside.run(f"ip addr add {address}/24 dev eth0 && ip link set eth0 up")
            inside.run(f"ip neigh add {SWITCH} lladdr {_mac(1)} dev eth0 nud permanent")
            ends = stack.enter_context(ExitStack())
            machines.append(Machine(name, address, inside, switch, ends))
        yield Lan(switch, tuple(machines), stack.enter_context(ExitStack()))


def _mac(number: int) -> str:
    return f"02:00:00:00:77:{number:02x}"


@contextmanager
def _namespace(outer: Namespace | None = None) -> Iterator[Namespace]:
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise NoNamespacesError(f"there is no {' and no '.join(missing)} (packages util-linux and iproute2)")
    by_users = os.geteuid() != 0
    users = ("--user", "--map-current-user", "--keep-caps") if by_users else ()
    before = outer.enter if outer is not None and by_users else ()
    line = [*before, "unshare", "--net", *users, "sh", "-c", _HOLD]
    # A session of its own: what ends us by the keyboard is to leave it the time to tidy up.
    shell = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    entering = ("-U", "--preserve-credentials") if by_users else ()
    made = Namespace(shell, ("nsenter", "-t", str(shell.pid), "-n", *entering, "--"))
    assert shell.stdout is not None
    assert shell.stderr is not None
    with shell.stdout, shell.stderr:
        try:
            try:
                made.run("ip link set lo up")
            except (AssertionError, OSError) as error:
                shell.kill()
                raise NoNamespacesError(shell.stderr.read().strip() or str(error)) from error
            yield made
        finally:
            _end(shell)


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Close what it reads, which ends it, and wait until it has."""
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(_ANSWER_SECONDS)
    finally:
        process.kill()
        process.wait()


def wait_for_port(inside: Namespace, host: str, port: int) -> None:
    """Until somebody listens there."""
    until = time.monotonic() + _ANSWER_SECONDS
    look = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()"
    line: Sequence[str] = [*inside.enter, sys.executable, "-I", "-c", look, host, str(port)]
    while subprocess.run(line, capture_output=True, check=False).returncode:
        assert time.monotonic() < until, (host, port)
