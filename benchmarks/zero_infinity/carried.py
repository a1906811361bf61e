"""DeepSpeed as one archive for a machine without a network: packed where benchmarks/zero_infinity/setup has run, unpacked beside that machine's own torch.

It holds DeepSpeed as a wheel of sources, the wheels of what it needs, libaio (header and library), and the headers of the Python that is meant. Its extensions
are compiled there, which takes a C++ compiler, the CUDA toolkit, ninja and a torch of the version that requirements.txt names.
"""
import importlib.metadata
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MOST_BYTES = 25 << 20
# What DeepSpeed requires but torch and numpy, which torch has brought; and what these require in turn.
PACKAGES = ("annotated-types", "einops", "hjson", "msgpack", "ninja", "packaging", "psutil", "py-cpuinfo", "pydantic", "pydantic-core", "setuptools", "tqdm",
            "typing-extensions", "typing-inspection")
TOGETHER = {"pydantic", "pydantic-core"}  # a release of the one goes with one of the other
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_12_x86_64", "manylinux2010_x86_64", "manylinux_2_5_x86_64",
             "manylinux1_x86_64")
# What DeepSpeed loads on each accelerator, apart from pin_memory, which AsyncIOBuilder loads first.
EXTENSIONS = {"cpu": ("CPUAdamBuilder", "AsyncIOBuilder", "ShareMemCommBuilder"), "cuda": ("CPUAdamBuilder", "AsyncIOBuilder")}


class CarryError(Exception):
    """One line: what failed, on what, why, what to do."""


def _run(command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        said = " | ".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise CarryError(f"{' '.join(map(str, command[:5]))} ... ended with status {done.returncode}: {said}")
    return done.stdout


def _deepspeed_version():
    return re.search(r"^deepspeed==(\S+)", (HERE / "requirements.txt").read_text(), re.MULTILINE)[1]


def _library(name):
    """Of this system, by its linker's cache."""
    for line in _run(["/sbin/ldconfig", "-p"]).splitlines():
        if line.split()[:1] == [name] and "x86-64" in line:
            return pathlib.Path(line.rsplit(" => ", 1)[1]).resolve()
    raise CarryError(f"this system has no {name}; install libaio-dev")


def _headers_of(version):
    """The folder of Python's headers of that version, on this machine; None where there is no such Python."""
    for python in (shutil.which(f"python{version}"), *sorted(pathlib.Path.home().glob(f".pyenv/versions/{version}*/bin/python3"))):
        done = subprocess.run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('include'))"], capture_output=True, text=True) if python else None
        if done and done.returncode == 0 and done.stdout.strip().endswith(version) and pathlib.Path(done.stdout.strip(), "Python.h").exists():
            return pathlib.Path(done.stdout.strip())
    return None


def _wheels(environment, python, folder):
    pip = [environment / "env/bin/python", "-m", "pip", "--disable-pip-version-check"]
    # No extension is built beforehand: the wheel holds their sources.
    _run([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, f"deepspeed=={_deepspeed_version()}"],
         env={**os.environ, "DS_BUILD_OPS": "0", "DS_ACCELERATOR": "cpu"})
    listed = (line.partition("==") for line in _run([*pip, "list", "--format=freeze"]).splitlines())
    versions = {name.lower().replace("_", "-"): version for name, _, version in listed}
    wanted = [f"{name}=={versions[name]}" for name in PACKAGES]
    for_python = ["--python-version", python, "--implementation", "cp", *(word for platform in PLATFORMS for word in ("--platform", platform))]
    _run([*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", *for_python, "--dest", folder, *wanted])


def pack(environment, archive, python="3.12"):
    """Writes `archive` (.tar.xz) for a machine whose Python is of version `python`, from the environment that setup made. Returns what it holds, in words."""
    if not (environment / "ready.txt").exists():
        raise CarryError(f"{environment} holds no complete DeepSpeed; make it with benchmarks/zero_infinity/setup")
    with tempfile.TemporaryDirectory(dir=archive.parent) as temporary:
        root = pathlib.Path(temporary) / "deepspeed"
        (root / "include").mkdir(parents=True)
        (root / "lib").mkdir()
        shutil.copy2(HERE / "requirements.txt", root)
        shutil.copy2("/usr/include/libaio.h", root / "include")
        shutil.copy2(_library("libaio.so.1"), root / "lib/libaio.so.1")
        headers = _headers_of(python)
        if headers:
            shutil.copytree(headers, root / f"python{python}")
        _wheels(environment, python, root / "wheels")
        with tarfile.open(archive, "w:xz", preset=6) as packed:
            packed.add(root, root.name)
        size, wheels = archive.stat().st_size, len(list((root / "wheels").iterdir()))
    if size > MOST_BYTES:
        raise CarryError(f"{archive.name} has {size / 2**20:.1f} MiB, more than {MOST_BYTES >> 20} MiB")
    told = "with its headers" if headers else "without its headers, for there is no such Python here: that machine needs its python3-dev"
    return f"{size / 2**20:.1f} MiB: DeepSpeed {_deepspeed_version()}, {wheels} wheels, libaio, for Python {python} {told}"


def _name_of(wheel):
    return wheel.name.split("-")[0].lower().replace("_", "-")


def _lacking(wheels):
    """Those whose package this Python does not have, and DeepSpeed's."""
    def has(name):
        try:
            return bool(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            return False
    lacking = {name for name in map(_name_of, wheels) if name == "deepspeed" or not has(name)}
    if lacking & TOGETHER:
        lacking |= TOGETHER
    return [wheel for wheel in wheels if _name_of(wheel) in lacking]


WRAPPER = """#!/bin/sh
# This machine's Python with what was carried: DeepSpeed, what it needs, and libaio and headers for its extensions.
export PYTHONPATH='{folder}/site'
export CPATH='{headers}'"${{CPATH:+:$CPATH}}"
export LIBRARY_PATH='{libraries}'"${{LIBRARY_PATH:+:$LIBRARY_PATH}}"
export LD_LIBRARY_PATH='{folder}/lib'"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
export CUDA_HOME="${{CUDA_HOME:-/usr/local/cuda}}"
exec '{python}' "$@"
"""


def _write_python(folder, headers):
    # libcuda.so, with which the extensions are linked, is the driver's or the toolkit's stub.
    libraries = [folder / "lib", "/usr/local/nvidia/lib64", "/usr/local/cuda/lib64/stubs"]
    python = folder / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(WRAPPER.format(folder=folder, headers=":".join(map(str, headers)), libraries=":".join(map(str, libraries)), python=sys.executable))
    python.chmod(0o755)
    return python


def unpack(archive, folder):
    """Makes `folder` what benchmarks/zero_infinity/setup makes, on this Python's torch and without the extensions. Returns the packages installed."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with tarfile.open(archive) as packed:
        packed.extractall(folder.parent, filter="data")
    (folder.parent / "deepspeed").rename(folder)
    (folder / "lib/libaio.so").symlink_to("libaio.so.1")
    headers = [folder / "include"]
    if not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists():
        if not (folder / f"python{version}").exists():
            raise CarryError(f"there is no Python.h of Python {version}, neither on this machine nor in {archive.name}; DeepSpeed's extensions can't be compiled")
        headers.append(folder / f"python{version}")
    wheels = _lacking(sorted((folder / "wheels").glob("*.whl")))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check"]
    _run([*install, "--target", folder / "site", *wheels])
    _write_python(folder, headers)
    shutil.copy2(folder / "requirements.txt", folder / "ready.txt")
    return [wheel.name for wheel in wheels]


def compile_extensions(folder, accelerator, seconds, cores):
    """At the same time where there are many cores, else one file after another. Returns the seconds taken."""
    begin = time.monotonic()
    python = folder / "env/bin/python"
    builders = EXTENSIONS[accelerator]
    groups = [[builder] for builder in builders] if cores > 2 else [builders]
    extensions = folder / ("ext" if accelerator == "cpu" else f"ext-{accelerator}")
    environment = {**os.environ, "DS_ACCELERATOR": accelerator, "TORCH_EXTENSIONS_DIR": str(extensions), "MAX_JOBS": str(cores if len(groups) > 1 else 1)}
    started = []
    try:
        for group in groups:
            log = open(folder / f"{group[0]}.log", "w+")
            command = [python, HERE / "extensions.py", *group]
            started.append((log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True)))
        for group, (log, process) in zip(groups, started):
            _finish(" ".join(group), log, process, begin + seconds - time.monotonic(), seconds)
    finally:
        for log, process in started:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()
            log.close()
    return time.monotonic() - begin


def _finish(builders, log, process, left, allowed):
    try:
        status = process.wait(max(left, 0))
        how = f"ended with status {status}"
    except subprocess.TimeoutExpired:
        status, how = 124, f"was not done within {allowed:.0f} s"
    if status != 0:
        log.seek(0)
        raise CarryError(f"compiling DeepSpeed's {builders} {how}: {' | '.join(log.read().strip().splitlines()[-25:])}")
