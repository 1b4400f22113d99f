"""What every benchmark needs: the machine and commit a figure belongs to, contestants that run in turns, medians, output."""
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Cores that other processes may use in a window that counts. One busy foreign core slows PyTorch about threefold.
QUIET = 0.1


def output(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def build(product):
    """Builds a product of the package in release and returns the path of its program."""
    # With the flags of tools/test, so that neither builds again what the other built.
    build = ["swift", "build", "-c", "release", "--explicit-target-dependency-import-check", "error"]
    subprocess.run([*build, "--product", product], check=True, stdout=sys.stderr, cwd=ROOT)
    folder = output(*build, "--show-bin-path", cwd=ROOT).strip()
    return os.path.join(folder, product)


def need(program):
    if shutil.which(program) is None:
        sys.exit(f"{program} is missing; install it with tools/install-packages --bench")


def machine():
    """The machine and the commit that a figure belongs to."""
    with open("/proc/cpuinfo") as file:
        cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), platform.machine())
    changed = output("git", "status", "--porcelain", "--untracked-files=no", cwd=ROOT).strip()
    commit = output("git", "rev-parse", "--short", "HEAD", cwd=ROOT).strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    date = output("date", "-u", "+%Y-%m-%d %H:%M UTC").strip()
    return {"commit": commit + (", changed" if changed else ""), "cpu": cpu, "cores": os.cpu_count(),
            "memory_bytes": memory, "kernel": platform.release(), "load": os.getloadavg()[0], "date": date}


def describe(facts):
    return (f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_bytes'] / 2**30:.0f} GiB, Linux {facts['kernel']}, "
            f"load {facts['load']:.1f}; commit {facts['commit']}; {facts['date']}")


def busy_seconds():
    """Seconds that all processes of the machine have used."""
    with open("/proc/stat") as file:
        ticks = [int(value) for value in file.readline().split()[1:9]]
    user, nice, system, _, _, interrupts, soft, _ = ticks
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


class Contestant:
    """A program that trains on request, so that several can take turns without starting anew.

    It prints one JSON line when it is ready. Then it reads lines `run SECONDS` and answers each with a JSON line:
    samples, seconds (of the clock), cpu_seconds (of all its threads) and what else it has to say. It ends with its input.
    """

    def __init__(self, name, command, **more):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)
        self.facts = self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        return json.loads(line)

    def run(self, seconds):
        """One window, with `foreign`: the cores that others used meanwhile."""
        before = busy_seconds()
        self.process.stdin.write(f"run {seconds}\n")
        self.process.stdin.flush()
        window = self._answer()
        others = busy_seconds() - before - window["cpu_seconds"]
        window["foreign"] = max(0.0, others) / window["seconds"]
        return window

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def take_turns(contestants, rounds, seconds, deadline, quiet=QUIET):
    """Windows of each contestant, one after the other in every round, those in which others were busy left out.

    A round with a busy window is repeated, until `deadline` seconds have passed. Returns {name: [window]}, and how many
    windows were dropped.
    """
    counted = {contestant.name: [] for contestant in contestants}
    dropped = 0
    end = time.monotonic() + deadline
    for contestant in contestants:
        contestant.run(min(1.0, seconds))
    while min(map(len, counted.values())) < rounds and time.monotonic() < end:
        windows = {contestant.name: contestant.run(seconds) for contestant in contestants}
        noisy = sum(window["foreign"] > quiet for window in windows.values())
        dropped += noisy
        if noisy == 0:
            for name, window in windows.items():
                counted[name].append(window)
    return counted, dropped


def median_rate(windows):
    """Median of samples a second; None without a window."""
    return statistics.median(window["samples"] / window["seconds"] for window in windows) if windows else None


def median_ratio(ours, theirs):
    """Median over the rounds of the ratio of the rates: what slows a whole round cancels out."""
    return statistics.median(
        (mine["samples"] / mine["seconds"]) / (other["samples"] / other["seconds"]) for mine, other in zip(ours, theirs))


def median_cpu(windows):
    """Median of microseconds of CPU time a sample."""
    return statistics.median(window["cpu_seconds"] / window["samples"] * 1e6 for window in windows) if windows else None


def forget(path):
    """Drops a file from the system's cache, or it would be read from memory that no limit counts."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def report(arguments, result, lines):
    """One JSON object or the lines, as asked."""
    print(json.dumps(result, sort_keys=True) if arguments.format == "json" else "\n".join(lines))
