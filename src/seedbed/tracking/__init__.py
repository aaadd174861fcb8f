"""MLflow: tables as runs, and trained networks in its model registry."""

from seedbed.tracking.runs import KEY as KEY
from seedbed.tracking.runs import WAITING as WAITING
from seedbed.tracking.runs import default_uri as default_uri
from seedbed.tracking.runs import flatten as flatten
from seedbed.tracking.runs import say_what_waits as say_what_waits
from seedbed.tracking.runs import sync as sync
from seedbed.tracking.runs import track as track
from seedbed.tracking.runs import waiting_line as waiting_line
