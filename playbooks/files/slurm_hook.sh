#!/bin/sh
# Drain nodes in Slurm, and resume them: a sample for drain_command and undrain_command. Reads the order from stdin as
# JSON, see docs/ledger.md. Needs scontrol, sinfo and python3 on hook_host, and Slurm's operator or administrator.
# Exit: 0 done, 75 jobs still run (try again later), other: refused.
set -eu
order=$(cat)
field() {
    printf '%s' "$order" | python3 -c '
import json, sys
value = json.load(sys.stdin)[sys.argv[1]]
print(",".join(value) if isinstance(value, list) else " ".join(str(value).split()))' "$1"
}
action=$(field action)
nodes=$(field nodes)
case $action in
drain)
    scontrol update "NodeName=$nodes" State=DRAIN "Reason=firstlight $(field run) $(field operator): $(field reason)"
    # A node is drained when it has no job left; until then it is draining.
    busy=$(sinfo --noheader --Node --format="%N %T" --nodes="$nodes" | awk '$2 !~ /^(drained|down)/ { print $1 }' | sort -u)
    if [ -n "$busy" ]; then
        echo "jobs still run on: $(echo "$busy" | tr '\n' ' ')" >&2
        exit 75
    fi
    ;;
undrain)
    # Slurm refuses to resume what is not drained: somebody did it by hand.
    drained=$(sinfo --noheader --Node --format="%N %T" --nodes="$nodes" | awk '$2 ~ /^(drain|down)/ { print $1 }' | sort -u)
    if [ -n "$drained" ]; then
        scontrol update "NodeName=$(echo "$drained" | paste -sd,)" State=RESUME
    fi
    ;;
*)
    echo "unknown action: $action" >&2
    exit 64
    ;;
esac
