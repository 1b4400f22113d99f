"""Where the time of a run goes, from perf's samples: by the thread that ran, and by function in the compute threads."""
import os
import re
import shutil
import subprocess
import tempfile

# Threads by their names in Training/Pipeline; all others compute.
# Two of them have another name while they do one part of their work.
THREADS = {"reader": "decode", "planner": "plan", "prefetcher": "fetch", "fetch": "fetch", "writer": "commit", "commit": "commit",
           "compaction": "compaction", "write-back": "commit"}
# Functions of the compute threads, as they stand in mangled names. The first that fits counts.
FUNCTIONS = [
    # OpenBLAS sets its output to zero before it adds to it.
    ("GEMM", r"gemm|memset|dotRows|weightRows|outerProduct"),
    # The interaction's layer gathers going forward, and hands out gradients going back; its kernels have names of their own.
    ("gather", r"gather|prefetch|EmbeddingVectors|DenseFeatures|FeatureVectors|DotInteractionLayerV7forward"),
    ("row gradient and update", r"RowUpdate|RowOrder|RowOptimizer|RowStep|DotInteractionLayerV8backward"),
    ("interaction", r"Interaction|Cross(Vector|Matrix)|FactorizationMachine"),
    ("dense update", r"DenseUpdate|DenseOptimizer|DenseStep|LaneSum|areFinite"),
    ("loss", r"CrossEntropy|__exp|log1p|_exp|__log"),
    ("bias and ReLU", r"addBias|[sS]umColumns|Linear"),
    ("waiting", r"WorkerPool"),
    ("commit", r"freeze|RadixSort|CommitWriter"),
    ("fetch", r"BlockReader|RowFetcher|mdb_"),
    ("decode", r"BatchDecoder|LZ4|BatchReader"),
    ("plan", r"Planner|VictimHeap|KeyTable"),
]
ORDER = ["GEMM", "interaction", "gather", "row gradient and update", "bias and ReLU", "dense update", "loss", "waiting", "decode",
         "plan", "cache", "fetch", "commit", "compaction", "system", "other", "idle"]


def is_there():
    return shutil.which("perf") is not None


def record(data):
    """The command that writes samples of all threads to `data`."""
    return ["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-o", data]


def measure(pid, work):
    """Runs `work` while perf watches process `pid`. Returns its result and {part: share of the CPU time}, or None."""
    if not is_there():
        return work(), None
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "perf.data")
        perf = subprocess.Popen(
            [*record(data), "-p", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            result = work()
        finally:
            perf.send_signal(2)
            perf.wait()
        return result, parts(data)


def parts(data):
    """{part: share of all samples} of a file that perf recorded."""
    report = subprocess.run(
        ["perf", "report", "-i", data, "--no-demangle", "--sort", "comm,symbol", "--field-separator", "\t", "--percent-limit", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    shares = {}
    for line in report.splitlines():
        fields = [field.strip() for field in line.split("\t")]
        if line.startswith("#") or len(fields) < 3:
            continue
        share, thread, symbol = float(fields[0].rstrip("%")) / 100, fields[1], fields[2]
        # The prefetcher moves rows between slots and overlay, and reads.
        in_cache = thread in ("prefetcher", "fetch") and re.search(r"RowCache|Overlay", symbol)
        if in_cache:
            part = "cache"
        elif thread in THREADS:
            part = THREADS[thread]
        elif symbol.startswith("[k]"):
            part = "system"
        else:
            part = next((name for name, pattern in FUNCTIONS if re.search(pattern, symbol)), "other")
        shares[part] = shares.get(part, 0) + share
    return shares or None


def with_idle(shares, cpu_seconds, seconds, cores):
    """Shares of the machine's time instead of the CPU time, idle included."""
    used = cpu_seconds / (seconds * cores)
    result = {part: share * used for part, share in shares.items()}
    result["idle"] = max(0.0, 1 - used)
    return result


def describe(shares):
    if shares is None:
        return ["no time split: perf is missing (tools/install-packages --bench)"]
    return ["time, by perf's samples (threads by name, functions in the compute threads):"] + [
        f"  {part:26}{shares[part] * 100:6.1f}%" for part in ORDER if shares.get(part, 0) >= 0.0005]
