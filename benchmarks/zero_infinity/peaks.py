"""What a machine that does nothing else had in use at most, beyond what it had before: memory of the host and of a GPU, by looking again and again."""
import ctypes
import os
import pathlib
import threading

INTERVAL_SECONDS = 0.05


def _available_bytes():
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


class _Gpu:
    """Asks the driver's management library. Raises OSError where it does not answer."""

    def __init__(self, number):
        self.library, self.device = ctypes.CDLL("libnvidia-ml.so.1"), ctypes.c_void_p()
        if self.library.nvmlInit_v2() != 0 or self.library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(self.device)) != 0:
            raise OSError("no GPU")

    def used_bytes(self):
        total_free_used = (ctypes.c_ulonglong * 3)()
        if self.library.nvmlDeviceGetMemoryInfo(self.device, total_free_used) != 0:
            raise OSError("no answer")
        return total_free_used[2]


def _gpu_of(device):
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if int(number) < len(visible) and visible[int(number)].isdigit():
        number = visible[int(number)]
    try:
        return _Gpu(int(number))
    except (OSError, AttributeError):
        return None


class Peaks:
    """Looks from its beginning to its end (with). `host_bytes` counts pinned memory, which a process's resident memory may not; `device_bytes`, the driver's
    own and freed memory that a program keeps included, is None where there is no GPU to ask."""

    def __init__(self, device):
        self.gpu = _gpu_of(device)
        self.host_bytes, self.device_bytes = 0, 0 if self.gpu else None
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self.before = _available_bytes(), self.gpu.used_bytes() if self.gpu else 0
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def _look(self):
        while not self.done.wait(INTERVAL_SECONDS):
            self.host_bytes = max(self.host_bytes, self.before[0] - _available_bytes())
            if self.gpu:
                self.device_bytes = max(self.device_bytes, self.gpu.used_bytes() - self.before[1])
