"""The table store beside the disk, and training out of core beside training in memory.

Needs fio (Debian) for the limits of the disk. The folder must lie on the disk in question; the store takes about 200 bytes for
each row and 1 GiB for fio. Medians of the repetitions; each repetition measures limit and workload one after the other.

With --train, a Criteo-like trace is trained on in a memory cgroup (as root) with an eighth of the bytes of its rows, all of
which lie on disk, and in memory without a limit, in turns.
"""
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile

from . import common

# C programs that may lie beside a checkout; without them their lines are left out.
PROTOTYPES = os.path.join(os.path.dirname(common.ROOT), "shared", "bench")
ROW_BYTES = 68
CONFIGURATION = os.path.join(common.ROOT, "data", "configs", "dlrm.yaml")


def arguments(parser):
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--train", action="store_true", help="training under a memory limit, too: some minutes, 12 GB")
    parser.add_argument("--train-rows", type=int, default=33_762_629)
    parser.add_argument("--train-samples", type=int, default=2_000_000)
    parser.add_argument("--share", type=float, default=1 / 8, help="memory as a share of the rows' bytes")


# Megabytes of a commit, which is synced at its end.
COMMIT_MEGABYTES = 64


def fio(folder, mode, block, depth, *more):
    """Operations a second and bytes a second of the disk, past the system's cache. A disk may take writes that nobody syncs
    into a cache of its own: `more` can have them synced, as each transaction is."""
    report = json.loads(common.output(
        "fio", "--name=limit", f"--filename={folder}/fio", "--size=1G", f"--rw={mode}", f"--bs={block}",
        f"--iodepth={depth}", "--ioengine=libaio", "--direct=1", "--runtime=3", "--time_based",
        "--output-format=json", *more))
    # What the disk has taken and not written yet, the next sync would wait for: that of the workload.
    with open(f"{folder}/fio", "rb") as file:
        os.fsync(file.fileno())
    job = report["jobs"][0]["read" if "read" in mode else "write"]
    return job["iops"], job["bw_bytes"]


def prototype(name, folder, *libraries):
    """Compiles a C program and returns its path, or None and says why."""
    source = os.path.join(PROTOTYPES, name + ".c")
    target = os.path.join(folder, name)
    if not os.path.exists(source):
        return None, f"no {name}.c beside the checkout: its line is left out"
    made = subprocess.run(["gcc", "-O2", "-w", "-o", target, source, *libraries], stderr=subprocess.PIPE, text=True)
    if made.returncode:
        return None, f"{name}.c does not compile here: its line is left out ({made.stderr.splitlines()[0]})"
    return target, None


def prototypes(folder, notes):
    """Limits measured by the C programs: warm rows a second, and bytes a second of commits of 64 MB."""
    limits = {}
    reader, note = prototype("lb", folder, "-llmdb", "-luring", "-lpthread")
    if reader:
        common.output(reader, "load", f"{folder}/lb.mdb", "N=23", f"R={ROW_BYTES}", "B=60", "f=ri")

        def warm():
            text = common.output(reader, "read", f"{folder}/lb.mdb", "N=23", f"R={ROW_BYTES}", "B=60", "f=r", "hint=4",
                                 "K=65536", "batch=4096")
            return float(re.findall(r"warm.*?: (\d+) rows/s", text)[-1])
        limits["rows"] = warm
    notes += [note] if note else []
    writer, note = prototype("delta", folder, "-llmdb")
    if writer:
        def commit():
            text = common.output(writer, cwd=folder)
            return float(re.findall(r"chunk 65520: 64 MB.*?= (\d+) MB/s", text)[0])
        limits["commit"] = commit
    notes += [note] if note else []
    return limits


def run(arguments):
    common.need("fio")
    binary = common.build("ChanterBench")
    folder = tempfile.mkdtemp(prefix="chanter-bench-", dir=arguments.folder)
    facts = common.machine()
    notes = []
    result = {"benchmark": "storage", **facts, "rows": arguments.rows, "row_bytes": ROW_BYTES,
              "repeat": arguments.repeat, "notes": notes}
    try:
        result.update(store(arguments, binary, folder, notes))
        shutil.rmtree(f"{folder}/model")
        if arguments.train:
            result["training"] = training(arguments, binary, common.build("chanter"), folder)
    finally:
        shutil.rmtree(folder)
    common.report(arguments, result, lines(arguments, facts, result))


def store(arguments, binary, folder, notes):
    model = f"{folder}/model"

    def bench(name, *more):
        return json.loads(common.output(binary, name, model, "--rows", str(arguments.rows), *more))

    def rate(result, what):
        return result[what] / result["seconds"]

    seeds = iter(range(1, 100_000, 100))

    def scatter():
        bench("commit", "--times", "0", "--count", str(max(1000, arguments.rows // 80)), "--seed", str(next(seeds)))

    def compacted(*more):
        scatter()
        return rate(bench("compact", *more), "count")

    def committed():
        value = rate(bench("commit", "--seed", str(next(seeds))), "bytes") / 1e6
        bench("compact")
        return value

    def fetched(what, scale, *more):
        return rate(bench("fetch", "--seed", str(next(seeds)), *more), what) / scale

    def sequential(*more):
        return fio(folder, "write", "1m", 8, *more)[1] / 1e6

    def scattered(*more):
        return fio(folder, "randwrite", "4k", 64, *more)[0]

    # Blocks of a step of a compaction, which is synced at its end: ModelStore.makeCompaction.
    step = min(50_000, max(2048, arguments.rows // 59 // 32))
    limits = prototypes(folder, notes)
    # Name, unit, least ratio, limit, workload.
    workloads = [
        ("cold scattered blocks", "blocks/s", 0.85, lambda: fio(folder, "randread", "4k", 64)[0],
         lambda: fetched("bytes", 4096, "--cold")),
        ("cold clustered blocks", "MB/s", 0.8, lambda: fio(folder, "randread", "64k", 64)[1] / 1e6,
         lambda: fetched("bytes", 1e6, "--cold", "--clustered")),
        ("commit", "MB/s", 0.5, sequential, committed),
        ("commit, fio synced too", "MB/s", None, lambda: sequential(f"--fdatasync={COMMIT_MEGABYTES}"), committed),
        ("commit beside delta.c", "MB/s", None, limits.get("commit"), committed),
        ("compaction, cold", "blocks/s", 0.3, scattered, lambda: compacted("--cold")),
        ("compaction, warm", "blocks/s", 0.6, scattered, compacted),
        ("warm, fio synced too", "blocks/s", None, lambda: scattered(f"--fdatasync={step}"), compacted),
        # 1.5 times the C program's time a row.
        ("warm rows beside lb.c", "rows/s", 1 / 1.5, limits.get("rows"), lambda: fetched("count", 1)),
    ]
    bench("fill")
    live = os.path.getsize(f"{model}/data.mdb")
    figures = []
    for name, unit, goal, limit, work in workloads:
        if limit is None:
            continue
        pairs = [(limit(), work()) for _ in range(arguments.repeat)]
        figures.append({
            "name": name, "unit": unit, "goal": goal, "value": statistics.median(pair[1] for pair in pairs),
            "limit": statistics.median(pair[0] for pair in pairs),
            "ratio": statistics.median(pair[1] / pair[0] for pair in pairs)})
    checksums = checksum(binary, lambda *more: 1e9 / fetched("count", 1, *more), arguments.repeat)
    # A file never shrinks, and the commits above pile up chunks as large as the rows before they are compacted: a model
    # of its own says what commits and compactions leave unused.
    shutil.rmtree(model)
    bench("fill")
    cycles = bench("cycles", "--count", str(max(1000, arguments.rows // 500)))
    return {"figures": figures, "compactions": cycles["count"], "file_bytes_over_live_bytes": cycles["bytes"] / live,
            "checksum": checksums}


def checksum(binary, fetch, repeat):
    """What a block's checksum costs, in nanoseconds, beside a copy of its bytes and as a share of fetching it."""
    cost = json.loads(common.output(binary, "checksum"))
    result = {"nanoseconds": cost["memory"]["checksum"], "copy_nanoseconds": cost["memory"]["copy"],
              "cached_nanoseconds": cost["cached"]["checksum"], "cached_copy_nanoseconds": cost["cached"]["copy"]}
    for name, more in ("warm", []), ("cold", ["--cold"]):
        result[f"{name}_fetch_nanoseconds"] = statistics.median(fetch(*more) for _ in range(repeat))
    return result


def training(arguments, bench, chanter, folder):
    """The same run with an eighth of its rows' bytes for everything, and in memory with room for all."""
    data = f"{folder}/data"
    rows = json.loads(common.output(bench, "trace", data, "--rows", str(arguments.train_rows), "--samples",
                                    str(arguments.train_samples)))["count"]
    limit = int(rows * ROW_BYTES * arguments.share)
    # The program itself and OpenBLAS take up to 64 MB, and the system's cache needs some room for blocks on their way.
    budget = int(limit * 0.78) - (16 << 20)
    common.output(bench, "populate", data, "--out", f"{folder}/filled", "--config", CONFIGURATION)

    def train(*more):
        model = f"{folder}/trained"
        shutil.copytree(f"{folder}/filled", model)
        common.forget(f"{model}/data.mdb")
        prefix = [] if "--in-memory" in more else [os.path.join(common.ROOT, "tools", "in-memory-limit"), str(limit)]
        made = subprocess.run(
            [*prefix, chanter, "train", data, "--out", model, "--config", CONFIGURATION, "--epochs", "2", "--format",
             "json", *more], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        shutil.rmtree(model)
        line = json.loads(made.stdout.splitlines()[-1])
        peak = re.findall(r"peak (\d+) of", made.stderr)
        return line | ({"peak_bytes": int(peak[-1])} if peak else {})

    pairs = [(train("--memory", str(budget)), train("--in-memory")) for _ in range(arguments.repeat)]
    ratios = [cached["samples_per_second"] / plain["samples_per_second"] for cached, plain in pairs]
    middle = sorted(range(len(ratios)), key=ratios.__getitem__)[len(ratios) // 2]
    cached, plain = pairs[middle]
    batches = (arguments.train_samples + 2047) // 2048
    return {"rows": rows, "row_bytes": rows * ROW_BYTES, "limit_bytes": limit, "memory_bytes": budget,
            "ratios": ratios, "ratio": ratios[middle], "goal": 0.9, "batches": batches, "cached": cached,
            "in_memory": plain, "blocks_read_per_batch": cached["blocks_read"] / batches,
            "bytes_written_per_batch": cached["bytes_written"] / batches}


def lines(arguments, facts, result):
    text = [common.describe(facts), f"{arguments.rows:,} rows of {ROW_BYTES} bytes, medians of {arguments.repeat}",
            f"{'':24}{'value':>12} {'unit':9}{'limit':>12}{'ratio':>8}{'goal':>7}"]
    for figure in result["figures"]:
        goal = f"{figure['goal']:7.2f}" if figure["goal"] else ""
        text.append(f"{figure['name']:24}{figure['value']:12,.0f} {figure['unit']:9}{figure['limit']:12,.0f}"
                    f"{figure['ratio']:8.2f}{goal}")
    text.append(f"file over live bytes after {result['compactions']} compactions: "
                f"{result['file_bytes_over_live_bytes']:.2f} (goal 1.30)")
    cost = result["checksum"]
    text.append(
        f"checksum of a block: {cost['nanoseconds']:,.0f} ns from memory (a copy {cost['copy_nanoseconds']:,.0f}),"
        f" {cost['cached_nanoseconds']:,.0f} in the caches (a copy {cost['cached_copy_nanoseconds']:,.0f});"
        f" {cost['nanoseconds'] / cost['warm_fetch_nanoseconds']:.0%} of a warm fetch of"
        f" {cost['warm_fetch_nanoseconds']:,.0f} ns, {cost['nanoseconds'] / cost['cold_fetch_nanoseconds']:.1%} of a cold one of"
        f" {cost['cold_fetch_nanoseconds']:,.0f}")
    text += result["notes"]
    if "training" in result:
        run = result["training"]
        cached, plain = run["cached"], run["in_memory"]
        waits = ", ".join(f"{name} {seconds:.1f}" for name, seconds in cached["seconds_waiting_for"].items())
        text += [
            f"training on {arguments.train_samples:,} samples, {run['rows']:,} rows of {ROW_BYTES} bytes on disk:",
            f"  {run['limit_bytes'] / 2**20:,.0f} MiB for all (a cgroup), --memory {run['memory_bytes'] / 2**20:,.0f} MiB:"
            f" {cached['samples_per_second']:,.0f} samples/s; in memory {plain['samples_per_second']:,.0f}; ratio"
            f" {run['ratio']:.2f} (goal {run['goal']:.2f}; all: {', '.join(f'{ratio:.2f}' for ratio in run['ratios'])})",
            f"  waited of {cached['seconds']:.1f} s: {waits}",
            f"  a batch reads {run['blocks_read_per_batch']:,.0f} blocks and writes"
            f" {run['bytes_written_per_batch'] / 1e6:.2f} MB; hit rate {cached['hit_rate']:.1%}"]
    return text
