"""Machines on this machine: each a set of Linux namespaces with its own network, processes, /tmp, /root and sshd.

They share a bridge that leads nowhere else, and every other folder; `shared` stands for a network file system. Ending a
host's first process is a power cut. Needs root, iproute2, OpenSSH and rsync: `why_not` says what is missing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from waiting import until

ROOT = Path(__file__).parents[1]
TOOLS = ("curl", "ip", "nsenter", "ps", "rsync", "ssh", "ssh-keygen", "sshd", "unshare")
SHM = "1g"
SSHD = """\
Port 22
HostKey {folder}/hostkey
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile .ssh/authorized_keys
UsePAM no
PidFile none
MaxSessions 50
MaxStartups 50
"""
BOOT = """\
set -e
mount --make-rprivate /
for path in {visible}; do mkdir -p {folder}$path; mount --rbind $path {folder}$path; done
if [ {user} != root ]; then
    { cat /etc/passwd; echo {user}:x:0:0::/root:/bin/bash; } > {folder}/passwd
    mount --bind {folder}/passwd /etc/passwd
fi
mount --rbind {folder}/root /root
mount --rbind {folder}/run /run
mount -t tmpfs -o size={shm},mode=1777 tmpfs /dev/shm
mount --rbind {folder}/tmp /tmp
mount -t proc proc /proc
hostname {name}
ip link set lo up
until ip -o link show eth0 > /dev/null 2>&1; do sleep 0.05; done
cd /
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \\
    $(command -v sshd) -D -E {folder}/sshd.log -f {folder}/sshd_config
"""


def why_not() -> str | None:
    """Why there can be no such hosts here; None if there can."""
    if os.geteuid() != 0:
        return "needs root"
    if missing := [tool for tool in TOOLS if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]:
        return f"needs {', '.join(missing)} (Debian: curl, iproute2, openssh-server, procps, rsync)"
    tried = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this container may not make namespaces"


class Lab:
    """The hosts of one test, on one network of their own. A context manager, after which nothing of them runs."""

    def __init__(self, folder: Path, *, network: str = "10.77.0", bits: int = 24, user: str = "root") -> None:
        self.folder, self.network, self.bits, self.user = folder, network, bits, user
        self.environment: dict[str, str] = {}
        """What every login shell and command on every host gets beside the usual."""
        self.shared = folder / "shared"
        self.key = folder / "key"
        self._tag = f"m{os.getpid() % 100_000}"
        self._addresses: dict[str, tuple[str, str]] = {}
        self._pids: dict[str, int] = {}

    def __enter__(self) -> Lab:
        self.shared.mkdir(parents=True)
        _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        _do("ip", "link", "add", f"{self._tag}br", "type", "bridge")
        _do("ip", "link", "set", f"{self._tag}br", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._pids):
            self.cut(name)
        for name in self._addresses:
            subprocess.run(["ip", "link", "del", f"{self._tag}{name}"], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"{self._tag}br"], capture_output=True, check=False)

    def address(self, name: str) -> str:
        return self._addresses[name][0]

    def home(self, name: str) -> Path:
        """A host's /root, as seen from outside."""
        return self.folder / name / "root"

    def tmp(self, name: str) -> Path:
        """A host's /tmp, as seen from outside."""
        return self.folder / name / "tmp"

    def start(self, name: str, address: str = "", *, public: str = "") -> None:
        """Switch a host on: a new one at this address, or one whose power was cut, with its disk as it was."""
        if address:
            self._addresses[name] = (address, public)
            self._install(name)
        folder = self.folder / name
        fill = {
            "name": name,
            "folder": str(folder),
            "user": self.user,
            "shm": SHM,
            "visible": " ".join(self._visible()),
        }
        script = BOOT
        for key, value in fill.items():
            script = script.replace(f"{{{key}}}", value)
        namespaces = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        (folder / "sshd.log").unlink(missing_ok=True)
        with (folder / "boot.log").open("wb") as log:
            unshare = subprocess.Popen(
                ["unshare", *namespaces, "bash", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children")
        until(lambda: children.read_text().strip(), f"{name} has a first process")
        self._pids[name] = int(children.read_text().split()[0])
        until(lambda: self._is_apart(name), f"{name} has a network of its own")
        self._connect(name)
        until(lambda: "listening" in self._said(name), f"{name} answers: {(folder / 'boot.log').read_text()}")

    def cut(self, name: str) -> None:
        """Cut a host's power: all its processes are gone at once."""
        os.kill(pid := self._pids.pop(name), signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}/ns/net").exists() or _is_zombie(pid), f"{name} is off")

    def command(self, name: str, *words: str | Path, cwd: Path = ROOT, **environment: str) -> list[str]:
        """What runs a command on a host, with nothing of this process's environment."""
        own = {"HOME": "/root", "USER": self.user, "TERM": "dumb", "LANG": "C.UTF-8", "RAY_USAGE_STATS_ENABLED": "0"}
        path = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        given = [f"{key}={value}" for key, value in {**own, "PATH": path, **self.environment, **environment}.items()]
        entering = ["nsenter", "-t", str(self._pids[name]), "-n", "-m", "-p", "-u", "-i", f"--wdns={cwd}"]
        return [*entering, "env", "-i", *given, *map(str, words)]

    def run(
        self, name: str, *words: str | Path, timeout: float = 180.0, **environment: str
    ) -> subprocess.CompletedProcess:
        """Run a command on a host to its end, and return what it said."""
        command = self.command(name, *words, **environment)
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )

    def processes(self, name: str) -> list[str]:
        """The command lines of all that runs on a host."""
        return self.run(name, "ps", "-eo", "args", "--no-headers").stdout.splitlines()

    def _visible(self) -> list[str]:
        """Folders below /tmp and /root that every host must see, though it has its own of these two."""
        needed = {Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), ROOT.resolve(), self.folder.resolve()}
        needed |= {Path(sys.prefix).parent, ROOT}
        hidden = sorted({str(path) for path in needed if str(path).startswith(("/tmp/", "/root/"))}, key=len)
        return [path for path in hidden if not any(path.startswith(f"{other}/") for other in hidden)]

    def _install(self, name: str) -> None:
        folder = self.folder / name
        for part in ("root/.ssh", "tmp", "run/sshd"):
            (folder / part).mkdir(parents=True)
        (folder / "tmp").chmod(0o1777)
        for part in ("root", "root/.ssh"):
            (folder / part).chmod(0o700)
        _do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "hostkey")
        shutil.copy(self.key.with_suffix(".pub"), folder / "root/.ssh/authorized_keys")
        exports = {"PATH": f"{sys.prefix}/bin:$PATH", **self.environment}
        lines = [f'export {key}="{value}"' for key, value in exports.items()]
        (folder / "root/.bashrc").write_text("\n".join(lines) + "\n")
        (folder / "root/.bash_profile").write_text(". ~/.bashrc\n")
        (folder / "sshd_config").write_text(SSHD.format(folder=folder))

    def _is_apart(self, name: str) -> bool:
        own = os.readlink("/proc/self/ns/net")
        return os.readlink(f"/proc/{self._pids[name]}/ns/net") != own

    def _said(self, name: str) -> str:
        log = self.folder / name / "sshd.log"
        return log.read_text() if log.exists() else ""

    def _connect(self, name: str) -> None:
        """A cable to the bridge, and a default route: without one Ray takes itself to be at 127.0.0.1."""
        cable, pid = f"{self._tag}{name}", str(self._pids[name])
        address, public = self._addresses[name]
        subprocess.run(["ip", "link", "del", cable], capture_output=True, check=False)  # a dead host's may linger
        _do("ip", "link", "add", cable, "type", "veth", "peer", "name", f"{cable}p")
        _do("ip", "link", "set", cable, "master", f"{self._tag}br", "up")
        _do("ip", "link", "set", f"{cable}p", "netns", pid, "name", "eth0")
        inside = ["nsenter", "-t", pid, "-n", "ip"]
        _do(*inside, "addr", "add", f"{address}/{self.bits}", "dev", "eth0")
        if public:
            _do(*inside, "addr", "add", f"{public}/32", "dev", "eth0")
        _do(*inside, "link", "set", "eth0", "up")
        _do(*inside, "route", "add", "default", "dev", "eth0", "src", address)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _do(*words: str | Path) -> None:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{shlex.join(map(str, words))}: {done.stderr.strip()}"
