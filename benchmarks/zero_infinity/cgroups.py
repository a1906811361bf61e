"""Control groups (v1 or v2, whichever has the controller) that hold a process to a drive's rate and to an amount of memory. Root only."""
import os
import pathlib
import sys
import time

MOUNTS = pathlib.Path("/proc/mounts")
THROTTLE, MEMORY = "blkio", "memory"  # v1's names; v2 calls the first one io
_V2 = {THROTTLE: "io", MEMORY: "memory"}


def _mount_of(controller):
    """Where a controller is, and of which version; or None."""
    for line in MOUNTS.read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        if kind == "cgroup" and controller in options.split(","):
            return pathlib.Path(place), 1
        if kind == "cgroup2" and _V2[controller] in (pathlib.Path(place) / "cgroup.controllers").read_text().split():
            return pathlib.Path(place), 2
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


def unavailable(controller, folder):
    """Why a drive can't be throttled, or memory be limited, for a run in `folder`; or None."""
    what = "throttling the drive" if controller == THROTTLE else "limiting memory"
    if os.geteuid() != 0:
        return f"{what} needs root"
    if _mount_of(controller) is None:
        return f"{what} needs the control group controller {controller} or {_V2[controller]}, which this machine has not"
    if controller == THROTTLE and drive_of(folder) is None:
        return f"{folder} lies on no single block device"
    try:
        with Group([controller]):
            return None
    except OSError as error:
        return f"{what}: no control group can be made: {error}"


class Group:
    """One group under each controller that is used, removed at the end. Raises OSError where it can't be made."""

    def __init__(self, controllers):
        self.places = {}
        for name in controllers:
            mount, version = _mount_of(name)
            if version == 2:
                (mount / "cgroup.subtree_control").write_text(f"+{_V2[name]}")
            folder = mount / f"gsnake-bench-{os.getpid()}"
            try:
                folder.mkdir(exist_ok=True)
            except OSError:
                self.__exit__()
                raise
            self.places[name] = (folder, version)

    def _write(self, name, file, text):
        (self.places[name][0] / file).write_text(text)

    def enter(self):
        """For a child to call before it becomes the program."""
        for name in self.places:
            self._write(name, "cgroup.procs", str(os.getpid()))

    def throttle(self, drive, bytes_per_second):
        """Each way; 0: no limit."""
        if self.places[THROTTLE][1] == 2:
            rate = bytes_per_second or "max"
            self._write(THROTTLE, "io.max", f"{drive} rbps={rate} wbps={rate}")
            return
        for way in ("read", "write"):
            self._write(THROTTLE, f"blkio.throttle.{way}_bps_device", f"{drive} {bytes_per_second}")

    def limit_memory(self, limit_bytes):
        """0: no limit."""
        if self.places[MEMORY][1] == 2:
            self._write(MEMORY, "memory.max", str(limit_bytes or "max"))
        else:
            self._write(MEMORY, "memory.limit_in_bytes", str(limit_bytes or -1))

    def killed_for_memory(self):
        """How many of its processes the kernel has ended because their memory was used up."""
        folder, version = self.places[MEMORY]
        counts = dict(line.split() for line in (folder / ("memory.events" if version == 2 else "memory.oom_control")).read_text().splitlines())
        return int(counts.get("oom_kill", 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for folder in {place for place, _ in self.places.values()}:
            _remove(folder)


def _remove(folder):
    """The kernel takes a moment to forget processes that were killed."""
    for _ in range(100):
        try:
            return folder.rmdir()
        except OSError as error:
            reason = error
            time.sleep(0.05)
    print(f"note: {folder} stays: {reason}", file=sys.stderr)  # what was measured counts all the same
