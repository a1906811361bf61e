"""Control groups (v1) that hold a process to a drive's rate and to an amount of memory. Root only; unavailable() says why not."""
import os
import pathlib


def _mount_of(controller):
    for line in open("/proc/mounts"):
        _, place, kind, options = line.split()[:4]
        if kind == "cgroup" and controller in options.split(","):
            return pathlib.Path(place)
    return None


def drive_of(folder):
    """major:minor of the whole drive under a folder, which is what throttling goes by; None where a file system has no single one."""
    number = os.stat(folder).st_dev
    node = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not node.exists():
        return None
    device = node.resolve()
    if (device / "partition").exists():
        device = device.parent
    return (device / "dev").read_text().strip()


def throttle_unavailable(folder):
    """Why the drive can't be throttled, or None."""
    if os.geteuid() != 0:
        return "throttling the drive needs root"
    if _mount_of("blkio") is None:
        return "there is no cgroup v1 blkio controller on this machine"
    if drive_of(folder) is None:
        return f"{folder} lies on no single block device"
    return None


def memory_unavailable():
    """Why memory can't be limited, or None."""
    if os.geteuid() != 0:
        return "limiting memory needs root"
    return None if _mount_of("memory") else "there is no cgroup v1 memory controller on this machine"


class Group:
    """One group under each controller that is used, removed at the end. `enter` is for a child to call before it becomes the program."""

    def __init__(self, controllers):
        self.folders = {name: _mount_of(name) / f"gsnake-bench-{os.getpid()}" for name in controllers}
        for folder in self.folders.values():
            folder.mkdir(exist_ok=True)

    def enter(self):
        for folder in self.folders.values():
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def throttle(self, drive, bytes_per_second):
        """0: no limit."""
        for name in ("read", "write"):
            (self.folders["blkio"] / f"blkio.throttle.{name}_bps_device").write_text(f"{drive} {bytes_per_second}")

    def limit_memory(self, limit_bytes):
        (self.folders["memory"] / "memory.limit_in_bytes").write_text(str(limit_bytes))

    def read(self, controller, name):
        return (self.folders[controller] / name).read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for folder in self.folders.values():
            folder.rmdir()
