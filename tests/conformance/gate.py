#!/usr/bin/env python3
"""Runs the conformance kit and compares with the list of cases that pass.

Cases that we decided to answer otherwise have an `expected-alt.json` in the component's `testdata`;
it is added to the kit's case for the run.

A case in `passing.txt` that fails is an error; a case that passes and is not listed is named, so
that it can be added (`--update` writes the list). Cases may depend on the load of the machine, so
failures are run once more, one at a time, before they count.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LIST = HERE / "passing.txt"


def with_decisions(source, target):
    """Copies a set of cases, each with the `expected-alt.json` that our own copy of it has: what we decided to do otherwise."""
    shutil.copytree(source, target)
    for own in HERE.parents[1].glob("*/*/testdata/*/expected-alt*.json"):
        for case in target.glob(f"*/{own.parent.name}"):
            if (case / "config.yaml").read_bytes() == (own.parent / "config.yaml").read_bytes():
                shutil.copy(own, case)


def run(kit, binary, cases, jobs, only=()):
    """Results of one run of the kit: case name -> passed."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "results.json"
        with_decisions(kit / cases, pathlib.Path(folder) / cases)
        command = [sys.executable, str(kit / "run_all.py"), "--binary", str(binary), "--cases", str(pathlib.Path(folder) / cases)]
        command += ["--jobs", str(jobs), "--json", str(out)]
        for name in only:
            command += ["--only", name]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, check=False, timeout=2400)
        if not out.exists():
            sys.exit(f"the kit wrote no results for {cases}")
        return {f"{cases}/{name}": passed for name, passed in read(json.loads(out.read_text()))}


def read(results):
    """(case, passed) pairs of the kit's result file."""
    for row in results:
        name = row["name"]
        yield name.split("/cases-more/")[-1].split("/cases/")[-1], row["status"] == "PASS"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kit", type=pathlib.Path, required=True)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--update", action="store_true", help="write the list from this run")
    options = parser.parse_args()
    kit, binary = options.kit.resolve(), options.binary.resolve()
    listed = LIST.read_text().split() if LIST.exists() else []
    # Without --update only the sets that the list speaks of are run.
    sets = ("cases", "cases-more") if options.update else sorted({name.split("/")[0] for name in listed})
    passed = {}
    for cases in sets:
        passed |= run(kit, binary, cases, options.jobs)
    if options.update:
        LIST.write_text("".join(f"{name}\n" for name in sorted(passed) if passed[name]))
        print(f"{sum(passed.values())} passed, {len(passed) - sum(passed.values())} failed")
        return 0
    broken = [name for name in listed if not passed.get(name)]
    for cases in sets:
        again = [name.removeprefix(f"{cases}/") for name in broken if name.startswith(f"{cases}/")]
        if again:
            passed |= {k: v for k, v in run(kit, binary, cases, 1, again).items() if v}
    broken = [name for name in listed if not passed.get(name)]
    for name in sorted(name for name in passed if passed[name] and name not in listed):
        print(f"passes now, not listed: {name}")
    for name in broken:
        print(f"passed before, fails now: {name}")
    print(f"conformance: {sum(passed.values())} of {len(passed)} cases pass, {len(listed)} listed")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
