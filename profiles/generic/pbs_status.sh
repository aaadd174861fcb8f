#!/bin/sh
# State of a PBS job in the words that Snakemake knows: running, success or failed.
record=$(qstat -x -f "$1" 2>/dev/null) || { echo running; exit; } # a server that is away is no failed job
value() { printf '%s\n' "$record" | sed -n "s/^ *$1 = //p"; }
case "$(value job_state)" in
F | C | X) if [ "$(value Exit_status)" = 0 ]; then echo success; else echo failed; fi ;;
*) echo running ;;
esac
