"""Whether the tests of the pure decisions notice every change of them: `make mutation`.

mutmut changes the modules named in pyproject.toml, one small thing at a time, and runs their tests against each
change. What the tests do not notice must stand in `equivalent_mutants.yaml`, with the reason why nobody could.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.yaml")
NOTICED = ("killed", "timeout")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed line of a function; what it was and what it became."""

    function: str
    before: str
    after: str


def main() -> int:
    """0 if every mutant that survives is known to change nothing."""
    _mutmut("run", "--max-children", "2", quiet=False)
    fates = _fates()
    survivors = {_mutant(name): fate for name, fate in fates.items() if fate not in NOTICED}
    known = {Mutant(each["function"], each["before"], each["after"]) for each in yaml.safe_load(EQUIVALENT.read_text())}
    new, gone = survivors.keys() - known, known - survivors.keys()
    for mutant in sorted(new, key=str):
        print(f"{survivors[mutant]}: {mutant.function}\n- {mutant.before}\n+ {mutant.after}\n", file=sys.stderr)
    for mutant in sorted(gone, key=str):
        print(f"listed in {EQUIVALENT.name}, but noticed or not made: {mutant}", file=sys.stderr)
    counts = ", ".join(f"{count} {fate}" for fate, count in Counter(fates.values()).most_common())
    print(f"{len(fates)} mutants: {counts}; {len(known)} of them equivalent")
    return 1 if new or gone or not fates else 0


def _fates() -> dict[str, str]:
    lines = _mutmut("results", "--all", "true").splitlines()
    return {name.strip(): fate.strip() for name, _, fate in (line.rpartition(": ") for line in lines) if name}


def _mutant(name: str) -> Mutant:
    """What `mutmut show` prints of it: a unified diff of the function."""
    lines = _mutmut("show", name).splitlines()
    before, after = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign) and not line.startswith(sign * 3))
        for sign in "-+"
    )
    return Mutant(name.rpartition("__mutmut_")[0].replace("x_", "", 1), before, after)


def _mutmut(*arguments: str, quiet: bool = True) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE if quiet else None).stdout or ""


if __name__ == "__main__":
    sys.exit(main())
