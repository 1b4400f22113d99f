"""The table store beside the disk.

Needs fio (Debian) for the limits of the disk. The folder must lie on the disk in question; it takes about 200 bytes for
each row and 1 GiB for fio. Medians of the repetitions; each repetition measures limit and workload one after the other.
"""
import json
import os
import shutil
import statistics
import tempfile

from . import common


def arguments(parser):
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--folder", default=tempfile.gettempdir())
    parser.add_argument("--repeat", type=int, default=3)


def fio(folder, mode, block, depth):
    """Operations a second and bytes a second of the disk, past the system's cache."""
    report = json.loads(common.output(
        "fio", "--name=limit", f"--filename={folder}/fio", "--size=1G", f"--rw={mode}", f"--bs={block}",
        f"--iodepth={depth}", "--ioengine=libaio", "--direct=1", "--runtime=3", "--time_based",
        "--output-format=json"))
    job = report["jobs"][0]["read" if "read" in mode else "write"]
    return job["iops"], job["bw_bytes"]


def run(arguments):
    common.need("fio")
    binary = common.build("ChanterBench")
    folder = tempfile.mkdtemp(prefix="chanter-bench-", dir=arguments.folder)
    model = f"{folder}/model"

    def run(name, *more):
        return json.loads(common.output(binary, name, model, "--rows", str(arguments.rows), *more))

    def rate(result, what):
        return result[what] / result["seconds"]

    # Name, unit, goal, limit, workload. A goal with a limit is a least ratio, without one there is none.
    seeds = iter(range(1, 1000))

    def scatter():
        run("commit", "--count", str(max(1000, arguments.rows // 80)), "--seed", str(next(seeds)))

    def compacted(*more):
        scatter()
        return rate(run("compact", *more), "count")

    def committed():
        value = rate(run("commit", "--seed", str(next(seeds))), "bytes") / 1e6
        run("compact")
        return value

    def fetched(what, scale, *more):
        return rate(run("fetch", "--seed", str(next(seeds)), *more), what) / scale

    workloads = [
        ("cold scattered blocks", "blocks/s", 0.85, lambda: fio(folder, "randread", "4k", 64)[0],
         lambda: fetched("bytes", 4096, "--cold")),
        ("cold clustered blocks", "MB/s", 0.8, lambda: fio(folder, "randread", "64k", 64)[1] / 1e6,
         lambda: fetched("bytes", 1e6, "--cold", "--clustered")),
        ("commit", "MB/s", 0.5, lambda: fio(folder, "write", "1m", 8)[1] / 1e6, committed),
        ("compaction, cold", "blocks/s", 0.3, lambda: fio(folder, "randwrite", "4k", 64)[0],
         lambda: compacted("--cold")),
        ("compaction, warm", "blocks/s", 0.6, lambda: fio(folder, "randwrite", "4k", 64)[0], compacted),
        ("warm rows", "rows/s", None, None, lambda: fetched("count", 1)),
    ]
    facts = common.machine()
    try:
        fill = run("fill")
        figures = []
        for name, unit, goal, limit, work in workloads:
            pairs = [(limit() if limit else None, work()) for _ in range(arguments.repeat)]
            value = statistics.median(pair[1] for pair in pairs)
            figure = {"name": name, "unit": unit, "value": value, "goal": goal}
            if limit:
                figure["limit"] = statistics.median(pair[0] for pair in pairs)
                figure["ratio"] = statistics.median(pair[1] / pair[0] for pair in pairs)
            figures.append(figure)
        size = os.path.getsize(f"{model}/data.mdb")
    finally:
        shutil.rmtree(folder)
    live = fill["bytes"] * 4096 / (59 * 68)
    result = {
        "benchmark": "storage", **facts, "rows": arguments.rows, "row_bytes": 68, "repeat": arguments.repeat,
        "file_bytes_over_live_bytes": size / live, "figures": figures,
    }
    lines = [common.describe(facts), f"{arguments.rows:,} rows of 68 bytes, medians of {arguments.repeat}",
             f"{'':24}{'value':>12} {'unit':9}{'limit':>12}{'ratio':>8}{'goal':>7}"]
    for figure in figures:
        limit = f"{figure['limit']:12,.0f}{figure['ratio']:8.2f}{figure['goal']:7.2f}" if "limit" in figure else ""
        lines.append(f"{figure['name']:24}{figure['value']:12,.0f} {figure['unit']:9}{limit}")
    lines.append(f"file over live bytes: {result['file_bytes_over_live_bytes']:.2f}")
    common.report(arguments, result, lines)
