"""Runs the command beside a reference, and counts what does not agree."""
import json
import subprocess


class Driver:
    def __init__(self, gsnake):
        self.gsnake, self.failures = gsnake, []

    def run(self, *arguments, folder):
        result = subprocess.run([self.gsnake, *map(str, arguments)], cwd=folder, capture_output=True, text=True)
        if result.returncode != 0:
            raise SystemExit(f"gsnake {' '.join(map(str, arguments))}: status {result.returncode}\n{result.stderr}")
        return result

    def expect(self, condition, message):
        print(("ok    " if condition else "FAILED ") + message, flush=True)
        if not condition:
            self.failures.append(message)


def by_step(folder, key):
    """A figure of every step of the run in `folder`."""
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line and "event" not in line]
