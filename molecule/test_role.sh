#!/usr/bin/env bash
# The scenario of one role on a lab of its own, so that two can run beside each other. Prints one line; of a red one also
# what failed. All of it is in artifacts/molecule/ROLE.log, for a release that LAB_RELEASE names in ROLE-RELEASE.log.
# A second argument chooses among the tests by their marks, as pytest's -m does.
set -euo pipefail
role=$1 what=$1${LAB_RELEASE:+ on $LAB_RELEASE} log=artifacts/molecule/$1${LAB_RELEASE:+-$LAB_RELEASE}.log
[ -z "${2:-}" ] || export PYTEST_ADDOPTS="-m '$2'"
mkdir -p artifacts/molecule
if LAB_NAME=m-${role//_/-} molecule test -s "$role" >"$log" 2>&1; then
  echo "test-roles: $what passed in $SECONDS s"
else
  sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -aE '│ (E |FAILED|fatal|\[ERROR\])' | tail -n 40 >&2 || true
  echo "test-roles: the scenario of $what failed: $log" >&2
  exit 1
fi
