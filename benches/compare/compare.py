#!/usr/bin/env python3
"""Clients side by side: the same loads, in turns, and Markdown tables of what they cost.

  compare.py build [NAME...]       build milena, the other clients and the null broker
  compare.py run [OPTIONS]         run the loads, add to the results, print their tables
  compare.py table [--tag TAG]     print the tables of results again
  compare.py peer NAME MODE ...    one run of one client, its flags as they are

`compare.py run --help` lists the options; benches/README.md has the method. Linux only.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("COMPARE_TARGET", ROOT / "target" / "compare"))
JARS = ["kafka-clients", "slf4j-api", "lz4-java", "zstd-jni", "snappy-java"]
JVM = ["-Xms512m", "-Xmx512m", "-XX:+UseG1GC", "-Dlog4j.ignoreTCL=true"]
TICKS = os.sysconf("SC_CLK_TCK")

# Name: its program, and the flags that make it what the name says.
PEERS = {
    "milena": ("milena", []),
    "milena-ct": ("milena", ["--set", "rt=current"]),
    "rdkafka-base": ("peer-rdkafka", ["--api", "base"]),
    "rdkafka-threaded": ("peer-rdkafka", ["--api", "threaded"]),
    "rdkafka-future": ("peer-rdkafka", ["--api", "future"]),
    "kgo": ("kgo", []),
    "krafka": ("peer-krafka", []),
    "krafka-ct": ("peer-krafka", ["--set", "rt=current"]),
    "rskafka-partition": ("peer-rskafka", ["--api", "partition"]),
    "rskafka-batch": ("peer-rskafka", ["--api", "batch"]),
    "java": ("java", []),
    "sarama": ("sarama", []),
}
DEFAULTS = {
    "produce": ["milena", "milena-ct", "rdkafka-base", "rdkafka-future", "kgo", "krafka", "krafka-ct",
                "rskafka-partition", "rskafka-batch", "java", "sarama"],
    "consume": ["milena", "milena-ct", "rdkafka-base", "kgo", "krafka", "rskafka-partition", "java",
                "sarama"],
    "latency": ["milena", "milena-ct", "rdkafka-threaded", "rdkafka-future", "kgo", "krafka",
                "krafka-ct", "rskafka-partition", "java", "sarama"],
}
# Records in a run, for values below and from 1000 B.
COUNTS = {
    ("null", "produce"): (6_000_000, 1_500_000),
    ("null", "consume"): (10_000_000, 3_000_000),
    ("real", "produce"): (5_000_000, 1_500_000),
    ("real", "consume"): (8_000_000, 2_000_000),
    ("far", "produce"): (600_000, 60_000),
}
# Behind a wire, one partition: what counts is how much a client keeps under way.
FAR = ["--partitions", "1", "--batch-bytes", "16384"]
TRIPS = 20_000


def main():
    commands = {"build": build, "run": run, "table": table, "peer": peer}
    command = commands.get(sys.argv[1] if len(sys.argv) > 1 else "")
    if command is None:
        sys.exit(__doc__)
    command(sys.argv[2:])


# Programs


def build(names):
    """Builds the programs, or those named."""
    programs = names or ["milena", "peer-rdkafka", "peer-krafka", "peer-rskafka", "null-broker",
                         "delay-proxy", "kgo", "sarama", "java"]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    for name in programs:
        print(f"building {name}", file=sys.stderr)
        if name == "milena":
            command, folder = ["cargo", "build", "--profile", "dist", "-p", "milena-cli"], ROOT
        elif name in ("kgo", "sarama"):
            (TARGET / "go").mkdir(parents=True, exist_ok=True)
            command, folder = ["go", "build", "-o", f"{TARGET}/go/", f"./cmd/{name}"], HERE / "go"
        elif name == "java":
            command = ["javac", "-cp", class_path(), "-d", str(TARGET / "java"), "Peer.java"]
            folder = HERE / "java"
        else:
            command, folder = ["cargo", "build", "--release", "--locked", "-p", name], HERE
        subprocess.run(command, cwd=folder, env=environment, check=True)


def program(name):
    """The beginning of a client's command line."""
    if name == "milena":
        return [os.environ.get("MILENA", str(TARGET / "dist" / "milena"))]
    if name in ("kgo", "sarama"):
        return [str(TARGET / "go" / name)]
    if name == "java":
        return ["java", *JVM, "-cp", f"{TARGET}/java:{class_path()}", "Peer"]
    return [str(TARGET / "release" / name)]


def class_path():
    """Kafka's jars: those of $COMPARE_KAFKA_LIBS, or those that `cargo xtask` fetches."""
    libs = os.environ.get("COMPARE_KAFKA_LIBS")
    if not libs:
        command = ["cargo", "xtask", "kafka", "jars"]
        found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        libs = os.environ["COMPARE_KAFKA_LIBS"] = found.stdout.strip()
    jars = [sorted(pathlib.Path(libs).glob(f"{name}-[0-9]*.jar")) for name in JARS]
    return ":".join(str(found[-1]) for found in jars if found)


def command_line(name, mode, flags):
    if name not in PEERS:
        sys.exit(f"there is no client {name}; there are {', '.join(PEERS)}")
    executable, own = PEERS[name]
    bench = ["bench"] if executable == "milena" else []
    return program(executable) + bench + [mode] + flags + own


def peer(args):
    """One run, as it is."""
    if len(args) < 2:
        sys.exit(__doc__)
    command = command_line(args[0], args[1], args[2:])
    os.execvp(command[0], command)


# Runs


def run(args):
    """Runs all loads with all clients, in turns."""
    options = parse(args)
    results = TARGET / "results"
    results.mkdir(parents=True, exist_ok=True)
    with open(results / f"{options.tag}.jsonl", "a", encoding="utf-8") as out:
        for target in options.targets:
            with Broker(target, options) as broker:
                for load in loads(target, options):
                    in_turns(broker, load, options, out)
    table(["--tag", options.tag])


def parse(args):
    words = lambda text: text.split(",")
    parser = argparse.ArgumentParser(prog="compare.py run")
    parser.add_argument("--tag", default="last", help="the name of the results")
    parser.add_argument("--targets", type=words, default=["null"],
                        help="null (the client alone), real (--kafka), far (null behind a proxy that adds "
                             "--round-trip ms: one partition, batches of 16 KiB, produce only)")
    parser.add_argument("--modes", type=words, default=["produce", "consume"],
                        help="produce, consume, latency")
    parser.add_argument("--sizes", type=words, default=["100", "1024"])
    parser.add_argument("--codecs", type=words, default=["none", "lz4"])
    parser.add_argument("--peers", type=words, help="which clients: " + ", ".join(PEERS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual number of records")
    parser.add_argument("--flags", type=str.split, default=[], help="more flags, for all clients")
    parser.add_argument("--kafka", default="127.0.0.1:19092", help="a real broker, HOST:PORT")
    parser.add_argument("--kafka-pid", type=int, help="its process, to report its CPU time, too")
    parser.add_argument("--null-port", type=int, default=19192)
    parser.add_argument("--proxy-port", type=int, default=19193)
    parser.add_argument("--round-trip", type=float, default=5.0, help="what the proxy adds, in ms")
    return parser.parse_args(args)


class Load:
    """What is done in a run: the same for every client."""

    def __init__(self, target, mode, size, codec, options):
        self.mode, self.size, self.codec = mode, size, codec
        self.target, self.more = target, []
        self.peers = options.peers or DEFAULTS[mode]
        if mode == "latency":
            self.count = int(TRIPS * options.scale)
        else:
            small, large = COUNTS[target, mode]
            self.more = FAR if target == "far" else []
            self.count = int((small if size < 1000 else large) * options.scale)

    def flags(self, bootstrap, topic):
        return ["--bootstrap", bootstrap, "--topic", topic, "--count", str(self.count),
                "--size", str(self.size), "--compression", self.codec, *self.more]


def loads(target, options):
    for mode in options.modes:
        if target == "far" and mode != "produce":
            continue
        if mode == "latency":
            yield Load(target, mode, int(options.sizes[0]), "none", options)
            continue
        for size in options.sizes:
            for codec in options.codecs:
                yield Load(target, mode, int(size), codec, options)


class Broker:
    """The broker of a target: the null broker, which is started and ended here, or a real one."""

    def __init__(self, target, options):
        self.is_null = target != "real"
        self.pids = [options.kafka_pid] if options.kafka_pid and not self.is_null else []
        self.bootstrap = options.kafka
        self.commands, self.processes = [], []
        if self.is_null:
            port, proxy = str(options.null_port), str(options.proxy_port)
            broker = [*program("null-broker"), "--port", port]
            self.commands, front = [broker], port
            if target == "far":
                broker += ["--advertise", proxy, "--partitions", "1"]
                delay = str(options.round_trip)
                self.commands.append([*program("delay-proxy"), "--port", proxy, "--to", port,
                                      "--round-trip-ms", delay])
                front = proxy
            self.bootstrap = f"127.0.0.1:{front}"

    def __enter__(self):
        for command in self.commands:
            self.processes.append(subprocess.Popen(command))
            time.sleep(0.5)
        self.pids += [process.pid for process in self.processes]
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
            process.wait()

    def seconds(self):
        """How long its processes have worked."""
        return sum(process_seconds(pid) for pid in self.pids)

    def topic(self, load):
        """A topic for a load; the null broker's say what is in them."""
        if self.is_null:
            return f"null-{load.size}-{load.codec}"
        name = f"bench-{os.getpid()}-{time.time_ns()}"
        milena(self, "topic", "create", name, "--partitions", "6", "--config", "file.delete.delay.ms=1000")
        return name

    def forget(self, topic):
        if not self.is_null:
            milena(self, "topic", "delete", topic)


def milena(broker, *args):
    command = [*program("milena"), "-b", broker.bootstrap, *args]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)


def in_turns(broker, load, options, out):
    """Every client once, then every client again: what disturbs one disturbs all."""
    shared = None
    if load.mode != "produce":
        shared = broker.topic(load)
        if load.mode == "consume" and not broker.is_null:
            milena(broker, "bench", "produce", *load.flags(broker.bootstrap, shared))
    for number in range(options.runs):
        for name in load.peers:
            topic = shared or broker.topic(load)
            result = once(broker, load, name, topic, options.flags)
            result.update(target=load.target, codec=load.codec, run=number)
            out.write(json.dumps(result) + "\n")
            out.flush()
            if not shared:
                broker.forget(topic)
    if shared:
        broker.forget(shared)


def once(broker, load, name, topic, more):
    flags = load.flags(broker.bootstrap, topic) + more
    if name == "java" and load.mode == "produce":
        flags += ["--set", f"warmup={load.count // 5}"]
    busy, spent, began = machine_seconds(), broker.seconds(), time.monotonic()
    result = subprocess.run(command_line(name, load.mode, flags), capture_output=True, text=True, timeout=600)
    took = time.monotonic() - began
    busy, spent = machine_seconds() - busy, broker.seconds() - spent
    lines = result.stdout.strip().splitlines()
    if result.returncode or not lines:
        error = (result.stderr or result.stdout).strip()[-300:]
        print(f"{load.target} {load.mode} {name}: FAILED: {error}", file=sys.stderr)
        return {"peer": name, "mode": load.mode, "size": load.size, "error": error}
    figures = {**json.loads(lines[-1]), "peer": name, "broker_s": spent}
    own = figures.get("user_s", 0) + figures.get("sys_s", 0)
    figures["other"] = max(0, busy - spent - own) / (took * os.cpu_count())
    rate = "{:.0f} records/s".format(figures["msgs_per_s"]) if "msgs_per_s" in figures else \
        "p50 {p50_us} us, p99 {p99_us} us".format(**figures)
    print(f"{load.target} {load.mode} {load.size} {load.codec} {name}: {rate}, "
          f"{figures['cpu_us_per_msg']} us CPU, other load {figures['other']:.2f}", file=sys.stderr)
    return figures


def machine_seconds():
    """How long all CPUs have worked for somebody."""
    with open("/proc/stat", encoding="ascii") as stat:
        user, nice, system, _, _, *rest = map(int, stat.readline().split()[1:9])
    return (user + nice + system + sum(rest)) / TICKS


def process_seconds(pid):
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


# Tables


def table(args):
    """Prints the results as Markdown."""
    parser = argparse.ArgumentParser(prog="compare.py table")
    parser.add_argument("--tag", default="last")
    path = TARGET / "results" / f"{parser.parse_args(args).tag}.jsonl"
    groups = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        if "error" not in result:
            key = tuple(result[field] for field in ("target", "mode", "size", "codec"))
            groups.setdefault(key, {}).setdefault(result["peer"], []).append(result)
    for (target, mode, size, codec), peers in groups.items():
        print(f"\n#### {mode}, {size} B, {codec}, {target} broker\n")
        print(latencies(peers) if mode == "latency" else rates(peers))


def rates(peers):
    rows = []
    for name, results in peers.items():
        each = lambda field: [result[field] / result["count"] * 1e6 for result in results]
        column = lambda field: [result[field] for result in results]
        cpu = column("cpu_us_per_msg")
        rows.append((statistics.median(cpu), [
            name, spread(cpu, 3), f"{median(each('user_s')):.3f} + {median(each('sys_s')):.3f}",
            spread([rate / 1e6 for rate in column("msgs_per_s")], 2),
            spread([result["msgs_per_s"] * result["size"] / 1e6 for result in results], 1), f"{max(column('max_rss_mb')):.0f}",
            f"{median(each('broker_s')):.3f}", other(results), str(len(results))]))
    return markdown(["client", "CPU us a record", "user + system", "M records/s", "MB/s", "peak MB",
                     "broker us a record", "other load", "runs"], rows)


def latencies(peers):
    rows = []
    for name, results in peers.items():
        column = lambda field: [result[field] for result in results]
        rows.append((median(column("p50_us")), [
            name, spread(column("p50_us"), 0), spread(column("p99_us"), 0),
            f"{median(column('cpu_us_per_msg')):.0f}", f"{max(column('max_rss_mb')):.0f}",
            other(results), str(len(results))]))
    return markdown(["client", "p50 us", "p99 us", "CPU us a trip", "peak MB", "other load", "runs"], rows)


median = statistics.median


def spread(values, digits):
    return f"**{median(values):.{digits}f}** ({min(values):.{digits}f} to {max(values):.{digits}f})"


def other(results):
    loads = [result["other"] for result in results]
    return f"{min(loads):.2f} to {max(loads):.2f}"


def markdown(head, rows):
    rows = [cells for _, cells in sorted(rows, key=lambda row: row[0])]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


if __name__ == "__main__":
    main()
