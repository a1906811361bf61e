"""The processes of one program, a rank each on this machine: started, counted and ended together."""
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import time

# What tells a process which rank it is, of how many (docs/ranks.md); LOCAL_SIZE tells DeepSpeed's CPU accelerator how many there are beside it.
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "LOCAL_SIZE", "MASTER_ADDR", "MASTER_PORT", "GLOO_SOCKET_IFNAME")
# What the others have to say so and end, when one has failed. DeepSpeed's may wait for it in a collective for half an hour.
GRACE_SECONDS = 30
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Sample:
    """At the moment when a step's line was read; of all ranks together, and the bytes of each."""
    seconds: float
    cpu_seconds: float
    read_bytes: int
    written_bytes: int
    minor_faults: int = 0
    read_by_rank: tuple = ()
    written_by_rank: tuple = ()


def variables(rank, ranks, port):
    """Gloo would else choose the interface that the machine's name leads to; these ranks meet at 127.0.0.1."""
    return dict(zip(VARIABLES, (str(rank), str(ranks), str(rank), str(ranks), str(ranks), "127.0.0.1", str(port), "lo"), strict=True))


def file_of(path, rank):
    """A file of each rank: the first one's has the plain name."""
    return path if rank == 0 else path.with_name(f"{path.name}.{rank}")


def status_bytes(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"{pid} has ended")  # and waits for its status to be asked for


def _counts(pid):
    """CPU seconds, bytes read, bytes written, minor faults."""
    counts = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS, int(counts["read_bytes"]), int(counts["write_bytes"]), int(fields[7])


class Ranks:
    """Ends its processes when it is left."""

    def __init__(self):
        self.processes, self.failed, self.failed_at = [], None, 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait()

    def start(self, command, environments, lines_of, log, enter, prints_lines):
        """One process for each of `environments`; `prints_lines`: its stdout goes to its file of `lines_of`, else to its log. `enter` is called in
        each before it becomes the program."""
        for rank, environment in enumerate(environments):
            with open(file_of(log, rank), "w") as output, open(file_of(lines_of, rank), "w") if prints_lines else contextlib.nullcontext(output) as results:
                self.processes.append(subprocess.Popen(command, stdout=results, stderr=output, env=environment, preexec_fn=enter))

    def over(self):
        """That all have ended, or that one has failed and the others had time to."""
        statuses = [process.poll() for process in self.processes]
        if self.failed is None:
            self.failed = next((rank for rank, status in enumerate(statuses) if status), None)  # the first one that is seen to; others may follow from it
            self.failed_at = time.monotonic()
        return None not in statuses or (self.failed is not None and time.monotonic() > self.failed_at + GRACE_SECONDS)

    def status(self):
        """The exit status of the one that failed first; 0 where none has."""
        return 0 if self.failed is None else self.processes[self.failed].returncode

    def sample(self):
        """Raises OSError where one has ended."""
        seconds = time.perf_counter()
        cpu, read, written, faults = zip(*(_counts(process.pid) for process in self.processes))
        return Sample(seconds, sum(cpu), sum(read), sum(written), sum(faults), read, written)

    def peak_bytes(self):
        """What the largest has had resident at most."""
        return max(status_bytes(process.pid, "VmHWM") for process in self.processes)

    def forget_peaks(self):
        for process in self.processes:
            pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")
